"""Names of a consumer or view class that are misspelt, and schemas that cannot work."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final
from weakref import WeakKeyDictionary

import graphene
from graphene.types.structures import Structure
from graphql import GraphQLError, GraphQLObjectType, GraphQLSchema, validate_schema

from channels_graphql_ws.execution.permissions import BasePermission
from channels_graphql_ws.operations.option_values import (
    ELSEWHERE,
    Range,
    counterpart,
    option_names,
    ranges_of,
)
from channels_graphql_ws.operations.overrides import is_default
from channels_graphql_ws.operations.strawberry_hooks import problem_of
from channels_graphql_ws.spelling import (
    OldNameWarning,
    added_names,
    calls_super,
    is_bound,
    is_function,
    place_of_user,
    refuse,
    similar_name,
    takes,
    yields,
)
from channels_graphql_ws.subscription import names
from channels_graphql_ws.subscription.declaration import Subscription
from channels_graphql_ws.subscription.declared_permissions import check_permissions
from channels_graphql_ws.subscription.field import Source, SubscriptionField
from channels_graphql_ws.subscription.groups import topic_of
from channels_graphql_ws.subscription.python_types import advice_on_fields

_PACKAGE: Final = "channels_graphql_ws."

_REPLACED: Final[Mapping[str, str]] = {
    "_on_gql_connection_init": "override `on_connect(payload)`; raise there to refuse the client",
    "_on_gql_connection_terminate": "override `on_disconnect(code)`",
    "_on_gql_start": "override `on_operation(op_id, payload)`; raise there to refuse",
    "_on_gql_subscribe": "override `on_operation(op_id, payload)`; raise there to refuse",
    "_on_gql_subscribe__parse_query": "override `parse_document` or `validate_document`",
    "_on_gql_stop": "override `unsubscribed` of the Subscription class, or `on_complete(op_id)`",
    "_on_gql_complete": "override `on_complete(op_id)`, or `unsubscribed` of the Subscription",
    "_on_gql_ping": "override `on_ping(payload)`",
    "_on_gql_pong": "override `on_pong(payload)`",
    "_on_gql_": "override `on_connect`, `on_operation` or `receive_json`",
    "_send_gql_connection_ack": "return the payload from `on_connect`",
    "_send_gql_connection_error": "raise `ConnectionRejectionError(payload)` in `on_connect`",
    "_send_gql_data": "override `on_next(op_id, payload)`",
    "_send_gql_next": "override `on_next(op_id, payload)`",
    "_send_gql_error": "override `on_error(op_id, errors)`, or `_format_error(error)`",
    "_send_gql_complete": "override `on_complete(op_id)`",
    "_send_gql_connection_keep": "set `send_ping_every`",
    "_send_gql_ping": "set `send_ping_every`, and `ping_payload`",
    "_send_gql_pong": "return the payload of the pong from `on_ping(payload)`",
    "_send_gql_": "override `on_next`, `on_error` or `on_complete`",
    "_process_broadcast": "override `filter_event` or `publish` of the Subscription class",
    "_process_unsubscribe": "override `unsubscribed` of the Subscription class",
    "_register_subscription": "override `subscribe` of the Subscription class, or `on_operation`",
    "_run_in_worker": "set `resolve_sync_in_threads`, or use `channels.db.database_sync_to_async`",
    "_spawn_background_task": "make tasks of your own, and end them in `on_disconnect(code)`",
    "_channel_layer": "set `channel_layer_alias`",
}
"""Private methods of django-channels-graphql-ws that people override, and what to do instead.
The longest that a name begins with counts."""

_PRIVATE: Final = tuple(_REPLACED)

_NO_HANDLERS: Final[Mapping[str, str]] = {
    "broadcast": "override `filter_event` or `publish` of the Subscription class",
    "unsubscribe": "override `unsubscribed` of the Subscription class",
}
"""Its handlers of messages of the channel layer. One that does not go on to the handler of the
library is a handler of the user's own messages."""

_OF_OTHERS: Final[Mapping[str, str]] = {
    "on_connection_init": "on_connect",
    "on_connection_terminate": "on_disconnect",
    "on_init": "on_connect",
    "on_ws_disconnect": "on_disconnect",
}
"""Hooks of other packages that begin with `on_`, where passing one over would let people in."""

_OF_OTHERS_IF_FITTING: Final[Mapping[str, str]] = {
    "on_start": "on_operation",
    "on_subscribe": "on_operation",
}
"""The same for names that may also be handlers of channel messages, which get one value."""

_RENAMED: Final = {"send_keepalive_every": "send_ping_every"}

_WITHOUT_EFFECT: Final = {
    "max_worker_threads": "threads are made as they are needed",
    "warn_resolver_timeout": "`warn_operation_timeout` is for the whole operation",
}

_OF_CHANNELS: Final = frozenset({"base_send", "channel_layer", "channel_name", "scope"})
"""Attributes of Channels' consumers that only an instance has."""


def check_names(cls: type[Any]) -> None:
    """Check the names that a user's class adds, when the class is made.

    A near miss is refused only where it could be meant: a method that could be called as
    the hook, a value that the option could have. A name in `own_names` is meant as it is.

    Raises:
        TypeError: a name is misspelt, or a method overrides what is not called here.
    """
    base = next(each for each in cls.__mro__ if each.__module__.startswith(_PACKAGE))
    check_replaced(cls)
    for name, value in added_names(cls, base).items():
        if name in cls.own_names:
            continue
        if (name == _PERMISSIONS or are_permissions(value)) and name in vars(cls):
            _refuse_permissions(cls, name)
        elif problem := problem_of(cls, base, name) or _of_graphene_django(cls, name, value):
            refuse(_error(cls, problem, name))
        elif name in _RENAMED:
            _rename(cls, name, value)
        elif name in _WITHOUT_EFFECT and name in vars(cls):
            _warn(f"{cls.__qualname__}.{name} has no effect: {_WITHOUT_EFFECT[name]}")
        elif is_default(getattr(base, name, None)):
            _check_hook(cls, base, name, value)
        elif not (name.startswith("_") or name in _OF_CHANNELS or hasattr(base, name)):
            _check_spelling(cls, base, name, value)


def _check_spelling(cls: type[Any], base: type[Any], name: str, value: object) -> None:
    meant = _meant_hook if is_function(value) else _meant_option
    spelling = _OF_OTHERS.get(name) if is_function(value) else None
    if hasattr(base, spelling or "") or (spelling := meant(cls, base, name)):
        refuse(_error(cls, f"there is no {name!r}, did you mean {spelling!r}?", name))


def _of_graphene_django(cls: type[Any], name: str, value: object) -> str | None:
    """Return what is wrong with an attribute that graphene-django's view has a meaning for."""
    is_meant = name in _OF_GRAPHENE_DJANGO and value is True and hasattr(cls, "as_view")
    return f"there is no option {name!r}: {ELSEWHERE[name]}." if is_meant else None


_OF_GRAPHENE_DJANGO: Final = frozenset({"batch", "pretty"})


def _refuse_permissions(cls: type[Any], name: str) -> None:
    # A base of another library may look at it.
    if not any(hasattr(each, name) for each in cls.__bases__):
        refuse(_not_asked(cls, name))


def check_no_permissions(endpoint: Any) -> None:
    """Refuse permission classes of a consumer or view, whenever they were set.

    Raises:
        TypeError: there are some; the text names what takes their place.
    """
    given = getattr(endpoint, _PERMISSIONS, None)
    if given is None:
        return
    if are_permissions(given) and _PERMISSIONS not in endpoint.own_names:
        raise _not_asked(type(endpoint), _PERMISSIONS)


def _not_asked(cls: type[Any], name: str) -> TypeError:
    holder = "" if name == _PERMISSIONS else f"`{name}` holds permission classes. "
    problem = (
        f"{holder}`{_PERMISSIONS}` is asked on Subscription classes and fields, not here: set it "
        "there, or raise in `on_operation(op_id, payload)` to refuse any operation."
    )
    return _error(cls, problem, name)


_PERMISSIONS: Final = "permission_classes"


def check_replaced(cls: type[Any]) -> None:
    """Refuse methods of the predecessor that are not called here, whenever they were set.

    Raises:
        TypeError: there is one; the text names what takes its place.
    """
    for name in [each for each in dir(cls) if each.startswith("_") or each in _NO_HANDLERS]:
        instead = _replacement(name, inspect.getattr_static(cls, name, None))
        if instead is not None and name not in cls.own_names:
            refuse(_not_called(cls, name, instead))


def check_instance(consumer: Any) -> None:
    """Refuse private methods of the predecessor that are set on a consumer itself.

    Raises:
        TypeError: there is one; the text names what takes its place.
    """
    cls, own = type(consumer), vars(consumer)
    known = _known_names.get(cls)
    # Most instances of a class have the same names.
    if known is not None and own.keys() <= known:
        return
    for name, value in own.items():
        if name.startswith(_PRIVATE) and callable(value) and name not in cls.own_names:
            raise _not_called(cls, name, _instead_of(name))
    _known_names[cls] = frozenset([name for name in own if not name.startswith(_PRIVATE)])


_known_names: WeakKeyDictionary[type[Any], frozenset[str]] = WeakKeyDictionary()
"""Names that an instance of a class had, without those that are looked at each time."""


def _not_called(cls: type[Any], name: str, instead: str | None) -> TypeError:
    problem = f"`{name}` of django-channels-graphql-ws is not called: {instead}."
    return _error(cls, problem, name)


def _check_hook(cls: type[Any], base: type[Any], name: str, value: object) -> None:
    """Refuse what has the name of a hook, and cannot be called as one."""
    if not is_function(value):
        if not (callable(value) or hasattr(type(value), "__get__")):
            text = f"`{name}` is a hook: it must be a method, not {value!r}."
            refuse(_error(cls, text, name))
        return
    problem = _problem_of_hook(cls, base, name)
    if problem is not None:
        refuse(_error(cls, problem, name))


def _problem_of_hook(cls: type[Any], base: type[Any], name: str) -> str | None:
    """Return why a method cannot be called as a hook; `None` if it can."""
    if yields(getattr(cls, name)):
        return f"`{name}` is called for what it returns, and has a `yield`: use `return`."
    expected = _arguments(base, name)
    if any(each.kind is each.VAR_KEYWORD for each in expected):
        return None
    by_name = [_BY_NAME[name]] if name in _BY_NAME else []
    if _takes(cls, name, len(expected) - len(by_name), by_name):
        return None
    call = f"{name}({', '.join(each.name for each in expected)})"
    advice = f" {_OF_STRAWBERRY[name]}." if name in _OF_STRAWBERRY else ""
    return f"`{name}` is a hook, and cannot be called as `{call}`.{advice}"


def _arguments(base: type[Any], hook: str) -> list[inspect.Parameter]:
    """Return what a hook is called with, the instance or class aside."""
    parameters = list(inspect.signature(getattr(base, hook)).parameters.values())
    return parameters if is_bound(base, hook) else parameters[1:]


def _takes(cls: type[Any], name: str, count: int, by_name: Iterable[str] = ()) -> bool:
    """Return whether a method takes so many values beside the instance or class."""
    return takes(getattr(cls, name), count + (not is_bound(cls, name)), by_name)


_BY_NAME: Final = {"on_operation": "payload"}
"""Hooks that get their last argument by its name."""

_OF_STRAWBERRY: Final = {
    "get_context": "Return the context that it gets, which has `request` and `response` over HTTP",
    "get_root_value": "It gets the context, which has `request` over HTTP",
}


def _rename(cls: type[Any], old: str, value: object) -> None:
    new = _RENAMED[old]
    if new not in vars(cls):
        setattr(cls, new, value)
    if old in vars(cls):
        _warn(f"{cls.__qualname__}.{old} is called {new!r} now")


def _warn(text: str) -> None:
    file, _, line = place_of_user().rpartition(":")
    warnings.warn_explicit(text, OldNameWarning, file, int(line))


def _replacement(name: str, value: object) -> str | None:
    """Return what takes the place of a private method of the predecessor."""
    if not is_function(value):
        return None
    if name in _NO_HANDLERS:
        return _NO_HANDLERS[name] if calls_super(value) else None
    return _instead_of(name)


def _instead_of(name: str) -> str | None:
    known = [each for each in _REPLACED if name.startswith(each)]
    return _REPLACED[max(known, key=len)] if known else None


def _meant_hook(cls: type[Any], base: type[Any], name: str) -> str | None:
    """Return the hook that a method may be a misspelling of."""
    hook = _OF_OTHERS_IF_FITTING.get(name) or similar_name(
        name, [each for each in dir(base) if is_default(getattr(base, each))]
    )
    if hook is None:
        return None
    expected = _arguments(base, hook)
    # Some of these decide on access; their parameters may have any name.
    if hook.startswith("on_"):
        return hook if _takes(cls, name, len(expected)) else None
    own = list(inspect.signature(getattr(cls, name)).parameters)
    return hook if own[not is_bound(cls, name) :] == [each.name for each in expected] else None


def _meant_option(cls: type[Any], base: type[Any], name: str) -> str | None:
    """Return the option that an attribute may be a misspelling of."""
    value = getattr(cls, name)
    if isinstance(value, _PLAIN) and (option := counterpart(name, option_names(base))):
        return option
    ranges = ranges_of(base)
    fitting = [each for each in option_names(base) if _fits(value, base, each, ranges)]
    return similar_name(name, fitting)


_PLAIN: Final = (bool, float, int, list, str, timedelta, tuple, type(None))
"""What options of other packages are."""


def _fits(
    value: object, base: type[Any], option: str, ranges: Mapping[str, tuple[Range, bool]]
) -> bool:
    """Return whether an option could have a value."""
    if option == "schema":
        return isinstance(value, graphene.Schema | GraphQLSchema)
    if option in ranges:
        return isinstance(value, int | float) and not isinstance(value, bool)
    usual = getattr(base, option)
    if usual is None or callable(usual):
        return isinstance(value, bool | list | tuple)
    if isinstance(usual, Mapping):
        return isinstance(value, Mapping)
    # One name where a list of them is expected is a slip, too.
    kinds = (list, str, tuple) if isinstance(usual, list | tuple) else type(usual)
    return isinstance(value, kinds)


def _error(cls: type[Any], problem: str, name: str) -> TypeError:
    return TypeError(
        f"{cls.__qualname__}: {problem} If the name is meant as it is, say so: "
        f"`own_names = [{name!r}]`"
    )


def check_schema(schema: Any, core: GraphQLSchema) -> None:
    """Check a schema for what would only be found at the first operation.

    Args:
        schema: as the user gave it.
        core: graphql-core's schema of it.

    Raises:
        TypeError: it is not valid, a subscription is not mounted as it should be, or a type has
            permissions that are not asked.
    """
    root: Any = getattr(schema, "subscription", None)
    if isinstance(root, type) and issubclass(root, graphene.ObjectType):
        _check_mounts(root)
    _check_commas(schema)
    for name in ("query", "mutation"):
        _check_other_root(getattr(schema, name, None), root)
    if core.subscription_type is not None:
        _check_topics(core.subscription_type)
    _check_permissions(core)
    # Kept by graphql-core: the first operation would ask for it, too.
    if errors := validate_schema(core):
        texts = [f"{each.message}{_advice_on(each, core)}" for each in errors]
        refuse(TypeError(f"The schema is not valid: {' '.join(texts)}"))


def _advice_on(error: GraphQLError, core: GraphQLSchema) -> str:
    """Return what to do about an error of a schema, if it is one of a Subscription class."""
    if not error.message.endswith(_WITHOUT_FIELDS):
        return ""
    name = error.message.removeprefix("Type ").removesuffix(_WITHOUT_FIELDS)
    cls: Any = getattr(core.get_type(name), "graphene_type", None)
    return advice_on_fields(cls) if isinstance(cls, type) else ""


_WITHOUT_FIELDS: Final = " must define one or more fields."


def _check_permissions(core: GraphQLSchema) -> None:
    """Refuse permissions of mutations and types, which nobody would ask."""
    for each in core.type_map.values():
        cls: Any = getattr(each, "graphene_type", None)
        if not isinstance(cls, type) or issubclass(cls, Subscription):
            continue
        for name in _names_of_permissions(cls):
            refuse(
                TypeError(
                    f"{cls.__qualname__}: `{name}` of a mutation or type is not asked: put "
                    "`@protected(…)` before the resolver or `mutate`, or declare a "
                    "`ProtectedField`"
                )
            )


def _names_of_permissions(cls: type[Any]) -> list[str]:
    # Not by `getattr`: what computes an attribute would run.
    held = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    return [name for name in _LIKE_PERMISSIONS if are_permissions(held.get(name))]


_LIKE_PERMISSIONS: Final = (_PERMISSIONS, "permission_class", "permissions")
"""What permissions of a type may be called; another name may be for code of the user's own."""


def are_permissions(given: object) -> bool:
    """Return whether a value is a permission class, or a list with one."""
    values = given if isinstance(given, list | tuple) else [given]
    return any(isinstance(each, type) and issubclass(each, BasePermission) for each in values)


def _check_commas(schema: Any) -> None:
    """Refuse a field with a comma behind it: a tuple, which Graphene leaves out in silence."""
    for kind in ("query", "mutation", "subscription"):
        root = getattr(schema, kind, None)
        if not isinstance(root, type):
            continue
        for name, value in added_names(root, graphene.ObjectType).items():
            if isinstance(value, tuple) and len(value) == 1 and names.is_field(value[0]):
                refuse(
                    TypeError(
                        f"{root.__qualname__}.{name} is a tuple with a field in it: take the "
                        "comma behind the field away"
                    )
                )


def _check_mounts(root: type[Any]) -> None:
    """Refuse what looks like a field, and is none: Graphene leaves it out in silence."""
    if issubclass(root, Subscription):
        refuse(
            TypeError(
                f"{root.__qualname__} is a subscription, and not the root type of them: mount it "
                f"in one, `class Subscriptions(graphene.ObjectType): … = {root.__qualname__}"
                ".Field()`"
            )
        )
        return
    mounted = {
        each.subscription_class
        for each in root._meta.fields.values()
        if isinstance(each, SubscriptionField)
    }
    for name, value in _mounted_by_type(root):
        refuse(TypeError(_how_to_mount(root, name, value)))
    for name, value in added_names(root, graphene.ObjectType).items():
        cls = _subscription_class_of(value)
        is_declaration = isinstance(value, type) and cls in mounted
        if cls is not None and not is_declaration:
            refuse(TypeError(_how_to_mount(root, name, cls)))


def _how_to_mount(root: type[Any], name: str, cls: type[Any]) -> str:
    return (
        f"{root.__qualname__}.{name} is not a field: mount the subscription with "
        f"`{name} = {cls.__qualname__}.Field()`"
    )


def _mounted_by_type(root: Any) -> list[tuple[str, type[Subscription]]]:
    """Return the fields that have a Subscription class for their type, and do not listen."""
    return [
        (name, cls)
        for name, field in root._meta.fields.items()
        if type(field) is graphene.Field
        and (cls := _subscription_class_of(_inner_type(field.type))) is not None
        and not hasattr(root, f"subscribe_{name}")
    ]


def _inner_type(of: Any) -> Any:
    """Return the type that a `List` or `NonNull` is of."""
    while isinstance(of, Structure):
        of = of.of_type
    return of


def _check_other_root(root: Any, subscriptions: Any) -> None:
    """Refuse subscriptions that are mounted where nobody subscribes."""
    fields = getattr(getattr(root, "_meta", None), "fields", None) or {}
    for name, field in fields.items():
        if isinstance(field, SubscriptionField):
            where = getattr(subscriptions, "__qualname__", None)
            there = f"in {where}" if where else "in a class that is the schema's `subscription`"
            refuse(
                TypeError(
                    f"{root.__qualname__}.{name} is a subscription, which cannot be a query or a "
                    f"mutation: mount it {there}"
                )
            )


def _subscription_class_of(value: Any) -> type[Subscription] | None:
    """Return the class of a `MySubscription`, `MySubscription()` or `MySubscription.Field`."""
    if isinstance(value, Subscription):
        return type(value)
    if getattr(value, "__func__", None) is vars(Subscription)["Field"].__func__:
        value = value.__self__
    is_class = isinstance(value, type) and issubclass(value, Subscription)
    return value if is_class and value is not Subscription else None


def _check_topics(root: GraphQLObjectType) -> None:
    """Refuse classes whose groups are not what users of them think.

    Two that cannot be told from each other, events of one would reach both; and one that
    names its groups by a method that is not called.
    """
    known: dict[Any, type[Any]] = {}
    for name, field in root.fields.items():
        if not isinstance(field.subscribe, Source):
            continue
        cls = field.subscribe.subscription_class
        names.check_replaced(cls, cls._meta.own_names)
        check_permissions(cls)
        if known.setdefault(topic_of(cls), cls) is not cls:
            raise TypeError(
                f"Field {name!r}: there are two classes {cls.__module__}.{cls.__qualname__!r}, "
                "whose groups have the same names. Give each a GraphQL name of its own: "
                "`class Meta: name = …`"
            )

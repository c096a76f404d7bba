"""Read, check and set the options of consumers and views: class attributes or keywords.

An option is declared once, as an annotated attribute with a default, and has its range beside
it. A settings dataclass reads the options that its fields are named after.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from inspect import isroutine
from operator import attrgetter
from types import ModuleType
from typing import Any, Final, Generic, TypeVar, get_args
from weakref import WeakKeyDictionary

from graphql import ASTValidationRule, GraphQLSchema

from channels_graphql_ws.execution.loaders import check_data_loaders
from channels_graphql_ws.execution.middleware import check_middleware
from channels_graphql_ws.operations.defaults import check_safety
from channels_graphql_ws.operations.graphene_settings import default_middleware, default_schema
from channels_graphql_ws.operations.origins import check_allowed_origins
from channels_graphql_ws.operations.overrides import overridden
from channels_graphql_ws.operations.places import check_networks
from channels_graphql_ws.subscription.declaration import GapPolicy

T = TypeVar("T")

_PACKAGE = "channels_graphql_ws."

_NO_OPTIONS = frozenset({"groups", "view_is_async", "http_method_names"})


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that an option may be; stands in the `Annotated` of the option."""

    minimum: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and value >= self.minimum

    def __str__(self) -> str:
        return f"a number ≥ {self.minimum:g}"


NOT_NEGATIVE: Final = Range(0)

POSITIVE: Final = Range(0.01)


def option_names(cls: type[Any]) -> set[str]:
    """Return the names of a class's options: its public attributes that are not methods."""
    return {
        name
        for name in dir(cls)
        if not name.startswith("_")
        and name not in _NO_OPTIONS
        and not isroutine(getattr(cls, name))
        and not isinstance(getattr(cls, name), property)
    } | {"schema"}


def is_own(cls: type[Any], name: str) -> bool:
    """Return whether a class of the user's, and not the library, has set an option."""
    base = next(each for each in cls.__mro__ if name in vars(each))
    return not base.__module__.startswith(_PACKAGE)


_COUNTERPARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "graphiql_enabled": ("graphiql",),
    "graphql_ide": ("graphiql",),
    "keep_alive": ("send_ping_every",),
    "keep_alive_interval": ("send_ping_every",),
    "keepalive": ("send_ping_every",),
    "ping_interval": ("send_ping_every", "send_heartbeat_every"),
    "max_subscriptions_per_connection": ("max_operations_per_connection",),
    "notification_queue_limit": ("subscription_notification_queue_limit",),
    "subscription_protocols": ("subprotocols", "event_streams_enabled"),
}
"""Options of Strawberry's and graphene-django's classes, and one of subscriptions, with those
here. The first that a class has counts."""


def counterpart(name: str, known: set[str]) -> str | None:
    """Return the option that has another name in other packages."""
    return next((each for each in _COUNTERPARTS.get(name, ()) if each in known), None)


def check_options(given: dict[str, Any], known: set[str], what: str) -> None:
    """Check that all options are known.

    Raises:
        TypeError: one is not; the text suggests what may have been meant.
    """
    for name in given:
        if name not in known:
            same = counterpart(name, known)
            similar = [same] if same is not None else get_close_matches(name, known, 1)
            hint = f", did you mean {similar[0]!r}?" if similar else ""
            hint = f": {ELSEWHERE[name]}" if name in ELSEWHERE else hint
            raise TypeError(f"{what} has no option {name!r}{hint}")


_ADDRESS: Final = (
    "the address is `url_pattern` of `GraphqlProtocolTypeRouter`, or that of `path(…)` in a "
    "`URLRouter` or URLconf"
)

ELSEWHERE: Final[Mapping[str, str]] = {
    "batch": "`max_batch_size` says how many operations may come in one request",
    "context": "override `get_context(context)` in a subclass",
    "context_value": "override `get_context(context)` in a subclass",
    "get_context": "it is a hook, override it in a subclass",
    "get_root_value": "it is a hook, override it in a subclass",
    "on_connect": "it is a hook, override it in a subclass",
    "on_disconnect": "it is a hook, override it in a subclass",
    "on_operation": "it is a hook, override it in a subclass",
    "pretty": "clients format JSON themselves, or override `encode_json`",
    "path": _ADDRESS,
    "root": "override `get_root_value(context)` in a subclass",
    "root_value": "override `get_root_value(context)` in a subclass",
    "route": _ADDRESS,
    "url": _ADDRESS,
}
"""Names from graphene-django's view, and hooks that are taken for options."""


def split_options(
    cls: type[Any], given: dict[str, Any], init: Callable[..., None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell apart the options of a class and what an `__init__` of its own takes.

    What that has a parameter for is passed to it; an option is set on the class all the same.

    Args:
        cls: the class.
        given: keywords of `as_asgi`.
        init: the `__init__` of the library.

    Raises:
        TypeError: a keyword is neither.
    """
    known = option_names(cls)
    options = {name: value for name, value in given.items() if name in known}
    parameters = {} if cls.__init__ is init else inspect.signature(cls.__init__).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    own = {
        name: value
        for name, value in given.items()
        if name in parameters or (takes_all and name not in known)
    }
    check_options(given, {*known, *own}, cls.__qualname__)
    return options, own


def check_values(endpoint: Any) -> None:
    """Check the options of an endpoint, or of a class of them.

    Raises:
        ValueError: a number is out of its range, `safety` is not a word of its own, or an
            origin is not one.
        TypeError: a message is not a text, or not a mapping; a method needs an instance.
    """
    is_class = isinstance(endpoint, type)
    cls: Any = endpoint if is_class else type(endpoint)
    name_of = cls.__qualname__
    check_safety(endpoint, name_of)
    for name, check in _CHECKS.items():
        value = getattr(endpoint, name)
        if not isinstance(value, property):
            check(value, f"{name_of}.{name}")
    for name, (range_, is_optional) in ranges_of(cls).items():
        value = getattr(endpoint, name)
        if isinstance(value, property):
            # Of a class: what an instance has is not known yet.
            continue
        if value not in range_ and not (value is None and is_optional):
            or_none = " or `None`" if is_optional else ""
            raise ValueError(f"{name_of}.{name} is {value!r}, it must be {range_}{or_none}")
    _check_flags(endpoint, cls)
    _check_lists(endpoint, name_of)
    message = endpoint.subscription_confirmation_message
    if not isinstance(message, Mapping):
        raise TypeError(
            f"{name_of}.subscription_confirmation_message is {message!r}, it must be a "
            "dict of `data` and `errors`"
        )
    _check_texts(endpoint, name_of)
    for name in ("parse_document", "validate_document"):
        if not is_class and getattr(getattr(endpoint, name), "__self__", None) is endpoint:
            raise TypeError(
                f"{name_of}.{name} must be a class method or a static method: what it returns is "
                "kept for all clients"
            )


def _check_texts(endpoint: Any, name_of: str) -> None:
    for name in ("masked_error_message", "group_name_prefix", "channel_layer_alias"):
        text = getattr(endpoint, name)
        if not isinstance(text, str | property):
            raise TypeError(f"{name_of}.{name} is {text!r}, it must be a string")


def _check_threads(value: Any, name: str) -> None:
    if not (value is None or isinstance(value, bool)):
        raise TypeError(f"{name} is {value!r}, it must be `True`, `False` or `None`")


def _check_flags(endpoint: Any, cls: type[Any]) -> None:
    """Refuse a text where `True` or `False` is expected: "no" would mean yes."""
    for name in _flags_of(cls):
        value = getattr(endpoint, name)
        if isinstance(value, str):
            raise TypeError(
                f"{cls.__qualname__}.{name} is {value!r}, it must be `True` or `False`"
            )


def _flags_of(cls: type[Any]) -> set[str]:
    """Return the options that the library's classes declare as `True` or `False`."""
    return {
        name
        for base in cls.__mro__
        if base.__module__.startswith(_PACKAGE)
        for name in inspect.get_annotations(base)
        if isinstance(vars(base).get(name), bool)
    }


def _check_lists(endpoint: Any, name_of: str) -> None:
    """Refuse one thing where a list of such things is expected."""
    for name, what in _LISTS.items():
        value = getattr(endpoint, name, None)
        if isinstance(value, property) or value is None:
            continue
        is_many = hasattr(type(value), "__iter__") or hasattr(value, "middlewares")
        if isinstance(value, str | bytes) or not is_many:
            raise TypeError(
                f"{name_of}.{name} is {value!r}, it must be a list of {what}: "
                f"`{name} = [{_shown(value)}]`"
            )
        # Of an instance, too, would be for each connection; and no iterator is used up.
        if isinstance(endpoint, type) and isinstance(value, list | tuple):
            _check_items(name, value, f"{name_of}.{name}")


def _check_items(name: str, value: Any, where: str) -> None:
    """Refuse parts of a list that mean nothing there."""
    if name == "middleware":
        check_middleware(value)
    elif name == "validation_rules":
        for each in value:
            if not (isinstance(each, type) and issubclass(each, ASTValidationRule)):
                raise TypeError(f"{where} has {each!r} in it, it must be a list of {_LISTS[name]}")


def _shown(value: object) -> str:
    return str(getattr(value, "__name__", None) or repr(value))


_LISTS: Final[Mapping[str, str]] = {
    "middleware": "functions, or objects with `resolve`",
    "validation_rules": "classes of graphql-core's `ValidationRule`",
    "subprotocols": "names",
}


def _check_gap_policy(value: Any, name: str) -> None:
    if value not in get_args(GapPolicy):
        choices = ", ".join(map(repr, get_args(GapPolicy)))
        raise ValueError(f"{name} is {value!r}; it must be one of {choices}")


_CHECKS: Final[Mapping[str, Callable[[Any, str], None]]] = {
    "allowed_origins": check_allowed_origins,
    "data_loaders": check_data_loaders,
    "gap_policy": _check_gap_policy,
    "resolve_sync_in_threads": _check_threads,
    "trusted_proxies": check_networks,
}


def ranges_of(cls: type[Any]) -> dict[str, tuple[Range, bool]]:
    """Return the range of each numeric option, and whether it may be `None`."""
    found: dict[str, tuple[Range, bool]] = {}
    for base in reversed(cls.__mro__):
        # Only the library's own annotations: a user's may name what is not there at run time.
        if base.__module__.startswith(_PACKAGE):
            if base not in _declared:
                _declared[base] = _declared_ranges(base)
            found |= _declared[base]
    return found


# Classes come and go: `as_asgi(…)` makes one.
_declared: WeakKeyDictionary[type[Any], dict[str, tuple[Range, bool]]] = WeakKeyDictionary()


def _declared_ranges(base: type[Any]) -> dict[str, tuple[Range, bool]]:
    return {
        name: (each, type(None) in get_args(hint.__origin__))
        for name, hint in inspect.get_annotations(base, eval_str=True).items()
        for each in getattr(hint, "__metadata__", ())
        if type(each) is Range
    }


def with_options(cls: type[T], options: dict[str, Any]) -> type[T]:
    """Return a subclass with these options; hooks have to be overridden in a subclass.

    Raises:
        ValueError, TypeError: a value makes no sense, see `check_values`.
    """
    if not options:
        return cls
    # A function would become a method; options that are callables stay what they are.
    attributes = {
        name: staticmethod(value) if isroutine(value) else value for name, value in options.items()
    }
    subclass: Any = type(cls.__name__, (cls,), {"__module__": cls.__module__, **attributes})
    check_values(subclass)
    _declared_classes[subclass] = cls
    return subclass  # type: ignore[no-any-return]


_declared_classes: WeakKeyDictionary[type[Any], type[Any]] = WeakKeyDictionary()


def declared_class(cls: type[Any]) -> type[Any]:
    """Return the class as it was written, for one that `with_options` has made."""
    while cls in _declared_classes:
        cls = _declared_classes[cls]
    return cls


def core_schema(schema: Any) -> GraphQLSchema:
    """Return graphql-core's schema of an object that carries one.

    Raises:
        TypeError: it carries none.
    """
    if isinstance(schema, GraphQLSchema):
        return schema
    # Graphene has the first, Strawberry the second.
    for name in ("graphql_schema", "_schema", "schema"):
        carried = getattr(schema, name, None)
        if isinstance(carried, GraphQLSchema):
            return carried
    hint = (
        "pass a `graphene.Schema`, a `graphql.GraphQLSchema`, or an object that has one, or name "
        "it in the setting GRAPHENE"
    )
    if isinstance(schema, ModuleType):
        hint = f"it is a module; pass the schema that is in it, perhaps `{schema.__name__}.schema`"
    elif isinstance(schema, type) and hasattr(schema, "_meta"):
        hint = f"it is a type of one; pass `graphene.Schema(query={schema.__name__})`"
    elif isinstance(schema, str):
        hint = "it is a text; import the schema, and pass that"
    elif isinstance(schema, type) or isroutine(schema):
        hint = f"it has to be called; pass what `{schema.__name__}(…)` returns"
    raise TypeError(f"{schema!r} is not a schema; {hint}")


def _own_method(name: str) -> Callable[[Any], Any]:
    return lambda endpoint: getattr(endpoint, name) if overridden(endpoint, name) else None


def schema_of(endpoint: Any) -> GraphQLSchema:
    """Return the schema of an endpoint, or else the one that the setting GRAPHENE names.

    Raises:
        TypeError: it has none.
    """
    schema = getattr(endpoint, "schema", None)
    return core_schema(default_schema() if schema is None else schema)


def _middleware_of(endpoint: Any) -> Any:
    middleware = endpoint.middleware
    if middleware is None and endpoint.uses_graphene_settings:
        return default_middleware(schema_of(endpoint))
    return middleware


_SPECIAL: Final[Mapping[str, Callable[[Any], Any]]] = {
    # It may carry another one later.
    "schema": schema_of,
    "middleware": _middleware_of,
    # It may be a list that grows.
    "validation_rules": lambda endpoint: tuple(endpoint.validation_rules),
    "parse_document": _own_method("parse_document"),
    "validate_document": _own_method("validate_document"),
}


class SettingsReader(Generic[T]):
    """Reads a settings dataclass from an endpoint: each field is the option of its name.

    Args:
        kind: the dataclass.
        nested: fields of it that are settings dataclasses themselves.
    """

    def __init__(self, kind: type[T], **nested: type[Any]) -> None:
        own = [each.name for each in fields(kind) if each.name not in nested]  # type: ignore[arg-type]
        self._kinds = {None: (kind, own)} | {
            field: (inner, [each.name for each in fields(inner)])
            for field, inner in nested.items()
        }
        names = [name for _, names in self._kinds.values() for name in names]
        self._plain = [name for name in names if name not in _SPECIAL]
        self._special = {name: _SPECIAL[name] for name in names if name in _SPECIAL}
        self._read = attrgetter(*self._plain)

    def values(self, endpoint: Any) -> tuple[Any, ...]:
        """Return what the options are now: equal values make equal settings."""
        special = [read(endpoint) for read in self._special.values()]
        return (*self._read(endpoint), *special)

    def settings(self, values: tuple[Any, ...]) -> T:
        """Return the settings that are made of such values."""
        named = dict(zip((*self._plain, *self._special), values, strict=True))
        made = {
            field: inner(**{name: named[name] for name in names})
            for field, (inner, names) in self._kinds.items()
        }
        kind, names = self._kinds[None]
        parts = {field: part for field, part in made.items() if field is not None}
        return kind(**{name: named[name] for name in names}, **parts)

"""`Subscription`: declare hooks, mount with `Field()`, `broadcast()`, `unsubscribe()`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Coroutine, Sequence
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Self, TypeAlias, get_args

import graphene
from asgiref.sync import markcoroutinefunction
from graphene.types.objecttype import ObjectTypeOptions
from graphene.utils.props import props

from channels_graphql_ws.concurrency.fairness import note_end_of_rights
from channels_graphql_ws.exceptions import PayloadTypeError
from channels_graphql_ws.execution.permissions import BasePermission, Permissions
from channels_graphql_ws.pubsub.layers import destinations
from channels_graphql_ws.pubsub.outgoing import Outgoing
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.settings import project_settings
from channels_graphql_ws.subscription.calls import by_name, with_known_names
from channels_graphql_ws.subscription.declared_permissions import declared_permissions
from channels_graphql_ws.subscription.durable import Way, durable_sender
from channels_graphql_ws.subscription.field import COMPLETE, SKIP, Hook, SubscriptionField
from channels_graphql_ws.subscription.groups import layer_group
from channels_graphql_ws.subscription.names import (
    NEW_HOOKS,
    OLD_HOOKS,
    check_hook,
    check_meta,
    check_names,
    check_not_resumable,
    check_old_hook,
    check_returns,
    hook_named,
    is_users,
)
from channels_graphql_ws.subscription.sending import Addressed, AtCommit, AtOnce, sender
from channels_graphql_ws.subscription.trail import note_broadcast
from channels_graphql_ws.tally import tallies
from channels_graphql_ws.tracing import tracing

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Payload = TypeVar("Payload", default=Any)

    class _ObjectType(graphene.ObjectType, Generic[Payload]):
        """What type checkers see: Graphene's own base class has no parameter."""
else:
    Payload = Any
    # So that `_ObjectType[Payload]` is Graphene's class at run time.
    _ObjectType = {Payload: graphene.ObjectType}

GapPolicy: TypeAlias = Literal["tell", "end", "close", "ignore"]
"""What becomes of a subscription some of whose events were lost for good."""

QueuePolicy: TypeAlias = Literal["drop_oldest", "drop_newest", "close", "coalesce"]
"""What becomes of notifications that a client is too slow for."""


class SubscriptionOptions(ObjectTypeOptions):
    """What `Subscription._meta` holds."""

    arguments: dict[str, Any] | None = None
    output: type[graphene.ObjectType] | None = None
    subscribe: Hook | None = None
    publish: Hook | None = None
    unsubscribed: Hook | None = None
    initial: Hook | None = None
    filter_event: Hook | None = None
    context_id: Hook | None = None
    coalesce: Hook | None = None
    on_gap: Hook | None = None
    none_skips: bool = True
    own_names: frozenset[str] = frozenset()
    permissions: Permissions = ()


class Subscription(_ObjectType[Payload]):
    """Base of declared subscriptions: an ObjectType whose events are broadcast.

    Fields are declared as on any `graphene.ObjectType`, arguments in an inner class
    `Arguments`. The hooks may each be a static, class or plain method (a plain one gets
    its first argument as `self`), and each be sync or async:

    - `publish(payload, info, **arguments)`, required: returns the object to resolve the
      fields from, `SKIP` to keep this notification from this client, or `None` for the
      same unless the class says `none_skips=False`. `COMPLETE` ends the subscription.
    - `subscribe(root, info, **arguments)`: may refuse by raising, and returns the names of
      the groups to listen to, a list or tuple of strings, or `None`.
    - `initial(root, info, **arguments)`: returns the first event, as `publish` would. It
      is called when the groups are joined; notifications that come meanwhile wait.
    - `filter_event(payload, info, **arguments)`: returns for each client whether it gets this
      notification; without it, all do.
    - `context_id(root, info, **arguments)`: returns something hashable, or `None`. Clients
      with equal answers that ask for the same by the same document and variables in the
      same groups share: `publish` and the fields are executed once for all of them in a
      process, with an `info.context` that knows none of them. It is called after
      `subscribe`, which is called for each client, as `filter_event` is.
    - `on_gap(gap, info, **arguments)`: is called when events were lost for good, and returns
      an event to send in their place, as `publish` would: the present state, for example.
      `gap.missed` is their number, `None` if nobody knows it.
    - `unsubscribed(root, info, **arguments)`: is called once for each subscription that
      began, whatever ended it.

    One more is always sync, and only called by the policy "coalesce":

    - `coalesce(payload)`: returns a key, something hashable. Of notifications that wait
      with equal keys, only the newest is kept. `None`: this one is not to be replaced.

    Class keywords, or names in an inner class `Meta`: those of `graphene.ObjectType`,
    and `subscribe`, `publish`, `initial`, `filter_event`, `context_id`, `on_gap`,
    `unsubscribed`, `coalesce`, `output`, `arguments`, `none_skips`, `own_names`.
    An inner class `Output` names another type for the fields, as in `graphene.Mutation`.

    A method or attribute whose name looks like a misspelt one of these is refused when the
    class is made, unless it is listed in `own_names`.

    `Subscription[Order]` tells type checkers the type of the payload; it changes nothing
    at run time.
    """

    broadcast_on_commit: bool | None = None
    """Broadcast when the database transaction under way is committed, see `broadcast`. `None`:
    as `CHANNELS_GRAPHQL_WS["BROADCAST_ON_COMMIT"]` says, at once without it."""

    broadcast_durable: bool | None = None
    """Write each broadcast into the outbox, see `durable` of `broadcast`. `None`: as
    `CHANNELS_GRAPHQL_WS["BROADCAST_DURABLE"]` says, not without it."""

    notification_queue_limit: int | None = None
    """Notifications that may wait for one subscription; then `notification_queue_policy`
    decides. `None` or less than 1: the consumer's `subscription_notification_queue_limit`."""

    notification_queue_policy: QueuePolicy = "drop_oldest"
    """When as many wait as may: "drop_oldest" and "drop_newest" (which is the one that
    comes) lose one; "close" ends the subscription with an error; "coalesce" has replaced
    what it could all along, see the hook, and drops the oldest."""

    history_size: int = 0
    """Events that are kept for each group, so that a client which comes back gets what it
    has missed. 0: none are kept."""

    history_ttl: float = 300
    """Seconds after the last event of a group until its history is forgotten."""

    gap_policy: GapPolicy | None = None
    """When events of a subscription were lost for good: "tell" its client (`extensions.gap` of
    the next event, or of a message with `data: null` if there is none); "end" it with an error;
    "close" the connection with 1012, so that the client comes again; "ignore" it. `None`: as the
    consumer's `gap_policy` says. A class with an `on_gap` hook has that in place of a policy."""

    permission_classes: Sequence[type[BasePermission]] = ()
    """Who may subscribe, and gets an event: asked in this order when a client subscribes, and for
    each client and event. A client that lacks one is refused, or does not get the event."""

    resolve_sync_in_threads: bool | None = None
    """Run the synchronous hooks of this class in threads (`True`) or on the event loop
    (`False`). `None`: as the consumer does."""

    SKIP: Final = SKIP
    COMPLETE: Final = COMPLETE

    if TYPE_CHECKING:
        # What Graphene's metaclass makes at run time, and no type checker knows of.
        def __init__(self, *values: Any, **fields: Any) -> None: ...
        def __init_subclass__(cls, **options: Any) -> None: ...

    def __class_getitem__(cls, payload: object) -> type[Self]:
        """Return the class itself: the type of the payload is for type checkers."""
        del payload
        return cls

    @classmethod
    def __init_subclass_with_meta__(
        cls,
        subscribe: Hook | None = None,
        publish: Hook | None = None,
        unsubscribed: Hook | None = None,
        output: type[graphene.ObjectType] | None = None,
        arguments: dict[str, Any] | None = None,
        _meta: SubscriptionOptions | None = None,
        *,
        none_skips: bool = True,
        own_names: Collection[str] = (),
        **options: Any,
    ) -> None:
        """Take the options of the class.

        Raises:
            AssertionError: there is no `publish`.
            ValueError: there is no such queue policy, or it lacks its hook.
            TypeError: a name is misspelt, a method overrides what is not called here, a hook
                has a `yield`, or `permission_classes` are none.
        """
        _meta = _meta or SubscriptionOptions(cls)
        _meta.own_names = frozenset(own_names).union(*_inherited_own_names(cls))
        check_names(cls, _meta.own_names, Subscription)
        _meta.output = output or getattr(cls, "Output", None) or cls
        _meta.arguments = arguments or _arguments(cls)
        _meta.publish = publish or hook_named(cls, "publish")
        _meta.subscribe = subscribe or hook_named(cls, "subscribe")
        _meta.unsubscribed = unsubscribed or hook_named(cls, "unsubscribed")
        for name in NEW_HOOKS:
            setattr(_meta, name, _new_hook(cls, name, options.pop(name, None), _meta))
        _meta.none_skips = none_skips
        _meta.permissions = declared_permissions(cls, _meta)
        if _meta.publish is None:
            # The error that users of `graphene.Mutation` know for a missing `mutate`.
            raise AssertionError(
                f"Subscription {cls.__qualname__!r} must define a method 'publish(payload, info)'"
            )
        for name in OLD_HOOKS:
            if name not in _meta.own_names:
                check_old_hook(cls, name, getattr(_meta, name), _meta.arguments or {})
        check_not_resumable(cls, _meta.subscribe, _meta.publish)
        check_returns(cls, _meta)
        check_meta(cls, options)
        _check_flags(cls)
        _check_queue(cls, _meta.coalesce)
        _check_gap(cls, _meta.on_gap)
        super().__init_subclass_with_meta__(_meta=_meta, **options)

    @classmethod
    @with_known_names
    def Field(  # noqa: N802 (Graphene's name)
        cls,
        name: str | None = None,
        description: str | None = None,
        deprecation_reason: str | None = None,
        required: bool = False,  # noqa: FBT001, FBT002
    ) -> SubscriptionField:
        """Mount the subscription on the root type of a schema."""
        return SubscriptionField(
            cls,
            name=name,
            description=description or cls._meta.description,
            deprecation_reason=deprecation_reason,
            required=required,
        )

    @classmethod
    @by_name
    def broadcast(
        cls,
        *,
        group: str | None = None,
        payload: Payload | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
        durable: bool | None = None,
    ) -> asyncio.Future[None] | Any:
        """Notify all subscribers of the class or, with `group`, of that group.

        The payload is encoded here and now. With an event loop running in this thread
        the message is put on its way behind earlier ones, and a future is returned that
        may be awaited; a failure of one that is not is logged. Without an event loop the
        message is sent before this returns.

        Args:
            group: the group, `None` for all subscribers of the class.
            payload: what `publish` gets.
            on_commit: send it when the database transaction under way is committed, never
                if it is rolled back, and at once if there is none. A coroutine has to await
                this, as its transaction is in another thread. `None`: as the class says.
            using: the alias of the database with the transaction, by default the default one.
            durable: write it into the outbox in the transaction under way, and send it when that
                is committed: if this process cannot, or is killed, another one does. This needs
                the app `channels_graphql_ws.outbox`. `None`: as the class says.

        Raises:
            PayloadTypeError: the payload holds something that cannot be encoded.
            ChannelLayerError: no channel layer is configured.
            TypeError: `using` is of no use without `on_commit` or `durable`; or `durable` is
                contradicted by `on_commit=False`.
            ImproperlyConfigured: `durable`, and the app is not installed.
            DatabaseError: `durable`, and the row could not be written.
        """
        way = _broadcaster(cls, group, using, on_commit=on_commit, durable=durable)
        addressed = _broadcasts(cls, group, payload)
        tracer = tracing.tracer
        if tracer is None:
            return way.send(addressed)
        return tracer.broadcast(
            cls.__qualname__, _messages(addressed), partial(way.send, addressed)
        )

    @classmethod
    @by_name
    def broadcast_async(
        cls,
        *,
        group: str | None = None,
        payload: Payload | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
        durable: bool | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Do as `broadcast` does: encode at once; the awaiting sends.

        Raises:
            PayloadTypeError: the payload holds something that cannot be encoded.
            ChannelLayerError: no channel layer is configured.
            TypeError: `using` is of no use without `on_commit` or `durable`.
            ImproperlyConfigured: `durable`, and the app with the outbox is not installed.
        """
        way = _broadcaster(cls, group, using, on_commit=on_commit, durable=durable)
        addressed = _broadcasts(cls, group, payload)
        tracer = tracing.tracer
        if tracer is None:
            return _to_await(cls, "broadcast", way.send_async(addressed))
        sending = tracer.broadcast_async(
            cls.__qualname__, _messages(addressed), partial(way.send_async, addressed)
        )
        return _to_await(cls, "broadcast", sending)

    @classmethod
    @by_name
    def broadcast_sync(
        cls,
        *,
        group: str | None = None,
        payload: Payload | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
        durable: bool | None = None,
    ) -> None:
        """Do as `broadcast` does, in a thread where no event loop runs.

        Raises:
            PayloadTypeError: the payload holds something that cannot be encoded.
            ChannelLayerError: no channel layer is configured.
            RuntimeError: an event loop runs in this thread.
            TypeError: `using` is of no use without `on_commit` or `durable`.
            ImproperlyConfigured: `durable`, and the app with the outbox is not installed.
        """
        way = _broadcaster(cls, group, using, on_commit=on_commit, durable=durable)
        addressed = _broadcasts(cls, group, payload)
        tracer = tracing.tracer
        if tracer is None:
            way.send_sync(addressed)
        else:
            tracer.broadcast(
                cls.__qualname__, _messages(addressed), partial(way.send_sync, addressed)
            )

    @classmethod
    @by_name
    def unsubscribe(
        cls,
        *,
        group: str | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
    ) -> asyncio.Future[None] | Any:
        """End all subscriptions of the class or, with `group`, of that group.

        Notifications that were sent before are still delivered. See `broadcast` for
        the arguments, and for what is returned and raised.
        """
        return _sender(cls, using, on_commit=on_commit).send(_unsubscribes(cls, group))

    @classmethod
    @by_name
    def unsubscribe_async(
        cls,
        *,
        group: str | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Do as `unsubscribe` does, when awaited."""
        way = _sender(cls, using, on_commit=on_commit)
        return _to_await(cls, "unsubscribe", way.send_async(_unsubscribes(cls, group)))

    @classmethod
    @by_name
    def unsubscribe_sync(
        cls,
        *,
        group: str | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
    ) -> None:
        """Do as `unsubscribe` does, in a thread where no event loop runs."""
        _sender(cls, using, on_commit=on_commit).send_sync(_unsubscribes(cls, group))

    @classmethod
    @by_name
    def disconnect(
        cls,
        *,
        group: str | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
    ) -> asyncio.Future[None] | Any:
        """Close the connections that subscribe to the class or, with `group`, to that group.

        WebSockets are closed with 4403, event streams get an error, and end. Notifications that
        were sent before and have not been delivered are not any more. See `broadcast` for the
        arguments, and for what is returned and raised.
        """
        return _sender(cls, using, on_commit=on_commit).send(_disconnects(cls, group))

    @classmethod
    @by_name
    def disconnect_async(
        cls,
        *,
        group: str | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Do as `disconnect` does, when awaited."""
        way = _sender(cls, using, on_commit=on_commit)
        return _to_await(cls, "disconnect", way.send_async(_disconnects(cls, group)))

    @classmethod
    @by_name
    def disconnect_sync(
        cls,
        *,
        group: str | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
    ) -> None:
        """Do as `disconnect` does, in a thread where no event loop runs."""
        _sender(cls, using, on_commit=on_commit).send_sync(_disconnects(cls, group))


def _sender(
    cls: type[Subscription], using: str | None, *, on_commit: bool | None
) -> AtCommit | AtOnce:
    """Return what sends a broadcast: the call decides, then the class, then the setting."""
    if on_commit is None:
        on_commit = _said(cls.broadcast_on_commit)
    if on_commit is None:
        on_commit = project_settings.get("BROADCAST_ON_COMMIT")
    return sender(using, on_commit=bool(on_commit))


def _said(own: Any) -> bool | None:
    """Return what a class says by an attribute; a field or method of that name is the user's."""
    return None if own is None or is_users(own) else bool(own)


def _broadcaster(
    cls: type[Subscription],
    group: str | None,
    using: str | None,
    *,
    on_commit: bool | None,
    durable: bool | None,
) -> Way:
    """Return what sends a broadcast of this group, durable or not."""
    if durable is None:
        durable = _said(cls.broadcast_durable)
    if durable is None and project_settings.get("BROADCAST_DURABLE"):
        # Who wants a broadcast at once does not want it with the commit.
        at_once = on_commit is False or _said(cls.broadcast_on_commit) is False
        durable = not at_once
    if durable:
        return durable_sender(cls, group, using, on_commit=on_commit)
    return _sender(cls, using, on_commit=on_commit)


def _broadcasts(cls: type[Subscription], group: str | None, payload: object) -> list[Addressed]:
    try:
        data = Serializer.serialize(payload)
    except PayloadTypeError as error:
        if isinstance(payload, graphene.ObjectType):
            error.add_note(_OBJECT_TYPE)
        raise
    addressed = addressed_events(cls, group, data)
    tallies.of(cls.__qualname__).broadcasts += 1
    for layer, outgoing in addressed:
        note_broadcast(cls, group, layer, outgoing.message["group"])
    return addressed


def addressed_events(cls: type[Subscription], group: str | None, data: bytes) -> list[Addressed]:
    """Return the messages that carry an event to all destinations.

    Args:
        cls: the class.
        group: the group, `None` for all subscribers of the class.
        data: the payload, encoded.

    Raises:
        ChannelLayerError: no channel layer is configured.
        TypeError: the group is not a name.
    """
    return _outgoing(cls, group, {"type": "broadcast", "payload": data, "at": time.time()})


def _messages(addressed: Sequence[Addressed]) -> list[dict[str, Any]]:
    return [outgoing.message for _, outgoing in addressed]


_OBJECT_TYPE: Final = (
    "Broadcast what `publish` needs to make the object, such as a dict or a model: each client "
    "gets an object of its own"
)


def _unsubscribes(cls: type[Subscription], group: str | None) -> list[Addressed]:
    return _outgoing(cls, group, {"type": "unsubscribe"})


def _disconnects(cls: type[Subscription], group: str | None) -> list[Addressed]:
    note_end_of_rights()
    # A process with an older release ends the subscriptions only.
    return _outgoing(cls, group, {"type": "unsubscribe", "revokes": True})


def _to_await(
    cls: type[Subscription], call: str, coroutine: Coroutine[Any, Any, None]
) -> Coroutine[Any, Any, None]:
    """Name a coroutine so that Python's warning says what to do, if nobody awaits it."""
    named: Any = coroutine
    name = f"{cls.__qualname__}.{call}"
    named.__qualname__ = f"{name}_async (await it, or call {name})"
    return coroutine


def _outgoing(cls: type[Subscription], group: object, message: dict[str, Any]) -> list[Addressed]:
    if group is not None and not isinstance(group, str):
        advice = ": call this for each of them" if isinstance(group, list | tuple | set) else ""
        raise TypeError(f"group must be a string or None, not {group!r}{advice}")
    if cls is Subscription:
        raise TypeError("Nobody can subscribe to `Subscription` itself: use a subclass of it")
    sender = cls.__qualname__
    keep = history_of_class(cls) if message["type"] == "broadcast" else None
    return [
        (
            layer,
            Outgoing({**message, "group": layer_group(cls, prefix, group)}, sender, group, keep),
        )
        for layer, prefix in destinations()
    ]


def history_of_class(cls: type[Subscription]) -> tuple[int, float] | None:
    """Return how many events of a group are kept, and for how many seconds, if any are."""
    size: Any = cls.history_size
    # A field or method of that name is the user's.
    return (size, float(cls.history_ttl)) if type(size) is int and size > 0 else None


def gap_policy(cls: type[Subscription]) -> GapPolicy | None:
    """Return the policy of a class; `None` if it leaves that to the consumer."""
    policy: Any = cls.gap_policy
    return None if policy is None or is_users(policy) else policy


def _arguments(cls: type[Subscription]) -> dict[str, Any]:
    declared = getattr(cls, "Arguments", None)
    # Python adds names of its own, such as `__annotations__`.
    named = props(declared) if declared else {}
    return {name: value for name, value in named.items() if not name.startswith("__")}


def _new_hook(
    cls: type[Subscription], name: str, given: Hook | None, meta: SubscriptionOptions
) -> Hook | None:
    """Return a hook that the predecessor does not have, unless the name is the user's own."""
    found = given or (None if name in meta.own_names else hook_named(cls, name))
    if found is not None and name != "coalesce":
        check_hook(cls, name, found, meta.arguments or ())
    return found


def _inherited_own_names(cls: type[Subscription]) -> list[frozenset[str]]:
    metas = [vars(base)["_meta"] for base in cls.__mro__ if "_meta" in vars(base)]
    return [meta.own_names for meta in metas if isinstance(meta, SubscriptionOptions)]


def queue_limit(cls: type[Subscription]) -> int | None:
    """Return the limit of a class; `None` if it leaves that to the consumer."""
    limit: Any = cls.notification_queue_limit
    return None if limit is None or is_users(limit) else int(limit)


def queue_policy(cls: type[Subscription]) -> QueuePolicy:
    """Return the policy of a class."""
    policy: Any = cls.notification_queue_policy
    return "drop_oldest" if is_users(policy) else policy


def _check_flags(cls: type[Subscription]) -> None:
    for name in ("broadcast_on_commit", "broadcast_durable"):
        value = getattr(cls, name)
        if not (value is None or isinstance(value, bool) or is_users(value)):
            raise ValueError(
                f"Subscription {cls.__qualname__!r}: {name} is {value!r}; it must be `True`, "
                "`False` or `None`"
            )


def _check_queue(cls: type[Subscription], coalesce: Hook | None) -> None:
    where = f"Subscription {cls.__qualname__!r}: notification_queue"
    limit: Any = cls.notification_queue_limit
    if not (limit is None or isinstance(limit, int | float) or is_users(limit)):
        raise ValueError(f"{where}_limit is {limit!r}; it must be a number or `None`")
    _check_history(cls)
    policy = queue_policy(cls)
    if policy not in get_args(QueuePolicy):
        choices = ", ".join(map(repr, get_args(QueuePolicy)))
        raise ValueError(f"{where}_policy is {policy!r}; it must be one of {choices}")
    if policy != "coalesce":
        return
    if coalesce is None:
        raise ValueError(f"{where}_policy 'coalesce' needs a method 'coalesce(payload)'")
    if iscoroutinefunction(coalesce):
        raise ValueError(f"{where}_policy 'coalesce': the method 'coalesce' must not be async")


def _check_gap(cls: type[Subscription], on_gap: Hook | None) -> None:
    where = f"Subscription {cls.__qualname__!r}: gap_policy is {cls.gap_policy!r}"
    policy = gap_policy(cls)
    if policy not in (None, *get_args(GapPolicy)):
        choices = ", ".join(map(repr, get_args(GapPolicy)))
        raise ValueError(f"{where}; it must be one of {choices}")
    if policy is not None and on_gap is not None:
        raise ValueError(f"{where}, and there is an `on_gap` hook: decide for one of them")


def _check_history(cls: type[Subscription]) -> None:
    size: Any = cls.history_size
    ttl: Any = cls.history_ttl
    where = f"Subscription {cls.__qualname__!r}: history_"
    if not is_users(size) and (type(size) is not int or size < 0):
        raise ValueError(f"{where}size is {size!r}; it must be a whole number ≥ 0")
    is_number = isinstance(ttl, int | float) and not isinstance(ttl, bool)
    if not is_users(ttl) and not (is_number and ttl > 0):
        raise ValueError(f"{where}ttl is {ttl!r}; it must be a number of seconds > 0")


for _name in ("broadcast_async", "disconnect_async", "unsubscribe_async"):
    markcoroutinefunction(vars(Subscription)[_name].__func__)

"""Which subscriptions are alike: finds the subscriber that a client may share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, NamedTuple

from graphql import GraphQLSchema

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.concurrency.threads import context_of_nobody
from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.request import Subscribe
from channels_graphql_ws.json_text import dumps, loads
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.locale import Locale, current_locale
from channels_graphql_ws.subscription.queue import QueuedBytes
from channels_graphql_ws.subscription.shared import SharedSubscriber

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")


class SharingKey(NamedTuple):
    """What subscriptions have in common that get the same results."""

    hub: Hub
    schema: GraphQLSchema
    document: Document
    operation_name: str | None
    variables: str
    groups: tuple[str, ...]
    context_id: Hashable
    kind: Hashable
    locale: Locale


def sharing_key(
    plan: EventExecution,
    hub: Hub,
    schema: GraphQLSchema,
    document: Document,
    request: Subscribe,
    groups: Sequence[str],
) -> Eager[SharingKey | None]:
    """Ask the `context_id` hook; `None` if this client shares with nobody."""
    hook = plan.subscription_class._meta.context_id
    context_id: Any = yield from plan.call_once(hook, "A subscription to")
    if context_id is None:
        return None
    try:
        variables = dumps(request.variables)
        if request.variables and loads(variables) != request.variables:
            raise ValueError("there is something in the variables that is not JSON")
        locale = current_locale()
        like = SharingKey(
            hub,
            schema,
            document,
            request.operation_name,
            variables,
            tuple(groups),
            context_id,
            _kind(context_id),
            locale,
        )
        hash(like)
    # Variables that `on_operation` has put there, a `__hash__` of the user's: then alone.
    except Exception as error:  # noqa: BLE001
        log.warning(
            "Subscription %s is not shared: its `context_id` %r or its variables cannot be "
            "compared: %r",
            plan.name,
            context_id,
            error,
        )
        return None
    return like


def _kind(value: object) -> Any:
    """Return what tells equal values apart: `True` equals 1, and means something else."""
    if isinstance(value, tuple):
        return type(value), *map(_kind, value)
    if isinstance(value, frozenset):
        return type(value), frozenset((each, _kind(each)) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        compared = (each.name for each in fields(value) if each.compare)
        return type(value), *(_kind(getattr(value, name)) for name in compared)
    return type(value)


class SharedSubscribers:
    """The shared subscribers of one engine that take more members."""

    def __init__(self) -> None:
        self._subscribers: dict[SharingKey, SharedSubscriber] = {}

    def __len__(self) -> int:
        return len(self._subscribers)

    def get(
        self,
        like: SharingKey,
        plan: Callable[[], EventExecution],
        queue_limit: int,
        max_bytes: int | None,
    ) -> SharedSubscriber:
        """Return the shared subscriber of what is alike; make it if there is none.

        Args:
            like: what they have in common.
            plan: makes the execution of a new one.
            queue_limit: how many events may wait to be executed, in a new one.
            max_bytes: how many bytes of them may.
        """
        subscriber = self._subscribers.get(like)
        # One that has ended is forgotten, unless the hash of its `context_id` has changed.
        if subscriber is None or subscriber.is_ending:
            # A plan keeps the context variables that it finds: they would be one client's.
            context = context_of_nobody()
            context.run(like.locale.activate)
            fresh = context.run(plan)
            forget = partial(self._forget, like)
            queued = QueuedBytes(max_bytes)
            subscriber = SharedSubscriber(
                fresh, like.hub, like.groups, queue_limit, queued, forget
            )
            self._subscribers[like] = subscriber
        return subscriber

    def _forget(self, like: SharingKey, subscriber: SharedSubscriber) -> None:
        if self._subscribers.get(like) is subscriber:
            del self._subscribers[like]

"""Set a subscription up: its groups, whom it shares with, and its confirmation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import isasyncgen, isgenerator
from typing import Any
from uuid import UUID

from graphql import ExecutionResult

from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.execution.context import SharedContext
from channels_graphql_ws.execution.encoding import encode_result
from channels_graphql_ws.execution.errors import describe, log_errors
from channels_graphql_ws.execution.loaders import DataLoaders
from channels_graphql_ws.execution.masking import unavailable
from channels_graphql_ws.execution.protected_fields import selects_protected
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.json_text import loads
from channels_graphql_ws.operations.interfaces import (
    ActiveSubscription,
    Client,
    EngineSettings,
    PreparedOperation,
    Session,
)
from channels_graphql_ws.operations.permitting import ask_permissions
from channels_graphql_ws.operations.refusing import refuse
from channels_graphql_ws.operations.resuming import Resuming
from channels_graphql_ws.operations.thread_modes import ThreadModes
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.subscription import trail
from channels_graphql_ws.subscription.continuity import TELL, OnGap
from channels_graphql_ws.subscription.cursor import CursorCodec
from channels_graphql_ws.subscription.declaration import (
    Subscription,
    gap_policy,
    history_of_class,
    queue_limit,
)
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.field import Source
from channels_graphql_ws.subscription.generator import GeneratorSubscription
from channels_graphql_ws.subscription.groups import layer_group
from channels_graphql_ws.subscription.namesakes import refuse_namesakes
from channels_graphql_ws.subscription.patience import Patience
from channels_graphql_ws.subscription.queue import queue_for
from channels_graphql_ws.subscription.recovery import Recovery, Restored
from channels_graphql_ws.subscription.resumable import resumable_options
from channels_graphql_ws.subscription.run_watch import RunSubscription
from channels_graphql_ws.subscription.shared import SharedMember
from channels_graphql_ws.subscription.sharing_key import SharedSubscribers, SharingKey, sharing_key
from channels_graphql_ws.subscription.signals import SubscriptionSignals, has_receivers
from channels_graphql_ws.subscription.single import SingleSubscriber


class Subscribing:
    """Sets up the subscriptions of an engine.

    Args:
        settings: those of the engine.
        threads: where synchronous code of events runs.
    """

    def __init__(self, settings: EngineSettings, threads: ThreadModes) -> None:
        self.settings = settings
        self._threads = threads
        self._shared = SharedSubscribers()
        self._patience = Patience(settings.warn_operation_timeout, settings.event_timeout)
        self._resuming = Resuming(settings.group_name_prefix)
        self._confirmation: tuple[Mapping[str, Any] | None, str] = None, ""

    @property
    def shared_subscribers(self) -> int:
        """How many executions are shared by clients that are alike."""
        return len(self._shared)

    def start(self, asked: PreparedOperation, client: Client, session: Session) -> Eager[None]:
        """Set up and open a subscription, or tell the client why not."""
        execution = self._execution(asked, asked.context)
        is_class = isinstance(execution.source, Source)
        signals = _signals(asked, execution, client, session) if has_receivers() else None
        subscription: ActiveSubscription
        try:
            if is_class:
                subscription = yield from self._listen(asked, execution, client, session, signals)
            else:
                subscription = yield from self._iterate(asked, execution, client, session, signals)
        except Exception as error:  # noqa: BLE001 (the hook may raise anything)
            session.refused(client.request, error, asked.name)
            log_errors([error], execution.name, client.request.id, self.settings.mask)
            refusal = Refusal.SUBSCRIBE if is_class else Refusal.STREAM
            if unavailable(error) is not None:
                refusal = Refusal.UNAVAILABLE
            refuse(client, [describe(error, session.format_error)], refusal)
            return
        asked.request.release()
        execution.tally.subscribed += 1
        if signals is not None:
            signals.begin()
        subscription.open()

    def _execution(self, asked: PreparedOperation, context: Any) -> EventExecution:
        mode = self.settings.resolve_sync_in_threads
        execution = self._execution_in(asked, context, mode=mode)
        wish = _own_mode(execution)
        if wish is None or wish is mode:
            return execution
        return self._execution_in(asked, context, mode=wish)

    def _execution_in(
        self, asked: PreparedOperation, context: Any, *, mode: bool | None
    ) -> EventExecution:
        middleware, placements = self._threads.of(mode=mode)
        execution = EventExecution(
            asked.schema,
            asked.document,
            asked.operation,
            asked.request,
            context,
            middleware,
            placements=placements,
            compiles=self.settings.compile_operations,
        )
        if self.settings.data_loaders:
            loaders = getattr(context, "data_loaders", None)
            # A context of the user's own may have none.
            if isinstance(loaders, DataLoaders):
                execution.use_loaders(loaders)
        execution.patience = self._patience
        return execution

    def _listen(
        self,
        asked: PreparedOperation,
        execution: EventExecution,
        client: Client,
        session: Session,
        signals: SubscriptionSignals | None,
    ) -> Eager[SingleSubscriber | SharedMember]:
        """Set up a subscription to broadcasts."""
        hub = session.hub()
        if execution.permissions:
            yield from ask_permissions(execution, execution.permissions, client.request.id)
        hook = execution.subscription_class._meta.subscribe
        names = None
        if hook is not None:
            names = yield from execution.call_once(hook, "A subscription to")
        groups = self._groups(execution.subscription_class, names)
        refuse_namesakes(execution.subscription_class, groups[0])
        key = None
        if _may_share(asked, execution):
            key = yield from sharing_key(
                execution, hub, asked.schema, asked.document, asked.request, groups
            )
        subscription: SingleSubscriber | SharedMember
        if key is None:
            subscription = self._single_subscriber(execution, client, session, hub, groups)
        else:
            subscription = self._shared_member(asked, execution, client, session, key)
        subscription.on_gap = self._on_gap(execution, session)
        if signals is not None:
            signals.joined(name for name in names or () if name is not None)
            subscription.tell(signals)
        client.subscribed(subscription)
        try:
            recovery = self._recovery(asked, execution, hub, groups)
            must_wait = hub.listen(subscription.listener, groups)
            # Each once, as `groups` are; the first one has no name.
            named: dict[Any, None] = dict.fromkeys(names or ())
            named.pop(None, None)
            if named:
                hub.name_groups(dict(zip(groups[1:], named, strict=True)))
            if must_wait:
                yield hub.joined(groups)
            restored = None
            if recovery is not None:
                restored = yield self._restored(subscription, recovery, session)
            told = None if restored is None else _extensions(restored)
            self._confirm(client, session, told)
            trail.note_subscribed(execution.name, client.request.id, named)
        except Exception:
            yield from subscription.end()
            raise
        return subscription

    def _recovery(
        self, asked: PreparedOperation, execution: EventExecution, hub: Hub, groups: Sequence[str]
    ) -> Recovery | None:
        """Begin to follow the history, if there is one; to be called before it is listened."""
        keep = history_of_class(execution.subscription_class)
        if keep is None:
            return None
        cursor = (asked.request.extensions or {}).get("cursor")
        return Recovery(hub, groups, keep[1], cursor)

    @staticmethod
    async def _restored(
        subscription: SingleSubscriber | SharedMember, recovery: Recovery, session: Session
    ) -> Restored:
        """Begin where the client was, or where it is if it did not come back."""
        replays = session.replays

        def begin(restored: Restored) -> None:
            if isinstance(subscription, SharedMember):
                subscription.restore(Restored(recovery.places, None, ()), restored, replays)
            else:
                subscription.restore(restored, replays)

        if recovery.is_asked:
            return await replays.restore(recovery.restored, begin)
        restored = await recovery.restored()
        begin(restored)
        return restored

    def _on_gap(self, execution: EventExecution, session: Session) -> OnGap:
        if execution.subscription_class._meta.on_gap is not None:
            return OnGap(None)
        policy = gap_policy(execution.subscription_class) or self.settings.gap_policy
        return TELL if policy == "tell" else OnGap(policy, session.send_away)

    def _iterate(
        self,
        asked: PreparedOperation,
        execution: EventExecution,
        client: Client,
        session: Session,
        signals: SubscriptionSignals | None,
    ) -> Eager[GeneratorSubscription | RunSubscription]:
        """Set up a subscription to what the user's method yields."""
        subscription: GeneratorSubscription | RunSubscription
        options, told = resumable_options(execution.definition), None
        if options is None:
            source = yield from execution.call_once(execution.source, "A subscription to")
            subscription = GeneratorSubscription(
                execution, client, source, format_error=session.formatter, id=client.request.id
            )
        else:
            subscription = yield from self._resuming.begin(
                asked, execution, client, session, options
            )
            told = subscription.confirmation
        if signals is not None:
            subscription.tell(signals)
        client.subscribed(subscription)
        try:
            self._confirm(client, session, told)
        except Exception:
            yield from subscription.end()
            raise
        return subscription

    def _groups(self, subscription_class: type[Subscription], names: Any) -> tuple[str, ...]:
        """Return the groups that the `subscribe` hook has named, and that of the class.

        They are kept for each subscription: the garbage collector leaves a tuple of strings alone.
        """
        prefix = self.settings.group_name_prefix
        if names is None:
            return (layer_group(subscription_class, prefix, None),)
        if problem := _problem_of_names(names):
            raise AssertionError(
                f"Subscription {subscription_class.__qualname__!r}: method 'subscribe' returned "
                f"a value of an incorrect type{problem}; a list or tuple of strings, or None, "
                "was expected"
            )
        distinct = dict.fromkeys([None, *names])
        return tuple([layer_group(subscription_class, prefix, name) for name in distinct])

    def _single_subscriber(
        self,
        execution: EventExecution,
        client: Client,
        session: Session,
        hub: Hub,
        groups: Sequence[str],
    ) -> SingleSubscriber:
        return SingleSubscriber(
            execution,
            client,
            hub,
            groups,
            queue_limit=self._queue_limit(execution),
            queued=session.queued,
            format_error=session.formatter,
            id=client.request.id,
        )

    def _shared_member(
        self,
        asked: PreparedOperation,
        execution: EventExecution,
        client: Client,
        session: Session,
        key: SharingKey,
    ) -> SharedMember:
        limit = self._queue_limit(execution)
        subscriber = self._shared.get(
            key, lambda: self._execution_for_all(asked, key), limit, session.queued.limit
        )
        return SharedMember(
            subscriber,
            execution,
            client,
            queue_for(execution.subscription_class, limit, session.queued),
            format_error=session.formatter,
            id=client.request.id,
        )

    def _execution_for_all(self, asked: PreparedOperation, key: SharingKey) -> EventExecution:
        """Return an execution that has nothing of a client, not even mutable objects."""
        request = replace(asked.request, variables=loads(key.variables))
        items: dict[str, Any] = {"graphql_operation_name": key.operation_name}
        if self.settings.data_loaders:
            items["data_loaders"] = DataLoaders(self.settings.data_loaders)
        context = SharedContext(items)
        return self._execution(asked._replace(request=request), context)

    def _queue_limit(self, execution: EventExecution) -> int:
        own = queue_limit(execution.subscription_class)
        if own and own > 0:
            return own
        return max(1, self.settings.subscription_notification_queue_limit)

    def _confirm(
        self, client: Client, session: Session, extensions: dict[str, Any] | None = None
    ) -> None:
        """Tell the client that its subscription is live, if the consumer confirms."""
        if not self.settings.confirm_subscriptions:
            return
        message = self.settings.subscription_confirmation_message
        if extensions is not None:
            # One for each client: it says where that client is.
            confirmation = _confirmation(message, extensions)
            client.confirmed(encode_result(confirmation, session.format_error))
            return
        known, text = self._confirmation
        if known != message:
            result = _confirmation(message)
            text = encode_result(result, session.format_error)
            if not result.errors:
                self._confirmation = dict(message), text
        client.confirmed(text)


def _may_share(asked: PreparedOperation, execution: EventExecution) -> bool:
    """Return whether clients that are alike get the same results."""
    if execution.subscription_class._meta.context_id is None:
        return False
    return not selects_protected(asked.schema, asked.document, asked.operation)


def _signals(
    asked: PreparedOperation, execution: EventExecution, client: Client, session: Session
) -> SubscriptionSignals:
    is_class = isinstance(execution.source, Source)
    return SubscriptionSignals(
        session.send_signal,
        operation_id=client.request.id,
        operation_name=asked.name,
        subscription=execution.subscription_class if is_class else None,
        name=execution.name,
        context=asked.context,
        groups=[],
    )


def _confirmation(
    message: Mapping[str, Any], extensions: dict[str, Any] | None = None
) -> ExecutionResult:
    return ExecutionResult(message.get("data"), list(message.get("errors") or ()), extensions)


def _extensions(restored: Restored) -> dict[str, Any]:
    """Return what a confirmation says of the history."""
    cursor = CursorCodec(list(restored.places)).encode(restored.places)
    if restored.recovered is None:
        return {"cursor": cursor}
    return {"cursor": cursor, "recovered": restored.recovered}


def _own_mode(execution: EventExecution) -> bool | None:
    """Return what the Subscription class says of threads, `None` if it says nothing."""
    if not isinstance(execution.source, Source):
        return None
    own = getattr(execution.subscription_class, "resolve_sync_in_threads", None)
    # It may be a field, as of classes of the predecessor.
    return own if isinstance(own, bool) else None


def _problem_of_names(names: object) -> str | None:
    """Return what is wrong with the names of groups; `None` if nothing is."""
    if isgenerator(names) or isasyncgen(names):
        return f" {type(names).__name__!r}: `return [*groups]`, as nothing is yielded here"
    if not isinstance(names, (list, tuple)):
        return f" {type(names).__name__!r}"
    for index, name in enumerate(names):
        if not (isinstance(name, str) or name is None):
            # No `repr` of foreign objects, it may raise.
            shown = f"{name!r}, " if isinstance(name, int | float | bytes | UUID) else ""
            return f": [{index}] is {shown}an object of the type {type(name).__name__!r}"
    return None

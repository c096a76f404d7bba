"""Keep one connection alive: our pings, the time for pongs, and the hooks about both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.eager import Eager, is_awaitable, is_cancellation
from channels_graphql_ws.websocket.protocol import Effect, ServerProtocol, State

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

WAITING_LIMIT = 64
"""Pings and pongs that may wait for their hook before further ones are dropped."""


class KeepAliveOwner(Protocol):
    """The connection, as far as pings need it."""

    @property
    def is_full(self) -> bool:
        """Whether the client does not read what it is sent, or is not read itself."""
        ...

    @property
    def relieved(self) -> int:
        """How often the client, which did not read, has made room again."""
        ...

    def carry_out(self, effects: list[Effect]) -> None:
        """Do what the protocol has decided."""

    def run(self, work: Eager[None]) -> object:
        """Take steps on behalf of the connection."""

    def start_timeout(self, seconds: float, expired: Callable[[Any], None], owner: object) -> None:
        """Call `expired(owner)` later."""

    def stop_timeout(self, seconds: float, expired: Callable[[Any], None], owner: object) -> None:
        """Undo `start_timeout`."""

    def resume(self) -> None:
        """Have the running code be about the connection."""


class KeepAliveHooks(Protocol):
    """What is asked of the application about pings."""

    def ping_payload_now(self) -> Any:
        """Return the payload of a ping of ours."""
        ...

    def pinged(self, payload: Any) -> Any:
        """Return the payload of a pong, `None` for that of the ping. May be awaitable."""
        ...

    def ponged(self, payload: Any) -> Any:
        """Learn of a pong. May be awaitable."""
        ...

    def name_of(self, hook: str) -> str:
        """Return what to call a hook in the log."""
        ...


class KeepAlive:
    """Sends pings, notices that the client is gone, and calls hooks in the order of events.

    Args:
        protocol: decides what is sent.
        owner: the connection.
        hooks: the user's.
        every: seconds between pings; `None` sends none.
        timeout: seconds after a ping in which something must come; `None` waits for ever.
        at_once: send the first one with the acknowledgement, if the dialect does that.
    """

    __slots__ = (
        "_at_once",
        "_every",
        "_has_begun",
        "_hooks",
        "_owner",
        "_protocol",
        "_queue",
        "_timeout",
        "relieved",
    )

    def __init__(
        self,
        protocol: ServerProtocol,
        owner: KeepAliveOwner,
        hooks: KeepAliveHooks,
        *,
        every: float | None,
        timeout: float | None,
        at_once: bool = True,
    ) -> None:
        self._protocol = protocol
        self._owner = owner
        self._hooks = hooks
        self._every = every
        self._timeout = timeout
        self._at_once = at_once
        self._has_begun = False
        self.relieved: int | None = None
        """While a pong is waited for: how often the client had made room when we asked."""
        # What waits for a hook, while one is called; few users have any.
        self._queue: list[Eager[None]] | None = None

    def start(self) -> None:
        """Begin, once the client is acknowledged; harmless if it has begun."""
        if self._has_begun or not self._every or self._protocol.state is not State.READY:
            return
        self._has_begun = True
        if self._at_once and self._protocol.subprotocol.pings_at_once:
            self._ping()
        else:
            self._schedule()

    def stop(self) -> None:
        """End."""
        self.note_activity()
        if self._has_begun and self._every:
            self._owner.stop_timeout(self._every, KeepAlive._ping_due, self)
        if self._queue is not None:
            self._queue.clear()

    def note_activity(self) -> None:
        """Note that a frame has come: the client is there."""
        if self.relieved is not None and self._timeout:
            self.relieved = None
            self._owner.stop_timeout(self._timeout, KeepAlive._timed_out, self)

    def _schedule(self) -> None:
        assert self._every is not None, "it does not start without an interval"
        self._owner.start_timeout(self._every, KeepAlive._ping_due, self)

    def _ping_due(self) -> None:
        self._owner.resume()
        self._ping()

    def _ping(self) -> None:
        self._schedule()
        # A client that does not read is not sent more. The outbox watches it, as its pongs
        # are not read either; nor are those of one that has too much under way.
        if self._owner.is_full:
            return
        self._owner.carry_out(self._effects())
        expects_pong = self._timeout and self._protocol.subprotocol.expects_pong
        if expects_pong and self._timeout and self.relieved is None:
            self.relieved = self._owner.relieved
            self._owner.start_timeout(self._timeout, KeepAlive._timed_out, self)

    def _effects(self) -> list[Effect]:
        try:
            return self._protocol.ping_due(_object(self._hooks.ping_payload_now(), "ping_payload"))
        # It may be the user's method, and its result may have no JSON form.
        except Exception:
            log.exception("`ping_payload` failed: a ping goes without it")
            return self._protocol.ping_due()

    def _timed_out(self) -> None:
        self._owner.resume()
        relieved, self.relieved = self.relieved, None
        # Nothing is read of a client that does not read, its pong neither. What the server has
        # taken meanwhile is not a sign: it goes into the buffers of a dead peer's socket, too.
        if not self._owner.is_full and self._owner.relieved == relieved:
            self._owner.carry_out(self._protocol.pong_timed_out())

    def pinged(self, payload: Any) -> None:
        """Call the hook, and answer the ping."""
        self._put("on_ping", lambda: self._hooks.pinged(payload), partial(self._answer, payload))

    def ponged(self, payload: Any) -> None:
        """Call the hook."""
        self._put("on_pong", lambda: self._hooks.ponged(payload), lambda _: None)

    def _answer(self, payload: Any, answer: Any) -> None:
        own = _object(answer, "on_ping")
        effects = self._protocol.ping_answered(payload if own is None else own)
        self._owner.carry_out(effects)

    def _put(self, name: str, hook: Callable[[], Any], then: Callable[[Any], None]) -> None:
        call = self._call(name, hook, then)
        if self._queue is None:
            self._queue = [call]
            self._owner.run(self._work_off(self._queue))
        elif len(self._queue) < WAITING_LIMIT:
            self._queue.append(call)
        else:
            log.warning("A client sends pings faster than the hook takes them: one is lost")

    def _work_off(self, queue: list[Eager[None]]) -> Eager[None]:
        try:
            while queue:
                yield from queue.pop(0)
        finally:
            self._queue = None

    def _call(
        self, name: str, hook: Callable[[], Any], then: Callable[[Any], None]
    ) -> Eager[None]:
        try:
            answer: Any = hook()
            while is_awaitable(answer):
                answer = yield answer
            then(answer)
        # The user's code, or a payload without a JSON form.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            log.exception("%s failed", self._hooks.name_of(name))
            then(None)


def _object(payload: Any, name: str) -> Any:
    # Clients close the connection when a payload is anything else.
    if payload is None or isinstance(payload, dict):
        return payload
    raise TypeError(f"`{name}` returned {payload!r}, it must return a dict or `None`")

"""KeepAlive of one connection: when ours are due, and the hooks that hear of the client's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from channels_graphql_ws.concurrency.eager import Eager, is_awaitable, is_cancellation
from channels_graphql_ws.websocket.protocol import Effect, ServerProtocol, State

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

WAITING_LIMIT = 64
"""KeepAlive and pongs that may wait for their hook before further ones go unheard."""


class KeepAliveOwner(Protocol):
    """The connection, as far as pings need it."""

    @property
    def is_full(self) -> bool:
        """Tell if the client does not read."""
        ...

    def carry_out(self, effects: list[Effect]) -> None:
        """Do what the protocol has decided."""

    def run(self, work: Eager[None]) -> object:
        """Take steps on behalf of the connection."""


class KeepAliveHooks(Protocol):
    """What is asked of the application about pings."""

    def ping_payload_now(self) -> Any:
        """Give the payload of a ping of ours."""
        ...

    def pinged(self, payload: Any) -> Any:
        """Give the payload of a pong, `None` for that of the ping. May be awaitable."""
        ...

    def ponged(self, payload: Any) -> Any:
        """Learn of a pong. May be awaitable."""
        ...


class KeepAlive:
    """Sends pings, sees that the client is there, and calls hooks in the order of events."""

    def __init__(
        self,
        protocol: ServerProtocol,
        owner: KeepAliveOwner,
        hooks: KeepAliveHooks,
        loop: asyncio.AbstractEventLoop,
        *,
        every: float | None,
        timeout: float | None,
    ) -> None:
        self._protocol = protocol
        self._owner = owner
        self._hooks = hooks
        self._every = every
        self._timeout = timeout
        self._loop = loop
        self._next: asyncio.TimerHandle | None = None
        self._pong: asyncio.TimerHandle | None = None
        self._queue: list[Eager[None]] = []
        self._is_working = False

    def start(self) -> None:
        """Begin, once the client is acknowledged; harmless if it has begun."""
        if self._next is not None or not self._every or self._protocol.state is not State.READY:
            return
        if self._protocol.subprotocol.pings_at_once:
            self._ping()
        else:
            self._schedule()

    def stop(self) -> None:
        """End."""
        self.heard()
        if self._next is not None:
            self._next.cancel()
        self._queue.clear()

    def heard(self) -> None:
        """Any frame from the client shows that it is there."""
        if self._pong is not None:
            self._pong.cancel()
            self._pong = None

    def _schedule(self) -> None:
        assert self._every is not None, "who sends no pings does not start"
        self._next = self._loop.call_later(self._every, self._ping)

    def _ping(self) -> None:
        self._schedule()
        # A client that does not read is not sent ever more to read.
        if not self._owner.is_full:
            self._owner.carry_out(self._effects())
        expects_pong = self._timeout and self._protocol.subprotocol.expects_pong
        if expects_pong and self._timeout and self._pong is None:
            self._pong = self._loop.call_later(self._timeout, self._timed_out)

    def _effects(self) -> list[Effect]:
        try:
            return self._protocol.ping_due(_object(self._hooks.ping_payload_now(), "ping_payload"))
        # It may be the user's method, and what it gives may have no JSON form.
        except Exception:
            log.exception("`ping_payload` failed: a ping goes without it")
            return self._protocol.ping_due()

    def _timed_out(self) -> None:
        self._owner.carry_out(self._protocol.pong_timed_out())

    def pinged(self, payload: Any) -> None:
        """Have the hook asked, and the ping answered."""
        self._put(lambda: self._hooks.pinged(payload), partial(self._answer, payload))

    def ponged(self, payload: Any) -> None:
        """Have the hook told."""
        self._put(lambda: self._hooks.ponged(payload), lambda _: None)

    def _answer(self, payload: Any, answer: Any) -> None:
        given = _object(answer, "on_ping")
        effects = self._protocol.ping_answered(payload if given is None else given)
        self._owner.carry_out(effects)

    def _put(self, hook: Callable[[], Any], then: Callable[[Any], None]) -> None:
        if len(self._queue) >= WAITING_LIMIT:
            log.warning("A client sends pings faster than the hook takes them: one is lost")
            return
        self._queue.append(self._call(hook, then))
        if not self._is_working:
            self._is_working = True
            self._owner.run(self._work_off())

    def _work_off(self) -> Eager[None]:
        try:
            while self._queue:
                yield from self._queue.pop(0)
        finally:
            self._is_working = False

    @staticmethod
    def _call(hook: Callable[[], Any], then: Callable[[Any], None]) -> Eager[None]:
        try:
            answer: Any = hook()
            while is_awaitable(answer):
                answer = yield answer
            then(answer)
        # The user's code, or a payload without a JSON form.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            log.exception("A hook about pings failed")
            then(None)


def _object(payload: Any, name: str) -> Any:
    # Clients close the connection when a payload is anything else.
    if payload is None or isinstance(payload, dict):
        return payload
    raise TypeError(f"`{name}` gave {payload!r}, it has to give a dict or `None`")

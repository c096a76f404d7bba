"""What the tests share: waiting without sleeping, ports, fakes."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable
from types import SimpleNamespace
from typing import Any

GUARD = 60.0
"""Seconds after which a wait has failed: a guard, never an assertion."""

_EAGER_TURNS = 100

_COUNTED = 2_000

# Below those that Linux and macOS give to whoever asks for any.
_PORTS = list(range(20_000, 32_000))


async def tick(turns: int = 1) -> None:
    """Let everything that is ready to run take its turn."""
    for _ in range(turns):
        await asyncio.sleep(0)  # noqa: TID251 (the one way to give up a turn)


class Iterations:
    """Counts the iterations of the running event loop.

    Attributes:
        number: of the present one.
    """

    def __init__(self) -> None:
        self.number = 0
        self._loop = asyncio.get_running_loop()
        self._count()

    def _count(self) -> None:
        self.number += 1
        if self.number < _COUNTED:
            self._loop.call_soon(self._count)


async def wait_until(condition: Callable[[], object], *, guard: float = GUARD) -> None:
    """Return as soon as `condition` holds; raise TimeoutError if it never does.

    What happens on this loop is seen within a few turns. Afterwards it must be another thread or
    process that is waited for: the loop stops turning at full speed and lets them work.
    """
    turns = 0
    async with asyncio.timeout(guard):
        while not condition():
            turns += 1
            if turns < _EAGER_TURNS:
                await tick()
            else:
                await asyncio.sleep(0.001)  # noqa: TID251 (a pause, see above)


async def leftover_tasks(known: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    """Return the tasks that live on beside the `known` ones and the current one.

    A task which was cancelled or has had its last answer needs a turn or two to end: it gets them.
    Signals about connections are sent in threads, where their receivers are not asynchronous.
    """
    left = _tasks_beside(known)
    if signals := {task for task in left if "ConnectionSignals._send_all" in repr(task)}:
        await asyncio.wait(signals, timeout=GUARD)
        left = _tasks_beside(known)
    for _ in range(5):
        if not left:
            break
        await tick()
        left = _tasks_beside(known)
    return left


def _tasks_beside(known: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - known - {asyncio.current_task()}


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses right now, and another one each time.

    The system gives none of them to a connection or to a server that takes any port: one that is
    stopped and started again finds its port free.
    """
    while True:
        # The seed of `random` is the same in each process of a test run.
        port = secrets.choice(_PORTS)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            _PORTS.remove(port)
            return port


class FakeLayer:
    """A channel layer which can be slow, fail and forget, and which counts its calls.

    Every call gives up a turn, so that whatever can come in between does come in between.
    It is to be made on the event loop that receives; sending works from any.

    Attributes:
        groups: the members of each group.
        calls: how often each method was called.
        errors: method name to what a call of it raises, for as long as it is there.
        proves_joins: whether `group_add` returns only when the channel is in the group.
    """

    proves_joins = True

    def __init__(self, group_expiry: float = 86_400) -> None:
        self.group_expiry = group_expiry
        self.groups: defaultdict[str, set[str]] = defaultdict(set)
        self.calls: Counter[str] = Counter()
        self.errors: dict[str, Exception] = {}
        self.sent: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._loop = asyncio.get_running_loop()
        self._held: dict[str, asyncio.Event] = {}
        self._queues: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)

    def hold(self, method: str) -> None:
        """Let calls of a method take until `release`."""
        self._held[method] = asyncio.Event()

    def release(self, method: str) -> None:
        """Let the calls of a method come to their end, those under way too."""
        self._held.pop(method).set()

    def forget(self) -> None:
        """Lose all groups, as a Redis does that is started anew."""
        self.groups.clear()

    def put(self, channel: str, message: object) -> None:
        """Let `receive` give a message, or raise it if it is an exception."""
        self._loop.call_soon_threadsafe(self._queues[channel].put_nowait, message)

    async def new_channel(self, prefix: str = "specific") -> str:
        await self._called("new_channel")
        return f"{prefix}.fake!{self.calls['new_channel']}"

    async def receive(self, channel: str) -> dict[str, Any]:
        self.calls["receive"] += 1
        await tick()
        message = await self._queues[channel].get()
        if isinstance(message, Exception):
            raise message
        return message

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._called("send")
        self.put(channel, message)

    async def group_add(self, group: str, channel: str) -> None:
        await self._called("group_add")
        self.groups[group].add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self._called("group_discard")
        self.groups[group].discard(channel)
        if not self.groups[group]:
            del self.groups[group]

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await self._called("group_send")
        self.sent.append(message)
        for channel in self.groups.get(group, ()):
            self.put(channel, message)

    async def _called(self, method: str) -> None:
        self.calls[method] += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await tick()
            if method in self._held:
                await self._held[method].wait()
            if method in self.errors:
                raise self.errors[method]
        finally:
            self._at_once -= 1


class FakeListener:
    """Who listens at a hub: keeps what it heard, in `END` that it is over."""

    END = "END"
    REVOKED = "REVOKED"

    def __init__(self, owner: Hashable = None) -> None:
        self.owner = owner
        self.heard: list[Any] = []
        self._waiting: deque[Any] = deque()

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def offer(self, notification: Any) -> bool:
        self._waiting.append(notification)
        return len(self._waiting) == 1

    def finish(self) -> bool:
        return self.offer(None)

    def revoke(self) -> None:
        self.heard.append(self.REVOKED)

    def lost(self, missed: int | None, serial: int) -> bool:
        del serial
        return self.offer(SimpleNamespace(payload=lambda: ("lost", missed)))

    def run_next(self) -> bool:
        notification = self._waiting.popleft()
        self.heard.append(self.END if notification is None else notification.payload())
        return bool(self._waiting)

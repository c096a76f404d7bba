"""Runs: generators that go on while their clients are away, and what they have yielded.

A run belongs to the event loop that began it. It is the only client of its generator, keeps the
results in a buffer, and any number of watchers read from there, each at its own pace.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.threads import context_of_nobody
from channels_graphql_ws.execution.limits import exceeded
from channels_graphql_ws.execution.request import JsonObject, Refusal
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.shutdown import CLOSE_TIMEOUT, connections_of_loop, remaining
from channels_graphql_ws.subscription.generator import GeneratorSubscription
from channels_graphql_ws.subscription.resumable import Resumable
from channels_graphql_ws.subscription.run_cursor import TOKEN_BYTES

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

PAGE_EVENTS: Final = 64
"""Most events that a watcher takes at once."""

PAGE_BYTES: Final = 262_144
"""Bytes of results after which a page has no further event."""


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """Runs of resumable generators that are held in this process.

    Attributes:
        watched: those that a client reads, wherever it is connected.
        waiting: those whose clients are away, and may come back.
        finished: those of both kinds whose generator has come to its end.
        events: results that are kept for clients.
        bytes: their size.
    """

    watched: int
    waiting: int
    finished: int
    events: int
    bytes: int


class RunOwner(NamedTuple):
    """Who has begun a run, or wants to watch one.

    Attributes:
        identity: the user, or else the session; `None` for nobody. Only the same may watch.
        share: whose runs are counted together; `None`: they are not.
        is_known: whether it is a user, or has an address of its own.
    """

    identity: str | None
    share: Hashable
    is_known: bool


class RunEnd(NamedTuple):
    """How a run has ended.

    Attributes:
        errors: what it has failed with; none if it is complete.
        is_lost: nobody knows how it has ended: its process has, for example.
    """

    errors: Sequence[JsonObject] = ()
    is_lost: bool = False


COMPLETE: Final = RunEnd()
LOST: Final = RunEnd(is_lost=True)


_closing: set[asyncio.Task[None]] = set()
"""Held here, or the garbage collector may end one half-way."""


class Page(NamedTuple):
    """Some events of a run, in order.

    Attributes:
        begins: the number of events before the first of these.
        texts: their results, as JSON text.
        end: set behind the last event of a run that has ended.
    """

    begins: int
    texts: Sequence[str] = ()
    end: RunEnd | None = None

    @property
    def says_nothing(self) -> bool:
        """Return whether there is nothing to tell a client."""
        return not self.texts and self.end is None


class Watcher(Protocol):
    """Reads from a run.

    Attributes:
        position: how many of its events it has had.
    """

    position: int

    def notify(self) -> None:
        """Learn that there may be something to read."""
        ...


class Feed(Protocol):
    """Where a subscription gets the events of a run from, in this process or another one."""

    async def after(self, position: int) -> Page:
        """Wait for events behind those that the client has had, or for the end."""
        ...

    def leave(self, position: int, *, stops: bool) -> asyncio.Task[None] | None:
        """Read no more; to be called once.

        Args:
            position: how many events the client has had.
            stops: the client wants no more: the run ends, if nobody else watches.

        Returns:
            The task that ends the run.
        """
        ...


class Lease(Protocol):
    """What a run keeps of the session that has begun it.

    Attributes:
        hub: leads to other processes; `None` without a channel layer.
        reaches_others: whether there may be other processes that it leads to.
    """

    hub: Hub | None
    reaches_others: bool

    async def close(self) -> None:
        """Give it back."""
        ...


class Door(Protocol):
    """Where watchers in other processes ask for runs."""

    def acquire(self) -> None:
        """Open it, until as many calls of `release`."""
        ...

    def release(self) -> None:
        """Close it behind the last run."""
        ...


class Run:
    """One call of a generator: the client of a `GeneratorSubscription`.

    Args:
        host: holds it.
        options: of the generator.
        owner: who has begun it.
        mark: tells the operation from others.
    """

    def __init__(self, host: RunHost, options: Resumable, owner: RunOwner, mark: bytes) -> None:
        self.id = secrets.token_bytes(TOKEN_BYTES)
        self.owner = owner
        self.mark = mark
        self.options = options
        self.end: RunEnd | None = None
        self.watchers: dict[Watcher, None] = {}
        self.closing: asyncio.Task[None] | None = None
        self.lease: Lease | None = None
        self.door: Door | None = None
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._texts: deque[str] = deque()
        self._size = 0
        self._trimmed = 0
        # How many events the watcher had that had most.
        self._taken = 0
        self._room: asyncio.Event | None = None
        self._drained = asyncio.Event()
        self._generator: GeneratorSubscription | None = None
        self._timer: asyncio.TimerHandle | None = None

    def take(self, generator: GeneratorSubscription) -> None:
        """Take the generator, before `open`."""
        self._generator = generator

    def open(self) -> None:
        """Begin to iterate, unless it has ended already."""
        if self._generator is not None:
            self._generator.open()

    @property
    def length(self) -> int:
        """How many events there were."""
        return self._trimmed + len(self._texts)

    @property
    def kept(self) -> tuple[int, int]:
        """How many events are kept, and how many bytes they have."""
        return len(self._texts), self._size

    def ready(self) -> Awaitable[None] | None:
        """Return what to wait for before the next result, or `None`."""
        return self._has_room() if self._is_full() else None

    def next(self, result: str) -> None:
        """Keep a result, and tell those who watch."""
        self._texts.append(result)
        self._size += _size(result)
        self._notify()

    def next_at_once(self, result: str) -> bool:
        """Return `False`: results have no shorter way here."""
        del result
        return False

    def completed(self) -> None:
        """Say that there are no more results."""
        self._finish(COMPLETE)

    def failed(self, errors: Sequence[JsonObject], refusal: Refusal) -> None:
        """Say that the generator has failed."""
        del refusal
        self._finish(RunEnd([dict(each) for each in errors]))

    def revoke(self, reason: str) -> None:
        """End, and show nothing more: the rights of the owner have ended."""
        error = {"message": reason, "extensions": {"code": "RIGHTS_ENDED"}}
        self.close_soon(RunEnd([error]))

    async def drain(self, timeout: float) -> None:
        """End with the process.

        Clients are sent to other processes meanwhile, which may ask for the rest from there: as
        long as the time allows, the generator may come to its end, and somebody take it.

        Args:
            timeout: seconds until it is cancelled.
        """
        try:
            if self.lease is not None and self.lease.reaches_others and not self._is_drained:
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        await self._drained.wait()
        finally:
            closing = self.close_soon(LOST)
        await asyncio.wait([closing])

    @property
    def _is_drained(self) -> bool:
        return self.end is not None and not self.watchers and self._taken >= self.length

    def page(self, position: int) -> Page:
        """Return what there is behind a position."""
        if self.closing is not None:
            return Page(position, (), self.end)
        begins = max(position, self._trimmed)
        texts: list[str] = []
        size, index = 0, begins - self._trimmed
        while index < len(self._texts) and len(texts) < PAGE_EVENTS and size < PAGE_BYTES:
            texts.append(self._texts[index])
            size += _size(texts[-1])
            index += 1
        return Page(begins, texts, self.end if index >= len(self._texts) else None)

    def watch(self, watcher: Watcher) -> None:
        """Let somebody read, until `leave`."""
        self.watchers[watcher] = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def moved(self) -> None:
        """Learn that a watcher has read on."""
        if self._room is not None and not self._is_full():
            self._room.set()
            self._room = None

    def leave(self, watcher: Watcher, *, stops: bool) -> asyncio.Task[None] | None:
        """Let nobody read for this watcher any more; return the task that ends the run."""
        if self.closing is not None or watcher not in self.watchers:
            return self.closing
        del self.watchers[watcher]
        self._taken = max(self._taken, watcher.position)
        if not self.watchers:
            if stops:
                return self.close_soon(LOST)
            self._timer = self._loop.call_later(
                self.options.resume_for, self.close_soon, LOST, context=context_of_nobody()
            )
        self.moved()
        self._look_if_drained()
        return None

    def close_soon(self, end: RunEnd) -> asyncio.Task[None]:
        """Forget everything, and end the generator; return the task that does that."""
        if self.closing is None:
            self._host.runs.pop(self.id, None)
            self.closing = self._loop.create_task(self._close(), context=context_of_nobody())
            _closing.add(self.closing)
            self.closing.add_done_callback(_closing.discard)
            self._texts.clear()
            self.end = self.end or end
            if self._timer is not None:
                self._timer.cancel()
            self._notify()
            self.watchers.clear()
        return self.closing

    async def _close(self) -> None:
        generator, self._generator = self._generator, None
        try:
            async with asyncio.timeout(remaining(CLOSE_TIMEOUT)):
                rest = None if generator is None else eager.start(generator.end())
                if rest is not None:
                    await rest
        except TimeoutError:
            log.warning("Gave up waiting for the end of a generator whose clients are gone")
        finally:
            connections_of_loop().discard(self)
            if self.door is not None:
                self.door.release()
            if self.lease is not None:
                await self.lease.close()

    def _finish(self, end: RunEnd) -> None:
        """Take the end of the generator, unless it was ended from outside."""
        self._generator = None
        if self.end is None:
            self.end = end
            self._notify()
            self._look_if_drained()

    def _notify(self) -> None:
        for watcher in list(self.watchers):
            watcher.notify()

    def _look_if_drained(self) -> None:
        if self._is_drained:
            self._drained.set()

    async def _has_room(self) -> None:
        while self._is_full():
            self._room = self._room or asyncio.Event()
            await self._room.wait()

    def _is_full(self) -> bool:
        """Make room for one more event; return whether that is impossible."""
        options, texts = self.options, self._texts
        while len(texts) >= options.max_events or self._size >= options.max_bytes:
            if self._trimmed >= self._first_needed():
                return True
            self._size -= _size(texts.popleft())
            self._trimmed += 1
        return False

    def _first_needed(self) -> int:
        """Return how many events nobody will ask for again.

        A client that is away may not have got the last ones that were sent to it.
        """
        if self.watchers:
            return min(watcher.position for watcher in self.watchers)
        return self._taken - self.options.max_events // 2


class LocalFeed:
    """The feed of a client in the process of its run."""

    def __init__(self, run: Run, position: int) -> None:
        self.position = position
        self._run = run
        self._news = asyncio.Event()
        run.watch(self)

    def notify(self) -> None:
        """Learn that there may be something to read."""
        self._news.set()

    async def after(self, position: int) -> Page:
        """Wait for events behind those that the client has had, or for the end."""
        self.position = position
        self._run.moved()
        while (page := self._run.page(position)).says_nothing:
            self._news.clear()
            await self._news.wait()
        return page

    def leave(self, position: int, *, stops: bool) -> asyncio.Task[None] | None:
        """Read no more, see `Feed`."""
        self.position = position
        return self._run.leave(self, stops=stops)


class RunHost:
    """The runs of one event loop. See `runs_of_loop`."""

    def __init__(self) -> None:
        self.token = secrets.token_bytes(TOKEN_BYTES)
        self.runs: dict[bytes, Run] = {}

    def add(self, options: Resumable, owner: RunOwner, mark: bytes) -> Run:
        """Make a run.

        Raises:
            GraphQLError: there are as many as there may be.
        """
        alike = [run for run in self.runs.values() if run.options is options]
        self._make_place(alike, options, owner)
        limit = options.runs_per_process
        running = [run for run in alike if run.closing is None]
        if not owner.is_known:
            # Anybody may be any number of them: the rest is for users, and for who has an address.
            limit -= limit // 2
            running = [run for run in running if not run.owner.is_known]
        if len(running) >= limit:
            text = "There is no room for another run of this subscription: try again later"
            raise exceeded("runs_per_process", limit, text)
        run = Run(self, options, owner, mark)
        self.runs[run.id] = run
        connections_of_loop().add(run)
        return run

    def _make_place(self, alike: Sequence[Run], options: Resumable, owner: RunOwner) -> None:
        limit = options.runs_per_user
        mine = [run for run in alike if owner.share is not None and run.owner.share == owner.share]
        if len(mine) < limit:
            return
        unwatched = next((run for run in mine if not run.watchers), None)
        if unwatched is None:
            text = f"There are {limit} runs of this subscription already: end one of them"
            raise exceeded("runs_per_user", limit, text)
        unwatched.close_soon(LOST)

    def find(self, id: bytes, position: int, identity: str | None, mark: bytes) -> Run | None:
        """Return a run that has come as far, if it may be watched."""
        run = self.runs.get(id)
        if run is None or run.owner.identity != identity or run.mark != mark:
            return None
        return run if position <= run.length else None


_hosts: WeakKeyDictionary[asyncio.AbstractEventLoop, RunHost] = WeakKeyDictionary()


def runs_of_loop() -> RunHost:
    """Return the runs of the running event loop."""
    loop = asyncio.get_running_loop()
    host = _hosts.get(loop)
    if host is None:
        host = _hosts[loop] = RunHost()
    return host


def run_statistics() -> RunStatistics:
    """Count the runs of this process. May be called from any thread."""
    held = [run for host in list(_hosts.values()) for run in list(host.runs.values())]
    watched = sum(bool(run.watchers) for run in held)
    return RunStatistics(
        watched=watched,
        waiting=len(held) - watched,
        finished=sum(run.end is not None for run in held),
        events=sum(run.kept[0] for run in held),
        bytes=sum(run.kept[1] for run in held),
    )


def is_of_process(token: bytes) -> bool:
    """Return whether an event loop of this process has that token."""
    return any(host.token == token for host in list(_hosts.values()))


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())

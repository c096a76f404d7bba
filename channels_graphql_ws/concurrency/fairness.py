"""Share a few places among many owners, so that one of them cannot keep all others waiting."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from time import monotonic
from typing import Final, NamedTuple, Protocol, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

from channels_graphql_ws.concurrency.shares import Shares
from channels_graphql_ws.concurrency.turnstile import Turnstile

MOST_LONG_EXECUTIONS: Final = 2
"""Long executions of one owner that are under way, or being encoded, before no more begin."""


class Owner(Turnstile):
    """One client, as far as others must not wait for it.

    Attributes:
        long_executions: how many wait for their next window on the event loop, or have just
            got it. Each of them may hold a large result.
        ends_rights: whether its code has ended rights, perhaps those that it has itself.
    """

    __slots__ = ("__weakref__", "_in_threads", "ends_rights", "long_executions")

    def __init__(self) -> None:
        super().__init__()
        self.ends_rights = False
        self.long_executions = 0
        self._in_threads: asyncio.Semaphore | None = None

    def in_threads(self, share: int) -> asyncio.Semaphore:
        """Return the places of executions in threads, each held until its result is sent.

        Args:
            share: how many there are.
        """
        if self._in_threads is None:
            self._in_threads = asyncio.Semaphore(share)
        return self._in_threads

    @property
    def is_full(self) -> bool:
        """Whether no more executions should begin."""
        return self.long_executions >= MOST_LONG_EXECUTIONS

    def rest(self) -> None:
        """Count a long execution that waits for its next window."""
        self.long_executions += 1

    def resume(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count it no more, unless it rests again in this iteration of the event loop."""
        loop.call_soon(self._resumed, loop)

    def _resumed(self, loop: asyncio.AbstractEventLoop) -> None:
        self.long_executions -= 1
        self.let_in(loop)


_owner: ContextVar[Owner | None] = ContextVar("channels_graphql_ws_owner", default=None)


def own() -> None:
    """Make the running code, and what it starts, the owner of the places that it takes."""
    _owner.set(Owner())


class Sharer(NamedTuple):
    """Whom the running code shares with, found out where that is needed.

    Attributes:
        key: returns what all of one user, or of one address, have in common; `None` if that is
            not known.
        room: returns something to wait for while the clients of that owner do not read.
    """

    key: Callable[[], Hashable]
    room: Callable[[], Awaitable[None] | None]


class Reader(Protocol):
    """A client, which may read nothing."""

    def room(self) -> Awaitable[None] | None:
        """Return something to wait for while it does not read."""
        ...


def room_of(client: Reader) -> Callable[[], Awaitable[None] | None]:
    """Return what asks a client for room as long as there is the client, and does not keep it."""
    weak = ref(client)

    def room() -> Awaitable[None] | None:
        found = weak()
        return None if found is None else found.room()

    return room


def share_as(sharer: Sharer) -> None:
    """Let the running code share with others of a user or an address.

    Its long executions go on in turn with theirs, and it takes threads of theirs.
    """
    _sharer.set(sharer)


def sharer() -> Sharer | None:
    """Return whom the running code shares with."""
    return _sharer.get()


_sharer: ContextVar[Sharer | None] = ContextVar("channels_graphql_ws_sharer", default=None)


_asked: ContextVar[Callable[[], Hashable] | None] = ContextVar(
    "channels_graphql_ws_belongs_to", default=None
)


def belong_to(key: Callable[[], Hashable]) -> None:
    """Let what the running code does count for others than those who began it.

    Args:
        key: returns for whom; `None`: for nobody.
    """
    _asked.set(key)


def current_key() -> Hashable:
    """Return for whom the running code counts, as it is known now.

    That is the user, or else the address; where neither is known, the connection. `None`: nobody.
    """
    asked = _asked.get()
    if asked is not None:
        return asked()
    sharing = _sharer.get()
    key = None if sharing is None else sharing.key()
    return _owner.get() if key is None else key


def owner() -> Owner:
    """Return whose places the running code takes: what nobody owns is an owner of its own."""
    owner, sharer = _owner.get(), _sharer.get()
    if owner is None and sharer is not None:
        owner = owner_named(sharer.key())
    return owner or Owner()


def owner_named(key: Hashable) -> Owner:
    """Return the owner that all have in common who ask for this key on this event loop.

    It lasts as long as somebody keeps it.
    """
    named = _named.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    return named.setdefault(key, Owner())


_named: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, Owner]] = (
    WeakKeyDictionary()
)


def known_owner() -> Owner | None:
    """Return whose places the running code takes, `None` if nobody's."""
    return _owner.get()


def note_end_of_rights() -> None:
    """Note that the running code ends rights: a mutation that ends its own is answered."""
    owner = _owner.get()
    if owner is not None:
        owner.ends_rights = True


def room_of_owner() -> Awaitable[None] | None:
    """Return something to wait for before the running code may begin another execution."""
    owner = _owner.get()
    if owner is None or owner.long_executions < MOST_LONG_EXECUTIONS:
        return None
    return owner.has_room()


class Place:
    """A place of one owner, given back once: from any thread, at its own end at the latest.

    Args:
        queue: whose place it is.
        owner: who has it.
    """

    __slots__ = ("_leave", "_loop", "_spent")

    def __init__(self, queue: FairQueue, owner: Hashable) -> None:
        self._spent: tuple[float, float] | None = None
        self._loop = asyncio.get_running_loop()
        # `pop` is atomic: only one thread takes it out and calls it.
        self._leave = [partial(queue.leave, owner)]

    def used(self, computed: float) -> None:
        """Note that it is not used any more.

        Args:
            computed: seconds of the processor that were spent with it.
        """
        self._spent = computed, monotonic()

    def leave(self) -> None:
        """Release it; harmless when repeated."""
        try:
            leave = partial(self._leave.pop(), self._spent)
        except IndexError:
            return
        if _running_loop() is self._loop:
            leave()
        else:
            with suppress(RuntimeError):  # The event loop is closed.
                self._loop.call_soon_threadsafe(leave)

    def __del__(self) -> None:
        # The thread that should have used it was cancelled before it began.
        if self._leave:
            self.leave()


_Waiting: TypeAlias = OrderedDict[object, OrderedDict[asyncio.Future[None], None]]
"""What waits of one owner, by its members."""

_NOBODY: Final[_Waiting] = OrderedDict()


class FairQueue:
    """Gives each owner its share of the places at most, and the next one to each in rotation.

    The members of an owner, such as the connections of a user, take turns, too: the next place
    that the owner gets goes to each of them in rotation. Belongs to one event loop.

    Args:
        places: how many there are.
        share: how many one owner may have; fewer at times, see `Shares`.

    Attributes:
        places: how many there are now.
    """

    __slots__ = ("_free", "_shares", "_taken", "_waiting", "places")

    def __init__(self, places: int, share: int) -> None:
        self.places = places
        # Less than none, where there were more places before.
        self._free = places
        self._shares = Shares(share)
        self._taken: dict[Hashable, int] = {}
        self._waiting: OrderedDict[Hashable, _Waiting] = OrderedDict()

    async def enter(self, owner: Hashable, member: Hashable = None) -> Place:
        """Wait for a place, and take it.

        Args:
            owner: whose place it is, from now on until it is left.
            member: for which of its members the owner takes it.
        """
        # All that wait have used up their share, as it was when they came.
        is_first = owner not in self._waiting
        if is_first and self._free > 0 and self._has_less_than_its_share(owner):
            self._take(owner)
            return Place(self, owner)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        members = self._waiting.setdefault(owner, OrderedDict())
        members.setdefault(member, OrderedDict())[granted] = None
        self._grant_all()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._forget(owner, member, granted)
            else:
                self.leave(owner)
            raise
        return Place(self, owner)

    def leave(self, owner: Hashable, spent: tuple[float, float] | None = None) -> None:
        """Take a place back, see `Place.leave`.

        Args:
            owner: whose it was.
            spent: seconds of the processor, and when it was used no more.
        """
        if spent is not None:
            computed, ended_at = spent
            self._shares.note(owner, computed, monotonic() - ended_at)
        self._taken[owner] -= 1
        if not self._taken[owner]:
            del self._taken[owner]
        self._free += 1
        self._grant_all()

    def resize(self, places: int, share: int) -> None:
        """Change the number of places and the share; nobody loses a place that it has."""
        self._free += places - self.places
        self.places, self._shares.most = places, share
        self._grant_all()

    def _grant_all(self) -> None:
        while self._grant_next():
            pass

    def _grant_next(self) -> bool:
        """Grant a free place to the next owner that may have it; return whether there is one."""
        while self._free > 0:
            next_owner = next(self._entitled(), None)
            if next_owner is None:
                return False
            granted = self._next_of(next_owner)
            # Many may be cancelled at once, and not have got to know of it yet.
            if not granted.done():
                self._take(next_owner)
                granted.set_result(None)
                return True
        return False

    def _next_of(self, owner: Hashable) -> asyncio.Future[None]:
        """Take out what waits first, and let other owners and members be next."""
        members = self._waiting[owner]
        member, waiting = next(iter(members.items()))
        granted, _ = waiting.popitem(last=False)
        if waiting:
            members.move_to_end(member)
        else:
            del members[member]
        if members:
            self._waiting.move_to_end(owner)
        else:
            del self._waiting[owner]
        return granted

    def _take(self, owner: Hashable) -> None:
        self._free -= 1
        self._taken[owner] = self._taken.get(owner, 0) + 1

    def _has_less_than_its_share(self, owner: Hashable) -> bool:
        return self._taken.get(owner, 0) < self._shares.of(owner)

    def _entitled(self) -> Iterator[Hashable]:
        # No more owners have their share than there are places: this looks at few.
        return (each for each in self._waiting if self._has_less_than_its_share(each))

    def _forget(self, owner: Hashable, member: Hashable, granted: asyncio.Future[None]) -> None:
        members = self._waiting.get(owner, _NOBODY)
        waiting = members.get(member)
        # Its turn may have come after it was cancelled, and before it got to know of that.
        if waiting is None or granted not in waiting:
            return
        del waiting[granted]
        if not waiting:
            del members[member]
            if not members:
                del self._waiting[owner]


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

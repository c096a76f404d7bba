"""Bytes of large results that clients have not taken: a bound for each user, address and process.

What is small is bounded for each connection, and never looked at here.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.operations.places import address_of, user_of

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

LARGE: Final = 65_536
"""Bytes of a result beyond which it is counted."""

GIVEN_UP_FOR: Final = 900.0
"""Seconds after which what a client has not read counts for the process only, if nothing has said
that it is gone. TCP waits for as long, on Linux, for a client that does not answer."""

_PROCESS: Final = object()

_GIVEN_UP: Final = object()

_NOT_TOLD: Final = object()

_UNKNOWN: Final = object()
"""Whose results those of clients are that have neither a user nor an address of their own."""


class UnsentOptions(Protocol):
    """The options of a consumer or view that say how much there may be."""

    max_unsent_bytes_per_user: int | None
    max_unsent_bytes_per_address: int | None
    max_unsent_bytes_per_process: int | None
    trusted_proxies: Sequence[str]


class _Limit(NamedTuple):
    key: Hashable
    most: int


class Ledger:
    """What is unsent on one event loop, and who waits for it to become less.

    Attributes:
        is_tight: whether there is a limit that is reached. While it is false, nobody has to
            wait.
    """

    __slots__ = ("_asked", "_full", "_is_waking", "_sizes", "_waiting", "is_tight")

    def __init__(self) -> None:
        self.is_tight = False
        self._sizes: Counter[Hashable] = Counter()
        self._full: set[_Limit] = set()
        self._waiting: OrderedDict[Unsent, None] = OrderedDict()
        self._asked: OrderedDict[Unsent, None] = OrderedDict()
        self._is_waking = False

    def add(self, size: int, keys: tuple[Hashable, ...], limits: tuple[_Limit, ...]) -> None:
        """Count bytes that are not sent yet."""
        for key in keys:
            self._sizes[key] += size
        self._full.update(each for each in limits if self._sizes[each.key] >= each.most)
        self.is_tight = bool(self._full)

    def remove(self, size: int, keys: tuple[Hashable, ...]) -> None:
        """Count them no more."""
        for key in keys:
            self._sizes[key] -= size
            if not self._sizes[key]:
                del self._sizes[key]
        self._full = {each for each in self._full if self.is_reached(each)}
        self.is_tight = bool(self._full)
        self.wake()

    def is_reached(self, limit: _Limit) -> bool:
        """Return whether there is as much as there may be; a single one may be larger."""
        size = self.size(limit.key)
        return size > 0 and size >= limit.most

    def size(self, key: Hashable) -> int:
        """Return how many bytes are unsent."""
        return self._sizes.get(key, 0)

    def has_any(self, key: Hashable) -> bool:
        """Return whether anything is unsent."""
        return key in self._sizes

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def join(self, account: Unsent) -> None:
        """Have an account woken when it has room, in its turn."""
        self._waiting.setdefault(account)
        self.wake()

    def ask(self, account: Unsent) -> None:
        """Have an account asked whether its client has read, if others wait for it."""
        self._asked.setdefault(account)
        self.wake()

    def stop_waiting(self, account: Unsent) -> None:
        """Wake an account no more."""
        self._waiting.pop(account, None)

    def leave(self, account: Unsent) -> None:
        """Forget an account."""
        self._waiting.pop(account, None)
        self._asked.pop(account, None)

    def wake(self) -> None:
        """Wake those that have room now, one after the other: each may use it up."""
        if self._waiting and not self._is_waking:
            self._is_waking = True
            asyncio.get_running_loop().call_soon(self._wake_next)

    def _wake_next(self) -> None:
        account = next((each for each in self._waiting if not each.is_full), None)
        if account is not None:
            if account.wake_next():
                self._waiting.move_to_end(account)
            else:
                del self._waiting[account]
        elif self._waiting and self._asked:
            asked, _ = self._asked.popitem(last=False)
            asked.ask()
        else:
            self._is_waking = False
            return
        # What was woken runs in the next iteration, before this function does.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._wake_next)


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Ledger] = WeakKeyDictionary()


def unsent_of_loop() -> Ledger:
    """Return the ledger of the running event loop, of which a process has one."""
    loop = asyncio.get_running_loop()
    ledger = _of_loops.get(loop)
    if ledger is None:
        ledger = _of_loops[loop] = Ledger()
    return ledger


class Unsent:
    """What one connection or request has not sent yet of its large results.

    Args:
        options: the limits, `None` for none. They are not kept: it would be a reference cycle.
        scope: of the connection or request, for the address and the user.

    Attributes:
        ledger: where it is counted.
        size: bytes.
        asks: finds out whether the client has taken what the server has, which says so only
            when it is given more; `None`: there is no way.
    """

    __slots__ = (
        "__weakref__",
        "_given_up",
        "_is_closed",
        "_keys",
        "_limits",
        "_mosts",
        "_proxies",
        "_scope",
        "_timer",
        "_user",
        "_waiting",
        "asks",
        "ledger",
        "size",
    )

    def __init__(self, options: UnsentOptions | None, scope: Mapping[str, Any]) -> None:
        self.ledger = unsent_of_loop()
        self.size = 0
        self.asks: Callable[[], None] | None = None
        self._is_closed = False
        self._waiting: OrderedDict[asyncio.Future[None], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._scope = scope
        self._user: Hashable = _NOT_TOLD
        self._mosts: tuple[int | None, ...] = ()
        self._proxies: Sequence[str] = ()
        if options is not None:
            self._mosts = (
                options.max_unsent_bytes_per_user,
                options.max_unsent_bytes_per_address,
                options.max_unsent_bytes_per_process,
            )
            self._proxies = options.trusted_proxies
        # Found out when there is a large result: most clients never get one.
        self._keys: tuple[Hashable, ...] = ()
        self._limits: tuple[_Limit, ...] = ()
        self._given_up: tuple[_Limit, ...] = ()

    def belong_to(self, user: Hashable) -> None:
        """Count it for another user from now on, `None` for nobody."""
        if self._is_given_up:
            return
        size = self.size
        self.give_back(size)
        self._user, self._keys = user, ()
        self.hold(size)

    def _find_owners(self) -> None:
        user = user_of(self._scope) if self._user is _NOT_TOLD else self._user
        # Whose nothing counts need not be known.
        address = address_of(self._scope, self._proxies) if self._mosts else None
        # The first one is the owner.
        owners = [key for key in (user, address) if key is not None] or [_UNKNOWN]
        self._keys = (*owners, _PROCESS)
        limits = zip((user, address, _PROCESS), self._mosts, strict=False)
        self._limits = tuple(
            _Limit(key, most) for key, most in limits if key is not None and most is not None
        )
        # Only those that count for the owner: others at its address have nothing to do with it.
        self._given_up = tuple(
            _Limit((_GIVEN_UP, key), most // 2) for key, most in self._limits if key == owners[0]
        )

    def owner(self) -> Hashable:
        """Return whose results these are: the user, or else the address; `None`: not known."""
        if not self._keys:
            self._find_owners()
        return None if self._keys[0] is _UNKNOWN else self._keys[0]

    def room(self) -> Awaitable[None] | None:
        """Return something to wait for before the next large result."""
        return self.has_room() if self.is_full else None

    @property
    def is_full(self) -> bool:
        """Whether the next large result should wait: but for the only one of its owner."""
        ledger = self.ledger
        if not ledger.is_tight or self._is_closed:
            return False
        if not self._keys:
            self._find_owners()
        if any(ledger.is_reached(each) for each in self._given_up):
            return True
        owner = self._keys[0]
        if not ledger.has_any(owner) and not ledger.has_any((_GIVEN_UP, owner)):
            return False
        return any(ledger.is_reached(each) for each in self._limits)

    @property
    def is_contended(self) -> bool:
        """Whether others wait for what is unsent here."""
        return self.ledger.is_awaited and self.is_full

    def hold(self, size: int) -> None:
        """Count bytes of a large result that is not sent yet."""
        if size and not self._is_closed:
            if not self._keys:
                self._find_owners()
            self.size += size
            self.ledger.add(size, self._keys, self._limits)

    def give_back(self, size: int) -> None:
        """Count them no more: they are sent, or forgotten; nothing that is not counted."""
        size = min(size, self.size)
        if size:
            self.size -= size
            self.ledger.remove(size, self._keys)

    def ask_later(self) -> None:
        """Have it asked whether the client has read, if others wait for that."""
        self.ledger.ask(self)

    def ask(self) -> None:
        """Find out whether the client has read."""
        if self.asks is not None:
            self.asks()

    async def has_room(self) -> None:
        """Wait until the next large result may be made."""
        loop = asyncio.get_running_loop()
        is_first = True
        while self.is_full:
            if self._waiting is None:
                self._waiting = OrderedDict()
            waiting, future = self._waiting, loop.create_future()
            waiting[future] = None
            # Another one was faster: it stays in front of those that came behind it.
            waiting.move_to_end(future, last=is_first)
            is_first = False
            self.ledger.join(self)
            try:
                await future
            finally:
                # Who gives up leaves nothing behind: there may be any number of them.
                waiting.pop(future, None)
                if not waiting:
                    self.ledger.stop_waiting(self)

    def wake_next(self) -> bool:
        """Wake what waits first; return whether anything else may wait."""
        while self._waiting:
            future, _ = self._waiting.popitem(last=False)
            if not future.done():
                future.set_result(None)
                break
        return bool(self._waiting)

    def abandon(self) -> None:
        """Let nobody wait for the client any more: it does not read, and is sent away.

        The server may keep what is unsent, so that it counts until `close`: for the process, and
        for 15 minutes for its owner, apart from the rest. While that is half of what the owner may
        have, its next large results wait, even if nothing else of it is unsent.
        """
        if self._is_closed or self._is_given_up:
            return
        if not self._keys:
            self._find_owners()
        owner, limits = self._keys[0], self._given_up
        was_full = any(self.ledger.is_reached(each) for each in limits)
        self._count_as((self, (_GIVEN_UP, owner), _PROCESS), limits)
        if not was_full and any(self.ledger.is_reached(each) for each in limits):
            log.warning(
                "Of %r %d bytes are given up that were not read: its large results wait until "
                "they are gone, or for %d minutes",
                owner,
                self.ledger.size(limits[0].key),
                GIVEN_UP_FOR // 60,
            )
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(GIVEN_UP_FOR, self._forgive)
        while self.wake_next():
            pass

    @property
    def _is_given_up(self) -> bool:
        return self in self._keys

    def _forgive(self) -> None:
        """Count it for the process only: its owner may be another one behind the same address."""
        self._count_as((self, _PROCESS), ())

    def _count_as(self, keys: tuple[Hashable, ...], limits: tuple[_Limit, ...]) -> None:
        """Count what is given up elsewhere; nothing waits for it here any more."""
        size = self.size
        self.give_back(size)
        self._keys, self._limits, self._given_up = keys, (), ()
        if size:
            self.size = size
            self.ledger.add(size, keys, limits)

    def abandon_later(self, seconds: float | None) -> None:
        """Abandon what is not sent by then, where nothing says whether the client reads.

        Args:
            seconds: from now on; `None`: never.
        """
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.abandon)

    def close(self) -> None:
        """Give everything back, and wake all that waits: nothing is sent any more."""
        self._is_closed = True
        self._stop_timer()
        self.asks = None
        self.ledger.leave(self)
        while self.wake_next():
            pass
        self.give_back(self.size)
        self._keys = ()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

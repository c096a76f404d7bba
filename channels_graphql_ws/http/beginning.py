"""What a query or mutation over HTTP waits for: not for long, and not with rights of before."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Final, Protocol, cast

from graphql import GraphQLError

from channels_graphql_ws.execution.errors import RequestError
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.operations.revalidation import have_ended
from channels_graphql_ws.operations.revocation import REVOKED

PATIENCE: Final = 10.0
"""Seconds that an operation may wait while results of its owner are not read, or many long
executions of that owner are under way. Then the client is told to come again."""

FRESH_FOR: Final = 1.0
"""Seconds after which the user of a request is looked up once more before anything is executed."""

MOST_BYTES: Final = 16_777_216
"""About how many bytes the operations of one owner may take that wait. One may be larger."""


class BusyError(RequestError):
    """The owner of the operation keeps the server too busy."""

    refusal = Refusal.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            GraphQLError(
                "Other requests of this client are executed, or their results are not read: try "
                "again later",
                extensions={"code": "UNAVAILABLE"},
            )
        )


class RightsEndedError(RequestError):
    """The rights of the client have ended while the operation waited."""

    refusal = Refusal.OPERATION

    def __init__(self) -> None:
        super().__init__(GraphQLError(REVOKED, extensions={"code": "RIGHTS_ENDED"}))


class Options(Protocol):
    """The view or consumer, as far as it says when rights are looked up."""

    revalidate_every: float | None
    revalidate_operations_every: float | None


_waiting: Counter[Hashable] = Counter()
"""About how many bytes the operations of each owner take that wait."""


class Beginning:
    """The time from a request to its execution.

    Args:
        options: say when rights are looked up.
        scope: has the user.
        owner: returns whose operation it is: the user, or else the address.
        size: returns about how many bytes it takes.
    """

    __slots__ = ("_fresh_at", "_options", "_owner", "_scope", "_size", "_until", "_was_looked_up")

    def __init__(
        self,
        options: Options,
        scope: Any,
        owner: Callable[[], Hashable],
        size: Callable[[], int],
    ) -> None:
        self._options = options
        self._scope = scope
        self._owner = owner
        self._size = size
        self._fresh_at = asyncio.get_running_loop().time()
        self._was_looked_up = False
        self._until: float | None = None

    def waiting(self, room: Awaitable[object] | None) -> Awaitable[None] | None:
        """Return something to wait for before the execution begins, if there is need.

        Args:
            room: waits until there is room; `None`: there is.
        """
        if room is not None:
            return self._wait(room)
        if self._was_looked_up:
            # However long that took.
            self._was_looked_up = False
            return None
        age = asyncio.get_running_loop().time() - self._fresh_at
        is_fresh = age <= FRESH_FOR or self._options.revalidate_operations_every is None
        return None if is_fresh else self._look_up()

    async def _wait(self, room: Awaitable[object]) -> None:
        """Wait for room.

        Raises:
            BusyError: there is none in time, or too much waits already.
        """
        owner, size = self._owner(), self._size()
        if _waiting[owner] and _waiting[owner] + size > MOST_BYTES:
            # A coroutine that nobody awaits.
            cast("Coroutine[Any, Any, None]", room).close()
            raise BusyError
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + PATIENCE
        _waiting[owner] += size
        try:
            async with asyncio.timeout_at(self._until):
                await room
        except TimeoutError:
            raise BusyError from None
        finally:
            # What was found out before may be as old as the wait was long.
            self._was_looked_up = False
            _waiting[owner] -= size
            if not _waiting[owner]:
                del _waiting[owner]

    async def _look_up(self) -> None:
        """Look the user up once more.

        Raises:
            RightsEndedError: the rights have ended.
        """
        self._fresh_at, self._was_looked_up = asyncio.get_running_loop().time(), True
        if await have_ended(self._scope, self._options.revalidate_every):
            raise RightsEndedError

"""Reserved event streams: many operations on one stream (`graphql-sse`, single connection)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection, Coroutine, Hashable, Mapping
from http import HTTPStatus
from typing import Any
from weakref import WeakKeyDictionary

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.http.errors import HttpError
from channels_graphql_ws.http.operation import HttpOperation
from channels_graphql_ws.http.stream import ResponseStream, Text, chunk_of
from channels_graphql_ws.operations.places import Place
from channels_graphql_ws.signals import ConnectionSignals

log = ClientLog("channels_graphql_ws.http")


MAX_WAITING = 100
"""Streams that one client may have reserved, and not opened, at a time."""


class SharedStream:
    """The sink of one of the operations on a reserved stream."""

    def __init__(self, reservation: Reservation, id: str) -> None:
        self._reservation = reservation
        self._id = id
        self.ready = reservation.stream.ready

    def next(self, result: Text) -> None:
        """Send a result."""
        format = self._reservation.stream.format
        self._reservation.stream.put(chunk_of(result, lambda text: format.next(text, self._id)))

    def complete(self) -> None:
        """Say that there are no more results, and free the id."""
        stream = self._reservation.stream
        stream.put(stream.format.complete(self._id))
        self._reservation.forget(self._id)

    def drop(self) -> None:
        """Leave what waits: results of other operations are among it."""

    def end(self) -> None:
        """End the stream without `complete`, so that the client connects again."""
        self._reservation.stream.finish()


class Reservation:
    """A stream, and the operations on it, which end with it.

    Args:
        stream: what the client will read.
        max_operations: how many there may be at a time; `None`: any number.
        place: is released when it is closed.
        signals: tell receivers of its beginning and its end.
        scope: of the request that has reserved it.
        owner: the user or the address.
    """

    def __init__(
        self,
        stream: ResponseStream,
        max_operations: int | None,
        place: Place,
        signals: ConnectionSignals,
        scope: Mapping[str, Any],
        owner: Hashable = None,
    ) -> None:
        self.owner = owner
        self.signals = signals
        self.scope = scope
        signals.opened(scope)
        self.token = secrets.token_urlsafe(32)
        self.stream = stream
        self.expiry: asyncio.TimerHandle | None = None
        """Ends a stream that is not opened; `None` once it is."""
        self._place = place
        self._max_operations = max_operations
        self._operations: dict[str, HttpOperation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def operations(self) -> Collection[HttpOperation]:
        """Return those that are under way."""
        return self._operations.values()

    def add(self, id: str, operation: HttpOperation) -> None:
        """Start an operation.

        Raises:
            HttpError: its id is in use, or too much is on the stream.
        """
        self._check(id)
        self._operations[id] = operation
        operation.start()

    def forget(self, id: str) -> None:
        """Free the id of an operation that has come to its end."""
        operation = self._operations.pop(id, None)
        if operation is not None:
            self._spawn(operation.end())

    async def stop(self, id: str) -> None:
        """End an operation that the client stops; an unknown one has ended already."""
        operation = self._operations.pop(id, None)
        if operation is not None:
            operation.is_stopping = True
            await operation.end()
            self.stream.put(self.stream.format.complete(id))

    async def close(self) -> None:
        """End everything."""
        self._place.release()
        self.stream.close()
        operations, self._operations = list(self._operations.values()), {}
        for operation in operations:
            self._spawn(operation.end())
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            self.signals.closed(self.scope, None)

    def _check(self, id: str) -> None:
        if id in self._operations:
            raise HttpError(
                f"There is an operation {id!r} on this stream already", HTTPStatus.CONFLICT
            )
        if self.stream.is_full:
            # Results of queries do not wait, so their number must be bounded here.
            raise HttpError(
                "What is on this stream has to be read first", HTTPStatus.TOO_MANY_REQUESTS
            )
        limit = self._max_operations
        if limit is not None and len(self._operations) >= limit:
            raise HttpError(
                f"There are {limit} operations on this stream already",
                HTTPStatus.TOO_MANY_REQUESTS,
            )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Reservations:
    """The reserved streams of one event loop. See `reservations_of_loop`."""

    def __init__(self) -> None:
        self._reservations: dict[str, Reservation] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._reservations)

    def make_room(self, owner: Hashable, limit: int) -> None:
        """Make room for one more reservation.

        A client that means it opens its stream at once: where one has many that it has not
        opened, the oldest of them gives way, so that it does not take the places of others.

        Args:
            owner: the user or the address.
            limit: how many there may be at a time.

        Raises:
            HttpError: there are too many.
        """
        waiting = [
            each
            for each in self._reservations.values()
            if each.expiry is not None and each.owner == owner
        ]
        if len(waiting) >= MAX_WAITING:
            self._expire(waiting[0])
        if len(self) >= limit:
            raise HttpError(
                "Too many event streams, try again later", HTTPStatus.SERVICE_UNAVAILABLE
            )

    def add(self, reservation: Reservation, seconds: float) -> None:
        """Keep a reservation until it is opened, or for so many seconds."""
        self._reservations[reservation.token] = reservation
        loop = asyncio.get_running_loop()
        reservation.expiry = loop.call_later(seconds, self._expire, reservation)

    def find(self, token: str) -> Reservation:
        """Find a reservation.

        Raises:
            HttpError: there is none with that token.
        """
        reservation = self._reservations.get(token)
        if reservation is None:
            raise HttpError("There is no such event stream", HTTPStatus.NOT_FOUND)
        return reservation

    def open(self, token: str) -> Reservation:
        """Let a client read the stream that it has reserved.

        Raises:
            HttpError: there is none with that token, or it is being read already.
        """
        reservation = self.find(token)
        if reservation.expiry is None:
            raise HttpError("This event stream is open already", HTTPStatus.CONFLICT)
        reservation.expiry.cancel()
        reservation.expiry = None
        return reservation

    async def close(self, reservation: Reservation) -> None:
        """End a stream and all that is on it."""
        self._reservations.pop(reservation.token, None)
        await reservation.close()

    def _expire(self, reservation: Reservation) -> None:
        log.info("A reserved event stream was never opened")
        assert reservation.expiry is not None, "it waits to be opened"
        reservation.expiry.cancel()
        # At once, as there may be another in its place before the task runs.
        self._reservations.pop(reservation.token, None)
        task = asyncio.get_running_loop().create_task(self.close(reservation))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Reservations] = WeakKeyDictionary()


def reservations_of_loop() -> Reservations:
    """Return the reservations of the running event loop."""
    return _of_loops.setdefault(asyncio.get_running_loop(), Reservations())

"""Parse documents in a few threads: one of each client at a time, clients round-robin."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from channels_graphql_ws.concurrency.threads import Workers

T = TypeVar("T")


class QueueFullError(Exception):
    """Too many documents wait to be parsed.

    Args:
        allowed: how many may.
    """

    def __init__(self, allowed: int) -> None:
        super().__init__(allowed)
        self.allowed = allowed


class Job(Generic[T]):
    """A document to parse.

    Attributes:
        key: of the document; equal ones are parsed once.
        work: parses it.
        is_large: it counts among those that may wait.
        future: its result.
        clients: whose queues it is in; none once it has begun.
        waiters: how many operations wait for the result.
    """

    __slots__ = ("clients", "future", "is_large", "key", "waiters", "work")

    def __init__(self, key: Hashable, work: Callable[[], T], *, is_large: bool) -> None:
        self.key = key
        self.work = work
        self.is_large = is_large
        self.future: Future[T] = Future()
        # If one caller gives up, the others still wait for it.
        self.future.set_running_or_notify_cancel()
        self.clients: list[Hashable] = []
        self.waiters = 0


class ParserQueue(Generic[T]):
    """Hands documents to threads, so that no client keeps all of them busy.

    Args:
        workers: the threads.
        threads: how many there are.
        most: large documents of all clients that may wait; of one client a tenth of that.
    """

    def __init__(self, workers: Workers, threads: int, most: int) -> None:
        self._workers = workers
        self._threads = threads
        self._most = most
        self._begin()
        # A forked process has neither the threads nor the clients of its parent.
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[Hashable, Job[T]] = {}
        self._queues: OrderedDict[Hashable, dict[Job[T], None]] = OrderedDict()
        self._busy: set[Hashable] = set()
        self._large = 0

    def __len__(self) -> int:
        """Return how many documents wait."""
        with self._lock:
            return sum(1 for job in self._jobs.values() if job.clients)

    async def run(
        self,
        client: Hashable,
        key: Hashable,
        work: Callable[[], T],
        *,
        is_large: bool,
        most: int | None,
    ) -> T:
        """Parse a document, or wait until somebody else's equal one is parsed.

        Args:
            client: whose document it is.
            key: of the document.
            work: parses it, in a thread.
            is_large: it counts among those that may wait.
            most: large documents of the client that may wait; `None` for a tenth of
                those of all.

        Raises:
            QueueFullError: that many wait already, or too many of all clients.
        """
        with self._lock:
            job = self._submit(client, key, work, is_large, most)
            job.waiters += 1
            self._start()
        try:
            return await asyncio.wrap_future(job.future)
        finally:
            with self._lock:
                job.waiters -= 1
                if not job.waiters:
                    self._withdraw(job)

    def _submit(
        self,
        client: Hashable,
        key: Hashable,
        work: Callable[[], T],
        is_large: bool,  # noqa: FBT001 (of `run`)
        most: int | None,
    ) -> Job[T]:
        job = self._jobs.get(key)
        if job is not None and (not job.clients or client in job.clients):
            return job
        if is_large:
            self._refuse_too_many(client, most)
        if job is None:
            job = self._jobs[key] = Job(key, work, is_large=is_large)
            self._large += is_large
        job.clients.append(client)
        self._queues.setdefault(client, {})[job] = None
        return job

    def _refuse_too_many(self, client: Hashable, most: int | None) -> None:
        share = self._most // 10 if most is None else most
        if sum(job.is_large for job in self._queues.get(client, ())) >= share:
            raise QueueFullError(share)
        if self._large >= self._most:
            raise QueueFullError(self._most)

    def _withdraw(self, job: Job[T]) -> None:
        """Take a job out of all queues; one that nobody waits for is dropped."""
        if not job.clients:
            return  # It has begun.
        for client in job.clients:
            queue = self._queues[client]
            del queue[job]
            if not queue:
                del self._queues[client]
        job.clients.clear()
        self._large -= job.is_large
        if not job.waiters:
            del self._jobs[job.key]

    def _start(self) -> None:
        """Hand over as many jobs as there are idle threads."""
        for client in list(self._queues):
            if len(self._busy) >= self._threads:
                return
            # One job may have stood in several queues.
            if client in self._busy or client not in self._queues:
                continue
            job = next(iter(self._queues[client]))
            self._withdraw(job)
            self._busy.add(client)
            self._workers.pool.submit(self._run, client, job)

    def _run(self, client: Hashable, job: Job[T]) -> None:
        """Work on a job, in a thread; its place is free before its result is there."""
        try:
            result = job.work()
        # A parser of the user may raise anything; it is raised again where it is awaited.
        except BaseException as error:  # noqa: BLE001
            self._end(client, job)
            job.future.set_exception(error)
        else:
            self._end(client, job)
            job.future.set_result(result)

    def _end(self, client: Hashable, job: Job[T]) -> None:
        with self._lock:
            del self._jobs[job.key]
            self._busy.discard(client)
            if client in self._queues:
                self._queues.move_to_end(client)
            self._start()

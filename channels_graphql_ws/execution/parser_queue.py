"""Parse documents in a few threads: one of each owner at a time, owners round-robin."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping
from concurrent.futures import Future
from typing import Final, Generic, NamedTuple, TypeVar

from channels_graphql_ws.concurrency.threads import Workers

T = TypeVar("T")

OWNERS: Final = 4
"""Owners that there are at least when all places are taken."""


class Sender(NamedTuple):
    """Who has sent a document.

    Attributes:
        owner: what all have in common of which one document is parsed at a time: the user, or
            else the address; where neither is known, the connection.
        member: those of one owner take turns: its connections. `None`: all others of it.
        most: large documents of the member that may wait; `None` for a tenth of those of all.
    """

    owner: Hashable
    member: Hashable = None
    most: int | None = None


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
        senders: whose queues it is in, owners with their members; none once it has begun.
        waiters: how many operations wait for the result.
    """

    __slots__ = ("future", "is_large", "key", "senders", "waiters", "work")

    def __init__(self, key: Hashable, work: Callable[[], T], *, is_large: bool) -> None:
        self.key = key
        self.work = work
        self.is_large = is_large
        self.future: Future[T] = Future()
        # If one caller gives up, the others still wait for it.
        self.future.set_running_or_notify_cancel()
        self.senders: list[tuple[Hashable, Hashable]] = []
        self.waiters = 0


class ParserQueue(Generic[T]):
    """Hands documents to threads, so that no owner keeps all of them busy.

    Args:
        workers: the threads.
        threads: how many there are.
        most: large documents of all that may wait; of one owner a quarter of that. Who has none
            may have one in any case.
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
        self._queues: OrderedDict[Hashable, OrderedDict[Hashable, dict[Job[T], None]]] = (
            OrderedDict()
        )
        self._busy: set[Hashable] = set()
        self._large = 0

    def __len__(self) -> int:
        """Return how many documents wait."""
        with self._lock:
            return sum(1 for job in self._jobs.values() if job.senders)

    async def run(
        self, sender: Sender, key: Hashable, work: Callable[[], T], *, is_large: bool
    ) -> T:
        """Parse a document, or wait until somebody else's equal one is parsed.

        Args:
            sender: whose document it is.
            key: of the document.
            work: parses it, in a thread.
            is_large: it counts among those that may wait.

        Raises:
            QueueFullError: that many of the sender wait already, or too many of its owner, or of
                all.
        """
        with self._lock:
            job = self._submit(sender, key, work, is_large=is_large)
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
        self, sender: Sender, key: Hashable, work: Callable[[], T], *, is_large: bool
    ) -> Job[T]:
        owner, member, _ = sender
        job = self._jobs.get(key)
        if job is not None and (not job.senders or (owner, member) in job.senders):
            return job
        if is_large:
            self._refuse_too_many(sender, is_new=job is None)
        if job is None:
            job = self._jobs[key] = Job(key, work, is_large=is_large)
            self._large += is_large
        job.senders.append((owner, member))
        members = self._queues.setdefault(owner, OrderedDict())
        members.setdefault(member, {})[job] = None
        return job

    def _refuse_too_many(self, sender: Sender, *, is_new: bool) -> None:
        owner, member, most = sender
        members: Mapping[Hashable, Collection[Job[T]]] = self._queues.get(owner, {})
        share = self._most // 10 if most is None else most
        if sum(job.is_large for job in members.get(member, ())) >= share:
            raise QueueFullError(share)
        if not is_new:
            return
        # What several members have sent is parsed once.
        waiting = len({job for jobs in members.values() for job in jobs if job.is_large})
        share = self._most // OWNERS
        if waiting and waiting >= share:
            raise QueueFullError(share)
        if waiting and self._large >= self._most:
            raise QueueFullError(self._most)

    def _withdraw(self, job: Job[T]) -> None:
        """Take a job out of all queues; one that nobody waits for is dropped."""
        if not job.senders:
            return  # It has begun.
        for owner, member in job.senders:
            members = self._queues[owner]
            del members[member][job]
            if not members[member]:
                del members[member]
                if not members:
                    del self._queues[owner]
        job.senders.clear()
        self._large -= job.is_large
        if not job.waiters:
            del self._jobs[job.key]

    def _start(self) -> None:
        """Hand over as many jobs as there are idle threads."""
        for owner in list(self._queues):
            if len(self._busy) >= self._threads:
                return
            # One job may have stood in several queues.
            if owner in self._busy or owner not in self._queues:
                continue
            members = self._queues[owner]
            member, jobs = next(iter(members.items()))
            members.move_to_end(member)
            job = next(iter(jobs))
            self._withdraw(job)
            self._busy.add(owner)
            self._workers.pool.submit(self._run, owner, job)

    def _run(self, owner: Hashable, job: Job[T]) -> None:
        """Work on a job, in a thread; its place is free before its result is there."""
        try:
            result = job.work()
        # A parser of the user may raise anything; it is raised again where it is awaited.
        except BaseException as error:  # noqa: BLE001
            self._end(owner, job)
            job.future.set_exception(error)
        else:
            self._end(owner, job)
            job.future.set_result(result)

    def _end(self, owner: Hashable, job: Job[T]) -> None:
        with self._lock:
            del self._jobs[job.key]
            self._busy.discard(owner)
            if owner in self._queues:
                self._queues.move_to_end(owner)
            self._start()

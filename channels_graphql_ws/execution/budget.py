"""What one execution may cost: fields, bytes, and time without a pause for the event loop."""

from __future__ import annotations

import sys
from asyncio import Future, sleep
from collections.abc import Awaitable, Iterable, Iterator
from itertools import islice
from math import inf
from time import monotonic
from typing import Any, Final

from graphql import ExecutionResult, GraphQLError

from channels_graphql_ws.concurrency.computing import turns
from channels_graphql_ws.execution.breathing import (
    WINDOW,
    Execution,
    breathe,
    is_on_event_loop,
    note_pause,
)
from channels_graphql_ws.execution.crowds import FEW, Waiting, begin_to_wait, full_crowds
from channels_graphql_ws.execution.errors import MOST_LOGGED, forget_tracebacks
from channels_graphql_ws.execution.heavy import HeavyResult
from channels_graphql_ws.execution.limits import exceeded
from channels_graphql_ws.execution.pending import Pending

FIRST_LOOK: Final = 64
"""Fields after which an execution looks at the clock for the first time."""

FIELDS_FOR_AN_ERROR: Final = 20
"""What an error counts as: it takes so much longer to make, to log and to tell than a field."""

CHARACTERS_FOR_A_FIELD: Final = 100
"""Characters of the text of an error that make it count as one more, and those of a document if
several nodes have it."""

ARGUMENT_NODES_FOR_A_FIELD: Final = 4
"""Parts of an argument that is written out, for each of which a call counts as a field more."""

ITEMS_FOR_A_FIELD: Final = 32
"""Items of a list that count as a field more, where they are scalars or lists. Of an object
its fields count."""

FIELDS_FOR_A_WAIT: Final = 3
"""Fields that one counts as more if it has to be awaited: its task takes so much more time, and
memory until all that began with it is there."""

AWAITED_UNTIL_A_COUNT: Final = 64
"""Awaited fields after which they are counted for their user or address."""

HEAVY: Final = 128
"""Fields from which on a part of a result is encoded by itself, see `encoding`."""

_MOST_FIELDS_UNTIL_A_LOOK: Final = 1_024
_FEWEST_FIELDS_UNTIL_A_LOOK: Final = 8
_SECONDS_UNTIL_A_LOOK: Final = WINDOW / 4


class ExecutionLimits:
    """What an execution may cost at most, see the options of these names. `None`: no limit.

    Args:
        max_fields_executed: the option.
        max_result_size: the option.
        counted: fields that are counted before an execution begins.

    Attributes:
        fields: what the first of them leaves, as a number in any case.
        until_first_look: fields until an execution looks at the clock for the first time.
    """

    __slots__ = ("fields", "max_fields_executed", "max_result_size", "until_first_look")

    def __init__(
        self,
        max_fields_executed: int | None = None,
        max_result_size: int | None = None,
        *,
        counted: int = 0,
    ) -> None:
        self.max_fields_executed = max_fields_executed
        self.max_result_size = max_result_size
        limit = sys.maxsize if max_fields_executed is None else max_fields_executed
        self.fields = max(0, limit - counted)
        self.until_first_look = min(FIRST_LOOK, self.fields)

    def for_events(self) -> ExecutionLimits:
        """Return the limits for events: each executes the field of its subscription."""
        return ExecutionLimits(self.max_fields_executed, self.max_result_size, counted=1)

    def exceeded(self) -> ExecutionResult:
        """Return the result of an execution of too many fields.

        It is one that was executed, unlike that of a request with bad variables.
        """
        limit = self.max_fields_executed or 0
        text = f"The operation executes more than {limit} fields"
        return HeavyResult(None, [exceeded("max_fields_executed", limit, text)])


NO_LIMITS: Final = ExecutionLimits()


class Meter:
    """Counts what one execution costs.

    Attributes:
        limits: what it may cost.
        left: fields until `look` has to be called. Below 0 afterwards: it is time for a pause,
            or nothing more is to be executed.
        granted: fields that were executed, and those left.
        waiting: objects that wait for some of their fields.
        awaited: fields and items that had to be awaited.

    Where too many are executed nothing is raised: coroutines would be left that nobody awaits.
    Objects and lists are empty from there on, and the result is replaced by an error.
    """

    __slots__ = ("_pace", "_pending", "awaited", "granted", "left", "limits", "waiting")

    def __init__(self, limits: ExecutionLimits) -> None:
        self.limits = limits
        self.left = self.granted = limits.until_first_look
        self.waiting = self.awaited = 0
        self._pending: Pending | None = None
        self._pace: _Pace | None = None

    @property
    def executed(self) -> int:
        """Fields that were executed."""
        return self.granted - self.left

    def take(self, fields: int) -> None:
        """Count fields."""
        self.left = left = self.left - fields
        if left < 0:
            self.look()

    def take_wait(self) -> None:
        """Count a field or an item that has to be awaited."""
        self.awaited += 1
        if not self.awaited % AWAITED_UNTIL_A_COUNT:
            self.note_wait()
        self.take(FIELDS_FOR_A_WAIT)

    def room(self, *, grows: bool = False) -> Awaitable[None] | None:
        """Return something to wait for before a part goes on, where `full_crowds` is not empty.

        Args:
            grows: what goes on may have to await more fields than before.
        """
        pace = self._pace
        if grows and (pace is None or pace.waits is None):
            # However little it awaits now, it may be hundreds of fields in the next iteration.
            pace = self._paced()
            pace.wait(self.awaited)
        return None if pace is None or pace.waits is None else pace.waits.room(grows=grows)

    def note_wait(self) -> None:
        """Count what had to be awaited so far for its user or address, until `end_wait`."""
        if self.awaited > FEW:
            self._paced().wait(self.awaited)

    async def step_aside(self) -> None:
        """Let others run before an awaited object is executed, if much was in others like it.

        To be awaited where more than `MOST_ADDED` had to be.
        """
        while self.pending.has_added_many(self.awaited):  # noqa: ASYNC110 (that is the next iteration)
            await sleep(0)

    def leave_behind(self, tasks: Iterable[Future[Any]]) -> None:
        """Count what goes on beside an error that has made a null of all of it, until it is over.

        It is not cancelled: others may wait for the same, as for the future of a data loader.
        """
        pace = self._paced()
        pace.left_behind += [task for task in tasks if not task.done()]
        pace.wait(self.awaited)

    def end_wait(self) -> None:
        """Count no more of what was awaited than was left behind."""
        if self._pace is not None:
            self._pace.end_wait()

    def look(self) -> None:
        """Look at what was executed so far, and at the clock."""
        executed = self.granted - self.left
        pace = self._paced()
        if executed > self.limits.fields:
            pace.is_exceeded = True
        elif not pace.is_exceeded and not pace.is_due():
            self.left = min(pace.fields, self.limits.fields - executed)
            self.granted = executed + self.left

    @property
    def is_exceeded(self) -> bool:
        """Whether nothing more is to be executed. Asked where `left` is below 0."""
        return self._pace is not None and self._pace.is_exceeded

    def pause_if_due(self) -> None:
        """Look at the clock, where it is not the executing of fields that takes time."""
        if self.left >= 0 and self._paced().is_due():
            self.granted -= self.left + 1
            self.left = -1

    def refuse_pauses(self) -> None:
        """Execute without a pause: what follows must not begin before this is complete."""
        self._paced().until = inf

    async def pause(self) -> None:
        """Let the event loop go on to others."""
        pace = self._paced()
        self.note_wait()
        if full_crowds and (room := self.room()) is not None:
            await room
        pace.until = await breathe(pace)
        if not pace.is_exceeded:
            self.granted -= self.left
            self.left = 0

    async def give_way(self) -> None:
        """Let the event loop go on to others, whatever the time: this waits already."""
        pace = self._paced()
        until = await breathe(pace)
        pace.until = max(pace.until, until)

    def give_up(self) -> None:
        """Execute nothing more: nobody waits for the result."""
        self._paced().is_exceeded = True
        self.granted -= self.left + 1
        self.left = -1

    def take_error(self, error: GraphQLError) -> None:
        """Count an error. It makes nothing heavy: there is a null in its place."""
        size, pace = error_size(error), self._paced()
        pace.errors += size
        pace.failures += 1
        if pace.failures > MOST_LOGGED:
            forget_tracebacks(error)
        self.take(size)

    def is_heavy(self, before: int) -> bool:
        """Return whether enough was executed after so many fields to be heavy."""
        errors = 0 if self._pace is None else self._pace.errors
        return self.granted - self.left - before - errors > HEAVY

    def mark(self) -> None:
        """Note that something heavy is complete."""
        self._paced().marked = self.granted - self.left

    def is_marked_since(self, executed: int) -> bool:
        """Return whether something heavy was completed after so many fields."""
        return self._pace is not None and self._pace.marked > executed

    @property
    def pending(self) -> Pending:
        """What is awaited now."""
        if self._pending is None:
            self._pending = Pending()
        return self._pending

    def _paced(self) -> _Pace:
        # Only long executions have one.
        pace = self._pace
        if pace is None:
            pace = self._pace = _Pace()
        return pace


class _Pace(Execution):
    """How fast an execution is.

    Attributes:
        errors: what the errors count as.
        failures: how many there are.
        fields: after how many to look at the clock again.
        is_exceeded: whether there were too many.
        until: when the event loop is to breathe, by `time.monotonic`.
        marked: how many fields were executed when something heavy was completed.
        left_behind: tasks that nobody waits for any more.
        waits: counts what is awaited, if that is much.
    """

    __slots__ = (
        "_looked",
        "errors",
        "failures",
        "fields",
        "is_exceeded",
        "left_behind",
        "marked",
        "until",
        "waits",
    )

    def __init__(self) -> None:
        super().__init__()
        self.errors = self.failures = 0
        self.fields = FIRST_LOOK
        self.is_exceeded = False
        self.marked = 0
        self.left_behind: list[Future[Any]] = []
        self.waits: Waiting | None = None
        self._looked = monotonic()
        self.until = self._looked + WINDOW

    def wait(self, awaited: int) -> None:
        """Count what is awaited, if others may have to wait for it."""
        if not is_on_event_loop():
            return
        if self.waits is None:
            self.waits = begin_to_wait()
        if self.waits is not None:
            self.waits.count(awaited)

    def end_wait(self) -> None:
        """Count no more of what is awaited than is left."""
        left = [task for task in self.left_behind if not task.done()]
        self.left_behind.clear()
        if self.waits is not None and left:
            self.waits.end_after(left)
        elif self.waits is not None:
            self.waits.end()

    def is_due(self) -> bool:
        """Look at the clock: return whether others have waited long enough."""
        now = monotonic()
        if now - self._looked < _SECONDS_UNTIL_A_LOOK:
            self.fields = min(_MOST_FIELDS_UNTIL_A_LOOK, self.fields * 2)
        else:
            self.fields = max(_FEWEST_FIELDS_UNTIL_A_LOOK, self.fields // 2)
        self._looked = now
        if now < self.until:
            return False
        if is_on_event_loop():
            note_pause(self)
            return True
        # Here nobody waits but other threads, and the event loop for all of them.
        turns.take()
        self._looked = monotonic()
        self.until = self._looked + WINDOW
        return False


def error_size(error: GraphQLError) -> int:
    """Return what an error counts as.

    Each of the nodes it is about has a place in the document; to find several, all lines of the
    document are counted for each error. Its text may repeat what the client has sent.
    """
    nodes = max(1, len(error.nodes or ()))
    lines = len(error.source.body) // CHARACTERS_FOR_A_FIELD if error.source and nodes > 1 else 0
    text = len(error.message) // CHARACTERS_FOR_A_FIELD
    return FIELDS_FOR_AN_ERROR + nodes - 1 + lines + text


def some_of(values: Iterator[Any], count: int) -> tuple[list[Any], Exception | None]:
    """Return so many values, or those before a failure and the failure."""
    some: list[Any] = []
    try:
        some.extend(islice(values, count))
    except Exception as error:  # noqa: BLE001 (user code raises anything)
        return some, error
    return some, None

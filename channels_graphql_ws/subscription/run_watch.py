"""A client's subscription to a run: passes on what the run has kept, then what comes."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from graphql import ExecutionResult, GraphQLError

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.execution.encoding import encode_result
from channels_graphql_ws.execution.errors import Formatter
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.execution.results import CursorText
from channels_graphql_ws.json_text import dumps
from channels_graphql_ws.subscription.generator import GeneratorMember
from channels_graphql_ws.subscription.run_cursor import RunCursor
from channels_graphql_ws.subscription.runs import LOST, Feed, Page, Run, RunEnd
from channels_graphql_ws.subscription.signals import SubscriptionSignals

RUN_LOST: Final = "RUN_LOST"
"""`extensions.code` of the error for a cursor that leads nowhere."""

_NOTHING: Final = '{"data":null}'
"""Sent where events are missing, with what is to be told of that."""


class RunMember(GeneratorMember, Protocol):
    """Receives the results."""

    @property
    def is_stopping(self) -> bool:
        """Whether the client itself ends the subscription."""
        ...


class NoFeed:
    """The feed of a cursor that leads nowhere."""

    async def after(self, position: int) -> Page:
        """Return the end."""
        return Page(position, (), LOST)

    def leave(self, position: int, *, stops: bool) -> None:
        """Have nothing to leave."""


class RunSubscription:
    """One client that watches a run.

    Args:
        feed: where the events come from.
        member: receives them.
        cursor: where it begins.
        recovered: whether a client that comes back gets all that it has missed; `None`: it has
            not come back.
        format_error: says what clients are told of an error.
        name: what to call it in the log.
        run: is to begin when the subscription is live.
    """

    def __init__(
        self,
        feed: Feed,
        member: RunMember,
        cursor: RunCursor | None,
        *,
        recovered: bool | None,
        format_error: Formatter,
        name: str,
        run: Run | None = None,
    ) -> None:
        self.name = name
        self._feed = feed
        self._member = member
        self._cursor = cursor
        self._position = 0 if cursor is None else cursor.position
        self._recovered = recovered
        self._format_error = format_error
        self._run = run
        self._task: asyncio.Task[None] | None = None
        self._signals: SubscriptionSignals | None = None
        self._has_left = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """Return 0: events wait in the run."""
        return 0

    def tell(self, signals: SubscriptionSignals) -> None:
        """Tell receivers of signals what becomes of it; to be called before `open`."""
        self._signals = signals

    @property
    def confirmation(self) -> dict[str, Any]:
        """What a confirmation tells of the run."""
        told: dict[str, Any] = {}
        if self._cursor is not None:
            told["cursor"] = self._cursor.encode()
        if self._recovered is not None:
            told["recovered"] = self._recovered
        return told

    def open(self) -> None:
        """Begin to send events."""
        if self._run is not None:
            self._run.open()
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def end(self) -> Eager[None]:
        """Watch no more; if that ends the run, wait until its generator has ended."""
        task = self._task
        if task is not None:
            eager.cancel(task)
            yield asyncio.wait([task])
        self._leave()
        if self._closing is not None:
            yield asyncio.wait([self._closing])

    async def _watch(self) -> None:
        try:
            end = await self._pass_on()
        finally:
            self._leave()
        self._tell_end(end)

    def _leave(self) -> None:
        if self._has_left:
            return
        self._has_left = True
        if self._signals is not None:
            self._signals.end()
        self._closing = self._feed.leave(self._position, stops=self._member.is_stopping)

    async def _pass_on(self) -> RunEnd:
        while True:
            page = await self._feed.after(self._position)
            if page.begins > self._position:
                self._recovered = False
                self._send(_NOTHING, page.begins)
            for text in page.texts:
                waiting = self._member.ready()
                if waiting is not None:
                    await waiting
                self._send(text, self._position + 1)
            if page.end is not None:
                return page.end
            # A run that never waits must not keep all others waiting.
            await asyncio.sleep(0)

    def _send(self, text: str, position: int) -> None:
        """Send a result, and note how many events the client has had then."""
        assert self._cursor is not None, "there are no events without a run"
        self._position = position
        cursor = self._cursor._replace(position=position).encode()
        told: dict[str, Any] = {"cursor": cursor}
        if self._recovered is not None:
            told["recovered"], self._recovered = self._recovered, None
        self._member.next(CursorText.of(f'{text[:-1]},"extensions":{dumps(told)}}}', cursor))

    def _tell_end(self, end: RunEnd) -> None:
        if end.errors:
            self._member.failed(end.errors, Refusal.STREAM)
            return
        if end.is_lost:
            self._member.next(encode_result(_lost(), self._format_error))
        self._member.completed()


def _lost() -> ExecutionResult:
    text = (
        "This run is lost: it has ended, or was kept long enough, or was not yours. Subscribe "
        "without its cursor to begin anew."
    )
    error = GraphQLError(text, extensions={"code": RUN_LOST})
    return ExecutionResult(None, [error], {"recovered": False})

"""Objects of which very many fields are selected: executed in parts, with pauses between them."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from types import CoroutineType
from typing import Any, Final, NamedTuple

from graphql.pyutils import Path

from channels_graphql_ws.execution.budget import HEAVY
from channels_graphql_ws.execution.compiler.awaiting import Unfinished, close_all
from channels_graphql_ws.execution.compiler.completion import Selection
from channels_graphql_ws.execution.compiler.graphql_core import make
from channels_graphql_ws.execution.compiler.run import Execution
from channels_graphql_ws.execution.heavy import marked
from channels_graphql_ws.execution.turns import drop

FIELDS_UNTIL_A_LOOK: Final = 64
"""Fields of an object that are executed without a look at the clock."""


class Unjoined(NamedTuple):
    """Fields of an object, some of which are coroutines that nobody awaits yet."""

    results: dict[str, Any]
    waiting: list[str]


def unjoined(
    run: Execution, results: dict[str, Any], waiting: list[str], path: Path | None
) -> Unjoined:
    """Let whoever executes the parts of an object await them."""
    del run, path
    return Unjoined(results, waiting)


class WideSelection:
    """Very many fields that are selected of an object.

    Args:
        fields: all of them, by response name.
        parts: the same in parts, which give `Unjoined` where something has to be awaited.
        join: waits for all fields that have to be waited for.

    Attributes:
        size, step, is_light, raises: see `Selection`.
    """

    __slots__ = ("fields", "is_light", "join", "parts", "raises", "size", "step")

    def __init__(
        self, fields: Mapping[str, Any], parts: Sequence[Selection], join: Callable[..., Any]
    ) -> None:
        self.fields = fields
        self.parts = parts
        self.join = join
        self.size = sum(part.size for part in parts)
        self.step = max(1, min(part.step for part in parts) // len(parts))
        self.is_light = self.size <= HEAVY and all(part.is_light for part in parts)
        self.raises = any(part.raises for part in parts)

    def execute(
        self, run: Execution, source: Any, path: Path | None, index: int | None = None
    ) -> Any:
        """Return the data of an object, or a coroutine."""
        if index is not None:
            path = make(Path, (path, index, None))
        return _Parts(self, run, source, path).complete()


class _Parts(Unfinished):
    """Executes the parts of one object."""

    def __init__(
        self, selection: WideSelection, run: Execution, source: Any, path: Path | None
    ) -> None:
        self._left = iter(selection.parts)
        self._join = selection.join
        self._run = run
        self._source = source
        self._path = path
        self._results: dict[str, Any] = {}
        self._waiting: list[str] = []

    def complete(self) -> Any:
        """Return the object, or a coroutine."""
        return self._joined() if self._execute_until_due() else self._complete_later()

    async def _complete_later(self) -> Any:
        is_complete = False
        while not is_complete:
            try:
                await self._run.pause()
            except CancelledError:
                await drop([self._results[key] for key in self._waiting], self._run)
                raise
            is_complete = self._execute_until_due()
        data = self._joined()
        return await data if type(data) is CoroutineType else marked(data)

    def close(self) -> None:
        """Close what the fields are to await."""
        close_all([self._results[key] for key in self._waiting])

    def _execute_until_due(self) -> bool:
        """Execute parts until it is time for a pause; return whether all is executed."""
        run = self._run
        for part in self._left:
            try:
                some = part.execute(run, self._source, self._path)
            except Exception:
                self.close()
                raise
            if type(some) is Unjoined:
                self._waiting += some.waiting
                some = some.results
            self._results.update(some)
            run.pause_if_due()
            if run.left < 0:
                return run.is_exceeded
        return True

    def _joined(self) -> Any:
        if not self._waiting:
            return self._results
        return self._join(self._run, self._results, self._waiting, self._path)

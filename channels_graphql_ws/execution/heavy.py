"""Parts of a result that are too large to be encoded in one go: marked by their type."""

from __future__ import annotations

from typing import Any, Final

from graphql import ExecutionResult


class HeavyResult(ExecutionResult):
    """A result with so much in it that it is encoded piece by piece."""


class HeavyDict(dict[str, Any]):
    """An object that is encoded piece by piece."""

    __slots__ = ()


class HeavyList(list[Any]):
    """A list that is encoded piece by piece.

    Attributes:
        is_flat: nothing in its items is heavy by itself.
    """

    __slots__ = ("is_flat",)

    def __init__(self, items: list[Any], *, is_flat: bool) -> None:
        super().__init__(items)
        self.is_flat = is_flat


_MANY: Final = 64
"""Parts of an object or a list that was waited for, which together are heavy."""


def marked(results: Any) -> Any:
    """Return an object or a list that was waited for, marked if something in it is heavy.

    How much was executed for it is not known: others were executed meanwhile.
    """
    is_object = type(results) is dict
    kinds = map(type, results.values() if is_object else results)
    if len(results) <= _MANY and not _MARKS.intersection(kinds):
        return results
    if is_object:
        return HeavyDict(results)
    return HeavyList(results, is_flat=False) if type(results) is list else results


_MARKS: Final = frozenset({HeavyDict, HeavyList})

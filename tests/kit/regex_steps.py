"""Count the steps of a regular expression, as a backtracking matcher takes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from re import _constants as code  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any


class StepCounter:
    """Matches an expression as `re` does, and counts the nodes that it tries.

    It knows what the expressions of the package are made of, and fails for anything else.
    """

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        self._nodes = list(parser.parse(pattern.pattern, pattern.flags))
        self._text: Sequence[int] = ()
        self.steps = 0

    def search_all(self, text: str | bytes) -> int:
        """Return the steps of `findall`: each match begins where the one before ended."""
        self.steps, start = 0, 0
        self._text = list(text) if isinstance(text, bytes) else [ord(each) for each in text]
        while start <= len(self._text):
            end = next(self._sequence(self._nodes, 0, start), None)
            start = start + 1 if end is None or end == start else end
        return self.steps

    def _sequence(self, nodes: Sequence[Any], index: int, at: int) -> Iterator[int]:
        if index == len(nodes):
            yield at
            return
        for end in self._node(nodes[index], at):
            yield from self._sequence(nodes, index + 1, end)

    def _node(self, node: Any, at: int) -> Iterator[int]:
        self.steps += 1
        kind, argument = node
        if kind in _ONE_CHARACTER:
            if at < len(self._text) and _fits(kind, argument, self._text[at]):
                yield at + 1
        elif kind is code.SUBPATTERN:
            yield from self._sequence(list(argument[3]), 0, at)
        elif kind is code.BRANCH:
            for branch in argument[1]:
                yield from self._sequence(list(branch), 0, at)
        elif kind is code.MAX_REPEAT:
            least, most, inner = argument
            yield from self._repeated(list(inner), least, most, at, 0)
        elif kind is code.AT:
            if _is_there(argument, at, len(self._text)):
                yield at
        else:
            assert kind is code.ASSERT_NOT, kind
            if next(self._sequence(list(argument[1]), 0, at), None) is None:
                yield at

    def _repeated(
        self, nodes: Sequence[Any], least: int, most: Any, at: int, done: int
    ) -> Iterator[int]:
        if most is code.MAXREPEAT or done < most:
            for end in self._sequence(nodes, 0, at):
                if end > at:
                    yield from self._repeated(nodes, least, most, end, done + 1)
        if done >= least:
            yield at


_ONE_CHARACTER = {code.LITERAL, code.NOT_LITERAL, code.ANY, code.IN}

_CATEGORIES = {
    code.CATEGORY_DIGIT: str.isdigit,
    code.CATEGORY_SPACE: str.isspace,
    code.CATEGORY_WORD: lambda each: each.isalnum() or each == "_",
}


def _fits(kind: Any, argument: Any, character: int) -> bool:
    if kind is code.ANY:
        return True
    if kind is code.IN:
        negated = argument[0][0] is code.NEGATE
        return any(_is_in(each, character) for each in argument[negated:]) is not negated
    return (character == argument) is (kind is code.LITERAL)


def _is_in(item: Any, character: int) -> bool:
    kind, argument = item
    if kind is code.RANGE:
        return bool(argument[0] <= character <= argument[1])
    if kind is code.CATEGORY:
        return bool(_CATEGORIES[argument](chr(character)))
    return bool(character == argument)


def _is_there(place: Any, at: int, length: int) -> bool:
    if place is code.AT_BEGINNING:
        return at == 0
    assert place in {code.AT_END, code.AT_END_STRING}, place
    return at == length

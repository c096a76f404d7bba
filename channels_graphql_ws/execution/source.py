"""The text of a document, in which the line of a position is found without counting all lines."""

from __future__ import annotations

from typing import Final, NamedTuple

from graphql import Source, SourceLocation

BLOCK: Final = 4_096
"""Characters that are looked through for one position."""


class _Block(NamedTuple):
    """What comes before a part of the text.

    Attributes:
        lines: how many ends of lines.
        end: where the last of them ends.
    """

    lines: int
    end: int


class IndexedSource(Source):
    """Knows how many lines come before each part of it, once it is asked for a location.

    Each error of a result has one, and a document may have a line for each of its characters:
    megabytes of them are looked through without an object for each.
    """

    __slots__ = ("_blocks",)

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self._blocks: list[_Block] | None = None

    def get_location(self, position: int) -> SourceLocation:
        """Return line and column of a character, both counted from 1."""
        if self._blocks is None:
            blocks = [_Block(0, 0)]
            for start in range(0, len(self.body) - BLOCK, BLOCK):
                blocks.append(self._after(blocks[-1], start, start + BLOCK))
            self._blocks = blocks
        index = min(position // BLOCK, len(self._blocks) - 1)
        lines, end = self._after(self._blocks[index], index * BLOCK, position)
        return SourceLocation(lines + 1, position + 1 - end)

    def _after(self, before: _Block, start: int, stop: int) -> _Block:
        """Return what comes before a position.

        Args:
            before: what comes before `start`.
            start: where to begin to count.
            stop: the position.
        """
        body = self.body
        # Both characters of a CRLF are one end, which may begin in the part before.
        first = max(start - 1, 0)
        pairs = body.count("\r\n", first, stop)
        lines = body.count("\n", start, stop) + body.count("\r", start, stop) - pairs
        last = max(body.rfind("\n", start, stop), body.rfind("\r", start, stop))
        if last < 0:
            return _Block(before.lines + lines, before.end)
        is_pair = body.startswith("\r\n", last)
        return _Block(before.lines + lines, last + (2 if is_pair else 1))

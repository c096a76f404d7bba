"""The text of a document, in which the line of a position is found without counting."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final

from graphql import Source, SourceLocation

_NEWLINE: Final = re.compile(r"\r\n|[\n\r]")


class IndexedSource(Source):
    """Knows where its lines begin, once it is asked for a location.

    Each error of a result has one, and a document may have a line for each of its characters.
    """

    __slots__ = ("_newlines",)

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self._newlines: tuple[list[int], list[int]] | None = None

    def get_location(self, position: int) -> SourceLocation:
        """Return line and column of a character, both counted from 1."""
        if self._newlines is None:
            found = list(_NEWLINE.finditer(self.body))
            self._newlines = [each.start() for each in found], [each.end() for each in found]
        starts, ends = self._newlines
        lines = bisect_left(starts, position)
        return SourceLocation(lines + 1, position + 1 - (ends[lines - 1] if lines else 0))

"""The JSON text of a result, and what a transport has to know of it."""

from __future__ import annotations


class CursorText(str):
    """The JSON text of a result that has a cursor: an event stream says it as its `id`.

    Attributes:
        cursor: the client's place in the history of its subscription.
    """

    __slots__ = ("cursor",)

    cursor: str

    @classmethod
    def of(cls, text: str, cursor: str) -> CursorText:
        """Add the cursor to a text."""
        made = cls(text)
        made.cursor = cursor
        return made

"""JSON text that is not larger than allowed; what is heavy is encoded piece by piece."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from itertools import islice
from math import inf
from time import monotonic
from typing import Any, Final

from channels_graphql_ws.execution.breathing import WINDOW, breathe, is_on_event_loop
from channels_graphql_ws.execution.heavy import HeavyDict, HeavyList
from channels_graphql_ws.json_text import dumps

PIECE: Final = 65_536
"""Characters that a piece should have, more or less."""

_FIRST_STEP: Final = 1
"""Items or fields of the first piece, before it is known how long one is."""


class TooLargeError(Exception):
    """A text has more bytes than it may have."""


def encode(content: dict[str, Any], limit: int | None) -> str:
    """Return the JSON text of something light.

    Args:
        content: a JSON object.
        limit: bytes, `None` for any number.

    Raises:
        TooLargeError: it has more.
        TypeError, ValueError, RecursionError: it has no JSON form.
    """
    text = dumps(content)
    # A character has one to four bytes: short texts need not be counted.
    if limit is not None and 4 * len(text) > limit and _bytes(text) > limit:
        raise TooLargeError
    return text


class HeavyEncoding:
    """Encodes something heavy, with pauses if they are wanted.

    Args:
        content: a JSON object.
        limit: bytes, `None` for any number.
    """

    def __init__(self, content: dict[str, Any], limit: int | None) -> None:
        self._pieces = _object_pieces(content)
        self._limit = inf if limit is None else limit
        self._size = 0
        self._parts: list[str] = []

    def text(self) -> str:
        """Return the text, without a pause.

        Raises:
            TooLargeError, TypeError, ValueError, RecursionError: as `encode` raises them.
        """
        self._encode_until(inf)
        return "".join(self._parts)

    def text_or_rest(self) -> str | Awaitable[str]:
        """Return the text, or a coroutine that goes on after a pause and returns it.

        Raises:
            TooLargeError, TypeError, ValueError, RecursionError: as `encode` raises them.
        """
        if self._encode_until(monotonic() + WINDOW):
            return "".join(self._parts)
        return self._rest() if is_on_event_loop() else self.text()

    async def _rest(self) -> str:
        while not self._encode_until(await breathe()):
            pass
        return "".join(self._parts)

    def _encode_until(self, until: float) -> bool:
        """Encode pieces; return whether it is complete."""
        for piece in self._pieces:
            self._parts.append(piece)
            self._size += _bytes(piece)
            if self._size > self._limit:
                raise TooLargeError
            if monotonic() > until:
                return False
        return True


def _bytes(text: str) -> int:
    # The surrogates that are alone were replaced, or escaped, when it was encoded.
    return len(text) if text.isascii() else len(text.encode())


def _pieces(value: Any) -> Iterator[str]:
    """Encode a value: what is not marked as heavy in one go."""
    if type(value) is HeavyDict:
        yield from _object_pieces(value)
    elif type(value) is HeavyList:
        yield from _flat_list_pieces(value) if value.is_flat else _list_pieces(value)
    else:
        yield dumps(value)


def _object_pieces(value: dict[str, Any]) -> Iterator[str]:
    """Encode an object: several light fields at once."""
    separator = "{"
    light: dict[str, Any] = {}
    step = _FIRST_STEP
    for key, item in value.items():
        is_heavy = type(item) is HeavyDict or type(item) is HeavyList
        if light and (is_heavy or len(light) >= step):
            text = dumps(light)
            yield separator + text[1:-1]
            step = _next_step(step, text)
            separator, light = ",", {}
        if is_heavy:
            yield f"{separator}{dumps(key)}:"
            yield from _pieces(item)
            separator = ","
        else:
            light[key] = item
    if light:
        yield separator + dumps(light)[1:-1]
        separator = ","
    yield "}" if separator == "," else "{}"


def _list_pieces(value: list[Any]) -> Iterator[str]:
    """Encode a list with something heavy in its items."""
    separator = "["
    for item in value:
        yield separator
        # What was made a list of objects is not marked, whatever is in one of them.
        yield from _object_pieces(item) if type(item) is dict else _pieces(item)
        separator = ","
    yield "]" if value else "[]"


def _flat_list_pieces(value: list[Any]) -> Iterator[str]:
    """Encode a list: several items at once."""
    separator = "["
    step = _FIRST_STEP
    items = iter(value)
    while some := list(islice(items, step)):
        text = dumps(some)
        yield separator + text[1:-1]
        step = _next_step(step, text)
        separator = ","
    yield "]" if value else "[]"


def _next_step(step: int, text: str) -> int:
    """Return how many to encode at once after a piece of so many."""
    return max(1, min(4 * step, step * PIECE // len(text)))

"""How large a message is: in bytes on the wire, and roughly in memory."""

from __future__ import annotations

from sys import getsizeof
from typing import Any, Final

_DICT: Final = 192
"""Bytes of a dictionary with a few items."""

_LIST: Final = 64

_SHORT: Final = 512
"""Characters of a text that is not looked at: most messages are no longer."""

_SHORT_FACTOR: Final = 8

_FEW_BRACKETS: Final = 8
"""Objects and arrays in such a text that is not looked at."""

_ITEM: Final = 64
"""Bytes of an item: a number or a short string, its key if any, and the references."""


BYTES_FOR_CONTAINER: Final = 16
"""Bytes that a message may have for each object and array that it may have. A list of points in
the plane has more for each, and Python makes them, and frees them, one by one."""

FEW_CONTAINERS: Final = 10_000
"""Objects and arrays that any message may have, in about three milliseconds."""


LONG_TEXT: Final = 16_384
"""Characters of a JSON text that is decoded when no other long one is: the event loop goes on to
others in between."""


def least(*limits: int | None) -> int | None:
    """Return the lowest of some limits; `None`, which is no limit, if there is none."""
    return min([each for each in limits if each is not None], default=None)


def is_longer(frame: str | bytes | None, limit: int | None) -> bool:
    """Return whether a frame has more bytes than a limit; `None` is no limit."""
    if limit is None or frame is None:
        return False
    length = len(frame)
    if length > limit:
        return True
    # A character has four bytes at most.
    if 4 * length <= limit or isinstance(frame, bytes) or frame.isascii():
        return False
    return len(frame.encode(errors="surrogatepass")) > limit


def most_containers(limit: int | None) -> int | None:
    """Return how many objects and arrays a JSON text may have; `None`: any number.

    To decode them takes time, in which an event loop does nothing else.

    Args:
        limit: the most bytes that the text may have; `None`: any number.
    """
    return None if limit is None else max(FEW_CONTAINERS, limit // BYTES_FOR_CONTAINER)


def has_too_many_containers(text: str, limit: int | None) -> bool:
    """Return whether a JSON text has more objects and arrays than `most_containers`.

    Brackets in strings count, too.
    """
    most = most_containers(limit)
    if most is None or len(text) <= most:
        return False
    return text.count("{") + text.count("[") > most


def memory_of_json(text: str) -> int:
    """Return about how many bytes the value of a JSON text takes, without reading it.

    Twenty-four bytes for each of the text are possible: `[{},{},…]`. Brackets in strings
    count, too, which no honest text has many of.
    """
    objects, arrays = text.count("{"), text.count("[")
    if len(text) < _SHORT and objects + arrays <= _FEW_BRACKETS:
        return _SHORT_FACTOR * len(text)
    return _texts(text) + _parts(text)


def memory_of_operation(text: str, query: str) -> int:
    """Return about how many bytes a message takes, of whose document no value is made.

    Args:
        text: of the message.
        query: the document in it.
    """
    if len(text) < _SHORT and text.count("{") + text.count("[") <= _FEW_BRACKETS:
        return _SHORT_FACTOR * len(text)
    size = memory_of_json(text)
    # A bracket may be written as an escape, which was not counted.
    if size <= _SHORT_FACTOR * _SHORT or "\\u" in text:
        return size
    return size - _parts(query)


def _parts(text: str) -> int:
    return _DICT * text.count("{") + _LIST * text.count("[") + _ITEM * text.count(",")


def _texts(text: str) -> int:
    """Return how many bytes the texts in a JSON text may take together.

    One character has all of its text take as many bytes for each as it needs itself.
    """
    size = getsizeof(text)
    if "\\u" not in text:
        return size
    return max(size, len(text) * (4 if "\\ud" in text or "\\uD" in text else 2))


def memory_of(value: Any, enough: int) -> int:
    """Return about how many bytes a value takes that was read from JSON.

    For what was decoded elsewhere: to ask the text, see `memory_of_json`, takes a thirtieth of
    the time.

    Args:
        value: a value.
        enough: bytes beyond which it does not matter how many more there are.
    """
    size, waiting = 0, [value]
    while waiting and size <= enough:
        each: Any = waiting.pop()
        if isinstance(each, dict):
            size += _DICT
            waiting += each
            waiting += each.values()
        elif isinstance(each, list):
            size += _LIST
            waiting += each
        else:
            size += getsizeof(each) if isinstance(each, str) else _ITEM
    return size

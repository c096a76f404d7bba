"""Exceptions in a log or a trace: what clients have chosen in them is cut, and breaks no line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from itertools import islice
from types import TracebackType
from typing import Final

LONGEST_TEXT: Final = 500
"""Characters of an exception or a sentence in a line, and of each message in a traceback."""

FIRST_FRAMES: Final = 10

LAST_FRAMES: Final = 20
"""Frames of an exception in a traceback, with the first ones: what recurses has a thousand."""

MOST_EXCEPTIONS: Final = 8
"""Exceptions in a traceback: causes, contexts, and the parts of groups."""

MOST_NOTES: Final = 4

_CAUSED: Final = "\nThe above exception was the direct cause of the following exception:\n"

_MEANWHILE: Final = "\nDuring handling of the above exception, another exception occurred:\n"


def one_line(text: str) -> str:
    """Return a text with escapes for what is not printable."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def cut(text: str, longest: int) -> str:
    """Return a text of so many characters at most, and the sign that there were more."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def said(error: BaseException) -> str:
    """Return what an exception says, in one line of 500 characters at most.

    Of a `GraphQLError` that is its message: as a text it has the lines of the document that it is
    about, too, and with them what stands there besides.
    """
    message = getattr(error, "message", None)
    has_document = getattr(error, "nodes", None) or getattr(error, "source", None)
    text = message if has_document and isinstance(message, str) else _text_of(error)
    return _short(text)


def traceback_of(error: BaseException) -> str:
    """Return a traceback where each exception has but what `said` returns.

    It has at most 8 exceptions with 30 frames each, and of a syntax error not the text that was
    read: a client may have sent it.
    """
    return "\n".join(_Writer().lines(error))


def is_harmless(error: BaseException) -> bool:
    """Return whether a traceback as Python has it is short, and nothing in it is to be cut."""
    chain = list(islice(_chain(error), MOST_EXCEPTIONS + 1))
    return len(chain) <= MOST_EXCEPTIONS and all(map(_is_plain, chain))


def _is_plain(error: BaseException) -> bool:
    has_more = isinstance(error, BaseExceptionGroup | SyntaxError) or hasattr(error, "__notes__")
    if has_more or _text_of(error) != said(error):
        return False
    frames = traceback.walk_tb(error.__traceback__)
    return next(islice(frames, FIRST_FRAMES + LAST_FRAMES, None), None) is None


class _Writer:
    """Writes one traceback."""

    def __init__(self) -> None:
        self._seen = set[int]()

    def lines(self, error: BaseException) -> Iterator[str]:
        """Yield the lines of an exception, behind those of what was before it."""
        # From the last one back: those that led to it may be too many.
        chain: list[BaseException] = []
        for each in _chain(error):
            if len(self._seen) == MOST_EXCEPTIONS:
                yield f"(More than {MOST_EXCEPTIONS} exceptions: the first ones are left out)\n"
                break
            if id(each) in self._seen:
                break
            self._seen.add(id(each))
            chain.append(each)
        while chain:
            each = chain.pop()
            yield from self._own_lines(each)
            if chain:
                yield _CAUSED if chain[-1].__cause__ is each else _MEANWHILE

    def _own_lines(self, error: BaseException) -> Iterator[str]:
        if error.__traceback__ is not None:
            yield "Traceback (most recent call last):"
            yield from _frames(error.__traceback__)
        text = said(error)
        yield f"{_name(type(error))}: {text}" if text else _name(type(error))
        notes = getattr(error, "__notes__", None)
        if isinstance(notes, list | tuple):
            for note in notes[:MOST_NOTES]:
                yield _short(note if isinstance(note, str) else type(note).__name__)
        if isinstance(error, BaseExceptionGroup):
            yield from self._parts(error)

    def _parts(self, group: BaseExceptionGroup[BaseException]) -> Iterator[str]:
        for number, each in enumerate(group.exceptions, 1):
            if len(self._seen) == MOST_EXCEPTIONS:
                left = len(group.exceptions) - number + 1
                yield f"  +---------------- {left} more"
                return
            yield f"  +---------------- {number} ----------------"
            for lines in self.lines(each):
                yield from (f"  | {line}" for line in lines.split("\n"))


def _frames(trace: TracebackType) -> Iterator[str]:
    """Yield the lines of the first and the last frames."""
    left_out = sum(1 for _ in traceback.walk_tb(trace)) - FIRST_FRAMES - LAST_FRAMES
    if left_out <= 0:
        yield from _written(traceback.extract_tb(trace))
        return
    yield from _written(traceback.extract_tb(trace, FIRST_FRAMES))
    yield f"  … {left_out} more frames …"
    yield from _written(traceback.extract_tb(trace, -LAST_FRAMES))


def _written(frames: traceback.StackSummary) -> Iterator[str]:
    return (each.rstrip("\n") for each in frames.format())


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, then the one that it was caused by, or raised while it was handled."""
    seen, each = set[int](), error
    while True:
        seen.add(id(each))
        yield each
        before = each.__cause__
        if before is None and not each.__suppress_context__:
            before = each.__context__
        if before is None or id(before) in seen:
            return
        each = before


def _name(cls: type[BaseException]) -> str:
    module, name = cls.__module__, cls.__qualname__
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


def _short(text: str) -> str:
    # A long text is not escaped as a whole, only to be cut.
    return cut(one_line(text[: LONGEST_TEXT + 1]), LONGEST_TEXT)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 (a class of the user)
        return ""

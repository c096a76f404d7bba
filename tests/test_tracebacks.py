"""Tracebacks are short, whatever a client has sent, and Python's own where they are so anyway."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from channels_graphql_ws.tracebacks import (
    FIRST_FRAMES,
    LAST_FRAMES,
    MOST_EXCEPTIONS,
    MOST_NOTES,
    is_harmless,
    traceback_of,
)

LONG = 100_000
EVIL = "a\r\nCRITICAL forged\n\x1b[2K"
MOST_CHARACTERS = 100_000


def caught(call: Callable[[], object]) -> BaseException:
    """Return what a call raises."""
    with pytest.raises(BaseException) as info:  # noqa: PT011 (any)
        call()
    return info.value


def failing(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Return an exception that was raised."""

    def fail() -> None:
        raise error from cause

    return caught(fail)


def recursing(levels: int) -> None:
    """Fail many levels deep, by two functions in turn: Python writes each frame."""
    if not levels:
        raise ValueError("deep")
    recursing_too(levels - 1)


def recursing_too(levels: int) -> None:
    """See `recursing`."""
    recursing(levels)


def test_what_is_short_is_as_python_has_it() -> None:
    def fail() -> None:
        try:
            raise KeyError("a")
        except KeyError as error:
            raise ValueError("b") from error

    def fail_meanwhile() -> None:
        try:
            fail()
        except ValueError:
            raise LookupError("c")  # noqa: B904 (it is about that)

    for call in (fail, fail_meanwhile):
        error = caught(call)
        assert is_harmless(error)
        assert traceback_of(error) == "".join(traceback.format_exception(error)).rstrip("\n")


def test_a_context_that_is_not_meant_is_left_out() -> None:
    def fail() -> None:
        try:
            raise KeyError(EVIL)
        except KeyError:
            raise ValueError("b") from None

    error = caught(fail)
    assert is_harmless(error)
    assert "KeyError" not in traceback_of(error)


def test_an_exception_that_was_not_raised_has_its_text_only() -> None:
    assert traceback_of(ValueError("a")) == "ValueError: a"
    assert traceback_of(ValueError()) == "ValueError"


def test_a_recursion_has_its_first_and_its_last_frames() -> None:
    error = caught(lambda: recursing(300))
    assert not is_harmless(error)
    text = traceback_of(error)
    assert text.count('  File "') == FIRST_FRAMES + LAST_FRAMES
    assert "more frames …\n" in text
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("ValueError: deep")
    assert "in caught" in text
    shallow = caught(lambda: recursing(2))
    assert is_harmless(shallow)
    assert "more frames" not in traceback_of(shallow)


def test_between_first_and_last_nothing_is_lost() -> None:
    levels = (FIRST_FRAMES + LAST_FRAMES) // 2 - 2
    error = caught(lambda: recursing(levels))
    frames = traceback.extract_tb(error.__traceback__)
    assert FIRST_FRAMES < len(frames) <= FIRST_FRAMES + LAST_FRAMES
    assert traceback_of(error).count('  File "') == len(frames)


class OddError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def noted(*notes: Any) -> BaseException:
    error = ValueError("noted")
    error.__notes__ = list(notes)  # `add_note` takes texts only, but anybody may set it.
    return failing(error)


def grouped(*errors: Exception) -> BaseException:
    return failing(ExceptionGroup("a group", errors))


@pytest.mark.parametrize(
    "error",
    [
        failing(ValueError(EVIL)),
        failing(ValueError("x" * LONG)),
        failing(RuntimeError("outer"), cause=ValueError(EVIL * LONG)),
        noted(EVIL, "x" * LONG),
        noted(*[EVIL] * 1_000),
        grouped(ValueError(EVIL), ValueError("x" * LONG)),
        grouped(*[failing(ValueError(f"{EVIL}{number}")) for number in range(100)]),
        grouped(ExceptionGroup("inner", [failing(KeyError(EVIL), cause=grouped(OddError(EVIL)))])),
        failing(RuntimeError("outer"), cause=grouped(ValueError(EVIL))),
        caught(lambda: ast.literal_eval(f"{'x' * LONG}\x1b[2K forged")),
        caught(lambda: ast.literal_eval("(\n1\n2 CRITICAL forged")),
    ],
    ids=repr,
)
def test_nothing_that_was_sent_is_long_or_breaks_a_line(error: BaseException) -> None:
    assert not is_harmless(error)
    text = traceback_of(error)
    lines = text.split("\n")
    assert not any("forged" in line.strip(" |")[:10] for line in lines)
    assert all(line.isprintable() for line in lines)
    assert len(text) < MOST_CHARACTERS


def test_notes_and_parts_of_groups_are_told() -> None:
    error = grouped(ValueError("first"), failing(KeyError("second")))
    error.add_note("look here")
    lines = traceback_of(error).split("\n")
    start = lines.index("ExceptionGroup: a group (2 sub-exceptions)")
    assert lines[start + 1 : start + 6] == [
        "look here",
        "  +---------------- 1 ----------------",
        "  | ValueError: first",
        "  +---------------- 2 ----------------",
        "  | Traceback (most recent call last):",
    ]
    assert lines[-1] == "  | KeyError: 'second'"
    many = traceback_of(noted(*(f"note {number}" for number in range(10)), 1))
    assert many.count("\nnote ") == MOST_NOTES
    assert traceback_of(noted(1)).endswith("ValueError: noted\nint")


def test_of_many_exceptions_the_last_ones_are_told() -> None:
    error: BaseException = ValueError("0")
    for number in range(1, 30):
        error = failing(ValueError(str(number)), cause=error)
    assert not is_harmless(error)
    text = traceback_of(error)
    assert text.count("ValueError: ") == MOST_EXCEPTIONS
    assert text.endswith("ValueError: 29")
    assert "the first ones are left out" in text
    parts = traceback_of(grouped(*(ValueError(str(number)) for number in range(30))))
    assert parts.endswith(f"{30 - MOST_EXCEPTIONS + 1} more")


def test_exceptions_in_a_circle_come_to_an_end() -> None:
    error, other = failing(ValueError("a")), failing(ValueError("b"))
    error.__context__, other.__context__ = other, error
    error.__suppress_context__ = other.__suppress_context__ = False
    assert traceback_of(error).count("ValueError: ") == 2
    shared = failing(ValueError("shared"), cause=other)
    group = grouped(shared, failing(KeyError("k"), cause=shared))  # type: ignore[arg-type]
    assert traceback_of(group).count("ValueError: shared") == 1


class ElsewhereError(Exception):
    pass


def test_a_class_is_named_with_its_module() -> None:
    error = failing(ElsewhereError(EVIL))
    assert f"\n{__name__}.ElsewhereError: a\\r\\n" in traceback_of(error)

"""Refuse options that cannot work where they are given, and not at some later event."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def check_seconds(*, or_none: bool, **options: object) -> None:
    """Check that options are seconds.

    Args:
        or_none: whether `None` is allowed, too.
        options: values by the name of the option.

    Raises:
        TypeError, ValueError: one is not; the text names it.
    """
    for name, value in options.items():
        if not (or_none and value is None):
            _check_number(name, value, f"seconds{', or None' if or_none else ''}")


def check_queue_limit(value: object) -> None:
    """Check that a number of events may wait.

    Raises:
        TypeError, ValueError: it cannot.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"queue_limit must be a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"queue_limit must be 1 or more, not {value!r}: an event has to wait")


def check_wait(seconds: object) -> None:
    """Check what the `wait` of a `Retry` has returned.

    Raises:
        TypeError, ValueError: it is not a number of seconds.
    """
    _check_number("What Retry.wait returns", seconds, "seconds", least=-math.inf)


def check_attempts(value: object) -> None:
    """Check the `attempts` of a `Retry`.

    Raises:
        TypeError, ValueError: they are not a number.
    """
    _check_number("attempts", value, "a number; 0 for none, math.inf for ever")


def checked_mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Return a value that must be a mapping.

    Raises:
        TypeError: it is not. The text does not show the value, which may be a secret.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping such as a dict, not {_kind(value)}")
    return value


def checked_fields(name: str, value: Any) -> dict[str, Any]:
    """Return headers or cookies as a dict.

    Raises:
        TypeError: they are something else. The text does not show them.
    """
    try:
        return dict(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be a mapping of names to texts, not {_kind(value)}"
        ) from None


def checked_headers(value: Any) -> dict[str, str]:
    """Return headers as a dict of texts.

    Raises:
        TypeError: they are something else.
    """
    headers = checked_fields("headers", value)
    for name, each in headers.items():
        if not isinstance(each, str):
            raise TypeError(f"The header {name!r} must be text, not {_kind(each)}")
    return headers


def _check_number(name: str, value: object, expected: str, least: float = 0) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be {expected}, not {value!r}")
    if not value >= least:  # Also for NaN.
        raise ValueError(f"{name} must be {expected}, not {value!r}")


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of the type {type(value).__name__!r}"

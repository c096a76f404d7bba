"""JSON text ⇄ Python values: orjson where it can, the standard library where not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

import orjson

# A first character of its own is what the search can skip to: it takes half the time.
_LONG_NUMBER = re.compile(r"[0-9][0-9]{18,}")

# Of 19 digits in a row at least three are among each sixth character of a text. To look at those
# first takes a third of the time, and is mostly enough.
_THREE_DIGITS = re.compile(r"[0-9][0-9]{2}")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONE_FIRST_HALF = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
_LONE_SECOND_HALF = re.compile(r"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}")

_WITHIN_FLOATS: Final = frozenset(".eE+")

_MOST_DIGITS: Final = 19
"""Digits of an integer that has less than 64 bits without a sign."""

_LARGE: Final = 65_536
"""Characters of a text that is looked at once more rather than decoded twice."""

_SHORT: Final = 262_144
"""Characters up to which the text of a client is decoded twice, where that is needed."""


class LongIntegerError(ValueError):
    """An integer of more than 64 bits stands in a long text, which would be decoded twice."""


def dumps(value: object) -> str:
    """Encode `value` as compact JSON text.

    Besides the types of JSON it may hold what Django's `DjangoJSONEncoder` knows (lazy
    texts, `Decimal`, `UUID`, dates, times, `timedelta`), enums, dataclasses, tuples of any
    kind, integers of any size, lone surrogates and keys of all these types. `NaN` and
    infinity become `null`.

    Raises:
        TypeError, ValueError, RecursionError: it has no JSON form.
    """
    try:
        return orjson.dumps(value, _default).decode()
    except TypeError:
        return _dumps_slowly(value)


def _dumps_slowly(value: object) -> str:
    """Encode what orjson refuses, such as long integers or deep nesting."""
    try:
        return _standard(value)
    except (TypeError, ValueError):
        # Other keys than texts, or a number that is none: rare, and a walk in Python.
        return _standard(_plain(value))


def _standard(value: object) -> str:
    return json.dumps(value, default=_default, separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Any:
    """Decode JSON text.

    orjson reads integers beyond 64 bits as floats; a text with one goes to the standard library,
    so that no digit is lost. Half of a surrogate pair, as browsers send it when text was cut
    within an emoji, becomes U+FFFD.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    return _loads(text, None)


def loads_from_client(text: str) -> Any:
    """Decode JSON text that anybody may have sent: as `loads` does, in linear time and once.

    Raises:
        LongIntegerError: it has more than 262,144 characters, and an integer beyond 64 bits,
            for which it would be decoded by the slower library, too.
        ValueError: it is not JSON, or nested too deeply.
    """
    return _loads(text, _SHORT)


def _loads(text: str, longest: int | None) -> Any:
    text = str.__str__(text)  # orjson takes no subclass.
    if len(text) > _LARGE and _ESCAPED_SURROGATE.search(text) is not None:
        text = _without_lone_surrogates(text)
    try:
        value = orjson.loads(text)
    except ValueError:
        if _ESCAPED_SURROGATE.search(text) is None:
            raise
        text = _without_lone_surrogates(text)
        value = orjson.loads(text)
    # Behind orjson, which refuses what the standard library would take: NaN, deep nesting.
    if _THREE_DIGITS.search(text[5::6]) is None or not _has_long_integer(text):
        return value
    if longest is not None and len(text) > longest:
        raise LongIntegerError(
            "an integer of more than 64 bits in a text of more than"
            f" {longest} characters: send it in quotes"
        )
    # There may be hundreds of thousands of objects, which the garbage collector would look at.
    del value
    try:
        return json.loads(text)
    # The standard library goes less deep than orjson, and less so the deeper its caller is.
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _has_long_integer(text: str) -> bool:
    """Return whether an integer beyond 64 bits may stand in JSON text, other than in a string."""
    if _LONG_NUMBER.search(text) is None:
        return False
    if "\\" in text:
        # Each quote that is left begins or ends a string.
        text = text.replace("\\\\", "").replace('\\"', "")
    quotes = position = 0
    for found in _LONG_NUMBER.finditer(text):
        start, end = found.span()
        before, after = text[start - 1 : start], text[end : end + 1]
        # With 19 digits and no sign it has less than 64 bits.
        if (
            before in _WITHIN_FLOATS
            or after in _WITHIN_FLOATS
            or end - start - (before != "-") < _MOST_DIGITS
        ):
            continue
        quotes += text.count('"', position, start)
        position = start
        if quotes % 2 == 0:
            return True
    return False


def _without_lone_surrogates(text: str) -> str:
    """Replace halves of pairs in what may be JSON text: to decode it first would take longer."""
    if "\0" in text:
        # It is not JSON.
        return text
    # Now each backslash that is left begins an escape.
    text = text.replace("\\\\", "\0")
    for half in (_LONE_FIRST_HALF, _LONE_SECOND_HALF):
        text = half.sub("\N{REPLACEMENT CHARACTER}", text)
    return text.replace("\0", "\\\\")


def encodable(value: Any, depth: int = 16) -> Any:
    """Return a value without the parts that have no JSON form.

    Entries of dictionaries are left out, items of lists become `None`.

    Args:
        value: any.
        depth: levels that are looked into; what is wrong below them is left out as a whole.
    """
    if is_encodable(value):
        return value
    if depth and isinstance(value, dict):
        items: dict[Any, Any] = value
        parts = {
            key: encodable(item, depth - 1)
            for key, item in items.items()
            if is_encodable({key: 0})
        }
        return {key: part for key, part in parts.items() if part is not None or items[key] is None}
    if depth and isinstance(value, list | tuple):
        return [encodable(item, depth - 1) for item in value]
    return None


def culprit(value: Any) -> str:
    """Return the path to the first part that has no JSON form, and what it is.

    Args:
        value: what `dumps` refused.
    """
    path: list[str] = []
    above: list[object] = []
    while True:
        if any(value is each for each in above):
            return _at(path, "a circular reference")
        above.append(value)
        found = next((entry for entry in _entries(value) if not is_encodable(dict([entry]))), None)
        if found is None:
            return _at(path, f"a value of the type {type(value).__qualname__!r}")
        key, value = found
        if not is_encodable({key: 0}):
            return _at(path, f"a key of the type {type(key).__qualname__!r}")
        path.append(str(key))


def _entries(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()


def _at(path: list[str], what: str) -> str:
    place = ".".join(path)
    if len(place) > _LONGEST_PATH:
        place = f"{place[: _LONGEST_PATH // 2]}…{place[-_LONGEST_PATH // 2 :]}"
    return f"{place}: {what}" if place else what


_LONGEST_PATH: Final = 200


def is_encodable(value: object) -> bool:
    """Return whether a value has a JSON form."""
    try:
        dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def lazy_text(value: object) -> str | None:
    """Return the text of one of Django's lazy texts; `None` if it is something else."""
    # By its name: without Django there is no lazy text, and no import is needed.
    return str(value) if _is_lazy(type(value)) else None


def _is_lazy(cls: type[object]) -> bool:
    return any(
        base.__module__ == "django.utils.functional" and base.__name__ == "Promise"
        for base in cls.__mro__
    )


def _default(value: Any) -> Any:
    """Return what JSON has for a value that an encoder does not know.

    Raises:
        TypeError: it has nothing.
    """
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Enum):
        return value.value
    text = _text(value)
    if text is not None:
        return text
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        # As orjson does it.
        return {name: getattr(value, name) for name in names if not name.startswith("_")}
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _text(value: Any) -> str | None:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, Decimal | UUID):
        return str(value)
    return lazy_text(value)


def _duration(value: timedelta) -> str:
    """Write a duration as Django does: `P1DT02H03M04.000005S` (ISO 8601)."""
    sign, value = ("-", -value) if value < timedelta(0) else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06d}" if value.microseconds else ""
    return f"{sign}P{value.days}DT{hours:02d}H{minutes:02d}M{seconds:02d}{fraction}S"


def _plain(value: Any) -> Any:
    """Return a value with nothing but texts as keys, and `None` for what is not a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int) or value is None:
        return value
    if isinstance(value, dict):
        items: dict[Any, Any] = value
        return {_key(key): _plain(item) for key, item in items.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _plain(_default(value))


def _key(key: Any) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    text = _text(key)
    if text is None:
        raise TypeError(f"A key of the type {type(key).__name__} is not JSON serializable")
    return text

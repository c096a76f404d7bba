"""JSON text ⇄ Python values: orjson where it can, the standard library where not."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_LONG_NUMBER = re.compile(r"\d{19}")


def dumps(value: object) -> str:
    """Encode `value` as compact JSON text.

    orjson refuses integers beyond 64 bits, lone surrogates, keys that are not strings
    and more than 254 levels; the standard library takes all of them.

    Raises:
        TypeError, ValueError, RecursionError: it has no JSON form.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Any:
    """Decode JSON text.

    orjson reads integers beyond 64 bits as floats; a number so long goes to the
    standard library, so that no digit is lost.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    if _LONG_NUMBER.search(text) is None:
        return orjson.loads(text)
    orjson.loads(text)  # Checks what the other would accept: NaN, deep nesting.
    return json.loads(text)

"""JSON text ⇄ Python values: orjson where it can, the standard library where not."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

# A first character of its own is what the search can skip to: it takes half the time.
_LONG_NUMBER = re.compile(r"[0-9][0-9]{18}")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


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
    standard library, so that no digit is lost. Half of a surrogate pair, as browsers
    send it when text was cut within an emoji, becomes U+FFFD.

    Raises:
        ValueError, RecursionError: it is not JSON, or nested too deeply.
    """
    try:
        value = orjson.loads(text)
    except ValueError:
        if _ESCAPED_SURROGATE.search(text) is None:
            raise
        text = _without_lone_surrogates(text)
        value = orjson.loads(text)
    # Behind orjson, which refuses what this one would take: NaN, deep nesting.
    return value if _LONG_NUMBER.search(text) is None else json.loads(text)


def _without_lone_surrogates(text: str) -> str:
    # Decoding joins the pairs: what is left then is alone.
    joined = json.dumps(json.loads(text), ensure_ascii=False)
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", joined)

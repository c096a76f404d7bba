"""Headers that every answer has, and a check of those that the user's code has set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from http.cookies import Morsel
from typing import Any, Final

from django.http import HttpResponse

# RFC 9110, 5.1 and 5.5. Servers drop the connection of an answer with anything else in them.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUES: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")

_VARY: Final = ("Accept", "Cookie", "Origin")

_DEFAULTS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "vary": ", ".join(_VARY),
}

_OF_SERVER: Final = frozenset({"content-length", "transfer-encoding"})
"""Headers that depend on how the body is sent."""

_LAST_STATUS: Final = 599

BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


def is_header_name(text: str) -> bool:
    """Return whether a text is the name of a header (RFC 9110, 5.1)."""
    return _NAME.fullmatch(text) is not None


class UnsendableError(Exception):
    """The user's code has set something that no server can send; the text says what."""


def headers_of_answer(response: HttpResponse, more: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an answer by lower-case name, with those that every answer has.

    It is not to be stored, unless the user's code says so, it is what it says it is, and it
    depends on what `Vary` names.

    Args:
        response: the answer. The body of a status that has none is taken away.
        more: further headers, by lower-case name.

    Raises:
        UnsendableError: it cannot be sent.
    """
    status: Any = response.status_code
    if not isinstance(status, int) or not HTTPStatus.OK <= status <= _LAST_STATUS:
        raise UnsendableError(f"the status {status!r}, which is not a number from 200 to 599")
    if status in BODILESS and response.content:
        response.content = b""
    headers = dict(_DEFAULTS)
    for name, value in response.items():
        if not is_header_name(name):
            raise UnsendableError(f"a header with the name {name!r}")
        if _NOT_IN_VALUES.search(value):
            raise UnsendableError(f"the header {name!r}, which has a control character in it")
        headers[name.lower()] = value.strip()
    for name, morsel in response.cookies.items():
        if not _can_be_sent(morsel):
            problem = "which has a character in it that no header may have"
            raise UnsendableError(f"the cookie {name!r}, {problem}")
    for name in _OF_SERVER:
        headers.pop(name, None)
    _vary(headers)
    headers.update(more)
    return headers


def _vary(headers: dict[str, str]) -> None:
    """Add to `Vary` what the answer depends on, unless it is a file for everybody."""
    vary = headers["vary"]
    if vary is _DEFAULTS["vary"]:
        if "public" in headers["cache-control"]:
            del headers["vary"]
    elif "public" not in headers["cache-control"]:
        named = {each.strip().lower() for each in vary.split(",")}
        headers["vary"] = ", ".join([vary, *(each for each in _VARY if each.lower() not in named)])


def _can_be_sent(morsel: Morsel[Any]) -> bool:
    # Recent releases of Python refuse control characters themselves.
    try:
        text = morsel.OutputString()
    except Exception:  # noqa: BLE001 (`CookieError`, or what a value raises)
        return False
    return text.isascii() and not _NOT_IN_VALUES.search(text)

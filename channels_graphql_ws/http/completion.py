"""Headers that every answer has, and a check of those that the user's code has set."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from http.cookies import Morsel
from typing import Any, Final

from django.http import HttpResponse
from django.utils.cache import patch_vary_headers

log = logging.getLogger("channels_graphql_ws.http")

# RFC 9110, 5.1 and 5.5. Servers drop the connection of an answer with anything else in them.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUES: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")

_VARY: Final = ("Accept", "Cookie", "Origin")

_OF_SERVER: Final = ("Content-Length", "Transfer-Encoding")
"""Headers that depend on how the body is sent."""

_LAST_STATUS: Final = 599

BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


def complete(response: HttpResponse, more: Mapping[str, str]) -> None:
    """Add what every answer has: it is not to be stored, and is what it says it is.

    Args:
        response: what the user's code has set stays, as far as it can be sent.
        more: further headers.
    """
    headers = response.headers
    for name in _OF_SERVER:
        if name in headers:
            del headers[name]
    for name, value in list(headers.items()):
        if value != value.strip():
            headers[name] = value.strip()
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if "public" not in headers["Cache-Control"]:
        _vary(response)
    for name, value in more.items():
        headers[name] = value
    if response.status_code in BODILESS and response.content:
        response.content = b""


def problem_of(response: HttpResponse) -> str | None:
    """Return what no server could send of an answer, `None` if there is no such thing."""
    status: Any = response.status_code
    if not isinstance(status, int) or not HTTPStatus.OK <= status <= _LAST_STATUS:
        return f"the status {status!r}, which is not a number from 200 to 599"
    for name, value in response.items():
        if not _NAME.fullmatch(name):
            return f"a header with the name {name!r}"
        if _NOT_IN_VALUES.search(value):
            return f"the header {name!r}, which has a control character in it"
    for name, morsel in response.cookies.items():
        if not _can_be_sent(morsel):
            return f"the cookie {name!r}, which has a character in it that no header may have"
    return None


def _can_be_sent(morsel: Morsel[Any]) -> bool:
    # Recent releases of Python refuse control characters themselves.
    try:
        text = morsel.OutputString()
    except Exception:  # noqa: BLE001 (`CookieError`, or what a value raises)
        return False
    return text.isascii() and not _NOT_IN_VALUES.search(text)


def _vary(response: HttpResponse) -> None:
    if "Vary" in response.headers:
        patch_vary_headers(response, _VARY)
    else:
        response.headers["Vary"] = ", ".join(_VARY)

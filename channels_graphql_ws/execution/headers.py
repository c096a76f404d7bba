"""Headers of an ASGI scope, read in time that is linear in their length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

MAX_HEADERS_SIZE: Final = 65_536
"""Bytes that all headers together may have, names included."""

MAX_PARSED_LENGTH: Final = 1_000
"""Characters of a structured header (`Accept`, `Content-Type`) that are parsed."""

MAX_COOKIE_WORK: Final = 4_000_000
"""Backslashes of the `Cookie` header times its length. To unquote a cookie takes that many
steps before Python 3.11.10 and 3.12.6 (CVE-2024-7592); what browsers send stays far below."""

_COOKIE: Final = b"cookie"

_COOKIE_LENGTH: Final = len(_COOKIE)


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers by lower-case name; the values of a repeated one are joined."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in scope.get("headers", ()):
        values.setdefault(name.lower(), []).append(value)
    return {
        # HTTP/2 sends cookies one by one (RFC 9113, 8.2.3).
        name.decode("latin-1"): (b"; " if name == b"cookie" else b", ")
        .join(each)
        .decode("latin-1")
        for name, each in values.items()
    }


def has_header(scope: Mapping[str, Any], wanted: bytes) -> bool:
    """Return whether there is a header of a lower-case name, without reading the others."""
    length = len(wanted)
    for name, _ in scope.get("headers", ()):
        if len(name) == length and name.lower() == wanted:
            return True
    return False


def problem_of_headers(scope: Mapping[str, Any]) -> str | None:
    """Return why the headers are too large to be read, `None` if they are not."""
    raw: Iterable[tuple[bytes, bytes]] = scope.get("headers", ())
    size = cookie_size = backslashes = 0
    for name, value in raw:
        size += len(name) + len(value)
        if len(name) == _COOKIE_LENGTH and name.lower() == _COOKIE:
            cookie_size += len(value)
            backslashes += value.count(b"\\")
    if size > MAX_HEADERS_SIZE:
        return f"The headers are longer than {MAX_HEADERS_SIZE} bytes"
    if backslashes * cookie_size > MAX_COOKIE_WORK:
        return "The header Cookie has too many backslashes"
    return None

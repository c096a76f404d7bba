"""What a server would tell an application of a connection or a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast
from urllib.parse import unquote, urlsplit

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[bytes, bytes]] | None
"""Names and values as text, or as ASGI has them."""

_CLIENT = ["127.0.0.1", 50_000]
HOST = b"testserver"
"""The host which Django's test runner and pytest-django allow."""

_SERVER = [HOST.decode(), 80]


def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Write headers as ASGI has them."""
    if not isinstance(headers, Mapping):
        return list(headers or ())
    # An iterable of pairs might be a mapping too, for all that type checkers know.
    named = cast("Mapping[str, str]", headers)
    return [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in named.items()]


def websocket_scope(
    path: str,
    subprotocol: str,
    *,
    headers: Iterable[tuple[bytes, bytes]] | None = None,
    spec_version: str | None = None,
) -> dict[str, Any]:
    """Build the connection scope (ASGI, WebSocket Connection Scope)."""
    parts = urlsplit(path)
    raw_path = "/" + parts.path.removeprefix("/")
    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": spec_version or "2.3"},
        "scheme": "ws",
        "path": unquote(raw_path),
        "query_string": parts.query.encode(),
        "headers": list(headers or ()),
        "client": _CLIENT,
        "server": _SERVER,
        "subprotocols": [subprotocol],
    }
    if spec_version is not None:
        # Where `channels.testing` puts it.
        scope["spec_version"] = spec_version
    return scope


def http_scope(
    method: str, path: str, query_string: str, headers: Iterable[tuple[bytes, bytes]]
) -> dict[str, Any]:
    """Build the scope of a request (ASGI, HTTP Connection Scope)."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query_string.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": _CLIENT,
        "server": _SERVER,
    }

"""What code of Django expects of a request, made from an ASGI scope of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

REQUEST_NAMES: Final = frozenset(
    {
        "COOKIES",
        "GET",
        "META",
        "accepted_types",
        "accepts",
        "build_absolute_uri",
        "content_params",
        "content_type",
        "encoding",
        "get_full_path",
        "get_full_path_info",
        "get_host",
        "get_port",
        "get_signed_cookie",
        "is_secure",
        "method",
        "path",
        "path_info",
        "scheme",
    }
)
"""Names of Django's `HttpRequest` that mean the same of a WebSocket's handshake."""

_SCHEMES: Final = {"ws": "http", "wss": "https"}


def request_of(scope: Mapping[str, Any]) -> HttpRequest:
    """Return Django's own request where a view serves it, or one of the scope's values."""
    own: HttpRequest | None = scope.get("django_request")
    if own is not None:
        return own
    scheme = scope.get("scheme") or "http"
    # What a handshake of a WebSocket has no word for, and Django asks for.
    values = {
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
        **scope,
        "scheme": _SCHEMES.get(scheme, scheme),
    }
    return ASGIRequest(values, BytesIO())


class Headers(dict[str, str]):
    """Headers by lower-case name; any spelling finds them."""

    __slots__ = ()

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name.lower() if isinstance(name, str) else name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a header, or a default."""
        return super().get(name.lower(), default)

"""What code of Django expects of a request, made from an ASGI scope of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final, Never

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, QueryDict
from django.utils.datastructures import MultiValueDictKeyError

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
        "get_preferred_type",
        "get_signed_cookie",
        "is_secure",
        "method",
        "path",
        "path_info",
        "scheme",
    }
)
"""Names of Django's `HttpRequest` that mean the same of a WebSocket's handshake."""

MISSING: Final = object()
"""In place of an attribute that is not there."""

_OF_CONTEXT: Final = frozenset(
    {
        "channel_name",
        "channels_scope",
        "connection_params",
        "data_loaders",
        "graphql_operation_id",
        "graphql_operation_name",
        "request",
        "response",
    }
)
"""Names that mean nothing, or something else, on a request of Django's."""

_ORIGINALS: Final = "_channels_graphql_ws_originals"
"""Where a request keeps what its attributes were before an operation has set them."""

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


def value_of_middleware(request: HttpRequest | None, name: object) -> Any:
    """Return what middleware or a decorator has put on Django's request; `MISSING` if nothing."""
    if request is None or name == _ORIGINALS:
        return MISSING
    attributes: Any = vars(request)
    originals = attributes.get(_ORIGINALS, {})
    return originals[name] if name in originals else attributes.get(name, MISSING)


def value_of_view(request: HttpRequest | None, name: str) -> Any:
    """Return what Django's request in a view has under a name; `MISSING` if nothing."""
    found = value_of_middleware(request, name)
    is_its_own = found is MISSING and not name.startswith("_") and hasattr(type(request), name)
    return getattr(request, name) if is_its_own else found


def hand_on(request: HttpRequest, name: object, value: Any) -> None:
    """Set on Django's request what an operation has set on its context.

    Decorators and middleware look for it there when the view has answered. Other operations of
    the same request do not see it, see `value_of_middleware`.
    """
    is_own = name in REQUEST_NAMES or name in _OF_CONTEXT
    if not isinstance(name, str) or is_own or hasattr(type(request), name):
        return
    attributes = vars(request)
    originals = attributes.setdefault(_ORIGINALS, {})
    originals.setdefault(name, attributes.get(name, MISSING))
    attributes[name] = value


def take_back(request: HttpRequest, name: str) -> None:
    """Undo `hand_on`."""
    attributes = vars(request)
    originals = attributes.get(_ORIGINALS, {})
    if name not in originals:
        return
    original = originals.pop(name)
    if original is MISSING:
        del attributes[name]
    else:
        attributes[name] = original


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


class NoForm(QueryDict):
    """The `POST` of a body in JSON: empty, as Django has it for packages that look into it."""

    def __getitem__(self, name: str) -> Never:
        """Say where values are."""
        raise MultiValueDictKeyError(
            f"{name!r}. It is not a Django request: values come as arguments; over HTTP, "
            "`info.context.request` has the request"
        )

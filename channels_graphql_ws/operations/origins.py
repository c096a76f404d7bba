"""Decide which web pages may connect, by `Origin`, `Host` and Django's settings.

Browsers let any page open a WebSocket to any site, or send it a request, with the cookies of
that site; only the header `Origin` tells whose page it is. Programs send none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain

from channels_graphql_ws.client_log import shown
from channels_graphql_ws.execution.headers import headers_of

ANY_ORIGIN: Final = "*"

_DEBUG_HOSTS: Final = (".localhost", "127.0.0.1", "[::1]")
"""What Django takes for ALLOWED_HOSTS where that is empty and DEBUG is on."""

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class Trust(Enum):
    """Why a page may connect."""

    OWN = "it is a page of this site"
    LISTED = "its origin is listed in `allowed_origins` or CSRF_TRUSTED_ORIGINS"
    ANY = "`allowed_origins` allows any origin"


class _Origin(NamedTuple):
    scheme: str
    domain: str
    port: str


class Server:
    """The site as a client has addressed it, by Django's rules.

    Args:
        scope: the ASGI scope of a WebSocket or a request.
        headers: by any name; read from the scope if they are not given.
    """

    __slots__ = ("_headers", "_scope")

    def __init__(self, scope: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self._scope = scope
        self._headers = headers_of(scope) if headers is None else headers

    @property
    def host(self) -> str | None:
        """The host that the client has named, as `HttpRequest.get_host()` reads it.

        HTTP/1.1 and browsers always name one; `None` if this client does not.
        """
        host = self._headers.get("host")
        if settings.USE_X_FORWARDED_HOST:
            host = self._headers.get("x-forwarded-host", host)
        return host

    @property
    def origin(self) -> str | None:
        """The header `Origin`, `None` if there is none."""
        return self._headers.get("origin")

    def check_host(self) -> None:
        """Check the host against ALLOWED_HOSTS, as Django does.

        Raises:
            DisallowedHost: it is not allowed.
        """
        host = self.host
        if host is not None and not _is_allowed(host, tuple(_allowed_hosts())):
            _Addressed(self._scope, self._headers).get_host()

    def trust(self, origin: str, allowed: Sequence[str] | None) -> Trust | None:
        """Return why a page may connect, `None` if it may not.

        Args:
            origin: where the page comes from, as in the header `Origin`.
            allowed: the option `allowed_origins`.
        """
        text = origin.lower()
        parts = _parts(text)
        listed = settings.CSRF_TRUSTED_ORIGINS if allowed is None else allowed
        if any(_matches(text, parts, each.lower()) for each in listed):
            return Trust.LISTED
        if allowed is not None and ANY_ORIGIN in allowed:
            return Trust.ANY
        if parts is None or parts.scheme not in _DEFAULT_PORTS:
            return None
        return Trust.OWN if self._is_own(parts, by_name=allowed is None) else None

    def explain(self, origin: str, allowed: Sequence[str] | None) -> str:
        """Return which origin is refused, what it was compared with, and what to set."""
        compared = f"the host {shown(self.host or 'unknown')}"
        if allowed is None:
            compared += (
                f", ALLOWED_HOSTS {list(_allowed_hosts())!r} with its port, "
                f"and CSRF_TRUSTED_ORIGINS {list(settings.CSRF_TRUSTED_ORIGINS)!r}"
            )
        else:
            compared += f" and `allowed_origins` {list(allowed)!r}"
        cure = "CSRF_TRUSTED_ORIGINS or `allowed_origins`" if allowed is None else "the latter"
        return (
            f"of the origin {shown(origin)}: it was compared with {compared}. "
            f"If its pages may connect, add it to {cure}"
        )

    def _is_own(self, origin: _Origin, *, by_name: bool) -> bool:
        """Return whether a page is served by the site itself.

        Args:
            origin: where the page comes from.
            by_name: whether it may be on any host of ALLOWED_HOSTS.
        """
        domain, port = self._connected(origin.scheme)
        hosts = _allowed_hosts()
        if not by_name or "*" in hosts:
            return (origin.domain, origin.port) == (domain, port)
        if not validate_host(origin.domain, hosts):
            return False
        if origin.port == port:
            return True
        # A proxy that names another host hides the port, too.
        if domain is None:
            return origin.port == _DEFAULT_PORTS[origin.scheme]
        return _is_developing() and validate_host(origin.domain, _DEBUG_HOSTS)

    def _connected(self, scheme: str) -> tuple[str | None, str]:
        """Return domain and port that the client has connected to; `None` if it is unknown."""
        host = self.host or ""
        if not _is_allowed(host, tuple(_allowed_hosts())):
            host = ""
        domain, port = split_domain_port(host)
        # Where TLS ends in a proxy, only the page knows of it.
        secure = scheme == "https" or _Addressed(self._scope, self._headers).is_secure()
        return domain or None, port or ("443" if secure else "80")


def check_allowed_origins(value: Any, name: str) -> None:
    """Check the option `allowed_origins`.

    Raises:
        TypeError: it is not a sequence of strings.
        ValueError: one of them is not an origin.
    """
    if value is None:
        return
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} is {value!r}, it must be a list of origins, or `None`")
    for each in value:
        if not isinstance(each, str):
            raise TypeError(f"{name} has {each!r} in it, which is not a string")
        scheme, separator, netloc = each.partition("://")
        is_origin = scheme and separator and netloc and not set("/?#@").intersection(netloc)
        if not is_origin and each not in {ANY_ORIGIN, "null", "file://"}:
            raise ValueError(
                f"{name} has {each!r} in it, which is not an origin: it must be a scheme, a "
                "host and perhaps a port, such as 'https://example.com:8443' or "
                "'https://*.example.com', without a path; or '*' for any"
            )


class _Addressed(HttpRequest):
    """As much of Django's request as its rules about hosts look at."""

    def __init__(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self._is_tls = scope.get("scheme") in {"https", "wss"}
        self.META = {
            # Like Django: a name with an underscore could pass for one with a hyphen.
            "HTTP_" + name.upper().replace("-", "_"): value
            for name, value in headers.items()
            if "_" not in name
        }

    def _get_scheme(self) -> str:
        return "https" if self._is_tls else "http"


def _allowed_hosts() -> Sequence[str]:
    hosts: Sequence[str] = settings.ALLOWED_HOSTS
    return hosts or (_DEBUG_HOSTS if settings.DEBUG else ())


@lru_cache(maxsize=256)
def _is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


def _is_developing() -> bool:
    """Return whether hosts are those of Django's development server: this machine's."""
    return settings.DEBUG and not settings.ALLOWED_HOSTS


def _parts(origin: str) -> _Origin | None:
    scheme, _, netloc = origin.partition("://")
    domain, port = split_domain_port(netloc)
    return _Origin(scheme, domain, port or _DEFAULT_PORTS.get(scheme, "")) if domain else None


def _matches(origin: str, parts: _Origin | None, entry: str) -> bool:
    """Return whether an origin is the one that an entry of a list means."""
    # Apps have schemes of their own, and hosts that would not be any.
    if origin == entry and origin != ANY_ORIGIN:
        return True
    scheme, _, netloc = entry.partition("://")
    if parts is None or scheme != parts.scheme:
        return False
    # Django's setting has a star in front: "https://*.example.com".
    domain, port = split_domain_port(netloc.removeprefix("*"))
    port = port or _DEFAULT_PORTS.get(scheme, "")
    return port == parts.port and is_same_domain(parts.domain, domain)

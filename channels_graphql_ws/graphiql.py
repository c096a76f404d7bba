"""GraphiQL without a CDN: the page, and its files where nothing else serves them."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.apps import apps
from django.conf import settings as django_settings
from django.template import Context, Engine, TemplateDoesNotExist
from django.template.loader import get_template
from django.templatetags.static import static
from django.utils.html import json_script

ASSET_PARAMETER = "graphiql-asset"
"""The query parameter of the endpoint that names one of the page's files."""

TEMPLATE = "channels_graphql_ws/graphiql.html"
"""The page's template: the first one of this name in the project's template folders wins."""

# The editor writes styles, which needs 'unsafe-inline'.
_POLICY = (
    "default-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "object-src 'none'",
)

_HERE = Path(__file__).parent
_FOLDER = _HERE / "static" / "channels_graphql_ws" / "graphiql"
_STATIC_PREFIX = "channels_graphql_ws/graphiql"
_WORKERS = ("editor", "graphql", "json")
_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
_COMPRESSIBLE = frozenset({".css", ".js", ".svg", ".ttf", ".txt"})
_FILE_OF_STYLE = re.compile(rb'url\(["\']?\./([\w.-]+)["\']?\)')
_OWN_HOST = re.compile(r"/(?!/)")
_NO_GZIP = re.compile(r"q=0(\.0*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphiqlConfig:
    """Settings of the page."""

    title: str = "GraphiQL"
    endpoint: str | None = None
    """Address for queries and mutations; `None`: that of the page."""
    subscription_endpoint: str | None = None
    """Address for subscriptions, a path or a URL; `None`: the endpoint."""
    default_query: str | None = None
    """Document in the first tab of a new visitor; `None`: GraphiQL's introduction."""
    default_headers: Mapping[str, str] | None = None
    """Initial content of the Headers tab."""
    persist_headers: bool = False
    """Whether the browser may store the Headers tab, including any tokens in it."""
    csrf_token: str | None = None
    """CSRF token for a page whose scripts cannot read the cookie; `GraphqlView` sets it."""
    static_files: bool | None = None
    """Whether `django.contrib.staticfiles` serves the files, and not the endpoint.
    `None`: if both it and this package are in INSTALLED_APPS."""
    is_wsgi: bool = False
    """Whether the page is served through WSGI, which has no WebSocket; `GraphqlView` sets it.
    A subscription that finds no WebSocket then says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One of the page's files."""

    name: str
    content: bytes
    content_type: str
    etag: str
    """Including the quotes, as in the HTTP header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetResponse:
    """Response to a request for a file."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def render(config: GraphiqlConfig | None = None) -> str:
    """Return the HTML of the page; send it with `page_headers`.

    It reads files: call it in a thread. A template of the project replaces ours, see `TEMPLATE`;
    its context has `title`, `script`, `stylesheet` and `icon` (URLs), and `settings`, an HTML
    element for the script.
    """
    config = config or GraphiqlConfig()
    urls = _asset_urls(static_files=config.static_files)
    context = {
        "title": config.title,
        "script": urls["graphiql.js"],
        "stylesheet": urls["graphiql.css"],
        "icon": urls["favicon.svg"],
        "settings": json_script(_settings_of_script(config, urls), "graphiql-config"),
    }
    try:
        template = get_template(TEMPLATE)
    # Neither the project nor INSTALLED_APPS has a template of this name.
    except TemplateDoesNotExist:
        return _engine().get_template(TEMPLATE).render(Context(context))
    return template.render(context)


def page_headers(config: GraphiqlConfig | None = None) -> dict[str, str]:
    """Return the headers of the page, among them a Content-Security-Policy."""
    config = config or GraphiqlConfig()
    origins = [_origin(each) for each in (config.endpoint, config.subscription_endpoint)]
    elsewhere = sorted({each for each in origins if each is not None})
    policy = [*_POLICY, f"connect-src 'self' {' '.join(elsewhere)}"] if elsewhere else _POLICY
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(policy),
        # The page has a CSRF token in it.
        "Cache-Control": "private, no-store",
        "Referrer-Policy": "same-origin",
        "Vary": "Accept, Cookie",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }


@cache
def asset_names() -> frozenset[str]:
    """Return the names of all files that may be requested."""
    return frozenset(each.name for each in _FOLDER.iterdir() if each.suffix in _CONTENT_TYPES)


@cache
def asset(name: str) -> Asset:
    """Return a file, which is read once. It may be megabytes: call it in a thread.

    Raises:
        KeyError: there is no such file.
    """
    if name not in asset_names():
        raise KeyError(name)
    file = _FOLDER / name
    content = file.read_bytes()
    if file.suffix == ".css":
        content = _FILE_OF_STYLE.sub(_own_url, content)
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Asset(
        name=name,
        content=content,
        content_type=_CONTENT_TYPES[file.suffix],
        etag=f'"{digest}"',
    )


def asset_response(name: str, headers: Mapping[str, str] | None = None) -> AssetResponse:
    """Return the response to a request for a file; call it in a thread.

    Args:
        name: the value of the query parameter `ASSET_PARAMETER`.
        headers: those of the request, with lower-case names.
    """
    headers = headers or {}
    try:
        found = asset(name)
    except KeyError:
        return AssetResponse(
            status=HTTPStatus.NOT_FOUND,
            headers={"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"},
            body=b"GraphiQL has no such file.\n",
        )
    answer = {
        # The address has the digest in it.
        "Cache-Control": "public, max-age=31536000, immutable",
        "Content-Type": found.content_type,
        "ETag": f"W/{found.etag}",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if found.etag in headers.get("if-none-match", ""):
        return AssetResponse(status=HTTPStatus.NOT_MODIFIED, headers=answer, body=b"")
    body = found.content
    if Path(name).suffix in _COMPRESSIBLE and _takes_gzip(headers.get("accept-encoding", "")):
        body = _gzipped(name)
        answer["Content-Encoding"] = "gzip"
    return AssetResponse(status=HTTPStatus.OK, headers=answer, body=body)


def _origin(address: str | None) -> str | None:
    parts = urlsplit(address or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else None


def _settings_of_script(config: GraphiqlConfig, urls: Mapping[str, str]) -> dict[str, Any]:
    headers = config.default_headers
    return {
        "title": config.title,
        "endpoint": config.endpoint,
        "subscriptionEndpoint": config.subscription_endpoint,
        "defaultQuery": config.default_query,
        "defaultHeaders": None if headers is None else json.dumps(dict(headers), indent=2),
        "persistHeaders": config.persist_headers,
        "isWsgi": config.is_wsgi,
        "csrf": {
            # With sessions Django sets no cookie: one of this name is stale or foreign.
            "cookie": None if django_settings.CSRF_USE_SESSIONS else _csrf_cookie(),
            "header": _csrf_header(),
            "token": config.csrf_token,
        },
        "workers": {name: urls[f"{name}.worker.js"] for name in _WORKERS},
    }


def _csrf_cookie() -> str:
    name: str = django_settings.CSRF_COOKIE_NAME
    return name


def _csrf_header() -> str:
    """Return the name of the header; Django's setting has its key in `request.META`."""
    name: str = django_settings.CSRF_HEADER_NAME
    return name.removeprefix("HTTP_").replace("_", "-").title()


def _asset_urls(*, static_files: bool | None) -> Mapping[str, str]:
    names = ("graphiql.js", "graphiql.css", "favicon.svg", *(f"{n}.worker.js" for n in _WORKERS))
    if static_files is None:
        static_files = all(
            apps.is_installed(each)
            for each in ("django.contrib.staticfiles", "channels_graphql_ws")
        )
    if static_files:
        try:
            urls = {name: static(f"{_STATIC_PREFIX}/{name}") for name in names}
        # A storage with a manifest, and `collectstatic` has not been run.
        except ValueError:
            urls = {}
        # Browsers start no worker from another host.
        if urls and all(_OWN_HOST.match(each) for each in urls.values()):
            return urls
    return {name: _own_address(name) for name in names}


def _own_address(name: str) -> str:
    """Return an address relative to the page, wherever that is mounted."""
    digest = asset(name).etag.strip('"')
    return f"?{urlencode({ASSET_PARAMETER: name, 'v': digest})}"


def _own_url(found: re.Match[bytes]) -> bytes:
    return b'url("%s")' % _own_address(found[1].decode()).encode()


@cache
def _engine() -> Engine:
    return Engine(dirs=[str(_HERE / "templates")])


@cache
def _gzipped(name: str) -> bytes:
    return gzip.compress(asset(name).content, compresslevel=6, mtime=0)


def _takes_gzip(accept_encoding: str) -> bool:
    for each in accept_encoding.lower().split(","):
        coding, _, weight = each.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return _NO_GZIP.fullmatch(weight.strip()) is None
    return False

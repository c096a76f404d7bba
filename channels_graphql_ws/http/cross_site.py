"""Requests of web pages: which are refused, and which answers other origins may read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from django.core.exceptions import DisallowedHost
from django.http import HttpResponse

from channels_graphql_ws.client_log import ClientLog, Sentence
from channels_graphql_ws.execution.headers import MAX_PARSED_LENGTH
from channels_graphql_ws.http.completion import is_header_name
from channels_graphql_ws.http.errors import HttpError
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.operations.defaults import is_debug
from channels_graphql_ws.operations.origins import Server, Trust

log = ClientLog("channels_graphql_ws.http")

MAX_AGE = 600
"""Seconds for which a browser may keep the answer to a preflight."""


_NO_HEADERS: Mapping[str, str] = {}


class CrossSiteCheck:
    """Checks where a request comes from, and where it has been sent to.

    Args:
        request: the request.
        allowed_origins: the option of this name.
    """

    def __init__(self, request: HttpRequest, allowed_origins: Sequence[str] | None) -> None:
        self._request = request
        self._allowed = allowed_origins
        self._known_server: Server | None = None

    @property
    def _server(self) -> Server:
        # Not before the size of the headers is known.
        if self._known_server is None:
            self._known_server = Server(self._request.scope, self._request.headers_by_name)
        return self._known_server

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks what a page of another origin may send (Fetch, CORS)."""
        headers = self._request.headers_by_name
        return "origin" in headers and "access-control-request-method" in headers

    def check_host(self) -> None:
        """Refuse a host that ALLOWED_HOSTS does not allow, as Django does.

        Raises:
            HttpError: 400.
        """
        try:
            self._server.check_host()
        except DisallowedHost as error:
            log.warning("Refused a request: %s", error)
            raise _error("The host is not allowed", str(error), HTTPStatus.BAD_REQUEST) from None

    def check_origin(self) -> None:
        """Refuse what the page of another site sends, unless that is trusted.

        Raises:
            HttpError: 403.
        """
        origin = self._server.origin
        if origin is None:
            if self._request.headers_by_name.get("sec-fetch-site") != "cross-site":
                return
            # Links and images come without `Origin`. A page may leave this out, not forge it.
            origin = _origin_of(self._request.headers_by_name.get("referer", ""))
        if self._server.trust(origin or "", self._allowed) is None:
            problem = f"Refused a request {self._explain(origin)}"
            log.warning("%s", Sentence(problem))
            raise _error("Requests of other sites are refused", problem, HTTPStatus.FORBIDDEN)

    def _explain(self, origin: str | None) -> str:
        if origin is not None:
            return self._server.explain(origin, self._allowed)
        return (
            "of another site (`Sec-Fetch-Site: cross-site`) that says no more of itself, neither "
            "in `Origin` nor in `Referer`: such links and images execute nothing"
        )

    def preflight(self, methods: str) -> HttpResponse:
        """Answer a preflight.

        Args:
            methods: those that are served, separated by commas.

        Raises:
            HttpError: the origin is not trusted, or what it asks for is no list of headers.
        """
        self.check_origin()
        response = HttpResponse(status=HTTPStatus.NO_CONTENT)
        del response.headers["Content-Type"]
        response.headers["Access-Control-Allow-Methods"] = methods
        response.headers["Access-Control-Max-Age"] = str(MAX_AGE)
        wanted = self._request.headers_by_name.get("access-control-request-headers", "")
        if 0 < len(wanted) <= MAX_PARSED_LENGTH:
            if not all(is_header_name(each.strip(" \t")) for each in wanted.split(",")):
                raise HttpError("Access-Control-Request-Headers is not a list of header names")
            response.headers["Access-Control-Allow-Headers"] = wanted
        return response

    def headers(self) -> Mapping[str, str]:
        """Return the headers that let the page of another origin read the answer.

        Their names are in lower case.
        """
        origin = self._server.origin
        if origin is None:
            return _NO_HEADERS
        trust = self._server.trust(origin, self._allowed)
        if trust is Trust.ANY:
            # Not to pages that send cookies along: that would be any page.
            return {"access-control-allow-origin": "*"}
        if trust is Trust.LISTED:
            return {
                "access-control-allow-origin": origin,
                "access-control-allow-credentials": "true",
            }
        return _NO_HEADERS


def _error(message: str, explanation: str, status: int) -> HttpError:
    return HttpError(explanation if is_debug() else message, status)


def _origin_of(address: str) -> str | None:
    """Return the origin of a page, `None` if its address has none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else None

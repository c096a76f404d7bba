"""One address of a server: requests to it, and what their answers mean."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, Final

from channels_graphql_ws.client.aiohttp_transport import (
    Headers,
    Url,
    checked_url,
    seconds_of,
    unreachable,
)
from channels_graphql_ws.client.asked import Asked
from channels_graphql_ws.client.errors import ConnectionRejectedError, error_details
from channels_graphql_ws.client.option_values import checked_fields, checked_headers
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError
from channels_graphql_ws.json_text import loads

if TYPE_CHECKING:
    import aiohttp

_SHOWN: Final = 200  # characters of an answer that an error shows

_BAD_REQUEST: Final = 400
_SERVER_ERROR: Final = 500

# These concern the client or the state of the server, not the operation, even if the body looks
# like a result.
_ABOUT_THE_CLIENT: Final = frozenset({401, 403, 408, 425, 429})


class HttpEndpoint:
    """Where a server takes GraphQL over HTTP.

    Args:
        url, cookies, headers: or functions that return them; asked for with each request.
        session: to use, and not to close; without one, one is made in `open()`.
        options: of each request, as aiohttp has them.
        max_size: bytes of an answer.
    """

    def __init__(
        self,
        url: Url,
        cookies: Headers,
        headers: Headers,
        *,
        session: aiohttp.ClientSession | None,
        options: Mapping[str, Any],
        max_size: int,
    ) -> None:
        self.address = url if isinstance(url, str) else "the server"
        self.max_size = max_size
        self._url = Asked("url", url)
        self._cookies = Asked("cookies", cookies)
        self._headers = Asked("headers", headers)
        self._given = session
        self._session = session
        self._options = options

    def open(self) -> None:
        """Make a session, unless one was given."""
        import aiohttp  # noqa: PLC0415 (a program without HTTP need not load it)

        if self._session is None:
            # Each subscription has a connection of its own; the user decides how many there are.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
            )

    async def close(self) -> None:
        """Close the session that was made."""
        session, self._session = self._session, self._given
        if session is not None and session is not self._given:
            await session.close()

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, accept: str, *, headers: Mapping[str, str], **arguments: Any
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send a request and return its answer, still to be read.

        Raises:
            ConnectionRejectedError: the server cannot be reached.
            ConnectionClosedError: the connection was lost before all was read.
        """
        import aiohttp  # noqa: PLC0415 (see `open`)

        assert self._session is not None, "the transport is connected"
        self.address = checked_url(await self._url.value())
        given = checked_headers(await self._headers.value())
        sent = {**given, **headers, "Accept": accept}
        if cookies := checked_fields("cookies", await self._cookies.value()):
            sent["Cookie"] = SimpleCookie(cookies).output(attrs=[], header="", sep=";")
        try:
            async with self._session.request(
                method, self.address, headers=sent, **self._options, **arguments
            ) as response:
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise unreachable(self.address, error) from error
        except (aiohttp.ClientError, OSError) as error:
            text = str(error) or type(error).__name__
            raise ConnectionClosedError(f"{self.address} broke off: {text}") from error

    async def read_result(self, response: aiohttp.ClientResponse) -> Any:
        """Read the results that an answer brings.

        Returns:
            An object with `data` or `errors`, or a list of them.

        Raises:
            ConnectionRejectedError: the server refused the request.
            RemoteProtocolError: the answer is something else.
        """
        content = await self._read(response)
        body = _json(content) if response.content_type.endswith("json") else None
        is_result = isinstance(body, list) or (
            isinstance(body, dict) and ("data" in body or isinstance(body.get("errors"), list))
        )
        status = response.status
        if is_result and (_has_data(body) or not _is_refusal(status)):
            return body
        if status >= _BAD_REQUEST:
            raise refused(self.address, response, _told(body, content))
        raise RemoteProtocolError(
            f"{self.address} answered with {response.content_type} and HTTP {status} in place of "
            f"a result{_redirected(response)}: {_shown(content)}. Is the path right? Or is it a "
            "page to log in at?"
        )

    async def require(self, response: aiohttp.ClientResponse, status: int) -> str:
        """Return the text of an answer that must have a status.

        Raises:
            ConnectionRejectedError: it has another.
        """
        content = await self._read(response)
        if response.status != status:
            body = _json(content) if response.content_type.endswith("json") else None
            raise refused(self.address, response, _told(body, content))
        return content.decode(errors="replace")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if self.max_size and len(content) > self.max_size:
                raise RemoteProtocolError(
                    f"{self.address} answered with more than {self.max_size} bytes"
                )
        return bytes(content)


def refused(address: str, response: aiohttp.ClientResponse, told: str) -> ConnectionRejectedError:
    """Build the error for a server that refuses a request."""
    return ConnectionRejectedError(
        f"{address} answered with HTTP {response.status} ({response.reason})"
        f"{_redirected(response)}: {told}{_STATUS_ADVICE.get(response.status, '')}",
        status=response.status,
        retry_after=seconds_of(response.headers.get("Retry-After")),
    )


_STATUS_ADVICE: Final = {
    401: ". Not authenticated: look at headers and cookies",
    403: ". Forbidden: look at headers and cookies",
    404: ". Is the path right?",
    405: ". Is the path right, and does it take POST?",
    500: ". An error of the server: its log says which",
    502: ". A proxy does not reach the server: does it run?",
    503: ". The server, or a proxy before it, is not ready",
    504: ". A proxy has waited for the server in vain",
}


def _redirected(response: aiohttp.ClientResponse) -> str:
    return f" after a redirect to {response.url}" if response.history else ""


def _is_refusal(status: int) -> bool:
    return status in _ABOUT_THE_CLIENT or status >= _SERVER_ERROR


def _has_data(body: Any) -> bool:
    return isinstance(body, list) or body.get("data") is not None


def _told(body: Any, content: bytes) -> str:
    """Return what an answer says to a reader."""
    if isinstance(body, dict) and isinstance(body.get("errors"), list):
        return "; ".join(map(str, error_details({"payload": body["errors"]})))
    return _shown(content)


def _shown(content: bytes) -> str:
    text = content.decode(errors="replace").strip()
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _json(content: bytes) -> Any:
    with contextlib.suppress(ValueError):
        return loads(content.decode())
    return None

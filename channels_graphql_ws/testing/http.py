"""`GraphqlHttpClient`: queries, uploads and server-sent events in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.core.files.base import ContentFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.utils.crypto import get_random_string
from django.utils.datastructures import CaseInsensitiveMapping
from graphql import ExecutionResult

from channels_graphql_ws.client.handshake import time_limit
from channels_graphql_ws.client.variables import check_variables
from channels_graphql_ws.exceptions import RemoteProtocolError
from channels_graphql_ws.json_text import dumps, loads
from channels_graphql_ws.testing.login import alogin_headers
from channels_graphql_ws.testing.observer import ANY, OperationObserver
from channels_graphql_ws.testing.results import (
    Eager,
    GraphqlResults,
    attempt,
    execution_result,
    parts,
)
from channels_graphql_ws.testing.running import RunningApplication
from channels_graphql_ws.testing.scopes import HOST, Headers, encoded, http_scope

_JSON = "application/json"
_EVENTS = "text/event-stream"
_NOT_BEGUN = "Does the `subscribe` hook end, and is the channel layer reachable?"


class GraphqlHttpResult(ExecutionResult):
    """The answer to a request: `data`, `errors`, `extensions`, and what HTTP says.

    Attributes:
        status: the status code.
        headers: a mapping, names in any case.
        content: the JSON as it came.
    """

    __slots__ = ("content", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], content: Any) -> None:
        super().__init__(*parts(content))
        self.status = status
        self.headers = headers
        self.content = content

    def __eq__(self, other: object) -> bool:
        """Compare as an `ExecutionResult`: also with one, or with a dictionary."""
        return ExecutionResult(self.data, self.errors, self.extensions) == other

    __hash__ = None  # type: ignore[assignment]  # it can be changed


class GraphqlHttpClient:
    """Talks to an ASGI application in this process as a client does over HTTP.

    It keeps cookies, and shows Django's CSRF check the token that it asks for. An exception
    of the application surfaces in the test.

    Args:
        application: the ASGI application: `MyHttpConsumer.as_asgi()`, a router, or what
            Django's `get_asgi_application()` gives.
        path: where it serves GraphQL, path and query string.
        headers: sent with each request, see also `login_headers`.
        csrf: `False` sends no token.

    Attributes:
        cookies: those of the client, to read and to set.
    """

    TIMEOUT: float = 30
    """Seconds that the application may take for anything."""

    def __init__(
        self,
        application: Any,
        path: str = "/graphql/",
        headers: Headers = None,
        *,
        csrf: bool = True,
    ) -> None:
        self._application = application
        self._path = urlsplit(path)
        self._headers = dict(encoded(headers))
        self.cookies = SimpleCookie(self._headers.pop(b"cookie", b"").decode("latin-1"))
        if csrf:
            self.cookies[settings.CSRF_COOKIE_NAME] = get_random_string(32)

    async def force_login(self, user: Any, backend: str | None = None) -> None:
        """Begin a session for a user."""
        ((_, cookie),) = await alogin_headers(user, backend)
        self.cookies.load(cookie.decode())

    async def execute(
        self,
        query: str | None,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        files: Mapping[str, Any] | None = None,
        headers: Headers = None,
        method: str = "POST",
    ) -> GraphqlHttpResult:
        """Execute a query or a mutation.

        Args:
            query: the GraphQL document, `None` to send none.
            variables: values of its variables.
            operation_name: which operation of the document.
            parameters: more to send, such as `extensions` or a `documentId`.
            files: by the place in `variables` where they belong, such as "picture" or
                "pictures.0": bytes, or what has a `read` and a `name`.
            headers: for this request.
            method: "GET" puts all into the query string.

        Raises:
            RemoteProtocolError: the answer is not a JSON object.
        """
        wanted = _operation(query, variables, operation_name, parameters)
        if files:
            type, body = MULTIPART_CONTENT, _form(wanted, files)
        else:
            type, body = _JSON, dumps(wanted).encode()
        async with self._request(method, wanted, type, body, headers, _JSON) as response:
            return await response.result()

    async def execute_batch(
        self, operations: Sequence[str | Mapping[str, Any]], *, headers: Headers = None
    ) -> list[GraphqlHttpResult]:
        """Execute several operations in one request.

        Args:
            operations: each a document, or what is sent: `query`, `variables`,
                `operationName`, `extensions`.
            headers: for this request.

        Raises:
            RemoteProtocolError: the answer is not a JSON array, as where batches are refused.
        """
        wanted = [{"query": one} if isinstance(one, str) else dict(one) for one in operations]
        body = dumps(wanted).encode()
        async with self._request("POST", {}, _JSON, body, headers, _JSON) as response:
            return await response.results()

    def subscribe(
        self,
        query: str | None,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        headers: Headers = None,
    ) -> GraphqlResults[ExecutionResult]:
        """Subscribe by server-sent events: `async for result in client.subscribe(…)`.

        Raises (with the first iteration):
            RemoteProtocolError: the answer is not a stream.
        """
        wanted = _operation(query, variables, operation_name, parameters)
        return GraphqlResults(self._results(wanted, headers))

    async def _results(self, wanted: dict[str, Any], headers: Headers) -> Eager[ExecutionResult]:
        body = dumps(wanted).encode()
        observer = OperationObserver()
        async with self._request(
            "POST", wanted, _JSON, body, headers, _EVENTS, observer
        ) as response:
            if response.headers.get("Content-Type", "").partition(";")[0] != _EVENTS:
                raise await response.unexpected("a stream of events")
            await self._begun(observer)
            yield None
            events = _EventParser()
            while response.has_more:
                chunk = await attempt(response.chunk())
                if isinstance(chunk, BaseException):
                    yield chunk
                    continue
                for name, data in events.feed(chunk):
                    if name == "complete":
                        return
                    yield execution_result(loads(data))

    async def _begun(self, observer: OperationObserver) -> None:
        """Wait until a subscription is live, or refused."""
        if observer.is_attached:
            async with time_limit(self.TIMEOUT, "the subscription to begin", _NOT_BEGUN):
                await observer.until_settled(ANY)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        wanted: Mapping[str, Any],
        type: str,
        body: bytes,
        headers: Headers,
        accept: str,
        observer: OperationObserver | None = None,
    ) -> AsyncGenerator[_Response]:
        query_string = self._path.query
        all_headers = {b"host": HOST, b"accept": accept.encode(), **self._headers, **self._state()}
        if method == "GET":
            body = b""
            query_string = "&".join(filter(None, (query_string, _query_string(wanted))))
        else:
            all_headers |= {
                b"content-type": type.encode(),
                b"content-length": str(len(body)).encode(),
            }
        all_headers |= dict(encoded(headers))
        scope = http_scope(method, self._path.path, query_string, all_headers.items())
        if observer is not None:
            scope = observer.observe(scope)
        response = _Response(self._application, scope, body, self.TIMEOUT)
        async with response:
            for cookie in response.cookies:
                self.cookies.load(cookie)
            yield response

    def _state(self) -> dict[bytes, bytes]:
        """Return the headers that carry the cookies and the token."""
        state: dict[bytes, bytes] = {}
        if self.cookies:
            pairs = [f"{name}={morsel.coded_value}" for name, morsel in self.cookies.items()]
            state[b"cookie"] = "; ".join(pairs).encode("latin-1")
        if token := self.cookies.get(settings.CSRF_COOKIE_NAME):
            name = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-")
            state[name.lower().encode()] = token.value.encode()
        return state


class _Response:
    """A request that is sent, and the answer to it; begins and ends with `async with`."""

    def __init__(
        self, application: Any, scope: dict[str, Any], body: bytes, timeout: float
    ) -> None:
        self._running = RunningApplication(application, scope)
        self._running.begin({"type": "http.request", "body": body, "more_body": False})
        self._timeout = timeout
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.cookies: list[str] = []
        self.has_more = True

    async def __aenter__(self) -> None:
        try:
            event = await self._next_event()
        except BaseException:
            await self._running.cancel()
            raise
        self.status = event["status"]
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in event.get("headers", ())
        ]
        self.headers = CaseInsensitiveMapping(headers)
        self.cookies = [value for name, value in headers if name.lower() == "set-cookie"]

    async def __aexit__(self, *_: object) -> None:
        self._running.hang_up({"type": "http.disconnect"})
        await self._running.finish(self._timeout)
        self._running.raise_failure()

    async def chunk(self) -> bytes:
        """Wait for a piece of the body."""
        event = await self._next_event()
        self.has_more = event.get("more_body", False)
        body: bytes = event.get("body", b"")
        return body

    async def result(self) -> GraphqlHttpResult:
        """Read the answer.

        Raises:
            RemoteProtocolError: it is not a JSON object.
        """
        content, body = await self._json()
        if not isinstance(content, dict):
            raise self._unexpected("a JSON object", body)
        return GraphqlHttpResult(self.status, self.headers, content)

    async def results(self) -> list[GraphqlHttpResult]:
        """Read the answer to a batch.

        Raises:
            RemoteProtocolError: it is not a JSON array.
        """
        content, body = await self._json()
        if not isinstance(content, list):
            raise self._unexpected("a JSON array", body)
        return [GraphqlHttpResult(self.status, self.headers, each) for each in content]

    async def unexpected(self, expected: str) -> RemoteProtocolError:
        """Build the error for an answer that is something else."""
        return self._unexpected(expected, await self._body())

    def _unexpected(self, expected: str, body: bytes) -> RemoteProtocolError:
        shown = body[:200].decode(errors="replace")
        return RemoteProtocolError(
            f"Expected {expected}, the application answered {self.status}: {shown}"
        )

    async def _json(self) -> tuple[Any, bytes]:
        body = await self._body()
        try:
            return loads(body.decode()), body
        except ValueError:
            return None, body

    async def _body(self) -> bytes:
        body = b""
        while self.has_more:
            body += await self.chunk()
        return body

    async def _next_event(self) -> dict[str, Any]:
        async with asyncio.timeout(self._timeout):
            return await self._running.next_event()


class _EventParser:
    """Finds the events in a stream (HTML, Server-sent events)."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = "message"
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[tuple[str, str]]:
        """Return the name and the data of each event that a piece completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            field, _, value = line.decode().rstrip("\r").partition(":")
            if field == "event":
                self._name = value.removeprefix(" ")
            elif field == "data":
                self._data.append(value.removeprefix(" "))
            elif not (field or value) and self._data:
                yield self._name, "\n".join(self._data)
                self._name, self._data = "message", []


def _operation(
    query: str | None,
    variables: Mapping[str, Any] | None,
    operation_name: str | None,
    parameters: Mapping[str, Any] | None,
) -> dict[str, Any]:
    wanted: dict[str, Any] = dict(parameters or {})
    if query is not None:
        wanted["query"] = query
    if variables is not None:
        check_variables(variables)
        wanted["variables"] = dict(variables)
    if operation_name is not None:
        wanted["operationName"] = operation_name
    return wanted


def _query_string(wanted: Mapping[str, Any]) -> str:
    return urlencode(
        {name: value if isinstance(value, str) else dumps(value) for name, value in wanted.items()}
    )


def _form(wanted: dict[str, Any], files: Mapping[str, Any]) -> bytes:
    """Write a form (GraphQL multipart request specification)."""
    # Values outside lists and objects need not be given twice.
    missing = {name: None for name in files if "." not in name}
    operations = {**wanted, "variables": {**missing, **wanted.get("variables", {})}}
    paths = {str(number): [f"variables.{name}"] for number, name in enumerate(files)}
    fields: dict[str, Any] = {"operations": dumps(operations), "map": dumps(paths)}
    for number, (name, file) in enumerate(files.items()):
        fields[str(number)] = ContentFile(file, name) if isinstance(file, bytes) else file
    return encode_multipart(BOUNDARY, fields)

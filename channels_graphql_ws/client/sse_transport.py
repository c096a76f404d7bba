"""Server-sent events by aiohttp, all operations on one stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

from channels_graphql_ws.client.event_stream import ServerSentEvent
from channels_graphql_ws.client.http_requests import EVENT_STREAM, json_body
from channels_graphql_ws.client.over_http import OverHttp, event_data, result_message
from channels_graphql_ws.client.tasks import begin_soon
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError

_NEVER: Final = 0  # a status that no answer has
_CREATED: Final = 201
_ACCEPTED: Final = 202

_TOKEN_HEADER: Final = "X-GraphQL-Event-Stream-Token"  # noqa: S105 (the name of a header)


class GraphqlSseTransport(OverHttp):
    """All operations on one stream of server-sent events (`graphql-sse`, single connection).

    It takes two connections however many operations there are; the server must know this
    mode, and be the same process for all requests. If the stream is lost, so are all
    operations. For a stream of its own for each subscription, see `GraphqlHttpTransport`.

    Args:
        url: where the server takes GraphQL, `http://…` or `https://…`.
        cookies: sent with each request.
        headers: sent with each request.
        options: see `HttpOptions`.

    `url`, `headers` and `cookies` may be functions or coroutine functions without arguments:
    they are called for each request, so that an expired token can be renewed.
    """

    _stream: asyncio.Task[None] | None = None
    _token: str = ""

    async def disconnect(self, timeout: float | None = None) -> None:
        """End the stream and all operations; nothing happens if there is none."""
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                stream.cancel()
                await asyncio.gather(stream, return_exceptions=True)
        finally:
            await super().disconnect(timeout)

    async def _begin(self) -> None:
        """Reserve a stream, and open it."""
        async with self._endpoint.request("PUT", "text/plain", headers={}) as response:
            self._token = await self._endpoint.require(response, _CREATED)
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stream = begin_soon(self._read(opened))
        await opened

    async def _start(self, id: Any, payload: Mapping[str, Any], files: Mapping[str, Any]) -> None:
        del files  # `send` has refused them.
        extensions = {**(payload.get("extensions") or {}), "operationId": id}
        arguments = json_body({**payload, "extensions": extensions})
        headers = {**arguments.pop("headers"), **self._credentials()}
        endpoint = self._endpoint
        async with endpoint.request("POST", "*/*", headers=headers, **arguments) as response:
            if response.status == _ACCEPTED:
                return
            body = await endpoint.read_result(response)
        # The operation was not started; the answer has the reason.
        self._put_results(id, body)

    def _stop(self, id: Any) -> None:
        self._run_beside(self._delete(id))

    async def _delete(self, id: Any) -> None:
        parameters, headers = {"operationId": str(id)}, self._credentials()
        endpoint = self._endpoint
        # If the server cannot be reached, the end of the stream stops the operation.
        with contextlib.suppress(ConnectionClosedError):
            async with endpoint.request("DELETE", "*/*", headers=headers, params=parameters):
                pass

    def _credentials(self) -> dict[str, str]:
        return {_TOKEN_HEADER: self._token}

    async def _read(self, opened: asyncio.Future[None]) -> None:
        """Read the stream to its end, which ends all operations."""
        endpoint, headers = self._endpoint, self._credentials()
        try:
            async with endpoint.request("GET", EVENT_STREAM, headers=headers) as response:
                if response.content_type != EVENT_STREAM:
                    await endpoint.require(response, _NEVER)
                opened.set_result(None)
                await self._read_events(response, self._take)
        except Exception as error:  # noqa: BLE001 (raised in the waiting callers)
            if not opened.done():
                opened.set_exception(error)
            else:
                self._opened().finish(error)

    def _take(self, event: ServerSentEvent) -> bool:
        """Deliver the message of an event; return False, since no event is the last."""
        if event.type in {"next", "complete"}:
            body = event_data(event)
            if not isinstance(body, dict):
                raise RemoteProtocolError(f"The server sent an event without an id: {body!r}")
            if event.type == "next":
                self._put(result_message(body.get("id"), body.get("payload")))
            else:
                self._put({"type": "complete", "id": body.get("id")})
        return False

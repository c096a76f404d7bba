"""HTTP and server-sent events by aiohttp, a request for each operation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeAlias, Unpack, cast

from channels_graphql_ws.client.aiohttp_transport import Headers, Url
from channels_graphql_ws.client.documents import choose_operation
from channels_graphql_ws.client.errors import ConnectionRejectedError
from channels_graphql_ws.client.event_stream import ServerSentEvent
from channels_graphql_ws.client.http_requests import (
    EVENT_STREAM,
    RESULT_TYPES,
    accepted,
    json_body,
    query_parameters,
    rewound_on_failure,
    upload,
)
from channels_graphql_ws.client.over_http import HttpOptions, OverHttp, event_data, result_message
from channels_graphql_ws.exceptions import RemoteProtocolError

Payload: TypeAlias = Mapping[str, Any]

_OK: Final = 200


class GraphqlHttpTransport(OverHttp):
    """Queries, mutations and uploads over HTTP, subscriptions by server-sent events.

    Operations share no connection: each is a request of its own, and one that fails does not
    affect others. There is no `connection_init`, either: credentials go into
    `headers` or `cookies`.

    Args:
        url: where the server takes GraphQL, `http://…` or `https://…`.
        cookies: sent with each request.
        headers: sent with each request.
        batch_interval: seconds in which queries and mutations are gathered, to be sent as one
            request; `None` sends each at once. The server must take batches.
        batch_size: operations of a batch; a full one is sent at once.
        queries_by_get: send queries by GET, which caches on the way may answer.
        only_streams: ask for a stream of events for every operation, because the server offers
            nothing else, like npm's `graphql-sse`.
        options: see `HttpOptions`.

    `url`, `headers` and `cookies` may be functions or coroutine functions without arguments:
    they are called for each request, so that an expired token can be renewed.
    """

    takes_files: ClassVar[bool] = True

    def __init__(
        self,
        url: Url,
        cookies: Headers | None = None,
        headers: Headers | None = None,
        *,
        batch_interval: float | None = None,
        batch_size: int = 20,
        queries_by_get: bool = False,
        only_streams: bool = False,
        **options: Unpack[HttpOptions],
    ) -> None:
        super().__init__(url, cookies, headers, **options)
        self._batch_interval = batch_interval
        self._batch_size = batch_size
        self._queries_by_get = queries_by_get
        self._only_streams = only_streams
        self._batch: dict[Any, Payload] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._event_ids: dict[Any, str] = {}

    async def disconnect(self, timeout: float | None = None) -> None:
        """End all operations; nothing happens if there is no connection."""
        self._batch.clear()
        self._event_ids.clear()
        if self._timer is not None:
            self._timer.cancel()
        await super().disconnect(timeout)

    async def _start(self, id: Any, payload: Payload, files: Mapping[str, Any]) -> None:
        kind = choose_operation(payload["query"], payload.get("operationName")).kind
        if self._only_streams:
            kind = "subscription"
        if files:
            with rewound_on_failure(files):
                await self._request(id, "POST", RESULT_TYPES, **upload(payload, files))
        elif kind == "query" and self._queries_by_get:
            await self._request(id, "GET", RESULT_TYPES, **query_parameters(payload))
        elif self._batch_interval is not None and kind in {"query", "mutation"}:
            self._gather(id, payload, self._batch_interval)
        else:
            await self._request(id, "POST", accepted(kind), **json_body(payload))

    def _stop(self, id: Any) -> None:
        self._batch.pop(id, None)
        self._event_ids.pop(id, None)

    async def _request(self, id: Any, method: str, accept: str, **arguments: Any) -> None:
        """Send an operation, and say what the answer brings."""
        headers = dict(arguments.pop("headers"))
        if id in self._event_ids:
            headers["Last-Event-ID"] = self._event_ids[id]
        endpoint = self._endpoint
        async with endpoint.request(method, accept, headers=headers, **arguments) as response:
            if response.content_type == EVENT_STREAM and response.status == _OK:
                await self._read_events(response, lambda event: self._take(id, event))
                return
            body = await endpoint.read_result(response)
        if not isinstance(body, dict):
            raise RemoteProtocolError(f"{self.address} answered one operation with a list")
        self._put_results(id, cast("Payload", body))

    def _take(self, id: Any, event: ServerSentEvent) -> bool:
        """Say what an event brings; return whether it is the last."""
        if event.id is not None:
            self._event_ids[id] = event.id
        if event.type in {"next", "message"}:
            message = result_message(id, event_data(event))
            self._put(message)
            return bool(message["type"] == "error")
        if event.type == "complete":
            self._stop(id)
            self._put({"type": "complete", "id": id})
            return True
        return False

    def _gather(self, id: Any, payload: Payload, interval: float) -> None:
        self._batch[id] = payload
        if len(self._batch) >= self._batch_size:
            self._send_batch()
        elif len(self._batch) == 1:
            self._timer = asyncio.get_running_loop().call_later(interval, self._send_batch)

    def _send_batch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        batch, self._batch = self._batch, {}
        if batch:
            self._run_beside(self._request_batch(batch))

    async def _request_batch(self, batch: Mapping[Any, Payload]) -> None:
        try:
            results = await self._results_of(list(batch.values()))
        except Exception as error:  # noqa: BLE001 (reported to each operation of the batch)
            for id in batch:
                self._lose(id, error)
            return
        for id, result in zip(batch, results, strict=True):
            self._put_results(id, result)

    async def _results_of(self, operations: list[Payload]) -> list[Payload]:
        endpoint = self._endpoint
        async with endpoint.request("POST", RESULT_TYPES, **json_body(operations)) as response:
            body = await endpoint.read_result(response)
        if not isinstance(body, list) or len(body) != len(operations):
            raise ConnectionRejectedError(
                f"{self.address} did not answer a batch of {len(operations)} operations with as "
                "many results: does it take batches?",
                status=response.status,
            )
        return cast("list[Payload]", body)

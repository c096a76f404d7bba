"""`GraphqlHttpConsumer`: GraphQL over HTTP and server-sent events, an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import Any, Never, TypeAlias, Unpack

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpResponse

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.deadline import within
from channels_graphql_ws.concurrency.rotation import turn_to_begin
from channels_graphql_ws.concurrency.threads import in_thread
from channels_graphql_ws.http import responses, uploads
from channels_graphql_ws.http.completion import BODILESS, headers_of_answer
from channels_graphql_ws.http.errors import ClientGoneError, HttpError, too_large, too_slow
from channels_graphql_ws.http.handler import Count, RequestHandler
from channels_graphql_ws.http.in_flight import STEP
from channels_graphql_ws.http.options import GraphqlHttpEndpoint
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.http.responses import StreamingResponse
from channels_graphql_ws.operations.defaults import settle
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.operations.keywords import HttpKeywords
from channels_graphql_ws.operations.mounting import (
    check_arguments,
    check_called,
    check_request,
    register_mounted,
)
from channels_graphql_ws.operations.places import address_of
from channels_graphql_ws.operations.script_prefix import enter_script_prefix
from channels_graphql_ws.operations.server_transport import abort, transport_of
from channels_graphql_ws.pubsub.layers import register_endpoint
from channels_graphql_ws.shutdown import CLOSE_TIMEOUT, DEFAULT_TIMEOUT, remaining, yield_to_server

log = ClientLog("channels_graphql_ws.http")

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


PART = 262_144
"""Bytes of an answer that are sent at a time. Servers hold less back for a slow client."""


_OF_ORIGIN = ("access-control-", "vary")


class GraphqlHttpConsumer(GraphqlHttpEndpoint):
    """Serves GraphQL over HTTP: subclass it, set `schema`, mount `as_asgi()`.

    One instance serves one request. All attributes may be set on the class, or given to
    `as_asgi()`.
    """

    scope: MutableMapping[str, Any]
    """The ASGI scope of the request."""

    def __init__(self, *mounted: Any) -> None:
        """Make the consumer of one request.

        Raises:
            TypeError: a server has made it, see `check_arguments`.
        """
        check_arguments(type(self), mounted)
        super().__init__()

    @classmethod
    def as_asgi(
        cls, *called: Never, **options: Unpack[HttpKeywords]
    ) -> Callable[[Any, Receive, Send], Awaitable[None]]:
        """Return the ASGI application.

        Args:
            called: nothing.
            options: attributes of the class.

        Raises:
            TypeError: there is no such attribute, or no schema.
            ValueError, TypeError: an attribute has a value that it cannot have.
        """
        check_called(cls, called)
        consumer_class = cls._with_options(**options)
        engine_of(consumer_class())
        register_mounted(consumer_class)

        async def application(
            scope: Any, receive: Any = None, send: Any = None, **_path_params: Any
        ) -> None:
            check_request(cls.__qualname__, scope)
            await consumer_class()(scope, receive, send)

        application.consumer_class = consumer_class  # type: ignore[attr-defined]
        return application

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI, HTTP).

        Raises:
            ValueError: this is not HTTP. Servers that ask an application for its
                `lifespan` take that for a no.
        """
        if scope["type"] != "http":
            raise ValueError(
                f"GraphqlHttpConsumer serves 'http' and not {scope['type']!r}: mount it "
                "under 'http' of a `channels.routing.ProtocolTypeRouter`"
            )
        self.scope = scope
        enter_script_prefix(scope)
        settle(self)
        turn = turn_to_begin(lambda: address_of(scope, self.trusted_proxies))
        if turn is not None:
            await turn
        client = _Client(receive, send, self)
        handler = RequestHandler(self, HttpRequest(scope, self), client)
        try:
            answer, headers = await handler.answer_and_headers()
            if isinstance(answer, HttpResponse):
                await client.send(answer, headers)
            else:
                await client.stream(answer, headers)
        except ClientGoneError:
            return
        finally:
            handler.close()
            await client.close()


class _Client:
    """The client, at the other end of the server's two functions."""

    can_stream = True

    def __init__(self, receive: Receive, send: Send, endpoint: GraphqlHttpConsumer) -> None:
        self._body_timeout = endpoint.body_timeout
        self._patience = endpoint.stalled_reader_timeout
        self._scope = endpoint.scope
        self._receive = receive
        self._send = send
        self._leaving: asyncio.Task[None] | None = None

    async def read(self, request: HttpRequest, limit: int | None, count: Count, /) -> None:
        """Read the body."""
        if request.media_type.name == "multipart/form-data":
            # Longer ones are kept in a file on the disk.
            with SpooledTemporaryFile(settings.FILE_UPLOAD_MAX_MEMORY_SIZE) as form:
                length = await self._read(request, form, limit, count)
                form.seek(0)
                await in_thread(lambda: uploads.parse_form(request, form, length))
        else:
            with BytesIO() as body:
                await self._read(request, body, limit, count)
                request.body = body.getvalue()

    async def _read(
        self,
        request: HttpRequest,
        body: BytesIO | SpooledTemporaryFile[bytes],
        limit: int | None,
        count: Count,
    ) -> int:
        """Read the body of a request into a file; return its length."""
        length, uncounted_to = 0, STEP
        has_more = True
        loop, seconds = asyncio.get_running_loop(), self._body_timeout
        end = None if seconds is None else loop.time() + seconds
        while has_more:
            try:
                left = None if end is None else end - loop.time()
                message = await within(left, self._receive())
            except TimeoutError:
                raise too_slow(seconds or 0) from None
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk: bytes = message.get("body", b"")
            has_more = message.get("more_body", False)
            length += len(chunk)
            if limit is not None and length > limit:
                raise too_large(limit)
            if length > uncounted_to:
                count(length, _is_stored(body, length))
                uncounted_to = length + STEP
            body.write(chunk)
        if length < (request.content_length or 0):
            raise HttpError("The body was cut off, it is shorter than it should be")
        return length

    async def gone(self) -> None:
        """Return when the client has gone."""
        # A server may say it once: who asks first must not take it from who asks next.
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._left())
        await asyncio.wait([self._leaving])

    async def close(self) -> None:
        """Ask no more whether the client has gone."""
        if self._leaving is not None:
            self._leaving.cancel()
            await asyncio.wait([self._leaving])

    async def _left(self) -> None:
        try:
            while (await self._receive())["type"] != "http.disconnect":  # noqa: ASYNC110 (no event)
                # A server that always has a message must not keep the event loop to itself.
                await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 (servers raise what they like)
            log.debug("Cannot receive from a client: %r", error)

    async def send(self, response: HttpResponse, headers: dict[str, str]) -> None:
        """Send an answer."""
        # Those without a body have no length either (RFC 9110, 8.6).
        if response.status_code not in BODILESS:
            headers["content-length"] = str(len(response.content))
        try:
            started = await self._started(response, headers)
            await self._send_body(started.content)
        except TimeoutError:
            # The server closes the connection of an answer that is not whole.
            log.info("A client does not read its answer: it is given up")
            self._cut_off()
        except Exception as error:  # noqa: BLE001 (servers raise what they like)
            log.debug("Cannot send to a client: %r", error)

    async def _send_body(self, body: bytes) -> None:
        """Send a body, as fast as the client reads it.

        Raises:
            TimeoutError: it has taken nothing for too long.
        """
        if len(body) <= PART:
            await self._send({"type": "http.response.body", "body": body})
            return
        for start in range(0, len(body), PART):
            part = {"body": body[start : start + PART], "more_body": start + PART < len(body)}
            async with asyncio.timeout(self._patience):
                await self._send({"type": "http.response.body", **part})

    async def stream(self, answer: StreamingResponse, headers: dict[str, str]) -> None:
        """Send an answer that goes on, until it ends or the client has gone."""
        sending = asyncio.create_task(self._send_stream(answer, headers))
        gone = asyncio.create_task(self.gone())
        ends = (sending, gone, answer.stream.given_up)
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # Daphne is shutting down, and waits for this to end.
            await answer.finish(remaining(DEFAULT_TIMEOUT))
            left = remaining(CLOSE_TIMEOUT)
            await asyncio.wait(ends, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            await yield_to_server()
        finally:
            sending.cancel()
            gone.cancel()
            if answer.stream.given_up.done():
                self._cut_off()
            try:
                await asyncio.wait((sending, gone))
            finally:
                await answer.close()

    def _cut_off(self) -> None:
        """End the connection of a client that does not read: servers may keep a part for ever."""
        transport = transport_of(self._send, self._scope)
        if transport is not None:
            abort(transport)

    async def _send_stream(self, answer: StreamingResponse, headers: dict[str, str]) -> None:
        try:
            started = await self._started(answer.response, headers)
            if started is not answer.response:
                await self._send_body(started.content)
                return
            async for chunk in answer.stream:
                # Of a long one, only its last part may be in the server's buffers then.
                for start in range(0, len(chunk) or 1, PART):
                    part = chunk[start : start + PART] if len(chunk) > PART else chunk
                    message = {"type": "http.response.body", "body": part, "more_body": True}
                    await self._send(message)
            await self._send({"type": "http.response.body", "body": b""})
        except Exception as error:  # noqa: BLE001 (servers raise what they like)
            log.debug("Cannot send to a client: %r", error)

    async def _started(self, response: HttpResponse, headers: dict[str, str]) -> HttpResponse:
        """Send the beginning of an answer; return the answer, another one if that has failed.

        Middleware may fail there: that of Channels saves the session, which a logout elsewhere
        may have deleted, in a database that may be away. It saves none with the status 500.

        Raises:
            Exception: the client is gone, or what the server raises.
        """
        try:
            await self._start(response, headers)
        except OSError:
            raise
        except Exception as error:
            is_of_session = isinstance(error, SuspiciousOperation)
            text = "The session has ended" if is_of_session else "Internal server error"
            problem = HttpError(text, HTTPStatus.INTERNAL_SERVER_ERROR)
            failed = responses.refusal(HttpResponse(), problem, None)
            # What lets a page of another origin read it is kept.
            more = {name: headers[name] for name in headers if name.startswith(_OF_ORIGIN)}
            more["content-length"] = str(len(failed.content))
            await self._start(failed, headers_of_answer(failed, more))
            log.exception("Middleware has failed as an answer was sent: the client got a 500")
            return failed
        return response

    async def _start(self, response: HttpResponse, headers: dict[str, str]) -> None:
        encoded = [
            (name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()
        ]
        cookies = [
            (b"set-cookie", morsel.output(header="").strip().encode("latin-1"))
            for morsel in response.cookies.values()
        ]
        await self._send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": [*encoded, *cookies],
            }
        )


def _is_stored(body: BytesIO | SpooledTemporaryFile[bytes], length: int) -> bool:
    """Return whether a body of this length is kept on the disk, where it goes then."""
    if isinstance(body, BytesIO) or length <= settings.FILE_UPLOAD_MAX_MEMORY_SIZE:
        return False
    # Where the setting is 0, it does not go there by itself.
    body.rollover()
    return True


register_endpoint(GraphqlHttpConsumer)

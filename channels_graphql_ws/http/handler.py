"""Serve one request, from its method to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeAlias

from django.http import HttpResponse
from graphql import OperationType

from channels_graphql_ws import graphiql
from channels_graphql_ws.client_log import ClientLog, LogFields, Sentence, logs_about
from channels_graphql_ws.concurrency.eager import ends_running_code, is_awaitable
from channels_graphql_ws.execution.headers import MAX_PARSED_LENGTH, problem_of_headers
from channels_graphql_ws.execution.request import MAX_ID_LENGTH, Subscribe
from channels_graphql_ws.http import beginning, negotiation, pages, parsing, uploads
from channels_graphql_ws.http import responses as answers
from channels_graphql_ws.http import stream_formats as formats
from channels_graphql_ws.http.completion import UnsendableError, headers_of_answer
from channels_graphql_ws.http.cross_site import CrossSiteCheck
from channels_graphql_ws.http.errors import (
    RETRY,
    ClientGoneError,
    HttpError,
    method_not_allowed,
    too_large,
)
from channels_graphql_ws.http.in_flight import HeldMessage
from channels_graphql_ws.http.negotiation import Accepted, MediaType
from channels_graphql_ws.http.operation import HttpOperation, UnsuitableError
from channels_graphql_ws.http.options import GraphqlHttpEndpoint
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.http.reservations import (
    Reservation,
    Reservations,
    SharedStream,
    reservations_of_loop,
)
from channels_graphql_ws.http.responses import StreamingResponse
from channels_graphql_ws.http.stream import OwnStream, ResponseStream, Sink
from channels_graphql_ws.operations.defaults import settle
from channels_graphql_ws.operations.long_texts import decoding_in_turn
from channels_graphql_ws.operations.overrides import overridden
from channels_graphql_ws.operations.places import (
    Limit,
    NoPlaceError,
    Place,
    address_of,
    places_of_loop,
    user_id_of,
    user_of,
)
from channels_graphql_ws.operations.revalidation import have_ended
from channels_graphql_ws.operations.revocation import REVOKED
from channels_graphql_ws.operations.session import signals_of
from channels_graphql_ws.operations.sizes import LONG_TEXT
from channels_graphql_ws.operations.unsent import Unsent
from channels_graphql_ws.shutdown import connections_of_loop
from channels_graphql_ws.signals import ConnectionSignals

log = ClientLog("channels_graphql_ws.http")

RESTARTING = "The server is about to restart, try again"


REFUSED: Final = frozenset(
    {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
)
"""Statuses that say that a client may not do what it asks for, or not now."""

Answer: TypeAlias = HttpResponse | StreamingResponse


Count: TypeAlias = Callable[[int, bool], None]
"""Takes the bytes that have come of a body, and whether they are on the disk. May raise an
`HttpError`: nothing more is to be read."""


class Source(Protocol):
    """The client's side of a request."""

    can_stream: bool
    """Whether an answer may go on."""

    async def read(self, request: HttpRequest, limit: int | None, count: Count, /) -> None:
        """Read the body into the request.

        Args:
            request: which gets it.
            limit: the most bytes that it may have; `None`: any number.
            count: called with what has come, while more comes.

        Raises:
            HttpError: it is too long or too late, there is no room for it, or it is not a form
                where it should be one.
            ClientGoneError: the client has gone in the middle.
        """
        ...

    async def gone(self) -> None:
        """Return when the client has gone."""
        ...


class RequestHandler:
    """Serves one request."""

    def __init__(
        self, endpoint: GraphqlHttpEndpoint, request: HttpRequest, source: Source
    ) -> None:
        settle(endpoint)
        self._endpoint = endpoint
        self._request = request
        self._source = source
        self._response = HttpResponse()
        self._accepted = Accepted()
        self._place: Place | None = None
        self._unsent: Unsent | None = None
        self._message = HeldMessage(request)
        self._signals = signals_of(endpoint)
        self._cross_site = CrossSiteCheck(request, endpoint.allowed_origins)

    def unsent(self) -> Unsent:
        """Return where the answer is counted until it is sent; it has to be closed then."""
        if self._unsent is None:
            self._unsent = Unsent(self._endpoint, self._request.scope)
        return self._unsent

    def close(self) -> None:
        """Note that the answer is sent, or not needed any more."""
        if self._unsent is not None:
            self._unsent.close()

    @property
    def patience(self) -> float | None:
        """Seconds in which a client should have read an answer; `None`: any time."""
        return self._endpoint.stalled_reader_timeout

    @property
    def holds_answer(self) -> bool:
        """Whether an answer is counted until `close`."""
        return self._unsent is not None and self._unsent.size > 0

    async def answer(self) -> Answer:
        """Return the answer; its `headers` are complete.

        Raises:
            ClientGoneError: the client has gone.
        """
        answer, headers = await self.answer_and_headers()
        response = answer if isinstance(answer, HttpResponse) else answer.response
        for name in [name for name, _ in response.items() if name.lower() not in headers]:
            del response.headers[name]
        for name, value in headers.items():
            response.headers[name.title()] = value
        return answer

    async def answer_and_headers(self) -> tuple[Answer, dict[str, str]]:
        """Return the answer, and all its headers by lower-case name.

        Raises:
            ClientGoneError: the client has gone.
        """
        with logs_about(LogFields(self, RequestHandler._log_fields)):
            return await self._answer_and_headers()

    def _log_fields(self) -> tuple[str, object]:
        return self._signals.id, user_id_of(self._request.scope)

    async def _answer_and_headers(self) -> tuple[Answer, dict[str, str]]:
        try:
            self._check_sizes()
        except HttpError as error:
            refusal = answers.refusal(self._response, error, None)
            return refusal, headers_of_answer(refusal, {})
        answer = await self._answer_and_release()
        more = self._cross_site.headers()
        try:
            response = answer if isinstance(answer, HttpResponse) else answer.response
            return answer, headers_of_answer(response, more)
        except UnsendableError as error:
            problem = error
        log.error("An answer cannot be sent: a resolver or hook has set %s", Sentence(problem))
        if isinstance(answer, StreamingResponse):
            await answer.close()
        broken = self._internal_error()
        return broken, headers_of_answer(broken, more)

    async def _answer_and_release(self) -> Answer:
        is_stream = False
        try:
            answer = await self._answer()
            is_stream = isinstance(answer, StreamingResponse)
        finally:
            # A stream still needs its message, see `_leave_place`.
            if not is_stream:
                self._message.release()
        return answer

    async def _answer(self) -> Answer:
        try:
            self._accepted = self._negotiate()
            return await self._serve()
        except HttpError as error:
            self._tell_refused(error)
            self._request.close()
            return answers.refusal(self._response, error, self._accepted.single)
        except ClientGoneError:
            raise
        # ASGI servers disagree on what a client sees of this: it must not reach them.
        except BaseException as error:
            if ends_running_code(error):
                raise
            log.exception("A request failed")
            self._request.close()
            return self._internal_error()

    def _tell_refused(self, error: HttpError) -> None:
        """Tell receivers of signals, if it is the client and not the request that is refused."""
        if error.status in REFUSED:
            scope, status = self._request.scope, int(error.status)
            self._signals.refuse(scope, "request", error.message, code=status)

    def _internal_error(self) -> HttpResponse:
        error = HttpError("Internal server error", HTTPStatus.INTERNAL_SERVER_ERROR)
        return answers.refusal(HttpResponse(), error, self._accepted.single)

    def _check_sizes(self) -> None:
        """Refuse headers and query strings that would take long to read."""
        problem = problem_of_headers(self._request.scope)
        if problem is not None:
            raise HttpError(problem, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        length = len(self._request.query_string)
        limit = self._endpoint.max_body_size if length else None
        if limit is not None and length > limit:
            raise HttpError(
                f"The query string is longer than {limit} bytes", HTTPStatus.REQUEST_URI_TOO_LONG
            )

    def _negotiate(self) -> Accepted:
        accepted = negotiation.accept(self._request.headers_by_name.get("accept"))
        enabled = {
            MediaType.EVENT_STREAM: self._endpoint.event_streams_enabled,
            MediaType.MULTIPART: self._endpoint.multipart_subscriptions_enabled,
        }
        if accepted.stream is None or (self._source.can_stream and enabled[accepted.stream]):
            return accepted
        return replace(accepted, stream=None, streams_all=False)

    async def _serve(self) -> Answer:
        self._cross_site.check_host()
        match self._request.method:
            case "GET":
                return await self._get()
            case "POST":
                return await self._post()
            case "PUT" if self._has_single_connections:
                return self._reserve()
            case "DELETE" if self._has_single_connections:
                return await self._stop()
            case "OPTIONS" if self._cross_site.is_preflight:
                return self._cross_site.preflight(self._methods)
            case method:
                raise method_not_allowed(f"{method} is not served here", self._methods)

    async def _get(self) -> Answer:
        parameters = self._request.parameters
        if self._has_single_connections and (token := self._request.stream_token) is not None:
            self._cross_site.check_origin()
            return self._open(token)
        if self._endpoint.graphiql and "query" not in parameters:
            if (name := parameters.get(graphiql.ASSET_PARAMETER)) is not None:
                return await pages.asset(self._request, name)
            if self._accepted.html:
                return await pages.page(self._endpoint, self._request, self._response)
        if not self._endpoint.allow_queries_via_get:
            raise method_not_allowed(
                "Queries by GET are switched off, see `allow_queries_via_get`", self._methods
            )
        self._cross_site.check_origin()
        self._hold_message()
        operation = parsing.operation_of_parameters(parameters, by_name=self._looks_up)
        return await self._run(operation)

    async def _post(self) -> Answer:
        self._cross_site.check_origin()
        if len(self._request.content_type) > MAX_PARSED_LENGTH:
            raise HttpError(
                f"The content type is longer than {MAX_PARSED_LENGTH} characters",
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )
        is_form = self._request.media_type.name == "multipart/form-data"
        limit = self._check_form() if is_form else self._check_json()
        length = self._request.content_length
        if limit is not None and length is not None and length > limit:
            raise too_large(limit)
        await self._read(limit)
        self._hold_message()
        decode = partial(uploads.operations_of_form, self._request) if is_form else self._json
        if max(length or 0, len(self._request.body)) > LONG_TEXT:
            async with decoding_in_turn(self.unsent().owner()):
                content = decode()
        else:
            content = decode()
        if is_awaitable(content):
            content = await self._own_json(content)
        wanted = parsing.operations_of(
            content,
            max_batch_size=self._endpoint.max_batch_size,
            by_name=self._looks_up,
        )
        if self._has_single_connections and (token := self._request.stream_token) is not None:
            return self._add(token, wanted)
        if isinstance(wanted, Subscribe):
            return await self._run(wanted)
        return await self._run_batch(wanted)

    def _hold_message(self) -> None:
        """Count the message until the request is answered.

        Raises:
            HttpError: it would take long to decode, or too much is in flight already.
        """
        self._message.hold(lambda: self.unsent().owner(), self._endpoint.max_body_size)

    def _count_received(self, length: int, is_stored: bool) -> None:  # noqa: FBT001 (see `Count`)
        """Count what has come of the body until the whole message is counted.

        Raises:
            HttpError: too much is in flight already.
        """
        self._message.receive(length, lambda: self.unsent().owner(), is_stored=is_stored)

    async def _read(self, limit: int | None) -> None:
        """Read the body.

        Raises:
            HttpError: it is not as it should be, or the rights of the user, who was read before
                it, have ended meanwhile.
        """
        loop, endpoint = asyncio.get_running_loop(), self._endpoint
        began = loop.time()
        await self._source.read(self._request, limit, self._count_received)
        if (
            loop.time() - began <= beginning.FRESH_FOR
            or endpoint.revalidate_operations_every is None
        ):
            return
        if await have_ended(self._request.scope, endpoint.revalidate_every):
            raise HttpError(REVOKED, HTTPStatus.FORBIDDEN)

    @property
    def _looks_up(self) -> bool:
        """Whether `on_operation` may give a document to a client that sends none."""
        return overridden(self._endpoint, "on_operation")

    @property
    def _methods(self) -> str:
        streams = ["PUT", "DELETE"] if self._has_single_connections else []
        gets = self._endpoint.allow_queries_via_get or streams or self._endpoint.graphiql
        return ", ".join([*(["GET"] if gets else []), "POST", *streams])

    @property
    def _has_single_connections(self) -> bool:
        return self._endpoint.single_connection_enabled and self._source.can_stream

    def _check_json(self) -> int | None:
        """Refuse what is not JSON; return the limit of the length.

        A form of another site cannot have this content type: that is the protection against
        forged requests.
        """
        media_type = self._request.media_type
        if media_type.name != MediaType.JSON:
            name = media_type.name or "nothing"
            raise HttpError(
                f"The content type must be application/json, it is {name}",
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )
        charset = media_type.parameters.get("charset", "utf-8")
        if charset not in {"utf-8", "utf8"}:
            raise HttpError(
                f"The charset must be utf-8, it is {charset}", HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            )
        return self._endpoint.max_body_size

    def _check_form(self) -> int | None:
        """Refuse forms that are not wanted; return the limit of the length."""
        if not self._endpoint.multipart_uploads_enabled:
            raise HttpError(
                "Uploads are switched off, see `multipart_uploads_enabled`",
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )
        uploads.check_csrf(self._request.headers_by_name)
        return self._endpoint.max_upload_size

    def _json(self) -> Any:
        """Decode the body, perhaps as the user wants."""
        if not overridden(self._endpoint, "decode_json"):
            return parsing.json_of(self._request.body)
        text = parsing.text_of(self._request.body)
        try:
            return self._endpoint.decode_json(text)
        # The standard library's `json` raises the latter for deep nesting.
        except (ValueError, RecursionError) as error:
            raise parsing.not_json(error) from None

    @staticmethod
    async def _own_json(content: Awaitable[Any]) -> Any:
        try:
            return await content
        except (ValueError, RecursionError) as error:
            raise parsing.not_json(error) from None

    async def _run(self, wanted: Subscribe) -> Answer:
        """Execute one operation."""
        if self._accepted.single is None and self._accepted.stream is None:
            raise HttpError(
                "Accept application/graphql-response+json, application/json or, if streams are "
                f"switched on, text/event-stream, in the first {MAX_PARSED_LENGTH} characters of "
                "the header",
                HTTPStatus.NOT_ACCEPTABLE,
            )
        if self._accepted.stream is not None:
            wanted = _recovering(wanted, self._request)
        operation = self._operation(wanted)
        if self._accepted.stream is not None:
            operation.use_own_channel()
        async with AsyncExitStack() as stack:
            stack.callback(self._leave_place)
            stack.push_async_callback(operation.end)
            await self._start([operation])
            if isinstance(operation.sink, OwnStream):
                stream = operation.sink.stream
                end = stack.pop_all().aclose
                return self._stream_answer(
                    stream, end, lambda: [operation], self._signals, self._request.scope
                )
            form = self._accepted.single or MediaType.JSON
            text, operation.text = operation.text or "", None
            result = await operation.final(text)
            return answers.answer(self._response, operation, result, form)

    async def _run_batch(self, wanted: Sequence[Subscribe]) -> Answer:
        """Execute operations, all at once."""
        if self._accepted.single is None:
            raise HttpError("A batch is answered with JSON: accept it", HTTPStatus.NOT_ACCEPTABLE)
        self._accepted = replace(self._accepted, stream=None, streams_all=False)
        self._message.operations = len(wanted)
        operations = [self._operation(each) for each in wanted]
        async with AsyncExitStack() as stack:
            for operation in operations:
                stack.push_async_callback(operation.end)
            await self._start(operations)
            results = [await each.final(each.text or "") for each in operations]
        assert self._accepted.single is not None, "checked above"
        return answers.batch_answer(self._response, results, self._accepted.single)

    def _operation(self, wanted: Subscribe) -> HttpOperation:
        return HttpOperation(
            self._endpoint,
            self._request,
            self._response,
            wanted,
            self._choose_sink,
            self._signals,
            self.unsent,
            self._message,
        )

    async def _start(self, operations: Sequence[HttpOperation]) -> None:
        """Start operations, and wait until each has its result or a stream.

        Raises:
            ClientGoneError: the client has gone.
        """
        started = [each.start() for each in operations]
        waiting = [each for each in started if each is not None]
        if not waiting:
            return
        everything = asyncio.gather(*waiting)
        gone = asyncio.ensure_future(self._source.gone())
        try:
            await asyncio.wait((everything, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            await asyncio.wait([gone])
        if not everything.done():
            raise ClientGoneError

    def _choose_sink(self, type: OperationType | None) -> Sink | None:
        if type is OperationType.MUTATION and self._request.method == "GET":
            raise UnsuitableError(
                "Mutations need POST", HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "POST"}
            )
        accepted = self._accepted
        is_subscription = type is OperationType.SUBSCRIPTION
        if accepted.stream is None and is_subscription:
            raise UnsuitableError(
                "A subscription needs a WebSocket or, where streams are switched on and it is "
                "no part of a batch, the header `Accept: text/event-stream`",
                HTTPStatus.NOT_ACCEPTABLE,
                {},
            )
        if accepted.stream is None or not (is_subscription or accepted.streams_all):
            return None
        if connections_of_loop().is_draining:
            raise UnsuitableError(RESTARTING, HTTPStatus.SERVICE_UNAVAILABLE, RETRY)
        try:
            self._place = self._take_place()
        except HttpError as error:
            self._tell_refused(error)
            raise UnsuitableError(error.message, error.status, error.headers) from None
        return OwnStream(self._stream(accepted.stream))

    def _take_place(self) -> Place:
        """Take the place of an event stream.

        Raises:
            HttpError: this user or this address has too many.
        """
        endpoint, scope = self._endpoint, self._request.scope
        per_user, per_address = "max_event_streams_per_user", "max_event_streams_per_address"
        limits = (
            Limit(user_of(scope), endpoint.max_event_streams_per_user, per_user),
            Limit(
                address_of(scope, endpoint.trusted_proxies),
                endpoint.max_event_streams_per_address,
                per_address,
            ),
        )
        try:
            return places_of_loop("event streams").take(limits)
        except NoPlaceError as error:
            log.info("Refused an event stream of %r: %s", error.limit.key, error)
            raise HttpError(
                f"Too many event streams: {error}", HTTPStatus.TOO_MANY_REQUESTS
            ) from None

    def _leave_place(self) -> None:
        self._message.release()
        if self._place is not None:
            self._place.release()

    def _stream_answer(
        self,
        stream: ResponseStream,
        end: Callable[[], Awaitable[None]],
        operations: Callable[[], Collection[HttpOperation]],
        signals: ConnectionSignals,
        scope: Mapping[str, Any],
    ) -> StreamingResponse:
        completes = self._endpoint.complete_at_shutdown
        return StreamingResponse(
            self._response,
            stream,
            end,
            operations,
            signals,
            scope,
            completes_at_shutdown=completes,
        )

    def _stream(self, form: MediaType) -> ResponseStream:
        is_multipart = form is MediaType.MULTIPART
        return ResponseStream(
            formats.MULTIPART if is_multipart else formats.EVENT_STREAM,
            heartbeat=self._endpoint.send_heartbeat_every,
            patience=self._endpoint.stalled_reader_timeout,
            unsent=Unsent(self._endpoint, self._request.scope),
        )

    def _reserve(self) -> HttpResponse:
        """Reserve an event stream, and answer with its token."""
        self._cross_site.check_origin()
        endpoint, scope = self._endpoint, self._request.scope
        owner = user_of(scope) or address_of(scope, endpoint.trusted_proxies)
        reservations = self._reservations
        reservations.make_room(owner, endpoint.max_event_streams)
        stream, most = self._stream(MediaType.EVENT_STREAM), endpoint.max_operations_per_connection
        reservation = Reservation(stream, most, self._take_place(), self._signals, scope, owner)
        reservations.add(reservation, endpoint.reservation_timeout)
        self._response.status_code = HTTPStatus.CREATED
        self._response.headers["Content-Type"] = "text/plain; charset=utf-8"
        self._response.content = reservation.token.encode()
        return self._response

    def _open(self, token: str) -> Answer:
        """Open a reserved event stream."""
        if self._accepted.stream is not MediaType.EVENT_STREAM:
            raise HttpError("Accept text/event-stream", HTTPStatus.NOT_ACCEPTABLE)
        reservation = self._reservations.open(token)
        end = partial(self._reservations.close, reservation)
        return self._stream_answer(
            reservation.stream,
            end,
            reservation.operations,
            reservation.signals,
            reservation.scope,
        )

    def _add(self, token: str, wanted: Subscribe | list[Subscribe]) -> HttpResponse:
        """Start an operation on a reserved event stream."""
        if isinstance(wanted, list):
            raise HttpError("An event stream takes no batches")
        id = (wanted.extensions or {}).get("operationId")
        if not isinstance(id, str) or not 0 < len(id) <= MAX_ID_LENGTH:
            raise HttpError(
                f'"extensions.operationId" must be a string of 1 to {MAX_ID_LENGTH} characters'
            )
        reservation = self._reservations.find(token)
        operation = HttpOperation(
            self._endpoint,
            self._request,
            self._response,
            wanted,
            lambda _type: SharedStream(reservation, id),
            reservation.signals,
            self.unsent,
            self._message,
            is_on_reserved_stream=True,
        )
        operation.use_own_channel()
        reservation.add(id, operation)
        # The operation releases the message at its end.
        self._message = HeldMessage(self._request)
        response = HttpResponse(status=HTTPStatus.ACCEPTED)
        del response.headers["Content-Type"]
        return response

    async def _stop(self) -> HttpResponse:
        """End an operation on a reserved event stream."""
        self._cross_site.check_origin()
        token = self._request.stream_token
        id = self._request.parameters.get("operationId")
        if token is None or not id:
            raise HttpError("Name the event stream by its token, and the operation by operationId")
        await self._reservations.find(token).stop(id)
        del self._response.headers["Content-Type"]
        return self._response

    @property
    def _reservations(self) -> Reservations:
        if connections_of_loop().is_draining:
            raise HttpError(RESTARTING, HTTPStatus.SERVICE_UNAVAILABLE, RETRY)
        return reservations_of_loop()


def _recovering(wanted: Subscribe, request: HttpRequest) -> Subscribe:
    """Use the id of the last event that a browser received as the cursor (HTML, EventSource)."""
    last = request.headers_by_name.get("last-event-id")
    if not last or "cursor" in (wanted.extensions or {}):
        return wanted
    return replace(wanted, extensions={**(wanted.extensions or {}), "cursor": last})

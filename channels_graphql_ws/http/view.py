"""`GraphqlView`: GraphQL over HTTP and server-sent events, mounted in a Django URLconf."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Unpack

from django import http
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http.multipartparser import MultiPartParserError
from django.middleware.csrf import get_token
from django.views import View

from channels_graphql_ws.concurrency.threads import in_thread
from channels_graphql_ws.graphiql import GraphiqlConfig
from channels_graphql_ws.http.errors import ClientGoneError, HttpError, too_large
from channels_graphql_ws.http.handler import RequestHandler
from channels_graphql_ws.http.options import GraphqlHttpEndpoint
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.http.responses import StreamingResponse
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.operations.keywords import HttpKeywords
from channels_graphql_ws.pubsub.layers import register_endpoint


class GraphqlView(GraphqlHttpEndpoint, View):
    """Serves GraphQL over HTTP: subclass it, set `schema`, mount `as_view()`.

    It serves queries and mutations under WSGI, too. Subscriptions need ASGI.
    """

    @classmethod
    def as_view(  # type: ignore[override]
        cls, **options: Unpack[HttpKeywords]
    ) -> Callable[..., Any]:
        """Return the view function.

        Args:
            options: attributes of the class.

        Raises:
            TypeError: there is no such attribute, or no schema.
        """
        if options:
            return cls._with_options(**options).as_view()
        engine_of(cls())
        return super().as_view()

    async def get(self, request: http.HttpRequest, **path_params: Any) -> http.HttpResponseBase:
        """Serve one request."""
        self.request = request
        source = _Source(request)
        asked = HttpRequest(await _scope(request, path_params), self)
        try:
            answer = await RequestHandler(self, asked, source).answer()
        except ClientGoneError:
            # Nobody will see it.
            return http.HttpResponseBadRequest()
        return answer if isinstance(answer, http.HttpResponse) else _streaming_response(answer)

    post = put = delete = get
    # In place of Django's own answer: browsers ask what pages of other origins may send.
    options = get  # type: ignore[assignment]

    def graphiql_config(self, request: HttpRequest) -> GraphiqlConfig:
        """Return the settings of GraphiQL, with the token that Django's CSRF check wants."""
        config = super().graphiql_config(request)
        is_wsgi = not hasattr(self.request, "scope")
        return replace(config, csrf_token=get_token(self.request), is_wsgi=is_wsgi)


class _Source:
    """The client, as Django's request shows it."""

    def __init__(self, request: http.HttpRequest) -> None:
        self._request = request
        # Under WSGI a stream would be collected to its end, which is never.
        self.can_stream = hasattr(request, "scope")

    async def read(self, request: HttpRequest, limit: int | None) -> None:
        """Take over what Django has read."""
        try:
            await in_thread(lambda: self._read(request))
        except RequestDataTooBig as error:
            raise HttpError(str(error), 413) from None
        except (MultiPartParserError, SuspiciousOperation) as error:
            raise HttpError(f"The form is malformed: {error}") from None
        except http.UnreadablePostError:
            raise ClientGoneError from None
        if limit is not None and len(request.body) > limit:
            raise too_large(limit)

    def _read(self, request: HttpRequest) -> None:
        if request.media_type.name == "multipart/form-data":
            # Django closes the files with its own request.
            request.take_form(self._request.POST, self._request.FILES)
        else:
            request.body = self._request.body

    async def gone(self) -> None:
        """Wait: when the client goes, Django cancels the view."""
        await asyncio.get_running_loop().create_future()


class _Chunks:
    """The body of a response that goes on."""

    def __init__(self, answer: StreamingResponse) -> None:
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        answer.stream.given_up.add_done_callback(lambda _: self._close_soon())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the chunks."""
        try:
            async for chunk in self._answer.stream:
                yield chunk
        finally:
            await self._answer.close()

    def close(self) -> None:
        """End it; Django calls this in a thread, also where it never came to iterate."""
        self._loop.call_soon_threadsafe(self._close_soon)

    def _close_soon(self) -> None:
        task = self._loop.create_task(self._answer.close())
        _closing.add(task)
        task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()


async def _scope(request: http.HttpRequest, path_params: Mapping[str, Any]) -> dict[str, Any]:
    """Give a scope like that of a consumer behind `AuthMiddlewareStack`."""
    scope: dict[str, Any] = dict(getattr(request, "scope", None) or _wsgi_scope(request))
    # Django's test client has it as a string, unlike servers.
    if isinstance(scope["query_string"], str):
        scope["query_string"] = scope["query_string"].encode()
    scope["url_route"] = {"args": (), "kwargs": dict(path_params)}
    if hasattr(request, "session"):
        scope["session"] = request.session
    if hasattr(request, "auser"):
        user: Awaitable[Any] = request.auser()
        scope["user"] = await user
    return scope


def _wsgi_scope(request: http.HttpRequest) -> dict[str, Any]:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in request.headers.items()
    ]
    return {
        "type": "http",
        "method": request.method,
        "path": request.path,
        "query_string": request.META.get("QUERY_STRING", "").encode("latin-1"),
        "headers": headers,
    }


def _streaming_response(answer: StreamingResponse) -> http.StreamingHttpResponse:
    response = http.StreamingHttpResponse(
        _Chunks(answer),
        status=answer.response.status_code,
        headers=dict(answer.response.items()),
    )
    response.cookies = answer.response.cookies
    return response


register_endpoint(GraphqlView)

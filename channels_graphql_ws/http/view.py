"""`GraphqlView` and `SyncGraphqlView`: GraphQL over HTTP, mounted in a Django URLconf."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial, wraps
from typing import Any, ClassVar, Never, Unpack
from weakref import finalize

from asgiref.sync import async_to_sync, sync_to_async
from django import http
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http.multipartparser import MultiPartParserError
from django.middleware.csrf import get_token
from django.utils.functional import LazyObject, empty
from django.views import View

from channels_graphql_ws.client_log import lines_of_process
from channels_graphql_ws.concurrency.database import keep_transactions, without_atomic_requests
from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.concurrency.threads import (
    RequestThread,
    in_thread,
    operations_in_request_thread,
    runs_on_loop,
)
from channels_graphql_ws.graphiql import GraphiqlConfig
from channels_graphql_ws.http.errors import ClientGoneError, HttpError, too_large
from channels_graphql_ws.http.handler import Answer, Count, RequestHandler
from channels_graphql_ws.http.options import GraphqlHttpEndpoint
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.http.responses import StreamingResponse
from channels_graphql_ws.operations import mounting
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.operations.keywords import HttpKeywords
from channels_graphql_ws.operations.mounting import check_is_request
from channels_graphql_ws.operations.overrides import default
from channels_graphql_ws.operations.unsent import Unsent
from channels_graphql_ws.pubsub.layers import register_endpoint
from channels_graphql_ws.shutdown import connections_of_loop


class _DjangoView(GraphqlHttpEndpoint, View):
    """What the views have in common."""

    _keeps_thread: ClassVar[bool] = True
    """Whether hooks of a stream have the thread of the request as long as that goes on."""

    def __init__(self, *called: Never, **attributes: Any) -> None:
        """Make the view of one request (Django).

        Raises:
            TypeError: a server or Django has made it, so the class was mounted.
        """
        if called:
            name = type(self).__name__
            check_is_request(name, called[0])
            raise TypeError(f"{name} is a class: route `{name}.as_view(schema=schema)`")
        super().__init__(**attributes)

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
        mounting.register_mounted(cls)
        return super().as_view()

    def setup(self, request: http.HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Take the request (Django).

        Raises:
            TypeError: it is not one, as where the view is not in a URLconf.
        """
        check_is_request(type(self).__name__, request)
        super().setup(request, *args, **kwargs)

    @default
    def graphiql_config(self, request: HttpRequest) -> GraphiqlConfig:
        """Return the settings of GraphiQL, with the token for Django's CSRF check."""
        config = super().graphiql_config(request)
        is_wsgi = not hasattr(self.request, "scope")
        return replace(config, csrf_token=get_token(self.request), is_wsgi=is_wsgi)

    async def _answer(
        self, request: http.HttpRequest, path_params: Mapping[str, Any]
    ) -> http.HttpResponseBase:
        # Middleware of this request has its database connections there.
        thread = RequestThread()
        token = operations_in_request_thread.set(thread)
        self.request = request
        keeps_thread = False
        try:
            asked = HttpRequest(await _scope(request, path_params), self)
            with lines_of_process() if _loop_is_its_own(request) else nullcontext():
                answer = await _counted(RequestHandler(self, asked, _Source(request)))
            keeps_thread = self._keeps_thread and isinstance(answer, StreamingResponse)
        except ClientGoneError:
            # The response reaches nobody.
            return http.HttpResponseBadRequest()
        finally:
            # `async_to_sync` hands variables on to its caller.
            operations_in_request_thread.reset(token)
            # An operation may go on without the request: Django's thread is not there for it.
            thread.is_open = keeps_thread
            if not hasattr(request, "scope"):
                # The event loop ends with the request.
                await connections_of_loop().finish()
        return answer if isinstance(answer, http.HttpResponse) else _streaming_response(answer)


class GraphqlView(_DjangoView):
    """Serves GraphQL over HTTP: subclass it, set `schema`, mount `as_view()`.

    It is an asynchronous view, which works under WSGI, too; subscriptions need ASGI.
    ATOMIC_REQUESTS does not apply to it as a whole, see `atomic_mutations`.
    """

    @classmethod
    def as_view(  # type: ignore[override]
        cls, **options: Unpack[HttpKeywords]
    ) -> Callable[..., Any]:
        """Return the view function, a coroutine function.

        Args:
            options: attributes of the class.

        Raises:
            TypeError: there is no such attribute, or no schema.
        """
        view = super().as_view(**options)
        if hasattr(view, "_non_atomic_requests"):
            return view
        if not runs_on_loop(cls.dispatch):
            view = _in_request_thread(view)
        return without_atomic_requests(view)

    async def dispatch(  # type: ignore[override]
        self, request: http.HttpRequest, *args: Any, **kwargs: Any
    ) -> http.HttpResponseBase:
        """Serve one request (Django)."""
        response: Any = super().dispatch(request, *args, **kwargs)
        answer: http.HttpResponseBase = await response if is_awaitable(response) else response
        return answer

    async def get(self, request: http.HttpRequest, **path_params: Any) -> http.HttpResponseBase:
        """Serve one request."""
        return await self._answer(request, path_params)

    post = put = delete = get
    # In place of Django's own answer: browsers ask what pages of other origins may send.
    options = get  # type: ignore[assignment]


class SyncGraphqlView(_DjangoView):
    """Does what `GraphqlView` does, as a synchronous view.

    For decorators that touch the response, and for ATOMIC_REQUESTS as it is for all other views:
    synchronous resolvers run in the thread of the request, inside of its transaction. If a
    result has errors, that transaction is rolled back.
    """

    _keeps_thread = False

    def get(self, request: http.HttpRequest, **path_params: Any) -> http.HttpResponseBase:
        """Serve one request."""
        keep_transactions()
        return async_to_sync(self._answer)(request, path_params)

    post = put = delete = get
    # In place of Django's own answer: browsers ask what pages of other origins may send.
    options = get


async def _counted(handler: RequestHandler) -> Answer:
    """Return the answer, which counts as unsent until Django has no more use for it."""
    try:
        answer = await handler.answer()
    except BaseException:
        handler.close()
        raise
    if handler.holds_answer:
        # Middleware may give another one in its place, and nobody closes this one then.
        loop, unsent = asyncio.get_running_loop(), handler.unsent()
        finalize(answer, _close_in_loop, unsent, loop).atexit = False
        # Django waits for ever for a client that does not read.
        unsent.abandon_later(handler.patience)
    return answer


def _close_in_loop(unsent: Unsent, loop: asyncio.AbstractEventLoop) -> None:
    with suppress(RuntimeError):  # The event loop is closed.
        loop.call_soon_threadsafe(unsent.close)


def _loop_is_its_own(request: http.HttpRequest) -> bool:
    """Return whether a server has made an event loop for this request alone (WSGI).

    Django's test client, which names its server so, is none: what one test logs must not keep
    another from it.
    """
    return not hasattr(request, "scope") and request.META.get("SERVER_NAME") != "testserver"


def _in_request_thread(view: Callable[..., Any]) -> Callable[..., Any]:
    """Return a view whose synchronous part, a mixin for example, may use the ORM."""

    @wraps(view)
    async def called(request: http.HttpRequest, *args: Any, **kwargs: Any) -> Any:
        response: Any = await sync_to_async(_call)(view, request, *args, **kwargs)
        return await response if is_awaitable(response) else response

    return called


def _call(view: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return view(*args, **kwargs)


class _Source:
    """The client's side of a request, by way of Django's."""

    def __init__(self, request: http.HttpRequest) -> None:
        self._request = request
        # Under WSGI a stream would be collected to its end, which is never.
        self.can_stream = hasattr(request, "scope")

    async def read(self, request: HttpRequest, limit: int | None, _count: Count, /) -> None:
        """Take over the body that Django has read; there is nothing to count in the middle."""
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
        # A resolver may call Channels' `database_sync_to_async`, or its `login`.
        keep_transactions()
        if request.media_type.name == "multipart/form-data":
            # Django closes the files with its own request.
            request.take_form(self._request.POST, self._request.FILES)
        else:
            request.body = self._request.body

    async def gone(self) -> None:
        """Wait for ever: when the client goes, Django cancels the view."""
        await asyncio.get_running_loop().create_future()


class _Chunks:
    """The body of a streaming response."""

    def __init__(self, answer: StreamingResponse) -> None:
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._close_soon = partial(_close_soon, self._loop, answer)
        answer.stream.given_up.add_done_callback(self._close_soon)
        # Django drops it, and closes nothing, if the client goes before it is iterated.
        self._dropped = finalize(self, _close_in_loop_of, self._loop, answer)
        self._dropped.atexit = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the chunks."""
        self._dropped.detach()
        try:
            async for chunk in self._answer.stream:
                yield chunk
        finally:
            await self._answer.close()

    def close(self) -> None:
        """End the stream; Django calls this in a thread, even if it has never iterated."""
        self._loop.call_soon_threadsafe(self._close_soon)


def _close_in_loop_of(loop: asyncio.AbstractEventLoop, answer: StreamingResponse) -> None:
    with suppress(RuntimeError):  # The event loop is closed.
        loop.call_soon_threadsafe(_close_soon, loop, answer)


def _close_soon(
    loop: asyncio.AbstractEventLoop, answer: StreamingResponse, _given_up: object = None
) -> None:
    task = loop.create_task(answer.close())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()


async def _scope(request: http.HttpRequest, path_params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scope like that of a consumer behind `AuthMiddlewareStack`."""
    scope: dict[str, Any] = dict(getattr(request, "scope", None) or _wsgi_scope(request))
    # Django's test client has it as a string, unlike servers.
    if isinstance(scope["query_string"], str):
        scope["query_string"] = scope["query_string"].encode()
    scope["url_route"] = {"args": (), "kwargs": dict(path_params)}
    scope["django_request"] = request
    if hasattr(request, "session"):
        scope["session"] = request.session
    if hasattr(request, "user"):
        scope["user"] = await _user(request)
    return scope


async def _user(request: Any) -> Any:
    """Return `request.user` as the last middleware has left it, ready for the event loop."""
    user = vars(request).get("user", request.user)
    if not (isinstance(user, LazyObject) and vars(user).get("_wrapped") is empty):
        return user
    makes: Any = vars(user).get("_setupfunc")
    if getattr(makes, "__module__", None) == "django.contrib.auth.middleware":
        return await request.auser()
    # Somebody else's middleware has put it there: it may ask the database.
    await in_thread(lambda: user.__class__)
    return user


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
register_endpoint(SyncGraphqlView)

"""GraphiQL: its page and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponse

from channels_graphql_ws import graphiql
from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.concurrency.threads import in_thread
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.http.responses import set_headers
from channels_graphql_ws.operations.hook_calls import call_hook

if TYPE_CHECKING:
    from channels_graphql_ws.http.options import GraphqlHttpEndpoint


async def asset(request: HttpRequest, name: str) -> HttpResponse:
    """Answer with one of the files."""
    headers = request.headers_by_name
    found: graphiql.AssetResponse = await in_thread(lambda: graphiql.asset_response(name, headers))
    response = HttpResponse(found.body, status=found.status)
    set_headers(response, found.headers)
    return response


async def page(
    endpoint: GraphqlHttpEndpoint, request: HttpRequest, response: HttpResponse
) -> HttpResponse:
    """Answer with the page, or with the user's own."""
    own: Any = call_hook(endpoint, "render_graphiql", request)
    if is_awaitable(own):
        own = await own
    if isinstance(own, HttpResponse):
        return own
    if own is not None:
        raise TypeError(
            f"`render_graphiql` returned {own!r}, it must return a `django.http.HttpResponse`, or "
            "`None` for GraphiQL"
        )
    config = call_hook(endpoint, "graphiql_config", request)
    if is_awaitable(config):
        config = await config
    response.content = (await in_thread(lambda: graphiql.render(config))).encode()
    set_headers(response, graphiql.page_headers(config))
    return response

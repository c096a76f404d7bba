"""A project with GraphiQL, to be looked at by a browser: `graphiql_server.py PORT [STATIC_ROOT]`.

With a folder for static files, they are collected there under hashed names and served from
there; without one, the endpoint serves the page's files itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar

import django
from django.conf import settings

PORT = int(sys.argv[1])
STATIC_ROOT = Path(sys.argv[2]) if len(sys.argv) > 2 else None
STATICFILES = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    CSRF_COOKIE_HTTPONLY=STATIC_ROOT is not None,
    INSTALLED_APPS=[]
    if STATIC_ROOT is None
    else ["django.contrib.staticfiles", "channels_graphql_ws"],
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for a browser test only",  # noqa: S106 (no secret: nothing is served with it)
    STATIC_ROOT=STATIC_ROOT,
    STATIC_URL="static/",
    STORAGES={"staticfiles": {"BACKEND": STATICFILES}},
)
django.setup()

import graphene  # noqa: E402 (needs the settings)
import uvicorn  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.urls import path, re_path  # noqa: E402
from django.views.static import serve  # noqa: E402

from channels_graphql_ws import GraphqlWsConsumer, Subscription, graphiql  # noqa: E402


class Query(graphene.ObjectType):
    """What can be asked."""

    hello = graphene.String(name=graphene.String(default_value="you"))

    def resolve_hello(self, info, name):
        return f"Hello, {name}!"


class Say(graphene.Mutation):
    """Says something to everybody."""

    class Arguments:
        text = graphene.String(required=True)

    ok = graphene.Boolean()

    async def mutate(self, info, text):
        await Said.broadcast_async(payload=text)
        return Say(ok=True)


class Mutation(graphene.ObjectType):
    """What can be done."""

    say = Say.Field()


class Said(Subscription):
    """Something that was said, and by which token it is heard."""

    text = graphene.String()
    token = graphene.String()

    def publish(self, info):
        return Said(text=self, token=info.context.connection_params.get("Authorization"))


class Subscriptions(graphene.ObjectType):
    """What can be heard."""

    said = Said.Field()


schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)


class Consumer(GraphqlWsConsumer):
    """Knows one token which it does not like."""

    schema: ClassVar = schema

    async def on_connect(self, payload):
        if (payload or {}).get("Authorization") == "wrong":
            raise PermissionError("This token is of yesterday")


async def endpoint(request: HttpRequest) -> HttpResponse:
    """Serve the page, its files, and queries."""
    if request.method == "POST":
        asked = json.loads(request.body)
        result = await schema.execute_async(
            asked["query"],
            variables=asked.get("variables"),
            operation_name=asked.get("operationName"),
        )
        return JsonResponse(result.formatted)
    if name := request.GET.get(graphiql.ASSET_PARAMETER):
        headers = {key.lower(): value for key, value in request.headers.items()}
        answer = graphiql.asset_response(name, headers)
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
    config = graphiql.GraphiqlConfig(title="Voices", csrf_token=get_token(request))
    return HttpResponse(graphiql.render(config), headers=graphiql.page_headers(config))


urlpatterns = [path("graphql/", endpoint)]
if STATIC_ROOT is not None:
    urlpatterns.append(re_path("static/(?P<path>.*)", serve, {"document_root": STATIC_ROOT}))
    call_command("collectstatic", interactive=False, verbosity=0)

application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("graphql/", Consumer.as_asgi())]),
    }
)

if __name__ == "__main__":
    uvicorn.run(application, host="127.0.0.1", port=PORT, lifespan="off", ws="websockets-sansio")

"""A project with GraphiQL, for a browser.

    graphiql_server.py PORT [--static FOLDER] [--http | --wsgi]

The endpoint is a consumer, which serves the page's files itself. With a folder for static files,
they are collected there under hashed names and served from there, and the endpoint is a Django
view. `--http` leaves the WebSocket out; `--wsgi` serves the view through WSGI.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import django
from django.conf import settings

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("--static", type=Path)
parser.add_argument("--http", action="store_true")
parser.add_argument("--wsgi", action="store_true")
arguments = parser.parse_args()
STATIC_ROOT = arguments.static
STATICFILES = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    # Not Django's own, with which static files would keep their names.
    CHANNELS_GRAPHQL_WS={"DEBUG": True},
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
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.urls import path, re_path  # noqa: E402
from django.views.static import serve  # noqa: E402

from channels_graphql_ws import GraphqlWsConsumer, Subscription, statistics  # noqa: E402
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer  # noqa: E402
from channels_graphql_ws.http.view import GraphqlView  # noqa: E402


class Query(graphene.ObjectType):
    """What can be asked."""

    hello = graphene.String(
        name=graphene.String(default_value="you"),
        description=(
            'Says <b>hello</b>. <img src="x" onerror="alert(1)"> '
            "[a link](javascript:alert(2)) <iframe srcdoc=here></iframe>"
        ),
    )

    subscribers = graphene.Int(required=True, description="How many a broadcast would reach.")

    def resolve_hello(self, info, name):
        return f"Hello, {name}!"

    def resolve_subscribers(self, info):
        return sum(hub.subscribers for hub in statistics().hubs)


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
    # One of the two projects confirms: GraphiQL can live with both.
    confirm_subscriptions = STATIC_ROOT is None

    async def on_connect(self, payload):
        if (payload or {}).get("Authorization") == "wrong":
            raise PermissionError("This token is of yesterday")


class HttpConsumer(GraphqlHttpConsumer):
    """Serves the page, its files, and queries."""

    schema: ClassVar = schema

    def graphiql_config(self, request):
        return replace(super().graphiql_config(request), title="Voices")


class View(GraphqlView):
    """Serves the same in Django, which checks its token."""

    schema: ClassVar = schema

    def graphiql_config(self, request):
        return replace(super().graphiql_config(request), title="Voices")


urlpatterns = [path("graphql/", View.as_view())]
http = URLRouter([path("graphql/", HttpConsumer.as_asgi())])
if STATIC_ROOT is not None:
    urlpatterns.append(re_path("static/(?P<path>.*)", serve, {"document_root": STATIC_ROOT}))
    call_command("collectstatic", interactive=False, verbosity=0)
    http = get_asgi_application()

protocols = {"http": http}
if not arguments.http:
    protocols["websocket"] = URLRouter([path("graphql/", Consumer.as_asgi())])


def serve_wsgi() -> None:
    """Serve as `manage.py runserver` does without an ASGI server."""
    # A single thread would wait for connections which a browser opens in advance.
    with ThreadedWSGIServer(("127.0.0.1", arguments.port), WSGIRequestHandler) as server:
        server.set_app(WSGIHandler())
        print("Listening", flush=True)  # noqa: T201 (the test waits for it)
        server.serve_forever()


if __name__ == "__main__":
    if arguments.wsgi:
        serve_wsgi()
    application = ProtocolTypeRouter(protocols)
    options = {"lifespan": "off", "ws": "websockets-sansio"}
    uvicorn.run(application, host="127.0.0.1", port=arguments.port, **options)

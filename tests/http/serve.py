"""Serves a subscription: `serve.py (uvicorn|daphne) <descriptor of the socket>`."""

from __future__ import annotations

import sys
from typing import Any

import django
from django.conf import settings

settings.configure(
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    SECRET_KEY="for tests only",  # noqa: S106 (no secret)
    ALLOWED_HOSTS=["localhost"],
)
django.setup()

import graphene  # noqa: E402 (Django has to be set up before)

from channels_graphql_ws import Subscription  # noqa: E402
from channels_graphql_ws.http_consumer import GraphqlHttpConsumer  # noqa: E402


class OnEvent(Subscription):
    """Tells of its subscribers."""

    event = graphene.String()

    @staticmethod
    def subscribe(_root: Any, _info: Any) -> None:
        print("subscribed", flush=True)  # noqa: T201 (the test reads it)

    @staticmethod
    def publish(payload: Any, _info: Any) -> OnEvent:
        return OnEvent(event=payload)

    @staticmethod
    def unsubscribed(_root: Any, _info: Any) -> None:
        print("unsubscribed", flush=True)  # noqa: T201


class Query(graphene.ObjectType):
    hello = graphene.String()


class Root(graphene.ObjectType):
    on_event = OnEvent.Field()


application = GraphqlHttpConsumer.as_asgi(schema=graphene.Schema(query=Query, subscription=Root))


def main(server: str, descriptor: str) -> None:
    if server == "uvicorn":
        import uvicorn  # noqa: PLC0415

        uvicorn.run(application, fd=int(descriptor), lifespan="off", log_config=None)
    else:
        from daphne.server import Server  # noqa: PLC0415

        endpoint = f"fd:fileno={descriptor}"
        Server(application, endpoints=[endpoint], signal_handlers=False).run()


main(*sys.argv[1:])

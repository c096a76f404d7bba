"""`manage.py graphql_connections`: what is printed, and ending a connection."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.layers import InMemoryChannelLayer
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.management.commands.graphql_connections import Command
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport, alogin_headers

pytestmark = pytest.mark.django_db(transaction=True)


class OnListed(Subscription):
    """Is subscribed to."""

    text = graphene.String()

    @staticmethod
    def publish(payload: Any, info: Any) -> None:
        return None


class Query(graphene.ObjectType):
    """Without one, a schema is not valid."""

    ok = graphene.Boolean()


class Subscriptions(graphene.ObjectType):
    """The root type of the subscriptions."""

    on_listed = OnListed.Field()


SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)


class Remote(InMemoryChannelLayer):
    """A layer that connects processes, as far as anybody knows."""


@pytest.fixture(autouse=True)
def project(settings: Any) -> None:
    settings.ASGI_APPLICATION = None
    settings.ROOT_URLCONF = None
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Remote"}}


async def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    await sync_to_async(call_command)(Command(), *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


async def connected(*headers: Any) -> GraphqlWsClient:
    application = AuthMiddlewareStack(GraphqlWsConsumer.as_asgi(schema=SCHEMA))
    client = GraphqlWsClient(GraphqlWsTransport(application, "/", {"headers": list(headers)}))
    await client.connect_and_init()
    return client


@pytest.fixture
async def clients() -> AsyncIterator[list[GraphqlWsClient]]:
    """One of a user whose name clears the screen, and one of nobody."""
    user = await User.objects.acreate_user("Ada \x1b[2J")
    clients = [await connected(*await alogin_headers(user)), await connected()]
    for _ in range(2):
        await clients[0].subscribe("subscription { onListed { text } }", wait_confirmation=False)
    yield clients
    for client in clients:
        await client.finalize()


async def test_connections_are_listed_so_that_a_terminal_can_show_them(
    clients: list[GraphqlWsClient],
) -> None:
    out, err = await run()
    lines = out.splitlines()
    assert "2 connections, 1 users, 2 subscriptions, 0 events queued, 0 bytes unsent" in lines[0]
    assert any(r"Ada \x1b[2J (" in each and "OnListed x 2" in each for each in lines)
    assert any("nobody  no subscription" in each for each in lines)
    assert "\x1b" not in out
    assert "InMemoryChannelLayer does not cross processes" in err
    assert (await run("--limit", "1"))[0].splitlines()[-1].strip() == "1 more"


async def test_the_same_as_json_and_one_connection_is_ended(
    clients: list[GraphqlWsClient],
) -> None:
    out, _ = await run("Ada", "--json", "--processes", "1")
    (process,) = json.loads(out)["processes"]
    (listed,) = process["listed"]
    assert listed["subscriptions"] == {"OnListed": 2}
    assert f"The connection {listed['id']} was ended" in (await run("--end", listed["id"]))[0]
    await clients[0].wait_disconnect(assert_code=4403)
    with pytest.raises(CommandError, match="has a connection 'unknown'"):
        await run("--end", "unknown")


async def test_processes_that_are_missing_are_a_failure(clients: list[GraphqlWsClient]) -> None:
    with pytest.raises(CommandError, match="1 of 2 processes have answered in time"):
        await run("--processes", "2")


@pytest.mark.parametrize("option", ["--limit=0", "--timeout=nan", "--processes=x"])
def test_an_option_that_makes_no_sense_is_refused(option: str) -> None:
    with pytest.raises(CommandError, match="is not a number > 0"):
        call_command(Command(), option)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ({}, "Channel layer is not configured"),
        (
            {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
            "this command can ask nobody",
        ),
    ],
)
def test_without_a_layer_between_processes_it_says_so(
    settings: Any, layers: Any, text: str
) -> None:
    settings.CHANNEL_LAYERS = layers
    with pytest.raises(CommandError, match=text):
        call_command(Command())

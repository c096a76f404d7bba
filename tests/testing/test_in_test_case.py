"""Coroutines of a Django `TestCase`, whose data nobody but the connection of the test sees."""

from __future__ import annotations

from typing import Any

import graphene
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.test import SimpleTestCase, TestCase

from channels_graphql_ws import GraphqlProtocolTypeRouter, GraphqlWsConsumer, Subscription
from channels_graphql_ws.testing import (
    GraphqlHttpClient,
    GraphqlWebsocketCommunicator,
    GraphqlWsClient,
    GraphqlWsTransport,
)
from channels_graphql_ws.testing.transaction import in_transaction_of_test


def names() -> list[str]:
    return list(Group.objects.values_list("name", flat=True))


class Query(graphene.ObjectType):
    names = graphene.List(graphene.String)

    @staticmethod
    def resolve_names(_root: Any, _info: Any) -> list[str]:
        return names()


class OnGroups(Subscription):
    names = graphene.List(graphene.String)

    @staticmethod
    def publish(_payload: Any, _info: Any) -> dict[str, Any]:
        return {"names": names()}


class Subscriptions(graphene.ObjectType):
    groups = OnGroups.Field()


schema = graphene.Schema(query=Query, subscription=Subscriptions)
router = GraphqlProtocolTypeRouter(schema)
consumer = GraphqlWsConsumer.as_asgi(schema=schema, resolve_sync_in_threads=True)


class CoroutineTests(TestCase):
    """In each of them another thread would find no groups."""

    async def test_a_websocket_sees_what_the_test_has_written(self) -> None:
        await Group.objects.acreate(name="cats")
        for application in (router, consumer):
            async with GraphqlWebsocketCommunicator(application, "/graphql/") as client:
                result = await client.execute("{ names }")
                assert result.data == {"names": ["cats"]}
                async with client.subscribe("subscription { groups { names } }") as events:
                    await OnGroups.broadcast()
                    assert (await anext(events)).data == {"groups": {"names": ["cats"]}}

    async def test_a_request_and_a_stream_see_it(self) -> None:
        await Group.objects.acreate(name="dogs")
        client = GraphqlHttpClient(router)
        assert (await client.execute("{ names }")).data == {"names": ["dogs"]}
        async with client.subscribe("subscription { groups { names } }") as events:
            await OnGroups.broadcast()
            assert (await anext(events)).data == {"groups": {"names": ["dogs"]}}

    def test_so_does_what_a_plain_test_awaits(self) -> None:
        Group.objects.create(name="owls")

        async def ask() -> Any:
            client = GraphqlWsClient(GraphqlWsTransport(consumer, path="/"))
            await client.connect_and_init()
            result = await client.execute("{ names }")
            await client.finalize()
            return result

        assert async_to_sync(ask)()["data"] == {"names": ["owls"]}
        assert names() == ["owls"]


class PlainTests(SimpleTestCase):
    """There is no transaction, so that nothing has to be done in the thread of the test."""

    async def test_an_application_runs_as_ever(self) -> None:
        async with GraphqlWebsocketCommunicator(consumer, "/") as client:
            assert (await client.execute("{ __typename }")).data == {"__typename": "Query"}


async def test_an_application_is_left_as_it_is_on_an_event_loop_of_its_own() -> None:
    assert in_transaction_of_test(consumer) is consumer

"""A subscription to rooms, and the consumer that serves it."""

import asyncio
import os

import graphene

from channels_graphql_ws import GraphqlWsConsumer, Subscription, resumable


class OnNews(Subscription):
    """News of a room."""

    class Arguments:
        room = graphene.String(required=True)

    text = graphene.String()

    def subscribe(self, info, room):
        return [room]

    def publish(self, info, room):
        return OnNews(text=self)


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    on_news = OnNews.Field()
    count = graphene.String()

    @resumable(60)
    async def subscribe_count(root, info):  # noqa: N805 (root, not self)
        number = 0
        while True:
            number += 1
            yield f"{os.getpid()} {number}"
            await asyncio.sleep(0.01)  # noqa: TID251 (something that takes time)


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True
    subscription_notification_queue_limit = 10_000

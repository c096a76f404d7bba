"""A subscription to rooms, and the consumer that serves it."""

import graphene

from channels_graphql_ws import GraphqlWsConsumer, Subscription


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


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True
    subscription_notification_queue_limit = 10_000

"""Subscriptions with durable broadcasts, as several processes know them."""

from __future__ import annotations

from typing import Any

import graphene

from channels_graphql_ws import GraphqlWsConsumer, Subscription


class OnSale(Subscription):
    """Tells what was sold."""

    what = graphene.String()

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        return {"what": payload}


class OnOrder(OnSale):
    """Says itself that its broadcasts are durable."""

    broadcast_durable = True
    what = graphene.String()


class OnKept(OnSale):
    """Has a history."""

    history_size = 10
    what = graphene.String()


class OnHurry(OnSale):
    """Says itself that its broadcasts are not durable."""

    broadcast_durable = False
    what = graphene.String()


class OnSpoken(OnSale):
    """Says itself that its broadcasts wait for no commit."""

    broadcast_on_commit = False
    what = graphene.String()


class Query(graphene.ObjectType):
    """Without one, a schema is not valid."""

    ok = graphene.Boolean()


class Subscriptions(graphene.ObjectType):
    """All of them."""

    on_sale = OnSale.Field()
    on_order = OnOrder.Field()
    on_kept = OnKept.Field()
    on_hurry = OnHurry.Field()
    on_spoken = OnSpoken.Field()


class Consumer(GraphqlWsConsumer):
    """Serves them."""

    schema = graphene.Schema(query=Query, subscription=Subscriptions)

"""Mistakes that type checkers find in users' code: checked by mypy and pyright, never run.

Each line with an `ignore` has a mistake: where a checker stops finding it, the comment is
not needed any more, which is an error of its own.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import graphene

from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    GraphqlWsConsumer,
    Subscription,
)


class OnNumber(Subscription[int]):
    """Broadcasts numbers."""

    number = graphene.Int()

    @staticmethod
    def publish(payload: int, _info: graphene.ResolveInfo) -> object:
        return OnNumber(number=payload)


class OnSpecialNumber(OnNumber):
    """Has the payload of its base."""


async def forget_to_await() -> None:
    """A broadcast that is never sent."""
    OnNumber.broadcast_async(payload=1)  # type: ignore[unused-coroutine]
    OnNumber.unsubscribe_async()  # type: ignore[unused-coroutine]


async def broadcast_something_else() -> None:
    """A payload that `publish` does not expect."""
    OnNumber.broadcast(payload="one")  # type: ignore[arg-type]
    OnNumber.broadcast_sync(payload="one")  # type: ignore[arg-type]
    await OnNumber.broadcast_async(payload="one")  # type: ignore[arg-type]


def misspell_arguments() -> None:
    """Names that the methods do not have, and a group that is not a string."""
    OnNumber.broadcast(groups="all", payload=1)  # type: ignore[call-arg]
    OnNumber.broadcast(group=1, payload=1)  # type: ignore[arg-type]
    OnSpecialNumber.broadcast(payload="one")  # type: ignore[arg-type]
    OnNumber.Field(requierd=True)  # type: ignore[call-arg]


def misspell_options(schema: graphene.Schema) -> None:
    """Options that do not exist, or that do not have such a value."""
    GraphqlWsConsumer.as_asgi(schema=schema, max_dept=3)  # type: ignore[call-arg]
    GraphqlWsConsumer.as_asgi(schema=schema, graphiql=False)  # type: ignore[call-arg]
    GraphqlWsConsumer.as_asgi(schema=schema, max_depth="3")  # type: ignore[arg-type]
    GraphqlHttpConsumer.as_asgi(schema=schema, max_dept=3)  # type: ignore[call-arg]
    GraphqlView.as_view(schema=schema, grahpiql=False)  # type: ignore[call-arg]
    GraphqlProtocolTypeRouter(schema, max_dept=3)  # type: ignore[call-arg]
    GraphqlProtocolTypeRouter(schema, url_patern="^live$")  # type: ignore[call-arg]
    GraphqlProtocolTypeRouter(schema, send_ping_every="1 s")  # type: ignore[arg-type]

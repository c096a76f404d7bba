"""A schema whose every hook and resolver can be watched and held by a test."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import graphene
from graphql import GraphQLError

from channels_graphql_ws import GraphqlWsConsumer, Subscription


class Stage:
    """Notes who passes, and holds up those whom the test has told to wait.

    It travels to the hooks in the scope of the connection, under the key `stage`.
    """

    def __init__(self, *held: str) -> None:
        self.passed: list[str] = []
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._held = set(held)

    @property
    def scope(self) -> dict[str, Any]:
        """For the scope of a connection."""
        return {"stage": self}

    def note(self, what: str) -> None:
        """Note that something happened."""
        self.passed.append(what)

    async def at(self, what: str) -> None:
        """Note that somebody is here, and wait if that is wanted."""
        self.note(what)
        if what in self._held:
            await self._gates[what].wait()
            self.note(f"{what} went on")

    def let_go(self, what: str) -> None:
        """Let those go on who wait there, and all who come."""
        self._gates[what].set()


def stage_of(info: Any) -> Stage:
    """The stage of a connection; one that nobody looks at if the test has none."""
    stage: Stage = info.context.channels_scope.setdefault("stage", Stage())
    return stage


class News(Subscription):
    """A subscription with synchronous hooks."""

    text = graphene.String()

    class Arguments:
        topic = graphene.String()

    @staticmethod
    def subscribe(root: Any, info: Any, topic: str | None = None) -> list[str] | None:
        stage_of(info).note("subscribe")
        if topic == "refused":
            raise GraphQLError("Refused")
        return None if topic is None else [topic]

    @staticmethod
    def publish(payload: Any, info: Any, topic: str | None = None) -> dict[str, Any]:
        stage_of(info).note("publish")
        if payload == "broken":
            raise ValueError("broken")
        return {"text": payload}

    @staticmethod
    def unsubscribed(root: Any, info: Any, topic: str | None = None) -> None:
        stage_of(info).note("unsubscribed")


class SlowNews(Subscription):
    """A subscription whose hooks may wait."""

    text = graphene.String()

    @staticmethod
    async def subscribe(root: Any, info: Any) -> None:
        await stage_of(info).at("subscribe")

    @staticmethod
    async def publish(payload: Any, info: Any) -> dict[str, Any]:
        await stage_of(info).at("publish")
        return {"text": payload}

    @staticmethod
    async def unsubscribed(root: Any, info: Any) -> None:
        await stage_of(info).at("unsubscribed")


class Query(graphene.ObjectType):
    """Queries that answer at once, late, and not at all."""

    hello = graphene.String()
    wait = graphene.String(at=graphene.String(default_value="query"))
    connection = graphene.String()
    broken = graphene.String()

    @staticmethod
    def resolve_hello(root: Any, info: Any) -> str:
        return "world"

    @staticmethod
    async def resolve_wait(root: Any, info: Any, at: str) -> str:
        await stage_of(info).at(at)
        return at

    @staticmethod
    def resolve_connection(root: Any, info: Any) -> str:
        context = info.context
        return f"{context.channel_name} {dict(context.connection_params)}"

    @staticmethod
    def resolve_broken(root: Any, info: Any) -> str:
        raise ValueError("broken")


class Mutation(graphene.ObjectType):
    """Mutations that cause events."""

    tell = graphene.Boolean(
        text=graphene.String(), topic=graphene.String(), times=graphene.Int(default_value=1)
    )
    tell_and_wait = graphene.Boolean(text=graphene.String())
    end = graphene.Boolean()
    end_and_wait = graphene.Boolean()

    @staticmethod
    def resolve_tell(
        root: Any, info: Any, text: str, topic: str | None = None, times: int = 1
    ) -> bool:
        for _ in range(times):
            News.broadcast(group=topic, payload=text)
        return True

    @staticmethod
    async def resolve_tell_and_wait(root: Any, info: Any, text: str) -> bool:
        News.broadcast(payload=text)
        await stage_of(info).at("mutation")
        stage_of(info).note("mutation done")
        return True

    @staticmethod
    def resolve_end(root: Any, info: Any) -> bool:
        News.unsubscribe()
        return True

    @staticmethod
    async def resolve_end_and_wait(root: Any, info: Any) -> bool:
        await News.unsubscribe_async()
        await stage_of(info).at("mutation")
        return True


class Subscriptions(graphene.ObjectType):
    """Root type of the subscriptions."""

    news = News.Field()
    slow_news = SlowNews.Field()


schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)

NEWS = "subscription { news { text } }"
SLOW_NEWS = "subscription { slowNews { text } }"
TELL = 'mutation { tell(text: "hi") }'
HELLO = "{ hello }"


def consumer_class(**attributes: Any) -> type[GraphqlWsConsumer]:
    """Make a consumer class of the schema with attributes and methods of its own."""
    return type("NewsConsumer", (GraphqlWsConsumer,), {"schema": schema, **attributes})

"""What the conformance tests serve: a schema whose resolvers leave traces and wait at gates."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import graphene
from graphql import GraphQLError

from channels_graphql_ws import GraphqlWsConsumer, Subscription
from support import GUARD


class Stage:
    """What has been executed, and the gates where resolvers wait; one for each test."""

    def __init__(self) -> None:
        self.executed: list[str] = []
        self.cancelled: list[str] = []
        self.unsubscribed: list[str] = []
        self._arrivals: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def wait_at(self, gate: str) -> None:
        """Wait for `open_gate`; called by what is on the stage."""
        self._arrivals[gate].set()
        try:
            await self._gates[gate].wait()
        except asyncio.CancelledError:
            self.cancelled.append(gate)
            raise

    async def arrival(self, gate: str) -> None:
        """Return when somebody waits at the gate."""
        async with asyncio.timeout(GUARD):
            await self._arrivals[gate].wait()

    def open_gate(self, gate: str) -> None:
        self._gates[gate].set()


def consumer(stage: Stage, **attributes: Any) -> type[GraphqlWsConsumer]:
    """A consumer class which serves the stage."""
    return type("StageConsumer", (GraphqlWsConsumer,), {"schema": schema(stage), **attributes})


def schema(stage: Stage) -> graphene.Schema:
    """A schema on this stage."""
    on_event = _on_event(stage)

    class Subscriptions(graphene.ObjectType):
        on_event_field = on_event.Field(name="onEvent")
        failing = _failing(stage).Field()

    return graphene.Schema(
        query=_query(stage), mutation=_mutation(stage, on_event), subscription=Subscriptions
    )


def _query(stage: Stage) -> type[graphene.ObjectType]:
    class Query(graphene.ObjectType):
        hello = graphene.String(name=graphene.String(default_value="world"))
        hello_async = graphene.String()
        double = graphene.Int(value=graphene.Int(required=True))
        hang = graphene.String(gate=graphene.String(default_value="query"))
        fails = graphene.String()
        refuses = graphene.String()
        child = graphene.Field(lambda: Query)

        @staticmethod
        def resolve_hello(root: Any, info: Any, name: str) -> str:
            stage.executed.append("hello")
            return f"Hello, {name}!"

        @staticmethod
        async def resolve_hello_async(root: Any, info: Any) -> str:
            stage.executed.append("hello_async")
            return "Hello, async!"

        @staticmethod
        def resolve_double(root: Any, info: Any, value: int) -> int:
            return 2 * value

        @staticmethod
        async def resolve_hang(root: Any, info: Any, gate: str) -> str:
            stage.executed.append("hang")
            await stage.wait_at(gate)
            return "released"

        @staticmethod
        def resolve_fails(root: Any, info: Any) -> str:
            raise RuntimeError("out of order")

        @staticmethod
        def resolve_refuses(root: Any, info: Any) -> str:
            raise GraphQLError("not for you", extensions={"code": "FORBIDDEN"})

        @staticmethod
        def resolve_child(root: Any, info: Any) -> dict[str, Any]:
            return {}

    return Query


def _mutation(stage: Stage, on_event: Any) -> type[graphene.ObjectType]:
    class Mutation(graphene.ObjectType):
        send = graphene.Int(text=graphene.String(required=True), room=graphene.String())
        unsubscribe = graphene.Int(room=graphene.String())
        hang = graphene.String(gate=graphene.String(default_value="mutation"))

        @staticmethod
        async def resolve_send(root: Any, info: Any, text: str, room: str | None = None) -> int:
            stage.executed.append("send")
            await on_event.broadcast(group=room, payload=text)
            return 1

        @staticmethod
        async def resolve_unsubscribe(root: Any, info: Any, room: str | None = None) -> int:
            await on_event.unsubscribe(group=room)
            return 1

        @staticmethod
        async def resolve_hang(root: Any, info: Any, gate: str) -> str:
            stage.executed.append("hang")
            await stage.wait_at(gate)
            return "released"

    return Mutation


def _on_event(stage: Stage) -> type[Subscription]:
    class OnEvent(Subscription):
        """Waits at the gate in `subscribe` if there is one, in `publish` at "publish"."""

        text = graphene.String()

        class Arguments:
            room = graphene.String()
            gate = graphene.String()
            publish_gate = graphene.String()

        @staticmethod
        async def subscribe(
            root: Any, info: Any, room: str | None = None, gate: str | None = None, **_: Any
        ) -> list[str]:
            stage.executed.append("subscribe")
            if gate is not None:
                await stage.wait_at(gate)
            return [room] if room else []

        @staticmethod
        async def publish(
            payload: str, info: Any, publish_gate: str | None = None, **_: Any
        ) -> Any:
            if publish_gate is not None:
                await stage.wait_at(publish_gate)
            if payload == "fail":
                raise RuntimeError("out of order")
            return OnEvent(text=payload)

        @staticmethod
        def unsubscribed(root: Any, info: Any, **_: Any) -> None:
            stage.unsubscribed.append(info.context.graphql_operation_id)

    return OnEvent


def _failing(stage: Stage) -> type[Subscription]:
    class OnFailing(Subscription):
        ok = graphene.Boolean()

        class Arguments:
            how = graphene.String()

        @staticmethod
        def subscribe(root: Any, info: Any, how: str | None = None) -> Any:
            if how == "refuse":
                raise GraphQLError("not for you")
            if how == "raise":
                raise RuntimeError("out of order")
            return {"wrong": "type"}

        @staticmethod
        def publish(payload: Any, info: Any, **_: Any) -> Any:
            raise AssertionError("nobody has subscribed")

    return OnFailing

"""A schema for tests of HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import graphene
from graphql import GraphQLError

from channels_graphql_ws import Subscription
from channels_graphql_ws.http.uploads import Upload
from http_client import Gate

calls: list[str] = []
"""What `unsubscribed` was called with."""

published: list[Any] = []
"""What `publish` was called with."""

gates: dict[str, Gate] = {}
"""Where `wait` waits, by name."""


class Query(graphene.ObjectType):
    hello = graphene.String(name=graphene.String(default_value="world"))
    required = graphene.NonNull(graphene.String)
    broken = graphene.String()
    wait = graphene.String(gate=graphene.String(required=True))
    respond = graphene.String()
    asked = graphene.JSONString()

    @staticmethod
    def resolve_hello(_root: Any, _info: Any, name: str) -> str:
        return f"Hello {name}!"

    @staticmethod
    def resolve_required(_root: Any, _info: Any) -> None:
        return None

    @staticmethod
    def resolve_broken(_root: Any, _info: Any) -> None:
        raise GraphQLError("It is broken.")

    @staticmethod
    async def resolve_wait(_root: Any, _info: Any, gate: str) -> str:
        await gates[gate].wait()
        return gate

    @staticmethod
    def resolve_respond(_root: Any, info: Any) -> str:
        response = info.context.response
        response.status_code = 418
        response.headers["X-Tea"] = "Earl Grey"
        response.set_cookie("cup", "full", httponly=True)
        response.set_cookie("spoon", "silver")
        return "tea"

    @staticmethod
    def resolve_asked(_root: Any, info: Any) -> dict[str, Any]:
        request = info.context.request
        return {
            "method": request.method,
            "path": request.path,
            "body": request.body.decode(),
            "content_type": request.content_type,
            "header": request.headers["x-own"],
            "query_params": request.query_params.dict(),
            "path_params": dict(request.path_params),
            "cookies": request.cookies,
            "form": request.form_data and request.form_data.fields.dict(),
            "consumer": type(request.consumer).__name__,
        }


class Mutate(graphene.Mutation):
    class Arguments:
        gate = graphene.String(required=True)

    ok = graphene.Boolean()

    @staticmethod
    async def mutate(_root: Any, _info: Any, gate: str) -> Mutate:
        await gates[gate].wait()
        return Mutate(ok=True)


class Store(graphene.Mutation):
    class Arguments:
        file = Upload(required=True)
        more = graphene.List(Upload)

    stored = graphene.List(graphene.String)
    kept: ClassVar[list[Any]] = []

    @staticmethod
    def mutate(_root: Any, _info: Any, file: Any, more: Any = ()) -> Store:
        files = [file, *more]
        Store.kept[:] = files
        return Store(stored=[f"{each.name}: {each.read().decode()}" for each in files])


class Mutation(graphene.ObjectType):
    mutate = Mutate.Field()
    store = Store.Field()


class OnEvent(Subscription):
    class Arguments:
        group = graphene.String(default_value="all")
        gate = graphene.String()
        refuse = graphene.Boolean()

    event = graphene.String()

    @staticmethod
    async def subscribe(
        _root: Any, _info: Any, group: str, gate: str | None = None, refuse: bool | None = None
    ) -> list[str]:
        if refuse:
            raise GraphQLError("Not you.")
        if gate:
            await gates[gate].wait()
        return [group]

    @staticmethod
    def publish(payload: Any, _info: Any, **_arguments: Any) -> OnEvent:
        published.append(payload)
        return OnEvent(event=payload)

    @staticmethod
    def unsubscribed(_root: Any, _info: Any, group: str, **_arguments: Any) -> None:
        calls.append(group)


class OnSlow(OnEvent):
    class Arguments(OnEvent.Arguments):
        pass

    event = graphene.String()

    @staticmethod
    async def unsubscribed(_root: Any, _info: Any, group: str, **_arguments: Any) -> None:
        calls.append(group)
        await gates["unsubscribed"].wait()


class Subscriptions(graphene.ObjectType):
    on_event = OnEvent.Field()
    on_slow = OnSlow.Field()
    count = graphene.Int(to=graphene.Int(required=True))
    forever = graphene.Int()
    heard = graphene.String(group=graphene.String())

    @staticmethod
    async def subscribe_count(_root: Any, _info: Any, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number
        if to == 0:
            raise GraphQLError("There is nothing to count.")

    @staticmethod
    def resolve_count(number: int, _info: Any, to: int) -> int:
        del to
        return number

    @staticmethod
    async def subscribe_forever(_root: Any, _info: Any) -> AsyncIterator[int]:
        try:
            for number in range(10_000):
                published.append(number)
                yield number
        finally:
            calls.append("closed")

    @staticmethod
    def resolve_forever(number: int, _info: Any) -> int:
        return number

    @staticmethod
    async def subscribe_heard(
        _root: Any, info: Any, group: str | None = None
    ) -> AsyncIterator[str]:
        groups = [group] if group else []
        async with info.context.listen_to_channel("chat.message", groups=groups) as messages:
            yield f"live {info.context.channel_name}"
            async for message in messages:
                yield message["text"]

    @staticmethod
    def resolve_heard(text: str, _info: Any, group: str | None = None) -> str:
        del group
        return text


schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)

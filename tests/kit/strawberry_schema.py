"""A schema of Strawberry; `ariadne_schema` has the same one."""

from collections.abc import AsyncIterator

import strawberry

from channels_graphql_ws import resumable


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"Hello {name}!"

    @strawberry.field
    async def token(self, info: strawberry.Info) -> str | None:
        return info.context.connection_params.get("token")

    @strawberry.field
    def broken(self) -> int | None:
        raise ValueError("It is broken")


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def add(self, one: int, other: int) -> int:
        return one + other


@strawberry.type
class Event:
    number: int

    @strawberry.field
    def text(self) -> str:
        return f"No. {self.number}"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncIterator[Event]:
        for number in range(to):
            yield Event(number=number)
        if to > 2:
            raise ValueError("I cannot count so far")

    @strawberry.subscription
    async def heard(self, info: strawberry.Info, group: str) -> AsyncIterator[str]:
        async with info.context.listen_to_channel("chat.message", groups=[group]) as messages:
            yield "live"
            async for message in messages:
                yield message["text"]

    @strawberry.subscription
    @resumable(60)
    async def kept(self) -> AsyncIterator[str]:
        for word in ("to", "be"):
            yield word


schema = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription)

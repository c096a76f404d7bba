"""Middleware goes around compiled resolvers as it does in graphql-core."""

from __future__ import annotations

from typing import Any

import graphene
from graphql import MiddlewareManager

from channels_graphql_ws.execution.sync_resolvers import Hops
from executed_twice import Both, compiled


class Thing(graphene.ObjectType):
    name = graphene.String()
    own = graphene.String(twice=graphene.Boolean())

    @staticmethod
    def resolve_own(root: Any, info: Any, twice: bool = False) -> str:
        return "own" * (1 + twice)


class Query(graphene.ObjectType):
    thing = graphene.Field(Thing)


SCHEMA = graphene.Schema(query=Query).graphql_schema
TEXT = "{ thing { __typename name own(twice: true) } }"


def root() -> Any:
    return {"thing": {"name": "n"}}


def test_middleware_sees_every_field() -> None:
    seen: list[Any] = []

    def note(resolve: Any, root: Any, info: Any, **arguments: Any) -> Any:
        seen.append((info.field_name, info.path.as_list(), arguments))
        return resolve(root, info, **arguments)

    Both(SCHEMA, TEXT, root, MiddlewareManager(note)).same()
    ours, theirs = seen[:4], seen[4:]
    assert ours == theirs
    assert [name for name, *_ in ours] == ["thing", "__typename", "name", "own"]


def test_middleware_may_change_and_refuse() -> None:
    def shout(resolve: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.field_name == "own":
            raise PermissionError("not yours")
        value = resolve(root, info, **arguments)
        return value.upper() if isinstance(value, str) else value

    result = Both(SCHEMA, TEXT, root, MiddlewareManager(shout)).same()
    assert result["data"] == {"thing": {"__typename": "THING", "name": "N", "own": None}}


async def test_middleware_may_be_asynchronous() -> None:
    async def wait(resolve: Any, root: Any, info: Any, **arguments: Any) -> Any:
        return resolve(root, info, **arguments)

    await Both(SCHEMA, TEXT, root, MiddlewareManager(wait)).same_later()


def test_a_manager_without_middleware_is_none() -> None:
    Both(SCHEMA, TEXT, root, MiddlewareManager()).same()


def test_a_manager_of_its_own_kind_is_left_to_graphql_core() -> None:
    class Moody(MiddlewareManager):
        def get_field_resolver(self, field_resolver: Any) -> Any:
            return field_resolver

    assert compiled(SCHEMA, TEXT, Moody()) is None


def test_the_hops_of_synchronous_resolvers_are_compiled() -> None:
    Both(SCHEMA, TEXT, root, Hops(None)).same()


async def test_on_an_event_loop_they_leave_it() -> None:
    await Both(SCHEMA, TEXT, root, Hops(None)).same_later()

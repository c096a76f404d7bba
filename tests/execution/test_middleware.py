"""Middleware: which forms it may have, when it is called, and in which order."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import graphene
import pytest
from graphql import MiddlewareManager

from channels_graphql_ws import Subscription
from engine_fakes import Rig, schema_of
from support import tick

pytestmark = pytest.mark.usefixtures("executor")


class Read(graphene.ObjectType):
    """Queries, nested as deep as one likes."""

    ok = graphene.Boolean(default_value=True)
    later = graphene.Int()
    deeper = graphene.Field(lambda: Read)

    @staticmethod
    async def resolve_later(root, info):
        await tick()
        return 1

    @staticmethod
    def resolve_deeper(root, info):
        return {}


class Write(graphene.ObjectType):
    """A mutation."""

    first = graphene.Int()


class OnEvent(Subscription):
    """A subscription without ado."""

    ok = graphene.Boolean(default_value=True)

    @staticmethod
    def publish(payload, info):
        return {"ok": True}


def rig(**settings: Any) -> Rig:
    return Rig(schema_of(OnEvent, query=Read, mutation=Write), **settings)


def noting(calls: list[Any], name: str = "") -> Any:
    def middleware(next, root, info, **arguments):
        calls.append((name, info.field_name))
        return next(root, info, **arguments)

    return middleware


class Noting:
    """Middleware in all forms that a class can give it."""

    def __init__(self, calls: list[Any]) -> None:
        self.note = noting(calls)

    def resolve(self, next, root, info, **arguments):
        return self.note(next, root, info, **arguments)

    def method(self, next, root, info, **arguments):
        return self.note(next, root, info, **arguments)

    @classmethod
    def of_class(cls, calls, next, root, info, **arguments):
        return noting(calls)(next, root, info, **arguments)


class Called:
    """Middleware that is called itself."""

    def __init__(self, calls: list[Any]) -> None:
        self.note = noting(calls)

    def __call__(self, next, root, info, **arguments):
        return self.note(next, root, info, **arguments)


FORMS = {
    "function": noting,
    "object with resolve": Noting,
    "bound method": lambda calls: Noting(calls).method,
    "class method": lambda calls: partial(Noting.of_class, calls),
    "callable object": Called,
    "partial": lambda calls: partial(noting(calls)),
}


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("manager", [list, tuple, lambda one: MiddlewareManager(*one)])
@pytest.mark.parametrize("form", FORMS)
async def test_middleware_of_any_form_is_called_once_for_each_field(form, manager, in_thread):
    calls: list[Any] = []
    server = rig(middleware=manager([FORMS[form](calls)]), resolve_sync_in_threads=in_thread)
    client = await server.subscribe()
    assert calls == []
    server.hub.broadcast()
    await client.hears(1)
    assert calls == [("", "event"), ("", "ok")]
    calls.clear()
    await server.answer("mutation { first }")
    await server.answer("{ deeper { ok } }")
    assert [field for _, field in calls] == ["first", "deeper", "ok"]


@pytest.mark.parametrize("query", ["{ __typename }", "{ __schema { queryType { name } } }"])
async def test_introspection_and_its_usual_name_bypass_no_middleware(query):
    calls: list[Any] = []
    server = rig(middleware=[noting(calls)])
    await server.answer("query IntrospectionQuery " + query, name="IntrospectionQuery")
    await server.answer("query IntrospectionQuery { ok }", name="IntrospectionQuery")
    assert calls[-1] == ("", "ok")
    assert calls[0][1].startswith("__")


async def test_the_first_of_the_list_is_the_closest_to_the_resolver():
    calls: list[Any] = []
    await rig(middleware=[noting(calls, "m2"), noting(calls, "m1")]).answer("{ ok }")
    assert [name for name, _ in calls] == ["m1", "m2"]


class Silencing(MiddlewareManager):
    """A manager that does more than to hold middleware."""

    def get_field_resolver(self, field_resolver):
        return lambda root, info, **arguments: None


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_manager_of_the_user_keeps_what_it_can_do(in_thread):
    server = rig(middleware=Silencing(), resolve_sync_in_threads=in_thread)
    assert await server.answer("{ ok }") == {"data": {"ok": None}}


@pytest.mark.parametrize("middleware", [None, [], ()])
async def test_no_middleware_is_fine(middleware):
    assert await rig(middleware=middleware).answer("{ ok }") == {"data": {"ok": True}}


@pytest.mark.parametrize("wrap", [list, lambda one: MiddlewareManager(*one)])
def test_what_can_be_no_middleware_is_not_passed_over_in_silence(wrap):
    with pytest.raises(TypeError, match="neither callable nor has it a `resolve`"):
        rig(middleware=wrap([42]))


async def waiting(next, root, info, **arguments):
    result = next(root, info, **arguments)
    await tick()
    return await result if asyncio.iscoroutine(result) else result


def handing_on(next, root, info, **arguments):
    """A plain function that gives an awaitable."""
    return waiting(next, root, info, **arguments)


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("middleware", [[waiting], [handing_on], [waiting, handing_on]])
async def test_middleware_may_be_async(middleware, in_thread):
    server = rig(middleware=middleware, resolve_sync_in_threads=in_thread)
    assert await server.answer("{ deeper { ok later } }") == {
        "data": {"deeper": {"ok": True, "later": 1}}
    }
    client = await server.subscribe()
    server.hub.broadcast()
    await client.hears(1)
    assert client.data == [{"ok": True}]


async def test_middleware_may_answer_in_the_place_of_publish():
    def guard(next, root, info, **arguments):
        if info.field_name == "event":
            raise PermissionError("not you")
        return next(root, info, **arguments)

    server = rig(middleware=[guard])
    client = await server.subscribe()
    server.hub.broadcast()
    assert client.results[0]["errors"][0]["message"] == "not you"

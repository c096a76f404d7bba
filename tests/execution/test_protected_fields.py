"""Fields that only those can read who have the permissions."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import graphene
import pytest

from channels_graphql_ws import BasePermission, ProtectedField, Subscription, protected
from channels_graphql_ws.execution.protected_fields import guarded, is_protected
from engine_fakes import Rig, here, schema_of
from support import tick

pytestmark = pytest.mark.usefixtures("executor")

asked: list[Any] = []
verdict: list[Any] = [True]


class Staff(BasePermission):
    message = "Staff only."

    def has_permission(self, source, info, **arguments):
        asked.append((source, arguments))
        return verdict[0] if not callable(verdict[0]) else verdict[0]()


class StaffLater(BasePermission):
    message = "Staff only."

    async def has_permission(self, source, info):
        await tick()
        asked.append((source, {}))
        return verdict[0] if not callable(verdict[0]) else verdict[0]()


@pytest.fixture(autouse=True)
def fresh():
    asked.clear()
    verdict[0] = True


class Named(graphene.Interface):
    name = graphene.String()
    secret = ProtectedField(graphene.String, permission_classes=[Staff])


class Person(graphene.ObjectType):
    salary = graphene.Int()
    bonus = graphene.Int()
    notes = graphene.List(graphene.String)

    class Meta:
        interfaces = (Named,)

    @classmethod
    def is_type_of(cls, value, info):
        return True

    @protected(Staff)
    def resolve_salary(self, info):
        return 7

    @staticmethod
    @protected(StaffLater & ~~StaffLater)
    async def resolve_bonus(root, info):
        await tick()
        return 8

    @protected([StaffLater])
    @staticmethod
    def resolve_notes(root, info):
        return (each for each in ["a"])


class Query(graphene.ObjectType):
    person = graphene.Field(Person)
    named = graphene.Field(Named)
    double = graphene.Field(graphene.Int, number=graphene.Int())

    def resolve_person(self, info):
        return {"name": "Ada", "secret": "s"}

    resolve_named = resolve_person

    @protected(Staff)
    def resolve_double(self, info, number):
        return 2 * number


class Pay(graphene.Mutation):
    ok = graphene.Boolean()
    done: Any = []

    @protected(Staff)
    def mutate(self, info):
        Pay.done.append(1)
        return {"ok": True}


class Mutation(graphene.ObjectType):
    pay = Pay.Field()


class Event(Subscription):
    person = graphene.Field(Named)
    name = graphene.String()
    executed: Any = []

    @staticmethod
    def context_id(root, info):
        return "alike"

    @classmethod
    def publish(cls, payload, info):
        cls.executed.append(payload)
        return {"person": {"name": "Ada", "secret": payload}, "name": "Ada"}


@pytest.fixture(params=[False, True], ids=["on the loop", "in threads"])
def rig(request) -> Rig:
    schema = graphene.Schema(
        query=Query,
        mutation=Mutation,
        subscription=type("Root", (graphene.ObjectType,), {"event": Event.Field()}),
        types=[Person],
    )
    Event.executed = []
    Pay.done = []
    return Rig(schema.graphql_schema, resolve_sync_in_threads=request.param)


FIELDS = [
    "person { salary }",
    "person { bonus }",
    "person { notes }",
    "person { secret }",
    "named { secret }",
    "named { ... on Person { salary } }",
    "double(number: 2)",
]


@pytest.mark.parametrize("field", FIELDS)
async def test_who_has_the_permission_reads_the_field(rig, field):
    result = await rig.answer(f"{{ {field} }}")
    assert "errors" not in result
    assert asked
    [value] = result["data"].values()
    content = next(iter(value.values())) if isinstance(value, dict) else value
    assert content in (7, 8, ["a"], "s", 4)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("answer", [False, lambda: 1 / 0])
async def test_who_lacks_it_gets_an_error_in_its_place(rig, field, answer, caplog):
    verdict[0] = answer
    result = await rig.answer(f"{{ {field} }}")
    [error] = result["errors"]
    assert error["message"] in ("Staff only.", "You do not have permission to do this.")
    assert error["extensions"]["code"] == "FORBIDDEN"
    [value] = result["data"].values()
    assert value is None or list(value.values()) == [None]
    warned = [each for each in caplog.records if "was denied" in each.getMessage()]
    assert bool(warned) is callable(answer)
    assert all(each.exc_info and each.levelno == logging.WARNING for each in warned)


async def test_a_permission_gets_the_object_and_the_arguments(rig):
    await rig.answer("{ double(number: 2) }")
    assert asked == [(None, {"number": 2})]


async def test_a_mutation_is_not_made(rig):
    verdict[0] = False
    result = await rig.answer("mutation { pay { ok } }")
    assert result["data"] == {"pay": None}
    assert Pay.done == []
    verdict[0] = True
    assert (await rig.answer("mutation { pay { ok } }"))["data"] == {"pay": {"ok": True}}


SPREAD = """
    subscription { event { ...F } }
    fragment F on Event { person { ...G } }
    fragment G on Named { secret }
"""


@pytest.mark.parametrize(
    ("query", "executions"),
    [
        ("subscription { event { name } }", 1),
        ("subscription { event { person { name } } }", 1),
        ("subscription { event { person { secret } } }", 2),
        ("subscription { event { person { ... on Person { salary } } } }", 2),
        (SPREAD, 2),
    ],
)
async def test_what_selects_a_protected_field_is_executed_for_each_client(rig, query, executions):
    clients = [await rig.subscribe(query, id=each) for each in "12"]
    rig.hub.broadcast("s")
    for client in clients:
        await client.hears(1)
        assert "errors" not in client.results[0]
    assert len(Event.executed) == executions


async def test_a_method_that_yields_events_is_protected():
    class Root(graphene.ObjectType):
        ticks = ProtectedField(graphene.Int, permission_classes=[Staff])
        beats = graphene.Int()

        async def subscribe_ticks(self, info):
            yield 1

        @protected(StaffLater)
        async def subscribe_beats(self, info):
            yield 1

        def resolve_ticks(self, info):
            return self

        def resolve_beats(self, info):
            return self

    rig = Rig(graphene.Schema(query=Query, subscription=Root).graphql_schema)
    for query in ("subscription { ticks }", "subscription { beats }"):
        verdict[0] = True
        client = await rig.subscribe(query)
        await client.hears(1)
        assert client.data == [1]
        verdict[0] = False
        client = await rig.run(query)
        assert client.cohort is None
        assert [each["message"] for each in client.errors] == ["Staff only."]


async def test_a_blocking_permission_runs_in_a_thread():
    threads: set[int] = set()

    def note():
        threads.add(here())
        return True

    verdict[0] = note
    rig = Rig(schema_of(query=Query), resolve_sync_in_threads=True)
    await rig.answer("{ person { salary } }")
    assert threads
    assert here() not in threads


def test_permissions_hold_where_graphene_executes_the_schema(rig):
    schema = graphene.Schema(query=Query, types=[Person])
    allowed = schema.execute("{ person { salary secret } }")
    assert allowed.data == {"person": {"salary": 7, "secret": "s"}}
    verdict[0] = False
    denied = schema.execute("{ person { salary secret } }")
    assert denied.data == {"person": {"salary": None, "secret": None}}
    assert len(denied.errors) == 2


def test_permissions_of_a_protected_field_are_its_own():
    field = ProtectedField(graphene.Int, permission_classes=[Staff])
    assert field.permission_classes == (Staff,)
    with pytest.raises(AttributeError):
        field.permission_classes = ()  # type: ignore[misc]


def test_a_protected_field_needs_permissions():
    with pytest.raises(TypeError, match="would protect nothing"):
        ProtectedField(graphene.Int, permission_classes=[])
    with pytest.raises(TypeError, match="must be a list"):
        ProtectedField(graphene.Int, permission_classes=Staff)  # type: ignore[arg-type]


def test_partial_functions_are_looked_into():
    field = guarded(partial(lambda root, info: 1), (Staff,))
    assert is_protected(partial(field))
    assert is_protected(partial(print, field))
    assert not is_protected(partial(print))

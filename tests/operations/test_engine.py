"""Operations: how they start, and who is told of what."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from django.core.exceptions import PermissionDenied
from graphql import GraphQLError, OperationType

from channels_graphql_ws import ConnectionRejectionError, Subscription
from channels_graphql_ws.execution import breathing, budget, pieces
from channels_graphql_ws.execution.documents import INLINE_LIMIT
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.operations import engine as engine_module
from engine_fakes import Rig, cancel, schema_of
from support import tick

pytestmark = pytest.mark.usefixtures("executor")

LOGGER = "channels_graphql_ws.graphql_ws_consumer"


class Read(graphene.ObjectType):
    """Queries of every kind."""

    ok = graphene.Boolean(default_value=True)
    bad = graphene.Int()
    later = graphene.Int()
    echo = graphene.Int(number=graphene.Int())
    root_is_none = graphene.Boolean()
    stray = graphene.Int()
    called_off = graphene.Int()
    for_ever = graphene.Int()
    deeper = graphene.Field(lambda: Read)

    @staticmethod
    def resolve_bad(root, info):
        raise ValueError("boom")

    @staticmethod
    async def resolve_later(root, info):
        await tick()
        return 1

    @staticmethod
    def resolve_echo(root, info, number):
        return number

    @staticmethod
    def resolve_root_is_none(root, info):
        return root is None

    @staticmethod
    async def resolve_stray(root, info):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    @staticmethod
    def resolve_called_off(root, info):
        raise asyncio.CancelledError

    @staticmethod
    async def resolve_for_ever(root, info):
        await asyncio.get_running_loop().create_future()

    @staticmethod
    def resolve_deeper(root, info):
        return {}


class Write(graphene.ObjectType):
    """A mutation of two fields, one after the other."""

    first = graphene.Int()
    second = graphene.Int()

    @staticmethod
    async def resolve_first(root, info):
        await tick(3)
        info.context.order = ["first"]

    @staticmethod
    async def resolve_second(root, info):
        info.context.order.append("second")


class OnEvent(Subscription):
    """A subscription without ado."""

    ok = graphene.Boolean(default_value=True)

    @staticmethod
    def publish(payload, info):
        return {"ok": True}


def rig(**settings: Any) -> Rig:
    return Rig(schema_of(OnEvent, query=Read, mutation=Write), **settings)


async def test_a_query_is_answered_without_waiting():
    client, rest = rig().begin("{ ok }")
    assert rest is None
    assert client.type is OperationType.QUERY
    assert client.heard == [("next", {"data": {"ok": True}}), ("completed", None)]


async def test_what_has_to_wait_is_left_to_a_task():
    client, rest = rig().begin("{ later }")
    assert client.heard == []
    await rest
    assert client.results == [{"data": {"later": 1}}]


async def test_a_large_document_is_answered_like_a_small_one():
    result = await rig().answer("{ ok }" + " " * INLINE_LIMIT)
    assert result == {"data": {"ok": True}}


async def test_fields_of_a_mutation_are_executed_one_after_another():
    server = rig()
    client = await server.run("mutation { first second }")
    assert client.type is OperationType.MUTATION
    assert server.session.contexts[0].order == ["first", "second"]


async def test_the_root_value_is_none():
    assert await rig().answer("{ rootIsNone }") == {"data": {"rootIsNone": True}}


async def test_variables_and_the_operation_name_are_taken():
    query = "query A { ok } query B ($n: Int) { echo(number: $n) }"
    assert await rig().answer(query, name="B", n=3) == {"data": {"echo": 3}}


async def test_wrong_variables_are_an_error_of_the_request():
    result = await rig().answer("query ($n: Int!) { echo(number: $n) }", n="x")
    assert result.keys() == {"errors"}
    assert "cannot represent" in result["errors"][0]["message"]


async def test_an_error_of_a_resolver_is_told_beside_the_data_and_logged_once(caplog):
    result = await rig().answer("{ bad ok }", id="77")
    assert result["data"] == {"bad": None, "ok": True}
    [error] = result["errors"]
    assert error["message"] == "boom"
    assert error["path"] == ["bad"]
    assert "extensions" not in error
    [record] = caplog.records
    assert (record.name, record.levelno) == (LOGGER, logging.WARNING)
    assert isinstance(record.exc_info[1], ValueError)
    assert "77" in record.message


async def test_each_operation_has_a_context_of_its_own():
    server = rig()
    await server.answer("{ ok }", id="1")
    await server.answer("{ ok }", id="2")
    assert [context.id for context in server.session.contexts] == ["1", "2"]


async def test_all_validation_errors_are_told():
    client = await rig().run("query { wrong1 ok wrong2 }")
    assert len(client.errors) == 2
    assert client.refusal is Refusal.DOCUMENT
    assert client.type is None


@pytest.mark.parametrize(
    ("query", "name"), [("{ ok }", "A"), ("query A { ok } query B { ok }", None), ("{", None)]
)
async def test_what_names_no_operation_is_told_in_plain_words(query, name):
    client = await rig().run(query, name=name)
    [error] = client.errors
    assert "Error" not in error["message"].replace("Syntax Error", "")
    assert client.refusal is Refusal.DOCUMENT


@pytest.mark.parametrize("levels", [150, 500, 3_000])
async def test_a_deep_document_is_answered_one_way_or_the_other(levels):
    client = await rig().run("{ deeper " * levels + "{ ok }" + "}" * levels)
    assert client.heard[0][0] in {"failed", "next"}


async def test_a_formatter_that_fails_costs_the_words_and_not_the_answer(caplog):
    server = rig()
    server.session.formatter = lambda error: {}["missing"]
    client = await server.run("{ wrong }")
    assert client.errors == [{"message": "Internal server error"}]


async def test_a_mistake_of_ours_is_told_as_little_as_possible(caplog):
    server = rig()
    server.session.before = lambda request: {"querry": "{ ok }"}
    client = await server.run("{ ok }", id="77")
    assert client.errors == [{"message": "Internal server error"}]
    assert client.refusal is Refusal.INTERNAL
    [record] = caplog.records
    assert (record.levelno, record.message) == (logging.ERROR, "Operation '77' failed")


def refuse(request):
    raise PermissionError("not you")


async def refuse_later(request):
    await tick()
    raise PermissionError("not you")


@pytest.mark.parametrize("hook", [refuse, refuse_later])
async def test_the_hook_may_refuse_by_raising(caplog, hook):
    caplog.set_level(logging.INFO)
    server = rig()
    server.session.before = hook
    client = await server.run("{ ok }")
    assert client.errors == [
        {"message": "PermissionError: not you", "extensions": {"code": "PermissionError"}}
    ]
    assert client.refusal is Refusal.OPERATION
    [record] = caplog.records
    # It may be a mistake in the hook: whoever looks for it needs the traceback.
    assert record.levelno == logging.WARNING
    assert record.exc_info is not None


@pytest.mark.parametrize(
    "error",
    [PermissionDenied("no"), GraphQLError("no"), ConnectionRejectionError({"message": "no"})],
)
async def test_a_refusal_on_purpose_is_no_warning(caplog, error):
    def refuse_on_purpose(request):
        raise error

    caplog.set_level(logging.INFO)
    server = rig()
    server.session.before = refuse_on_purpose
    client = await server.run("{ ok }")
    assert client.refusal is Refusal.OPERATION
    assert [record.levelno for record in caplog.records] == [logging.INFO]


async def test_the_hook_comes_before_the_document_is_looked_at():
    server = rig()
    server.session.before = refuse
    client = await server.run("{")
    assert "not you" in client.errors[0]["message"]


async def test_a_hook_that_has_nothing_against_it_is_waited_for():
    seen = []

    async def allow(request):
        await tick()
        seen.append(request.query)

    server = rig()
    server.session.before = allow
    assert await server.answer("{ ok }") == {"data": {"ok": True}}
    assert seen == ["{ ok }"]


@pytest.mark.parametrize("field", ["stray", "calledOff"])
async def test_something_cancelled_in_the_users_code_is_an_error_that_is_told(caplog, field):
    client = await rig().run(f"{{ {field} }}")
    assert client.errors == [{"message": "Internal server error"}]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_cancelled_operation_says_nothing_any_more():
    client, rest = rig().begin("{ forEver }")
    task = asyncio.create_task(rest)
    await tick(5)
    await cancel(task)
    assert task.cancelled()
    assert client.heard == []


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves on by as many seconds as it is told at each look."""
    clock = SimpleNamespace(now=0.0, step=0.0)

    def monotonic():
        clock.now += clock.step
        return clock.now

    monkeypatch.setattr(engine_module, "time", SimpleNamespace(monotonic=monotonic))
    return clock


@pytest.mark.parametrize("query", ["query Q { ok }", "query Q { later }"])
async def test_a_slow_operation_is_worth_a_warning(clock, caplog, query):
    caplog.set_level(logging.DEBUG, LOGGER)
    clock.step = 1.0
    await rig(warn_operation_timeout=1).answer(query, id="77", name="Q")
    warning, debug = caplog.records
    assert (warning.name, warning.levelno) == (LOGGER, logging.WARNING)
    assert warning.message == "Operation Q (id 77) took 1.000 seconds"
    assert (debug.name, debug.levelno) == (LOGGER, logging.DEBUG)
    assert query in debug.message


@pytest.mark.parametrize(("limit", "step"), [(None, 1000.0), (1.5, 1.0)])
async def test_no_warning_without_a_reason(clock, caplog, limit, step):
    clock.step = step
    await rig(warn_operation_timeout=limit).answer("{ ok }")
    assert caplog.records == []


async def test_events_of_subscriptions_are_never_slow(clock, caplog):
    clock.step = 1000.0
    server = rig(warn_operation_timeout=1)
    await server.subscribe()
    server.hub.broadcast()
    assert caplog.records == []


async def test_an_execution_that_runs_out_of_stack_is_an_error_of_the_operation(monkeypatch):
    def run_out(**_arguments):
        raise RecursionError

    monkeypatch.setattr(engine_module, "execute", run_out)
    result = await rig(compile_operations=False).answer("{ ok }")
    assert result["errors"] == [{"message": "The operation is nested too deeply."}]


async def test_a_result_that_took_long_to_encode_waits_for_room_once_more(monkeypatch):
    """Others were sent meanwhile, and the client has not read them yet."""
    for module in (breathing, budget, pieces):
        monkeypatch.setattr(module, "WINDOW", 0.0)
    client, rest = Rig(graphene.Schema(query=Read).graphql_schema).begin(
        "{ " + " ".join(f"a{number}: ok" for number in range(200)) + " }"
    )
    has_room = asyncio.get_running_loop().create_future()
    before_and_after_encoding = iter([None, has_room])
    client.room = lambda: next(before_and_after_encoding, None)
    task = asyncio.create_task(rest)
    await tick(500)
    assert client.heard == []
    has_room.set_result(None)
    await task
    [(_, result), end] = client.heard
    assert len(result["data"]) == 200
    assert end == ("completed", None)

"""Operations: how they start, and who is told of what."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from graphql import GraphQLError, MiddlewareManager, OperationType

from channels_graphql_ws import Subscription
from channels_graphql_ws.documents import INLINE_LIMIT
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.execution import engine as engine_module
from channels_graphql_ws.messages import Refusal
from executing import FakeClient, Rig, cancel, schema_of
from support import tick

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
    """A subscription whose `subscribe` does what the test wants."""

    ok = graphene.Boolean()
    subscribing: Any = None
    at_the_end: Any = None
    ended: int = 0

    @classmethod
    def subscribe(cls, root, info):
        return cls.subscribing and cls.subscribing()

    @staticmethod
    def publish(payload, info):
        return {"ok": True}

    @classmethod
    def unsubscribed(cls, root, info):
        cls.ended += 1
        return cls.at_the_end and cls.at_the_end()


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(OnEvent, "subscribing", None)
    monkeypatch.setattr(OnEvent, "at_the_end", None)
    monkeypatch.setattr(OnEvent, "ended", 0)


def rig(**settings: Any) -> Rig:
    return Rig(schema_of(OnEvent, query=Read, mutation=Write), **settings)


# --------------------------------------------------------------- queries and mutations


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


async def test_wrong_variables_are_told_with_the_result():
    result = await rig().answer("query ($n: Int!) { echo(number: $n) }", n="x")
    assert result["data"] is None
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


# ----------------------------------------------------------- what can not be executed


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
    server.session.operation_context = lambda request: {}["missing"]  # type: ignore[method-assign]
    client = await server.run("{ ok }", id="77")
    assert client.errors == [{"message": "Internal server error"}]
    assert client.refusal is Refusal.OPERATION
    [record] = caplog.records
    assert (record.levelno, record.message) == (logging.ERROR, "Operation '77' failed")


# ------------------------------------------------------------------------ before_operation


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


# ------------------------------------------------------------------------ cancellation


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


# ------------------------------------------------------------------------ slow operations


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
    await rig().answer(query, id="77", name="Q")
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
    server = rig()
    await server.subscribe()
    server.hub.broadcast()
    assert caplog.records == []


# ---------------------------------------------------------------------------- subscribing


async def test_a_subscription_is_live_without_waiting_and_says_nothing():
    server = rig()
    client, rest = server.begin("subscription { event { ok } }")
    assert rest is None
    assert client.type is OperationType.SUBSCRIPTION
    assert client.heard == []
    server.hub.broadcast()
    assert client.data == [{"ok": True}]


def groups_of(client: FakeClient) -> list[str]:
    return list(client.cohort.groups)


def named(*names: str | None, prefix: str = "GQLWS") -> list[str]:
    return [OnEvent.group_name(prefix, name) for name in names]


@pytest.mark.parametrize("names", [None, [], ()])
async def test_everybody_is_in_the_group_of_the_class(names):
    OnEvent.subscribing = lambda: names
    assert groups_of(await rig().subscribe()) == named(None)


async def test_each_group_is_listened_to_once():
    OnEvent.subscribing = lambda: ["a", "b", "a", None, ""]
    assert groups_of(await rig().subscribe()) == named(None, "a", "b", "")


async def test_groups_have_the_prefix_of_the_consumer():
    client = await rig(group_name_prefix="MINE").subscribe()
    assert groups_of(client) == named(None, prefix="MINE")


async def later(value: Any) -> Any:
    await tick()
    return value


async def test_groups_may_come_later():
    OnEvent.subscribing = lambda: later(["a"])
    assert groups_of(await rig().subscribe()) == named(None, "a")


@pytest.mark.parametrize("names", ["", "group", {}, {"a": 1}, 3, [1], ["a", object()], object()])
async def test_anything_else_for_groups_is_an_assertion_error(names, caplog):
    OnEvent.subscribing = lambda: names
    client = await rig().run("subscription { event { ok } }")
    [error] = client.errors
    assert error["extensions"] == {"code": "AssertionError"}
    assert error["message"].startswith("AssertionError: ")
    assert "'subscribe' returned a value of an incorrect type" in error["message"]
    assert client.refusal is Refusal.SUBSCRIBE
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_subscribe_may_refuse_by_raising(asynchronous, caplog):
    def refuse():
        raise PermissionError("not you")

    async def refuse_later():
        await tick()
        refuse()

    OnEvent.subscribing = refuse_later if asynchronous else refuse
    server = rig(confirm_subscriptions=True)
    client = await server.run("subscription { event { ok } }")
    assert client.errors[0]["extensions"] == {"code": "PermissionError"}
    assert client.cohort is None
    assert not server.hub.all_listeners()
    assert OnEvent.ended == 0
    assert len(caplog.records) == 1


async def test_a_graphql_error_speaks_for_itself_and_is_not_logged(caplog):
    def refuse():
        raise GraphQLError("no", extensions={"code": "E"})

    OnEvent.subscribing = refuse
    client = await rig().run("subscription { event { ok } }")
    assert client.errors == [{"message": "no", "extensions": {"code": "E"}}]
    assert caplog.records == []


async def test_a_missing_channel_layer_is_told():
    def no_hub():
        raise ChannelLayerError("Channel layer is not configured!")

    server = rig()
    server.session.hub = no_hub  # type: ignore[method-assign]
    client = await server.run("subscription { event { ok } }")
    assert "Channel layer is not configured!" in client.errors[0]["message"]
    assert client.refusal is Refusal.SUBSCRIBE


async def test_something_cancelled_while_subscribing_is_an_error_that_is_told(caplog):
    async def stray():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    OnEvent.subscribing = stray
    client = await rig().run("subscription { event { ok } }")
    assert client.errors == [{"message": "Internal server error"}]


# ---------------------------------------------------------------------------- joining


async def test_notifications_wait_until_all_groups_are_joined():
    server = rig(confirm_subscriptions=True)
    server.hub.joining = asyncio.get_running_loop().create_future()
    client, rest = server.begin("subscription { event { ok } }")
    task = asyncio.create_task(rest)
    server.hub.broadcast()
    await tick(3)
    assert client.heard == []
    server.hub.joining.set_result(None)
    await task
    await tick()
    assert client.heard == [
        ("confirmed", {"data": None}),
        ("next", {"data": {"event": {"ok": True}}}),
    ]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_group_that_can_not_be_joined_ends_the_subscription(asynchronous):
    OnEvent.at_the_end = tick if asynchronous else None
    server = rig(confirm_subscriptions=True)
    server.hub.joining = asyncio.get_running_loop().create_future()
    server.hub.joining.set_exception(ChannelLayerError("no"))
    client = await server.run("subscription { event { ok } }")
    assert client.errors[0]["message"] == "ChannelLayerError: no"
    assert client.refusal is Refusal.SUBSCRIBE
    assert not server.hub.all_listeners()
    await server.end(client)
    assert OnEvent.ended == 1


# ------------------------------------------------------------------------ confirmation


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"data": None, "errors": None}, {"data": None}),
        ({}, {"data": None}),
        ({"data": "hello"}, {"data": "hello"}),
        (
            {"data": {"a": [1]}, "errors": [RuntimeError("x")]},
            {
                "data": {"a": [1]},
                "errors": [{"message": "RuntimeError: x", "extensions": {"code": "RuntimeError"}}],
            },
        ),
    ],
)
async def test_a_subscription_is_confirmed_in_the_words_of_the_user(message, expected):
    server = rig(confirm_subscriptions=True, confirmation_message=message)
    client = await server.subscribe()
    assert client.heard == [("confirmed", expected)]


async def test_a_confirmation_that_fails_leaves_no_subscription_behind(caplog):
    server = rig(confirm_subscriptions=True, confirmation_message={"errors": 3})
    client = await server.run("subscription { event { ok } }")
    assert client.refusal is Refusal.SUBSCRIBE
    assert not server.hub.all_listeners()
    assert OnEvent.ended == 1


# -------------------------------------------------------------------------- queue limit


@pytest.mark.parametrize(("own", "expected"), [(None, 7), (0, 7), (-1, 7), (3, 3)])
async def test_a_class_may_have_a_queue_limit_of_its_own(monkeypatch, own, expected):
    monkeypatch.setattr(OnEvent, "notification_queue_limit", own)
    server = rig(queue_limit=7)
    server.hub.joining = asyncio.get_running_loop().create_future()
    client, rest = server.begin("subscription { event { ok } }")
    task = asyncio.create_task(rest)
    for _ in range(10):
        server.hub.broadcast()
    server.hub.joining.set_result(None)
    await task
    await tick()
    assert len(client.results) == expected
    assert client.cohort.dropped == 10 - expected


# ---------------------------------------------------------------------------- middleware


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
    server = rig(middleware=manager([FORMS[form](calls)]), sync_in_thread=in_thread)
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
    server = rig(middleware=Silencing(), sync_in_thread=in_thread)
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
    server = rig(middleware=middleware, sync_in_thread=in_thread)
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

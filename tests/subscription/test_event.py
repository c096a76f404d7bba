"""One subscription's way from a payload to a result."""

from __future__ import annotations

import asyncio
import enum
import math
from contextvars import ContextVar
from typing import Any

import graphene
import pytest
from graphql import GraphQLError

from channels_graphql_ws import SKIP, Subscription
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.execution.rules import Rules
from engine_fakes import Query, Rig, schema_of
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

SUBSCRIPTION = "subscription { event { ok } }"


class Payload(Subscription):
    """Resolves its fields from the payload."""

    class Arguments:
        add = graphene.Int()

    ok = graphene.Boolean()
    number = graphene.Int()
    must = graphene.Int(required=True)

    @staticmethod
    def publish(payload, info, add=0):
        if isinstance(payload, dict):
            return {**payload, "number": payload.get("number", 0) + add}
        return payload


def publishing(publish: Any, **options: Any) -> type[Subscription]:
    """Give a Subscription of two fields with that `publish`."""
    fields = {
        "ok": graphene.Boolean(),
        "must": graphene.Boolean(required=True),
        "publish": staticmethod(publish),
    }
    return type("Published", (Subscription,), {**fields, "Meta": options})


@pytest.mark.parametrize(
    ("query", "variables", "message"),
    [
        ("subscription ($a: Int!) { event(add: $a) { ok } }", {}, "'$a' of required type 'Int!'"),
        ("subscription ($a: Int!) { event(add: $a) { ok } }", {"a": "x"}, "cannot represent"),
        ("subscription { event @skip(if: true) { ok } }", {}, "must select one field"),
        # graphql-core's validation looks at the directive and knows no variables yet.
        ("subscription ($a: Boolean!) { event @skip(if: $a) { ok } }", {"a": True}, "'$a'"),
    ],
)
async def test_a_request_that_can_not_be_executed_is_told_as_such(query, variables, message):
    client = await Rig(schema_of(Payload)).run(query, **variables)
    assert message in client.errors[0]["message"]
    assert client.refusal is Refusal.DOCUMENT
    assert client.cohort is None


async def test_a_subscription_that_nobody_has_validated_may_select_nothing():
    server = Rig(schema_of(Payload), rules=Rules(validate_document=lambda *_: []))
    query = "subscription ($a: Boolean!) { event @skip(if: $a) { ok } }"
    client = await server.run(query, a=True)
    assert client.errors[0]["message"] == "A subscription must select one field."


async def test_all_wrong_variables_are_told():
    client = await Rig(schema_of(Payload)).run(
        "subscription ($a: Int!, $b: Boolean!) { event(add: $a) { ok @include(if: $b) } }"
    )
    assert len(client.errors) == 2


async def test_a_null_where_none_may_be_is_told():
    class Strict(Payload):
        class Arguments:
            add = graphene.Int(required=True, default_value=1)

    client = await Rig(schema_of(Strict)).run(
        "subscription ($a: Int) { event(add: $a) { ok } }", a=None
    )
    assert "must not be null" in client.errors[0]["message"]
    assert client.refusal is Refusal.DOCUMENT


async def test_a_field_that_is_no_subscription_says_how_to_mount_one():
    class Root(graphene.ObjectType):
        plain = graphene.Int()

    schema = graphene.Schema(query=Query, subscription=Root).graphql_schema
    client = await Rig(schema).run("subscription { plain }")
    assert client.errors[0]["message"] == (
        "Field 'plain' is not a subscription: mount one with `MySubscription.Field()`, "
        "or give it a `subscribe_…` method."
    )


async def test_a_schema_without_subscriptions_says_so():
    client = await Rig(schema_of()).run("subscription { event { ok } }")
    assert "subscription" in client.errors[0]["message"]


async def test_several_operations_are_told_apart_by_name():
    rig = Rig(schema_of(Payload))
    query = "subscription A { event { ok } } subscription B { b: event { number } }"
    client = await rig.subscribe(query, name="B")
    rig.hub.broadcast({"number": 5})
    assert client.results == [{"data": {"b": {"number": 5}}}]


async def test_alias_fragments_and_variables_do_what_they_do_in_queries():
    rig = Rig(schema_of(Payload))
    client = await rig.subscribe(
        "subscription ($a: Int) { mine: event(add: $a) { ...f } }fragment f on Payload { number }",
        a=3,
    )
    rig.hub.broadcast({"number": 1})
    rig.hub.broadcast({"number": 2})
    assert client.results == [{"data": {"mine": {"number": n}}} for n in (4, 5)]


async def test_arguments_are_converted_as_graphene_does():
    class Color(enum.Enum):
        RED = 1

    seen = []

    class Colored(Subscription):
        class Arguments:
            the_color = graphene.Enum.from_enum(Color)()

        ok = graphene.Boolean()

        @staticmethod
        def subscribe(root, info, the_color):
            seen.append((root, the_color))

        @staticmethod
        def publish(payload, info, the_color):
            seen.append((payload, the_color))
            return {"ok": True}

    rig = Rig(schema_of(Colored))
    await rig.subscribe("subscription { event(theColor: RED) { ok } }")
    rig.hub.broadcast("hello")
    assert seen == [(None, Color.RED), ("hello", Color.RED)]


async def test_each_event_has_its_own_lists_and_input_objects_of_the_document():
    class Filter(graphene.InputObjectType):
        numbers = graphene.List(graphene.Int)

    class Filtered(Subscription):
        class Arguments:
            numbers = graphene.List(graphene.Int)
            filter = Filter()

        ok = graphene.List(graphene.Int)

        @staticmethod
        def subscribe(root, info, numbers, filter):
            numbers.append(0)
            filter.numbers.append(0)

        @staticmethod
        def publish(payload, info, numbers, filter):
            numbers.append(payload)
            filter.numbers.append(payload)
            return {"ok": numbers + filter.numbers}

    rig = Rig(schema_of(Filtered))
    client = await rig.subscribe(
        "subscription { event(numbers: [1], filter: {numbers: [2]}) { ok } }"
    )
    for payload in (7, 8):
        rig.hub.broadcast(payload)
    await client.hears(2)
    assert client.results == [{"data": {"event": {"ok": [1, n, 2, n]}}} for n in (7, 8)]


async def test_the_context_is_one_for_all_hooks_and_another_for_each_operation():
    seen = []

    class Watched(Subscription):
        ok = graphene.Boolean()

        @staticmethod
        def subscribe(root, info):
            info.context.mark = info.context.id

        @staticmethod
        def publish(payload, info):
            seen.append((info.context, info.context.mark, info.field_name, info.path.key))
            return {"ok": True}

        @staticmethod
        def unsubscribed(root, info):
            seen.append((info.context, info.context.mark, info.field_name, info.path.key))

    rig = Rig(schema_of(Watched))
    one = await rig.subscribe("subscription { here: event { ok } }", id="1")
    other = await rig.subscribe(id="2")
    rig.hub.broadcast()
    await rig.end(one)
    await rig.end(other)
    first, second = rig.session.contexts
    assert first is not second
    as_first, as_second = (first, "1", "event", "here"), (second, "2", "event", "event")
    assert sorted(seen, key=repr) == sorted([as_first, as_second] * 2, key=repr)


async def test_two_subscriptions_never_share_a_payload():
    seen = []

    def publish(payload, info):
        payload["seen"].append(info.context.id)
        seen.append(payload["seen"])
        return {"ok": True}

    rig = Rig(schema_of(publishing(publish)))
    await rig.subscribe(id="1")
    await rig.subscribe(id="2")
    rig.hub.broadcast({"seen": []})
    assert sorted(seen) == [["1"], ["2"]]


class Tagged(Subscription):
    """Changes its argument, as a careless `publish` does."""

    class Arguments:
        tags = graphene.List(graphene.String)

    ok = graphene.Boolean()
    seen: list[list[str]]

    @classmethod
    def publish(cls, payload, info, tags):
        tags.append(payload)
        cls.seen.append(tags)
        return {"ok": True}


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ('subscription { event(tags: ["a"]) { ok } }', [["a", "1"], ["a", "2"]]),
        (
            'subscription ($u: String = "b") { event(tags: ["a", $u]) { ok } }',
            [["a", "b", "1"], ["a", "b", "2"]],
        ),
        # One value for all events: graphql-core does not copy it.
        ("subscription ($t: [String]) { event(tags: $t) { ok } }", [["b", "1", "2"]] * 2),
    ],
)
async def test_an_argument_that_publish_changes_is_what_graphql_core_would_give(
    query, seen, monkeypatch
):
    monkeypatch.setattr(Tagged, "seen", [], raising=False)
    rig = Rig(schema_of(Tagged))
    await rig.subscribe(query, t=["b"])
    rig.hub.broadcast("1")
    rig.hub.broadcast("2")
    assert Tagged.seen == seen


async def test_an_error_in_publish_is_one_result_and_the_stream_lives(caplog):
    def publish(payload, info):
        if payload == "bad":
            raise ValueError("boom")
        return {"ok": True}

    rig = Rig(schema_of(publishing(publish)))
    client = await rig.subscribe(id="77")
    rig.hub.broadcast("bad")
    rig.hub.broadcast("good")
    bad, good = client.results
    assert bad["data"] == {"event": None}
    [error] = bad["errors"]
    assert error == {
        "message": "boom",
        "path": ["event"],
        "locations": [{"line": 1, "column": 16}],
    }
    assert good == {"data": {"event": {"ok": True}}}
    [record] = caplog.records
    assert isinstance(record.exc_info[1], ValueError)
    assert "77" in record.message


async def test_a_graphql_error_in_publish_is_told_and_not_logged(caplog):
    def publish(payload, info):
        raise GraphQLError("no", extensions={"code": "E"})

    rig = Rig(schema_of(publishing(publish)))
    client = await rig.subscribe()
    rig.hub.broadcast()
    assert client.results[0]["errors"][0]["extensions"] == {"code": "E"}
    assert not caplog.records


async def test_an_error_of_a_required_subscription_makes_all_data_null():
    def publish(payload, info):
        raise ValueError("boom")

    rig = Rig(schema_of(publishing(publish), required=True))
    client = await rig.subscribe()
    rig.hub.broadcast()
    rig.hub.broadcast()
    assert [result["data"] for result in client.results] == [None, None]
    assert [len(result["errors"]) for result in client.results] == [1, 1]


async def test_an_error_that_comes_late_in_a_required_subscription_makes_all_data_null():
    class Late(Subscription):
        must = graphene.Boolean(required=True)

        @staticmethod
        def publish(payload, info):
            return {}

        @staticmethod
        async def resolve_must(root, info):
            await tick()
            raise ValueError("late")

    rig = Rig(schema_of(Late, required=True))
    client = await rig.subscribe("subscription { event { must } }")
    rig.hub.broadcast()
    await client.hears(1)
    [result] = client.results
    assert result["data"] is None
    assert [error["path"] for error in result["errors"]] == [["event", "must"]]


async def test_a_nested_error_says_where():
    def publish(payload, info):
        return {"ok": True}

    rig = Rig(schema_of(publishing(publish)))
    client = await rig.subscribe("subscription { event { ok must } }")
    rig.hub.broadcast()
    [result] = client.results
    assert result["data"] == {"event": None}
    assert [error["path"] for error in result["errors"]] == [["event", "must"]]


async def test_a_resolver_that_fails_late_touches_no_other_event():
    gates: list[asyncio.Future[None]] = []

    class Slow(Subscription):
        fast = graphene.Boolean(required=True)
        slow = graphene.Boolean()

        @staticmethod
        def publish(payload, info):
            return payload

        @staticmethod
        async def resolve_fast(root, info):
            if root["bad"]:
                raise ValueError("fast")
            return True

        @staticmethod
        async def resolve_slow(root, info):
            if root["bad"]:
                gates.append(asyncio.get_running_loop().create_future())
                await gates[-1]
            return True

    rig = Rig(schema_of(Slow))
    client = await rig.subscribe("subscription { event { slow fast } }")
    rig.hub.broadcast({"bad": True})
    await wait_until(lambda: gates)
    rig.hub.broadcast({"bad": False})
    await client.hears(1)
    gates[0].set_exception(ValueError("late"))
    await client.hears(2)
    await tick(5)
    bad, good = client.results
    assert [error["message"] for error in bad["errors"]] == ["fast"]
    assert bad["data"] == {"event": None}
    assert good == {"data": {"event": {"slow": True, "fast": True}}}


class Odd(graphene.Scalar):
    """A scalar that gives what it likes."""

    @staticmethod
    def serialize(value):
        if value == "raise":
            raise ValueError("cannot be serialized")
        return {"object": object(), "big": 2**70, "nan": math.nan, "cut": "\ud83d"}[value]


class OddEvent(Subscription):
    """Sends odd values."""

    odd = Odd()

    @staticmethod
    def publish(payload, info):
        return {"odd": payload}


@pytest.mark.parametrize(
    ("payload", "data", "message"),
    [
        ("raise", {"event": {"odd": None}}, "cannot be serialized"),
        ("object", None, "The result has no JSON form"),
        ("big", {"event": {"odd": 2**70}}, None),
        ("nan", {"event": {"odd": None}}, None),
        ("cut", {"event": {"odd": "\ud83d"}}, None),
    ],
)
async def test_a_scalar_may_give_what_it_likes(payload, data, message):
    rig = Rig(schema_of(OddEvent))
    client = await rig.subscribe("subscription { event { odd } }")
    rig.hub.broadcast(payload)
    [result] = client.results
    assert result["data"] == data
    assert ("errors" in result) == (message is not None)
    assert message is None or message in result["errors"][0]["message"]


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("nothing", [None, SKIP])
async def test_nothing_is_sent_for_none_and_skip(nothing, required):
    def publish(payload, info):
        return nothing if payload == "skip" else {"ok": True}

    rig = Rig(schema_of(publishing(publish), required=required))
    client = await rig.subscribe()
    for payload in ("skip", "tell", "skip", "tell"):
        rig.hub.broadcast(payload)
    assert client.data == [{"ok": True}, {"ok": True}]


@pytest.mark.parametrize("required", [False, True])
async def test_nothing_is_sent_when_an_async_publish_skips(required):
    async def publish(payload, info):
        await tick()
        return SKIP if payload == "skip" else {"ok": True}

    rig = Rig(schema_of(publishing(publish), required=required))
    client = await rig.subscribe()
    for payload in ("skip", "tell"):
        rig.hub.broadcast(payload)
    await client.hears(1)
    assert client.data == [{"ok": True}]


async def test_a_class_may_say_that_none_is_a_null():
    rig = Rig(schema_of(publishing(lambda payload, info: payload, none_skips=False)))
    client = await rig.subscribe()
    rig.hub.broadcast(None)
    assert client.results == [{"data": {"event": None}}]


async def test_skip_skips_where_none_is_a_null():
    rig = Rig(schema_of(publishing(lambda payload, info: SKIP, none_skips=False)))
    client = await rig.subscribe()
    rig.hub.broadcast()
    assert client.results == []


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("how", ["sync", "async"])
async def test_hooks_and_resolvers_may_be_sync_or_async(how, in_thread):
    calls = []

    def subscribe(root, info):
        calls.append("subscribe")
        return ["g"]

    def publish(payload, info):
        calls.append("publish")
        return payload

    def resolve_ok(root, info):
        calls.append("resolve")
        return root["ok"]

    def unsubscribed(root, info):
        calls.append("unsubscribed")

    def made(hook: Any) -> Any:
        async def waits(*arguments: Any) -> Any:
            await tick()
            return hook(*arguments)

        return staticmethod(waits if how == "async" else hook)

    hooks = {hook.__name__: made(hook) for hook in (subscribe, publish, resolve_ok, unsubscribed)}
    event = type("Event", (Subscription,), {"ok": graphene.Boolean(), **hooks})
    rig = Rig(schema_of(event), resolve_sync_in_threads=in_thread)
    client = await rig.subscribe()
    rig.hub.broadcast({"ok": True})
    await client.hears(1)
    await rig.end(client)
    assert client.data == [{"ok": True}]
    assert calls == ["subscribe", "publish", "resolve", "unsubscribed"]


async def test_what_one_subscription_sets_in_a_context_variable_no_other_sees():
    variable: ContextVar[str] = ContextVar("variable", default="nothing")
    seen = []

    async def publish(payload, info):
        seen.append((info.context.id, variable.get()))
        variable.set(info.context.id)
        await tick()
        seen.append((info.context.id, variable.get()))
        return {"ok": True}

    rig = Rig(schema_of(publishing(publish)))
    clients = [await rig.subscribe(id=str(number)) for number in range(2)]
    rig.hub.broadcast()
    for client in clients:
        await client.hears(1)
    assert variable.get() == "nothing"
    assert {(id, value) for id, value in seen if value != "nothing"} == {("0", "0"), ("1", "1")}

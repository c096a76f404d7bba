"""Clients that are alike: one execution, and nobody learns of anybody else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple
from weakref import ref

import graphene
import pytest
from channels.layers import get_channel_layer
from graphene.types.generic import GenericScalar
from graphql import ExecutionResult, GraphQLError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import COMPLETE, SKIP, GraphqlWsConsumer, SharedContextError, Subscription
from channels_graphql_ws.execution.errors import format_error
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.pubsub.hub import hub_of
from channels_graphql_ws.subscription import shared
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.shared import DELIVERIES_AT_ONCE, SharedResult
from engine_fakes import FakeClient, Gate, Rig, cancel, notification, schema_of
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

NUMBERS = "subscription { event { number } }"
OF_ROOM = "subscription Of($room: String) { event(room: $room) { number } }"


class Event(Subscription):
    """Shares with those whom a test wants it to share with."""

    number = graphene.Int()

    class Arguments:
        room = graphene.String()

    alike: Any = "alike"
    meanwhile: Any = None
    admits: Any = None
    at_the_end: Any = None
    groups: Any = None
    executed: list[Any]
    ended: list[Any]

    @classmethod
    def context_id(cls, root, info, room=None):
        assert root is None
        return cls.alike(info) if callable(cls.alike) else cls.alike

    @classmethod
    def subscribe(cls, root, info, room=None):
        return cls.groups and cls.groups(info)

    @classmethod
    def publish(cls, payload, info, room=None):
        cls.executed.append((payload, info.context))
        return {"number": payload} if cls.meanwhile is None else cls.meanwhile(payload)

    @classmethod
    def filter_event(cls, payload, info, room=None):
        return True if cls.admits is None else cls.admits(payload, info)

    @classmethod
    def unsubscribed(cls, root, info, room=None):
        cls.ended.append(info.context.id)
        return cls.at_the_end and cls.at_the_end()


@pytest.fixture(autouse=True)
def fresh(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    for name in ("meanwhile", "admits", "at_the_end", "groups"):
        monkeypatch.setattr(Event, name, None)
    monkeypatch.setattr(Event, "alike", "alike")
    monkeypatch.setattr(Event, "executed", [], raising=False)
    monkeypatch.setattr(Event, "ended", [], raising=False)


@pytest.fixture
def rig() -> Rig:
    return Rig(schema_of(Event), subscription_notification_queue_limit=5)


def numbers(client: FakeClient) -> list[int]:
    return [data["number"] for data in client.data]


async def several(
    rig: Rig, count: int, query: str = NUMBERS, **variables: Any
) -> list[FakeClient]:
    return [await rig.subscribe(query, id=f"{number}", **variables) for number in range(count)]


def payloads() -> list[Any]:
    return [payload for payload, _ in Event.executed]


async def test_a_member_loses_events_in_silence_where_no_receiver_is_told(rig):
    [client] = await several(rig, 1)
    client.cohort.lost_by_all(2)
    rig.hub.broadcast(1)
    assert client.results == [{"data": {"event": {"number": 1}}}]


async def test_a_thousand_alike_are_executed_once(rig):
    clients = await several(rig, 1000)
    rig.hub.broadcast(7)
    assert [numbers(client) for client in clients] == [[7]] * 1000
    assert payloads() == [7]


async def test_none_shares_with_nobody(rig):
    Event.alike = None
    first, second = await several(rig, 2)
    rig.hub.broadcast(1)
    assert (numbers(first), numbers(second), payloads()) == ([1], [1], [1, 1])


async def test_other_variables_are_not_shared(rig):
    first = await rig.subscribe(OF_ROOM, room="a")
    second = await rig.subscribe(OF_ROOM, room="b")
    rig.hub.broadcast(1)
    assert (numbers(first), numbers(second), payloads()) == ([1], [1], [1, 1])


async def test_another_document_is_not_shared(rig):
    first = await rig.subscribe(NUMBERS)
    second = await rig.subscribe("subscription { event { n: number } }")
    rig.hub.broadcast(1)
    assert (first.data, second.data) == ([{"number": 1}], [{"n": 1}])


async def test_another_operation_of_one_document_is_not_shared(rig):
    document = "subscription A { event { number } } subscription B { event { n: number } }"
    first = await rig.subscribe(document, name="A")
    second = await rig.subscribe(document, name="B")
    rig.hub.broadcast(1)
    assert (first.data, second.data) == ([{"number": 1}], [{"n": 1}])


async def test_other_groups_are_not_shared(rig):
    Event.groups = lambda info: [info.context.id]
    await several(rig, 2)
    rig.hub.broadcast(1)
    assert payloads() == [1, 1]


@dataclass(frozen=True)
class Role:
    rights: Any


class Place(NamedTuple):
    number: Any


async def test_what_a_dataclass_does_not_compare_may_differ(rig):
    @dataclass(frozen=True)
    class Tenant:
        id: int
        loaded: Any = field(compare=False)

    loaded = iter([1, True, "a"])
    Event.alike = lambda info: Tenant(7, next(loaded))
    await several(rig, 3)
    rig.hub.broadcast(1)
    assert payloads() == [1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.none(),
                st.integers(0, 2) | st.booleans() | st.just(1.0),
                st.sampled_from(["a", "b", (1, "a"), (True, "a")]),
                st.sampled_from([frozenset({1}), frozenset({True})]),
                st.sampled_from([Role(1), Role(True), (Role((1,)),), (Role((True,)),)]),
                st.sampled_from([Place(1), Place(True), Place(frozenset({Role(1.0)}))]),
                st.sampled_from([Role, Place(Role)]),
            ),
            st.sampled_from([None, "x", "y"]),
        ),
        max_size=12,
    )
)
async def test_different_keys_never_share(keys):
    rig = Rig(schema_of(Event))
    Event.executed = []
    key_of: dict[str, Any] = {}
    Event.alike = lambda info: key_of[info.context.id]
    clients = []
    for number, (key, room) in enumerate(keys):
        key_of[str(number)] = key
        clients.append(await rig.subscribe(OF_ROOM, id=str(number), room=room))
    rig.hub.broadcast(1)
    alone = sum(key is None for key, _ in keys)
    # `True` equals 1: what they look like tells them apart.
    assert len(payloads()) == alone + len({repr(each) for each in keys if each[0] is not None})
    assert [numbers(client) for client in clients] == [[1]] * len(keys)
    for client in clients:
        await rig.end(client)


@pytest.mark.parametrize("key", [[], {"a": 1}, (1, [])], ids=repr)
async def test_a_key_that_can_not_be_hashed_shares_with_nobody_and_is_logged(rig, key, caplog):
    Event.alike = lambda info: key
    first, second = await several(rig, 2)
    rig.hub.broadcast(1)
    assert (numbers(first), numbers(second), payloads()) == ([1], [1], [1, 1])
    assert "`context_id`" in caplog.text


async def test_variables_that_are_not_json_share_with_nobody(rig, caplog):
    rig.session.before = lambda request: {
        "variables": {"room": ("a", "b")[request.id == "x"], "x": (1,)}
    }
    await several(rig, 2, OF_ROOM)
    rig.hub.broadcast(1)
    assert payloads() == [1, 1]
    assert "not JSON" in caplog.text


async def test_a_key_whose_hash_changes_leads_nobody_into_what_has_ended(rig):
    class Changing:
        number = 1

        def __hash__(self):
            return self.number

    key = Changing()
    Event.alike = lambda info: key
    first = await rig.subscribe(NUMBERS)
    key.number = 2
    await rig.end(first)
    key.number = 1
    second = await rig.subscribe(NUMBERS)
    rig.hub.broadcast(1)
    assert numbers(second) == [1]


async def test_the_hook_may_be_async(rig):
    async def alike(info):
        await tick()
        return 1

    Event.alike = alike
    await several(rig, 2)
    rig.hub.broadcast(1)
    assert payloads() == [1]


async def test_a_hook_that_raises_refuses_the_client(rig):
    def alike(info):
        raise GraphQLError("not you")

    Event.alike = alike
    client = await rig.run(NUMBERS)
    assert client.errors[0]["message"] == "not you"
    assert rig.hub.all_listeners() == set()


async def test_a_field_of_that_name_is_no_hook():
    class Plain(Subscription):
        context_id = graphene.ID()
        filter_event = graphene.String()

        @staticmethod
        def publish(payload, info):
            return {"context_id": "7", "filter_event": "f"}

    rig = Rig(schema_of(Plain))
    client = await rig.subscribe("subscription { event { contextId filterEvent } }")
    rig.hub.broadcast()
    assert client.data == [{"contextId": "7", "filterEvent": "f"}]


async def test_hooks_may_be_given_in_meta():
    class Given(Subscription):
        ok = graphene.Boolean()

        class Meta:
            context_id = staticmethod(lambda root, info: 1)
            filter_event = staticmethod(lambda payload, info: payload == info.context.id)

        @staticmethod
        def publish(payload, info):
            return {"ok": True}

    rig = Rig(schema_of(Given))
    first = await rig.subscribe(id="1")
    second = await rig.subscribe(id="2")
    rig.hub.broadcast("2")
    assert (first.results, len(second.results)) == ([], 1)
    assert len(rig.hub.all_listeners()) == 1


CLIENTS_OWN = [
    "user",
    "session",
    "headers",
    "cookies",
    "channels_scope",
    "channel_name",
    "connection_params",
    "graphql_operation_id",
    "listen_to_channel",
]


@pytest.mark.parametrize("name", CLIENTS_OWN)
async def test_what_belongs_to_one_client_raises_and_says_why(rig, name):
    await several(rig, 2)
    rig.hub.broadcast(1)
    context = Event.executed[0][1]
    with pytest.raises(SharedContextError, match=f"context.{name}.*context_id"):
        getattr(context, name)
    with pytest.raises(SharedContextError):
        getattr(context, name, None)
    with pytest.raises(SharedContextError):
        context[name]
    with pytest.raises(SharedContextError):
        assert name in context


async def test_the_error_reaches_the_clients_like_any_other(rig):
    Event.meanwhile = lambda payload: {"number": Event.executed[-1][1].user.pk}
    first, second = await several(rig, 2)
    rig.hub.broadcast(1)
    assert first.results == second.results
    assert "belongs to one client" in first.results[0]["errors"][0]["message"]


async def test_the_shared_context_keeps_what_is_set_on_it(rig):
    await several(rig, 2)
    rig.hub.broadcast(1)
    context = Event.executed[0][1]
    context.user = "nobody in particular"
    context["loader"] = 5
    assert (context.user, context["user"], context.loader) == ("nobody in particular",) * 2 + (5,)
    assert "loader" in context
    assert "other" not in context
    assert not hasattr(context, "other")
    assert context.graphql_operation_name is None


async def test_context_variables_of_the_first_client_are_not_seen(rig):
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    seen = []
    Event.meanwhile = lambda payload: seen.append(tenant.get()) or {"number": 1}
    token = tenant.set("first")
    await several(rig, 2)
    tenant.reset(token)
    rig.hub.broadcast(1)
    assert seen == ["nobody"]


class Marked(Subscription):
    """Its `subscribe` writes into what the client has sent."""

    seen = graphene.String()

    class Arguments:
        data = GenericScalar()

    @staticmethod
    def context_id(root, info, data):
        return "alike"

    @staticmethod
    def filter_event(payload, info, data):
        data["secret"] = info.context.id
        return True

    @staticmethod
    def publish(payload, info, data):
        return {"seen": data.get("secret", "none")}


async def test_what_a_client_writes_into_its_arguments_is_not_seen_by_the_others():
    rig = Rig(schema_of(Marked))
    query = "subscription ($data: GenericScalar) { event(data: $data) { seen } }"
    clients = [await rig.subscribe(query, id=id, data={"a": 1}) for id in ("0", "1")]
    rig.hub.broadcast()
    rig.hub.broadcast()
    assert [client.data for client in clients] == [[{"seen": "none"}] * 2] * 2


async def test_each_client_is_told_of_errors_by_its_own_consumer(rig):
    def broken(payload):
        raise ValueError("boom")

    Event.meanwhile = broken
    formatted = []
    rig.session.formatter = lambda error: (
        formatted.append(error) or {"message": str(len(formatted))}
    )
    first, second = await several(rig, 2)
    rig.hub.broadcast(1)
    messages = [client.results[0]["errors"][0]["message"] for client in (first, second)]
    assert messages == ["1", "2"]
    assert len(payloads()) == 1


async def test_a_publish_that_changes_its_payload_changes_nobody_elses(rig):
    def changes(payload):
        payload.append(2)
        return {"number": len(payload)}

    Event.meanwhile = changes
    seen = []
    Event.admits = lambda payload, info: seen.append(list(payload)) or True
    shared = await several(rig, 2)
    Event.alike = None
    alone = await rig.subscribe(NUMBERS)
    rig.hub.broadcast([1])
    assert [numbers(client) for client in (*shared, alone)] == [[2], [2], [2]]
    assert seen == [[1], [1], [1]]


async def test_who_comes_while_an_event_is_executed_does_not_get_it(rig):
    Event.meanwhile = gate = Gate()
    early = await rig.subscribe(NUMBERS, id="early")
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    late = await rig.subscribe(NUMBERS, id="late")
    rig.hub.broadcast(3)
    gate.open.set()
    await early.hears(3)
    assert (numbers(early), numbers(late)) == ([1, 2, 3], [3])
    assert gate.entered == [1, 2, 3]


async def test_events_that_come_before_the_group_is_joined_wait_for_the_confirmation():
    rig = Rig(schema_of(Event), confirm_subscriptions=True)
    rig.hub.joining = joined = asyncio.get_running_loop().create_future()
    first, rest = rig.begin(NUMBERS, id="1")
    starting = asyncio.get_running_loop().create_task(rest)
    rig.hub.joining = None
    second = await rig.subscribe(NUMBERS, id="2")
    rig.hub.joining = joined
    rig.hub.broadcast(1)
    await tick()
    assert (first.heard, numbers(second)) == ([], [1])
    joined.set_result(None)
    await starting
    assert [name for name, _ in first.heard] == ["confirmed", "next"]


async def test_a_layer_that_refuses_costs_nobody_else_anything(rig):
    async def refuses():
        raise RuntimeError("no")

    first = await rig.subscribe(NUMBERS, id="1")
    rig.hub.joining = refuses()
    second = await rig.run(NUMBERS, id="2")
    rig.hub.broadcast(1)
    assert numbers(first) == [1]
    assert second.heard[-1][0] == "failed"
    assert Event.ended == ["2"]


async def test_the_first_event_of_each_comes_before_what_all_share():
    first_event: dict[str, asyncio.Future[Any]] = {}

    def initial(root, info):
        first_event[info.context.id] = asyncio.get_running_loop().create_future()
        return first_event[info.context.id]

    rig = Rig(schema_of(_with_initial(initial)))
    one, two = await several(rig, 2)
    rig.hub.broadcast(1)
    first_event["0"].set_result({"number": 100})
    await one.hears(2)
    assert (numbers(one), numbers(two)) == ([100, 1], [])
    first_event["1"].set_result({"number": 200})
    await two.hears(2)
    rig.hub.broadcast(2)
    assert (numbers(one), numbers(two)) == ([100, 1, 2], [200, 1, 2])


def _with_initial(hook: Any) -> type[Subscription]:
    class Initial(Subscription):
        number = graphene.Int()
        initial = staticmethod(hook)

        @staticmethod
        def context_id(root, info):
            return 1

        @staticmethod
        def publish(payload, info):
            return {"number": payload}

    return Initial


@pytest.mark.parametrize(
    ("first", "heard"),
    [(SKIP, ["next"]), (COMPLETE, ["completed"])],
    ids=["skip", "complete"],
)
async def test_the_first_event_may_be_none_or_the_end(first, heard):
    rig = Rig(schema_of(_with_initial(lambda root, info: first)))
    client = await rig.run("subscription { event { number } }")
    rig.hub.broadcast(1)
    assert [name for name, _ in client.heard] == heard


async def test_a_slow_client_delays_nobody_and_gets_its_own_later(rig):
    slow, quick = await several(rig, 2)
    slow.waiting = ready = asyncio.get_running_loop().create_future()
    for number in range(3):
        rig.hub.broadcast(number)
    assert (numbers(slow), numbers(quick)) == ([], [0, 1, 2])
    slow.waiting = None
    ready.set_result(None)
    await slow.hears(3)
    assert numbers(slow) == [0, 1, 2]
    assert payloads() == [0, 1, 2]


async def test_what_waits_for_a_slow_client_is_bounded(rig):
    slow, quick = await several(rig, 2)
    slow.waiting = ready = asyncio.get_running_loop().create_future()
    for number in range(20):
        rig.hub.broadcast(number)
    slow.waiting = None
    ready.set_result(None)
    await slow.hears(6)
    assert numbers(quick) == list(range(20))
    # The first was under way already; of the others, the last five are kept.
    assert numbers(slow) == [0, 15, 16, 17, 18, 19]


WIDE = "subscription { event { " + " ".join(f"n{n}: number" for n in range(500)) + " } }"


def held(client: FakeClient) -> None:
    """Let a client read nothing."""
    client.waiting = asyncio.get_running_loop().create_future()


def released(client: FakeClient) -> None:
    """Let it read again."""
    ready, client.waiting = client.waiting, None
    ready.set_result(None)


@pytest.mark.parametrize("fails", [False, True], ids=["sound", "with errors"])
async def test_results_that_wait_for_a_slow_client_are_bounded_in_bytes(fails):
    """A document of a few kilobytes makes much of an event of a few bytes."""
    Event.meanwhile = lambda payload: {"number": "none" if fails else payload}
    rig = Rig(schema_of(Event))
    limit = rig.session.queued.limit = 5_000_000 if fails else 100_000
    slow, quick = [await rig.subscribe(WIDE, id=str(number)) for number in range(2)]
    held(slow)
    for number in range(100):
        rig.hub.broadcast(number)
        # So many fields may take so long that the event loop goes on to others meanwhile.
        await quick.hears(number + 1)
        assert rig.session.queued.size <= limit
    released(slow)
    await wait_until(lambda: rig.session.queued.size == 0)
    # The newest are kept, each whole.
    got = slow.results[2:]
    assert 3 <= len(got) < 50
    assert got == quick.results[-len(got) :]


class Data(dict[str, Any]):
    """Leaves a trace."""


@pytest.mark.parametrize("cursor", [None, "here"])
def test_the_data_of_a_result_goes_when_its_text_is_there(cursor):
    data = Data(number=1)
    trace = ref(data)
    result = SharedResult(ExecutionResult(data), notification(1), cursor)
    del data
    assert result.size > result.notification.size
    gc.collect()
    assert trace() is None
    content = json.loads(result.text(format_error))
    assert content.pop("extensions", None) == (cursor and {"cursor": "here"})
    assert content == {"data": {"number": 1}}


async def test_a_publish_that_waits_is_waited_for_once(rig):
    Event.meanwhile = gate = Gate()
    clients = await several(rig, 3)
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    gate.open.set()
    for client in clients:
        await client.hears(2)
    assert gate.entered == [1, 2]
    assert [numbers(client) for client in clients] == [[1, 2]] * 3


async def test_a_turn_sees_to_a_few_clients_only(rig):
    clients = await several(rig, DELIVERIES_AT_ONCE + 1)
    [cohort] = rig.hub.all_listeners()

    rig.hub.received += 1
    assert cohort.offer(notification(1, rig.hub.received))
    assert cohort.run_next()
    assert sum(len(client.results) for client in clients) == DELIVERIES_AT_ONCE
    assert not cohort.run_next()
    assert sum(len(client.results) for client in clients) == DELIVERIES_AT_ONCE + 1


async def test_a_shared_turn_that_breaks_costs_no_other(rig, monkeypatch):
    def broken(*_):
        raise RuntimeError("a mistake")

    clients = await several(rig, 2)
    [cohort] = rig.hub.all_listeners()
    rig.hub.received += 2
    cohort.offer(notification(1, rig.hub.received))
    cohort.offer(notification(2, rig.hub.received))
    with monkeypatch.context() as patch:
        patch.setattr(shared, "error_log", broken)
        with pytest.raises(RuntimeError, match="a mistake"):
            cohort.run_next()
    for client in clients:
        await client.hears(1)
    assert [numbers(client) for client in clients] == [[2]] * 2


async def test_a_client_that_can_not_be_told_costs_nobody_else_anything(rig, caplog):
    broken, whole = await several(rig, 2)
    broken.next = None
    rig.hub.broadcast(1)
    assert numbers(whole) == [1]
    assert "Lost a notification" in caplog.text


async def test_a_client_whose_hook_was_cancelled_from_inside_costs_nobody_else_anything(rig):
    def cancelled(result):
        raise asyncio.CancelledError

    broken, whole = await several(rig, 2)
    broken.next = cancelled
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    assert numbers(whole) == [1, 2]


class Broken(Subscription):
    """All get the same error, and nobody is asked for more."""

    number = graphene.Int()

    @staticmethod
    def context_id(root, info):
        return "alike"

    @staticmethod
    def publish(payload, info):
        raise ValueError("boom")


async def test_an_error_is_formatted_once_for_a_client_that_has_no_short_way():
    rig = Rig(schema_of(Broken))
    formatted = []
    rig.session.formatter = lambda error: formatted.append(error) or {"message": "told"}
    client = await rig.subscribe(NUMBERS)
    client.next_at_once = lambda result: False
    rig.hub.broadcast(1)
    client.waiting = ready = asyncio.get_running_loop().create_future()
    rig.hub.broadcast(2)
    await tick(3)
    assert len(client.results) == 1
    client.waiting = None
    ready.set_result(None)
    await client.hears(2)
    assert len(formatted) == 2


async def test_who_leaves_before_it_is_ready_gets_nothing():
    async def stubborn():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    rig = Rig(schema_of(Broken))
    client = await rig.subscribe(NUMBERS)
    client.waiting = stubborn()
    rig.hub.broadcast(1)
    await tick(3)
    await rig.end(client)
    assert client.results == []


async def test_each_client_has_its_own_say(rig):
    Event.admits = lambda payload, info: payload % 2 == int(info.context.id)
    even, odd = await several(rig, 2)
    for number in range(4):
        rig.hub.broadcast(number)
    assert (numbers(even), numbers(odd)) == ([0, 2], [1, 3])
    assert payloads() == [0, 1, 2, 3]


@pytest.mark.parametrize("alike", ["alike", None], ids=["shared", "alone"])
@pytest.mark.parametrize("verdict", [False, None, SKIP], ids=repr)
async def test_a_filter_may_refuse(rig, alike, verdict):
    Event.alike = alike
    Event.admits = lambda payload, info: verdict if payload == 1 else True
    [client] = await several(rig, 1)
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    assert numbers(client) == [2]


@pytest.mark.parametrize("alike", ["alike", None], ids=["shared", "alone"])
async def test_a_filter_that_raises_tells_this_client_and_goes_on(rig, alike, caplog):
    def admits(payload, info):
        if info.context.id == "0" and payload == 1:
            raise ValueError("boom")
        return True

    Event.alike = alike
    Event.admits = admits
    first, second = await several(rig, 2)
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    [error] = first.results[0]["errors"]
    assert (first.results[0]["data"], error["message"], error["path"]) == (None, "boom", ["event"])
    assert first.results[1] == {"data": {"event": {"number": 2}}}
    assert numbers(second) == [1, 2]
    assert "ValueError: boom" in caplog.text


@pytest.mark.parametrize("alike", ["alike", None], ids=["shared", "alone"])
async def test_a_filter_that_waits_keeps_the_order_and_delays_nobody_else(rig, alike):
    gate = asyncio.Event()

    async def slow(payload):
        await gate.wait()
        return payload != 2

    Event.alike = alike
    Event.admits = lambda payload, info: slow(payload) if info.context.id == "0" else True
    first, second = await several(rig, 2)
    for number in (1, 2, 3):
        rig.hub.broadcast(number)
    assert (numbers(first), numbers(second)) == ([], [1, 2, 3])
    gate.set()
    await first.hears(2)
    assert numbers(first) == [1, 3]


@pytest.mark.parametrize("alike", ["alike", None], ids=["shared", "alone"])
async def test_a_filter_that_is_cancelled_from_within_is_an_error_of_its_own(rig, alike):
    async def gives_up():
        raise asyncio.CancelledError

    Event.alike = alike
    Event.admits = lambda payload, info: gives_up() if payload == 1 else True
    [client] = await several(rig, 1)
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    await client.hears(2)
    assert client.results[0]["errors"]
    assert client.results[1]["data"] == {"event": {"number": 2}}


async def test_the_end_of_a_client_whose_filter_waits_is_the_end(rig):
    entered = asyncio.Event()

    async def for_ever():
        entered.set()
        await asyncio.Event().wait()

    Event.admits = lambda payload, info: for_ever()
    client, other = await several(rig, 2)
    rig.hub.broadcast(1)
    await entered.wait()
    await rig.end(client)
    await rig.end(other)
    assert (client.results, Event.ended) == ([], ["0", "1"])


async def test_the_last_one_to_leave_leaves_the_groups(rig):
    first, second = await several(rig, 2)
    await rig.end(first)
    rig.hub.broadcast(1)
    assert (numbers(first), numbers(second)) == ([], [1])
    await rig.end(second)
    await rig.end(second)
    assert rig.hub.all_listeners() == set()
    assert Event.ended == ["0", "1"]
    assert rig.engine._subscribing.shared_subscribers == 0


async def test_the_last_one_stops_what_is_under_way(rig):
    Event.meanwhile = gate = Gate()
    first, second = await several(rig, 2)
    rig.hub.broadcast(1)
    await tick(2)
    assert gate.entered == [1]
    known = asyncio.all_tasks()
    await rig.end(first)
    assert asyncio.all_tasks() == known
    await rig.end(second)
    assert len(asyncio.all_tasks()) == len(known) - 1


async def test_who_leaves_while_an_event_is_executed_does_not_get_it(rig):
    Event.meanwhile = gate = Gate()
    first, second = await several(rig, 2)
    rig.hub.broadcast(1)
    await rig.end(first)
    gate.open.set()
    await second.hears(1)
    assert first.results == []


async def test_unsubscribe_ends_all_behind_what_was_sent_before(rig):
    Event.meanwhile = gate = Gate()
    clients = await several(rig, 2)
    rig.hub.broadcast(1)
    rig.hub.unsubscribe()
    rig.hub.broadcast(2)
    gate.open.set()
    for client in clients:
        await wait_until(lambda client=client: client.heard[-1:] == [("completed", None)])
        assert numbers(client) == [1]
    assert sorted(Event.ended) == ["0", "1"]
    assert rig.engine._subscribing.shared_subscribers == 0


async def test_who_comes_behind_an_unsubscribe_stays(rig):
    Event.meanwhile = gate = Gate()
    old = await rig.subscribe(NUMBERS, id="old")
    rig.hub.broadcast(1)
    rig.hub.unsubscribe()
    new = await rig.subscribe(NUMBERS, id="new")
    gate.open.set()
    await wait_until(lambda: old.heard[-1:] == [("completed", None)])
    rig.hub.broadcast(2)
    await new.hears(1)
    assert (numbers(old), numbers(new)) == ([1], [2])
    newer = await rig.subscribe(NUMBERS, id="newer")
    rig.hub.broadcast(3)
    await newer.hears(1)
    assert gate.entered == [1, 2, 3]


async def test_complete_from_publish_ends_those_who_were_there(rig):
    gate = asyncio.Event()

    async def ends(payload):
        await gate.wait()
        return COMPLETE if payload == 1 else {"number": payload}

    Event.meanwhile = ends
    early = await rig.subscribe(NUMBERS, id="early")
    rig.hub.broadcast(1)
    late = await rig.subscribe(NUMBERS, id="late")
    rig.hub.broadcast(2)
    gate.set()
    await late.hears(1)
    assert (early.heard, numbers(late)) == ([("completed", None)], [2])
    assert Event.ended == ["early"]


async def test_skip_from_publish_skips_all(rig):
    Event.meanwhile = lambda payload: SKIP if payload == 1 else {"number": payload}
    first, second = await several(rig, 2)
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    assert (numbers(first), numbers(second)) == ([2], [2])


async def test_a_slow_client_gets_what_is_its_own_before_the_end(rig):
    slow, quick = await several(rig, 2)
    slow.waiting = ready = asyncio.get_running_loop().create_future()
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    rig.hub.unsubscribe()
    assert quick.heard[-1:] == [("completed", None)]
    slow.waiting = None
    ready.set_result(None)
    await wait_until(lambda: slow.heard[-1:] == [("completed", None)])
    assert numbers(slow) == [1, 2]


async def test_an_unsubscribed_hook_that_waits_delays_nobody(rig):
    gate = asyncio.Event()
    Event.at_the_end = lambda: gate.wait() if Event.ended[-1] == "0" else None
    first, second = await several(rig, 2)
    rig.hub.unsubscribe()
    await tick()
    assert (first.heard, second.heard) == ([], [("completed", None)])
    again = asyncio.get_running_loop().create_task(_end(rig, first))
    await tick(3)
    gate.set()
    await again
    assert first.heard == [("completed", None)]


async def test_an_unsubscribed_hook_that_hangs_ends_with_the_patience_of_who_waits(rig):
    Event.at_the_end = asyncio.Event().wait
    [client] = await several(rig, 1)
    known = asyncio.all_tasks()
    rig.hub.unsubscribe()
    await tick()
    assert Event.ended == ["0"]
    assert asyncio.all_tasks() > known
    ending = asyncio.create_task(_end(rig, client))
    await tick()
    await cancel(ending)
    assert asyncio.all_tasks() == known


async def _end(rig: Rig, client: FakeClient) -> None:
    await rig.end(client)


async def test_a_payload_that_breaks_something_of_ours_is_an_internal_error(rig, monkeypatch):
    first, second = await several(rig, 2)

    def breaks(plan, payload):
        raise RuntimeError("our own")

    with monkeypatch.context() as patched:
        patched.setattr(EventExecution, "start", breaks)
        rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    for client in (first, second):
        assert client.results[0] == {
            "data": None,
            "errors": [{"message": "Internal server error"}],
        }
        assert client.results[1]["data"] == {"event": {"number": 2}}


def _of_policy(policy: str) -> type[Subscription]:
    class Chosen(Subscription):
        number = graphene.Int()
        notification_queue_policy = policy
        notification_queue_limit = 2
        gate: Any = None

        @staticmethod
        def context_id(root, info):
            return 1

        @staticmethod
        def coalesce(payload):
            return payload % 2

        @classmethod
        def publish(cls, payload, info):
            return {"number": payload} if cls.gate is None else cls.gate(payload)

    return Chosen


async def test_a_slow_client_is_ended_alone_where_the_class_says_so():
    rig = Rig(schema_of(_of_policy("close")))
    slow, quick = await several(rig, 2)
    slow.waiting = ready = asyncio.get_running_loop().create_future()
    for number in range(5):
        rig.hub.broadcast(number)
    slow.waiting = None
    ready.set_result(None)
    await wait_until(lambda: slow.heard[-1:] == [("completed", None)])
    assert slow.results[-1]["errors"][0]["extensions"]["code"] == "SLOW_CONSUMER"
    assert numbers(quick) == [0, 1, 2, 3, 4]
    rig.hub.broadcast(5)
    assert numbers(quick)[-1] == 5


async def test_a_publish_that_is_too_slow_ends_all_where_the_class_says_so():
    chosen = _of_policy("close")
    rig = Rig(schema_of(chosen))
    chosen.gate = gate = Gate()
    clients = await several(rig, 2)
    for number in range(4):
        rig.hub.broadcast(number)
    new = await rig.subscribe(NUMBERS, id="new")
    gate.open.set()
    for client in clients:
        await wait_until(lambda client=client: client.heard[-1:] == [("completed", None)])
        assert client.results[-1]["errors"][0]["extensions"]["code"] == "SLOW_CONSUMER"
    rig.hub.broadcast(9)
    await new.hears(1)
    assert numbers(new) == [9]


async def test_what_waits_for_a_slow_client_is_coalesced_where_the_class_says_so():
    rig = Rig(schema_of(_of_policy("coalesce")))
    slow, quick = await several(rig, 2)
    slow.waiting = ready = asyncio.get_running_loop().create_future()
    for number in range(6):
        rig.hub.broadcast(number)
    slow.waiting = None
    ready.set_result(None)
    await slow.hears(3)
    assert (numbers(slow), numbers(quick)) == ([0, 5, 4], [0, 1, 2, 3, 4, 5])


async def test_who_leaves_between_two_turns_gets_nothing_more(rig):
    clients = await several(rig, DELIVERIES_AT_ONCE + 1)
    [cohort] = rig.hub.all_listeners()
    rig.hub.received += 1
    cohort.offer(notification(1, rig.hub.received))
    assert cohort.run_next()
    await rig.end(clients[-1])
    assert not cohort.run_next()
    assert clients[-1].results == []


async def test_who_leaves_before_the_beginning_never_begins(rig):
    client = await rig.subscribe(NUMBERS)
    await rig.end(client)
    client.cohort.open()
    assert not client.cohort.listener.run_next()
    assert client.heard == []


async def test_who_leaves_while_its_filter_decides_gets_nothing(rig):
    decided = asyncio.Event()

    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            decided.set()
        return True

    Event.admits = lambda payload, info: stubborn()
    [client] = await several(rig, 1)
    rig.hub.broadcast(1)
    await rig.end(client)
    assert decided.is_set()
    assert client.results == []


async def test_who_leaves_during_its_first_event_gets_nothing():
    async def stubborn():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return {"number": 1}

    rig = Rig(schema_of(_with_initial(lambda root, info: stubborn())))
    client = await rig.subscribe(NUMBERS)
    await rig.end(client)
    assert client.results == []


class OnNews(Subscription):
    """Shared by all readers of one section."""

    executed: ClassVar[list[str]] = []
    ended: ClassVar[list[str]] = []
    text = graphene.String()

    class Arguments:
        section = graphene.String(required=True)

    @staticmethod
    def subscribe(root, info, section):
        return [section]

    @staticmethod
    def context_id(root, info, section):
        return "everybody"

    @classmethod
    def publish(cls, payload, info, section):
        cls.executed.append(payload)
        return {"text": payload}

    @classmethod
    def unsubscribed(cls, root, info, section):
        cls.ended.append(section)


async def test_clients_of_both_dialects_share(monkeypatch):
    monkeypatch.setattr(OnNews, "executed", [])
    monkeypatch.setattr(OnNews, "ended", [])
    consumer = type("Sharing", (GraphqlWsConsumer,), {"schema": schema_of(OnNews)})
    sockets = [AsgiSocket(consumer.as_asgi(), name) for name in (NEW, NEW, LEGACY)]
    for socket in sockets:
        await socket.acknowledged()
        socket.start("1", 'subscription { event(section: "arts") { text } }')
    hub = hub_of(get_channel_layer())
    await wait_until(
        lambda: engine_of(consumer())._subscribing.shared_subscribers and hub.counts()["groups"]
    )
    await tick(10)
    await OnNews.broadcast(group="arts", payload="five")
    for socket in sockets:
        await wait_until(lambda socket=socket: socket.results("1"))
        assert socket.results("1") == [{"data": {"event": {"text": "five"}}}]
    assert OnNews.executed == ["five"]
    assert hub.counts() == {"groups": 2, "listeners": 1}
    for socket in sockets:
        await socket.drop()
    assert OnNews.ended == ["arts"] * 3
    assert hub.counts() == {"groups": 0, "listeners": 0}


async def test_a_socket_that_takes_nothing_delays_nobody():
    consumer = type("Sharing", (GraphqlWsConsumer,), {"schema": schema_of(OnNews)})
    gate = asyncio.Event()
    gate.set()
    slow = AsgiSocket(consumer.as_asgi(), NEW, on_send=lambda _event: gate.wait())
    quick = AsgiSocket(consumer.as_asgi(), NEW)
    for socket in (slow, quick):
        await socket.acknowledged()
        socket.start("1", 'subscription { event(section: "arts") { text } }')
    hub = hub_of(get_channel_layer())
    await wait_until(lambda: hub.counts()["groups"])
    await tick(10)
    gate.clear()
    for text in "abc":
        await OnNews.broadcast(group="arts", payload=text)
    await wait_until(lambda: len(quick.results("1")) == 3)
    assert slow.results("1") == []
    gate.set()
    await wait_until(lambda: len(slow.results("1")) == 3)
    assert slow.results("1") == quick.results("1")
    for socket in (slow, quick):
        await socket.drop()


async def test_a_hook_about_results_sees_what_is_shared():
    seen = []

    def on_next(_self: Any, op_id: Any, result: Any) -> Any:
        seen.append(op_id)
        return {"data": {"event": {"text": f"{op_id} {result['data']['event']['text']}"}}}

    attributes = {"schema": schema_of(OnNews), "on_next": on_next}
    consumer = type("Sharing", (GraphqlWsConsumer,), attributes)
    socket = AsgiSocket(consumer.as_asgi(), NEW)
    await socket.acknowledged()
    for id in ("1", "2"):
        socket.start(id, 'subscription { event(section: "arts") { text } }')
    await wait_until(lambda: hub_of(get_channel_layer()).counts()["groups"])
    await tick(10)
    await OnNews.broadcast(group="arts", payload="five")
    await wait_until(lambda: socket.results("1") and socket.results("2"))
    for id in ("1", "2"):
        assert socket.results(id) == [{"data": {"event": {"text": f"{id} five"}}}]
    assert seen == ["1", "2"]
    await socket.drop()


@pytest.mark.parametrize("error", [RuntimeError("our own"), asyncio.CancelledError()])
async def test_a_first_event_that_breaks_something_of_ours_is_an_internal_error(
    error, monkeypatch
):
    def breaks(plan):
        raise error
        yield

    rig = Rig(schema_of(_with_initial(lambda root, info: {"number": 0})))
    with monkeypatch.context() as patched:
        patched.setattr(EventExecution, "run_hook", breaks)
        client = await rig.run(NUMBERS)
    rig.hub.broadcast(1)
    await client.hears(2)
    assert client.results[0]["errors"] == [{"message": "Internal server error"}]
    assert client.results[1]["data"] == {"event": {"number": 1}}
    await rig.end(client)

"""Subscriptions as a program sees them: iterate, leave, lose events, recover."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from channels_graphql_ws.client import (
    Gap,
    GraphqlOperationError,
    GraphqlResult,
    GraphqlWsClient,
    NoDataError,
    ResultTypeError,
    Retry,
    SubscriptionEvent,
)
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    RemoteProtocolError,
)
from scripted_transport import LEGACY, NEW, SAME_ID, ScriptedTransport, acknowledging, result
from support import tick, wait_until

ON_A = "subscription OnA { a }"
LOST = Gap(None, "reconnected")


@pytest.fixture
def transport() -> ScriptedTransport:
    return acknowledging()


@pytest.fixture(params=["session", "open connection"])
async def client(
    request: pytest.FixtureRequest, transport: ScriptedTransport
) -> AsyncIterator[GraphqlWsClient]:
    """A client whose connection is made when needed, or was opened by hand."""
    client = GraphqlWsClient(transport, retry=Retry(wait=lambda _: 0))
    if request.param == "session":
        async with client:
            yield client
    else:
        await client.connect_and_init()
        yield client
        await client.finalize()


@pytest.fixture
async def session(transport: ScriptedTransport) -> AsyncIterator[GraphqlWsClient]:
    async with GraphqlWsClient(transport, retry=Retry(wait=lambda _: 0)) as client:
        yield client


async def started(transport: ScriptedTransport, number: int = 1) -> str:
    """Wait until so many operations are sent; return the id of the last."""
    await wait_until(lambda: len(transport.sent_of("subscribe")) == number)
    return str(transport.sent_of("subscribe")[-1]["id"])


def event(id: str, data: Any, **extensions: Any) -> dict[str, Any]:
    more = {"extensions": extensions} if extensions else {}
    return result(NEW, id, data={"a": data}, **more)


async def test_events_are_iterated_to_the_end(client, transport):
    transport.answer(
        "subscribe", *(event(SAME_ID, n) for n in range(3)), {"type": "complete", "id": SAME_ID}
    )
    assert [each["a"] async for each in client.subscription(ON_A)] == [0, 1, 2]
    assert transport.sent_of("complete") == []


async def test_the_request_has_what_was_asked_for(client, transport):
    variables, extensions = {"n": 1}, {"trace": "x"}
    transport.answer("subscribe", {"type": "complete", "id": SAME_ID})
    async for _ in client.subscription(ON_A, variables, extensions=extensions):
        pass
    assert transport.sent_of("subscribe")[0]["payload"] == {
        "query": ON_A,
        "operationName": "OnA",
        "variables": variables,
        "extensions": extensions,
    }


async def test_leaving_the_loop_stops_the_subscription(client, transport):
    transport.answer("subscribe", event(SAME_ID, 1))
    async for each in client.subscription(ON_A):
        assert each["a"] == 1
        break
    gc.collect()
    id = await started(transport)
    await wait_until(lambda: transport.sent_of("complete") == [{"type": "complete", "id": id}])


async def test_cancelling_who_iterates_stops_the_subscription(client, transport):
    async def iterate() -> None:
        async for _ in events:
            pass

    events = client.subscription(ON_A)
    iterating = asyncio.create_task(iterate())
    id = await started(transport)
    await tick(2)
    iterating.cancel()
    await asyncio.wait([iterating])
    await wait_until(lambda: transport.sent_of("complete") == [{"type": "complete", "id": id}])


async def test_who_has_waited_in_vain_may_wait_again(client, transport):
    events = client.subscription(ON_A)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await anext(events)
    transport.say(event(await started(transport), 1))
    assert (await anext(events))["a"] == 1
    assert transport.sent_of("complete") == []
    await events.aclose()


async def test_another_task_may_go_on_where_one_has_waited_in_vain(client, transport):
    events = client.subscription(ON_A)

    async def wait_in_vain() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await anext(events)
        gave_up.set()
        await may_end.wait()

    gave_up, may_end = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(wait_in_vain())
    await gave_up.wait()
    transport.say(event(await started(transport), 1))
    assert (await anext(events))["a"] == 1
    may_end.set()
    await first
    await tick(2)
    assert transport.sent_of("complete") == []
    await events.aclose()


async def test_two_tasks_cannot_wait_for_the_events_of_one_subscription(client, transport):
    events = client.subscription(ON_A)
    waiting = asyncio.create_task(anext(events))
    id = await started(transport)
    await tick(2)
    with pytest.raises(GraphqlWsClientError, match="Another task waits"):
        await anext(events)
    transport.say(event(id, 1))
    assert (await waiting)["a"] == 1
    await events.aclose()


async def test_async_with_stops_the_subscription_before_it_goes_on(client, transport):
    async with client.subscription(ON_A):
        id = await started(transport)
    assert transport.sent_of("complete") == [{"type": "complete", "id": id}]


async def test_a_subscription_that_has_ended_gives_nothing_more(client, transport):
    transport.answer("subscribe", {"type": "complete", "id": SAME_ID})
    events = client.subscription(ON_A)
    for _ in range(2):
        assert [each async for each in events] == []
    await events.aclose()


async def test_a_subscription_that_never_began_can_be_closed(client, transport):
    await client.subscription(ON_A).aclose()
    assert transport.sent_of("subscribe", "complete") == []


async def test_an_error_of_the_server_is_raised_behind_the_events_before_it(client, transport):
    failure = {"type": "error", "id": SAME_ID, "payload": [{"message": "gone"}]}
    transport.answer("subscribe", event(SAME_ID, 1), failure)
    events = client.subscription(ON_A)
    assert (await anext(events))["a"] == 1
    with pytest.raises(GraphqlOperationError, match="The subscription OnA failed: gone"):
        await anext(events)
    assert [each async for each in events] == []


async def test_errors_of_an_event_do_not_end_the_subscription(client, transport):
    errors = [{"message": "no"}]
    transport.answer(
        "subscribe", result(NEW, SAME_ID, data=None, errors=errors), event(SAME_ID, 2)
    )
    events = client.subscription(ON_A)
    bad = await anext(events)
    assert (bad.data, bad.errors) == (None, errors)
    with pytest.raises(NoDataError, match=r"brings errors and no data.*event.errors"):
        _ = bad["a"]
    assert (await anext(events))["a"] == 2
    await events.aclose()


@pytest.mark.parametrize("payload", [None, [], "text"])
async def test_a_result_that_is_none_ends_the_operation_with_an_error(client, transport, payload):
    transport.answer("subscribe", {"type": "next", "id": SAME_ID, "payload": payload})
    with pytest.raises(RemoteProtocolError, match="Expected a result of the subscription OnA"):
        await anext(client.subscription(ON_A))
    with pytest.raises(RemoteProtocolError, match="Expected a result of the query"):
        await client.query("{ a }")


@pytest.mark.parametrize("part", [{"errors": "text"}, {"extensions": [1]}])
async def test_a_result_with_a_part_of_another_type_ends_the_subscription(client, transport, part):
    payload = {"data": {"a": 1}, **part}
    transport.answer("subscribe", {"type": "next", "id": SAME_ID, "payload": payload})
    with pytest.raises(RemoteProtocolError, match="Expected a result of the subscription OnA"):
        await anext(client.subscription(ON_A))


async def test_a_word_that_means_nothing_is_ignored(client, transport):
    transport.answer("subscribe", {"type": "surprise", "id": SAME_ID}, event(SAME_ID, 1))
    async with client.subscription(ON_A) as events:
        assert (await anext(events))["a"] == 1


async def test_many_subscriptions_and_queries_at_once_get_what_is_theirs(client, transport):
    async def collect(number: int) -> list[Any]:
        document = f"subscription S{number} {{ a }}"
        return [each["a"] async for each in client.subscription(document)]

    collecting = [asyncio.create_task(collect(number)) for number in range(20)]
    await started(transport, 20)
    ids = [sent["id"] for sent in transport.sent_of("subscribe")]
    for number in range(3):
        transport.say(*(event(id, (id, number)) for id in ids))
    transport.say(*({"type": "complete", "id": id} for id in reversed(ids)))
    for id, events in zip(ids, await asyncio.gather(*collecting), strict=True):
        assert events == [(id, number) for number in range(3)]


async def test_the_oldest_event_gives_way_and_the_next_says_how_many_were_lost(client, transport):
    transport.answer("subscribe", *(event(SAME_ID, n) for n in range(10)))
    async with client.subscription(ON_A, queue_limit=3) as events:
        for number in range(10):
            client._router.deliver(event(await started(transport), number))
        first, second = await anext(events), await anext(events)
    assert (first["a"], first.gap) == (7, Gap(7, "queue full"))
    assert (second["a"], second.gap) == (8, None)


async def test_a_queue_for_one_event_holds_the_latest(client, transport):
    async with client.subscription(ON_A, queue_limit=1) as events:
        id = await started(transport)
        for number in range(3):
            client._router.deliver(event(id, number))
        latest = await anext(events)
    assert (latest["a"], latest.gap) == (2, Gap(2, "queue full"))


async def test_who_is_as_fast_as_the_server_loses_nothing_however_small_the_queue(
    session, transport
):
    numbers = []
    async with session.subscription(ON_A, queue_limit=4) as events:
        id = await started(transport)
        transport.say(*(event(id, number) for number in range(500)))
        transport.say({"type": "complete", "id": id})
        async for each in events:
            numbers.append(each["a"])
            assert each.gap is None
    assert numbers == list(range(500))


@pytest.mark.parametrize(
    ("said", "gap"),
    [
        ({"missed": 3, "reason": "slow"}, Gap(3, "slow")),
        ({"missed": None, "reason": "layer"}, Gap(None, "layer")),
        ("nonsense", None),
    ],
)
async def test_a_gap_that_the_server_tells_of_is_in_the_event(client, transport, said, gap):
    transport.answer("subscribe", event(SAME_ID, 1, gap=said))
    async with client.subscription(ON_A) as events:
        assert (await anext(events)).gap == gap


async def test_gaps_of_the_server_and_of_the_queue_are_added_up(client, transport):
    async with client.subscription(ON_A, queue_limit=1) as events:
        id = await started(transport)
        client._router.deliver(event(id, 1, gap={"missed": 3, "reason": "slow"}))
        client._router.deliver(event(id, 2))
        assert (await anext(events)).gap == Gap(4, "slow")


async def test_a_subscription_goes_on_after_the_connection_was_lost_and_says_so(
    session, transport
):
    async with session.subscription(ON_A) as events:
        id = await started(transport)
        transport.say(event(id, 1))
        assert (await anext(events)).gap is None
        transport.drop(1012)
        assert await started(transport, 2) == id
        transport.say(event(id, 2), event(id, 3))
        second, third = await anext(events), await anext(events)
    assert (second["a"], second.gap) == (2, LOST)
    assert (third["a"], third.gap) == (3, None)


async def test_a_subscription_of_an_open_connection_ends_with_it(transport):
    client = GraphqlWsClient(transport)
    await client.connect_and_init()
    transport.answer("subscribe", event(SAME_ID, 1))
    events = client.subscription(ON_A)
    await anext(events)
    transport.drop(1006)
    with pytest.raises(ConnectionClosedError, match="lost"):
        await anext(events)
    await client.finalize()


def cursors(transport: ScriptedTransport) -> list[Any]:
    payloads = [sent["payload"] for sent in transport.sent_of("subscribe")]
    return [payload.get("extensions", {}).get("cursor") for payload in payloads]


async def test_a_subscription_recovers_from_its_cursor(session, transport):
    async with session.subscription(ON_A) as events:
        id = await started(transport)
        transport.say(event(id, 1, cursor="c1"))
        assert (await anext(events)).cursor == "c1"
        transport.drop(1012)
        await started(transport, 2)
        transport.say(event(id, 2, cursor="c2", recovered=True), event(id, 3, cursor="c3"))
        second, third = await anext(events), await anext(events)
        assert events.cursor == "c3"
    assert cursors(transport) == [None, "c1"]
    assert (second["a"], second.gap, second.recovered) == (2, None, True)
    assert (third["a"], third.gap, third.recovered) == (3, None, None)


async def test_a_cursor_is_sent_beside_the_extensions_of_the_user(session, transport):
    async with session.subscription(ON_A, extensions={"x": 1}, cursor="kept"):
        await started(transport)
    sent = transport.sent_of("subscribe")[0]["payload"]["extensions"]
    assert sent == {"x": 1, "cursor": "kept"}


async def test_a_subscription_that_could_not_recover_says_so_and_goes_on(session, transport):
    async with session.subscription(ON_A, cursor="old") as events:
        id = await started(transport)
        transport.say(result(NEW, id, data=None, extensions={"recovered": False, "cursor": "n"}))
        transport.say(event(id, 1, cursor="n1"))
        lost, first = await anext(events), await anext(events)
    assert (lost.data, lost.gap, lost.recovered) == (None, Gap(None, "not recovered"), False)
    with pytest.raises(NoDataError, match=r"Events were lost \(not recovered\).*load anew"):
        _ = lost["a"]
    assert (first["a"], first.gap) == (1, None)


async def test_a_server_that_knows_no_cursors_has_not_recovered(session, transport):
    async with session.subscription(ON_A, cursor="old") as events:
        transport.say(event(await started(transport), 1))
        assert (await anext(events)).gap == Gap(None, "not recovered")


async def test_what_waits_in_the_queue_is_not_asked_for_again(session, transport):
    async with session.subscription(ON_A) as events:
        id = await started(transport)
        transport.say(event(id, 1, cursor="c1"), event(id, 2, cursor="c2"))
        transport.drop(1012)
        await started(transport, 2)
        transport.say(event(id, 3, cursor="c3", recovered=True))
        numbers = [(await anext(events))["a"] for _ in range(3)]
    assert (numbers, cursors(transport)) == ([1, 2, 3], [None, "c2"])


async def test_a_confirmation_is_waited_for_and_is_no_event(client, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data=None), event(SAME_ID, 1))
    async with client.subscription(ON_A, wait_confirmation=True) as events:
        assert (await anext(events))["a"] == 1


async def test_a_confirmation_after_a_reconnect_is_no_event_either(session, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data=None))
    async with session.subscription(ON_A, wait_confirmation=True) as events:
        id = await started(transport)
        transport.drop(1012)
        await started(transport, 2)
        transport.say(event(id, 1))
        first = await anext(events)
    assert (first["a"], first.gap) == (1, LOST)


async def test_what_was_not_confirmed_yet_has_lost_nothing(session, transport):
    entering = asyncio.create_task(session.subscription(ON_A, wait_confirmation=True).__aenter__())
    id = await started(transport)
    transport.drop(1012)
    await started(transport, 2)
    transport.say(result(NEW, id, data=None), event(id, 1))
    events = await entering
    assert (await anext(events)).gap is None
    await events.aclose()


async def test_a_confirmation_tells_of_recovery_and_brings_a_cursor(session, transport):
    confirmation = result(NEW, SAME_ID, data=None, extensions={"cursor": "c", "recovered": True})
    transport.answer("subscribe", confirmation)
    async with session.subscription(ON_A, cursor="b", wait_confirmation=True) as events:
        assert events.cursor == "c"
        transport.say(event(await started(transport), 1))
        assert (await anext(events)).gap is None


async def test_a_confirmation_with_errors_is_an_event(client, transport):
    errors = [{"message": "careful"}]
    transport.answer("subscribe", result(NEW, SAME_ID, data=None, errors=errors))
    async with client.subscription(ON_A, wait_confirmation=True) as events:
        assert (await anext(events)).errors == errors


async def test_a_refused_subscription_raises_where_the_confirmation_is_waited_for(
    client, transport
):
    transport.answer("subscribe", {"type": "error", "id": SAME_ID, "payload": [{"message": "no"}]})
    with pytest.raises(GraphqlOperationError, match="no"):
        async with client.subscription(ON_A, wait_confirmation=True):
            pass
    assert transport.sent_of("complete") == []


async def test_a_subscription_that_ends_before_its_confirmation_is_over(client, transport):
    transport.answer("subscribe", {"type": "complete", "id": SAME_ID})
    async with client.subscription(ON_A, wait_confirmation=True) as events:
        assert [each async for each in events] == []


async def test_who_waits_for_an_event_is_told_that_another_task_has_closed(client, transport):
    events = client.subscription(ON_A)
    waiting = asyncio.create_task(anext(events))
    await started(transport)
    await tick(2)
    await events.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_closing_the_client_ends_subscriptions_without_an_error(session):
    async def collect() -> list[Any]:
        return [each async for each in session.subscription(ON_A)]

    collecting = asyncio.create_task(collect())
    await wait_until(lambda: session.connected)
    await session.finalize()
    assert await collecting == []


async def test_a_subscription_that_is_collected_after_its_loop_has_ended_does_no_harm():
    def iterate_a_little() -> Any:
        async def one() -> Any:
            client = GraphqlWsClient(acknowledging())
            events = client.subscription(ON_A)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await anext(events)
            await client.finalize()
            events._live._end = None
            return events

        return asyncio.run(one())

    events = await asyncio.to_thread(iterate_a_little)
    del events
    gc.collect()


@dataclass
class A:
    a: int


async def test_events_are_turned_into_a_type(client, transport):
    transport.answer("subscribe", event(SAME_ID, {"a": 1}), result(NEW, SAME_ID, data=None))
    async with client.subscription(ON_A, into=A) as events:
        assert (await anext(events)).data == A(1)
        assert (await anext(events)).data is None


async def test_a_result_is_turned_into_a_type_or_the_error_says_what_does_not_fit(
    client, transport
):
    transport.answer("subscribe", result(NEW, SAME_ID, data={"a": 1}))
    assert await client.query("{ a }", into=int) == 1
    with pytest.raises(ResultTypeError, match="a is 1, expected str"):
        await client.query("{ a }", into=str)


async def test_a_query_returns_its_data_and_raises_its_errors(client, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data={"a": 1}))
    assert await client.query("query Q { a }") == {"a": 1}
    errors = [{"message": "no", "path": ["b"]}]
    transport.answer("subscribe", result(NEW, SAME_ID, data={"a": 1, "b": None}, errors=errors))
    with pytest.raises(GraphqlOperationError, match=r"The query Q failed: no \(at b\)") as caught:
        await client.query("query Q { a b }")
    assert caught.value.data == {"a": 1, "b": None}


async def test_a_result_has_data_errors_and_extensions(client, transport):
    errors = [{"message": "no"}]
    transport.answer("subscribe", result(NEW, SAME_ID, data=1, errors=errors, extensions={"e": 2}))
    answer = await client.result("{ a }")
    assert (answer.data, [str(each) for each in answer.errors]) == (1, ["no"])
    assert answer.extensions == {"e": 2}
    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    assert await client.result("{ a }") == GraphqlResult(1, (), {})


async def test_an_operation_that_is_not_executed_raises(client, transport):
    transport.answer("subscribe", {"type": "error", "id": SAME_ID, "payload": [{"message": "no"}]})
    for method in (client.query, client.result):
        with pytest.raises(GraphqlOperationError, match="The query failed: no"):
            await method("{ a }")


async def test_a_query_that_is_completed_without_a_result_is_a_protocol_error(client, transport):
    transport.answer("subscribe", {"type": "complete", "id": SAME_ID})
    with pytest.raises(RemoteProtocolError, match="The query was completed without a result"):
        await client.query("{ a }")


async def test_an_answer_in_parts_is_an_error_which_names_what_gives_them(client, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data=1, hasNext=True))
    with pytest.raises(RemoteProtocolError, match=r"@defer, @stream.*use subscription\(\)"):
        await client.query("{ a }")


async def test_a_subscription_is_no_query(client):
    with pytest.raises(ValueError, match=r"The subscription OnA goes on: use subscription\(\)"):
        await client.query(ON_A)


async def test_a_query_that_is_cancelled_is_stopped(client, transport):
    asking = asyncio.create_task(client.query("{ a }"))
    id = await started(transport)
    asking.cancel()
    await asyncio.wait([asking])
    await wait_until(lambda: transport.sent_of("complete") == [{"type": "complete", "id": id}])
    transport.say(result(NEW, id, data="late"), {"type": "complete", "id": id})
    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    assert await client.query("{ a }") == 1
    assert len(client._router.unclaimed) == 0


async def test_a_query_of_an_open_connection_times_out_with_a_text(transport):
    client = GraphqlWsClient(transport)
    await client.connect_and_init()
    with pytest.raises(TimeoutError, match=r"Waited 0.001 s for an answer of .* for the q"):
        await client.query("{ a }", timeout=0.001)
    await client.finalize()


async def test_an_endless_timeout_needs_no_timer(client, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    assert await client.query("{ a }", timeout=float("inf")) == 1


async def test_the_legacy_dialect_works_the_same():
    transport = acknowledging()
    transport.answer("start", result(LEGACY, SAME_ID, data={"a": 1}))
    async with GraphqlWsClient(transport, LEGACY) as client:
        assert await client.query("{ a }") == {"a": 1}
        async with client.subscription(ON_A) as events:
            assert (await anext(events))["a"] == 1
    assert [sent["type"] for sent in transport.sent] == [
        "connection_init",
        "start",
        "start",
        "stop",
    ]


def test_an_event_without_anything_says_where_to_look():
    with pytest.raises(NoDataError, match=r"has no data. Look at event\.data"):
        _ = SubscriptionEvent(None)["a"]

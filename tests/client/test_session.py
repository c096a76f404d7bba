"""Connections that are made when they are needed, and made anew when they were lost."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels_graphql_ws.client import (
    NEVER,
    ConnectionEvent,
    ConnectionRejectedError,
    ConnectionState,
    GraphqlWsClient,
    GraphqlWsTimeoutError,
    MutationInterruptedError,
    Retry,
)
from channels_graphql_ws.client.session import _OnPurposeError
from channels_graphql_ws.client.transport import OPERATION_LOST
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    RemoteProtocolError,
)
from scripted_transport import (
    LEGACY,
    NEW,
    SAME_ID,
    START,
    AwareTransport,
    ScriptedTransport,
    acknowledging,
    result,
)
from support import tick, wait_until

AT_ONCE = Retry(wait=lambda _: 0)
EVENT_TYPES = "connecting", "connected", "acknowledged", "closed", "retrying", "error"


@pytest.fixture
def transport() -> ScriptedTransport:
    return acknowledging()


@pytest.fixture
async def client(transport: ScriptedTransport) -> AsyncIterator[GraphqlWsClient]:
    async with GraphqlWsClient(transport, retry=AT_ONCE) as client:
        yield client


def answering(transport: ScriptedTransport, data: Any = 1) -> None:
    transport.answer(
        "subscribe", result(NEW, SAME_ID, data=data), {"type": "complete", "id": SAME_ID}
    )


def told(client: GraphqlWsClient) -> list[ConnectionEvent]:
    """Return a list to which all that happens to the connection is added."""
    events: list[ConnectionEvent] = []
    for type in EVENT_TYPES:
        client.on(type, events.append)
    return events


async def test_nothing_is_connected_before_it_is_needed(client, transport):
    assert transport.connects == 0
    assert client.state is ConnectionState.CLOSED
    answering(transport)
    assert await client.query("{ a }") == 1
    assert transport.connects == 1
    assert client.connected


async def test_a_client_that_is_not_lazy_connects_on_entry():
    transport = acknowledging()
    async with GraphqlWsClient(transport, lazy=False) as client:
        assert client.state is ConnectionState.ACKNOWLEDGED
        assert transport.connects == 1
    assert client.state is ConnectionState.CLOSED


async def test_a_client_that_is_not_lazy_connects_anew_though_nothing_needs_it():
    transport = acknowledging()
    async with GraphqlWsClient(transport, lazy=False, retry=AT_ONCE):
        transport.drop(1012)
        await wait_until(lambda: transport.connects == 2)


async def test_leaving_closes_the_connection_and_leaves_no_task(transport):
    async with GraphqlWsClient(transport) as client:
        await client.connect_and_init()
    assert transport.disconnects == 1
    assert not client.connected


async def test_a_client_can_be_entered_again(client, transport):
    answering(transport)
    await client.query("{ a }")
    await client.finalize()
    assert await client.query("{ a }") == 1
    assert transport.connects == 2


async def test_the_payload_of_the_acknowledgement_is_readable(client, transport):
    transport.answer("connection_init", {"type": "connection_ack", "payload": {"v": 1}})
    await client.connect_and_init()
    assert client.connection_ack_payload == {"v": 1}


async def test_operations_that_wait_for_the_connection_are_sent_once_it_is_there(
    client, transport
):
    answering(transport)
    answers = await asyncio.gather(*(client.query("{ a }") for _ in range(5)))
    assert answers == [1] * 5
    assert len(transport.sent_of("subscribe")) == 5


async def test_all_dialects_are_offered_and_the_one_that_the_server_chose_is_spoken():
    transport = acknowledging(AwareTransport(chosen=LEGACY))
    transport.answer(
        START[LEGACY], result(LEGACY, SAME_ID, data=1), {"type": "complete", "id": SAME_ID}
    )
    async with GraphqlWsClient(transport, subprotocols=[NEW, LEGACY]) as client:
        assert await client.query("{ a }") == 1
        assert client.subprotocol == LEGACY
    assert transport.offered == (NEW, [NEW, LEGACY])
    assert transport.codes == [1000]


async def test_a_query_that_was_under_way_is_sent_again_after_the_connection_was_lost(
    client, transport
):
    running = asyncio.create_task(client.query("query Q { a }"))
    await wait_until(lambda: transport.sent_of("subscribe"))
    answering(transport)
    transport.drop(1012, "Service restart")
    assert await running == 1
    first, second = transport.sent_of("subscribe")
    assert first == second
    assert transport.connects == 2


async def test_a_mutation_that_was_under_way_is_not_sent_again_and_the_error_says_why(
    client, transport
):
    running = asyncio.create_task(client.query("mutation M { a }"))
    await wait_until(lambda: transport.sent_of("subscribe"))
    transport.drop(1006)
    with pytest.raises(MutationInterruptedError, match=r"The mutation M was sent.*replay=True"):
        await running
    assert len(transport.sent_of("subscribe")) == 1


async def test_a_mutation_that_was_not_sent_yet_waits_for_the_next_connection(client, transport):
    transport.refusals = [ConnectionRejectedError("down")]
    answering(transport)
    assert await client.query("mutation M { a }") == 1


async def test_a_mutation_is_sent_again_if_that_is_asked_for(client, transport):
    running = asyncio.create_task(client.query("mutation M { a }", replay=True))
    await wait_until(lambda: transport.sent_of("subscribe"))
    answering(transport)
    transport.drop()
    assert await running == 1


async def test_a_query_is_not_sent_again_if_that_is_not_wanted(client, transport):
    running = asyncio.create_task(client.query("{ a }", replay=False))
    await wait_until(lambda: transport.sent_of("subscribe"))
    transport.drop()
    with pytest.raises(MutationInterruptedError):
        await running


async def test_attempts_go_on_until_one_succeeds(client, transport, caplog):
    caplog.set_level(logging.WARNING, logger="channels_graphql_ws.client")
    transport.refusals = [ConnectionRejectedError(f"down {n}") for n in range(3)]
    events = told(client)
    await client.connect_and_init()
    assert transport.connects == 4
    assert [event.attempt for event in events if event.type == "connecting"] == [0, 1, 2, 3]
    assert [record.getMessage() for record in caplog.records] == [
        f"down {n}. Trying again in 0.0 s" for n in range(3)
    ]


async def test_while_a_client_waits_for_the_next_attempt_it_is_retrying(transport):
    transport.refusals = [ConnectionRejectedError("down")]
    async with GraphqlWsClient(transport, retry=Retry(wait=lambda _: 60)) as client:
        running = asyncio.create_task(client.query("{ a }"))
        await wait_until(lambda: client.state is ConnectionState.RETRYING)
        assert not client.connected
        await client.finalize()
        with pytest.raises(ConnectionClosedError, match="The client was closed"):
            await running


async def test_a_failure_that_cannot_pass_ends_all_that_waits(client, transport):
    transport.refusals = [ConnectionRejectedError("HTTP 404", status=404)]
    events = told(client)
    waiting = [asyncio.create_task(client.query("{ a }")) for _ in range(2)]
    waiting.append(asyncio.create_task(client.connect_and_init()))
    for each in waiting:
        with pytest.raises(ConnectionRejectedError, match="HTTP 404"):
            await each
    assert [event.type for event in events] == ["connecting", "closed", "error"]
    assert isinstance(events[-1].error, ConnectionRejectedError)


async def test_after_giving_up_the_next_operation_tries_anew(client, transport):
    transport.refusals = [ConnectionRejectedError("HTTP 404", status=404)]
    with pytest.raises(ConnectionRejectedError):
        await client.query("{ a }")
    answering(transport)
    assert await client.query("{ a }") == 1


async def test_without_retry_a_lost_connection_ends_its_operations(transport):
    async with GraphqlWsClient(transport, retry=NEVER) as client:
        running = asyncio.create_task(client.query("{ a }"))
        await wait_until(lambda: transport.sent_of("subscribe"))
        transport.drop(1006)
        with pytest.raises(ConnectionClosedError, match="lost"):
            await running
    assert transport.connects == 1


async def test_the_attempts_are_counted_anew_after_an_answer(transport):
    retry = Retry(attempts=1, wait=lambda _: 0)
    async with GraphqlWsClient(transport, retry=retry) as client:
        for number in range(3):
            transport.answer("subscribe")
            running = asyncio.create_task(client.query("{ a }"))
            sent = 2 * number + 1
            await wait_until(lambda sent=sent: len(transport.sent_of("subscribe")) == sent)
            answering(transport)
            transport.drop(1012)
            assert await running == 1


async def test_a_connection_that_brings_nothing_counts_as_a_failure(transport):
    transport.answer("connection_init", {"type": "connection_ack"}, {"type": "ping"})
    retry = Retry(attempts=2, wait=lambda _: 0)
    async with GraphqlWsClient(transport, retry=retry) as client:
        running = asyncio.create_task(client.query("{ a }"))
        for number in (1, 2, 3):
            await wait_until(lambda number=number: len(transport.sent_of("subscribe")) == number)
            transport.drop(1012)
        with pytest.raises(ConnectionClosedError):
            await running
    assert transport.connects == 3


async def test_a_lost_connection_that_nothing_needs_is_not_made_anew(client, transport):
    await client.connect_and_init()
    transport.drop(1012)
    await wait_until(lambda: client.state is ConnectionState.CLOSED)
    assert transport.connects == 1


async def test_a_client_whose_last_operation_is_given_up_stops_trying(transport):
    transport.refusals = [ConnectionRejectedError("down")]
    async with GraphqlWsClient(transport, retry=Retry(wait=lambda _: 0.001)) as client:
        running = asyncio.create_task(client.query("{ a }"))
        await wait_until(lambda: client.state is ConnectionState.RETRYING)
        running.cancel()
        await wait_until(lambda: client.state is ConnectionState.CLOSED)
    assert transport.connects == 1


async def test_what_happens_to_a_connection_is_told_in_order(client, transport):
    events = told(client)
    running = asyncio.create_task(client.query("{ a }"))
    await wait_until(lambda: transport.sent_of("subscribe"))
    answering(transport)
    transport.drop(1012)
    await running
    await client.finalize()
    life = ["connecting", "connected", "acknowledged", "closed"]
    assert [event.type for event in events] == [*life, "retrying", *life]
    assert (events[3].error.code, events[4].delay) == (1012, 0)


async def test_listeners_can_be_given_at_once_and_be_removed(transport):
    told_of: list[str] = []
    listener = lambda event: told_of.append(event.type)  # noqa: E731
    async with GraphqlWsClient(transport, on={"connecting": listener}) as client:
        remove = client.on("closed", listener)
        remove()
        remove()
        await client.connect_and_init()
    assert told_of == ["connecting"]


async def test_a_listener_that_fails_does_no_harm(client, transport, caplog):
    def fail(_: ConnectionEvent) -> None:
        raise KeyError("listener")

    client.on("connecting", fail)
    await client.connect_and_init()
    assert "A listener of the event 'connecting' failed" in caplog.text


def test_an_event_that_does_not_exist_is_an_error_which_lists_those_that_do(transport):
    with pytest.raises(ValueError, match="no event 'opened', there are acknowledged, closed"):
        GraphqlWsClient(transport).on("opened", print)


STRAY = {"type": "next", "id": 77, "payload": {"data": 1}}


@pytest.mark.parametrize(
    "stray",
    [
        STRAY,
        {"type": "next", "payload": {"data": 1}},
        {"type": "data", "id": SAME_ID, "payload": {"data": 1}},
        {"type": "error", "payload": [{"message": "no id"}]},
    ],
)
async def test_an_answer_that_belongs_to_no_operation_is_told(client, transport, caplog, stray):
    transport.answer("subscribe", stray)
    query = asyncio.create_task(client.query("{ a }"))
    await wait_until(lambda: "has sent a message that belongs to no operation: {" in caplog.text)
    with pytest.raises(GraphqlWsTimeoutError, match="that belong to no operation, the last: "):
        await client.query("{ b }", timeout=0)
    query.cancel()


async def test_strays_are_counted_and_logged_once_for_each_connection(client, transport, caplog):
    messages: list[ConnectionEvent] = []
    client.on("message", messages.append)
    await client.connect_and_init()
    transport.say(STRAY, STRAY)
    await wait_until(lambda: len(messages) == 2)
    with pytest.raises(GraphqlWsTimeoutError, match="It has sent 2 messages that belong to no"):
        await client.query("{ a }", timeout=0)
    assert caplog.text.count("belongs to no operation") == 1
    transport.drop()
    await wait_until(lambda: not client.connected)
    await client.connect_and_init()
    with pytest.raises(GraphqlWsTimeoutError, match="does the resolver end"):
        await client.query("{ a }", timeout=0)


async def test_what_a_caller_receives_is_no_stray(client, transport, caplog):
    await client.start("{ a }", msg_id=77)
    transport.say(STRAY)
    assert await client.receive(wait_id=77) == {"data": 1}
    assert "belongs to no operation" not in caplog.text


async def test_pings_are_answered_while_nobody_waits_and_pongs_are_told(client, transport):
    told_of: list[Any] = []
    client.on("ping", lambda event: told_of.append(event.payload))
    client.on("pong", lambda event: told_of.append(event.payload))
    await client.connect_and_init()
    transport.say({"type": "ping", "payload": {"n": 1}}, {"type": "pong", "payload": {"n": 2}})
    await wait_until(lambda: transport.sent_of("pong"))
    assert transport.sent_of("pong") == [{"type": "pong", "payload": {"n": 1}}]
    assert told_of == [{"n": 1}, {"n": 2}]


async def test_pings_are_answered_behind_any_number_of_unread_messages(client, transport):
    async with client.subscription("subscription { a }", queue_limit=1):
        await wait_until(lambda: transport.sent_of("subscribe"))
        id = transport.sent_of("subscribe")[0]["id"]
        transport.say(*(result(NEW, id, data=number) for number in range(2000)), {"type": "ping"})
        await wait_until(lambda: transport.sent_of("pong"))


async def test_a_silent_server_is_pinged_and_lives_as_long_as_it_answers(transport):
    transport.answer("ping", {"type": "pong"})
    async with GraphqlWsClient(transport, keep_alive=0.001, pong_timeout=0.1) as client:
        await client.connect_and_init()
        await wait_until(lambda: len(transport.sent_of("ping")) > 2)
        assert client.connected


async def test_a_server_that_does_not_answer_a_ping_is_left_for_a_new_connection(transport):
    async with GraphqlWsClient(
        transport, keep_alive=0.001, pong_timeout=0.001, retry=AT_ONCE
    ) as client:
        running = asyncio.create_task(client.query("{ a }", timeout=20))
        events = told(client)
        await wait_until(lambda: transport.connects > 1)
        answering(transport)
        assert await running == 1
    closed = next(event for event in events if event.type == "closed")
    assert "has said nothing for 0.002 s, and has not answered a ping" in str(closed.error)


async def test_the_legacy_dialect_and_who_wants_it_so_send_no_pings():
    for options in ({"subprotocol": LEGACY}, {"keep_alive": None}):
        transport = acknowledging()
        async with GraphqlWsClient(
            transport, **{"keep_alive": 0.001, "pong_timeout": 0.001, **options}
        ) as client:
            await client.connect_and_init()
            await tick(20)
            assert client._session._keep_alive is None


async def test_a_connection_that_nothing_needs_any_more_is_closed_after_a_while(transport):
    answering(transport)
    async with GraphqlWsClient(transport, close_when_idle=0) as client:
        assert await client.query("{ a }") == 1
        await wait_until(lambda: client.state is ConnectionState.CLOSED)
        assert await client.query("{ a }") == 1
    assert (transport.connects, transport.disconnects) == (2, 2)


async def test_a_connection_that_is_needed_again_meanwhile_is_not_closed(transport):
    answering(transport)
    async with GraphqlWsClient(transport, close_when_idle=60) as client:
        await client.query("{ a }")
        await client.query("{ a }")
    assert transport.connects == 1


async def test_an_operation_that_comes_while_an_idle_connection_closes_gets_a_new_one(transport):
    answering(transport)
    async with GraphqlWsClient(transport, close_when_idle=60) as client:
        await client.query("{ a }")
        client._session._break_off(_OnPurposeError("idle", 1000))
        assert await client.query("mutation { a }") == 1
    assert transport.connects == 2


async def test_a_server_that_never_acknowledges_is_tried_again(transport):
    transport.answer("connection_init")
    events: list[ConnectionEvent] = []
    async with GraphqlWsClient(
        transport, ack_timeout=0.001, retry=AT_ONCE, on={"closed": events.append}
    ) as client:
        running = asyncio.create_task(client.query("{ a }"))
        await wait_until(lambda: transport.connects > 2)
        acknowledging(transport)
        answering(transport)
        assert await running == 1
    assert "Waited 0.001 s for the connection_ack of the server" in str(events[0].error)


async def test_a_legacy_refusal_is_tried_again_as_4403_is(transport):
    transport.answer("connection_init", {"type": "connection_error", "payload": "no"})
    async with GraphqlWsClient(
        transport, LEGACY, retry=Retry(attempts=1, wait=lambda _: 0)
    ) as client:
        with pytest.raises(ConnectionRejectedError, match="The server refused the connection: no"):
            await client.query("{ a }")
    assert transport.connects == 2


async def test_something_else_than_an_acknowledgement_is_fatal_and_closes_with_4004():
    transport = AwareTransport()
    transport.answer("connection_init", {"type": "surprise"})
    async with GraphqlWsClient(transport) as client:
        with pytest.raises(RemoteProtocolError, match="Expected 'connection_ack'"):
            await client.query("{ a }")
    assert transport.codes == [4004]


async def test_garbage_in_a_connection_ends_it_with_an_error_that_shows_it(client, transport):
    running = asyncio.create_task(client.query("{ a }"))
    await wait_until(lambda: transport.sent_of("subscribe"))
    transport.say(RemoteProtocolError("The server sent a message that is not JSON: '{'"))
    with pytest.raises(RemoteProtocolError, match="not JSON"):
        await running


async def test_credentials_are_asked_for_at_each_attempt(transport):
    tokens = iter(["old", "new"])

    async def params() -> dict[str, Any]:
        return {"token": next(tokens)}

    async with GraphqlWsClient(transport, connection_params=params, retry=AT_ONCE) as client:
        running = asyncio.create_task(client.query("{ a }"))
        await wait_until(lambda: transport.sent_of("subscribe"))
        answering(transport)
        transport.drop(4401, "Token expired")
        assert await running == 1
    inits = transport.sent_of("connection_init")
    assert [init["payload"]["token"] for init in inits] == ["old", "new"]


async def test_new_credentials_that_are_refused_again_and_again_are_fatal(transport):
    transport.answer("connection_init")
    transport.say(*(ConnectionClosedError("no", 4401) for _ in range(9)))
    async with GraphqlWsClient(transport, connection_params=lambda: {"token": "bad"}) as client:
        with pytest.raises(ConnectionClosedError):
            await client.query("{ a }")
    assert transport.connects == 3


async def test_credentials_that_cannot_change_are_refused_once(transport):
    transport.answer("connection_init")
    transport.drop(4401)
    async with GraphqlWsClient(transport, connection_params={"token": "bad"}) as client:
        with pytest.raises(ConnectionClosedError):
            await client.query("{ a }")
    assert transport.connects == 1


async def test_a_function_for_credentials_that_fails_is_fatal_with_its_own_error(transport):
    def params() -> dict[str, Any]:
        raise KeyError("token")

    async with GraphqlWsClient(transport, connection_params=params) as client:
        with pytest.raises(KeyError, match="token"):
            await client.query("{ a }")
    assert transport.disconnects == 1


async def test_a_query_that_takes_too_long_is_stopped_and_the_error_says_where_it_stands(
    client, transport
):
    await client.connect_and_init()
    told = r"Waited 0.001 s for an answer of the server for the query Q\. It is connected"
    with pytest.raises(TimeoutError, match=told):
        await client.query("query Q { a }", timeout=0.001)
    await wait_until(lambda: transport.sent_of("complete"))


async def test_a_query_without_a_connection_says_why_there_is_none(transport):
    transport.refusals = [ConnectionRejectedError("Could not connect: refused")]
    async with GraphqlWsClient(transport, retry=Retry(wait=lambda _: 60)) as client:
        running = asyncio.create_task(client.query("{ a }", timeout=0.05))
        with pytest.raises(
            TimeoutError, match=r"for a connection to the server.*last attempt failed: Could not"
        ):
            await running


async def test_a_query_to_a_server_that_does_not_even_open_says_so(transport, monkeypatch):
    async def never(timeout: float | None = None) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(transport, "connect", never)
    async with GraphqlWsClient(transport) as client:
        with pytest.raises(
            TimeoutError, match=r"a connection to the server.*has not answered yet"
        ):
            await client.query("{ a }", timeout=0.01)


async def test_a_connection_that_breaks_while_an_operation_is_sent_is_made_anew(
    client, transport, monkeypatch
):
    await client.connect_and_init()
    send = transport.send
    answering(transport)

    async def break_once(message: dict[str, Any]) -> None:
        monkeypatch.setattr(transport, "send", send)
        raise ConnectionClosedError("broken pipe")

    monkeypatch.setattr(transport, "send", break_once)
    assert await client.query("{ a }") == 1
    assert transport.connects == 2


async def test_an_operation_that_a_transport_cannot_send_fails_alone(
    client, transport, monkeypatch
):
    await client.connect_and_init()
    send = transport.send

    async def refuse(message: dict[str, Any]) -> None:
        monkeypatch.setattr(transport, "send", send)
        raise TypeError("this cannot be sent")

    monkeypatch.setattr(transport, "send", refuse)
    with pytest.raises(TypeError, match="cannot be sent"):
        await client.query("{ a }")
    answering(transport)
    assert await client.query("{ a }") == 1
    assert transport.connects == 1


@pytest.mark.parametrize("word", ["ping", "complete", "pong"])
async def test_small_things_that_cannot_be_sent_any_more_do_no_harm(transport, monkeypatch, word):
    send = transport.send

    async def refuse(message: dict[str, Any]) -> None:
        if message["type"] == word:
            refused.append(message)
            raise ConnectionClosedError("gone")
        await send(message)

    refused: list[dict[str, Any]] = []
    monkeypatch.setattr(transport, "send", refuse)
    async with GraphqlWsClient(transport, keep_alive=0.001, pong_timeout=20) as client:
        running = asyncio.create_task(client.query("{ a }"))
        await wait_until(lambda: transport.sent_of("subscribe"))
        transport.say({"type": "ping"})
        running.cancel()
        await wait_until(lambda: refused)


async def test_a_transport_that_fails_to_disconnect_does_no_harm(client, transport, monkeypatch):
    async def fail(timeout: float | None = None) -> None:
        raise KeyError("disconnect")

    await client.connect_and_init()
    monkeypatch.setattr(transport, "disconnect", fail)
    await client.finalize()


async def test_a_transport_that_stops_reading_without_an_error_counts_as_closed(
    transport, monkeypatch
):
    async def read_nothing(deliver: Any) -> None:
        return

    monkeypatch.setattr(transport, "read_all", read_nothing)
    async with GraphqlWsClient(transport, retry=NEVER) as client:
        with pytest.raises(ConnectionClosedError, match="The transport has stopped reading"):
            await client.query("{ a }")


async def test_operations_that_are_given_up_while_others_are_sent_are_not_sent(
    client, transport, monkeypatch
):
    send = transport.send
    first, second = (asyncio.create_task(client.query(f"{{ {name} }}")) for name in "ab")

    async def cancel_the_other(message: dict[str, Any]) -> None:
        await send(message)
        if message["type"] == "subscribe":
            second.cancel()
            await asyncio.wait([second])

    monkeypatch.setattr(transport, "send", cancel_the_other)
    await wait_until(lambda: transport.sent_of("subscribe"))
    await tick(3)
    assert len(transport.sent_of("subscribe")) == 1
    first.cancel()
    await asyncio.wait([first])


async def test_sending_again_stops_when_the_connection_is_lost_meanwhile(
    client, transport, monkeypatch
):
    send = transport.send
    running = [asyncio.create_task(client.query("{ a }")) for _ in range(2)]

    async def break_once(message: dict[str, Any]) -> None:
        await send(message)
        if message["type"] == "subscribe":
            monkeypatch.setattr(transport, "send", send)
            answering(transport)
            raise ConnectionClosedError("broken pipe")

    monkeypatch.setattr(transport, "send", break_once)
    assert await asyncio.gather(*running) == [1, 1]
    assert transport.connects == 2


async def test_single_messages_can_be_used_in_a_session_too(client, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    op_id = await client.start("{ a }")
    assert await client.receive_next(op_id) == {"data": 1}
    answering(transport, 2)
    assert await client.execute("{ a }") == {"data": 2}
    await client.complete(op_id)
    assert transport.connects == 1


async def test_who_receives_single_messages_is_told_of_a_lost_connection(client, transport):
    await client.start("{ a }")
    waiting = [
        asyncio.create_task(client.receive()),
        asyncio.create_task(client.receive(wait_id="x")),
        asyncio.create_task(client.execute("{ a }")),
    ]
    await wait_until(lambda: len(transport.sent_of("subscribe")) == 2)
    transport.drop(1012)
    for each in waiting:
        with pytest.raises(ConnectionClosedError, match="lost"):
            await each


async def test_wait_disconnect_of_a_session_returns_code_and_reason(client, transport):
    await client.connect_and_init()
    waiting = asyncio.create_task(client.wait_disconnect())
    await tick()
    transport.drop(1012, "Service restart")
    closed = await waiting
    assert (closed["code"], closed["reason"]) == (1012, "Service restart")
    assert client._listeners._by_type["closed"] == []


async def test_wait_disconnect_of_a_session_times_out_with_a_text(client):
    await client.connect_and_init()
    with pytest.raises(TimeoutError, match="Waited 0 s for the connection to end"):
        await client.wait_disconnect(timeout=0)


async def test_who_waits_for_a_connection_may_be_cancelled(client, transport):
    transport.answer("connection_init")
    waiting = asyncio.create_task(client.connect_and_init())
    await wait_until(lambda: transport.sent)
    waiting.cancel()
    await asyncio.wait([waiting])
    transport.say({"type": "connection_ack"})
    await wait_until(lambda: client.connected)


def test_every_error_of_connecting_is_of_one_tree():
    assert issubclass(MutationInterruptedError, GraphqlWsClientError)


class FileTransport(ScriptedTransport):
    """It takes files, as transports over HTTP do."""

    takes_files = True


async def test_files_go_beside_the_payload_where_the_transport_takes_them():
    transport = acknowledging(FileTransport())
    answering(transport)
    picture = io.BytesIO(b"picture")
    async with GraphqlWsClient(transport) as client:
        await client.query("mutation { a }", {"picture": picture})
        await client.start("mutation { a }", variables={"picture": picture})
    for sent in transport.sent_of("subscribe"):
        assert sent["files"] == {"variables.picture": picture}
        assert sent["payload"]["variables"] == {"picture": None}


def lost(id: Any, error: Exception) -> dict[str, Any]:
    return {"type": OPERATION_LOST, "id": id, "error": error}


async def sent_id(transport: ScriptedTransport, number: int = 1) -> Any:
    await wait_until(lambda: len(transport.sent_of("subscribe")) == number)
    return transport.sent_of("subscribe")[-1]["id"]


async def test_an_operation_that_its_transport_has_lost_alone_is_sent_again(
    client, transport, caplog
):
    running = asyncio.create_task(client.query("query Q { a }"))
    id = await sent_id(transport)
    answering(transport)
    transport.say(lost(id, ConnectionRejectedError("HTTP 502", status=502)))
    assert await running == 1
    assert transport.connects == 1
    assert "The query Q failed: HTTP 502. It is tried again in 0.0 s" in caplog.text


async def test_an_operation_that_fails_for_good_fails_alone(client, transport):
    running = asyncio.create_task(client.query("{ a }"))
    transport.say(lost(await sent_id(transport), ConnectionRejectedError("HTTP 404", status=404)))
    with pytest.raises(ConnectionRejectedError, match="HTTP 404"):
        await running
    answering(transport)
    assert await client.query("{ a }") == 1


async def test_a_mutation_that_its_transport_has_lost_is_not_sent_again(client, transport):
    running = asyncio.create_task(client.query("mutation { a }"))
    transport.say(lost(await sent_id(transport), ConnectionRejectedError("HTTP 502", status=502)))
    with pytest.raises(MutationInterruptedError, match="HTTP 502"):
        await running


async def test_an_operation_that_is_given_up_meanwhile_is_not_sent_again(transport):
    async with GraphqlWsClient(transport, retry=Retry(wait=lambda _: 0.001)) as client:
        running = asyncio.create_task(client.query("{ a }"))
        transport.say(lost(await sent_id(transport), ConnectionClosedError("lost")))
        await wait_until(lambda: len(client._session._tasks) == 1)
        running.cancel()
        await wait_until(lambda: not client._session._tasks)
    assert len(transport.sent_of("subscribe")) == 1


async def test_an_operation_of_an_open_connection_fails_where_its_transport_loses_it(transport):
    client = GraphqlWsClient(transport)
    await client.connect_and_init()
    running = asyncio.create_task(client.query("{ a }"))
    executing = asyncio.create_task(client.execute("{ a }"))
    await sent_id(transport, 2)
    error = ConnectionRejectedError("HTTP 502", status=502)
    transport.say(*(lost(sent["id"], error) for sent in transport.sent_of("subscribe")))
    for each in (running, executing):
        with pytest.raises(ConnectionRejectedError, match="HTTP 502"):
            await each
    await client.finalize()


async def test_two_who_wait_for_a_connection_get_the_same(client, transport):
    await asyncio.gather(client.connect_and_init(), client.connect_and_init())
    await client.connect_and_init()
    assert transport.connects == 1


async def test_a_second_fault_of_a_connection_is_nothing_new(client, transport):
    await client.connect_and_init()
    for text in ("first", "second"):
        client._session._break_off(ConnectionClosedError(text, 1012))
    await wait_until(lambda: not client.connected)


async def test_a_server_that_answers_twice_does_no_harm(client, transport):
    answer = result(NEW, SAME_ID, data=1)
    transport.answer("subscribe", answer, answer, {"type": "error", "id": SAME_ID, "payload": []})
    assert await client.query("{ a }") == 1
    assert await client.query("{ a }") == 1


@pytest.mark.parametrize("option", ["headers", "cookies"])
def test_headers_and_cookies_belong_to_a_transport_that_is_given(transport, option):
    with pytest.raises(TypeError, match="headers and cookies go with a URL"):
        GraphqlWsClient(transport, **{option: {}})


async def test_each_message_is_told_to_who_wants_to_see_them_all(client, transport):
    answering(transport)
    seen: list[Any] = []
    remove = client.on("message", lambda event: seen.append(event.payload["type"]))
    await client.query("{ a }")
    transport.say({"type": "ping"})
    await wait_until(lambda: transport.sent_of("pong"))
    assert seen == ["next", "complete", "ping"]
    remove()


async def test_pings_may_be_left_to_a_listener(transport):
    pings: list[Any] = []
    on = {"ping": pings.append}
    async with GraphqlWsClient(transport, answer_pings=False, on=on) as client:
        await client.connect_and_init()
        transport.say({"type": "ping"})
        await wait_until(lambda: pings)
        await tick(3)
    assert transport.sent_of("pong") == []


async def test_a_connection_that_is_of_no_use_can_be_dropped(client, transport):
    client.reconnect()
    running = asyncio.create_task(client.query("{ a }"))
    await wait_until(lambda: transport.sent_of("subscribe"))
    answering(transport)
    client.reconnect()
    assert await running == 1
    assert transport.connects == 2

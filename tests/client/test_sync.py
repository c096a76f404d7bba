"""The client for programs without an event loop."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from channels_graphql_ws import GraphqlWsClient, GraphqlWsClientSync
from channels_graphql_ws.client import (
    NEVER,
    ConnectionState,
    GraphqlOperationError,
    GraphqlResult,
    GraphqlWsTimeoutError,
    ResultTypeError,
)
from channels_graphql_ws.exceptions import ConnectionClosedError
from scripted_transport import NEW, SAME_ID, ScriptedTransport, acknowledging, result
from support import GUARD

ON_A = "subscription OnA { a }"
COMPLETE = {"type": "complete", "id": SAME_ID}


@pytest.fixture
def transport() -> ScriptedTransport:
    return acknowledging()


@pytest.fixture
def client(transport: ScriptedTransport) -> Iterator[GraphqlWsClientSync]:
    with GraphqlWsClientSync(transport, retry=NEVER) as client:
        yield client


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    yield
    gc.collect()
    assert "channels-graphql-ws-client" not in {each.name for each in threading.enumerate()}


def event(number: int) -> dict[str, Any]:
    return result(NEW, SAME_ID, data={"a": number})


def test_queries_return_their_data(client, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data={"a": 1}), COMPLETE)
    assert client.query("query Q($n: Int) { a }", {"n": 1}) == {"a": 1}
    assert client.query("{ a }", into=int) == 1
    assert client.result("{ a }") == GraphqlResult({"a": 1}, (), {})
    assert client.connected
    assert client.state is ConnectionState.ACKNOWLEDGED


def test_errors_are_raised_where_the_call_is(client, transport):
    transport.answer("subscribe", {"type": "error", "id": SAME_ID, "payload": [{"message": "no"}]})
    with pytest.raises(GraphqlOperationError, match="The query failed: no"):
        client.query("{ a }")


def test_events_are_iterated_to_the_end(client, transport):
    transport.answer("subscribe", *(event(n) for n in range(5)), COMPLETE)
    assert [each["a"] for each in client.subscription(ON_A)] == [0, 1, 2, 3, 4]


def test_a_with_waits_for_the_confirmation_and_stops_the_subscription(client, transport):
    transport.answer("subscribe", result(NEW, SAME_ID, data=None), event(1))
    with client.subscription(ON_A, wait_confirmation=True) as events:
        assert next(events)["a"] == 1
        assert events.cursor is None
    assert [sent["type"] for sent in transport.sent][-1] == "complete"


def test_leaving_the_loop_stops_the_subscription(client, transport):
    transport.answer("subscribe", event(1))
    for _ in client.subscription(ON_A):
        break
    gc.collect()
    transport.answer("subscribe", result(NEW, SAME_ID, data=1))
    client.query("{ a }")
    words = [sent["type"] for sent in transport.sent]
    assert words == ["connection_init", "subscribe", "complete", "subscribe"]


def test_who_has_waited_in_vain_for_an_event_may_wait_again(client, transport):
    transport.answer("subscribe", event(1))
    events = client.subscription(ON_A)
    assert events.get(timeout=GUARD)["a"] == 1
    for _ in range(2):
        with pytest.raises(TimeoutError, match=r"Waited 0.001 s for an event"):
            events.get(timeout=0.001)
    events.close()
    with pytest.raises(StopIteration):
        events.get()


@dataclass
class A:
    a: int


def test_an_event_that_does_not_fit_the_type_takes_no_other_with_it(client, transport):
    good, bad = result(NEW, SAME_ID, data={"x": 1}), result(NEW, SAME_ID, data={"x": "1"})
    transport.answer("subscribe", good, good, bad, good, COMPLETE)
    events = client.subscription(ON_A, into=int)
    assert [next(events).data, next(events).data] == [1, 1]
    with pytest.raises(ResultTypeError):
        next(events)
    assert [each.data for each in events] == [1]


def test_any_number_of_threads_may_call_at_once(client, transport):
    transport.answer("subscribe", event(1), COMPLETE)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.query("{ a }"), range(100)))
        numbers = list(pool.map(lambda _: [e["a"] for e in client.subscription(ON_A)], range(20)))
    assert answers == [{"a": 1}] * 100
    assert numbers == [[1]] * 20
    assert transport.connects == 1


def test_closing_ends_what_other_threads_wait_for(transport):
    client = GraphqlWsClientSync(transport)
    with ThreadPoolExecutor(2) as pool:
        asking = pool.submit(client.query, "{ a }")
        iterating = pool.submit(list, client.subscription(ON_A))
        while len(transport.sent) < 3:
            client.connected  # noqa: B018 (gives the other threads a chance)
        client.close()
        with pytest.raises(ConnectionClosedError, match="The client was closed"):
            asking.result(GUARD)
        assert iterating.result(GUARD) == []
    client.close()


def test_a_client_that_was_closed_can_be_used_again(transport):
    transport.answer("subscribe", event(1), COMPLETE)
    client = GraphqlWsClientSync(transport)
    for _ in range(2):
        assert client.query("{ a }") == {"a": 1}
        client.close()
    events = client.subscription(ON_A)
    events.close()


def test_a_client_that_is_forgotten_takes_its_thread_along(transport):
    transport.answer("subscribe", event(1), COMPLETE)
    client = GraphqlWsClientSync(transport)
    client.query("{ a }")
    del client


def test_listeners_are_called_in_another_thread_and_must_not_call_the_client(transport):
    told: list[Any] = []

    def listen(event: Any) -> None:
        told.append(event.type)
        with pytest.raises(RuntimeError, match="the thread of the client's event loop"):
            client.query("{ a }")
        told.append(threading.current_thread().name)

    client = GraphqlWsClientSync(transport, lazy=False)
    remove = client.on("acknowledged", listen)
    with client:
        remove()
    assert told == ["acknowledged", "channels-graphql-ws-client"]


def test_a_forked_process_needs_a_client_of_its_own(transport, monkeypatch):
    transport.answer("subscribe", event(1), COMPLETE)
    with GraphqlWsClientSync(transport) as client:
        with monkeypatch.context() as fork:
            fork.setattr(os, "getpid", lambda: -1)
            with pytest.raises(RuntimeError, match="make one in each process"):
                client.query("{ a }")
            client._thread.stop()
        assert client.query("{ a }") == {"a": 1}


def test_a_thread_that_finds_its_client_forgotten_ends_itself(transport):
    client = GraphqlWsClientSync(transport)
    client.__enter__()
    thread = client._thread._thread
    client._thread._loop.call_soon_threadsafe(client._thread.stop)
    thread.join(GUARD)


def test_what_is_known_of_the_connection_is_that_of_the_client(transport):
    transport.answer("connection_init", {"type": "connection_ack", "payload": {"v": 1}})
    with GraphqlWsClientSync(transport, lazy=False) as client:
        assert (client.subprotocol, client.connection_ack_payload) == (NEW, {"v": 1})


@pytest.mark.parametrize("name", ["query", "result", "subscription"])
def test_the_methods_take_what_those_of_the_asynchronous_client_take(name):
    method = getattr(GraphqlWsClientSync, name)
    written = inspect.signature(method).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in written.values()):
        return
    assert list(written) == list(inspect.signature(getattr(GraphqlWsClient, name)).parameters)


INTERRUPTED = """
import os, signal, sys, threading
sys.path[:] = {path!r}
signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in the background.
from channels_graphql_ws import GraphqlWsClientSync
from scripted_transport import acknowledging

transport = acknowledging()
client = GraphqlWsClientSync(transport)
client.on("acknowledged", lambda _: os.kill(os.getpid(), signal.SIGINT))
try:
    with client:
        for event in client.subscription("subscription {{ a }}"):
            pass
except KeyboardInterrupt:
    print("interrupted", transport.disconnects, threading.active_count())
"""


def test_ctrl_c_ends_it_cleanly():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(path=sys.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * GUARD,
    )
    assert (done.stdout.strip(), done.stderr) == ("interrupted 1 1", "")


async def test_it_also_works_where_an_event_loop_runs_in_the_thread(transport):
    transport.answer("subscribe", event(1), COMPLETE)
    with GraphqlWsClientSync(transport) as client:
        assert client.query("{ a }") == {"a": 1}
    await asyncio.sleep(0)  # noqa: TID251 (the loop of this thread is as it was)


async def test_a_time_out_on_the_thread_of_a_loop_says_that_the_loop_has_waited_too(transport):
    with GraphqlWsClientSync(transport) as client, pytest.raises(GraphqlWsTimeoutError) as caught:
        client.query("{ a }", timeout=0)
    assert any("In a coroutine, use GraphqlWsClient" in note for note in caught.value.__notes__)


def test_a_time_out_elsewhere_has_no_note(client):
    with pytest.raises(GraphqlWsTimeoutError) as caught:
        client.query("{ a }", timeout=0)
    assert not hasattr(caught.value, "__notes__")


def test_a_connection_that_is_of_no_use_can_be_dropped(client, transport):
    transport.answer("subscribe", event(1), COMPLETE)
    client.query("{ a }")
    client.reconnect()
    assert client.query("{ a }") == {"a": 1}
    assert transport.connects == 2

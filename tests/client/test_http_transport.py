"""Operations over HTTP and server-sent events, against a server that does what a test says."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from channels_graphql_ws.client import (
    NEVER,
    ConnectionRejectedError,
    Gap,
    GraphqlHttpTransport,
    GraphqlOperationError,
    GraphqlWsClient,
    MutationInterruptedError,
    Retry,
)
from channels_graphql_ws.client.variables import FileUpload
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    RemoteProtocolError,
)
from http_peer import HttpPeer, body, broken, data, errors, event, running, silent, stream
from support import free_port, wait_until

AT_ONCE = Retry(wait=lambda _: 0)
RESPONSE = "application/graphql-response+json"
ON_A = "subscription OnA { a }"


@pytest.fixture
async def peer() -> AsyncIterator[HttpPeer]:
    async with running(HttpPeer()) as peer:
        yield peer


@pytest.fixture
async def client(peer: HttpPeer) -> AsyncIterator[GraphqlWsClient]:
    async with GraphqlWsClient(peer.url, retry=AT_ONCE) as client:
        yield client


async def test_a_query_is_posted_as_json(client, peer):
    peer.answers = [data({"a": 1})]
    assert await client.query("query Q($n: Int) { a }", {"n": 1}, extensions={"e": 2}) == {"a": 1}
    method, headers, _, _ = peer.requests[0]
    assert (method, headers["Content-Type"]) == ("POST", "application/json")
    assert headers["Accept"] == "application/graphql-response+json, application/json;q=0.9"
    assert peer.bodies() == [
        {
            "query": "query Q($n: Int) { a }",
            "operationName": "Q",
            "variables": {"n": 1},
            "extensions": {"e": 2},
        }
    ]


async def test_errors_of_fields_come_with_the_data(client, peer):
    peer.answers = [body({"data": {"a": None}, "errors": [{"message": "no"}]})]
    answer = await client.result("{ a }")
    assert (answer.data, str(answer.errors[0])) == ({"a": None}, "no")


@pytest.mark.parametrize("answer", [errors("no"), errors("no", status=400, type=RESPONSE)])
async def test_a_request_that_is_not_executed_raises_what_the_server_says(client, peer, answer):
    peer.answers = [answer]
    with pytest.raises(GraphqlOperationError, match="The query failed: no"):
        await client.query("{ a }")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (
            body("<h1>Hello</h1>", type="text/html"),
            "with text/html and HTTP 200 in place of a res.* Is the path right",
        ),
        (body("nonsense"), "with application/json and HTTP 200 .* 'nonsense'"),
        (body({"hello": 1}), "in place of a result"),
        (body([{"data": 1}]), "answered one operation with a list"),
        (body("x" * 300), r"'x{200}…'"),
    ],
)
async def test_an_answer_that_is_no_result_is_a_protocol_error_that_shows_it(
    client, peer, answer, fault
):
    peer.answers = [answer]
    with pytest.raises(RemoteProtocolError, match=fault):
        await client.query("{ a }")


async def test_a_page_to_log_in_at_is_named(client, peer):
    peer.answers = [body("", 302, Location=f"{peer.url}?log-in"), body("<form>", type="text/html")]
    with pytest.raises(RemoteProtocolError, match=r"of a result after a redirect to .*\?log-in: "):
        await client.query("{ a }")


async def test_an_answer_that_is_too_large_is_an_error(peer):
    peer.answers = [data("x" * 1000)]
    transport = GraphqlHttpTransport(peer.url, max_message_size=100)
    async with GraphqlWsClient(transport) as client:
        with pytest.raises(RemoteProtocolError, match="answered with more than 100 bytes"):
            await client.query("{ a }")


async def test_a_server_that_is_busy_is_asked_again_when_it_says(client, peer):
    peer.answers = [
        errors("too many requests", status=429, type=RESPONSE),
        body("try later", 503, "text/plain", Retry_After="0"),
        broken,
        data(1),
    ]
    assert await client.query("{ a }") == 1
    assert len(peer.requests) == 4


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (body("no page", 404, "text/html"), r"HTTP 404 \(Not Found\): 'no page'. Is the path"),
        (errors("who are you?", status=401), r"HTTP 401 \(Unauthorized\): who are you\?"),
    ],
)
async def test_a_refusal_has_its_status_and_shows_what_the_server_says(client, peer, answer, told):
    peer.answers = [answer]
    with pytest.raises(ConnectionRejectedError, match=told) as caught:
        await client.query("{ a }")
    assert caught.value.status in {401, 404}
    assert len(peer.requests) == 1


async def test_a_result_counts_whatever_the_status(client, peer):
    peer.answers = [body({"data": {"a": 1}}, 500)]
    assert await client.query("{ a }") == {"a": 1}


async def test_a_mutation_that_was_surely_not_executed_is_sent_again(client, peer):
    peer.answers = [body("", 429, "text/plain"), data(1)]
    assert await client.query("mutation { a }") == 1


@pytest.mark.parametrize("answer", [broken, body("", 502, "text/html")])
async def test_a_mutation_that_may_have_been_executed_is_not_sent_again(client, peer, answer):
    peer.answers = [answer]
    with pytest.raises(MutationInterruptedError, match="Nobody knows if it was executed"):
        await client.query("mutation M { a }")
    assert len(peer.requests) == 1


async def test_a_mutation_that_is_refused_says_so_and_nothing_else(client, peer):
    peer.answers = [body("", 403, "text/html")]
    with pytest.raises(ConnectionRejectedError, match="HTTP 403"):
        await client.query("mutation M { a }")


async def test_a_server_that_cannot_be_reached_is_a_rejection():
    async with GraphqlWsClient(f"http://127.0.0.1:{free_port()}/", retry=NEVER) as client:
        with pytest.raises(ConnectionRejectedError, match=r"Could not connect to http://127"):
            await client.query("{ a }")


async def test_credentials_are_asked_for_with_each_request_and_renewed_when_refused(peer):
    tokens = iter(["old", "new"])
    peer.answers = [body("", 401, "text/plain"), data(1)]
    transport = GraphqlHttpTransport(
        lambda: peer.url, lambda: {"session": "s"}, lambda: {"Authorization": next(tokens)}
    )
    assert (transport.address, transport.renews) == ("the server", True)
    async with GraphqlWsClient(transport) as client:
        assert await client.query("{ a }") == 1
    sent = [headers for _, headers, _, _ in peer.requests]
    assert [each["Authorization"] for each in sent] == ["old", "new"]
    assert sent[0]["Cookie"].strip() == "session=s"
    assert transport.address == peer.url


async def test_a_function_for_credentials_that_fails_ends_its_operation(peer):
    def headers() -> dict[str, str]:
        raise KeyError("token")

    async with GraphqlWsClient(GraphqlHttpTransport(peer.url, headers=headers)) as client:
        with pytest.raises(KeyError, match="token"):
            await client.query("{ a }")


async def test_there_are_no_connection_params_over_http(peer):
    with pytest.raises(TypeError, match="no connection_params over HTTP: send headers"):
        GraphqlWsClient(peer.url, connection_params={"token": "x"})


def test_an_option_that_does_not_exist_is_an_error():
    with pytest.raises(TypeError, match="GraphqlHttpTransport has no option 'max_size'"):
        GraphqlHttpTransport("http://x/", max_size=1)  # type: ignore[call-arg]


async def test_a_query_that_takes_too_long_is_cancelled(client, peer):
    peer.answers = [silent]
    with pytest.raises(TimeoutError, match=r"Waited 0.05 s for an answer of http://"):
        await client.query("{ a }", timeout=0.05)
    await wait_until(lambda: peer.gone == 1)


async def test_queries_may_go_by_get_and_mutations_never(peer):
    peer.answers = [data(1)]
    transport = GraphqlHttpTransport(peer.url, queries_by_get=True)
    async with GraphqlWsClient(transport) as client:
        await client.query("query Q { a }", {"n": {"x": 1}}, extensions={"e": 1})
        await client.query("mutation { a }")
    (get, _, query, _), (post, _, _, _) = peer.requests
    assert (get, post) == ("GET", "POST")
    assert query == {
        "query": "query Q { a }",
        "operationName": "Q",
        "variables": '{"n":{"x":1}}',
        "extensions": '{"e":1}',
    }


async def test_a_session_that_is_given_is_used_and_stays_open(peer):
    peer.answers = [data(1)]
    async with aiohttp.ClientSession(headers={"X-Session": "given"}) as session:
        async with GraphqlWsClient(GraphqlHttpTransport(peer.url, session=session)) as client:
            await client.query("{ a }")
        assert not session.closed
    assert peer.requests[0][1]["X-Session"] == "given"


def parts(content_type: str, content: bytes) -> dict[str, Message]:
    """Return the parts of a form by their names."""
    whole = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content)
    return {
        str(part.get_param("name", header="content-disposition")): part
        for part in whole.walk()
        if not part.is_multipart()
    }


async def uploaded(client: GraphqlWsClient, peer: HttpPeer, *files: Any) -> dict[str, Message]:
    peer.answers = [data(1)]
    await client.query("mutation Up { a }", {"files": list(files)})
    _, headers, _, content = peer.requests[-1]
    assert headers["Apollo-Require-Preflight"] == "true"
    return parts(headers["Content-Type"], content)


async def test_files_are_uploaded_as_the_multipart_request_specification_says(
    client, peer, tmp_path: Path
):
    (tmp_path / "picture.png").write_bytes(b"picture")
    described = FileUpload(b"described", "notes.txt", "text/plain")
    buffer = io.BytesIO(b"--buffer")
    buffer.seek(2)
    with (tmp_path / "picture.png").open("rb") as picture:
        form = await uploaded(client, peer, picture, described, buffer)
        assert not picture.closed
    assert json.loads(str(form["operations"].get_payload())) == {
        "query": "mutation Up { a }",
        "operationName": "Up",
        "variables": {"files": [None, None, None]},
    }
    assert json.loads(str(form["map"].get_payload())) == {
        "0": ["variables.files.0"],
        "1": ["variables.files.1"],
        "2": ["variables.files.2"],
    }
    files = [form[str(number)] for number in range(3)]
    assert [each.get_payload() for each in files] == ["picture", "described", "buffer"]
    assert [each.get_filename() for each in files] == ["picture.png", "notes.txt", "file"]
    types = [each.get_content_type() for each in files]
    assert types == ["image/png", "text/plain", "application/octet-stream"]


async def test_a_file_that_is_sent_again_is_sent_whole(client, peer, tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"whole")
    peer.answers = [body("", 429, "text/plain"), data(1)]
    with (tmp_path / "a.txt").open("rb") as file:
        await client.query("mutation Up { a }", {"file": file})
    for _, headers, _, content in peer.requests:
        assert parts(headers["Content-Type"], content)["0"].get_payload() == "whole"


class Endless:
    """Something to read that has no size and cannot go back."""

    name = "/dev/endless"

    def __init__(self) -> None:
        self._left = [b"one", b"two"]

    def read(self, size: int = -1) -> bytes:
        return self._left.pop(0) if self._left else b""


async def test_what_has_no_size_is_uploaded_in_pieces(client, peer):
    form = await uploaded(client, peer, Endless())
    assert (form["0"].get_filename(), form["0"].get_payload()) == ("endless", "onetwo")


async def test_a_file_of_text_is_an_error_which_says_how_to_open_it(client, peer, tmp_path: Path):
    (tmp_path / "a.txt").write_text("text")
    peer.answers = [data(1)]
    told = pytest.raises(TypeError, match="open the file in binary mode")
    with (tmp_path / "a.txt").open() as file, told:
        await client.query("mutation Up { a }", {"file": file})


@pytest.fixture
async def batching(peer: HttpPeer) -> AsyncIterator[Callable[..., Awaitable[list[Any]]]]:
    """Run queries at once with a client that sends batches."""
    transport = GraphqlHttpTransport(peer.url, batch_interval=0.001, batch_size=3)
    async with GraphqlWsClient(transport, retry=NEVER) as client:
        await client.connect_and_init()

        async def run(*documents: str) -> list[Any]:
            running = [client.query(document) for document in documents]
            return list(await asyncio.gather(*running, return_exceptions=True))

        yield run


def batch_of(*values: Any) -> Any:
    return body([{"data": value} for value in values])


async def test_operations_of_one_moment_are_sent_as_one_request(batching, peer):
    peer.answers = [batch_of(1, 2)]
    assert await batching("{ a }", "mutation { b }") == [1, 2]
    assert peer.bodies() == [[{"query": "{ a }"}, {"query": "mutation { b }"}]]


async def test_a_full_batch_is_sent_and_the_rest_in_the_next(batching, peer):
    peer.answers = [batch_of(1, 2, 3), batch_of(4)]
    assert sorted(await batching(*["{ a }"] * 4)) == [1, 2, 3, 4]
    assert sorted(map(len, peer.bodies())) == [1, 3]


async def test_a_batch_of_one_is_sent_at_once(peer):
    transport = GraphqlHttpTransport(peer.url, batch_interval=60, batch_size=1)
    peer.answers = [batch_of(1)]
    async with GraphqlWsClient(transport) as client:
        assert await client.query("{ a }") == 1


async def test_errors_in_a_batch_are_those_of_their_operation(batching, peer):
    peer.answers = [body([{"data": 1}, {"errors": [{"message": "no"}]}])]
    good, bad = await batching("{ a }", "{ b }")
    assert good == 1
    assert isinstance(bad, GraphqlOperationError)


@pytest.mark.parametrize("answer", [data(1), batch_of(1, 2, 3)])
async def test_a_server_that_takes_no_batches_is_an_error_for_all_of_them(batching, peer, answer):
    peer.answers = [answer]
    for error in await batching("{ a }", "{ b }"):
        assert "does it take batches?" in str(error)


async def test_an_operation_that_is_given_up_is_taken_out_of_its_batch(peer):
    transport = GraphqlHttpTransport(peer.url, batch_interval=60)
    peer.answers = [batch_of(2)]
    async with GraphqlWsClient(transport) as client:
        await client.connect_and_init()
        given_up = asyncio.create_task(client.query("{ a }"))
        kept = asyncio.create_task(client.query("{ b }"))
        await wait_until(lambda: len(transport._batch) == 2)
        given_up.cancel()
        await wait_until(lambda: len(transport._batch) == 1)
        transport._send_batch()
        assert await kept == 2
        transport._send_batch()
    assert peer.bodies() == [[{"query": "{ b }"}]]


async def test_subscriptions_and_uploads_are_not_gathered(peer):
    transport = GraphqlHttpTransport(peer.url, batch_interval=60)
    peer.answers = [stream(event("next", {"data": 1}), event("complete")), data(2)]
    async with GraphqlWsClient(transport) as client:
        assert [each.data async for each in client.subscription(ON_A)] == [1]
        assert await client.query("mutation { a }", {"f": io.BytesIO(b"x")}) == 2


async def test_a_subscription_is_a_stream_of_events(client, peer):
    peer.answers = [
        stream(
            ": hello\n\n",
            event("next", {"data": {"a": 1}}),
            event("ping"),
            event("message", {"data": {"a": 2}}),
            event("complete"),
        )
    ]
    assert [each["a"] async for each in client.subscription(ON_A)] == [1, 2]
    assert peer.requests[0][1]["Accept"] == "text/event-stream"


async def test_a_stream_that_says_that_nothing_was_executed_is_an_error(client, peer):
    refused = event("next", {"errors": [{"message": "no such field"}]})
    peer.answers = [stream(refused, event("complete"))]
    with pytest.raises(GraphqlOperationError, match="no such field"):
        await anext(client.subscription(ON_A))


async def test_a_server_that_has_only_streams_is_asked_for_nothing_else(peer):
    peer.answers = [stream(event("next", {"data": 1}), event("complete"))]
    transport = GraphqlHttpTransport(peer.url, only_streams=True)
    async with GraphqlWsClient(transport) as client:
        assert await client.query("{ a }") == 1
    assert peer.requests[0][1]["Accept"] == "text/event-stream"


async def test_leaving_the_loop_ends_the_request(client, peer):
    peer.answers = [stream(event("next", {"data": {"a": 1}}), ends=False)]
    async for _ in client.subscription(ON_A):
        break
    await wait_until(lambda: peer.gone == 1)


async def test_a_document_that_only_the_server_knows_may_be_answered_either_way(client, peer):
    peer.answers = [data(1), stream(event("next", {"data": 2}), event("complete"))]
    extensions = {"persistedQuery": {"sha256Hash": "x"}}
    assert await client.query("", extensions=extensions) == 1
    assert await client.query("", extensions=extensions) == 2
    assert peer.requests[0][1]["Accept"].endswith(", text/event-stream;q=0.8")


async def test_a_stream_that_breaks_off_is_asked_for_again_from_its_last_event(client, peer):
    first = event("next", {"data": {"a": 1}, "extensions": {"cursor": "c1"}}, id="c1")
    second = event(
        "next", {"data": {"a": 2}, "extensions": {"cursor": "c2", "recovered": True}}, id="c2"
    )
    peer.answers = [stream(first), stream(second, event("complete"))]
    events = [each async for each in client.subscription(ON_A)]
    assert [(each["a"], each.gap) for each in events] == [(1, None), (2, None)]
    assert peer.requests[1][1]["Last-Event-ID"] == "c1"
    assert peer.bodies()[1]["extensions"] == {"cursor": "c1"}


async def test_a_stream_without_a_history_says_that_it_was_away(client, peer):
    peer.answers = [
        stream(event("next", {"data": {"a": 1}})),
        body("", 502, "text/html"),
        stream(event("next", {"data": {"a": 2}}), event("complete")),
    ]
    events = [each async for each in client.subscription(ON_A)]
    assert [(each["a"], each.gap) for each in events] == [(1, None), (2, Gap(None, "reconnected"))]


async def test_one_stream_that_fails_leaves_the_others_alone(client, peer):
    peer.answers = [stream(event("next", {"data": {"a": 1}}), ends=False), body("", 404, "text/x")]
    async with client.subscription(ON_A) as events:
        assert (await anext(events))["a"] == 1
        with pytest.raises(ConnectionRejectedError, match="HTTP 404"):
            await client.query("{ a }")
        assert client.connected


async def test_a_subscription_that_is_refused_raises_what_the_server_says(client, peer):
    peer.answers = [errors("not for you", status=400, type=RESPONSE)]
    with pytest.raises(GraphqlOperationError, match="The subscription OnA failed: not for you"):
        await anext(client.subscription(ON_A))


async def test_an_event_that_is_not_json_ends_the_subscription(client, peer):
    peer.answers = [stream("event: next\ndata: nonsense\n\n", ends=False)]
    with pytest.raises(RemoteProtocolError, match="an event 'next' that is not JSON: 'nonsense'"):
        await anext(client.subscription(ON_A))


async def test_a_stream_that_was_kept_alive_and_falls_silent_is_asked_for_again(peer):
    peer.answers = [
        stream(": alive\n\n", ends=False),
        stream(event("next", {"data": {"a": 1}}), event("complete")),
    ]
    transport = GraphqlHttpTransport(peer.url, silence_timeout=0.01)
    async with GraphqlWsClient(transport, retry=AT_ONCE) as client:
        assert [each["a"] async for each in client.subscription(ON_A)] == [1]
    assert len(peer.requests) == 2


async def test_a_stream_that_was_always_silent_may_be_so(peer):
    go_on = asyncio.Event()
    peer.answers = [stream(go_on, event("next", {"data": {"a": 1}}), event("complete"))]
    transport = GraphqlHttpTransport(peer.url, silence_timeout=0)
    async with GraphqlWsClient(transport, retry=NEVER) as client:
        reading = asyncio.create_task(anext(client.subscription(ON_A)))
        await wait_until(lambda: peer.requests)
        go_on.set()
        assert (await reading)["a"] == 1


async def test_single_messages_work_over_http_too(peer):
    peer.answers = [data(1)]
    client = GraphqlWsClient(GraphqlHttpTransport(peer.url))
    await client.connect_and_init()
    assert await client.execute("{ a }") == {"data": 1}
    op_id = await client.start("{ a }")
    assert await client.receive_next(op_id) == {"data": 1}
    await client.receive_complete(op_id)
    await client.complete(op_id)
    await client.finalize()
    await client.finalize()


async def test_a_transport_over_http_answers_pings_and_ignores_what_it_does_not_know(peer):
    transport = GraphqlHttpTransport(peer.url)
    await transport.connect()
    with pytest.raises(GraphqlWsClientError, match="connected already"):
        await transport.connect()
    await transport.send({"type": "surprise"})
    await transport.send({"type": "ping", "payload": 1})
    assert await transport.receive() == {"type": "pong", "payload": 1}
    with pytest.raises(TimeoutError, match="Waited 0 s for a message of http://"):
        await transport.receive(timeout=0)
    with pytest.raises(TimeoutError, match=r"Waited 0 s for http://.* to close"):
        await transport.wait_disconnect(timeout=0)
    await transport.disconnect()
    with pytest.raises(ConnectionClosedError, match="not connected"):
        await transport.receive()


async def test_who_reads_is_told_when_another_disconnects(peer):
    transport = GraphqlHttpTransport(peer.url)
    await transport.connect()
    reading = asyncio.create_task(transport.receive())
    closing = asyncio.create_task(transport.wait_disconnect())
    await wait_until(lambda: len(transport._intake.inbox._waiters) == 2)
    await transport.disconnect()
    with pytest.raises(ConnectionClosedError, match="was disconnected"):
        await reading
    assert (await closing)["code"] == 1000

"""The example, used by the clients of npm as a page would use it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

pytestmark = pytest.mark.node

CONFIRMATION = {"data": None}


@pytest.fixture(params=["graphql-ws", "subscriptions-transport-ws"])
def npm_client(request: pytest.FixtureRequest) -> str:
    """Name each of the two clients in turn."""
    name: str = request.param
    return name


@pytest.fixture
def play_with(example, start_node):
    """Play a scenario with a client, as the guest Owl; return what happened."""

    async def play(client: str, scenario: str) -> dict[str, Any]:
        connection = {"url": example.websocket_url, "headers": example.guest("Owl")}
        process = await start_node("scenarios.mjs", client, scenario, json.dumps(connection))
        (happened,) = await process.lines()
        return happened

    return play


@pytest.fixture
def play(play_with, npm_client: str):
    """Play a scenario with each of the two clients."""
    return partial(play_with, npm_client)


async def test_a_query_is_answered(play):
    happened = await play("query")
    assert happened["result"]["data"]["me"] == {"name": "Owl"}
    assert "errors" not in happened["result"]


async def test_a_mutation_is_carried_out_and_its_text_survives(play):
    happened = await play("mutation")
    message = {"text": happened["said"], "author": {"name": "Owl"}}
    assert happened["result"] == {"data": {"sendMessage": {"message": message}}}


async def test_all_errors_of_an_invalid_document_arrive_and_the_connection_lives_on(
    play, npm_client
):
    happened = await play("invalid document")
    refused = happened["refused"]
    errors = refused["refused"] if npm_client == "graphql-ws" else refused["errors"]
    assert [error["message"].split("'")[1] for error in errors] == ["nonsense", "gibberish"]
    assert happened["afterwards"] == {"data": {"me": {"name": "Owl"}}}


async def test_the_error_of_a_resolver_arrives_with_its_path(play):
    result = (await play("failing resolver"))["result"]
    (error,) = result["errors"]
    assert (error["message"], error["path"]) == ("There is nothing to send.", ["sendMessage"])
    assert result["data"] is None


async def test_a_refused_subscription_fails_and_the_connection_lives_on(play, npm_client):
    happened = await play("refused subscription")
    first = happened["first"]
    errors = first["refused"] if npm_client == "graphql-ws" else first["errors"]
    assert [error["message"] for error in errors] == ["There is no such room."]
    assert happened["afterwards"] == {"data": {"me": {"name": "Owl"}}}


async def test_a_subscriber_hears_what_somebody_else_says(play):
    happened = await play("event")
    assert happened["confirmation"] == CONFIRMATION
    assert happened["event"] == _message(happened["said"])


async def test_a_client_hears_on_one_connection_what_it_says_itself(play):
    happened = await play("own event")
    assert happened["event"] == _message(happened["said"])
    assert happened["result"]["data"]["sendMessage"]["message"]["text"] == happened["said"]


async def test_ending_one_subscription_leaves_its_equal_alone(play):
    assert (await play("two subscriptions"))["event"] == _message("after")


async def test_nothing_comes_after_unsubscribing(play, npm_client):
    happened = await play("unsubscribe")
    assert happened["events"] == [_message("before")] * 2
    assert happened["witnessed"] == _message("after")
    assert happened["fence"] == {"data": {"__typename": "Query"}}
    id, afterwards = _after_unsubscribing(happened["frames"])
    about_it = [message for message in afterwards if message.get("id") == id]
    # The predecessor answers too, and the example leaves it so.
    assert about_it == [{"type": "complete", "id": id}]


async def test_a_start_that_is_sent_right_behind_the_init_is_carried_out(play_with):
    happened = await play_with("subscriptions-transport-ws", "start at once")
    types = [(frame["from"], frame["message"]["type"]) for frame in happened["frames"]]
    assert types[:3] == [
        ("client", "connection_init"),
        ("client", "start"),
        ("server", "connection_ack"),
    ]
    assert happened["result"] == {"data": {"__typename": "Query"}}


async def test_the_legacy_client_is_kept_alive_from_the_start(play_with):
    happened = await play_with("subscriptions-transport-ws", "query")
    said = [f["message"] for f in happened["frames"] if f["from"] == "server"]
    assert said[:2] == [{"type": "connection_ack"}, {"type": "ka"}]


def _message(text: str) -> dict[str, Any]:
    return {"data": {"onMessage": {"message": {"text": text}}}}


def _after_unsubscribing(frames: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Return the id of the subscription, and what the server said after its end."""
    sent = [frame["message"] for frame in frames if frame["from"] == "client"]
    stop = next(message for message in sent if message["type"] in {"complete", "stop"})
    ended_at = next(i for i, frame in enumerate(frames) if frame["message"] == stop)
    said = [frame["message"] for frame in frames[ended_at:] if frame["from"] == "server"]
    return stop["id"], said

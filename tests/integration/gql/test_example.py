"""The example, used by the Python client `gql` in both subprotocols."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gql import GraphQLRequest, gql
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportQueryError

from support import GUARD, wait_until

pytestmark = pytest.mark.servers

ON_MESSAGE = 'subscription { onMessage(room: "lobby") { message { text } } }'
SEND = """
    mutation ($text: String!) {
        sendMessage(room: "lobby", text: $text) { message { text author { name } } }
    }
"""
CONFIRMATION = {"data": None}
TEXT = 'Grüße 🦉 \u2028 "quoted"'

Heard = Callable[[], Awaitable[str]]


async def say(session: AsyncClientSession, text: str) -> dict[str, Any]:
    """Say something in the lobby; return the answer."""
    return await session.execute(GraphQLRequest(SEND, variable_values={"text": text}))


@asynccontextmanager
async def listening(session: AsyncClientSession) -> AsyncIterator[Heard]:
    """Subscribe to what is said in the lobby; inside, it is sure to be heard."""
    events: asyncio.Queue[Any] = asyncio.Queue()

    async def listen() -> None:
        async for event in session.subscribe(gql(ON_MESSAGE)):
            events.put_nowait(event)

    async def heard() -> Any:
        async with asyncio.timeout(GUARD):
            return (await events.get())["onMessage"]["message"]["text"]

    task = asyncio.create_task(listen())
    try:
        # The example confirms with empty data, of which gql makes no event.
        said = session.transport.said
        await wait_until(lambda: any(each.get("payload") == CONFIRMATION for each in said))
        yield heard
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_query_is_answered(open_session):
    session = await open_session("Owl")
    assert await session.execute(gql("{ me { name } }")) == {"me": {"name": "Owl"}}


async def test_many_queries_at_once_are_each_given_their_own_answer(open_session):
    session = await open_session("Owl")
    query = 'query ($n: Int!) { history(room: "lobby", limit: $n) { messages { id } } }'
    for number in (1, 2):
        await say(session, str(number))
    answers = await asyncio.gather(
        *(session.execute(GraphQLRequest(query, variable_values={"n": n})) for n in (1, 2) * 10)
    )
    assert [len(answer["history"]["messages"]) for answer in answers] == [1, 2] * 10


async def test_a_mutation_is_carried_out_and_its_text_survives(open_session):
    session = await open_session("Owl")
    message = {"text": TEXT, "author": {"name": "Owl"}}
    assert await say(session, TEXT) == {"sendMessage": {"message": message}}


async def test_a_mutation_that_fails_raises_what_the_resolver_said(open_session):
    session = await open_session("Owl")
    with pytest.raises(TransportQueryError) as caught:
        await say(session, "   ")
    (error,) = caught.value.errors or []
    assert (error["message"], error["path"]) == ("There is nothing to send.", ["sendMessage"])


async def test_an_invalid_document_raises_all_errors_and_the_connection_lives_on(open_session):
    session = await open_session("Owl")
    with pytest.raises(TransportQueryError) as caught:
        await session.execute(gql("{ nonsense, gibberish }"))
    errors = [error["message"].split("'")[1] for error in caught.value.errors or []]
    assert errors == ["nonsense", "gibberish"]
    assert await session.execute(gql("{ me { name } }")) == {"me": {"name": "Owl"}}


async def test_the_schema_can_be_fetched_by_introspection(open_session):
    session = await open_session("Owl")
    await session.fetch_schema()
    assert "onMessage" in session.client.schema.subscription_type.fields


async def test_a_subscriber_hears_what_somebody_else_says(open_session):
    listener, speaker = await open_session("Owl"), await open_session("Fox")
    async with listening(listener) as heard:
        await say(speaker, TEXT)
        assert await heard() == TEXT


async def test_nothing_comes_after_unsubscribing(open_session):
    listener, witness = await open_session("Owl"), await open_session("Fox")
    async with listening(witness) as witnessed:
        async with listening(listener) as heard:
            await say(listener, "before")
            assert [await heard(), await witnessed()] == ["before", "before"]
        # By the same connection, so behind the word that ends the subscription.
        await say(listener, "after")
        assert await witnessed() == "after"
        # The fence: whatever was on its way to the listener comes before this answer.
        await listener.execute(gql("{ me { name } }"))
    said = listener.transport.said
    id = next(message["id"] for message in said if message.get("payload") == CONFIRMATION)
    of_subscription = [message["type"] for message in said if message.get("id") == id]
    assert of_subscription[2:] == ["complete"]


async def test_a_refused_subscription_raises(open_session):
    session = await open_session("Owl")
    nowhere = gql('subscription { onMessage(room: "nowhere") { message { text } } }')
    with pytest.raises(TransportQueryError, match=r"There is no such room\."):
        async for _ in session.subscribe(nowhere):
            pass
    assert await session.execute(gql("{ me { name } }")) == {"me": {"name": "Owl"}}


@pytest.mark.parametrize("subprotocol", ["graphql-transport-ws"], indirect=True)
async def test_pings_of_the_client_are_answered(open_session):
    session = await open_session("Owl", ping_interval=0.01, pong_timeout=GUARD)
    pong = {"type": "pong"}
    await wait_until(lambda: session.transport.said.count(pong) > 1)

"""`sys.exit()` in the user's code: a mistake that costs what any other one does, and no server."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from typing import Any

import graphene
import pytest

from asgi_socket import NEW, AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer, Subscription
from http_client import post
from support import wait_until


class Stop(BaseException):
    """One that nobody here knows, as pytest and gevent have them."""


EXITS = [SystemExit, KeyboardInterrupt, Stop]


class Exit:
    """Where the user's code ends the process, and by what."""

    where = ""
    kind: type[BaseException] = SystemExit

    def at(self, place: str) -> None:
        if place == self.where:
            if self.kind is SystemExit:
                sys.exit("bye")
            raise self.kind("bye")


exits = Exit()


class OnSync(Subscription):
    ok = graphene.Boolean()

    @staticmethod
    def subscribe(root: Any, info: Any) -> None:
        exits.at("subscribe")

    @staticmethod
    def publish(payload: Any, info: Any) -> Any:
        if payload != "well":
            exits.at("publish")
        return {"ok": True}

    @staticmethod
    def unsubscribed(root: Any, info: Any) -> None:
        exits.at("unsubscribed")


class OnAsync(Subscription):
    ok = graphene.Boolean()

    @staticmethod
    async def subscribe(root: Any, info: Any) -> None:
        exits.at("subscribe")

    @staticmethod
    async def publish(payload: Any, info: Any) -> Any:
        if payload != "well":
            exits.at("publish")
        return {"ok": True}

    @staticmethod
    async def unsubscribed(root: Any, info: Any) -> None:
        exits.at("unsubscribed")


class OnFiltered(OnSync):
    ok = graphene.Boolean()

    @staticmethod
    def filter_event(payload: Any, info: Any) -> bool:
        return True


class Query(graphene.ObjectType):
    ok = graphene.Boolean()

    @staticmethod
    def resolve_ok(root: Any, info: Any) -> bool:
        exits.at("resolver")
        return True


class Root(graphene.ObjectType):
    sync = OnSync.Field()
    later = OnAsync.Field()
    filtered = OnFiltered.Field()
    count = graphene.Int()

    @staticmethod
    async def subscribe_count(root: Any, info: Any) -> Any:
        yield 1
        exits.at("generator")


class OnLoop(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    resolve_sync_in_threads = False
    confirm_subscriptions = True

    async def on_connect(self, payload: Any) -> None:
        exits.at("on_connect")

    async def on_operation(self, op_id: Any, payload: Any) -> None:
        exits.at("on_operation")


class InThreads(OnLoop):
    resolve_sync_in_threads = True


class WithoutHooks(GraphqlWsConsumer):
    """Everything is done in the callback that brings a message."""

    schema = OnLoop.schema
    resolve_sync_in_threads = False
    confirm_subscriptions = True


ALL = [OnLoop, InThreads, WithoutHooks]
SYNC, LATER = "subscription { sync { ok } }", "subscription { later { ok } }"


@pytest.fixture(autouse=True, params=EXITS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits, "kind", request.param)


async def opened(cls: Any) -> AsgiSocket:
    socket = AsgiSocket(cls.as_asgi(), NEW)
    await socket.acknowledged()
    return socket


async def is_told(socket: AsgiSocket) -> bool:
    """Wait for an error of the operation, or the end of the connection."""
    await wait_until(lambda: "error:1" in socket.words or socket.closes != [])
    return socket.closes in ([], [(4500, "Internal server error")])


async def works(cls: Any) -> None:
    exits.where = ""
    socket = await opened(cls)
    socket.start("1", "{ ok }")
    await socket.heard("next:1", "complete:1")
    await socket.drop()


@pytest.mark.parametrize(
    ("place", "query", "cls"),
    [
        *itertools.product(["on_operation"], ["{ ok }"], [OnLoop, InThreads]),
        *itertools.product(["resolver"], ["{ ok }"], ALL),
        *itertools.product(["subscribe"], [SYNC, LATER], ALL),
    ],
)
async def test_an_operation_ends_with_an_error_and_the_process_goes_on(
    place: str, query: str, cls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await opened(cls)
    exits.where = place
    socket.start("1", query)
    assert await is_told(socket)
    assert "was raised: bye" in caplog.text
    if not socket.closes:
        socket.hang_up()
    await socket.ended()
    await works(cls)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    ("subscription_class", "query"),
    [(OnSync, SYNC), (OnAsync, LATER), (OnFiltered, "subscription { filtered { ok } }")],
    ids=["sync", "async", "filtered"],
)
async def test_an_event_is_told_as_an_error_and_the_next_one_comes(
    cls: Any,
    subscription_class: type[Subscription],
    query: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    socket = await opened(cls)
    socket.start("1", query)
    await socket.heard("next:1")
    exits.where = "publish"
    before = len(socket.results("1"))
    await subscription_class.broadcast(payload=None)
    await wait_until(lambda: len(socket.results("1")) == before + 1)
    assert socket.results("1")[-1]["errors"]
    await subscription_class.broadcast(payload="well")
    await wait_until(lambda: len(socket.results("1")) == before + 2)
    assert "errors" not in socket.results("1")[-1]
    assert "was raised: bye" in caplog.text
    exits.where = ""
    await socket.drop()


@pytest.mark.parametrize("cls", [OnLoop, InThreads])
@pytest.mark.parametrize("query", [SYNC, LATER])
async def test_one_at_the_end_of_a_subscription_hangs_nothing(
    cls: Any, query: str, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await opened(cls)
    socket.start("1", query)
    await socket.heard("next:1")
    exits.where = "unsubscribed"
    await socket.drop()
    assert "was raised: bye" in caplog.text
    await works(cls)


async def test_a_generator_ends_with_the_error(caplog: pytest.LogCaptureFixture) -> None:
    socket = await opened(OnLoop)
    exits.where = "generator"
    socket.start("1", "subscription { count }")
    await socket.heard("error:1")
    assert "was raised: bye" in caplog.text
    await socket.drop()
    await works(OnLoop)


async def test_a_client_that_cannot_be_decided_on_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exits.where = "on_connect"
    socket = AsgiSocket(OnLoop.as_asgi(), NEW)
    socket.init()
    await socket.ended()
    assert socket.closes == [(4403, "Forbidden")]
    assert "was raised: bye" in caplog.text
    await works(OnLoop)


class InFrames(GraphqlWsConsumer):
    """Has methods of Channels of its own, one of which each consumer below calls."""

    schema = OnLoop.schema


class Decoding(InFrames):
    @classmethod
    def decode_json(cls, text_data: str) -> Any:
        exits.at("frames")
        return super().decode_json(text_data)


class Encoding(InFrames):
    @classmethod
    def encode_json(cls, content: Any) -> str:
        exits.at("frames")
        return super().encode_json(content)


class Sending(InFrames):
    async def send_json(self, content: Any, close: bool = False) -> None:
        exits.at("frames")
        await super().send_json(content, close)


@pytest.mark.parametrize("cls", [Decoding, Encoding, Sending])
async def test_one_about_frames_closes_the_connection(
    cls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await opened(cls)
    exits.where = "frames"
    socket.start("1", "{ ok }")
    await socket.ended()
    assert socket.closes[0][0] == 4500
    assert "bye" in caplog.text
    await works(cls)


class OverHttp(GraphqlHttpConsumer):
    schema = OnLoop.schema
    max_batch_size = 1

    def decode_json(self, text: str) -> Any:
        exits.at("decode_json")
        return json.loads(text)

    async def process_result(self, request: Any, result: Any) -> Any:
        exits.at("process_result")
        return result

    def encode_json(self, content: Any) -> str:
        exits.at("encode_json")
        return json.dumps(content)


@pytest.mark.parametrize("place", ["decode_json", "process_result", "encode_json"])
async def test_over_http_it_is_an_internal_error(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    application = OverHttp.as_asgi()
    exits.where = place
    response = await post(application, {"query": "{ ok }"})
    assert response.json == {"errors": [{"message": "Internal server error"}]}
    assert "bye" in caplog.text
    exits.where = ""
    response = await post(application, {"query": "{ ok }"})
    assert response.json == {"data": {"ok": True}}


@pytest.mark.parametrize("place", ["decode_json", "process_result", "encode_json"])
async def test_over_http_what_was_cancelled_in_a_hook_is_an_error_too(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exits, "kind", asyncio.CancelledError)
    application = OverHttp.as_asgi()
    exits.where = place
    response = await post(application, {"query": "{ ok }"})
    assert response.json == {"errors": [{"message": "Internal server error"}]}
    exits.where = ""


@pytest.mark.parametrize("cls", [Encoding, Sending])
async def test_what_was_cancelled_in_a_frame_closes_the_connection(
    cls: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exits, "kind", asyncio.CancelledError)
    await test_one_about_frames_closes_the_connection(cls, caplog)


class Waiting(OverHttp):
    """Waits in a hook until the request is cancelled."""

    place = ""
    reached: asyncio.Event

    async def decode_json(self, text: str) -> Any:  # type: ignore[override]
        await self._wait("decode_json")
        return json.loads(text)

    async def process_result(self, request: Any, result: Any) -> Any:
        await self._wait("process_result")
        return result

    async def _wait(self, place: str) -> None:
        if place == self.place:
            self.reached.set()
            await asyncio.Event().wait()


@pytest.mark.parametrize("place", ["decode_json", "process_result"])
async def test_a_request_that_is_cancelled_ends_in_a_hook(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Waiting, "place", place)
    monkeypatch.setattr(Waiting, "reached", asyncio.Event(), raising=False)
    request = asyncio.create_task(post(Waiting.as_asgi(), {"query": "{ ok }"}))
    await Waiting.reached.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


class SendingForEver(InFrames):
    reached: asyncio.Event

    async def send_json(self, content: Any, close: bool = False) -> None:
        if content["type"] == "next":
            self.reached.set()
            await asyncio.Event().wait()
        await super().send_json(content, close)


class EncodingForEver(InFrames):
    reached: asyncio.Event

    @classmethod
    async def encode_json(cls, content: Any) -> str:  # type: ignore[override]
        if content["type"] == "next":
            cls.reached.set()
            await asyncio.Event().wait()
        return json.dumps(content)


@pytest.mark.parametrize("cls", [SendingForEver, EncodingForEver])
async def test_who_leaves_ends_what_sends_a_frame(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cls, "reached", asyncio.Event(), raising=False)
    socket = await opened(cls)
    socket.start("1", "{ ok }")
    await cls.reached.wait()
    await socket.drop()

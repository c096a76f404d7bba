"""`sys.exit()` in the user's code: a mistake that costs what any other one does, and no server."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import graphene
import pytest

from asgi_socket import NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer, Subscription
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

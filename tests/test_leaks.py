"""After hundreds of clients that came and went, nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from weakref import WeakSet

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer

from asgi_socket import LEGACY, NEW, AsgiSocket, Event
from channels_graphql_ws.pubsub import hub, local
from channels_graphql_ws.subscription.single import SingleSubscriber
from channels_graphql_ws.websocket.connection import Connection
from news_schema import HELLO, NEWS, SLOW_NEWS, News, Stage, consumer_class
from support import tick, wait_until

CYCLES = 200


class OtherLayer(InMemoryChannelLayer):
    """A layer that is used as those of other processes are: through its groups."""


class Census:
    """Counts what lives because of clients."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._alive: WeakSet[Any] = WeakSet()
        for kind in (Connection, SingleSubscriber):
            monkeypatch.setattr(kind, "__init__", self._noting(kind.__init__))
        monkeypatch.setattr(Stage, "__init__", self._noting(Stage.__init__))
        cls = consumer_class(
            confirm_subscriptions=True, connection_init_wait_timeout=600, send_ping_every=300
        )
        monkeypatch.setattr(cls, "__init__", self._noting(cls.__init__))
        self.consumer_class = cls
        self._tasks = asyncio.all_tasks()

    def _noting(self, init: Any) -> Any:
        def noting_init(one: Any, *args: Any, **kwargs: Any) -> None:
            init(one, *args, **kwargs)
            self._alive.add(one)

        return noting_init

    @property
    def came(self) -> int:
        """How many objects are known that have not been collected."""
        return len(self._alive)

    async def is_empty(self) -> None:
        """See that nobody is left."""
        known = self._tasks | {asyncio.current_task()}
        await wait_until(lambda: not asyncio.all_tasks() - known)
        # The callback that woke this task still knows the task that it waited for.
        await tick()
        gc.collect()
        assert list(self._alive) == []
        assert hub._hubs == {}
        layer: Any = get_channel_layer()
        assert local.receivers(layer) == ()
        assert layer.channels == {}
        assert not any(layer.groups.values())
        assert _timers() == []


def _timers() -> list[Any]:
    """The timers of the event loop that are still to come, but for those of guards."""
    loop: Any = asyncio.get_running_loop()
    return [
        timer for timer in loop._scheduled if not timer.cancelled() and "Timeout" not in str(timer)
    ]


@pytest.fixture(params=[InMemoryChannelLayer, OtherLayer])
async def layer(request: pytest.FixtureRequest) -> Any:
    """The layer whose messages stay in the process, and one like any other."""
    layer = request.param()
    before = channel_layers.backends.get("default")
    channel_layers.set("default", layer)
    yield layer
    del channel_layers.backends["default"]
    if before is not None:
        channel_layers.set("default", before)


@pytest.fixture
async def census(layer: Any, monkeypatch: pytest.MonkeyPatch) -> Census:
    return Census(monkeypatch)


@pytest.fixture(autouse=True)
def _nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    assert [record.getMessage() for record in caplog.get_records("call")] == []


async def _acknowledged(socket: AsgiSocket) -> None:
    """Wait for the acknowledgement; in the legacy dialect a `ka` comes right behind it."""
    socket.init()
    await wait_until(lambda: "connection_ack" in socket.words)


async def _live(census: Census, subprotocol: str, stage: Stage) -> AsgiSocket:
    socket = AsgiSocket(census.consumer_class.as_asgi(), subprotocol, scope=stage.scope)
    await _acknowledged(socket)
    socket.start("s", NEWS)
    await wait_until(lambda: socket.results("s"))
    return socket


async def _says_goodbye(census: Census, subprotocol: str) -> None:
    socket = await _live(census, subprotocol, Stage())
    socket.start("q", HELLO)
    socket.stop("s")
    await wait_until(lambda: {"complete:q", "complete:s"} <= set(socket.words))
    await socket.drop(1000)


async def _drops_with_live_operations(census: Census, subprotocol: str) -> None:
    stage = Stage("query")
    socket = await _live(census, subprotocol, stage)
    socket.start("q", "{ wait }")
    await wait_until(lambda: "query" in stage.passed)
    await News.broadcast_async(payload="hi")
    await socket.drop()
    assert stage.passed.count("unsubscribed") == 1


async def _drops_during_subscribe(census: Census, subprotocol: str) -> None:
    stage = Stage("subscribe")
    socket = AsgiSocket(census.consumer_class.as_asgi(), subprotocol, scope=stage.scope)
    await _acknowledged(socket)
    socket.start("s", SLOW_NEWS)
    await wait_until(lambda: stage.passed)
    await socket.drop()


async def _drops_while_joining(census: Census, subprotocol: str) -> None:
    socket = AsgiSocket(census.consumer_class.as_asgi(), subprotocol)
    await _acknowledged(socket)
    socket.start("s", NEWS)
    await tick()
    await socket.drop()


async def _drops_during_on_connect(census: Census, subprotocol: str) -> None:
    waiting = asyncio.Event()

    async def on_connect(_self: Any, _payload: Any) -> None:
        waiting.set()
        await asyncio.Event().wait()

    cls = type("Hesitant", (census.consumer_class,), {"on_connect": on_connect})
    socket = AsgiSocket(cls.as_asgi(), subprotocol)
    socket.init()
    await waiting.wait()
    await socket.drop()


async def _drops_during_a_send(census: Census, subprotocol: str) -> None:
    hanging = asyncio.Event()

    async def on_send(event: Event) -> None:
        if "hi" in event.get("text", ""):
            hanging.set()
            await asyncio.Event().wait()

    socket = AsgiSocket(census.consumer_class.as_asgi(), subprotocol, on_send=on_send)
    await _acknowledged(socket)
    socket.start("s", NEWS)
    await wait_until(lambda: socket.results("s"))
    for _ in range(3):
        await News.broadcast_async(payload="hi")
    await hanging.wait()
    await socket.drop()


async def _is_cancelled_by_the_server(census: Census, subprotocol: str) -> None:
    socket = await _live(census, subprotocol, Stage())
    socket.task.cancel()
    await asyncio.gather(socket.task, return_exceptions=True)


async def _never_introduces_itself(census: Census, subprotocol: str) -> None:
    socket = AsgiSocket(census.consumer_class.as_asgi(), subprotocol)
    await wait_until(lambda: socket.sent)
    await socket.drop(None)


LIVES = [
    _says_goodbye,
    _drops_with_live_operations,
    _drops_during_subscribe,
    _drops_while_joining,
    _drops_during_on_connect,
    _drops_during_a_send,
    _is_cancelled_by_the_server,
    _never_introduces_itself,
]

Life = Callable[[Census, str], Awaitable[None]]


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_nothing_is_left_of_a_client_that(
    life: Life, subprotocol: str, census: Census
) -> None:
    for _ in range(10):
        await asyncio.gather(
            *(life(census, subprotocol) for _ in range(CYCLES // 10 // len(LIVES) + 1))
        )
    await census.is_empty()


async def test_nothing_is_left_of_hundreds_of_clients_of_all_kinds(census: Census) -> None:
    for number in range(CYCLES // len(LIVES)):
        dialect = (NEW, LEGACY)[number % 2]
        await asyncio.gather(*(life(census, dialect) for life in LIVES))
    await census.is_empty()


async def test_the_census_sees_a_client_that_is_still_there(census: Census) -> None:
    """A witness: the other tests would notice."""
    socket = await _live(census, NEW, Stage())
    assert census.came >= 3
    assert _timers() != []
    await socket.drop()
    del socket
    await census.is_empty()


async def _drops_while_subscribed(census: Census, subprotocol: str) -> None:
    socket = await _live(census, subprotocol, Stage())
    await News.broadcast_async(payload="hi")
    await wait_until(lambda: len(socket.results("s")) > 1)
    await socket.drop()


@pytest.mark.parametrize(
    "life", [_says_goodbye, _drops_while_subscribed, _never_introduces_itself]
)
@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_no_garbage_has_to_be_collected_after_a_client_that(
    life: Life, subprotocol: str, census: Census
) -> None:
    gc.collect()
    gc.disable()
    try:
        await life(census, subprotocol)
        await wait_until(lambda: census.came == 0)
    finally:
        gc.enable()

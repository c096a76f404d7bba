"""The transport of a client that does not read is found below `send`, and ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from types import SimpleNamespace
from typing import Any

import pytest
from channels.sessions import InstanceSessionWrapper

from channels_graphql_ws.operations import server_transport
from channels_graphql_ws.operations.server_transport import (
    MOST_WRAPPERS,
    abort,
    let_go,
    transport_of,
)
from channels_graphql_ws.operations.unsent import LARGE, Unsent, unsent_of_loop
from fake_transport import FakeTransport
from support import wait_until

SCOPE = {"type": "websocket", "http_version": "1.1", "cookies": {}, "client": ("8.8.8.8", 1)}


class Server:
    """A server whose functions are methods of what has the transport, as Uvicorn's are."""

    def __init__(self, transport: object) -> None:
        self.transport = transport

    async def send(self, message: Any) -> None:
        """Send a message (ASGI)."""


class Layer:
    """A wrapper that is an object, as middleware has it, and the layers of Hypercorn."""

    def __init__(self, send: Any, name: str) -> None:
        setattr(self, name, send)

    async def wrapped(self, message: Any) -> None:
        """Send a message (ASGI)."""

    async def __call__(self, message: Any) -> None:
        """Send a message (ASGI)."""


def closure(send: Any) -> Any:
    async def wrapped(message: Any) -> None:
        await send(message)

    return wrapped


def closure_of_another_name(given: Any) -> Any:
    async def wrapped(message: Any) -> None:
        await given(message)

    return wrapped


def session(send: Any) -> Any:
    return InstanceSessionWrapper(dict(SCOPE), send).send


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "none": lambda send: send,
    "closure": closure,
    "method": lambda send: Layer(send, "send").wrapped,
    "private": lambda send: Layer(send, "_send").wrapped,
    "object": lambda send: Layer(send, "send"),
    "partial": lambda send: partial(send, more=1),
    "session": session,
    "several": lambda send: closure(session(Layer(closure(send), "send"))),
}


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=list(WRAPPERS))
def test_the_transport_is_found_behind_wrappers(wrapper: Callable[[Any], Any]) -> None:
    transport = FakeTransport()
    assert transport_of(wrapper(Server(transport).send), SCOPE) is transport


def test_the_transport_is_found_below_a_writer() -> None:
    transport = FakeTransport()
    below = Layer(None, "_send")
    below.writer = SimpleNamespace(transport=transport)  # type: ignore[attr-defined]
    assert transport_of(Layer(below.wrapped, "send").wrapped, SCOPE) is transport


async def _function(message: Any) -> None:
    """Send a message (ASGI)."""


class _Strange:
    """An object that does not even want to be looked at."""

    async def wrapped(self, message: Any) -> None:
        """Send a message (ASGI)."""

    @property
    def transport(self) -> Any:
        raise RuntimeError("not open")


@pytest.mark.parametrize(
    "send",
    [
        _function,
        closure_of_another_name(Server(FakeTransport()).send),
        Server(None).send,
        # One of Twisted.
        Server(SimpleNamespace(abortConnection=print, write=print)).send,
        _Strange().wrapped,
        print,
        None,
    ],
    ids=["function", "closure", "none yet", "twisted", "strange", "builtin", "nothing"],
)
def test_where_it_cannot_be_found_there_is_none(send: Any) -> None:
    assert transport_of(send, SCOPE) is None


def test_it_is_not_looked_for_without_end() -> None:
    around = Layer(None, "send")
    around.send = around.wrapped  # type: ignore[attr-defined]
    assert transport_of(around.wrapped, SCOPE) is None
    send: Any = Server(FakeTransport()).send
    for _ in range(MOST_WRAPPERS):
        send = closure(send)
    assert transport_of(send, SCOPE) is None


@pytest.mark.parametrize(("version", "is_found"), [("1.0", 1), ("1.1", 1), ("2", 0), ("3", 0)])
def test_a_connection_that_clients_may_share_is_left_alone(version: str, is_found: int) -> None:
    found = transport_of(Server(FakeTransport()).send, {**SCOPE, "http_version": version})
    assert (found is not None) == bool(is_found)


def test_a_scope_may_say_nothing_of_the_version() -> None:
    assert transport_of(Server(FakeTransport()).send, {"type": "websocket"}) is not None


def test_wrappers_of_functools_are_closures() -> None:
    transport = FakeTransport()
    send = Server(transport).send

    @wraps(send)
    async def wrapped(message: Any) -> None:
        await send(message)

    assert transport_of(wrapped, SCOPE) is transport


def test_a_transport_that_cannot_be_aborted_harms_nobody() -> None:
    class Broken(FakeTransport):
        def abort(self) -> None:
            super().abort()
            raise RuntimeError("not open")

    broken = Broken()
    abort(broken)
    assert broken.aborted == 1


def unread(size: int = 2 * LARGE) -> Unsent:
    options: Any = SimpleNamespace(
        max_unsent_bytes_per_user=None,
        max_unsent_bytes_per_address=2 * size,
        max_unsent_bytes_per_process=None,
        trusted_proxies=(),
    )
    unsent = Unsent(options, SCOPE)
    unsent.hold(size)
    return unsent


@pytest.fixture
def _lingers_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_transport, "LINGER", 0)


@pytest.mark.usefixtures("_lingers_not")
async def test_what_a_server_keeps_of_a_client_that_is_gone_counts_until_it_is_ended() -> None:
    unsent, transport = unread(), FakeTransport(2 * LARGE)
    let_go(unsent, transport)
    assert unsent_of_loop().is_tight
    await wait_until(lambda: transport.aborted == 1)
    assert unsent.size == 0
    assert not unsent_of_loop().is_tight


@pytest.mark.usefixtures("_lingers_not")
async def test_what_a_server_has_sent_counts_no_more() -> None:
    unsent, transport = unread(), FakeTransport(LARGE)
    let_go(unsent, transport)
    assert unsent.size == 0
    # One that encrypts does not tell everything.
    await wait_until(lambda: transport.aborted == 1)


async def test_without_a_transport_a_server_has_sent_everything() -> None:
    unsent = unread()
    let_go(unsent, None)
    assert unsent.size == 0

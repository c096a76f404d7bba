"""Live subscriptions are counted by user and by address, over all their WebSockets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer
from news_schema import HELLO, NEWS, SLOW_NEWS, Stage, consumer_class
from support import wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])

PUBLIC, OTHER = "8.8.8.8", "8.8.4.4"
OF_USER, OF_ADDRESS = "max_subscriptions_per_user", "max_subscriptions_per_address"


def user(name: str) -> Any:
    return SimpleNamespace(pk=name, is_authenticated=True)


OWNERS = pytest.mark.parametrize(
    ("option", "scope", "other"),
    [
        (OF_USER, {"user": user("a")}, {"user": user("b")}),
        (OF_ADDRESS, {"client": (PUBLIC, 1)}, {"client": (OTHER, 1)}),
    ],
)


async def ready(subprotocol: str, scope: Any, **attributes: Any) -> AsgiSocket:
    attributes.setdefault("confirm_subscriptions", True)
    cls = consumer_class(**attributes)
    socket = AsgiSocket(cls.as_asgi(), subprotocol, scope=dict(scope))
    await socket.acknowledged()
    return socket


async def first_result(socket: AsgiSocket, id: str, query: str = NEWS) -> Any:
    socket.start(id, query)
    await wait_until(lambda: socket.results(id))
    return socket.results(id)[0]


async def is_live(socket: AsgiSocket, id: str, query: str = NEWS) -> bool:
    return bool(await first_result(socket, id, query) == {"data": None})


def problem(socket: AsgiSocket, option: str, allowed: int) -> Any:
    owner = "user" if option == OF_USER else "address"
    text = (
        f"Subscription limit of {allowed} reached for all connections of this {owner}: end one of "
        f"its subscriptions (`{option}`)."
    )
    extensions = {"code": "LIMIT_EXCEEDED", "limit": option, "allowed": allowed}
    errors = [{"message": text, "extensions": extensions}]
    return errors if socket.subprotocol == NEW else {"errors": errors}


@BOTH
@OWNERS
async def test_one_subscription_too_many_is_refused_on_whichever_socket(
    subprotocol: str, option: str, scope: Any, other: Any
) -> None:
    first = await ready(subprotocol, scope, **{option: 2})
    second = await ready(subprotocol, scope, **{option: 2})
    assert await is_live(first, "1")
    assert await is_live(second, "1")
    for socket in (first, second):
        assert await first_result(socket, "2") == problem(socket, option, 2)
    # The connection stays, and so does all else.
    assert await first_result(second, "query", HELLO) == {"data": {"hello": "world"}}
    neighbour = await ready(subprotocol, other, **{option: 2})
    assert await is_live(neighbour, "1")

    first.stop("1")
    await first.heard("complete:1")
    assert await is_live(second, "3")
    assert await first_result(first, "4") == problem(first, option, 2)
    # Whoever hangs up has none any more.
    await second.drop()
    assert await is_live(first, "5")
    assert await is_live(first, "6")
    await first.drop()
    await neighbour.drop()


@BOTH
async def test_a_place_is_free_as_soon_as_the_client_has_completed(subprotocol: str) -> None:
    stage = Stage("unsubscribed")
    scope = {"user": user("a"), **stage.scope}
    first = await ready(subprotocol, scope, **{OF_USER: 1})
    second = await ready(subprotocol, scope, **{OF_USER: 1})
    assert await is_live(first, "1", SLOW_NEWS)
    first.stop("1")
    await wait_until(lambda: "unsubscribed" in stage.passed)
    assert await is_live(second, "1")
    assert await first_result(first, "2") == problem(first, OF_USER, 1)
    stage.let_go("unsubscribed")
    await first.drop()
    await second.drop()


@BOTH
async def test_a_subscription_that_is_refused_takes_no_place(subprotocol: str) -> None:
    socket = await ready(subprotocol, {"user": user("a")}, **{OF_USER: 1})
    refused = 'subscription { news(topic: "refused") { text } }'
    for id in "123":
        assert "Refused" in str(await first_result(socket, id, refused))
    assert await is_live(socket, "4")
    await socket.drop()


@BOTH
async def test_who_is_not_known_is_not_counted(subprotocol: str) -> None:
    limits = {OF_USER: 1, OF_ADDRESS: 1}
    socket = await ready(subprotocol, {"client": ("10.0.0.1", 1)}, **limits)
    assert [await is_live(socket, id) for id in "123"] == [True] * 3
    await socket.drop()


async def _log_in(self: Any, payload: Any) -> None:
    self.scope["user"] = user(payload["name"])


@BOTH
async def test_a_user_whom_on_connect_logs_in_is_counted(subprotocol: str) -> None:
    cls = consumer_class(on_connect=_log_in, confirm_subscriptions=True, **{OF_USER: 1})
    sockets = [AsgiSocket(cls.as_asgi(), subprotocol) for _ in range(3)]
    for socket, name in zip(sockets, "aab", strict=True):
        await socket.acknowledged(payload={"name": name})
    first, second, third = sockets
    assert await is_live(first, "1")
    assert await first_result(second, "1") == problem(second, OF_USER, 1)
    assert await is_live(third, "1")
    for socket in sockets:
        await socket.drop()


async def test_another_login_over_the_socket_frees_the_places_of_the_first_user() -> None:
    cls = consumer_class(on_connect=_log_in, confirm_subscriptions=True, **{OF_USER: 1})
    sockets = [AsgiSocket(cls.as_asgi(), LEGACY) for _ in range(2)]
    for socket in sockets:
        await socket.acknowledged(payload={"name": "a"})
    first, second = sockets
    assert await is_live(first, "1")
    first.init(payload={"name": "b"})
    await wait_until(lambda: first.words.count("connection_ack") == 2)
    assert await is_live(second, "1")
    assert await is_live(first, "2")
    assert await first_result(first, "3") == problem(first, OF_USER, 1)
    assert await first_result(second, "2") == problem(second, OF_USER, 1)
    for socket in sockets:
        await socket.drop()


@BOTH
@pytest.mark.parametrize("attributes", [{OF_USER: None}, {"safety": "compatible"}])
async def test_there_may_be_any_number_where_that_is_wanted(
    subprotocol: str, attributes: Any
) -> None:
    assert (GraphqlWsConsumer.max_subscriptions_per_user, OF_USER) == (2_000, OF_USER)
    off = {"max_operations_per_connection": None, "max_operations_in_flight": None}
    limited = await ready(subprotocol, {"user": user("a")}, **off)
    free = await ready(subprotocol, {"user": user("a")}, **off, **attributes)
    for number in range(2_000):
        limited.start(str(number), NEWS)
    await wait_until(lambda: len(limited.sent) >= 2_002)
    assert await first_result(limited, "more") == problem(limited, OF_USER, 2_000)
    # What is not limited does not count for what is.
    assert await is_live(free, "more")
    await limited.drop()
    await free.drop()

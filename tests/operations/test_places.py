"""How much one user or one address may have open, and whose address it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer
from channels_graphql_ws.operations.places import (
    Limit,
    NoPlaceError,
    Places,
    address_of,
    identity_of,
    places_of_loop,
    user_of,
)
from news_schema import schema


def test_a_place_that_is_given_back_is_free_again() -> None:
    places = Places()
    limit = Limit("a", 2, "max_things")
    first, _second = places.take([limit]), places.take([limit])
    with pytest.raises(NoPlaceError, match=r"no more than 2 may be open \(`max_things`\)"):
        places.take([limit])
    first.release()
    first.release()
    places.take([limit])
    with pytest.raises(NoPlaceError):
        places.take([limit])


def test_each_key_has_its_own_places_and_one_limit_is_enough() -> None:
    places = Places()
    places.take([Limit("user", 1, "per_user"), Limit("address", 3, "per_address")])
    with pytest.raises(NoPlaceError) as caught:
        places.take([Limit("user", 1, "per_user"), Limit("address", 3, "per_address")])
    assert caught.value.limit.option == "per_user"
    # What was refused has taken nothing.
    for _ in range(2):
        places.take([Limit("address", 3, "per_address")])
    with pytest.raises(NoPlaceError):
        places.take([Limit("address", 3, "per_address")])


def test_nobody_and_no_limit_are_not_counted() -> None:
    places = Places()
    for _ in range(3):
        places.take([Limit(None, 1, "per_user"), Limit("a", None, "per_address")])
    assert not places._taken


async def test_a_loop_has_places_of_each_kind() -> None:
    assert places_of_loop("sockets") is places_of_loop("sockets")
    assert places_of_loop("sockets") is not places_of_loop("streams")


PROXIES = ("203.0.113.7", "10.0.0.0/8", "2a00:1450::/32")


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("198.18.0.1", None, None),
        ("8.8.8.8", None, "8.8.8.8"),
        ("8.8.8.8", "9.9.9.9", "8.8.8.8"),
        ("127.0.0.1", "9.9.9.9", None),
        ("::1", None, None),
        ("192.168.1.1", "9.9.9.9", None),
        ("169.254.0.1", None, None),
        ("fe80::1", None, None),
        ("::ffff:8.8.8.8", None, "8.8.8.8"),
        ("64:ff9b::808:808", None, "8.8.8.8"),
        ("64:ff9b::a00:1", "9.9.9.9", "9.9.9.9"),
        # 6to4 and Teredo (RFC 3056, RFC 4380), the latter with the bits of the address inverted.
        ("2002:808:808:1::5", None, "8.8.8.8"),
        ("2002:a00:1::1", "9.9.9.9", "9.9.9.9"),
        ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", None, "8.8.8.8"),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", "9.9.9.9", "9.9.9.9"),
        ("2001:4860:1:2:3:4:5:6", None, "2001:4860:1:2::/64"),
        ("10.0.0.1", None, None),
        ("10.0.0.1", "9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "1.1.1.1, 9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "1.1.1.1, 9.9.9.9, 10.9.9.9, 203.0.113.7", "9.9.9.9"),
        ("10.0.0.1", "9.9.9.9:1234", "9.9.9.9"),
        ("10.0.0.1", "[2001:4860:1:2::9]:1234", "2001:4860:1:2::/64"),
        ("10.0.0.1", "9.9.9.9, unknown", None),
        ("10.0.0.1", "9.9.9.9, 192.168.0.1", None),
        ("10.0.0.1", "10.0.0.2", None),
        ("10.0.0.1", "9.9.9.9," + "10.0.0.2," * 200 + "10.0.0.2", None),
        ("2a00:1450::1", "9.9.9.9", "9.9.9.9"),
        ("unix:", None, None),
        ("", None, None),
        (None, "9.9.9.9", None),
    ],
)
def test_the_address_of_a_client_is_its_own(client: Any, forwarded: Any, address: Any) -> None:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    scope = {"client": None if client is None else (client, 1), "headers": headers}
    assert address_of(scope, PROXIES) == address


def test_without_trusted_proxies_none_is_believed() -> None:
    headers = [(b"x-forwarded-for", b"9.9.9.9")]
    assert address_of({"client": ("10.0.0.1", 1), "headers": headers}, ()) is None
    assert address_of({"client": ("8.8.8.8", 1), "headers": headers}, ()) == "8.8.8.8"
    assert address_of({}, ()) is None


def test_a_user_is_known_by_the_primary_key() -> None:
    ada = SimpleNamespace(is_authenticated=True, pk=7)
    same = SimpleNamespace(is_authenticated=True, pk="7")
    assert user_of({"user": ada}) == user_of({"user": same}) == ("user", "7")


@pytest.mark.parametrize(
    "scope", [{}, {"user": None}, {"user": SimpleNamespace(is_authenticated=False, pk=None)}]
)
def test_who_is_not_logged_in_is_no_user(scope: Any) -> None:
    assert user_of(scope) is None


def test_an_identity_is_the_user_or_else_the_session() -> None:
    class Unreadable:
        @property
        def session_key(self) -> str:
            raise RuntimeError("It would take a query")

    session = SimpleNamespace(session_key="secret")
    ada = SimpleNamespace(is_authenticated=True, pk=7)
    assert identity_of({"user": ada, "session": session}) == "user 7"
    text = identity_of({"session": session})
    assert text is not None
    assert text.startswith("session ")
    assert "secret" not in text
    assert identity_of({"session": SimpleNamespace(session_key=None)}) is None
    assert identity_of({"session": Unreadable()}) is None
    assert identity_of({}) is None


@pytest.mark.parametrize("consumer", [GraphqlHttpConsumer, GraphqlWsConsumer])
@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ("10.0.0.1", TypeError, "trusted_proxies is '10.0.0.1', it must be a list of addresses"),
        (["10.0.0.300"], ValueError, "trusted_proxies: '10.0.0.300' does not appear to be an"),
    ],
)
def test_proxies_are_addresses(consumer: Any, value: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        consumer.as_asgi(schema=schema, trusted_proxies=value)

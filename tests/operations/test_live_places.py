"""Places for live subscriptions: whose they are, and that they are given back."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject

from channels_graphql_ws.execution.errors import TooManyError
from channels_graphql_ws.operations.live_places import LivePlaces, OwnedPlaces, release

PUBLIC, OTHER = "8.8.8.8", "8.8.4.4"


def user(name: str) -> Any:
    return SimpleNamespace(pk=name, is_authenticated=True)


def places(of_user: int | None = None, of_address: int | None = None) -> LivePlaces:
    return LivePlaces(
        SimpleNamespace(
            max_subscriptions_per_user=of_user,
            max_subscriptions_per_address=of_address,
            trusted_proxies=(),
        )
    )


def scope(name: str | None = None, address: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {} if name is None else {"user": user(name)}
    return found if address is None else {**found, "client": (address, 1)}


async def test_all_connections_of_a_user_share_their_places() -> None:
    first, second = places(2), places(2)
    taken = first.take(scope("a"))
    second.take(scope("a"))
    with pytest.raises(TooManyError) as caught:
        first.take(scope("a"))
    (error,) = caught.value.errors
    option = "max_subscriptions_per_user"
    assert error.extensions == {"code": "LIMIT_EXCEEDED", "limit": option, "allowed": 2}
    assert error.message == (
        "Subscription limit of 2 reached for all connections of this user: end one of its "
        "subscriptions (`max_subscriptions_per_user`)."
    )
    places(2).take(scope("b"))
    release(taken)
    first.take(scope("a"))


async def test_an_address_is_counted_besides_its_users() -> None:
    one = places(1, 2)
    one.take(scope("a", PUBLIC))
    one.take(scope("b", PUBLIC))
    for name in ("c", None):
        with pytest.raises(TooManyError, match="max_subscriptions_per_address"):
            one.take(scope(name, PUBLIC))
    one.take(scope("c", OTHER))


async def test_what_is_refused_takes_no_place() -> None:
    one = places(1, 10)
    one.take(scope("a", PUBLIC))
    for _ in range(20):
        with pytest.raises(TooManyError, match="max_subscriptions_per_user"):
            one.take(scope("a", PUBLIC))
    for number in range(9):
        one.take(scope(str(number), PUBLIC))


@pytest.mark.parametrize("address", [None, "127.0.0.1", "10.0.0.1"])
async def test_who_is_not_known_is_not_counted(address: str | None) -> None:
    one = places(1, 1)
    assert [one.take(scope(address=address)) for _ in range(3)] == [(), (), ()]


async def test_nobody_is_counted_without_limits() -> None:
    for one in (places(), LivePlaces()):
        assert [one.take(scope("a", PUBLIC)) for _ in range(3)] == [(), (), ()]


async def test_each_limit_may_be_switched_off_by_itself() -> None:
    assert [len(places(1, None).take(scope(each, PUBLIC))) for each in "abc"] == [1, 1, 1]
    assert [len(places(None, 3).take(scope("a", PUBLIC))) for _ in "abc"] == [1, 1, 1]


async def test_each_place_is_given_back_to_whom_it_was_taken_from() -> None:
    one = places(1)
    of_a, of_b = (one.take(scope(name)) for name in "ab")
    release(of_a)
    of_a = one.take(scope("a"))
    with pytest.raises(TooManyError):
        one.take(scope("b"))
    release(of_b)
    assert one.take(scope("b")) != of_a


async def test_a_user_is_looked_at_again_until_it_is_read() -> None:
    def unread() -> Any:
        raise RuntimeError("a query on the event loop")

    lazy: Any = SimpleLazyObject(unread)
    one = places(1)
    assert [one.take({"user": lazy}) for _ in range(2)] == [(), ()]
    # As `AuthMiddleware` does.
    lazy._wrapped = user("a")
    one.take({"user": lazy})
    with pytest.raises(TooManyError):
        one.take({"user": lazy})
    with pytest.raises(TooManyError):
        places(1).take(scope("a"))


async def test_nothing_is_kept_of_owners_that_have_gone() -> None:
    one = places(1, 1)
    for number in range(10):
        one.take(scope(f"gone {number}", f"9.9.9.{number}"))
    del one
    gc.collect()
    assert [each for each in gc.get_objects() if type(each) is OwnedPlaces] == []

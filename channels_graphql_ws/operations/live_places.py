"""Places for live subscriptions: how many one user, or one address, may have in a process.

Each of them is about fifteen objects until it ends. The garbage collector looks at all objects at
a time, and the process stands still meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

from channels_graphql_ws.execution.errors import TooManyError
from channels_graphql_ws.execution.limits import exceeded
from channels_graphql_ws.operations.places import address_of, is_unread, user_of

_NOT_SEEN: Final = object()


class LivePlaceOptions(Protocol):
    """The options of a consumer or view that say how many there may be."""

    max_subscriptions_per_user: int | None
    max_subscriptions_per_address: int | None
    trusted_proxies: Sequence[str]


class OwnedPlaces:
    """Places that one user or one address has taken on one event loop.

    Attributes:
        taken: how many.
    """

    __slots__ = ("__weakref__", "taken")

    def __init__(self) -> None:
        self.taken = 0


TakenPlaces: TypeAlias = tuple[OwnedPlaces, ...]
"""Where one subscription is counted: the same object for all of a connection."""


_owned: WeakKeyDictionary[
    asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, OwnedPlaces]
] = WeakKeyDictionary()


class LivePlaces:
    """The places of the live subscriptions of one connection or request.

    What is done for each subscription is little: who has them is found out once for each user.

    Args:
        options: the consumer or view, for its limits, which is not kept; `None`: no limits.
    """

    __slots__ = ("_limits", "_mosts", "_owned", "_proxies", "_user")

    def __init__(self, options: LivePlaceOptions | None = None) -> None:
        self._mosts: tuple[int | None, int | None] = None, None
        self._proxies: Sequence[str] = ()
        if options is not None:
            self._mosts = (
                options.max_subscriptions_per_user,
                options.max_subscriptions_per_address,
            )
            self._proxies = options.trusted_proxies
        self._user: object = _NOT_SEEN
        self._limits: tuple[tuple[OwnedPlaces, int, str], ...] = ()
        self._owned: TakenPlaces = ()

    def take(self, scope: Mapping[str, Any]) -> TakenPlaces:
        """Take a place for a subscription.

        Args:
            scope: of its operation. Somebody may have been logged in or out since the last one.

        Returns:
            What to `release`, once, when it ends.

        Raises:
            TooManyError: the user, or the address, has as many as it may have.
        """
        if scope.get("user") is not self._user:
            self._find_owners(scope)
        for places, most, owner in self._limits:
            if places.taken >= most:
                raise _error(owner, most)
        for places in self._owned:
            places.taken += 1
        return self._owned

    def _find_owners(self, scope: Mapping[str, Any]) -> None:
        of_user, of_address = self._mosts
        limits: list[tuple[OwnedPlaces, int, str]] = []
        if of_user is not None and (key := user_of(scope)) is not None:
            limits.append((_places_of(key), of_user, "user"))
        if of_address is not None and (address := address_of(scope, self._proxies)) is not None:
            limits.append((_places_of(address), of_address, "address"))
        user = scope.get("user")
        # One that is still not read may be anybody.
        self._user = _NOT_SEEN if is_unread(user) else user
        self._limits = tuple(limits)
        self._owned = tuple([places for places, _, _ in limits])


def release(taken: TakenPlaces) -> None:
    """Release what `LivePlaces.take` has returned."""
    for each in taken:
        each.taken -= 1


def _error(owner: str, most: int) -> TooManyError:
    text = (
        f"Subscription limit of {most} reached for all connections of this {owner}: end one of "
        "its subscriptions"
    )
    return TooManyError(exceeded(f"max_subscriptions_per_{owner}", most, text))


def _places_of(owner: Hashable) -> OwnedPlaces:
    """Return the places of a user or an address; they last as long as somebody has them."""
    all_owned = _owned.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    return all_owned.setdefault(owner, OwnedPlaces())

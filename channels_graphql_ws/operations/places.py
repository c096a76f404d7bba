"""Places for what stays open: how much of it one user, or one address, may have in a process."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from django.utils.functional import LazyObject, empty

from channels_graphql_ws.execution.headers import MAX_PARSED_LENGTH, headers_of

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""Where translators put the whole of IPv4 (RFC 6052): it is not the network of one customer."""

_SITE: Final = 64
"""Bits of an IPv6 address that name the network of a customer: the others are their own."""


class Limit(NamedTuple):
    """How many places there are for one key.

    Attributes:
        key: whose places they are; `None` is not counted.
        most: how many; `None`: any number.
        option: the option that says so, for the error.
    """

    key: Hashable
    most: int | None
    option: str


class NoPlaceError(Exception):
    """All places of a user or an address are taken; `limit` says of which."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(f"no more than {limit.most} may be open (`{limit.option}`)")
        self.limit = limit


class Place:
    """What is open; `release` it when it is closed."""

    __slots__ = ("_keys", "_taken")

    def __init__(self, taken: Counter[Hashable], keys: Sequence[Hashable]) -> None:
        self._taken = taken
        self._keys = keys

    def release(self) -> None:
        """Release the place; harmless when repeated."""
        keys, self._keys = self._keys, ()
        for key in keys:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]


class Places:
    """The places of one kind on one event loop. See `places_of_loop`."""

    def __init__(self) -> None:
        self._taken: Counter[Hashable] = Counter()

    def take(self, limits: Iterable[Limit]) -> Place:
        """Take a place.

        Args:
            limits: those that apply.

        Raises:
            NoPlaceError: one of them is reached.
        """
        counted = [each for each in limits if each.key is not None and each.most is not None]
        for each in counted:
            if each.most is not None and self._taken[each.key] >= each.most:
                raise NoPlaceError(each)
        keys = [each.key for each in counted]
        self._taken.update(keys)
        return Place(self._taken, keys)


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, defaultdict[str, Places]] = (
    WeakKeyDictionary()
)


def places_of_loop(kind: str) -> Places:
    """Return the places of a kind on the running event loop, of which a process has one."""
    loop = asyncio.get_running_loop()
    return _of_loops.setdefault(loop, defaultdict(Places))[kind]


def user_of(scope: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return who is logged in, `None` if nobody is, or if that would take a query."""
    try:
        user = scope["user"]
        return ("user", str(user.pk)) if user.is_authenticated else None
    except Exception:  # noqa: BLE001 (another kind of user, or a query on the event loop)
        return None


def identity_of(scope: Mapping[str, Any]) -> str | None:
    """Return the user as text, or else the session; `None` if nobody knows who it is."""
    user = user_of(scope)
    if user is not None:
        return f"user {user[1]}"
    key = session_of(scope)
    # The channel layer has no use for the key itself.
    return f"session {hashlib.sha256(key.encode()).hexdigest()}" if key else None


def session_of(scope: Mapping[str, Any]) -> str | None:
    """Return the key of the session, `None` if there is none, or if that would take a query."""
    try:
        return getattr(scope.get("session"), "session_key", None)
    except Exception:  # noqa: BLE001 (another kind of session, or a query on the event loop)
        return None


class Login(NamedTuple):
    """Who is logged in by a session.

    Attributes:
        user: see `user_of`.
        session: the key of the session.
    """

    user: tuple[str, str]
    session: str

    def has_ended(self, scope: Mapping[str, Any]) -> bool:
        """Return whether a scope that it came from has another user by now, or none."""
        return user_of(scope) != self.user


def login_of(scope: Mapping[str, Any]) -> Login | None:
    """Return who is logged in by a session, `None` if nobody is."""
    user, session = user_of(scope), session_of(scope)
    return None if user is None or session is None else Login(user, session)


def is_unread(user: object) -> bool:
    """Return whether it would take a query to know who a user is."""
    return isinstance(user, LazyObject) and vars(user).get("_wrapped") is empty


def user_id_of(scope: Mapping[str, Any]) -> Any:
    """Return the primary key of who is logged in, without a query; `None` if it is not known."""
    user = scope.get("user")
    if is_unread(user):
        return None
    try:
        return user.pk if user is not None and user.is_authenticated else None
    except Exception:  # noqa: BLE001 (another kind of user)
        return None


def address_of(scope: Mapping[str, Any], trusted_proxies: Sequence[str]) -> str | None:
    """Return the address of a client, `None` where it is not known to be the client's own.

    That is so where the server does not say it, and for addresses of this machine or of a
    private network, where a proxy has passed the client on. What a proxy says in
    `X-Forwarded-For` is believed of those in `trusted_proxies`.
    """
    peer = _address((scope.get("client") or ("",))[0])
    trusted = _networks(tuple(trusted_proxies))
    if peer is not None and _is_in(peer, trusted):
        peer = _forwarded(headers_of(scope).get("x-forwarded-for", ""), trusted)
    if peer is None or not peer.is_global:
        return None
    if isinstance(peer, IPv6Address):
        return str(ip_network((int(peer) >> _SITE << _SITE, _SITE)))
    return str(peer)


def check_networks(value: Any, name: str) -> None:
    """Check the option `trusted_proxies`.

    Raises:
        TypeError: it is not a sequence of strings.
        ValueError: one of them is not an address or a network.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name} is {value!r}, it must be a list of addresses and networks")
    try:
        _networks(tuple(value))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _forwarded(header: str, trusted: Sequence[Network]) -> Address | None:
    """Return the last address that is not one of a trusted proxy: each adds to the right."""
    texts = header[-MAX_PARSED_LENGTH:].split(",")
    # The first of a header that was cut may not be a whole one.
    for text in reversed(texts[1:] if len(header) > MAX_PARSED_LENGTH else texts):
        address = _address(_without_port(text.strip()))
        if address is None or not _is_in(address, trusted):
            return address
    return None


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


@lru_cache(maxsize=1024)
def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address if isinstance(address, IPv4Address) else _translated(address) or address


def _translated(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address of a client that reaches an IPv6 server by a translator or tunnel.

    One of 6to4 would have 65,536 networks for itself, and one of Teredo would not be counted.
    """
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (None if teredo is None else teredo[1])


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in each for each in networks)


@lru_cache(maxsize=32)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(each, strict=False) for each in texts)

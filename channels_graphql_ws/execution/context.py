"""`info.context`: what an operation knows of itself and of its connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from datetime import datetime
from typing import Any, Final, Protocol, Self

from django.http import HttpRequest, parse_cookie

from channels_graphql_ws.concurrency.eager import never_awaitable
from channels_graphql_ws.exceptions import ChannelLayerError, SharedContextError
from channels_graphql_ws.execution.django_request import (
    MISSING,
    REQUEST_NAMES,
    Headers,
    NoForm,
    hand_on,
    request_of,
    take_back,
    value_of_middleware,
    value_of_view,
)
from channels_graphql_ws.execution.headers import headers_of


class ContextOwner(Protocol):
    """The connection or request, as far as the contexts of its operations need it."""

    def listen_to_channel(
        self, type: str, *, timeout: float | None, groups: Iterable[str], prefix: str
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        """Listen to other Channels code."""
        ...

    def renew(self, expires_at: datetime | float | None) -> None:
        """Change the time at which the rights of the connection end."""


class DictAsObject:
    """Reads and writes the items of a dictionary as attributes, and as items.

    It can be copied and pickled: a copy has a dictionary of its own. A deep copy shares only
    what cannot be copied, such as a lock or a task.

    Args:
        dictionary: is kept, not copied.
    """

    __slots__ = ("__weakref__", "_items", "_kept")

    def __init__(self, dictionary: dict[str, Any]) -> None:
        object.__setattr__(self, "_items", dictionary)

    def _asdict(self) -> dict[str, Any]:
        """Return the dictionary itself, not a copy."""
        items: dict[str, Any] = object.__getattribute__(self, "_items")
        return items

    def __getattr__(self, name: str) -> Any:
        try:
            return self._asdict()[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._asdict()[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._asdict()[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}") from None

    def __getitem__(self, name: str) -> Any:
        return self._asdict()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._asdict()[name] = value

    def __delitem__(self, name: str) -> None:
        del self._asdict()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._asdict()

    def __iter__(self) -> Iterator[str]:
        return iter(self._asdict())

    def __len__(self) -> int:
        return len(self._asdict())

    def __bool__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        return self._asdict()

    def __setstate__(self, dictionary: dict[str, Any]) -> None:
        object.__setattr__(self, "_items", dictionary)

    def __copy__(self) -> Self:
        return self._with(dict(self._asdict()))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        items: dict[str, Any] = {}
        # Noted first: something in it may refer to it.
        copied = memo[id(self)] = self._with(items)
        items.update(_deep_copy(self._asdict(), memo))
        return copied

    def _with(self, dictionary: dict[str, Any]) -> Self:
        """Return another object of this class with other items."""
        other = type(self).__new__(type(self))
        other.__setstate__(dictionary)
        return other

    def __str__(self) -> str:
        return str(self._asdict())

    def __repr__(self) -> str:
        return repr(self._asdict())


@never_awaitable
class OperationContext(DictAsObject):
    """The context of one operation; all events of a subscription see the same one.

    Set on it whatever you like, by attribute or by item. What it has from the start:

    - `channels_scope`: the connection's scope, the dictionary itself;
    - `channel_name`: the connection's own channel, `None` without a channel layer;
    - `graphql_operation_id`, `graphql_operation_name`: as the client sent them;
    - `connection_params`: the payload of `connection_init`, empty if there was none;
    - `user`, `session`, `headers`, `cookies`, and whatever else the scope has under a name,
      such as what `on_connect` or a middleware put there: read from the scope each time.

    - what code of Django expects of a request: `META`, `COOKIES`, `GET`, `method`, `path`,
      `build_absolute_uri()`, `get_host()`, `is_secure()`, …; in a view, those of its request,
      and what middleware has put there.

    An attribute that is set hides the one which is read from the scope. In a view, it is set on
    Django's request as well, where decorators and middleware find it; other operations of the
    request do not see it.
    `django.contrib.auth.login` and `logout`, and their asynchronous forms, take it in place of
    a request; over WebSocket they count for the connection, which can set no cookie.

    Args:
        dictionary: is kept, not copied.
        owner: the connection, for `listen_to_channel` and `renew`.
        consumer: over WebSocket, what Strawberry's resolvers expect as the items `ws` and
            `request`.
    """

    __slots__ = ("_consumer", "_owner", "_request")

    _FROM_SCOPE = frozenset({"user", "session"})

    def __init__(
        self,
        dictionary: dict[str, Any],
        owner: ContextOwner | None = None,
        consumer: object = None,
    ) -> None:
        super().__init__(dictionary)
        object.__setattr__(self, "_consumer", consumer)
        object.__setattr__(self, "_owner", owner)
        object.__setattr__(self, "_request", None)

    def __setstate__(self, dictionary: dict[str, Any]) -> None:
        super().__setstate__(dictionary)
        # Another process has no part in the connection.
        object.__setattr__(self, "_consumer", None)
        object.__setattr__(self, "_owner", None)
        object.__setattr__(self, "_request", None)

    def _with(self, dictionary: dict[str, Any]) -> Self:
        other = super()._with(dictionary)
        for name in OperationContext.__slots__:
            object.__setattr__(other, name, object.__getattribute__(self, name))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # What is set on it is sent: a copy of it would take that in silence.
        response = self._asdict().get("response")
        memo[id(response)] = response
        return super().__deepcopy__(memo)

    def renew(self, expires_at: datetime | float | None) -> None:
        """Change the time at which the rights of this connection end.

        Args:
            expires_at: a date and time, or seconds since 1970, as `exp` of a JWT; `None`: they
                do not expire. It is `self.scope["expires_at"]` of the consumer from then on.

        Raises:
            TypeError: it is not a time.
            RuntimeError: this is a request over HTTP, the connection is closed, or it is another
                user's since this operation began.
        """
        owner: ContextOwner | None = object.__getattribute__(self, "_owner")
        if owner is None:
            raise RuntimeError("This context belongs to no connection that could be renewed")
        owner.renew(expires_at)

    def listen_to_channel(
        self,
        type: str,
        *,
        timeout: float | None = None,
        groups: Iterable[str] = (),
        prefix: str = "",
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        """Listen to messages that other Channels code sends, in an `async with`.

        Args:
            type: the `type` of the messages.
            timeout: seconds without a message after which the iteration ends.
            groups: names of groups on the channel layer, as `group_send` takes them.
                Without any: what is sent to `channel_name`, the connection's own channel.
            prefix: is put before each of the groups. Give one where clients have a say in
                their names, or they may guess a group that was made for something else.

        Raises:
            ChannelLayerError: there is no channel layer, or it refused.
        """
        owner: ContextOwner | None = object.__getattribute__(self, "_owner")
        if owner is None:
            raise ChannelLayerError("This context belongs to no connection that could listen")
        return owner.listen_to_channel(type, timeout=timeout, groups=groups, prefix=prefix)

    def __getattr__(self, name: str) -> Any:
        if name in self._asdict():
            return self._asdict()[name]
        return self._from_scope(name)

    def __getitem__(self, name: str) -> Any:
        try:
            return self.__getattr__(name)
        except AttributeError as error:
            if name in _OF_STRAWBERRY and self._has_consumer:
                return object.__getattribute__(self, "_consumer")
            raise KeyError(name) from error

    def __contains__(self, name: object) -> bool:
        if name in self._asdict() or name in {"headers", "cookies"}:
            return True
        if name in _OF_STRAWBERRY and self._has_consumer:
            return True
        scope = self._scope
        if name in scope or (name in REQUEST_NAMES and bool(scope)):
            return True
        return value_of_middleware(self._view_request, name) is not MISSING

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if (request := self._view_request) is not None:
            hand_on(request, name, value)

    def __setitem__(self, name: str, value: Any) -> None:
        self.__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if (request := self._view_request) is not None:
            take_back(request, name)

    def __delitem__(self, name: str) -> None:
        try:
            self.__delattr__(name)
        except AttributeError as error:
            raise KeyError(name) from error

    @property
    def _has_consumer(self) -> bool:
        return object.__getattribute__(self, "_consumer") is not None

    @property
    def _scope(self) -> Mapping[str, Any]:
        """The scope, empty if there is none; the name that the predecessor had for it."""
        scope: Mapping[str, Any] = self._asdict().get("channels_scope", {})
        return scope

    def _django_request(self) -> HttpRequest:
        """Return a request of Django's, the same one each time: `login` changes its `META`."""
        request: HttpRequest | None = object.__getattribute__(self, "_request")
        if request is None:
            request = request_of(self._scope)
            object.__setattr__(self, "_request", request)
        return request

    @property
    def _view_request(self) -> HttpRequest | None:
        """Django's own request in a view."""
        return self._scope.get("django_request")

    async def _auser(self) -> Any:
        return self.user

    def _from_scope(self, name: str) -> Any:
        scope = self._scope
        if name == "headers":
            return Headers(headers_of(scope))
        if name in REQUEST_NAMES and scope:
            return getattr(self._django_request(), name)
        if name == "cookies":
            cookies = scope.get("cookies")
            return (
                parse_cookie(headers_of(scope).get("cookie", "")) if cookies is None else cookies
            )
        if name in scope:
            return scope[name]
        if name == "auser" and "user" in scope:
            return self._auser
        of_view = value_of_view(self._view_request, name)
        if of_view is not MISSING:
            return of_view
        if name == "POST" and scope:
            return NoForm()
        raise AttributeError(self._why_it_is_missing(name))

    def _why_it_is_missing(self, name: str) -> str:
        if name in self._FROM_SCOPE:
            return (
                f"The scope of this connection has no {name!r}: "
                "wrap the consumer in `channels.auth.AuthMiddlewareStack`"
            )
        hint = ""
        if name in _OF_REQUESTS:
            hint = f". It is not a Django request: {_OF_REQUESTS[name]}"
        elif self._view_request is None:
            hint = (
                ". What Django's middleware puts on a request is there in `GraphqlView`, which it "
                "is in front of"
            )
        return (
            f"{type(self).__name__} has no attribute {name!r}, and the scope of the connection "
            f"has no such key{hint}"
        )


_OF_STRAWBERRY: Final = frozenset({"request", "ws"})
"""Items of a context over WebSocket that resolvers written for Strawberry ask for."""

_OF_REQUESTS: Final = {
    "FILES": "files are variables of the type `Upload`",
    "body": "over HTTP, `info.context.request` has the request",
    "is_ajax": "`info.context.headers` has the headers",
    "request": "over HTTP, this is the request; over WebSocket, `info.context` has what there is",
}
"""Attributes that those who know Django's requests look for."""


def kept_of(context: DictAsObject) -> dict[Any, Any]:
    """Return what the library keeps with a context, as long as that lives."""
    try:
        kept: dict[Any, Any] = object.__getattribute__(context, "_kept")
    except AttributeError:
        kept = {}
        object.__setattr__(context, "_kept", kept)
    return kept


class SharedContext(DictAsObject):
    """The context of what is executed once for several clients (`Subscription.context_id`).

    It has nothing of any one of them but `graphql_operation_name`, which they have in
    common. What is set on it stays there as long as somebody is subscribed.
    """

    __slots__ = ()

    _OF_ONE_CLIENT = frozenset(
        {
            "channel_name",
            "channels_scope",
            "connection_params",
            "cookies",
            "graphql_operation_id",
            "headers",
            "listen_to_channel",
            "request",
            "response",
            "session",
            "user",
            "ws",
            *REQUEST_NAMES,
        }
    )

    def __getattr__(self, name: str) -> Any:
        self._refuse(name)
        return super().__getattr__(name)

    def __getitem__(self, name: str) -> Any:
        self._refuse(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._refuse(name)
        return super().__contains__(name)

    def _refuse(self, name: object) -> None:
        if name in self._OF_ONE_CLIENT and name not in self._asdict():
            raise SharedContextError(
                f"`info.context.{name}` belongs to one client, but this is executed for all "
                "clients of one `context_id`: put what `publish` needs into the payload, or "
                "ask for it in `subscribe`, `context_id` or `filter_event`, which are called for "
                "each client"
            )


def _deep_copy(items: dict[str, Any], memo: dict[int, Any]) -> dict[str, Any]:
    """Copy a dictionary and what is in it; what cannot be copied is in both."""
    copied: dict[str, Any] = memo.setdefault(id(items), {})
    for name, value in items.items():
        if type(value) is dict:
            copied[name] = memo[id(value)] if id(value) in memo else _deep_copy(value, memo)
            continue
        try:
            copied[name] = deepcopy(value, memo)
        except Exception:  # noqa: BLE001 (whatever the value's own code raises)
            copied[name] = value
    return copied

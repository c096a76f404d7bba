"""Options of consumers and views: class attributes, or keyword arguments of the same names."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from inspect import isroutine
from typing import Any, Final, TypeVar

from graphql import GraphQLSchema

T = TypeVar("T")

_NUMBERS: Final = (
    "max_batch_size",
    "max_event_streams",
    "reservation_timeout",
    "subscription_notification_queue_limit",
)

_NUMBERS_OR_NONE: Final = (
    "connection_init_wait_timeout",
    "disconnect_timeout",
    "max_body_size",
    "max_depth",
    "max_message_size",
    "max_operations_in_flight",
    "max_operations_per_connection",
    "max_tokens",
    "max_upload_size",
    "operation_timeout",
    "pong_timeout",
    "send_heartbeat_every",
    "send_ping_every",
    "stalled_reader_timeout",
    "warn_operation_timeout",
)

_NO_OPTIONS = frozenset({"groups", "view_is_async", "http_method_names"})


def option_names(cls: type[Any]) -> set[str]:
    """Give the names of a class's options: public attributes that are no methods."""
    return {
        name
        for name in dir(cls)
        if not name.startswith("_")
        and name not in _NO_OPTIONS
        and not isroutine(getattr(cls, name))
        and not isinstance(getattr(cls, name), property)
    } | {"schema"}


def check_options(given: dict[str, Any], known: set[str], what: str) -> None:
    """See if all options are known.

    Raises:
        TypeError: one is not; the text suggests what may have been meant.
    """
    for name in given:
        if name not in known:
            similar = get_close_matches(name, known, 1)
            hint = f", did you mean {similar[0]!r}?" if similar else ""
            raise TypeError(f"{what} has no option {name!r}{hint}")


def check_values(cls: type[Any]) -> None:
    """See if the options of a class can mean something.

    Raises:
        ValueError: a number is none, or is below 0.
        TypeError: a message is no text, or no mapping.
    """
    for name in (*_NUMBERS, *_NUMBERS_OR_NONE):
        value = getattr(cls, name, 0)
        if value is None and name in _NUMBERS_OR_NONE:
            continue
        if not isinstance(value, int | float) or value < 0:
            or_none = " or `None`" if name in _NUMBERS_OR_NONE else ""
            raise ValueError(
                f"{cls.__qualname__}.{name} is {value!r}, it has to be a number from 0 on{or_none}"
            )
    message = getattr(cls, "subscription_confirmation_message", {})
    if not isinstance(message, Mapping):
        raise TypeError(
            f"{cls.__qualname__}.subscription_confirmation_message is {message!r}, it has to be a "
            "dict of `data` and `errors`"
        )
    text = getattr(cls, "masked_error_message", "")
    if not isinstance(text, str):
        raise TypeError(
            f"{cls.__qualname__}.masked_error_message is {text!r}, it has to be a string"
        )


def with_options(cls: type[T], options: dict[str, Any]) -> type[T]:
    """Give a subclass with these options; hooks have to be overridden in a subclass.

    Raises:
        ValueError, TypeError: a value makes no sense, see `check_values`.
    """
    if not options:
        return cls
    # A function would become a method; options that are callables stay what they are.
    attributes = {
        name: staticmethod(value) if isroutine(value) else value for name, value in options.items()
    }
    subclass: Any = type(cls.__name__, (cls,), {"__module__": cls.__module__, **attributes})
    check_values(subclass)
    return subclass  # type: ignore[no-any-return]


def core_schema(schema: Any) -> GraphQLSchema:
    """Give graphql-core's schema of whatever carries one.

    Raises:
        TypeError: there is none to be found.
    """
    if isinstance(schema, GraphQLSchema):
        return schema
    # Graphene has the first, Strawberry the second.
    for name in ("graphql_schema", "_schema", "schema"):
        carried = getattr(schema, name, None)
        if isinstance(carried, GraphQLSchema):
            return carried
    raise TypeError(
        f"{schema!r} is no schema: give a `graphene.Schema`, a `graphql.GraphQLSchema`, or "
        "something that has one"
    )

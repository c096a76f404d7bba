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


def check_values(endpoint: Any) -> None:
    """See if the options of an endpoint, or of a class of them, can mean something.

    Raises:
        ValueError: a number is none, or is below 0.
        TypeError: a message is no text, or no mapping; a method would need an instance.
    """
    name_of = (endpoint if isinstance(endpoint, type) else type(endpoint)).__qualname__
    for name in (*_NUMBERS, *_NUMBERS_OR_NONE):
        value = getattr(endpoint, name, 0)
        if value is None and name in _NUMBERS_OR_NONE:
            continue
        if not isinstance(value, int | float) or value < 0:
            or_none = " or `None`" if name in _NUMBERS_OR_NONE else ""
            raise ValueError(f"{name_of}.{name} is {value!r}, it must be a number ≥ 0{or_none}")
    message = getattr(endpoint, "subscription_confirmation_message", {})
    if not isinstance(message, Mapping):
        raise TypeError(
            f"{name_of}.subscription_confirmation_message is {message!r}, it must be a "
            "dict of `data` and `errors`"
        )
    text = getattr(endpoint, "masked_error_message", "")
    if not isinstance(text, str):
        raise TypeError(f"{name_of}.masked_error_message is {text!r}, it must be a string")
    if isinstance(endpoint, type):
        return
    for name in ("parse_document", "validate_document"):
        if getattr(getattr(endpoint, name, None), "__self__", None) is endpoint:
            raise TypeError(
                f"{name_of}.{name} must be a class method or a static method: what it returns is "
                "kept for all clients"
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

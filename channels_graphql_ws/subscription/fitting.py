"""Whether the fields of an event find anything in what `publish` returns."""

from __future__ import annotations

import dis
import logging
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR, isfunction, unwrap
from types import NoneType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from graphene.types.resolver import dict_or_attr_resolver, get_default_resolver

if TYPE_CHECKING:
    from channels_graphql_ws.subscription.declaration import Subscription

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")


def returns_nothing(function: Any) -> bool:
    """Return whether a function has no `return` with a value, but comes to its end."""
    code = getattr(unwrap(function), "__code__", None)
    if code is None or code.co_flags & (CO_GENERATOR | CO_ASYNC_GENERATOR):
        return False
    before: dis.Instruction | None = None
    ends = 0
    for each in dis.get_instructions(code):
        if each.opname.startswith("RETURN_") and each.opname != "RETURN_GENERATOR":
            ends += 1
            # Older Pythons load the constant first.
            value = before if each.opname == "RETURN_VALUE" else each
            if value is None or "CONST" not in value.opname or value.argval is not None:
                return False
        before = each
    return ends > 0


class Fitting:
    """What `publish` of a class has returned so far.

    Attributes:
        known: the types of it; the first object of each was looked at.
    """

    __slots__ = ("_fields", "_name", "_publish", "known")

    def __init__(self, subscription_class: type[Subscription]) -> None:
        self.known: set[type[Any]] = set()
        self._name = subscription_class.__qualname__
        self._publish = subscription_class._meta.publish
        self._fields = _plain_fields(subscription_class._meta.output)

    def look_at_none(self) -> None:
        """Warn if `publish` can return nothing but `None`, which skips the event."""
        self.known.add(NoneType)
        if returns_nothing(self._publish):
            log.warning(
                "`publish` of %s has no `return`: all events are skipped. Return %s(…) or a dict, "
                "or SKIP where that is meant",
                self._name,
                self._name,
            )

    def look_at(self, value: object) -> None:
        """Warn if not one of the fields can be found in an object."""
        self.known.add(type(value))
        # A type of Graphene's, or a model: their attributes declare what objects have.
        if isinstance(value, type) and hasattr(value, "_meta"):
            log.warning(
                "`publish` of %s has returned the class %s, which declares fields and has no "
                "values: return %s(…), or a dict",
                self._name,
                value.__qualname__,
                self._name,
            )
            return
        fields = self._fields
        if not fields or any(_has(value, name) for name in fields):
            return
        log.warning(
            "`publish` of %s has returned %s, which has none of the fields %s: clients get null. "
            "Return %s(…), a dict, or an object with such attributes",
            self._name,
            _described(value),
            ", ".join(fields),
            self._name,
        )


_known: WeakKeyDictionary[type[Subscription], Fitting] = WeakKeyDictionary()


def fitting_of(subscription_class: type[Subscription]) -> Fitting:
    """Return what is known of a class."""
    found = _known.get(subscription_class)
    if found is None:
        found = _known[subscription_class] = Fitting(subscription_class)
    return found


def _plain_fields(output: Any) -> list[str]:
    """Return the fields that are looked up by name; none if some of them are resolved in code."""
    fields = getattr(getattr(output, "_meta", None), "fields", None) or {}
    plain = [
        name
        for name, field in fields.items()
        if getattr(field, "resolver", None) is None
        and getattr(field, "default_value", None) is None
        and not hasattr(output, f"resolve_{name}")
    ]
    own = getattr(getattr(output, "_meta", None), "default_resolver", None)
    is_by_name = own is None and get_default_resolver() is dict_or_attr_resolver
    return plain if is_by_name and len(plain) == len(fields) else []


def _has(value: Any, name: str) -> bool:
    """Return whether a name is there, without running code of the object."""
    if isinstance(value, dict):
        return name in value
    cls = type(value)
    if hasattr(cls, name) or hasattr(cls, "__getattr__") or isfunction(cls.__getattribute__):
        return True
    return name in getattr(value, "__dict__", ())


def _described(value: object) -> str:
    if isinstance(value, dict):
        keys = ", ".join(repr(key)[:50] for key in list(value)[:5])
        return f"a dict with the keys {keys}" if keys else "an empty dict"
    return f"an object of the type {type(value).__name__!r}"

"""Which methods a class of the user has of its own: found out once for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any


class OwnMethods:
    """Tells which methods a class does not have from the library.

    Args:
        inherited: classes of the library, and their methods that users may override.
    """

    def __init__(self, inherited: Mapping[type[Any], Sequence[str]]) -> None:
        self._names = [name for names in inherited.values() for name in names]
        self._methods_of = attrgetter(*self._names)
        self._inherited = [
            _function(getattr(cls, name)) for cls, names in inherited.items() for name in names
        ]

    def of(self, cls: type[Any]) -> frozenset[str]:
        """Give the names of those that the class has now: methods may be set at any time."""
        methods: tuple[Any, ...] = self._methods_of(cls)
        known: tuple[Any, frozenset[str]] | None = cls.__dict__.get("_own_methods")
        if known is not None and known[0] == methods:
            return known[1]
        own = frozenset(
            name
            for name, method, inherited in zip(self._names, methods, self._inherited, strict=True)
            if _function(method) is not inherited
        )
        cls._own_methods = methods, own
        return own


def _function(method: Any) -> Any:
    # Each access to a class method makes another object of it.
    return getattr(method, "__func__", method)

"""Which hooks and methods a user has replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])

# By identity, as a user may put anything in the place of a method. All of them are attributes
# of classes of the library, and live as long as the process.
_defaults: dict[int, Any] = {}


def default(method: Method) -> Method:
    """Mark a method of the library as the one that a user may replace; a decorator."""
    _defaults[id(method)] = method
    return method


def is_default(method: object) -> bool:
    """Return whether this is a method of the library that a user may replace."""
    # Each access to a method makes another object of it.
    return id(getattr(method, "__func__", method)) in _defaults


def overridden(endpoint: object, name: str) -> bool:
    """Return whether a consumer or view has a method of the user's by this name.

    In a subclass, set on the class later, or set on the instance: ask when the connection
    opens or the request begins, and not before. One in `own_names` is something else.

    Args:
        endpoint: the instance.
        name: of a method that is marked as a `default`.
    """
    is_own = not is_default(getattr(endpoint, name))
    return is_own and name not in getattr(endpoint, "own_names", ())


class Hooks:
    """Methods of the library that a user may replace, asked about together.

    Args:
        names: of methods that are marked as a `default`.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._order = tuple(sorted(self._names))
        self._read = attrgetter(*self._order)

    def overridden(self, endpoint: object) -> frozenset[str]:
        """Return those of the names for which `overridden` is true."""
        others, own = self._others(type(endpoint)), vars(endpoint)
        # Those of most connections.
        if not others and self._names.isdisjoint(own):
            return _NONE
        return frozenset(
            [
                name
                for name in self._order
                if (name in own or name in others) and overridden(endpoint, name)
            ]
        )

    def _others(self, cls: Any) -> frozenset[str]:
        """Return the names under which a class has something else than the library."""
        found = self._read(cls)
        # Kept by the class: its methods may know it, so that it would never be freed.
        kept: dict[Hooks, tuple[Any, frozenset[str]]] | None = cls.__dict__.get("_known_hooks")
        if kept is None:
            kept = cls._known_hooks = {}
        known = kept.get(self)
        # They may be set on the class later.
        if known is not None and known[0] == found:
            return known[1]
        named = zip(self._order, found, strict=True)
        others = frozenset([name for name, method in named if id(method) not in _defaults])
        kept[self] = found, others
        return others


_NONE: Final[frozenset[str]] = frozenset()

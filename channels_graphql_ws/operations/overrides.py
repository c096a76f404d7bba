"""Which hooks and methods a user has replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

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


def all_overridden(endpoint: object, names: Iterable[str]) -> frozenset[str]:
    """Return those of several names for which `overridden` is true.

    Args:
        endpoint: the instance.
        names: of methods that are marked as a `default`.
    """
    own, cls = vars(endpoint), type(endpoint)
    # Most hooks are the library's, which is seen without making a bound method of each.
    return frozenset(
        [
            name
            for name in names
            if (name in own or id(getattr(cls, name)) not in _defaults)
            and overridden(endpoint, name)
        ]
    )

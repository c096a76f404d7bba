"""The Subscription classes that this process has imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from channels_graphql_ws.subscription.declaration import Subscription


def subscription_classes() -> Sequence[type[Subscription]]:
    """Return all of them, but for abstract ones."""
    found = dict.fromkeys(_subclasses(Subscription))
    return [cls for cls in found if getattr(cls, "_meta", None) is not None]


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)

"""Copies of a decoded payload: cheaper than to decode it again for each execution."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final, TypeAlias

from django.db.models import Model

from channels_graphql_ws.serializer.instances import instance_copier
from channels_graphql_ws.serializer.scalars import IMMUTABLE

Copier: TypeAlias = Callable[[], Any]
"""Returns an equal object that shares no changeable part with any other."""

DEEPEST: Final = 4
"""Levels of containers that are copied; what is deeper is cheaper to decode."""


class UnknownError(Exception):
    """The payload holds something that cannot be copied."""


def copier(payload: Any, depth: int = DEEPEST) -> Copier | None:
    """Return what copies a payload that nobody changes; `None` if it needs no copy.

    Raises:
        UnknownError: it has to be decoded again instead.
    """
    kind = type(payload)
    if kind in IMMUTABLE or issubclass(kind, Enum):
        return None
    if depth == 0:
        raise UnknownError
    if kind is dict:
        _check_immutable(payload, depth)
        return _container(payload, payload.items(), depth)
    if kind is list:
        return _container(payload, enumerate(payload), depth)
    if kind in (tuple, set, frozenset):
        _check_immutable(payload, depth)
        return payload.copy if kind is set else None
    if issubclass(kind, Model):
        return _model(payload, depth)
    raise UnknownError


def _check_immutable(items: Iterable[Any], depth: int) -> None:
    if any(copier(item, depth - 1) is not None for item in items):
        raise UnknownError


def _container(payload: Any, items: Iterable[tuple[Any, Any]], depth: int) -> Copier:
    copy_shallowly: Copier = payload.copy
    parts: list[tuple[Any, Copier]] = []
    for key, item in items:
        copy_item = copier(item, depth - 1)
        if copy_item is not None:
            parts.append((key, copy_item))
    if not parts:
        return copy_shallowly

    def copy_deeply() -> Any:
        result = copy_shallowly()
        for key, copy_part in parts:
            result[key] = copy_part()
        return result

    return copy_deeply


def _model(instance: Model, depth: int) -> Copier:
    copy = instance_copier(instance)
    if copy is None:
        raise UnknownError
    _check_immutable((v for name, v in vars(instance).items() if name != "_state"), depth)
    return copy

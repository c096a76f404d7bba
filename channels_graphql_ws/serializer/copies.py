"""Copies of what was decoded, for those who get the same payload: cheaper than to decode again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias
from uuid import UUID

from django.db.models import Model

from channels_graphql_ws.serializer.instances import instance_copier

Copier: TypeAlias = Callable[[], Any]
"""Makes an equal object, of which nobody else has any part that could be changed."""

DEEPEST: Final = 4
"""Containers in containers that are copied; what is deeper is cheaper to decode."""

_IMMUTABLE: Final = frozenset(
    {type(None), bool, int, float, str, bytes, Decimal, UUID, date, datetime, time, timedelta}
)


class UnknownError(Exception):
    """There is something in the payload that can not be copied."""


def copier(payload: Any, depth: int = DEEPEST) -> Copier | None:
    """Give what copies a payload that nobody will change; `None` if it is its own copy.

    Raises:
        UnknownError: only decoding it again gives another one.
    """
    kind = type(payload)
    if kind in _IMMUTABLE or isinstance(payload, Enum):
        return None
    if depth > 0:
        if kind is dict:
            return _container(payload, payload.items(), depth)
        if kind is list:
            return _container(payload, enumerate(payload), depth)
        if kind is set:
            return _plain(payload, payload.copy)
        if kind is tuple or kind is frozenset:
            return _plain(payload, None)
        if isinstance(payload, Model):
            return _model(payload)
    raise UnknownError


def _container(payload: Any, items: Iterable[tuple[Any, Any]], depth: int) -> Copier:
    parts = [(key, copy) for key, item in items if (copy := copier(item, depth - 1)) is not None]
    copy_shallowly: Copier = payload.copy
    if not parts:
        return copy_shallowly

    def copy() -> Any:
        result = copy_shallowly()
        for key, copy_part in parts:
            result[key] = copy_part()
        return result

    return copy


def _plain(payload: Iterable[Any], copy: Copier | None) -> Copier | None:
    """Give that for a container which must have nothing in it that could be changed."""
    if any(copier(item, 1) is not None for item in payload):
        raise UnknownError
    return copy


def _model(instance: Model) -> Copier:
    copy = instance_copier(instance)
    values = (value for name, value in vars(instance).items() if name != "_state")
    if copy is None or any(copier(value) is not None for value in values):
        raise UnknownError
    return copy

"""Instances of Django models: the values of their columns, and back without a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from django.apps import apps
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured
from django.db.models import Field, Model
from django.db.models.base import ModelState
from django.db.models.expressions import DatabaseDefault

from channels_graphql_ws.exceptions import PayloadDecodeError
from channels_graphql_ws.serializer import wire
from channels_graphql_ws.serializer.columns import Column, Pack, column_of
from channels_graphql_ws.serializer.registry import registration_of

VALUES_INDEX = 4
"""Where the values of the columns are in an encoded instance."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What encoding and decoding need to know of a model class."""

    label: str
    plain_types: tuple[tuple[str, type | None], ...]
    columns: dict[str, Column]
    database_defaults: tuple[str, ...]
    builds_itself: bool


@lru_cache(maxsize=1024)
def _shape_of(cls: type[Model]) -> _Shape:
    fields = cls._meta.concrete_fields
    columns = {field.attname: column_of(cls, field) for field in fields}
    return _Shape(
        label=cls._meta.label_lower,
        plain_types=tuple((name, column.plain) for name, column in columns.items()),
        columns=columns,
        database_defaults=tuple(f.attname for f in fields if f.has_db_default()),
        builds_itself=_builds_itself(cls),
    )


def _builds_itself(cls: type[Model]) -> bool:
    """Return whether a class makes its instances in its own way."""
    owners = [next(b for b in cls.__mro__ if name in vars(b)) for name in ("__init__", "from_db")]
    return owners != [Model, Model]


def encode_model(pack: Pack, instance: Model) -> list[object]:
    """Name the class, the database and the values that are loaded.

    Args:
        pack: tells by raising that a value cannot travel as it is.
        instance: the instance.

    Raises:
        ColumnError: the value of a column cannot be sent.
    """
    shape = _shape_of(type(instance))
    state = instance._state
    loaded = vars(instance)
    values: dict[str, Any] = {}
    others: list[str] = []
    for name, plain in shape.plain_types:
        if name in loaded:
            value = loaded[name]
            if value is None or type(value) is plain:
                values[name] = value
            else:
                others.append(name)
    encoded: list[object] = [wire.MODEL, shape.label, state.db, state.adding, values]
    if others:
        encoded.extend(_encode_others(shape, instance, others, values, pack))
    return encoded


def _encode_others(
    shape: _Shape, instance: Model, names: list[str], values: dict[str, Any], pack: Pack
) -> list[list[str]]:
    """Add what is not plain to the values.

    Returns:
        Up to two lists of columns: those that are left to the database's default, and those
        that have to be converted back.
    """
    pending: list[str] = []
    converted: list[str] = []
    for name in names:
        value = vars(instance)[name]
        if isinstance(value, DatabaseDefault) and name in shape.database_defaults:
            pending.append(name)
            continue
        values[name], is_converted = shape.columns[name].encode(instance, value, pack)
        if is_converted:
            converted.append(name)
    if converted:
        return [pending, converted]
    return [pending] if pending else []


def decode_model(items: list[Any]) -> Model:
    """Return the instance, of a class that this process knows."""
    label, db, adding, values, *lists = items
    cls = _find(label)
    shape = _shape_of(cls)
    if not values.keys() <= shape.columns.keys():
        values = {name: values[name] for name in values.keys() & shape.columns.keys()}
    converted = _converted(shape, values, lists[1]) if len(lists) > 1 else {}
    instance = _build(cls, shape, _state(db, adding), values, converted)
    if lists and lists[0]:
        vars(instance).update(_database_defaults(cls, shape, lists[0]))
    return instance


def _converted(shape: _Shape, values: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Take what has to be converted out of the values, and convert it."""
    return {name: shape.columns[name].decode(values.pop(name)) for name in names if name in values}


def _database_defaults(cls: type[Model], shape: _Shape, pending: list[str]) -> dict[str, Any]:
    """Return what an unsaved instance holds where the database fills in a default."""
    return {
        name: cast("Field[Any, Any]", cls._meta.get_field(name)).get_default()
        for name in shape.database_defaults
        if name in pending
    }


def _find(label: str) -> type[Model]:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError, AppRegistryNotReady, ImproperlyConfigured) as error:
        raise PayloadDecodeError(f"No model {label!r} here: {error}") from error


def instance_copier(instance: Model) -> Callable[[], Model] | None:
    """Return what makes further instances of one that was decoded here; `None` if nothing can."""
    cls = type(instance)
    shape = _shape_of(cls)
    state = vars(instance._state)
    values = {name: value for name, value in vars(instance).items() if name != "_state"}
    is_ours = state.keys() == {"db", "adding"} and values.keys() <= shape.columns.keys()
    if shape.builds_itself or registration_of(cls) or not is_ours:
        return None
    db, adding = state["db"], state["adding"]
    return lambda: _filled(cls, _state(db, adding), values)


def _build(
    cls: type[Model],
    shape: _Shape,
    state: ModelState,
    values: dict[str, Any],
    converted: dict[str, Any],
) -> Model:
    if not shape.builds_itself:
        instance = _filled(cls, state, values)
        for name, value in converted.items():
            # Through the descriptor: some fields keep something else than what they are given.
            setattr(instance, name, value)
        return instance
    values.update(converted)
    names = [name for name in shape.columns if name in values]
    instance = cls.from_db(state.db, names, [values[name] for name in names])
    instance._state.db = state.db
    instance._state.adding = state.adding
    return instance


def _filled(cls: type[Model], state: ModelState, values: dict[str, Any]) -> Model:
    instance = cls.__new__(cls)
    instance._state = state
    vars(instance).update(values)
    return instance


def _state(db: str | None, adding: object) -> ModelState:
    state = ModelState()
    state.db = db
    state.adding = bool(adding)
    return state

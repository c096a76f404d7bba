"""Instances of Django models: the values of their columns, and back without a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from django.apps import apps
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured
from django.db.models import Field, FileField, Model
from django.db.models.base import ModelState
from django.db.models.expressions import DatabaseDefault

from channels_graphql_ws.exceptions import PayloadDecodeError
from channels_graphql_ws.serializer import wire
from channels_graphql_ws.serializer.registry import registration_of

VALUES_INDEX = 4
"""Where the values of the columns are in an encoded instance."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is worth knowing about a model class once and for all."""

    label: str
    columns: tuple[str, ...]
    known: frozenset[str]
    files: tuple[str, ...]
    database_defaults: tuple[str, ...]
    builds_itself: bool


@lru_cache(maxsize=1024)
def _shape_of(cls: type[Model]) -> _Shape:
    fields = cls._meta.concrete_fields
    columns = tuple(field.attname for field in fields)
    return _Shape(
        label=cls._meta.label_lower,
        columns=columns,
        known=frozenset(columns),
        files=tuple(f.attname for f in fields if isinstance(f, FileField)),
        database_defaults=tuple(f.attname for f in fields if f.has_db_default()),
        builds_itself=_builds_itself(cls),
    )


def _builds_itself(cls: type[Model]) -> bool:
    """Whether a class wants a say in how its instances are made."""
    owners = [next(b for b in cls.__mro__ if name in vars(b)) for name in ("__init__", "from_db")]
    return owners != [Model, Model]


def encode_model(instance: Model) -> list[object]:
    """Name the class, the database and the values that are loaded."""
    shape = _shape_of(type(instance))
    state = instance._state
    loaded = vars(instance)
    values = {name: loaded[name] for name in shape.columns if name in loaded}
    for name in shape.files:
        if name in values:
            values[name] = getattr(instance, name).name
    encoded: list[object] = [wire.MODEL, shape.label, state.db, state.adding, values]
    pending = [
        name for name in shape.database_defaults if isinstance(values.get(name), DatabaseDefault)
    ]
    if pending:
        encoded.append(pending)
    for name in pending:
        del values[name]
    return encoded


def decode_model(items: list[Any]) -> Model:
    """Return the instance, of a class that this process knows."""
    label, db, adding, values, *pending = items
    cls = _find(label)
    shape = _shape_of(cls)
    if not values.keys() <= shape.known:
        values = {name: values[name] for name in values.keys() & shape.known}
    instance = _build(cls, shape, _state(db, adding), values)
    if pending:
        vars(instance).update(_database_defaults(cls, shape, pending[0]))
    return instance


def _database_defaults(cls: type[Model], shape: _Shape, pending: list[str]) -> dict[str, Any]:
    """Return what an unsaved instance holds where the database shall fill in a default."""
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
    """Give what makes further instances of one that was decoded here; `None` if nothing can."""
    cls = type(instance)
    shape = _shape_of(cls)
    state = vars(instance._state)
    values = {name: value for name, value in vars(instance).items() if name != "_state"}
    is_ours = state.keys() == {"db", "adding"} and values.keys() <= shape.known
    if shape.builds_itself or registration_of(cls) or not is_ours:
        return None
    db, adding = state["db"], state["adding"]
    return lambda: _filled(cls, _state(db, adding), values)


def _build(cls: type[Model], shape: _Shape, state: ModelState, values: dict[str, Any]) -> Model:
    if not shape.builds_itself:
        return _filled(cls, state, values)
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

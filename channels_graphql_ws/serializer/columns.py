"""Columns of a model: which values travel as they are, and how the others do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from inspect import getattr_static
from types import SimpleNamespace
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

from django.core.exceptions import SynchronousOnlyOperation
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Field, Model
from django.db.models.base import ModelState
from django.utils.functional import Promise

from channels_graphql_ws.exceptions import PayloadDecodeError, PayloadTypeError
from channels_graphql_ws.serializer.registry import registration_of

Pack: TypeAlias = Callable[[Any], object]
"""Packs a value, or raises: what decides whether it can travel as it is."""

AnyField: TypeAlias = "Field[Any, Any]"


class ColumnError(PayloadTypeError):
    """The value of a column cannot be sent.

    Attributes:
        column: the name of the column.
    """

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


class Column:
    """A column whose values are of one type: others become it before they are sent.

    Args:
        cls: the model.
        field: the field of the model.
        plain: the exact type of values that travel as they are; `None` if each one has to
            be looked at.

    Attributes:
        name: its key in `vars(instance)`.
        plain: see above.
    """

    def __init__(self, cls: type[Model], field: AnyField, plain: type | None) -> None:
        self.name = field.attname
        self.plain = plain
        self._field = field
        self._where = f"field {field.name!r} of {cls._meta.label} ({type(field).__qualname__})"

    def encode(self, instance: Model, value: Any, pack: Pack) -> tuple[Any, bool]:
        """Return what is sent for a value, and whether `decode` has to convert it back.

        Raises:
            ColumnError: it cannot be sent; the text names model and field.
        """
        del instance, pack
        self._refuse_expression(value)
        try:
            converted = self._field.to_python(value)
        except Exception as error:
            raise self._error(f"holds {_shown(value)}: {_reason(error)}") from error
        return _exact(self.plain, converted), False

    def decode(self, content: Any) -> Any:
        """Return the value of what `encode` said has to be converted back.

        Raises:
            PayloadDecodeError: the field cannot read it.
        """
        try:
            return self._restored(content)
        except SynchronousOnlyOperation:
            raise
        except Exception as error:
            raise PayloadDecodeError(f"{self._where}: {_reason(error)}") from error

    def _restored(self, content: Any) -> Any:
        return self._field.to_python(content)

    def _refuse_expression(self, value: Any) -> None:
        if hasattr(type(value), "resolve_expression"):
            raise self._error(
                f"holds an expression, {_type_name(value)}, whose value only the database "
                "knows: call `refresh_from_db()` before the broadcast"
            )

    def _error(self, problem: str) -> ColumnError:
        return ColumnError(self.name, f"{self._where} {problem}")


class FileColumn(Column):
    """A column of files, which travel by their names."""

    def encode(self, instance: Model, value: Any, pack: Pack) -> tuple[Any, bool]:
        """Return the name of the file."""
        del value, pack
        name = getattr(instance, self.name).name
        return name if name is None else str(name), False


class JsonColumn(Column):
    """A column of JSON. What only an encoder of its own knows becomes text by it."""

    def encode(self, instance: Model, value: Any, pack: Pack) -> tuple[Any, bool]:
        """Return the value itself, or its JSON text."""
        del instance
        self._refuse_expression(value)
        encoder = cast("models.JSONField", self._field).encoder
        # The serializer knows all that `DjangoJSONEncoder` knows.
        if encoder in (None, json.JSONEncoder, DjangoJSONEncoder) or _packs(value, pack):
            return value, False
        try:
            return json.dumps(value, cls=encoder), True
        except Exception as error:
            raise self._error(f"holds {_shown(value)}: {_reason(error)}") from error

    def _restored(self, content: Any) -> Any:
        return json.loads(content, cls=cast("models.JSONField", self._field).decoder)


class CustomColumn(Column):
    """A column of a field that converts values in its own way.

    A value which the serializer knows, and which the field takes for one of its own, travels
    as it is. Any other goes as `value_to_string` has it and comes back by `to_python`, as in
    Django's own serializers.
    """

    def encode(self, instance: Model, value: Any, pack: Pack) -> tuple[Any, bool]:
        """Return the value itself, or what `value_to_string` makes of it."""
        self._refuse_expression(value)
        if isinstance(value, Promise):
            value = str(value)
        is_known = _packs(value, pack)
        if is_known and (registration_of(_type(value)) or self._is_own(value)):
            return value, False
        try:
            content = self._content(instance, value, pack)
            self._check(instance, value, content)
        except Exception as error:
            if is_known:
                return value, False
            raise self._error(
                f"holds {_type_name(value)}, which the field could not turn into text and back:"
                f" {_reason(error)}. Define `value_to_string` and `to_python` of the field, or"
                " register the type with `channels_graphql_ws.serializer.register`"
            ) from error
        return content, True

    def _is_own(self, value: Any) -> bool:
        """Return whether the field leaves the value as it is, types included."""
        try:
            return _are_alike(_as_read(self._field, value), value)
        except Exception:  # noqa: BLE001 (the field's own code: it may not know such values)
            return False

    def _content(self, instance: Model, value: Any, pack: Pack) -> Any:
        target = _target(self._field)
        if target is self._field:
            content = target.value_to_string(instance)
        else:
            # A foreign key has the values of the key, and not its way to write them.
            stand_in: Any = SimpleNamespace(**{target.attname: value})
            content = target.value_to_string(stand_in)
        if isinstance(target, models.JSONField) and not _packs(content, pack):
            content = json.loads(json.dumps(content, cls=target.encoder))
        pack(content)
        return content

    def _check(self, instance: Model, value: Any, content: Any) -> None:
        """Convert back, as the receiver will: an event that fails there is lost."""
        there = type(instance).__new__(type(instance))
        # With a state of its own: descriptors of foreign keys forget what they keep there.
        vars(there).update(vars(instance), _state=ModelState())
        try:
            setattr(there, self.name, self._field.to_python(content))
        except SynchronousOnlyOperation:
            return  # The receiver converts it in a thread.
        arrived = getattr(there, self.name)
        if type(arrived) is type(content) and not isinstance(value, type(arrived)):
            raise TypeError(f"`to_python` returned {_shown(arrived)} unchanged")


def _as_read(field: AnyField, value: Any) -> Any:
    """Return a value as a field has it when it was read, the items of an array included."""
    converted = field.to_python(value)
    # That of PostgreSQL leaves what is no text as it is.
    items: AnyField | None = getattr(field, "base_field", None)
    if items is None or not isinstance(converted, list | tuple):
        return converted
    return [_as_read(items, each) for each in converted]


def _are_alike(one: Any, other: Any) -> bool:
    """Return whether values are equal, types included, and no members of enums; so for items."""
    if type(one) is not type(other) or isinstance(one, Enum):
        return False
    if type(one) is list:
        return len(one) == len(other) and all(map(_are_alike, one, other))
    return bool(one == other)


def column_of(cls: type[Model], field: AnyField) -> Column:
    """Return how the values of a model's field travel."""
    if isinstance(field, models.FileField):
        return FileColumn(cls, field, None)
    target = _target(field)
    if isinstance(target, models.JSONField) and _is_djangos(target, "from_db_value"):
        return JsonColumn(cls, field, None)
    plain = _plain_type(target)
    if plain is None or not _is_djangos_descriptor(cls, field):
        return CustomColumn(cls, field, plain)
    return Column(cls, field, plain)


_PLAIN_TYPES: Final[dict[Any, type]] = {
    models.BinaryField.to_python: bytes,
    models.BooleanField.to_python: bool,
    models.CharField.to_python: str,
    models.DateField.to_python: date,
    models.DateTimeField.to_python: datetime,
    models.DecimalField.to_python: Decimal,
    models.DurationField.to_python: timedelta,
    models.FloatField.to_python: float,
    models.GenericIPAddressField.to_python: str,
    models.IntegerField.to_python: int,
    models.TextField.to_python: str,
    models.TimeField.to_python: time,
    models.UUIDField.to_python: UUID,
}


def _plain_type(field: AnyField) -> type | None:
    """Return the type of a field's values, if it has that of one of Django's fields."""
    if hasattr(field, "from_db_value") or not _is_djangos(field, "value_to_string"):
        return None
    if isinstance(field, models.FilePathField):
        return str
    return _PLAIN_TYPES.get(getattr(field.to_python, "__func__", None))


def _target(field: AnyField) -> AnyField:
    """Return the field that says what the values of a foreign key or generated column are."""
    while True:
        inner: Any
        if isinstance(field, models.ForeignKey):
            inner = field.target_field
        elif isinstance(field, models.GeneratedField):
            inner = field.output_field
        else:
            return field
        field = inner


def _is_djangos(field: AnyField, method: str) -> bool:
    module: str = getattr(field, method).__module__
    return module.startswith("django.db.models.")


def _is_djangos_descriptor(cls: type[Model], field: AnyField) -> bool:
    descriptor = getattr_static(cls, field.attname)
    return type(descriptor).__module__.startswith("django.")


def _exact(plain: type | None, value: Any) -> Any:
    """Return a value as its column would give it back, not as a subclass or an enum member."""
    if plain is str:
        return str.__str__(value) if isinstance(value, str) else str(value)
    if plain is int and isinstance(value, int):
        return int.__int__(value)
    return bytes(value) if plain is bytes else value


def _packs(value: Any, pack: Pack) -> bool:
    try:
        pack(value)
    # Also what a registered `encode` may raise: it is asked again, and told then.
    except Exception:  # noqa: BLE001
        return False
    return True


def _type(value: Any) -> Any:
    return type(value)


def _type_name(value: Any) -> str:
    cls = _type(value)
    return f"{cls.__module__}.{cls.__qualname__}"


def _shown(value: Any) -> str:
    """Return a value as one would write it; no `repr` of foreign objects, it may raise."""
    if type(value) in (bool, int, float, str, bytes):
        text = repr(value)
        return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    return f"a value of the type {_type_name(value)}"


_LONGEST_SHOWN: Final = 50


def _reason(error: Exception) -> str:
    """Return what an error says; its text may show a foreign object, whose `repr` may raise."""
    try:
        messages = getattr(error, "messages", None)
        text = " ".join(map(str, messages)) if messages else str(error)
    except Exception:  # noqa: BLE001 (the error behind it must be known nevertheless)
        return type(error).__name__
    return f"{type(error).__name__}: {text}"

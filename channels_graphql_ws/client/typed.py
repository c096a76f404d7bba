"""Results as types of the program: dataclasses, pydantic models and what they are made of."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache, lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, Union, cast
from uuid import UUID

from channels_graphql_ws.client.errors import ResultTypeError

Target = TypeVar("Target")
Convert: TypeAlias = Callable[[Any, str], Any]
"""Turns a value of JSON into one of a type; the text is where in the result it stands."""


def root_converter(into: type[Target]) -> Callable[[Any], Target]:
    """Return what turns the data of a result into a type.

    The type is that of the root field if there is one only, else of the data as a whole.

    Raises:
        TypeError: no value of JSON can be turned into that type.
    """
    target: Any = into
    convert = converter(target)

    def convert_root(data: Any) -> Target:
        if isinstance(data, Mapping) and len(cast("Mapping[str, Any]", data)) == 1:
            ((name, value),) = cast("Mapping[str, Any]", data).items()
            return cast("Target", convert(value, name))
        return cast("Target", convert(data, "data"))

    return convert_root


@lru_cache(maxsize=512)
def converter(target: Any) -> Convert:
    """Return what turns values of JSON into a type.

    Fields of dataclasses are found by their own name, or by the camelCase form of it.

    Raises:
        TypeError: there is nothing that does.
    """
    if target in _SCALARS:
        return _SCALARS[target]
    if hasattr(target, "__supertype__"):  # NewType
        return converter(target.__supertype__)
    origin, arguments = typing.get_origin(target), typing.get_args(target)
    if origin is None:
        return _plain_converter(target)
    if origin in _GENERICS:
        return _GENERICS[origin](arguments)
    return _plain_converter(origin)


def _plain_converter(target: Any) -> Convert:
    """Return what makes objects of a class."""
    if isinstance(target, TypeVar):
        return _anything
    if not isinstance(target, type):
        raise TypeError(f"Results cannot be turned into {target!r}: it is not a type")
    if hasattr(target, "model_validate"):  # pydantic
        return _pydantic(target)
    if dataclasses.is_dataclass(target):
        return _dataclass(target)
    if typing.is_typeddict(target):
        return _typed_dict(target)
    if issubclass(target, Enum):
        return _enum(target)
    if target in _BARE:
        return _instance(target)
    raise TypeError(
        f"Results cannot be turned into {target!r}; a dataclass, a TypedDict or a pydantic "
        "model can hold them"
    )


def _instance(*accepted: type) -> Convert:
    def convert(value: Any, path: str) -> Any:
        # `True` is an `int`, too.
        if isinstance(value, accepted) and (bool in accepted or not isinstance(value, bool)):
            return value
        raise _unfit(value, path, " or ".join(each.__name__ for each in accepted))

    return convert


def _parsed(target: type, parse: Callable[[Any], Any], *accepted: type) -> Convert:
    def convert(value: Any, path: str) -> Any:
        if isinstance(value, accepted) and not isinstance(value, bool):
            try:
                return parse(value)
            except (ValueError, InvalidOperation):
                pass
        raise _unfit(value, path, target.__name__)

    return convert


def _none(value: Any, path: str) -> None:
    if value is not None:
        raise _unfit(value, path, "null")


def _anything(value: Any, _: str) -> Any:
    return value


def _enum(target: type[Enum]) -> Convert:
    def convert(value: Any, path: str) -> Enum:
        # GraphQL has the names of its values, which may be those of the members.
        if isinstance(value, str) and value in target.__members__:
            return target[value]
        try:
            return target(value)
        except ValueError:
            raise _unfit(value, path, target.__name__) from None

    return convert


def _literal(arguments: tuple[Any, ...]) -> Convert:
    def convert(value: Any, path: str) -> Any:
        if value not in arguments:
            raise _unfit(value, path, " or ".join(map(repr, arguments)))
        return value

    return convert


def _union(arguments: tuple[Any, ...]) -> Convert:
    converters = [(each, converter(each)) for each in arguments if each is not types.NoneType]
    is_optional = len(converters) < len(arguments)

    def convert(value: Any, path: str) -> Any:
        if value is None and is_optional:
            return None
        type_name = value.get("__typename") if isinstance(value, Mapping) else None
        named = [each for each in converters if getattr(each[0], "__name__", "") == type_name]
        errors: list[ResultTypeError] = []
        for _, attempt in named or converters:
            try:
                return attempt(value, path)
            except ResultTypeError as error:
                errors.append(error)
        raise errors[0]

    return convert


def _collection(make: Callable[[list[Any]], Any]) -> Callable[[tuple[Any, ...]], Convert]:
    def of(arguments: tuple[Any, ...]) -> Convert:
        item = converter(arguments[0])

        def convert(value: Any, path: str) -> Any:
            if not isinstance(value, list):
                raise _unfit(value, path, "a list")
            items: list[Any] = value
            return make([item(each, f"{path}.{index}") for index, each in enumerate(items)])

        return convert

    return of


def _mapping(arguments: tuple[Any, ...]) -> Convert:
    item = converter(arguments[1])

    def convert(value: Any, path: str) -> dict[str, Any]:
        fields = _fields_of(value, path, "an object")
        return {name: item(each, f"{path}.{name}") for name, each in fields.items()}

    return convert


def _dataclass(target: Any) -> Convert:
    @cache
    def fields() -> list[tuple[str, str, Convert, bool]]:
        # Not before the first value: a class may refer to itself, or to a later one.
        hints = typing.get_type_hints(target)
        return [
            (each.name, _camel_case(each.name), converter(hints[each.name]), _is_required(each))
            for each in dataclasses.fields(target)
            if each.init
        ]

    def convert(value: Any, path: str) -> Any:
        given = _fields_of(value, path, target.__name__)
        arguments: dict[str, Any] = {}
        for name, camel_case, convert_field, is_required in fields():
            key = name if name in given else camel_case
            if key in given:
                arguments[name] = convert_field(given[key], f"{path}.{key}")
            elif is_required:
                raise ResultTypeError(
                    f"{path} has no {camel_case!r}, which {target.__name__}.{name} needs"
                )
        return target(**arguments)

    return convert


def _typed_dict(target: Any) -> Convert:
    @cache
    def fields() -> tuple[dict[str, Convert], list[str]]:
        # Python does not see `NotRequired` where annotations are text.
        hints = typing.get_type_hints(target, include_extras=True)
        optional = {
            name for name, hint in hints.items() if typing.get_origin(hint) is typing.NotRequired
        }
        converters = {name: converter(hint) for name, hint in hints.items()}
        return converters, sorted(target.__required_keys__ - optional)

    def convert(value: Any, path: str) -> dict[str, Any]:
        given = _fields_of(value, path, target.__name__)
        converters, required = fields()
        for name in required:
            if name not in given:
                raise ResultTypeError(f"{path} has no {name!r}, which {target.__name__} needs")
        return {
            name: converters.get(name, _anything)(each, f"{path}.{name}")
            for name, each in given.items()
        }

    return convert


def _pydantic(target: Any) -> Convert:
    def convert(value: Any, path: str) -> Any:
        try:
            return target.model_validate(value)
        except ValueError as error:
            raise ResultTypeError(f"{path} does not fit {target.__name__}: {error}") from error

    return convert


def _fields_of(value: Any, path: str, expected: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _unfit(value, path, expected)
    return cast("dict[str, Any]", value)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.title() for each in others)


def _unfit(value: Any, path: str, expected: str) -> ResultTypeError:
    return ResultTypeError(f"{path} is {value!r}, expected {expected}")


_SCALARS: Final[dict[Any, Convert]] = {
    Any: _anything,
    object: _anything,
    None: _none,
    types.NoneType: _none,
    bool: _instance(bool),
    int: _instance(int),
    float: _parsed(float, float, int, float),
    str: _instance(str),
    datetime: _parsed(datetime, datetime.fromisoformat, str),
    date: _parsed(date, date.fromisoformat, str),
    time: _parsed(time, time.fromisoformat, str),
    Decimal: _parsed(Decimal, lambda value: Decimal(str(value)), str, int, float),
    UUID: _parsed(UUID, UUID, str),
}

_GENERICS: Final[dict[Any, Callable[[tuple[Any, ...]], Convert]]] = {
    Union: _union,
    types.UnionType: _union,
    Literal: _literal,
    Annotated: lambda arguments: converter(arguments[0]),
    typing.Required: lambda arguments: converter(arguments[0]),
    typing.NotRequired: lambda arguments: converter(arguments[0]),
    list: _collection(list),
    Sequence: _collection(list),
    tuple: _collection(tuple),
    set: _collection(set),
    frozenset: _collection(frozenset),
    dict: _mapping,
    Mapping: _mapping,
}

_BARE: Final = frozenset({list, dict})

"""Variables as programs have them ⇒ values of JSON, and the files among them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from channels_graphql_ws.client.option_values import checked_mapping

_PLAIN = frozenset({str, int, bool, type(None)})


def json_variables(variables: Mapping[str, Any] | None, files: dict[str, Any]) -> dict[str, Any]:
    """Return variables as JSON has them.

    Dates and times become ISO 8601 text, `Decimal` and `UUID` text, members of an `Enum`
    their names, model instances their primary keys, dataclasses and pydantic models objects,
    tuples and sets lists. Files become `None` (GraphQL multipart request specification).

    Args:
        variables: values by the name of the variable.
        files: filled with the files, by their path such as "variables.picture".

    Raises:
        TypeError: it is not a mapping, or a value has no JSON form; the text names it.
        ValueError: a number is not finite, or a model instance has no primary key.
    """
    if not variables:
        return {}
    check_variables(variables)
    return {
        str(name): _json(value, f"variables.{name}", files)
        for name, value in checked_mapping("variables", variables).items()
    }


def check_variables(variables: object) -> None:
    """Check that variables are a mapping.

    Raises:
        TypeError: they are not, for example JSON text.
    """
    if not isinstance(variables, Mapping):
        raise TypeError(f"variables must be a mapping such as a dict, not {variables!r}")


def is_file(value: object) -> bool:
    """Return whether a value is a file: something that can be read."""
    return hasattr(value, "read") or isinstance(value, FileUpload)


@dataclasses.dataclass(frozen=True, slots=True)
class FileUpload:
    """A file for an upload whose name or type is not that of an opened file.

    Args:
        content: bytes, or a file opened in binary mode.
        name: the file name that the server gets.
        content_type: its media type.
    """

    content: Any
    name: str = "file"
    content_type: str = "application/octet-stream"


def _json(value: Any, path: str, files: dict[str, Any]) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict or isinstance(value, Mapping):
        return {str(key): _json(each, f"{path}.{key}", files) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = cast("list[Any]", value)
        return [_json(each, f"{path}.{index}", files) for index, each in enumerate(items)]
    if is_file(value):
        files[path] = value
        return None
    return _scalar(value, path, files)


def _scalar(value: Any, path: str, files: dict[str, Any]) -> Any:
    match value:
        case Enum():
            return value.name
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{path} is {value!r}, and GraphQL only has finite numbers")
            return value
        case date() | time():  # A `datetime` is a `date`.
            return value.isoformat()
        case Decimal() | UUID():
            return str(value)
        case str():
            return str(value)
        case int():
            return int(value)
        case _:
            return _object(value, path, files)


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _object(value: Any, path: str, files: dict[str, Any]) -> Any:
    """Return the form of an object: a dataclass, or one known by how it behaves."""
    if _is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _json(fields, path, files)
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump(mode="json", by_alias=True)
    if hasattr(value, "_meta") and hasattr(value, "pk"):  # a model of Django
        if value.pk is None:
            raise ValueError(f"{path} is {value!r}, which is not saved: it has no primary key")
        return _json(value.pk, path, files)
    if type(value).__name__ == "__proxy__":  # lazy text of Django
        return str(value)
    raise TypeError(
        f"{path} is {value!r}: a {type(value).__name__} has no form in JSON, convert it"
    )

"""Turn bodies and query strings into operations, or refuse them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from channels_graphql_ws.execution.request import Subscribe
from channels_graphql_ws.http.errors import HttpError
from channels_graphql_ws.json_text import loads_from_client

MAX_QUERY_PARAMETERS = 100
"""Parameters that a query string may have."""

MAX_PATHS = 10_000
"""Paths that the map of an upload may have, for all files together."""

MAX_PATH_LENGTH = 1_000
"""Characters that each of them may have."""

_numbers = count(1)

_NAMES: dict[Any, str] = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}


def json_of(body: bytes) -> Any:
    """Decode a body.

    Raises:
        HttpError: it is not UTF-8 or not JSON.
    """
    text = text_of(body)
    try:
        return loads_from_client(text)
    except ValueError as error:
        raise not_json(error) from None


def text_of(body: bytes) -> str:
    """Decode the text of a body.

    Raises:
        HttpError: it is empty, or not UTF-8.
    """
    if not body:
        raise HttpError("The body is empty")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise HttpError("The body is not UTF-8") from None


def not_json(error: Exception) -> HttpError:
    """Refuse a body."""
    return HttpError(f"The body is not JSON: {error}")


def operations_of(
    content: object, *, max_batch_size: int, by_name: bool = False
) -> Subscribe | list[Subscribe]:
    """Return the operation that a body asks for, or all operations of a batch.

    Args:
        content: the decoded body.
        max_batch_size: operations that a batch may have, 0 refuses batches.
        by_name: documents are looked up, `query` may be missing.

    Raises:
        HttpError: it is not a GraphQL request.
    """
    if not isinstance(content, list):
        return operation_of(content, by_name=by_name)
    if not max_batch_size:
        raise HttpError(
            "Batches are switched off, see `max_batch_size`: send one operation, not an array"
        )
    if not content:
        raise HttpError("The batch is empty")
    if len(content) > max_batch_size:
        raise HttpError(
            f"The batch has {len(content)} operations, no more than {max_batch_size} are allowed"
        )
    return [
        operation_of(each, f"Operation {i} of the batch: ", by_name=by_name)
        for i, each in enumerate(content)
    ]


def operation_of(content: object, where: str = "", *, by_name: bool = False) -> Subscribe:
    """Check the parameters of one operation (GraphQL over HTTP, Request Parameters).

    Raises:
        HttpError: one is missing or of another type.
    """
    if not isinstance(content, dict):
        raise HttpError(f"{where}an object was expected, not {_name(content)}")
    if content.get("query") is None and not by_name:
        raise HttpError(f'{where}"query" is missing')
    _check(content, "query", str, where)
    _check(content, "operationName", str, where)
    _check(content, "variables", dict, where)
    _check(content, "extensions", dict, where)
    return Subscribe(
        # Only the log shows it.
        id=next(_numbers),
        query=content.get("query") or "",
        variables=content.get("variables") or {},
        # Some clients send an empty name for none.
        operation_name=content.get("operationName") or None,
        extensions=content.get("extensions"),
        payload=content,
        has_query=content.get("query") is not None,
    )


def parameters_of(query_string: bytes) -> dict[str, str]:
    """Return the parameters of a query string; of a repeated one, the last.

    Raises:
        HttpError: it is not UTF-8, or there are too many.
    """
    try:
        pairs = parse_qsl(
            query_string.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_QUERY_PARAMETERS,
        )
    except UnicodeDecodeError:
        raise HttpError("The query string is not UTF-8") from None
    except ValueError:
        raise HttpError(
            f"The query string has more than {MAX_QUERY_PARAMETERS} parameters"
        ) from None
    return dict(pairs)


def operation_of_parameters(parameters: Mapping[str, str], *, by_name: bool = False) -> Subscribe:
    """Return the operation that a query string asks for.

    Raises:
        HttpError: it does not ask for one.
    """
    content: dict[str, Any] = dict(parameters)
    for name in ("variables", "extensions"):
        text = content.get(name)
        try:
            content[name] = loads_from_client(text) if text else None
        except ValueError as error:
            raise HttpError(f'"{name}" is not JSON: {error}') from None
    return operation_of(content, by_name=by_name)


def with_files(
    operations: Any, mapping: object, files: Mapping[str, Any]
) -> dict[str, Any] | list[Any]:
    """Put uploaded files where the map says (GraphQL multipart request specification).

    Args:
        operations: the decoded field `operations`; is changed.
        mapping: the decoded field `map`.
        files: the uploaded files by the names of their fields.

    Raises:
        HttpError: the map does not fit the operations or the files.
    """
    if not isinstance(operations, (dict, list)):
        raise HttpError(
            f'"operations": an object or an array was expected, not {_name(operations)}'
        )
    if not isinstance(mapping, dict):
        raise HttpError(f'"map": an object was expected, not {_name(mapping)}')
    if unmapped := sorted(files.keys() - mapping.keys()):
        raise HttpError(f"The file {unmapped[0]!r} is not in the map")
    left = MAX_PATHS
    for name, paths in mapping.items():
        if name not in files:
            raise HttpError(f"The map names a file {name[:100]!r} that was not uploaded")
        left -= len(paths) if isinstance(paths, list) else 0
        if left < 0:
            raise HttpError(f"The map has more than {MAX_PATHS} paths")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise HttpError(f"The map of the file {name!r} is no array of strings")
        for path in paths:
            _put(operations, path, files[name])
    return operations


def _put(operations: Any, path: str, file: object) -> None:
    if len(path) > MAX_PATH_LENGTH:
        raise HttpError(f"A path of the map is longer than {MAX_PATH_LENGTH} characters")
    *parents, last = steps = path.split(".")
    inside = steps[1:] if isinstance(operations, list) else steps
    place = operations
    try:
        for step in parents:
            place = place[_key(place, step)]
        key = _key(place, last)
        # The specification puts a null where a file belongs.
        if "variables" in inside[:1] and place[key] is None:
            place[key] = file
            return
    except (LookupError, ValueError, TypeError):
        pass
    raise HttpError(f"The map's path {path!r} does not lead to a null among the variables")


def _key(place: object, step: str) -> Any:
    if isinstance(place, list):
        # `int` would take signs, blanks and the digits of any script.
        if not (step.isascii() and step.isdigit()):
            raise ValueError(step)
        return int(step)
    if isinstance(place, dict):
        return step
    raise TypeError(step)


def _check(content: Mapping[str, Any], name: str, type: type, where: str) -> None:
    value = content.get(name)
    if value is not None and not isinstance(value, type):
        raise HttpError(f'{where}"{name}" must be {_NAMES[type]}, it is {_name(value)}')


def _name(value: object) -> str:
    return "null" if value is None else _NAMES.get(type(value), "a number")

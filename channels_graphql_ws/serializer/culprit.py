"""Which part of a payload cannot be sent: its path, looked for only after a failure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

from django.db.models import Model
from msgpack import ExtType, Timestamp

from channels_graphql_ws.exceptions import PayloadTypeError
from channels_graphql_ws.serializer import wire
from channels_graphql_ws.serializer.columns import ColumnError
from channels_graphql_ws.serializer.encoding import encode
from channels_graphql_ws.serializer.instances import VALUES_INDEX
from channels_graphql_ws.serializer.registry import NATIVE

_MAX_DEPTH: Final = 1024
_MAX_PATH: Final = 200

_Part = tuple[str, object]


def explain(payload: object) -> PayloadTypeError:
    """Return the error for a payload that could not be packed.

    Walks in the order of packing, so it meets what stopped the packer. Exceptions of other
    people's code, like a registered `encode`, come out as they are.
    """
    trail: list[_Part] = []
    deepest: list[_Part] = []
    todo: list[tuple[int, _Part]] = [(0, ("payload", payload))]
    while todo and len(trail) <= _MAX_DEPTH:
        depth, part = todo.pop()
        del trail[depth:]
        above = [ancestor for _, ancestor in trail]
        trail.append(part)
        try:
            _refuse_circle(part[1], trail, above)
            parts = _parts(part[1])
        except ColumnError as error:
            return PayloadTypeError(f"{_path(trail)}.{error.column}: {error}")
        except PayloadTypeError as error:
            return PayloadTypeError(f"{_path(trail)}: {error}{_column(trail)}")
        todo.extend((depth + 1, below) for below in reversed(parts))
        deepest = max(deepest, trail.copy(), key=len)
    return PayloadTypeError(f"{_path(deepest)}: nested too deeply, or too large, for MessagePack")


def _column(trail: list[_Part]) -> str:
    """Name the field and the model that the innermost part is in, if it is in one."""
    for (_, owner), (name, _) in reversed([*pairwise(trail)]):
        if isinstance(owner, Model) and name.startswith("."):
            return f" (in field {name[1:]!r} of {owner._meta.label})"
    return ""


def _refuse_circle(value: object, trail: list[_Part], above: list[object]) -> None:
    for depth, ancestor in enumerate(above, start=1):
        if ancestor is value:
            raise PayloadTypeError(f"a circular reference, this is {_path(trail[:depth])} again")


def _parts(value: Any) -> list[_Part]:
    """Return what a value holds, as it is packed."""
    if type(value) is memoryview and not value.c_contiguous:
        raise PayloadTypeError("a memoryview with gaps cannot be sent")
    known = type(value) in NATIVE or isinstance(value, ExtType | Timestamp)
    packed = value if known else encode(value)
    if type(packed) is dict:
        return _entries(packed)
    if type(packed) is not list:
        return []
    match packed:
        case [wire.MODEL, *_]:
            return [(f".{name}", item) for name, item in packed[VALUES_INDEX].items()]
        case [wire.REGISTERED, _, content]:
            return [("", content)]
        case [ExtType(), *items]:
            return _elements(items)
        case items:
            return _elements(items)


def _elements(items: Iterable[object]) -> list[_Part]:
    return [(f"[{index}]", item) for index, item in enumerate(items)]


def _entries(items: dict[object, object]) -> list[_Part]:
    entries: list[_Part] = []
    for index, (key, item) in enumerate(items.items()):
        entries.append((f".keys()[{index}]", key))
        entries.append((f"[{_key_text(key)}]", item))
    return entries


def _key_text(key: object) -> str:
    """Return a key as one would write it; no `repr` of foreign objects, it may raise."""
    if type(key) is str:
        return json.dumps(key, ensure_ascii=False)
    return repr(key) if type(key) in NATIVE else f"<{type(key).__qualname__}>"


def _path(trail: list[_Part]) -> str:
    text = "".join(name for name, _ in trail)
    if len(text) <= _MAX_PATH:
        return text
    return f"{text[: _MAX_PATH // 2]}…{text[-_MAX_PATH // 2 :]}"

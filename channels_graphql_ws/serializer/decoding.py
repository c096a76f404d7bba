"""MessagePack back to objects, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgpack

from channels_graphql_ws.exceptions import PayloadDecodeError
from channels_graphql_ws.serializer import wire
from channels_graphql_ws.serializer.enums import decode_enum
from channels_graphql_ws.serializer.instances import decode_model
from channels_graphql_ws.serializer.registry import decode_registered
from channels_graphql_ws.serializer.scalars import decode_scalar


def unpack(data: bytes) -> Any:
    """Return the object that `encoding.pack` was given."""
    # Without tags no array needs a second look, and plain data needs none at all. One byte
    # is found much faster than two, so the second question is asked rarely.
    if wire.TAG_PREFIX[0] not in data or wire.TAG_PREFIX not in data:
        return msgpack.unpackb(
            data,
            ext_hook=decode_scalar,
            strict_map_key=False,
            unicode_errors="surrogatepass",
        )
    rebuilder = _Rebuilder()
    result = msgpack.unpackb(
        data,
        ext_hook=rebuilder.extension,
        list_hook=rebuilder.array,
        strict_map_key=False,
        unicode_errors="surrogatepass",
    )
    if rebuilder.open_tags:
        raise PayloadDecodeError("A tag is not at the head of an array")
    return result


class _Tag:
    """The head of an array, until the array is complete and can be built from it."""

    __slots__ = ("build",)

    def __init__(self, build: Callable[[list[Any]], object]) -> None:
        self.build = build


_TAGS: Final = {
    wire.TUPLE.data: _Tag(tuple),
    wire.SET.data: _Tag(set),
    wire.FROZENSET.data: _Tag(frozenset),
    wire.ENUM.data: _Tag(decode_enum),
    wire.MODEL.data: _Tag(decode_model),
    wire.REGISTERED.data: _Tag(decode_registered),
}


class _Rebuilder:
    """The hooks of one decode, and the number of tags that no array has claimed."""

    __slots__ = ("open_tags",)

    def __init__(self) -> None:
        self.open_tags = 0

    def extension(self, code: int, data: bytes) -> object:
        """Return a scalar or a tag."""
        if code != wire.TAG:
            return decode_scalar(code, data)
        if data not in _TAGS:
            raise PayloadDecodeError(f"Unknown tag {data!r}")
        self.open_tags += 1
        return _TAGS[data]

    def array(self, items: list[Any]) -> object:
        """Return the array, or what it stands for if its head is a tag."""
        if not items or type(items[0]) is not _Tag:
            return items
        self.open_tags -= 1
        return items.pop(0).build(items)

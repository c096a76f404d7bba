"""What stands in MessagePack for an object that MessagePack does not know."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import lru_cache, partial
from typing import Any, Final

import msgpack
from django.db.models import Model, QuerySet
from django.db.models.query import RawQuerySet
from django.utils.datastructures import MultiValueDict
from django.utils.functional import LazyObject, Promise

from channels_graphql_ws.exceptions import PayloadTypeError
from channels_graphql_ws.serializer import scalars, wire
from channels_graphql_ws.serializer.advice import advice_for
from channels_graphql_ws.serializer.enums import encode_enum
from channels_graphql_ws.serializer.instances import encode_model
from channels_graphql_ws.serializer.registry import registration_of

LARGEST_KEPT: Final = 65_536
"""Bytes of a payload whose packer is used again: it keeps a buffer as large."""


def pack(data: object) -> bytes:
    """Return a payload as MessagePack; `encode` replaces what that does not know."""
    try:
        packer = _idle.pop()
    except IndexError:
        packer = _packer()
    try:
        packed: bytes = packer.pack(data)
    except UnicodeEncodeError:
        # Lone surrogates are rare, and an error handler makes every text slower.
        packed = _packer(unicode_errors="surrogatepass").pack(data)
    else:
        if len(packed) <= LARGEST_KEPT:
            _idle.append(packer)
    return packed


def encode(value: object) -> Any:
    """Return what is packed in place of a value, parts of which may need `encode` again.

    Raises:
        PayloadTypeError: there is nothing that could stand for it.
    """
    cls: Any = type(value)  # `Any`: mypy takes the hash of a class for that of its instances
    registration = registration_of(cls)
    if registration is not None:
        return [wire.REGISTERED, registration.name, registration.encode(value)]
    return _encoder_of(cls)(value)


@lru_cache(maxsize=1024)
def _encoder_of(cls: type[object]) -> Callable[[Any], Any]:
    # First of all: an `IntEnum` or `TextChoices` is also an `int` or a `str`.
    if issubclass(cls, Enum):
        return encode_enum
    for base in cls.__mro__:
        if base in _ENCODERS:
            return _ENCODERS[base]
    name = f"{cls.__module__}.{cls.__qualname__}"
    raise PayloadTypeError(f"{name} cannot be sent; {advice_for(cls)}")


def _tagged(tag: msgpack.ExtType, items: Any) -> list[Any]:
    return [tag, *items]


def _unwrap(lazy: LazyObject[Any]) -> Any:
    """Return what a lazy object stands for; its pickled form is the open door to it."""
    wrapped: Any = lazy.__reduce__()[1][0]
    return wrapped if type(wrapped) in (bool, type(None)) else encode(wrapped)


# The buffer grows as needed; to allocate the usual 256 KiB costs more than to pack.
_packer: Final[Callable[..., Any]] = partial(
    msgpack.Packer, default=encode, strict_types=True, buf_size=1024
)

_idle: Final[list[msgpack.Packer]] = []
"""Packers that are not in use: making one takes as long as packing a small payload."""

_ENCODERS: Final[dict[type[Any], Callable[[Any], Any]]] = {
    tuple: partial(_tagged, wire.TUPLE),
    set: partial(_tagged, wire.SET),
    frozenset: partial(_tagged, wire.FROZENSET),
    **scalars.ENCODERS,
    Model: partial(encode_model, pack),
    QuerySet: list,
    RawQuerySet: list,
    Promise: str,
    LazyObject: _unwrap,
    MultiValueDict: lambda value: dict(value.lists()),
    # Subclasses, and integers beyond 64 bits.
    int: scalars.encode_int,
    float: float.__float__,
    str: str.__str__,
    bytes: bytes.__bytes__,
    bytearray: bytes,
    list: list,
    dict: dict,
}

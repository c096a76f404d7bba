"""Scalars that MessagePack does not have: a row for each, with both directions."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from msgpack import ExtType

from channels_graphql_ws.exceptions import PayloadDecodeError, PayloadTypeError


class Scalar(NamedTuple):
    """How values of one type travel; a new type is one more row in `SCALARS`.

    Attributes:
        type: the exact type that comes back; subclasses become it.
        code: MessagePack's extension code. It is part of the format: never change it, and
            never give it to another type. 1 is taken by `wire.TAG`.
        encode: returns the bytes of a value.
        decode: returns the value of such bytes.
        is_immutable: one value can serve all receivers of a payload.
    """

    type: type[Any]
    code: int
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], object]
    is_immutable: bool = True


def _encode_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _decode_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


_TIMEDELTA: Final = struct.Struct(">iii")


def _encode_timedelta(value: timedelta) -> bytes:
    return _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)


def _encode_clock(value: datetime | time) -> bytes:
    """Return fold, ISO form and zone: `1 2026-10-25T02:30:00+01:00[Europe/Berlin]`."""
    zone = value.tzinfo
    key = zone.key if isinstance(zone, ZoneInfo) else None
    if zone is not None and key is None and value.utcoffset() is None:
        raise PayloadTypeError(f"{zone!r} has no key and no offset to send")
    suffix = f"[{key}]" if key else ""
    return f"{value.fold} {value.isoformat()}{suffix}".encode()


def _decode_datetime(data: bytes) -> datetime:
    fold, iso, zone = _decode_clock(data)
    value = datetime.fromisoformat(iso)
    return value.replace(fold=fold, tzinfo=zone or value.tzinfo)


def _decode_time(data: bytes) -> time:
    fold, iso, zone = _decode_clock(data)
    value = time.fromisoformat(iso)
    return value.replace(fold=fold, tzinfo=zone or value.tzinfo)


# `ZoneInfo` may look a key up as a module path below `tzdata`; let it see plain keys only.
_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def _decode_clock(data: bytes) -> tuple[int, str, ZoneInfo | None]:
    fold, _, text = data.decode().partition(" ")
    iso, _, suffix = text.partition("[")
    if not suffix:
        return int(fold), iso, None
    key = suffix.removesuffix("]")
    if not _ZONE_KEY.fullmatch(key):
        raise PayloadDecodeError(f"{key!r} is not a time zone")
    return int(fold), iso, ZoneInfo(key)


SCALARS: Final = (
    Scalar(int, 2, _encode_int, _decode_int),
    # Keeps sign, digits and exponent, and the kinds of NaN.
    Scalar(Decimal, 3, lambda value: str(value).encode(), lambda data: Decimal(data.decode())),
    Scalar(UUID, 4, lambda value: value.bytes, lambda data: UUID(bytes=data)),
    Scalar(datetime, 5, _encode_clock, _decode_datetime),
    Scalar(
        date,
        6,
        lambda value: value.isoformat().encode(),
        lambda data: date.fromisoformat(data.decode()),
    ),
    Scalar(time, 7, _encode_clock, _decode_time),
    Scalar(timedelta, 8, _encode_timedelta, lambda data: timedelta(*_TIMEDELTA.unpack(data))),
)

IMMUTABLE: Final = frozenset({type(None), bool, int, float, str, bytes}) | {
    scalar.type for scalar in SCALARS if scalar.is_immutable
}
"""Types whose values need no copy for each receiver."""


def encoder(scalar: Scalar) -> Callable[[Any], ExtType]:
    """Return the function that packs values of a type."""
    code, encode = scalar.code, scalar.encode
    # `ExtType()` checks at each call what is certain here, and takes as long as all the rest.
    new = tuple.__new__
    return lambda value: new(ExtType, (code, encode(value)))


ENCODERS: Final = {scalar.type: encoder(scalar) for scalar in SCALARS}
"""What is packed in place of a value, by its type."""

_DECODERS: Final = {scalar.code: scalar.decode for scalar in SCALARS}


def encode_int(value: int) -> int | ExtType:
    """Return what MessagePack can pack: it has 64 bits, and no subclasses."""
    if -(1 << 63) <= value < 1 << 64:
        return int.__int__(value)
    return ENCODERS[int](value)


def decode_scalar(code: int, data: bytes) -> object:
    """Return the value of an extension object."""
    if code not in _DECODERS:
        raise PayloadDecodeError(f"Unknown extension code {code}")
    return _DECODERS[code](data)

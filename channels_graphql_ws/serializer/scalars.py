"""Values without parts that MessagePack has no word for, in both directions."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from msgpack import ExtType

from channels_graphql_ws.exceptions import PayloadDecodeError, PayloadTypeError
from channels_graphql_ws.serializer import wire

_TIMEDELTA: Final = struct.Struct(">iii")

# `ZoneInfo` may look a key up as a module path below `tzdata`; let it see plain keys only.
_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def encode_int(value: int) -> int | ExtType:
    """Return what MessagePack can pack: it has 64 bits, and no subclasses."""
    if -(1 << 63) <= value < 1 << 64:
        return int.__int__(value)
    size = value.bit_length() // 8 + 1
    return ExtType(wire.INTEGER, value.to_bytes(size, "big", signed=True))


def encode_decimal(value: Decimal) -> ExtType:
    """Keep sign, digits and exponent, and the kinds of NaN."""
    return ExtType(wire.DECIMAL, str(value).encode())


def encode_uuid(value: UUID) -> ExtType:
    """Take 16 bytes."""
    return ExtType(wire.UUID, value.bytes)


def encode_timedelta(value: timedelta) -> ExtType:
    """Take the three numbers that a `timedelta` is made of."""
    parts = _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)
    return ExtType(wire.TIMEDELTA, parts)


def encode_date(value: date) -> ExtType:
    """Take the ISO form."""
    return ExtType(wire.DATE, value.isoformat().encode())


def encode_datetime(value: datetime) -> ExtType:
    """Take the clock's reading."""
    return ExtType(wire.DATETIME, _encode_clock(value))


def encode_time(value: time) -> ExtType:
    """Take the clock's reading."""
    return ExtType(wire.TIME, _encode_clock(value))


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


def _decode_clock(data: bytes) -> tuple[int, str, ZoneInfo | None]:
    fold, _, text = data.decode().partition(" ")
    iso, _, suffix = text.partition("[")
    if not suffix:
        return int(fold), iso, None
    key = suffix.removesuffix("]")
    if not _ZONE_KEY.fullmatch(key):
        raise PayloadDecodeError(f"{key!r} is no time zone")
    return int(fold), iso, ZoneInfo(key)


DECODERS: Final[dict[int, Callable[[bytes], object]]] = {
    wire.INTEGER: lambda data: int.from_bytes(data, "big", signed=True),
    wire.DECIMAL: lambda data: Decimal(data.decode()),
    wire.UUID: lambda data: UUID(bytes=data),
    wire.DATETIME: _decode_datetime,
    wire.DATE: lambda data: date.fromisoformat(data.decode()),
    wire.TIME: _decode_time,
    wire.TIMEDELTA: lambda data: timedelta(*_TIMEDELTA.unpack(data)),
}


def decode_scalar(code: int, data: bytes) -> object:
    """Return the value of an extension object."""
    if code not in DECODERS:
        raise PayloadDecodeError(f"Unknown extension code {code}")
    return DECODERS[code](data)

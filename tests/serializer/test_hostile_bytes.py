"""Bytes that nobody has serialized are one clear error."""

# ruff: noqa: DTZ901 (naive times travel, too)

from __future__ import annotations

import contextlib
import resource
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels_graphql_ws.exceptions import PayloadDecodeError
from channels_graphql_ws.serializer import Serializer, wire
from channels_graphql_ws.serializer.scalars import SCALARS
from channels_graphql_ws.serializer.wire import HEADER
from round_trips import decode_error, forged
from testapp.models import Book, Rank


@pytest.mark.parametrize("data", [None, "text", 3, bytearray(HEADER), memoryview(HEADER), [], {}])
def test_what_is_no_bytes_is_refused(data: object) -> None:
    assert decode_error(data) == f"Expected bytes, got {type(data).__name__}"


@pytest.mark.parametrize("payload", [{"a": 1}, None, 1, "text", [], {"__djangomodel__": 1}])
def test_messagepack_of_other_programs_is_recognised(payload: object) -> None:
    assert decode_error(msgpack.packb(payload)).startswith("No payload of channels_graphql_ws")


def test_no_bytes_at_all_are_refused() -> None:
    assert decode_error(b"").startswith("No payload")
    assert decode_error(b"\xc1").startswith("No payload")


def test_another_version_is_named() -> None:
    assert "format version 7, but only version 1" in decode_error(b"\xc1\x07\x80")


FORGERIES = {
    "nothing": HEADER,
    "truncated": Serializer.serialize([1, "text", (2,)])[:-1],
    "trailing": Serializer.serialize([1]) + b"\x00",
    "two payloads": Serializer.serialize([1]) * 2,
    "reserved byte": HEADER + b"\xc1",
    "unknown extension": HEADER + msgpack.packb(msgpack.ExtType(99, b"")),
    "unknown tag": forged(msgpack.ExtType(wire.TAG, b"?"), 1),
    "long tag": forged(wire.TUPLE, msgpack.ExtType(wire.TAG, b"tt"), 1),
    "tag in another form": HEADER + b"\x92\xc7\x01\x01t\x01",
    "tag alone": HEADER + msgpack.packb(wire.TUPLE),
    "tag in second place": forged(1, wire.TUPLE),
    "two tags": forged(wire.TUPLE, wire.SET),
    "tag as value": HEADER + msgpack.packb({"a": wire.TUPLE}),
    "tag as key": HEADER + msgpack.packb({wire.TUPLE: 1}),
    "set of lists": forged(wire.SET, []),
    "list as key": HEADER + b"\x81\x90\x01",
    "dict as key": HEADER + b"\x81\x80\x01",
    "model without values": forged(wire.MODEL, "testapp.book"),
    "model with a list": forged(wire.MODEL, "testapp.book", None, True, []),
    "model with a number": forged(wire.MODEL, 3, None, True, {}),
    "model with a list as label": forged(wire.MODEL, [], None, True, {}),
    "model with too much": forged(wire.MODEL, "testapp.invoice", None, True, {}, 3),
    "enum without a name": forged(wire.ENUM, "testapp.models"),
    "enum with numbers": forged(wire.ENUM, 1, 2, 3),
    "enum with lists": forged(wire.ENUM, [], [], []),
    "registered without content": forged(wire.REGISTERED, "point"),
    "registered with a list": forged(wire.REGISTERED, [], 1),
    "timestamp of one byte": HEADER + msgpack.packb(msgpack.ExtType(1, b""))[:-1] + b"\xff",
    "text that is no utf-8": HEADER + b"\xa2\xff\xff",
    "huge array": HEADER + b"\xdd\xff\xff\xff\xff",
    "huge map": HEADER + b"\xdf\xff\xff\xff\xff",
    "huge bytes": HEADER + b"\xc6\xff\xff\xff\xff",
    "huge text": HEADER + b"\xdb\xff\xff\xff\xff",
    "huge extension": HEADER + b"\xc9\xff\xff\xff\xff\x02",
    "arrays without end": HEADER + b"\x91" * 100_000,
    "maps without end": HEADER + b"\x81\xa1a" * 100_000,
    "maps in keys": HEADER + b"\x81" * 100_000,
    "tuples without end": HEADER + b"\x92\xd4\x01t" * 100_000,
}


@pytest.mark.parametrize("data", FORGERIES.values(), ids=FORGERIES.keys())
def test_forged_bytes_are_one_clear_error(data: bytes) -> None:
    assert decode_error(data)


@pytest.mark.parametrize(
    ("scalar", "data"),
    [
        (Decimal, b"1,5"),
        (Decimal, b"\xff"),
        (UUID, b"short"),
        (date, b"2026-13-01"),
        (time, b"0 25:00"),
        (time, b"x 01:00"),
        (time, b"7 01:00"),
        (datetime, b""),
        (datetime, b"0"),
        (datetime, b"0 2026-01-01T00:00:00[Europe/Atlantis]"),
        (datetime, b"0 2026-01-01T00:00:00[../../etc/passwd]"),
        (datetime, b"0 2026-01-01T00:00:00[/etc/passwd]"),
        (datetime, b"0 2026-01-01T00:00:00[os.path/x]"),
        (datetime, b"0 2026-01-01T00:00:00[Europe]"),
        (datetime, b"0 2026-01-01T00:00:00[]x]"),
        (timedelta, b"short"),
        (timedelta, b"\x7f" * 12),
    ],
)
def test_a_forged_scalar_is_one_clear_error(scalar: type, data: bytes) -> None:
    code = next(row.code for row in SCALARS if row.type is scalar)
    assert decode_error(HEADER + msgpack.packb(msgpack.ExtType(code, data)))


def test_codes_of_scalars_stay_what_they_are() -> None:
    """Processes of two releases may share a channel layer."""
    assert {row.type: row.code for row in SCALARS} == {
        int: 2,
        Decimal: 3,
        UUID: 4,
        datetime: 5,
        date: 6,
        time: 7,
        timedelta: 8,
    }


def test_the_cause_of_a_decode_error_is_kept() -> None:
    with pytest.raises(PayloadDecodeError, match="Malformed payload: ExtraData") as caught:
        Serializer.deserialize(Serializer.serialize(1) + b"\x00")
    assert isinstance(caught.value.__cause__, msgpack.ExtraData)


def test_nested_promises_of_length_cost_no_memory() -> None:
    size = 100_000
    arrays = (b"\xdd" + size.to_bytes(4, "big")) * 1000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decode_error(HEADER + arrays + b"\x00" * size)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400 * 1024  # KiB; the promises add up to 800 MB


def mutated() -> st.SearchStrategy[bytes]:
    """Valid bytes with some of them replaced, cut or doubled."""
    sample = {"a": (1, {2}), "b": Book(title="x"), "c": Rank.LOW, "d": [datetime.min, Decimal(1)]}
    data = Serializer.serialize(sample)
    places = st.integers(len(HEADER), len(data))
    return st.builds(
        lambda start, end, new: data[:start] + new + data[end:],
        places,
        places,
        st.binary(max_size=8),
    )


@given(st.binary().map(lambda tail: HEADER + tail) | st.binary() | mutated())
@example(HEADER + b"\xc7\x00\xff")
def test_bytes_raise_decode_errors_or_nothing_and_import_nothing(data: bytes) -> None:
    loaded = set(sys.modules)
    with contextlib.suppress(PayloadDecodeError):
        Serializer.deserialize(data)
    assert {name for name in set(sys.modules) - loaded if not name.startswith("tzdata")} == set()

"""Payload to bytes and back: the types of Python and Django, and the format."""

# ruff: noqa: DTZ001, DTZ901 (naive times travel, too)

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.db.models import Model
from django.http import QueryDict
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import given

from channels_graphql_ws.serializer import Serializer, encoding
from payloads import PAYLOADS
from round_trips import exact, refusal, travel
from testapp.models import (
    Author,
    Book,
    Color,
    Rank,
)

BERLIN = ZoneInfo("Europe/Berlin")

SCALARS = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    10**400,
    -(10**400),
    0.0,
    -0.0,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    "text",
    "žluťoučký 🐎 կապույտ",
    "\ud800 lone",
    "\x00",
    b"",
    b"\xff\x00",
    Decimal(0),
    Decimal("-0.00"),
    Decimal("1E+999999"),
    Decimal("3.14159265358979323846264338327950288419716939937510582"),
    Decimal("NaN"),
    Decimal("-sNaN123"),
    Decimal("Infinity"),
    UUID(int=0),
    UUID("12345678-1234-5678-1234-567812345678"),
    timedelta(),
    timedelta.max,
    timedelta.min,
    timedelta(microseconds=-1),
    date.min,
    date.max,
    datetime.min,
    datetime.max,
    datetime(2026, 1, 2, 3, 4, 5, 6),
    datetime(2026, 1, 2, tzinfo=UTC),
    datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    datetime(2026, 1, 2, tzinfo=timezone(timedelta(seconds=1, microseconds=1))),
    datetime(2026, 7, 2, tzinfo=BERLIN),
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2026, 10, 25, 2, 30, fold=1),
    datetime(1800, 1, 1, tzinfo=BERLIN),
    datetime(2026, 1, 2, tzinfo=ZoneInfo("UTC")),
    datetime(2026, 1, 2, tzinfo=ZoneInfo("Etc/GMT+5")),
    time.min,
    time(1, 2, 3, 4),
    time(1, 2, tzinfo=UTC),
    time(1, 2, tzinfo=timezone(timedelta(hours=5))),
    time(1, 2, tzinfo=BERLIN, fold=1),
]


@pytest.mark.parametrize("value", SCALARS, ids=lambda value: ascii(value)[:60])
def test_a_value_comes_back_as_it_was(value: object) -> None:
    assert exact(travel(value)) == exact(value)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        (),
        set(),
        frozenset(),
        [1, [2, [3]]],
        (1, (2, ((),))),
        {1, 2},
        frozenset({"a"}),
        {frozenset({(1, 2)}), (3,)},
        [(), [], {}, set()],
        {"b": 1, "a": 2},
        {1: "int", "1": "str", b"1": "bytes", 1.5: "float", None: 0, (1, (2,)): "tuple"},
        {date(2026, 1, 1): 1, Decimal("1.1"): 2, UUID(int=1): 3, frozenset({1}): 4, 2**70: 5},
        {"__djangomodel__": {"model": "auth.user", "pk": 1}, "__datetime__": True, "as_str": "x"},
        [b"\xd4\x01t", "t", b"\xd4\x01", -0x2B, 0x01],
        [{"a": ({"b": [{1: (Decimal(1),)}]},)}],
    ],
)
def test_what_holds_other_things_comes_back_as_it_was(value: object) -> None:
    assert exact(travel(value)) == exact(value)


def test_the_order_of_a_dict_is_kept() -> None:
    assert list(travel({"z": 1, 3: 2, "a": 3, (): 4})) == ["z", 3, "a", ()]


@given(PAYLOADS)
def test_any_payload_comes_back_as_it_was(payload: object) -> None:
    assert exact(travel(payload)) == exact(payload)


def test_each_decode_returns_objects_of_its_own() -> None:
    data = Serializer.serialize({"list": [1], "set": {1}})
    first = Serializer.deserialize(data)
    first["list"].append(2)
    first["set"].clear()
    assert Serializer.deserialize(data) == {"list": [1], "set": {1}}


def test_bytes_like_objects_become_bytes() -> None:
    class Buffer(bytearray):
        pass

    payload = [bytearray(b"a"), memoryview(b"b"), Buffer(b"c")]
    assert exact(travel(payload)) == exact([b"a", b"b", b"c"])


def test_an_instance_of_a_subclass_becomes_the_type_below() -> None:
    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "not asked"

    class Number(int):
        def __int__(self) -> int:
            return -1

    class Real(float):
        pass

    class Raw(bytes):
        pass

    class Row(list[int]):
        pass

    class Day(date):
        pass

    Pair = namedtuple("Pair", "a b")  # noqa: PYI024 (the old way counts, too)
    payload = [Text("t"), Number(3), Number(2**70), Real(1.5), Raw(b"r"), Row([1])]
    assert exact(travel(payload)) == exact(["t", 3, 2**70, 1.5, b"r", [1]])
    assert exact(travel([Day(2026, 1, 2), Pair(1, 2)])) == exact([date(2026, 1, 2), (1, 2)])


def test_every_kind_of_dict_becomes_a_dict_in_its_order() -> None:
    ordered = OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    payload = [defaultdict(list, x=[1]), ordered, Counter("aab")]
    expected = [{"x": [1]}, {"b": 2, "a": 1}, {"a": 2, "b": 1}]
    assert exact(travel(payload)) == exact(expected)


def test_a_named_offset_keeps_the_offset() -> None:
    value = datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1), "CET"))
    assert travel(value) == value
    assert travel(value).utcoffset() == timedelta(hours=1)


class Moon(tzinfo):
    """A zone of a kind that nobody knows."""

    def __init__(self, offset: timedelta | None) -> None:
        self.offset = offset

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return self.offset

    def __repr__(self) -> str:
        return "Moon()"


def test_an_unknown_zone_becomes_its_offset_at_that_moment() -> None:
    value = datetime(2026, 1, 2, tzinfo=Moon(timedelta(hours=7)))
    assert str(travel(value)) == str(value)
    assert travel(value).tzinfo == timezone(timedelta(hours=7))


def test_a_zone_without_key_becomes_its_offset() -> None:
    paths = [Path(base, "Europe/Berlin") for base in zoneinfo.TZPATH]
    with next(path for path in paths if path.exists()).open("rb") as file:
        nameless = ZoneInfo.from_file(file)
    value = datetime(2026, 7, 2, tzinfo=nameless)
    assert travel(value).tzinfo == timezone(timedelta(hours=2))


def test_a_zone_without_key_and_offset_is_refused() -> None:
    assert refusal({"at": time(1, tzinfo=Moon(None))}) == (
        'payload["at"]: Moon() has no key and no offset to send'
    )


def test_plain_data_costs_nothing_but_messagepack() -> None:
    calls: list[str] = []

    def count(frame: Any, event: str, _: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    payload = {"id": 1, "text": "hello", "list": [1, [2.5, None]], "raw": b"\xd4\x00"}
    sys.setprofile(count)
    try:
        Serializer.deserialize(Serializer.serialize(payload))
    finally:
        sys.setprofile(None)
    assert calls == ["serialize", "pack", "deserialize", "unpack"]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The packers that nobody uses: none at first."""
    packers: list[Any] = []
    monkeypatch.setattr(encoding, "_idle", packers)
    return packers


def test_a_packer_is_used_again_and_leaves_nothing_of_one_payload_in_the_next(
    idle: list[Any],
) -> None:
    assert travel({"first": "x" * 1_000}) == {"first": "x" * 1_000}
    first = list(idle)
    assert travel([2]) == [2]
    assert idle == first
    assert len(idle) == 1


def test_what_failed_half_way_leaves_nothing_in_the_next_payload(idle: list[Any]) -> None:
    for bad in (["packed already", object()], ["packed already", "\ud800", object()]):
        assert refusal(bad)
        assert idle == []
        assert travel([1]) == [1]
        idle.clear()


def test_the_packer_of_a_large_payload_is_not_kept(idle: list[Any]) -> None:
    large = b"x" * (encoding.LARGEST_KEPT + 1)
    assert travel(large) == large
    assert idle == []


def test_threads_do_not_share_a_packer(idle: list[Any]) -> None:
    start = threading.Barrier(4)
    wrong: list[object] = []

    def thread(number: int) -> None:
        start.wait()
        payload = [UUID(int=number), [number] * 100]
        wrong.extend(payload for _ in range(500) if travel(payload) != payload)

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []
    assert len(idle) <= 4


def test_lazy_and_safe_texts_become_plain_texts() -> None:
    payload = [gettext_lazy("Monday"), mark_safe("<b>"), SafeString("s")]
    assert exact(travel(payload)) == exact(["Monday", "<b>", "s"])


@pytest.mark.parametrize("value", [None, True, 3, 2**70, "text", [1, (2,)], (1,), Color.RED])
def test_a_lazy_object_becomes_what_it_stands_for(value: object) -> None:
    assert exact(travel({"lazy": SimpleLazyObject(lambda: value)})) == exact({"lazy": value})


def test_a_lazy_user_becomes_a_user() -> None:
    user = travel(SimpleLazyObject(lambda: User(pk=3, username="bob")))
    assert type(user) is User
    assert user.username == "bob"


def test_a_query_dict_keeps_all_of_its_values() -> None:
    assert travel(QueryDict("a=1&a=2&b=3")) == {"a": ["1", "2"], "b": ["3"]}


@pytest.mark.django_db
def test_a_queryset_is_evaluated_at_the_call_and_becomes_a_list() -> None:
    Author.objects.create(name="Ann")
    data = Serializer.serialize({"authors": Author.objects.all()})
    Author.objects.create(name="Bob")
    authors = Serializer.deserialize(data)["authors"]
    assert type(authors) is list
    assert [type(author) for author in authors] == [Author]
    assert authors[0].name == "Ann"


@pytest.mark.django_db
def test_querysets_of_values_become_lists_of_values() -> None:
    Author.objects.create(pk=1, name="Ann")
    authors = Author.objects.all()
    assert exact(travel(authors.values())) == exact([{"id": 1, "name": "Ann"}])
    assert exact(travel(authors.values_list("id", "name"))) == exact([(1, "Ann")])
    assert exact(travel(authors.values_list("id", "name", named=True))) == exact([(1, "Ann")])
    assert exact(travel(authors.values_list("name", flat=True))) == exact(["Ann"])
    assert travel(Author.objects.raw("SELECT * FROM testapp_author")) == [Author(pk=1)]
    assert exact(travel(authors.none())) == exact([])


@pytest.mark.django_db
async def test_a_queryset_on_the_event_loop_is_refused_in_django_s_words() -> None:
    with pytest.raises(SynchronousOnlyOperation):
        Serializer.serialize(Author.objects.all())


def run_python(program: str) -> str:
    """Return what a program prints in an interpreter without Django settings."""
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_module_needs_no_django_settings() -> None:
    program = """
from channels_graphql_ws.exceptions import PayloadDecodeError
from channels_graphql_ws.serializer import Serializer
assert Serializer.deserialize(Serializer.serialize({"a": (1,)})) == {"a": (1,)}
try:
    Serializer.deserialize(bytes.fromhex(%r))
except PayloadDecodeError as error:
    print(error)
"""
    data = Serializer.serialize(Author(name="Ann"))
    assert run_python(program % data.hex()).startswith("No model 'testapp.author' here")


def test_the_format_is_written_down() -> None:
    # Other processes may run another release: what this one writes must not change.
    payload = {"a": (1, {2}), "b": Decimal("1.5"), "c": Rank.LOW, "d": Author(pk=1, name="Ann")}
    assert Serializer.serialize(payload).hex() == (
        "c10184a16193d401740192d4017302a162c70303312e35"
        "a16394d40165ae746573746170702e6d6f64656c73a452616e6ba34c4f57"
        "a16495d4016dae746573746170702e617574686f72c0c382a2696401a46e616d65a3416e6e"
    )


def test_instances_are_of_models_of_the_registry() -> None:
    assert isinstance(travel(Book()), Model)

"""JSON text: what orjson can do, what only the standard library can, what nobody can."""

from __future__ import annotations

import enum
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.functional import lazystr
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws import json_text
from channels_graphql_ws.json_text import (
    LongIntegerError,
    culprit,
    dumps,
    encodable,
    loads,
    loads_from_client,
)
from testapp.models import Book, Weekday


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def levels_of(value: list[Any]) -> int:
    return sum(1 for _ in _inwards(value))


def _inwards(value: list[Any]) -> Iterator[Any]:
    while value:
        value = value[0]
        yield value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Not a surrogate: no client can send one.
    | st.text(st.characters(codec="utf-8")),
    lambda values: (
        st.lists(values) | st.dictionaries(st.text(st.characters(codec="utf-8")), values)
    ),
    max_leaves=20,
)


@given(json_values)
def test_what_was_encoded_is_decoded_again(value: Any) -> None:
    assert loads(dumps(value)) == value


@given(json_values)
def test_any_other_program_reads_what_was_encoded(value: Any) -> None:
    assert json.loads(dumps(value)) == value


def test_text_is_compact_and_keeps_letters_of_all_scripts() -> None:
    assert dumps({"a": [1, "ж"]}) == '{"a":[1,"ж"]}'


def test_an_integer_beyond_64_bits_keeps_its_digits() -> None:
    text = "[123456789012345678901234567890,-9223372036854775809]"

    assert loads(text) == [123456789012345678901234567890, -9223372036854775809]
    assert dumps(loads(text)) == text


@pytest.mark.parametrize("digits", [19, 20, 25, 37])
@pytest.mark.parametrize("before", range(7))
def test_a_long_integer_is_found_wherever_it_stands(before: int, digits: int) -> None:
    number = int("9" * digits)
    assert loads(f"[{' ' * before}{number}]") == [number]


def test_text_with_a_long_number_is_compact_too() -> None:
    assert dumps({"a": [2**70, 1]}) == f'{{"a":[{2**70},1]}}'


def test_a_lone_surrogate_is_escaped() -> None:
    assert dumps("\ud800") == '"\\ud800"'


def test_a_key_that_is_no_string_becomes_one() -> None:
    assert dumps({1: "one"}) == '{"1":"one"}'


def test_a_value_of_500_levels_is_encoded_and_decoded() -> None:
    assert levels_of(loads(dumps(nested(500)))) == 500


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\ud83d"', "a\N{REPLACEMENT CHARACTER}"),
        (r'"\udE00b"', "\N{REPLACEMENT CHARACTER}b"),
        (
            r'["\ud83d\ude00", "\ud83d", 12345678901234567890123]',
            ["😀", "\ufffd", 12345678901234567890123],
        ),
        (r'["\ud800", "\\ud800\n\""]', ["\ufffd", '\\ud800\n"']),
        (r'"\ud800\ud83d\ude00\ude00"', "\ufffd😀\ufffd"),
        (r'"\\ud83d\ude00\\\ud83d"', "\\ud83d\ufffd\\\ufffd"),
        (r'"\uDBFF\uDFFF\uDFFF\uDBFF\u0041"', "\U0010ffff\ufffd\ufffdA"),
    ],
)
def test_half_of_a_surrogate_pair_becomes_a_replacement_character(text: str, value: Any) -> None:
    assert loads(text) == value


PIECES = [
    r"\ud83d",
    r"\uD83D",
    r"\ude00",
    r"\uDE00",
    "\\\\",
    r"\"",
    r"\n",
    r"\u0041",
    "ud83d",
    "😀",
]

LARGE = "x" * 65_536


@given(st.lists(st.sampled_from(PIECES)))
def test_a_text_with_halves_of_pairs_is_otherwise_what_other_programs_read(
    pieces: list[str],
) -> None:
    text = f'"{"".join(pieces)}"'
    expected = re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", json.loads(text))
    assert loads(text) == expected
    assert loads(f'["{LARGE}", {text}]') == [LARGE, expected]


@pytest.mark.parametrize("large", ["", LARGE])
def test_a_text_with_a_half_of_a_pair_that_is_not_json_is_a_value_error(large: str) -> None:
    for wrong in (r'["\ud83d", NaN]', '["\\ud83d\0"]', r'["\ud83d"', r'["\ud83d\x"]'):
        with pytest.raises(ValueError, match=r"."):
            loads(f'["{large}", {wrong}]')


LONG = "123456789012345678901"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f'["{LONG}"]', [LONG]),
        (f'["\\"{LONG}", 1]', [f'"{LONG}', 1]),
        (f'["\\\\", "{LONG}\\\\"]', ["\\", f"{LONG}\\"]),
        (f"[1.{LONG}, 0.{LONG}e2]", [float(f"1.{LONG}"), float(f"0.{LONG}e2")]),
        ("[9223372036854775807, -922337203685477580]", [2**63 - 1, -922337203685477580]),
        ("[9999999999999999999]", [9999999999999999999]),
    ],
)
def test_digits_that_are_no_long_integer_are_decoded_once(
    text: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "json", None)
    assert loads(text) == value


@pytest.mark.parametrize(
    "text", [f"[{LONG}]", f'["\\\\", {LONG}]', f'{{"{LONG}": {LONG}}}', f'["\\"", -{LONG}]']
)
def test_long_texts_of_clients_with_a_long_integer_are_refused(text: str) -> None:
    blank = " " * 262_144
    assert loads_from_client(text) == json.loads(text)
    assert loads(text + blank) == json.loads(text)
    with pytest.raises(
        LongIntegerError, match=r"more than 64 bits .* more than 262144 .* in quotes"
    ):
        loads_from_client(text + blank)


def test_a_value_without_a_json_form_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        dumps(object())


def test_a_value_of_a_million_levels_is_a_recursion_error() -> None:
    with pytest.raises(RecursionError):
        dumps(nested(1_000_000))


class Plain(enum.Enum):
    """An enum whose members are nothing else."""

    A = "a"
    NESTED = (1, 2)


class Word(enum.StrEnum):
    """An enum of texts."""

    A = "a"


class Pair(NamedTuple):
    """A tuple of a class of its own."""

    x: int
    y: object


@dataclass
class Card:
    """Has a field that is nobody's business."""

    suit: str
    at: date
    _secret: int = 0


AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)

KNOWN: list[tuple[object, object]] = [
    (gettext_lazy("Hello"), "Hello"),
    (lazystr("x"), "x"),
    (Decimal("1.50"), "1.50"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (AT, "2026-01-02T03:04:05.000006+00:00"),
    (AT.replace(tzinfo=None), "2026-01-02T03:04:05.000006"),
    (AT.date(), "2026-01-02"),
    (time(3, 4), "03:04:00"),
    (time(3, 4, tzinfo=UTC), "03:04:00+00:00"),
    (timedelta(days=1, hours=2, microseconds=5), "P1DT02H00M00.000005S"),
    (-timedelta(minutes=3, seconds=4), "-P0DT00H03M04S"),
    (Plain.A, "a"),
    (Plain.NESTED, [1, 2]),
    (Word.A, "a"),
    (Weekday.MONDAY, 1),
    (Book.Status.DRAFT, "draft"),
    (Pair(1, Decimal(2)), [1, "2"]),
    (Card("hearts", AT.date()), {"suit": "hearts", "at": "2026-01-02"}),
    (float("nan"), None),
    (float("-inf"), None),
    ((1, "x"), [1, "x"]),
    ({1: "a", None: "b", False: "c", 1.5: "d"}, {"1": "a", "null": "b", "false": "c", "1.5": "d"}),
    (
        {UUID(int=2): 1, Decimal("1.5"): 2, gettext_lazy("k"): 3, Plain.A: 4, AT: 5},
        {
            "00000000-0000-0000-0000-000000000002": 1,
            "1.5": 2,
            "k": 3,
            "a": 4,
            "2026-01-02T03:04:05.000006+00:00": 5,
        },
    ),
    ({Word.A: 1}, {"a": 1}),
]
ODD: list[object] = ["text", 2**70, "\ud800", {1: 2}, nested(300), float("nan")]


@pytest.mark.parametrize("neighbour", ODD, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(("value", "expected"), KNOWN, ids=lambda value: repr(value)[:30])
def test_a_value_has_the_same_form_whatever_stands_beside_it(
    value: object, expected: object, neighbour: object
) -> None:
    assert json.loads(dumps({"value": value, "neighbour": neighbour}))["value"] == expected


@pytest.mark.parametrize("value", [timedelta(days=1, microseconds=5), -timedelta(seconds=61)])
def test_durations_are_written_as_django_writes_them(value: timedelta) -> None:
    assert dumps(value) == json.dumps(value, cls=DjangoJSONEncoder)


@pytest.mark.parametrize(
    "value", [object(), b"bytes", {1, 2}, {"a": [{b"key": 1}]}, {(1, 2): 3}, Card]
)
def test_a_value_without_a_json_form_is_refused_whatever_stands_beside_it(value: object) -> None:
    for neighbour in ODD:
        with pytest.raises((TypeError, ValueError)):
            dumps([value, neighbour])


def circle() -> dict[str, Any]:
    value: dict[str, Any] = {"a": 1}
    value["me"] = value
    return value


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ({"a": 1, "b": object()}, {"a": 1}),
        ({"a": None, "b": {"c": b"", "d": Decimal(1)}}, {"a": None, "b": {"d": Decimal(1)}}),
        ([1, {2}, [object(), "x"]], [1, None, [None, "x"]]),
        ({b"key": 1, "a": 2}, {"a": 2}),
        (object(), None),
    ],
)
def test_what_has_no_json_form_is_left_out(value: object, left: object) -> None:
    assert encodable(value) == left


def test_what_refers_to_itself_is_left_out_somewhere() -> None:
    assert encodable(circle())["a"] == 1


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, {"b": {2}}]}, "a.1.b: a value of the type 'set'"),
        ({"a": {b"key": 1}}, "a: a key of the type 'bytes'"),
        (object(), "a value of the type 'object'"),
        (circle(), "me: a circular reference"),
    ],
)
def test_what_has_no_json_form_is_found(value: object, where: str) -> None:
    assert culprit(value) == where


def test_a_long_path_to_what_has_no_json_form_is_shortened() -> None:
    value: Any = object()
    for _ in range(100):
        value = {"a long name": value}
    assert "…" in culprit(value)
    assert len(culprit(value)) < 300


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{'a':1}",
        "[NaN]",
        "[NaN,12345678901234567890]",
        "[Infinity,12345678901234567890]",
        '["\\ud800"',
        '["\\ud800", NaN]',
        "[" * 20_000 + '"\\ud800"' + "]" * 20_000,
        "1e400",
        "9" * 5_000,
        "[" * 20_000,
        "[" * 20_000 + "]" * 20_000,
        "[" * 20_000 + "12345678901234567890" + "]" * 20_000,
        # What orjson reads, and the standard library of this release of Python does not.
        *["[" * 1_020 + "12345678901234567890" + "]" * 1_020][: sys.version_info < (3, 12)],
        "\ud800",
    ],
    ids=lambda text: ascii(text[:30] + text[-1_040:-1_020]),
)
def test_text_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(text)

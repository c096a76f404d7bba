"""JSON text: what orjson can do, what only the standard library can, what nobody can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws.json_text import dumps, loads


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
    ],
)
def test_half_of_a_surrogate_pair_becomes_a_replacement_character(text: str, value: Any) -> None:
    assert loads(text) == value


def test_a_value_without_a_json_form_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        dumps(object())


def test_a_value_of_a_million_levels_is_a_recursion_error() -> None:
    with pytest.raises(RecursionError):
        dumps(nested(1_000_000))


def test_nan_beside_a_long_number_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dumps([2**70, float("nan")])


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
        "\ud800",
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_text_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        loads(text)

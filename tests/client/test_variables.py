"""Variables as programs have them, and what is sent for them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.utils.functional import lazystr
from django.utils.safestring import SafeString

from channels_graphql_ws.client.variables import FileUpload, json_variables


class Color(Enum):
    RED = "#f00"


class Level(IntEnum):
    HIGH = 3


@dataclass
class Point:
    x: int
    at: date


class Pydantic:
    def model_dump(self, **options: Any) -> Any:
        return {"asked": options}


class Model:
    _meta: ClassVar[Any] = object()

    def __init__(self, pk: Any) -> None:
        self.pk = pk

    def __repr__(self) -> str:
        return "<Model>"


IDENTITY = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, None),
        (True, True),
        (1, 1),
        (1.5, 1.5),
        ("text", "text"),
        (SafeString("safe"), "safe"),
        (lazystr("lazy"), "lazy"),
        ({"a": {"b": 1}}, {"a": {"b": 1}}),
        ({1: 2}, {"1": 2}),
        ((1, 2), [1, 2]),
        ({1}, [1]),
        (frozenset({1}), [1]),
        (Color.RED, "RED"),
        (Level.HIGH, "HIGH"),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (Decimal("1.10"), "1.10"),
        (IDENTITY, str(IDENTITY)),
        (Point(1, date(2026, 1, 2)), {"x": 1, "at": "2026-01-02"}),
        (Pydantic(), {"asked": {"mode": "json", "by_alias": True}}),
        (Model(7), 7),
        (Model(IDENTITY), str(IDENTITY)),
    ],
)
def test_a_value_is_sent_in_its_form_of_json(value, sent):
    assert json_variables({"v": value}, {}) == {"v": sent}
    assert json_variables({"v": [value]}, {}) == {"v": [sent]}


class Number(int):
    pass


def test_a_subclass_of_a_number_is_sent_as_the_number():
    converted = json_variables({"v": Number(3)}, {})["v"]
    assert (converted, type(converted)) == (3, int)


@pytest.mark.parametrize("none", [None, {}])
def test_no_variables_are_an_empty_object(none):
    assert json_variables(none, {}) == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_an_error_which_says_where(value):
    with pytest.raises(ValueError, match=r"variables\.a\.1 is (nan|inf), .* finite numbers"):
        json_variables({"a": [0, value]}, {})


@pytest.mark.parametrize("value", [object(), b"bytes", Point, 1j])
def test_a_value_without_a_form_is_an_error_which_says_where(value):
    with pytest.raises(TypeError, match=r"variables\.a\.b is .* has no form in JSON"):
        json_variables({"a": {"b": value}}, {})


def test_a_model_that_is_not_saved_is_an_error():
    with pytest.raises(ValueError, match=r"variables\.a is <Model>, which is not saved"):
        json_variables({"a": Model(None)}, {})


def test_files_become_null_and_are_listed_by_their_path():
    first, second = io.BytesIO(b"1"), FileUpload(b"2", "two.txt", "text/plain")
    files: dict[str, Any] = {}
    variables = {"first": first, "others": [{"file": second}]}
    assert json_variables(variables, files) == {"first": None, "others": [{"file": None}]}
    assert files == {"variables.first": first, "variables.others.0.file": second}


def test_json_text_is_not_taken_for_variables() -> None:
    with pytest.raises(TypeError, match=r"variables must be a mapping such as a dict, not '\{\}'"):
        json_variables("{}", {})  # type: ignore[arg-type]

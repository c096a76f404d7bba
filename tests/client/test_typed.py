"""Results as types of the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import pytest

from channels_graphql_ws.client.errors import ResultTypeError
from channels_graphql_ws.client.typed import converter, root_converter

UserId = NewType("UserId", str)


Item = TypeVar("Item")


class Color(Enum):
    RED = "#f00"


@dataclass
class User:
    id: UserId
    first_name: str
    boss: User | None = None
    tags: list[str] = field(default_factory=list)
    shown: str = field(init=False, default="")


class Row(TypedDict):
    id: int
    created: NotRequired[date]


class Model:
    """What a pydantic model looks like from outside."""

    def __init__(self, value: Any) -> None:
        self.value = value

    @classmethod
    def model_validate(cls, value: Any) -> Model:
        if value == "bad":
            raise ValueError("it is bad")
        return cls(value)


IDENTITY = "12345678-1234-5678-1234-567812345678"


@pytest.mark.parametrize(
    ("target", "value", "expected"),
    [
        (Any, object, object),
        (object, 1, 1),
        (None, None, None),
        (int, 1, 1),
        (float, 1, 1.0),
        (bool, True, True),
        (str, "a", "a"),
        (UserId, "a", "a"),
        (Annotated[int, "seconds"], 1, 1),
        (int | None, None, None),
        (Optional[int], 1, 1),  # noqa: UP045 (both spellings)
        (int | str, "a", "a"),
        (Literal["a", 1], "a", "a"),
        (Color, "RED", Color.RED),
        (Color, "#f00", Color.RED),
        (datetime, "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (date, "2026-01-02", date(2026, 1, 2)),
        (time, "03:04:05", time(3, 4, 5)),
        (Decimal, "1.10", Decimal("1.10")),
        (Decimal, 1.1, Decimal("1.1")),
        (UUID, IDENTITY, UUID(IDENTITY)),
        (list, [1], [1]),
        (dict, {"a": 1}, {"a": 1}),
        (list[int], [1, 2], [1, 2]),
        (Sequence[int], [1, 2], [1, 2]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (set[int], [1, 1], {1}),
        (frozenset[int], [1], frozenset({1})),
        (dict[str, Decimal], {"a": "1"}, {"a": Decimal(1)}),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
        (Row, {"id": 1, "created": "2026-01-02"}, {"id": 1, "created": date(2026, 1, 2)}),
        (Row, {"id": 1, "extra": 2}, {"id": 1, "extra": 2}),
        (User, {"id": "1", "firstName": "Ann"}, User(UserId("1"), "Ann")),
        (
            User,
            {"id": "1", "first_name": "Ann", "tags": ["a"]},
            User(UserId("1"), "Ann", tags=["a"]),
        ),
        (
            list[User],
            [{"id": "1", "firstName": "A", "boss": {"id": "2", "firstName": "B", "more": 1}}],
            [User(UserId("1"), "A", User(UserId("2"), "B"))],
        ),
    ],
)
def test_a_value_becomes_what_the_type_says(target, value, expected):
    assert converter(target)(value, "v") == expected


@dataclass
class Page(Generic[Item]):
    items: list[Item]


def test_what_a_generic_type_holds_is_left_as_it_is():
    assert converter(Page[int])({"items": ["a"]}, "v") == Page(["a"])


def test_a_pydantic_model_validates_for_itself():
    assert converter(list[Model])([1], "v")[0].value == 1
    with pytest.raises(ResultTypeError, match=r"v\.0 does not fit Model: it is bad"):
        converter(list[Model])(["bad"], "v")


@pytest.mark.parametrize(
    ("target", "value", "fault"),
    [
        (int, True, "v is True, expected int"),
        (int, None, "v is None, expected int"),
        (int | str, 1.5, "v is 1.5, expected int"),
        (str, 1, "v is 1, expected str"),
        (None, 1, "v is 1, expected null"),
        (float, True, "v is True, expected float"),
        (date, "yesterday", "v is 'yesterday', expected date"),
        (Decimal, "many", "v is 'many', expected Decimal"),
        (UUID, 7, "v is 7, expected UUID"),
        (Color, "BLUE", "v is 'BLUE', expected Color"),
        (Literal["a", "b"], "c", "v is 'c', expected 'a' or 'b'"),
        (list[int], {}, r"v is \{\}, expected a list"),
        (list[int], [1, "2"], r"v\.1 is '2', expected int"),
        (dict[str, int], [], r"v is \[\], expected an object"),
        (dict[str, int], {"a": None}, r"v\.a is None, expected int"),
        (Row, {}, "v has no 'id', which Row needs"),
        (User, {"id": "1"}, r"v has no 'firstName', which User\.first_name needs"),
        (User, {"id": "1", "firstName": 2}, r"v\.firstName is 2, expected str"),
        (User, None, "v is None, expected User"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_which_says_where(target, value, fault):
    with pytest.raises(ResultTypeError, match=fault):
        converter(target)(value, "v")


@dataclass
class Cat:
    name: str


@dataclass
class Dog:
    name: str


def test_members_of_a_union_are_told_apart_by_their_type_name():
    convert = converter(Cat | Dog)
    assert convert({"__typename": "Dog", "name": "Rex"}, "v") == Dog("Rex")
    assert convert({"name": "Tom"}, "v") == Cat("Tom")


@pytest.mark.parametrize("target", [7, object(), complex, bytes, list[bytes]])
def test_a_type_that_results_cannot_become_is_an_error_at_once(target):
    with pytest.raises(TypeError, match="Results cannot be turned into"):
        converter(target)


def test_the_only_root_field_is_what_the_type_describes():
    assert root_converter(list[int])({"numbers": [1]}) == [1]
    with pytest.raises(ResultTypeError, match=r"numbers\.0 is 'x'"):
        root_converter(list[int])({"numbers": ["x"]})


def test_several_root_fields_are_described_together():
    assert root_converter(User)({"id": "1", "firstName": "Ann"}) == User(UserId("1"), "Ann")
    with pytest.raises(ResultTypeError, match="data is None, expected User"):
        root_converter(User)(None)

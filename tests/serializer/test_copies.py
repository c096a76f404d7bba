"""Several payloads of the same bytes: each as if it was decoded, none knows of another."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Model
from django.db.models.expressions import DatabaseDefault
from hypothesis import given

from channels_graphql_ws.exceptions import PayloadDecodeError
from channels_graphql_ws.serializer import Serializer, register, unregister
from payloads import PAYLOADS
from round_trips import exact
from testapp.models import (
    Author,
    Book,
    Everything,
    Invoice,
    Loaded,
    NamedPoint,
    Permission,
    Point,
    Size,
    Tracked,
)


def several(payload: object) -> list[Any]:
    """Give what three executions of one notification would get."""
    make = Serializer.deserializer(Serializer.serialize(payload))
    return [make() for _ in range(3)]


def changeable(value: Any) -> list[Any]:
    """Give all parts of a payload that somebody could change."""
    if isinstance(value, dict):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = list(value)
    elif isinstance(value, Model | Point):
        parts = list(vars(value).values())
    else:
        return []
    own = [] if isinstance(value, tuple | frozenset) else [value]
    return own + [inner for part in parts for inner in changeable(part)]


def state(instance: Model) -> tuple[object, ...]:
    """Give all that there is in an instance of a model."""
    values = {
        name: type(value) if isinstance(value, DatabaseDefault) else exact(value)
        for name, value in vars(instance).items()
        if name != "_state"
    }
    return type(instance), vars(instance._state), values


def strangers(payloads: list[Any]) -> bool:
    """Tell if nothing that could be changed is in two of them."""
    ids = [id(part) for payload in payloads for part in changeable(payload)]
    return len(ids) == len(set(ids))


@given(PAYLOADS)
def test_any_payload_is_the_same_for_everybody_and_everybodys_own(payload: object) -> None:
    copies = several(payload)
    assert [exact(copy) for copy in copies] == [exact(payload)] * 3
    assert strangers(copies)


@pytest.mark.parametrize(
    "payload",
    [
        {"seq": 1, "text": "a", "flag": True, "ratio": 0.5, "nothing": None},
        {"size": Size.SMALL, "may": Permission.READ, "at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"price": Decimal("1.50"), "id": UUID(int=1), "tags": {"a", "b"}, "pair": (1, "b")},
        {"users": [{"name": "Ann"}, {"name": "Bea", "groups": ["x"]}]},
        {"pairs": ([1], [2])},
        [[[[[["deep"]]]]]],
        (((((((((1,),),),),),),),),),
    ],
)
def test_who_changes_a_payload_changes_it_for_nobody_else(payload: Any) -> None:
    copies = several(payload)
    for part in changeable(copies[0]):
        part.clear()
    assert copies[1:] == [payload] * 2


@pytest.mark.parametrize(
    "instance",
    [
        Author(id=1, name="Ann"),
        Book(title="T", status=Book.Status.DRAFT),
        Everything(json={"a": [1]}),
        Everything(json=None, file="a.txt"),
        Invoice(net=1),
        Tracked(name="own __init__"),
        Loaded(name="own from_db"),
    ],
    ids=lambda instance: type(instance).__name__,
)
def test_an_instance_of_a_model_is_as_if_it_was_decoded(instance: Model) -> None:
    data = Serializer.serialize({"instance": instance})
    decoded = Serializer.deserialize(data)["instance"]
    copies = [copy["instance"] for copy in several({"instance": instance})]
    assert [state(copy) for copy in copies] == [state(decoded)] * 3
    assert strangers(copies)
    copies[0]._state.adding = not decoded._state.adding
    copies[0].pk = 77
    assert [state(copy) for copy in copies[1:]] == [state(decoded)] * 2


@pytest.mark.django_db
def test_deferred_columns_stay_deferred_in_all_of_them() -> None:
    Author.objects.create(name="Ann")
    payloads = several(Author.objects.defer("name").get())
    assert [payload.get_deferred_fields() for payload in payloads] == [{"name"}] * 3


def test_what_a_registration_has_made_is_made_anew() -> None:
    made: list[Point] = []

    def decode(xy: list[int]) -> Point:
        made.append(NamedPoint(*xy))
        return made[-1]

    register(Point, name="point", encode=lambda point: [point.x, point.y], decode=decode)
    try:
        copies = several({"where": Point(1, 2)})
    finally:
        unregister(Point)
    assert {id(copy["where"]) for copy in copies} <= {id(point) for point in made}
    assert strangers(copies)


def test_a_model_that_is_registered_is_made_by_its_registration() -> None:
    author = Author(id=1, name="Ann")

    def decode(title: str) -> Book:
        return Book(title=title, author=author)

    register(Book, name="book", encode=lambda book: book.title, decode=decode)
    try:
        copies = several(Book(title="T"))
    finally:
        unregister(Book)
    assert [copy.author is author for copy in copies] == [True] * 3


def test_an_instance_that_a_registration_put_into_something_keeps_what_it_knows() -> None:
    author = Author(id=1, name="Ann")
    register(
        Point,
        name="point",
        encode=lambda point: point.x,
        decode=lambda _x: Book(title="T", author=author),
    )
    try:
        copies = several(Point(1, 2))
    finally:
        unregister(Point)
    assert [copy.author is author for copy in copies] == [True] * 3


def test_bytes_that_are_no_payload_are_refused_before_anybody_gets_one() -> None:
    with pytest.raises(PayloadDecodeError):
        Serializer.deserializer(b"nonsense")

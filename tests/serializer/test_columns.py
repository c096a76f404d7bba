"""Columns arrive as the database would give them, value objects included."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address
from pathlib import PurePath
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.db.models import Value
from django.db.models.functions import Lower
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from channels_graphql_ws.serializer import Serializer, register, unregister, wire
from round_trips import decode_error, forged, refusal, travel
from testapp.models import (
    Author,
    Book,
    Card,
    Color,
    Deck,
    Demanding,
    Everything,
    Invoice,
    Located,
    NamedPoint,
    Player,
    Point,
    Rank,
    Shelf,
    Size,
    Weight,
)


class Celsius(float):
    """A number of a class of its own."""


ASSIGNED: list[tuple[str, object, object]] = [
    ("big", "7", 7),
    ("big", 7.0, 7),
    ("big", Rank.HIGH, 2),
    ("big", True, 1),
    ("binary", bytearray(b"ab"), b"ab"),
    ("binary", memoryview(b"abcd")[::2], b"ac"),
    ("boolean", 1, True),
    ("boolean", "False", False),
    ("char", 7, "7"),
    ("char", Size.SMALL, "s"),
    ("char", SafeString("safe"), "safe"),
    ("char", gettext_lazy("lazy"), "lazy"),
    ("char", User(username="ann"), "ann"),
    ("char", SimpleLazyObject(lambda: User(username="ann")), "ann"),
    ("date", "2026-01-02", date(2026, 1, 2)),
    ("date", datetime(2026, 1, 2, 3, 4), date(2026, 1, 2)),  # noqa: DTZ001
    ("datetime", "2026-01-02T03:04", datetime(2026, 1, 2, 3, 4)),  # noqa: DTZ001
    ("decimal", 3.5, Decimal("3.5")),
    ("decimal", "1.20", Decimal("1.20")),
    ("decimal", 3, Decimal(3)),
    ("duration", "1 00:00:01", timedelta(days=1, seconds=1)),
    ("path", PurePath("a/b"), "a/b"),
    ("float", 3, 3.0),
    ("float", Celsius(1.5), 1.5),
    ("float", Decimal("1.5"), 1.5),
    ("address", ip_address("::1"), "::1"),
    ("key", "00000000-0000-0000-0000-000000000001", UUID(int=1)),
    ("time", "01:02", time(1, 2)),
    ("file", PurePath("a.txt"), "a.txt"),
    ("book_id", "3", 3),
]


@pytest.mark.parametrize(("name", "assigned", "expected"), ASSIGNED)
def test_what_was_assigned_arrives_as_the_type_of_its_column(
    name: str, assigned: Any, expected: object
) -> None:
    arrived = vars(travel(Everything(**{name: assigned})))[name]
    assert arrived == expected
    assert type(arrived) is type(expected)


def test_members_of_an_enum_arrive_as_what_the_database_keeps() -> None:
    assert type(vars(travel(Book(status=Book.Status.PRINTED)))["status"]) is str


@pytest.mark.parametrize(
    ("instance", "text"),
    [
        (Invoice(net="many"), "payload.net: field 'net' of testapp.Invoice (IntegerField) holds"),
        (
            Book(author_id=object()),
            "payload.author_id: field 'author' of testapp.Book (ForeignKey)",
        ),
        (
            Everything(char=Lower("char")),
            "field 'char' of testapp.Everything (CharField) holds an",
        ),
        (Deck(notes=Value(1)), "field 'notes' of testapp.Deck (NotesField) holds an expression"),
        (Deck(strict=Value(1)), "field 'strict' of testapp.Deck (JSONField) holds an expression"),
        (Deck(paths=[object()]), "field 'paths' of testapp.Deck (JSONField) holds a value of the"),
    ],
)
def test_what_the_column_could_not_keep_is_refused_with_model_and_field(
    instance: Any, text: str
) -> None:
    assert text in refusal(instance)


def test_a_long_value_is_shortened_in_the_error() -> None:
    text = refusal(Invoice(net="x" * 1000))
    assert len(text) < 1300
    assert "…" in text


@pytest.mark.django_db
def test_a_value_object_arrives_saved_or_not() -> None:
    Deck.objects.create(top=Card("hearts", 3))
    for sent in (Deck(top=Card("hearts", 3)), Deck.objects.get(), Deck(top="hearts-3")):
        arrived = travel([{"deck": sent}])[0]["deck"]
        assert vars(arrived)["top"] == Card("hearts", 3)


@pytest.mark.django_db
def test_a_foreign_key_to_a_value_object_arrives() -> None:
    deck = Deck.objects.create(top=Card("spades", 1))
    arrived = travel(Player(deck=deck))
    assert arrived.deck_id == Card("spades", 1)
    assert arrived.deck == deck


def test_a_value_of_two_columns_arrives_by_the_descriptor_of_the_field() -> None:
    sent = Deck(top="hearts-3", weight=Weight(5, "kg"), unit="kg")
    arrived = travel(sent)
    assert (arrived.weight.grams, arrived.weight.unit) == (5, "kg")
    assert isinstance(sent.weight, Weight)


@pytest.mark.parametrize(
    "notes", [{"a": [1]}, [], "text", "1", "", 3, None, {"at": PurePath("x")}, (1, 2)]
)
def test_json_in_a_field_of_its_own_arrives(notes: Any) -> None:
    arrived = travel(Deck(top="hearts-3", notes=notes)).notes
    assert arrived == ({"at": "x"} if notes == {"at": PurePath("x")} else notes)


@pytest.mark.parametrize("paths", [{"a": [PurePath("x")]}, PurePath("x"), [1], None])
def test_json_with_an_encoder_of_its_own_arrives(paths: Any) -> None:
    assert travel(Deck(top="hearts-3", paths=paths)).paths == paths


def test_json_with_a_type_of_its_own_arrives() -> None:
    files = [PurePath("a/b")]
    assert travel(Deck(top="hearts-3", files=files)).files == files


def test_a_lazy_text_in_a_field_of_its_own_arrives_as_text() -> None:
    assert travel(Deck(top=gettext_lazy("hearts-3"))).top == Card("hearts", 3)
    assert travel(Deck(top="hearts-3", notes=gettext_lazy("[1]"))).notes == "[1]"


ITEMS: list[tuple[str, object, object]] = [
    ("prices", [1.5, "2.25", 3], [Decimal("1.5"), Decimal("2.25"), Decimal(3)]),
    ("prices", (Decimal(1), None), [Decimal(1), None]),
    ("prices", [Decimal("1.20")], [Decimal("1.20")]),
    ("prices", [], []),
    ("prices", None, None),
    ("sizes", [Size.SMALL, "m", SafeString("l"), 7], ["s", "m", "l", "7"]),
    ("nested", [["1", Rank.HIGH], (3, None)], [[1, 2], [3, None]]),
    ("nested", [[1], []], [[1], []]),
]


@pytest.mark.parametrize(("name", "assigned", "expected"), ITEMS)
def test_items_of_an_array_arrive_as_the_type_of_its_field(
    name: str, assigned: object, expected: object
) -> None:
    arrived = getattr(travel(Shelf(**{name: assigned})), name)
    assert (arrived, repr(arrived)) == (expected, repr(expected))


def test_items_that_an_array_could_not_keep_travel_as_they_are() -> None:
    assert travel(Shelf(prices=["much"])).prices == ["much"]


@pytest.mark.parametrize("instance", [Located(where=Point(1, 2)), Deck(where=Point(1, 2))])
def test_a_field_that_does_not_convert_back_is_refused(instance: Any) -> None:
    text = refusal(instance)
    assert "field 'where' of testapp." in text
    assert "Define `value_to_string` and `to_python` of the field" in text


def test_a_registered_type_goes_before_the_field() -> None:
    register(Point, name="point", encode=lambda p: (p.x, p.y), decode=lambda c: Point(*c))
    try:
        assert travel(Located(where=NamedPoint(1, 2))).where == Point(1, 2)
    finally:
        unregister(Point)


def test_what_a_field_does_not_convert_but_the_serializer_knows_travels_as_it_is() -> None:
    assert travel(Located(where=Color.RED)).where is Color.RED


def test_to_encode_an_instance_leaves_it_as_it_was() -> None:
    deck = Deck(top=Card("hearts", 3), weight=Weight(5, "kg"))
    player = Player(deck=deck)
    before = dict(vars(deck)), dict(vars(player))
    travel([deck, player])
    assert (vars(deck), vars(player)) == before
    assert player.deck is deck


def test_several_of_one_payload_have_nothing_in_common() -> None:
    make = Serializer.deserializer(Serializer.serialize(Deck(top="hearts-3")))
    first, second = make(), make()
    first.top.rank = 7
    assert second.top == Card("hearts", 3)


def test_a_column_that_cannot_be_read_here_is_named() -> None:
    data = forged(wire.MODEL, "testapp.deck", None, True, {"top": "x"}, [], ["top", "new"])
    assert decode_error(data).startswith("field 'top' of testapp.Deck (CardField): ValueError")


async def test_a_field_that_needs_the_database_is_not_read_on_the_event_loop() -> None:
    data = Serializer.serialize(Deck(top=Card("query", 3)))
    with pytest.raises(SynchronousOnlyOperation):
        Serializer.deserialize(data)
    assert (await asyncio.to_thread(Serializer.deserialize, data)).top == Card("query", 3)


@pytest.mark.django_db
def test_an_instance_that_needs_the_database_is_built_with_it() -> None:
    author = Author.objects.create(name="Ann")
    assert travel(Demanding(author=author)).names == ["Ann"]

"""Instances of models come back as they were, without a query."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.db.models import Count
from django.db.models.expressions import DatabaseDefault
from django.db.models.signals import post_init, pre_init

from channels_graphql_ws.serializer import Serializer, wire
from round_trips import decode_error, forged, travel
from testapp.models import (
    Author,
    Bestseller,
    Book,
    Everything,
    Invoice,
    Loaded,
    Photo,
    Place,
    Restaurant,
    SharedMember,
    Tracked,
)


@pytest.mark.django_db
def test_a_saved_instance_comes_back_saved() -> None:
    author = Author.objects.create(name="Ann")
    arrived = travel({"author": author})["author"]
    assert type(arrived) is Author
    assert arrived == author
    assert (arrived._state.db, arrived._state.adding) == ("default", False)
    arrived.name = "Bea"
    arrived.save(force_update=True)
    author.refresh_from_db()
    assert author.name == "Bea"


@pytest.mark.django_db
def test_an_unsaved_instance_comes_back_unsaved() -> None:
    arrived = travel(Author(name="Ann"))
    assert arrived.pk is None
    assert (arrived._state.db, arrived._state.adding) == (None, True)
    arrived.save()
    assert Author.objects.get().name == "Ann"


@pytest.mark.django_db(databases=["default", "other"])
def test_the_database_of_an_instance_is_kept() -> None:
    author = Author.objects.using("other").create(name="Ann")
    assert travel(author)._state.db == "other"


@pytest.mark.django_db
def test_no_query_is_made_on_the_way(django_assert_num_queries: Any) -> None:
    author = Author.objects.create(name="Ann")
    Book.objects.create(title="Life", author=author)
    Restaurant.objects.create(name="Inn", stars=3)
    Tracked.objects.create(name="Bob")
    payload = [
        *Book.objects.only("title"),
        *Restaurant.objects.all(),
        *Tracked.objects.all(),
        author,
    ]
    with django_assert_num_queries(0):
        book, restaurant, tracked, arrived = travel(payload)
        assert (book.title, restaurant.name, restaurant.stars) == ("Life", "Inn", 3)
        assert (arrived, tracked.name) == (author, "Bob")


@pytest.mark.django_db
def test_a_deferred_column_stays_deferred() -> None:
    Book.objects.create(title="Life", status=Book.Status.PRINTED)
    for book in (Book.objects.only("title").get(), Book.objects.defer("status", "author").get()):
        arrived = travel(book)
        assert arrived.get_deferred_fields() == {"status", "author_id"}
        assert arrived.status == "printed"
    Everything.objects.create(file="a.txt")
    assert "file" in travel(Everything.objects.only("char").get()).get_deferred_fields()


@pytest.mark.django_db
def test_a_foreign_key_travels_as_an_id_and_is_loaded_when_asked() -> None:
    author = Author.objects.create(name="Ann")
    book = travel(Book(title="Life", author=author))
    assert book.author_id == author.pk
    assert not Book.author.is_cached(book)
    assert book.author == author


@pytest.mark.django_db
def test_what_is_no_column_stays_behind() -> None:
    author = Author.objects.create(name="Ann")
    Book.objects.create(title="Life", author=author)
    books = Book.objects.select_related("author").annotate(odd=Count("pk"))
    book = books.get()
    book.anything = object()
    arrived = travel([book, *Author.objects.prefetch_related("books")])
    assert set(vars(arrived[0])) == {"_state", "id", "title", "author_id", "status"}
    assert set(vars(arrived[1])) == {"_state", "id", "name"}


@pytest.mark.django_db
def test_an_instance_with_two_tables_comes_back_whole() -> None:
    restaurant = Restaurant.objects.create(name="Inn", stars=3)
    arrived = travel([restaurant, Place.objects.get()])
    assert [type(place) for place in arrived] == [Restaurant, Place]
    assert (arrived[0].name, arrived[0].stars) == ("Inn", 3)
    assert arrived[0].place_ptr_id == arrived[1].pk


def test_a_proxy_comes_back_as_a_proxy() -> None:
    assert type(travel(Bestseller(title="Life"))) is Bestseller


def test_a_primary_key_of_two_columns_is_kept() -> None:
    assert travel(SharedMember(row=3, number=4)).pk == (3, 4)


@pytest.mark.django_db
def test_an_auto_created_model_travels_like_any_other() -> None:
    ann, bob = Author.objects.create(name="Ann"), Author.objects.create(name="Bob")
    ann.fans.add(bob)
    assert travel(Author.fans.through.objects.all())[0].from_author_id == ann.pk


FILLED: dict[str, Any] = {
    "binary": b"\x00\x01",
    "date": date(2026, 1, 2),
    "datetime": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    "decimal": Decimal("1.2500"),
    "duration": timedelta(days=1, microseconds=5),
    "float": 2.5,
    "json": {"a": [1, None, {"__djangomodel__": True}]},
    "object_id": 1,
    "time": time(1, 2, 3),
}


@pytest.mark.django_db
def test_every_built_in_field_keeps_its_value_and_type() -> None:
    Everything.objects.create(**FILLED, file="files/a.txt", image="images/a.png")
    sent = Everything.objects.get()
    arrived = travel(sent)
    columns = [field.attname for field in Everything._meta.concrete_fields]
    for name in columns:
        before, after = getattr(sent, name), getattr(arrived, name)
        assert type(after) is type(before), name
        assert after == before, name
    assert arrived.file.url == sent.file.url
    assert arrived.get_deferred_fields() == set()


def test_an_instance_with_nothing_but_defaults_comes_back() -> None:
    sent = Everything()
    arrived = travel(sent)
    assert arrived == sent
    assert not arrived.file
    assert arrived.image.name is None
    assert arrived._state.adding


def test_a_file_travels_by_its_name() -> None:
    sent = Everything(file=ContentFile(b"content", name="new.txt"), image="old.png")
    arrived = travel(sent)
    assert (arrived.file.name, arrived.image.name) == ("new.txt", "old.png")


def test_the_file_of_an_image_is_not_opened() -> None:
    arrived = travel(_photo())
    assert (arrived.image.name, arrived.width) == ("missing.png", None)


def _photo() -> Photo:
    photo = Photo()
    vars(photo)["image"] = "missing.png"
    return photo


@pytest.mark.django_db
def test_columns_of_the_database_are_kept_or_left_to_it() -> None:
    arrived = travel(Invoice(net=3))
    assert isinstance(arrived.state, DatabaseDefault)
    assert isinstance(arrived.created, DatabaseDefault)
    assert arrived.get_deferred_fields() == {"gross"}
    arrived.save()
    saved = travel(Invoice.objects.get())
    assert (saved.net, saved.gross, saved.state) == (3, 6, "new")
    assert travel(Invoice(net=3, state="mine")).state == "mine"


def test_no_init_runs_and_no_signal_is_sent() -> None:
    sent = Author(name="Ann")

    def fail(**_: object) -> None:
        raise AssertionError

    try:
        pre_init.connect(fail, sender=Author)
        post_init.connect(fail, sender=Author)
        assert travel(sent).name == "Ann"
    finally:
        pre_init.disconnect(fail, sender=Author)
        post_init.disconnect(fail, sender=Author)


@pytest.mark.django_db
def test_a_class_with_an_init_of_its_own_is_built_like_a_row() -> None:
    sent = Tracked.objects.create(name="Ann", note="n")
    arrived = travel(sent)
    assert (arrived.first_name, arrived.note) == ("Ann", "n")
    assert (arrived._state.db, arrived._state.adding) == ("default", False)
    deferred = travel(Tracked.objects.only("name").get())
    assert deferred.get_deferred_fields() == {"note"}
    assert travel(Tracked(name="Bob"))._state.adding


def test_a_class_with_a_from_db_of_its_own_is_built_by_it() -> None:
    assert travel(Loaded(pk=1, name="Ann")).loaded == {"id": 1, "name": "Ann"}


def test_a_column_that_is_unknown_here_is_ignored() -> None:
    values = {"id": 1, "name": "Ann", "new": 3, "_state": None, "__class__": None}
    author = Serializer.deserialize(forged(wire.MODEL, "testapp.author", None, True, values))
    assert vars(author).keys() == {"_state", "id", "name"}
    assert author._state.adding


def test_a_column_that_was_not_sent_is_deferred() -> None:
    data = forged(wire.MODEL, "testapp.book", "default", False, {"id": 1})
    arrived = Serializer.deserialize(data)
    assert arrived.get_deferred_fields() == {"title", "author_id", "status"}


def test_a_database_default_that_is_unknown_here_is_ignored() -> None:
    pending = ["state", "net", "newer", "pk"]
    data = forged(wire.MODEL, "testapp.invoice", None, True, {"net": 1}, pending)
    arrived = Serializer.deserialize(data)
    assert isinstance(arrived.state, DatabaseDefault)
    assert arrived.net == 1


def test_models_lie_anywhere_in_a_payload() -> None:
    ann = Author(pk=1, name="Ann")
    payload = {"deep": [({"a": [ann]},)], ann: {ann}, (ann, 1): None}
    assert travel(payload) == payload


@pytest.mark.parametrize(
    "label",
    [
        "testapp.missing",
        "missing.book",
        "book",
        "",
        "a.b.c",
        "os.system",
    ],
)
def test_an_unknown_model_is_named(label: str) -> None:
    text = decode_error(forged(wire.MODEL, label, None, True, {}))
    assert text.startswith(f"No model {label!r} here: ")


def test_models_are_unknown_before_django_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Serializer.serialize(Author(name="Ann"))
    monkeypatch.setattr(apps, "ready", False)
    monkeypatch.setattr(apps, "apps_ready", False)
    monkeypatch.setattr(apps, "models_ready", False)
    assert "No model" in decode_error(data)

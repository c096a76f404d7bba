"""What cannot be sent is refused with its path."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import graphene
import msgpack
import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import SynchronousOnlyOperation
from django.core.files.base import ContentFile
from django.core.paginator import Paginator
from django.db.models import F, Q
from django.forms import Form
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from channels_graphql_ws.exceptions import PayloadTypeError
from channels_graphql_ws.serializer import Serializer
from round_trips import refusal, travel
from testapp.models import (
    Author,
    Book,
    Color,
    Everything,
    Invoice,
    Located,
    Point,
    Rank,
)


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (object(), "payload"),
        ({"a": [0, 1, 2, object()]}, 'payload["a"][3]'),
        ({"a": [0, 1, 2, Located(where=object())]}, 'payload["a"][3].where'),
        ({"é\n": {1: (object(),)}}, 'payload["é\\n"][1][0]'),
        ({"a": {None: defaultdict(int, b=object())}}, 'payload["a"][None]["b"]'),
        ([1, {object()}], "payload[1][0]"),
        ([{"k": 1, ("x", object()): 2}], "payload[0].keys()[1][1]"),
        ({Color.RED: object()}, "payload[<Color>]"),
        (Book(author_id=object()), "payload.author_id"),
        (Everything(json={"a": object()}), 'payload.json["a"]'),
        ([b"", bytearray(), memoryview(b""), 1.5, 2**70, "t", Rank.LOW, object()], "payload[7]"),
        ([msgpack.Timestamp(1), date.min, frozenset(), {}, [], (), object()], "payload[6]"),
        (SimpleLazyObject(lambda: [object()]), "payload[0]"),
        ({"x": Point(1, 2)}, 'payload["x"]'),
    ],
)
def test_a_refusal_names_the_path(payload: object, path: str) -> None:
    assert refusal(payload).split(": ", 1)[0] == path


@pytest.mark.django_db
async def test_a_queryset_in_a_coroutine_says_what_to_send() -> None:
    with pytest.raises(SynchronousOnlyOperation) as caught:
        Serializer.serialize({"books": Book.objects.all()})
    assert any("[each async for each in queryset]" in note for note in caught.value.__notes__)


def test_a_refusal_names_the_type_and_how_to_register_it() -> None:
    assert refusal(Point(1, 2)) == (
        "payload: testapp.models.Point cannot be sent; register it with"
        " channels_graphql_ws.serializer.register(Point, name=..., encode=..., decode=...)"
    )


def test_a_refusal_names_the_model_that_the_path_leads_into() -> None:
    text = refusal([Everything(json={"a": [Point(1, 2)]})])
    assert text.startswith('payload[0].json["a"][0]: testapp.models.Point cannot be sent')
    assert text.endswith("(in field 'json' of testapp.Everything)")


def test_a_visitor_who_is_not_logged_in_is_refused_with_what_to_send_instead() -> None:
    text = refusal({"by": SimpleLazyObject(AnonymousUser)})
    assert text.startswith('payload["by"]: django.contrib.auth.models.AnonymousUser cannot be')
    assert text.endswith("send `None`")


class Dumped:
    def model_dump(self) -> None: ...


class Attributes:
    __attrs_attrs__ = ()


@dataclass
class Message:
    text: str


class Written(graphene.ObjectType):
    text = graphene.String()


async def coroutine() -> None: ...


@pytest.mark.parametrize(
    ("payload", "advice"),
    [
        (Author.objects, "send its rows, `….all()`"),
        (Author(pk=1).books, "send its rows, `….all()`"),
        (Paginator([1], 1).page(1), "send its rows, `page.object_list`"),
        (Paginator([1], 1), "send the rows of a page"),
        (Everything(file="a.txt").file, "send `….name` or `….url`"),
        (ContentFile(b""), "send `….name`, or what it holds as bytes"),
        (Form(), "send `form.cleaned_data`"),
        (HttpRequest(), "send what `publish` needs of it"),
        (SessionBase(), "send `dict(session.items())`"),
        (F("text"), "it is an expression"),
        (Q(text="x"), "it is an expression"),
        (ValueError("x"), "send `str(error)`"),
        (SimpleNamespace(text="x"), "send `vars(…)`"),
        (Author, "it is a class"),
        (len, "send what it returns"),
        (partial(len), "send what it returns"),
        (map(str, "x"), "make a list of it, `list(…)`"),
        ({}.keys(), "send `list(…)`, or register it with"),
        (deque("x"), "send `list(…)`, or register it with"),
        (MappingProxyType({}), "send `dict(…)`, or register it with"),
        (Message("x"), "send `dataclasses.asdict(…)`, or register it with"),
        (Dumped(), "send `….model_dump()`, or register it with"),
        (Attributes(), "send `attrs.asdict(…)`, or register it with"),
        (Written(text="x"), "register it with"),
    ],
)
def test_a_refusal_says_what_to_send_instead(payload: object, advice: str) -> None:
    assert f" cannot be sent; {advice}" in refusal({"it": [payload]})


def test_a_coroutine_is_to_be_awaited() -> None:
    forgotten = coroutine()
    assert " cannot be sent; await it, and send what it returns" in refusal(forgotten)
    forgotten.close()


def test_a_refusal_is_a_type_error_whose_cause_is_kept() -> None:
    with pytest.raises(TypeError) as caught:
        Serializer.serialize([object()])
    assert isinstance(caught.value.__cause__, PayloadTypeError)


@pytest.mark.parametrize(
    "payload",
    [(i for i in "ab"), iter([1]), range(3), {}.keys(), 1j, len, Point, Author.objects],
    ids=lambda value: type(value).__name__,
)
def test_what_is_neither_value_nor_collection_is_refused(payload: object) -> None:
    assert "cannot be sent" in refusal(payload)


def test_an_expression_that_is_not_evaluated_yet_is_refused() -> None:
    text = refusal({"invoice": Invoice(net=F("net") + 1)})
    assert text == (
        "payload[\"invoice\"].net: field 'net' of testapp.Invoice (IntegerField) holds an "
        "expression, django.db.models.expressions.CombinedExpression, whose value only the "
        "database knows: call `refresh_from_db()` before the broadcast"
    )


def test_a_memoryview_with_gaps_is_refused() -> None:
    assert refusal([1, memoryview(b"abcd")[::2]]).startswith("payload[1]: a memoryview with gaps")


def circles() -> Iterator[tuple[object, str]]:
    first: dict[str, Any] = {}
    first["me"] = first
    yield first, 'payload["me"]: a circular reference, this is payload again'
    second: list[Any] = [1]
    second.append(({"x": second},))
    yield [0, second], 'payload[1][1][0]["x"]: a circular reference, this is payload[1] again'
    third = Everything(json=[])
    third.json.append(third)
    text = "payload[0].json[0]: a circular reference, this is payload[0] again"
    yield [third], f"{text} (in field 'json' of testapp.Everything)"


@pytest.mark.parametrize(("payload", "text"), list(circles()), ids=["dict", "list", "model"])
def test_a_circular_reference_is_refused_with_its_path(payload: object, text: str) -> None:
    assert refusal(payload) == text


def test_the_same_object_twice_is_no_circle() -> None:
    shared = [1]
    assert travel([shared, shared, {"a": shared}]) == [[1], [1], {"a": [1]}]


def nested(depth: int, wrap: type[list[Any] | tuple[Any]] = list) -> Any:
    """Return an empty list in a list in a list."""
    value: Any = wrap()
    for _ in range(depth):
        value = wrap((value,))
    return value


@pytest.mark.parametrize("wrap", [list, tuple])
def test_a_nesting_of_500_travels(wrap: type[list[Any] | tuple[Any]]) -> None:
    assert travel(nested(500, wrap)) == nested(500, wrap)


@pytest.mark.parametrize("wrap", [list, tuple])
@pytest.mark.parametrize("depth", [1100, 50_000])
def test_a_nesting_without_end_is_refused(wrap: Any, depth: int) -> None:
    text = refusal({"a": nested(depth, wrap)})
    assert text.startswith('payload["a"][0][0]')
    assert "…" in text
    assert text.endswith("nested too deeply, or too large, for MessagePack")
    assert len(text) < 300

"""Own types travel once they are registered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from channels_graphql_ws.exceptions import PayloadDecodeError
from channels_graphql_ws.serializer import Serializer, register, unregister, wire
from round_trips import decode_error, forged, refusal, travel
from testapp.models import Bestseller, Book, Color, NamedPoint, Point


@pytest.fixture
def registry() -> Iterator[None]:
    """Take back what a test has registered."""
    yield
    for cls in (Point, NamedPoint, Color, Book):
        with contextlib.suppress(ValueError):
            unregister(cls)


def register_point() -> None:
    register(Point, name="point", encode=lambda p: {"xy": (p.x, p.y)}, decode=decode_point)


def decode_point(content: dict[str, tuple[int, int]]) -> Point:
    return Point(*content["xy"])


@pytest.mark.usefixtures("registry")
def test_a_registered_type_comes_back() -> None:
    register_point()
    payload = {"at": [Point(1, 2)], Point(3, 4): (Point(5, 6),)}
    assert travel(payload) == payload


@pytest.mark.usefixtures("registry")
def test_an_encode_may_serialize_by_itself() -> None:
    def encode(point: Point) -> bytes:
        return Serializer.serialize([point.x, point.y])

    register(
        Point,
        name="point",
        encode=encode,
        decode=lambda content: Point(*Serializer.deserialize(content)),
    )
    payload = ["before", Point(1, 2), Point(3, 4), "behind"]
    assert travel(payload) == payload


@pytest.mark.usefixtures("registry")
def test_a_registration_stands_for_subclasses_until_they_have_their_own() -> None:
    register_point()
    assert type(travel(NamedPoint(1, 2))) is Point
    register(
        NamedPoint, name="named", encode=lambda p: [p.x, p.y], decode=lambda c: NamedPoint(*c)
    )
    assert type(travel(NamedPoint(1, 2))) is NamedPoint
    assert type(travel(Point(1, 2))) is Point
    unregister(NamedPoint)
    assert type(travel(NamedPoint(1, 2))) is Point


@pytest.mark.usefixtures("registry")
def test_a_registration_goes_before_what_is_built_in() -> None:
    register(
        Color, name="color", encode=lambda c: c.name.lower(), decode=lambda n: Color[n.upper()]
    )
    register(Book, name="book", encode=lambda b: b.title, decode=lambda t: Book(title=f"<{t}>"))
    assert travel(Color.RED) is Color.RED
    assert travel(Bestseller(title="Life")).title == "<Life>"


@pytest.mark.usefixtures("registry")
def test_the_same_registration_may_be_made_twice() -> None:
    for _ in range(2):
        register(Point, name="point", encode=vars, decode=decode_point)


@pytest.mark.usefixtures("registry")
def test_a_type_or_a_name_is_registered_once() -> None:
    register_point()
    with pytest.raises(ValueError, match="Point as 'dot': Point is registered as 'point'"):
        register(Point, name="dot", encode=vars, decode=decode_point)
    with pytest.raises(ValueError, match="Color as 'point': Point is registered as 'point'"):
        register(Color, name="point", encode=str, decode=Color)
    assert travel(Point(1, 2)) == Point(1, 2)


def test_what_messagepack_knows_cannot_be_registered() -> None:
    with pytest.raises(ValueError, match="dict is built in"):
        register(dict, name="mine", encode=list, decode=dict)


def test_what_is_not_registered_cannot_be_unregistered() -> None:
    with pytest.raises(ValueError, match="Point is not registered"):
        unregister(Point)


@pytest.mark.usefixtures("registry")
def test_a_name_that_is_not_registered_here_is_named() -> None:
    register_point()
    data = Serializer.serialize(Point(1, 2))
    unregister(Point)
    assert decode_error(data) == "No type is registered here as 'point'"


@pytest.mark.usefixtures("registry")
def test_a_decode_that_fails_is_a_decode_error_with_its_cause() -> None:
    register_point()
    with pytest.raises(PayloadDecodeError, match="KeyError: 'xy'") as caught:
        Serializer.deserialize(forged(wire.REGISTERED, "point", {}))
    assert type(caught.value.__cause__) is KeyError


@pytest.mark.usefixtures("registry")
def test_an_encode_that_fails_fails_in_its_own_words() -> None:
    for error in (ValueError("own"), KeyError("own"), TypeError("own")):

        def fail(_: Point, error: Exception = error) -> None:
            raise error

        register(Point, name="point", encode=fail, decode=decode_point)
        with pytest.raises(type(error), match="own") as caught:
            Serializer.serialize(Point(1, 2))
        assert caught.value is error
        unregister(Point)


@pytest.mark.usefixtures("registry")
def test_a_refusal_looks_into_registered_types() -> None:
    register(Point, name="point", encode=vars, decode=decode_point)
    text = refusal({"at": Point(1, object())})  # type: ignore[arg-type]
    assert text.startswith('payload["at"]["y"]: builtins.object')


@pytest.mark.usefixtures("registry")
def test_a_registered_type_that_never_ends_is_refused() -> None:
    register(Point, name="point", encode=lambda p: [Point(p.x + 1, 0)], decode=decode_point)
    assert "nested too deeply" in refusal(Point(1, 2))

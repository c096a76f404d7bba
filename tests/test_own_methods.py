"""Which methods a class has of its own is known, and never known wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from channels_graphql_ws.own_methods import OwnMethods


class Base:
    def plain(self) -> None:
        pass

    @classmethod
    def of_class(cls) -> None:
        pass


own_methods = OwnMethods({Base: ("plain", "of_class")})


def test_a_class_that_overrides_nothing_has_none() -> None:
    assert own_methods.of(Base) == own_methods.of(type("Heir", (Base,), {})) == frozenset()


@pytest.mark.parametrize("kind", [lambda method: method, staticmethod, classmethod])
def test_what_a_class_overrides_is_its_own_and_that_of_its_heirs(kind: Any) -> None:
    one = type("One", (Base,), {"of_class": kind(lambda *_: None)})
    heir = type("Heir", (one,), {"plain": kind(lambda *_: None)})
    assert own_methods.of(one) == {"of_class"}
    assert own_methods.of(heir) == {"plain", "of_class"}


def test_it_is_known_when_it_is_asked_again() -> None:
    one = type("One", (Base,), {"plain": lambda _: None})
    assert own_methods.of(one) is own_methods.of(one)


def test_a_method_that_is_set_or_taken_away_later_is_noticed_by_class_and_heirs() -> None:
    one: Any = type("One", (Base,), {})
    heir = type("Heir", (one,), {})
    assert own_methods.of(one) == own_methods.of(heir) == frozenset()
    one.plain = lambda _: None
    assert own_methods.of(one) == own_methods.of(heir) == {"plain"}
    del one.plain
    assert own_methods.of(one) == own_methods.of(heir) == frozenset()


def test_a_method_that_is_set_on_the_class_of_the_library_counts_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = type("One", (Base,), {})
    assert own_methods.of(one) == frozenset()
    monkeypatch.setattr(Base, "plain", lambda _: None)
    assert own_methods.of(one) == {"plain"}

"""Members of enumerations come back as themselves, and nothing else is found."""

from __future__ import annotations

import enum
import importlib
import sys
import types
from typing import Any

import pytest

from channels_graphql_ws.serializer import Serializer, wire
from round_trips import decode_error, forged, refusal, travel
from testapp import models
from testapp.models import (
    Book,
    Color,
    Permission,
    Rank,
    Size,
    Weekday,
)


@pytest.mark.parametrize(
    "member",
    [
        Color.RED,
        Color.GREEN,
        Weekday.TUESDAY,
        Size.LARGE,
        Rank.HIGH,
        Book.Status.PRINTED,
        Permission.READ,
        Permission.READ | Permission.WRITE,
        Permission(0),
    ],
    ids=str,
)
def test_a_member_of_an_enum_comes_back_as_itself(member: enum.Enum) -> None:
    assert travel([member])[0] is member
    assert travel({member: 1}) == {member: 1}


def test_an_enum_that_nobody_could_find_is_refused() -> None:
    class Local(enum.Enum):
        ONE = 1

    text = refusal({"a": [Local.ONE]})
    assert text.startswith('payload["a"][0]: ')
    assert "Local cannot be found by its name" in text
    assert "register" in text


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("testapp.models", "Missing"),
        ("testapp.models", "Point"),
        ("testapp.models", "Book"),
        ("testapp.models", "Book.Missing"),
        ("testapp.models", "not_an_enum"),
        ("testapp.models", "not_an_enum.__class__"),
        ("testapp.models", "lazy_thing"),
        ("testapp.models", "lazy_thing.Status"),
        ("testapp.models", ""),
        ("testapp.missing", "Missing"),
        ("", ""),
        ("os", "system"),
        ("builtins", "eval"),
    ],
)
def test_only_enums_are_found_and_nothing_is_called(module: str, name: str) -> None:
    text = decode_error(forged(wire.ENUM, module, name, "RED"))
    assert text.startswith(f"No enum {module}.{name} here")
    assert models.woken == []


@pytest.mark.parametrize("key", ["BLUE", "__class__", 5, None, [], "mro"])
def test_only_members_of_an_enum_are_found(key: object) -> None:
    decode_error(forged(wire.ENUM, "testapp.models", "Color", key))
    decode_error(forged(wire.ENUM, "testapp.models", "Permission", key or "READ"))


def test_bits_that_python_passes_over_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # As Python 3.11.2 does it.
    monkeypatch.setattr(Permission, "_missing_", classmethod(lambda cls, value: cls.READ))
    decode_error(forged(wire.ENUM, "testapp.models", "Permission", 9))


def test_the_module_of_an_enum_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    data = forged(wire.ENUM, "http", "HTTPStatus", "OK")
    assert Serializer.deserialize(data) is importlib.import_module("http").HTTPStatus.OK
    monkeypatch.delitem(sys.modules, "http")
    assert "import its module" in decode_error(data)
    assert "http" not in sys.modules


def test_a_module_that_loads_on_demand_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

    def load(name: str) -> Any:
        raise AssertionError(name)

    plain = types.ModuleType("plain")
    plain.__getattr__ = load  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lazy", Lazy("lazy"))
    monkeypatch.setitem(sys.modules, "plain", plain)
    for module in ("lazy", "plain"):
        assert "No enum" in decode_error(forged(wire.ENUM, module, "Color", "RED"))

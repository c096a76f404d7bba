"""Sizes of messages: on the wire in bytes, in memory about."""

from __future__ import annotations

import json
from sys import getsizeof
from typing import Any

import pytest

from channels_graphql_ws.operations.sizes import (
    FEW_CONTAINERS,
    has_too_many_containers,
    is_longer,
    memory_of,
    memory_of_json,
    memory_of_operation,
    most_containers,
)

MOST = 1_000_000_000


@pytest.mark.parametrize(
    "frame", ["x" * 10, b"x" * 10, "ж" * 5, "\N{GRINNING FACE}" * 2 + "xx", "\ud800" * 3 + "x"]
)
def test_a_frame_is_as_long_as_its_bytes(frame: Any) -> None:
    assert not is_longer(frame, 10)
    assert is_longer(frame, 9)
    assert not is_longer(frame, 1_000)


def test_without_a_limit_or_a_frame_nothing_is_too_long() -> None:
    assert not is_longer("x" * 1_000_000, None)
    assert not is_longer(None, 0)


@pytest.mark.parametrize(
    "value",
    [
        [{}] * 1_000,
        [[]] * 1_000,
        [{"name": "Ada", "tags": ["a", "b"], "age": 36}] * 100,
        {"text": "x" * 100_000},
        {"text": "ж" * 100_000},
        [1.5] * 1_000,
        {f"key {number}": None for number in range(1_000)},
        {"query": "{ hello }", "variables": {}},
    ],
)
def test_the_memory_of_a_value_is_estimated_and_not_too_low(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    real = _memory(json.loads(text))
    assert real * 0.6 <= memory_of_json(text) <= max(5 * real, 2_000)
    assert real * 0.6 <= memory_of(json.loads(text), MOST) <= max(5 * real, 2_000)


@pytest.mark.parametrize("character", ["é", "ж", "\N{GRINNING FACE}"])
def test_one_escaped_character_makes_its_text_larger(character: str) -> None:
    value = {"text": "x" * 100_000 + character}
    assert memory_of_json(json.dumps(value)) > 0.9 * _memory(value)


def test_brackets_of_a_document_are_no_objects() -> None:
    query = "{ " + "node { " * 100 + "id" + " }" * 100 + " }"
    text = json.dumps({"type": "subscribe", "id": "1", "payload": {"query": query}})
    assert memory_of_operation(text, query) < 5_000 < memory_of_json(text)
    assert memory_of_operation("{}", "{}") == memory_of_json("{}") == 16
    escaped = text.replace("{ node", "\\u007b node")
    assert json.loads(escaped) == json.loads(text)
    assert memory_of_operation(escaped, query) == memory_of_json(escaped)
    many = json.dumps([{}] * 100)
    assert memory_of_json(many) > 20_000


def _memory(value: Any) -> int:
    size = getsizeof(value)
    if isinstance(value, dict):
        size += sum(_memory(key) + _memory(each) for key, each in value.items())
    elif isinstance(value, list):
        size += sum(map(_memory, value))
    return size


def test_deep_nesting_is_measured_without_recursion() -> None:
    value: Any = None
    for _ in range(10_000):
        value = [{"": value}]
    assert memory_of(value, MOST) > 1_000_000


def test_no_more_is_measured_than_matters() -> None:
    seen = 0

    class Counted(dict[str, Any]):
        def values(self) -> Any:
            nonlocal seen
            seen += 1
            return super().values()

    value = [Counted() for _ in range(1_000)]
    assert 10_000 < memory_of(value, 10_000) < 11_000
    assert 0 < seen < 100


def test_a_text_has_so_many_objects_and_arrays_for_its_bytes() -> None:
    many = "[" * FEW_CONTAINERS + "]" * FEW_CONTAINERS
    assert not has_too_many_containers(many, 0)
    assert has_too_many_containers("{" + many, 0)
    assert not has_too_many_containers("{" + many, None)
    assert not has_too_many_containers("{" + many, 16 * FEW_CONTAINERS + 16)
    # Django's limit, by default.
    assert most_containers(2_621_440) == 163_840


@pytest.mark.parametrize(
    "value",
    [
        [{"id": number, "tags": ["a"]} for number in range(50_000)],
        # A country's border.
        [[round(10 + number / 1e5, 5), 45.12345] for number in range(110_000)],
        {"text": "{[" * 50_000},
    ],
    ids=["objects", "points", "brackets in a text"],
)
def test_what_honest_clients_send_has_fewer_by_far(value: Any) -> None:
    text = json.dumps(value, separators=(",", ":"))
    assert len(text) < 2_621_440
    assert not has_too_many_containers(text, 2_621_440)

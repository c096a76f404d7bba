"""Sizes of messages: on the wire in bytes, in memory about."""

from __future__ import annotations

import json
from sys import getsizeof
from typing import Any

import pytest

from channels_graphql_ws.operations.sizes import is_longer, memory_of, memory_of_json


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
    assert real * 0.6 <= memory_of(json.loads(text)) <= max(5 * real, 2_000)


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
    assert memory_of(value) > 1_000_000

"""`info.context.data_loaders`: by name, made when asked for."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from aiodataloader import DataLoader

from channels_graphql_ws import GraphqlHttpConsumer
from channels_graphql_ws.concurrency.thread_loop import ThreadLoop
from channels_graphql_ws.execution.loaders import DataLoaders
from http_schema import schema


class Loader(DataLoader):  # type: ignore[type-arg]
    async def batch_load_fn(self, keys: Any) -> Any:
        return list(keys)


async def test_a_loader_is_made_once_until_it_is_forgotten() -> None:
    loaders = DataLoaders({"things": Loader})
    first = loaders.things
    assert loaders.things is loaders["things"] is first
    loaders.forget()
    assert loaders.things is not first


async def test_a_loader_that_is_made_on_the_event_loop_may_be_used_in_threads() -> None:
    assert isinstance(DataLoaders({"things": Loader}).things.loop, ThreadLoop)


def test_of_two_threads_that_ask_at_once_both_get_the_same() -> None:
    made = []

    def make() -> object:
        if not made:
            made.append(None)
            made.append(loaders.things)
        return object()

    loaders = DataLoaders({"things": make})
    assert loaders.things is made[1]


def test_an_unknown_name_is_told_with_those_that_are_known() -> None:
    loaders = DataLoaders({"things": object, "authors": object})
    assert list(loaders) == ["things", "authors"]
    assert "things" in loaders
    assert "others" not in loaders
    with pytest.raises(AttributeError, match="has no 'thinks', it has: authors, things"):
        _ = loaders.thinks
    with pytest.raises(KeyError):
        loaders["thinks"]


def test_they_can_be_copied() -> None:
    assert copy.copy(DataLoaders({"things": object})).things


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([Loader], "must be a mapping"),
        ({"data loader": Loader}, "must be a name for an attribute"),
        ({"_things": Loader}, "must be a name for an attribute"),
        ({1: Loader}, "must be a name for an attribute"),
        ({"things": 7}, r"\['things'\] is 7; pass what makes a loader"),
    ],
)
def test_what_cannot_make_loaders_is_refused(value: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        GraphqlHttpConsumer.as_asgi(schema=schema, data_loaders=value)

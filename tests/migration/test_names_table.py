"""The table of names in docs/migrating says what is so."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import graphene
import pytest

from channels_graphql_ws import GraphqlWsConsumer, Subscription, testing

PAGE = Path(__file__).parents[2] / "docs" / "migrating" / "index.md"

ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.read_text(encoding="utf-8").split("## Names")[1].splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| name "))
]

REFUSED = [
    (name.rstrip("…"), advice)
    for names, advice in ROWS
    if advice.startswith("refused: ")
    for name in re.findall(r"`(?:Subscription\.)?(_\w+…?)`", names)
]


def names_of(row: str) -> list[str]:
    """Return the names of a row whose first cell begins so."""
    [(names, same)] = [each for each in ROWS if each[0].startswith(row)]
    assert same.startswith("the same")
    return re.findall(r"`(\w+)", names)


class Overriding:
    """Has a method as people wrote it: it goes on to the one that it overrides."""

    def method(self, *args: Any) -> Any:
        return super().method(*args)  # type: ignore[misc]


@pytest.mark.parametrize(("name", "advice"), REFUSED)
def test_what_is_refused_is_refused_with_one_of_the_words_of_the_table(
    name: str, advice: str
) -> None:
    base = GraphqlWsConsumer if name not in ("_group_name", "_subscribe") else Subscription
    body = {
        name: vars(Overriding)["method"],
        "publish": lambda payload, info: None,
        "text": graphene.String(),
    }
    with pytest.raises(TypeError, match=f"`{name}` of django-channels-graphql-ws") as caught:
        type("Mine", (base,), body)
    words = re.findall(r"`(\w+)[`(]", advice)
    assert any(word in str(caught.value) for word in words) or "tasks" in str(caught.value)


def test_there_are_rows() -> None:
    assert len(REFUSED) > 15
    assert all(len(row) == 2 for row in ROWS)


def test_modules_are_where_they_were() -> None:
    for name in names_of("modules `client`"):
        importlib.import_module(f"channels_graphql_ws.{name}")


@pytest.mark.parametrize(
    ("row", "cls"),
    [
        ("`unsubscribe`", Subscription),
        ("`on_connect`, `on_operation`", GraphqlWsConsumer),
        ("`send_ping_every`", GraphqlWsConsumer),
        ("`group_name_prefix`", GraphqlWsConsumer),
        ("the client:", testing.GraphqlWsClient),
        ("the test client:", testing.GraphqlWsClient),
    ],
)
def test_names_that_stay_are_there(row: str, cls: type[Any]) -> None:
    missing = {name for name in names_of(row) if not hasattr(cls, name)}
    assert missing <= {"communicator_kwds"}, missing

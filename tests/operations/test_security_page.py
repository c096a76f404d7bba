"""The tables of docs/security.md say what the options are declared with."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels_graphql_ws.http.options import GraphqlHttpEndpoint
from channels_graphql_ws.operations.defaults import ByDebug, FromSettings, Open
from channels_graphql_ws.operations.options import OperationOptions
from channels_graphql_ws.websocket.options import ConsumerOptions

PAGE = Path(__file__).parents[2] / "docs" / "security.md"

CLASSES = (OperationOptions, ConsumerOptions, GraphqlHttpEndpoint)

NOT_OF_STRANGERS = {
    # How long what the application does itself may take.
    "disconnect_timeout",
    "event_timeout",
    "reservation_timeout",
    "warn_operation_timeout",
}


def tables() -> Iterator[dict[str, str]]:
    """Yield the rows of all tables, as cells by their heading."""
    heading: list[str] = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            heading = []
        elif not heading:
            heading = cells
        elif not set(line) <= set("| -"):
            assert len(cells) == len(heading), line
            yield dict(zip(heading, cells, strict=True))


def rows() -> dict[str, list[dict[str, str]]]:
    """Return the rows by the option in their first cell, each with its own part of the others."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in tables():
        first = next(iter(row.values()))
        names = re.findall(r"`([a-z_]+)`", first) if re.match(r"`[a-z_]+`", first) else []
        for index, name in enumerate(names):
            own = dict(row)
            for heading in ("default", "compatible"):
                parts = row.get(heading, "").split("; ")
                if len(names) == len(parts) > 1:
                    own[heading] = parts[index]
            found.setdefault(name, []).append(own)
    return found


def declared() -> Iterator[tuple[type[Any], str, tuple[Any, ...]]]:
    """Yield the options with what stands in their `Annotated`."""
    for cls in CLASSES:
        for name, hint in inspect.get_annotations(cls, eval_str=True).items():
            yield cls, name, getattr(hint, "__metadata__", ())


def is_limit(name: str, metadata: tuple[Any, ...]) -> bool:
    is_named_so = name.startswith("max_") or name.endswith("_timeout")
    is_marked = any(isinstance(each, Open | ByDebug) for each in metadata)
    return (is_marked or is_named_so) and name not in NOT_OF_STRANGERS


LIMITS = [each for each in declared() if is_limit(each[1], each[2])]


def words(value: Any) -> set[str]:
    """Return the ways to write the value of an option."""
    if value is None:
        return {"`None`", "off"}
    if value == ("*",):
        return {'`["*"]`'}
    if isinstance(value, bool):
        return {f"`{value}`"}
    found = {f"{value:,}".removesuffix(".0"), f"{value:g} s"}
    if isinstance(value, int):
        found |= {f"{value / 1024:g} KiB", f"{value / 1024**2:g} MiB"}
    return found


def begins_with(cell: str, value: Any) -> bool:
    return any(cell.startswith(word) and cell[len(word) :][:1] in " ,;:" for word in words(value))


def row_of(cls: type[Any], name: str) -> dict[str, str]:
    of_name = rows().get(name, [])
    if len(of_name) > 1:  # One for each transport.
        transport = "HTTP" if cls is GraphqlHttpEndpoint else "WebSocket"
        of_name = [row for row in of_name if transport in next(iter(row.values()))]
    assert len(of_name) == 1, f"docs/security.md has {len(of_name)} rows for {name}"
    return of_name[0]


of_each_limit = pytest.mark.parametrize(
    ("cls", "name", "metadata"), LIMITS, ids=[f"{cls.__name__}-{name}" for cls, name, _ in LIMITS]
)


@of_each_limit
def test_each_limit_is_there_with_its_default_its_answer_and_the_reason(cls, name, metadata):
    row = row_of(cls, name)
    by_debug = [each for each in metadata if isinstance(each, ByDebug)]
    if by_debug:
        assert begins_with(row["without `DEBUG`"] + " ", by_debug[0].off)
        assert begins_with(row["with `DEBUG`"] + " ", by_debug[0].on)
        return
    default = vars(cls)[name]
    if isinstance(default, FromSettings):
        assert f"`{default._name}`, 2.5 MiB" in row["default"]
    elif name != "allowed_origins":  # A rule, and no value.
        assert begins_with(row["default"] + " ", default), row["default"]
    assert all(row.values()), "an empty cell"
    assert "because" in row
    assert "answer" in row


@of_each_limit
def test_each_limit_is_there_with_what_compatible_means(cls, name, metadata):
    cell = row_of(cls, name)["compatible"]
    opened = [each.value for each in metadata if isinstance(each, Open)]
    if opened:
        assert begins_with(cell + " ", opened[0])
    else:
        assert cell == "the same as safe"


@pytest.mark.parametrize("name", sorted(rows()))
def test_each_row_is_of_an_option(name):
    assert any(hasattr(cls, name) for cls in CLASSES)

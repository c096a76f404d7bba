"""Who is compared: how each is started, and what it calls itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import environments


@dataclass(frozen=True, slots=True)
class Contender:
    """A server to measure.

    Attributes:
        name: how scenarios and targets name it.
        title: what the report calls it.
        module: the module in `servers/`, for those that run under Uvicorn.
        environment: gives the interpreter, or for a program without `module` the whole command.
        wishes: what its server is told to do otherwise.
        tree: another checkout of this package, whose code it runs.
    """

    name: str
    title: str
    module: str | None = None
    environment: Callable[[], list[str]] | None = None
    wishes: dict[str, Any] = field(default_factory=dict)
    tree: Path | None = None


OURS = "ours"
BEFORE = "before"
OURS_GRAPHQL_CORE = "ours, graphql-core"
PREDECESSOR = "predecessor"
STRAWBERRY = "Strawberry"
NODE = "Node graphql-ws"
CHANNELS = "bare consumer"
FLOOR = "floor"

CONTENDERS = {
    one.name: one
    for one in (
        Contender(OURS, "this package", "graphql_app"),
        Contender(
            OURS_GRAPHQL_CORE,
            "this package, `compile_operations = False`",
            "graphql_app",
            wishes={"compile_operations": False},
        ),
        Contender(
            PREDECESSOR,
            "django-channels-graphql-ws 1.0.0rc7",
            "graphql_app",
            environments.predecessor,
        ),
        Contender(
            STRAWBERRY, "strawberry-graphql on Channels", "strawberry_app", environments.strawberry
        ),
        Contender(
            NODE, "npm graphql-ws, `ws` and graphql on Node.js", environment=environments.node
        ),
        Contender(CHANNELS, "a consumer of Channels without GraphQL", "channels_app"),
        Contender(FLOOR, "a bare ASGI application that sends one prepared text", "floor"),
    )
}


def before(tree: Path) -> Contender:
    """Return this package as it is in another checkout, to compare a change with."""
    return Contender(BEFORE, f"this package, of {tree}", "graphql_app", tree=tree)

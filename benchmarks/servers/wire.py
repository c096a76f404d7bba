"""Just enough of `graphql-transport-ws` for servers that know no GraphQL."""

from __future__ import annotations

import json
from typing import Any

from servers.events import ITEMS, Json, root_field

LIVE: Json = {"data": None}
"""What a subscription sends first."""

ANSWER: Json = {"data": {"items": ITEMS}}


def group_of(operation: str, variables: Json | None) -> str:
    """Return the group that a subscription listens to."""
    return f"{operation}.{variables['room']}" if variables and "room" in variables else operation


def group_named(operation: str, group: str | None) -> str:
    """Return the group that is broadcast to."""
    return operation if group is None else f"{operation}.{group.removeprefix('room-')}"


def next_message(id: str, operation: str, payload: Json) -> Json:
    """Return a notification."""
    data = {"data": {root_field(operation): payload}}
    return {"id": id, "type": "next", "payload": data}


def dumps(message: Any) -> str:
    """Return JSON without blanks."""
    return json.dumps(message, separators=(",", ":"))

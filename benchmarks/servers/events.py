"""What is asked for and what is broadcast: known to all servers and to the load that checks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

FIELDS = "seq text flag ratio"

DOCUMENTS = {
    "OnEvent": f"subscription OnEvent {{ onEvent {{ {FIELDS} }} }}",
    "OnPersonal": (
        f"subscription OnPersonal($client: Int!) {{ onPersonal(client: $client) {{ {FIELDS} }} }}"
    ),
    "OnSelected": (
        f"subscription OnSelected($client: Int!) {{ onSelected(client: $client) {{ {FIELDS} }} }}"
    ),
    "OnReading": f"subscription OnReading {{ onReading {{ {FIELDS} }} }}",
    "OnRoom": f"subscription OnRoom($room: Int!) {{ onRoom(room: $room) {{ {FIELDS} }} }}",
    "Items": "query Items { items { id name price active note } }",
}

SELECTED_ONE_IN = 10
"""`onSelected` gives its client one event of so many and skips the others."""

ITEMS: list[Json] = [
    {
        "id": number,
        "name": f"item number {number}",
        "price": number / 4,
        "active": number % 2 == 0,
        "note": None if number % 3 else "every third has a note",
    }
    for number in range(10)
]


def root_field(operation: str) -> str:
    """Return the name of the field that an operation selects."""
    return operation[0].lower() + operation[1:]


def event(seq: int, size: int = 0) -> Json:
    """Return the event of four scalars with this sequence number, with so much text."""
    return {
        "seq": seq,
        "text": f"event number {seq:08d}".ljust(size, "."),
        "flag": seq % 2 == 0,
        "ratio": (2 * seq + 1) / 16,
    }


def notifications(order: Json) -> Iterator[tuple[str | None, Json]]:
    """Yield group and event of everything that an order to `fire` says."""
    rooms = [f"room-{room}" for room in range(order["rooms"])]
    for seq in range(order["first"], order["first"] + order["count"]):
        for group in rooms or [None]:
            yield group, event(seq, order["size"])

"""What is broadcast: known to the servers that send it and to the load that checks it."""

from __future__ import annotations

from collections.abc import Iterator

SUBSCRIBE = "subscription { onEvent { seq text flag ratio } }"

FIRE = """
mutation Fire($first: Int!, $count: Int!, $burst: Int!, $pause: Float!) {
  fire(first: $first, count: $count, burst: $burst, pause: $pause) { ok }
}
"""


def bursts(first: int, count: int, burst: int) -> Iterator[range]:
    """Yield the sequence numbers of `count` events, `burst` at a time."""
    end = first + count
    for start in range(first, end, burst):
        yield range(start, min(start + burst, end))


def event(seq: int) -> dict[str, int | str | bool | float]:
    """Return the event of four scalars with this sequence number."""
    return {
        "seq": seq,
        "text": f"event number {seq:08d}",
        "flag": seq % 2 == 0,
        "ratio": (2 * seq + 1) / 16,
    }

"""The cursor of a client: its place in the history of each group of a subscription."""

from __future__ import annotations

import binascii
import hashlib
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack

from channels_graphql_ws.pubsub.history.interfaces import UNKNOWN, Position

LONGEST: Final = 8_192
"""Characters of a cursor that are looked at; ours are shorter."""

_MOST: Final = 2**63 - 1
"""The largest offset. Redis takes no ids of more than 64 bits."""

_VERSION: Final = 1


class CursorCodec:
    """Turns places into text for clients and back, for one set of groups.

    The text holds no names of groups: a cursor says where to begin, and never what a
    client may get. That is what `subscribe` says, each time.
    """

    __slots__ = ("_groups", "_mark")

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = groups
        names = "\n".join(sorted(groups)).encode()
        self._mark = hashlib.sha256(names).digest()[:6]

    def encode(self, places: Mapping[str, Position]) -> str:
        """Return the cursor of these places.

        A group without events has no epoch yet, and instead of an offset the time, in seconds: as
        long as its history could not have come and gone since then, nothing can be missing.
        """
        now = int(time.time())
        places_in_order = [places[group] for group in sorted(self._groups)]
        ordered = [(UNKNOWN, now) if p.epoch == UNKNOWN else tuple(p) for p in places_in_order]
        data: Any = msgpack.packb([_VERSION, self._mark, ordered])
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    def decode(self, cursor: object) -> dict[str, Position] | None:
        """Return the places; `None` for what is not a cursor of these groups."""
        if not isinstance(cursor, str) or len(cursor) > LONGEST:
            return None
        try:
            padded = cursor.encode() + b"=" * (-len(cursor) % 4)
            content: Any = msgpack.unpackb(urlsafe_b64decode(padded))
            version, mark, ordered = content
            places = [Position(epoch, offset) for epoch, offset in ordered]
        except (ValueError, TypeError, binascii.Error, msgpack.UnpackException):
            return None
        if version != _VERSION or mark != self._mark or len(places) != len(self._groups):
            return None
        # Anybody can make one up.
        if not all(map(_is_place, places)):
            return None
        return dict(zip(sorted(self._groups), places, strict=True))


def _is_place(place: Any) -> bool:
    epoch, offset = place.epoch, place.offset
    return isinstance(epoch, str) and type(offset) is int and 0 <= offset <= _MOST

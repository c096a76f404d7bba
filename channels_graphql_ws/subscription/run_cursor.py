"""The cursor of a client that watches a run: where the run is, and what the client has had."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final, NamedTuple

import msgpack

TOKEN_BYTES: Final = 16
"""Random bytes that name a process, and a run: nobody guesses them."""

_LONGEST: Final = 200
"""Characters of a cursor that are looked at; ours are shorter."""

_MOST: Final = 2**53
"""The largest number of events."""

_VERSION: Final = "run"
"""Tells it from the cursor of a history."""


class RunCursor(NamedTuple):
    """The place of a client in a run.

    Attributes:
        host: the token of the event loop that holds the run.
        run: the token of the run.
        position: how many events the client has had.
    """

    host: bytes
    run: bytes
    position: int

    def encode(self) -> str:
        """Return the cursor as text, which fits into a header."""
        data: Any = msgpack.packb([_VERSION, *self])
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: object) -> RunCursor | None:
        """Return the place; `None` for what is not a cursor of a run."""
        if not isinstance(text, str) or len(text) > _LONGEST:
            return None
        try:
            padded = text.encode() + b"=" * (-len(text) % 4)
            content: Any = msgpack.unpackb(urlsafe_b64decode(padded))
            version, host, run, position = content
        except (ValueError, TypeError, binascii.Error, msgpack.UnpackException):
            return None
        is_ours = version == _VERSION and _is_token(host) and _is_token(run)
        if not is_ours or type(position) is not int or not 0 <= position <= _MOST:
            return None
        return cls(host, run, position)


def _is_token(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == TOKEN_BYTES

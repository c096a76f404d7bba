"""The cursor of a client: its place in the history of each group of a subscription."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import salted_hmac

from channels_graphql_ws.pubsub.history.interfaces import Position

LONGEST: Final = 8_192
"""Characters of a cursor that are looked at; ours are shorter."""

_SALT: Final = "channels_graphql_ws.cursor.2"
"""Ends with the version of the format: a cursor of another one is not known."""

_SIGNATURE_BYTES: Final = 12


class CursorCodec:
    """Turns places into text for clients and back, for one set of groups.

    The text holds no names of groups: a cursor says where to begin, and never what a
    client may get. That is what `subscribe` says, each time. It is signed with SECRET_KEY, or
    a client could go back to what came before it subscribed.
    """

    __slots__ = ("_groups", "_key", "_names")

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = groups
        self._names = "\n".join(sorted(groups))
        self._key = self._key_of(_secret())

    def encode(self, places: Mapping[str, Position]) -> str:
        """Return the cursor of these places.

        A group without events has an epoch that names a run at most, and instead of an offset the
        time, in seconds: as long as the run is the same, and its history could not have come and
        gone since then, nothing can be missing.
        """
        now = int(time.time())
        places_in_order = [places[group] for group in sorted(self._groups)]
        ordered = [(p.epoch, now) if p.is_empty else tuple(p) for p in places_in_order]
        data: Any = msgpack.packb(ordered)
        return urlsafe_b64encode(_signature(self._key, data) + data).rstrip(b"=").decode()

    def decode(self, cursor: object) -> dict[str, Position] | None:
        """Return the places; `None` for what is not a cursor of these groups."""
        if not isinstance(cursor, str) or len(cursor) > LONGEST:
            return None
        try:
            content = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        except (ValueError, binascii.Error):
            return None
        signature, data = content[:_SIGNATURE_BYTES], content[_SIGNATURE_BYTES:]
        if not self._is_signed(signature, data):
            return None
        places = [Position(epoch, offset) for epoch, offset in msgpack.unpackb(data)]
        return dict(zip(sorted(self._groups), places, strict=True))

    def _is_signed(self, signature: bytes, data: bytes) -> bool:
        if hmac.compare_digest(signature, _signature(self._key, data)):
            return True
        others = map(self._key_of, settings.SECRET_KEY_FALLBACKS)
        return any(hmac.compare_digest(signature, _signature(key, data)) for key in others)

    def _key_of(self, secret: str | bytes) -> bytes:
        return salted_hmac(_SALT, self._names, secret, algorithm="sha256").digest()


def _secret() -> str | bytes:
    """Return the project's key; nothing, for a project that has none to sign anything with."""
    try:
        secret: str | bytes = settings.SECRET_KEY
    except ImproperlyConfigured:
        secret = ""
    return secret


def _signature(key: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=_SIGNATURE_BYTES).digest()

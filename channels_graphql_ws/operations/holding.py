"""What messages and documents take in memory while their operations last: a bound for all of them.

One connection or request has its own bounds; this is for clients with many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Final, TypeAlias

from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.errors import FullError

MOST_OF_UNKNOWN: Final = 134_217_728
"""About how many bytes there may be of all clients together that have neither a user nor an
address of their own. One message may take more."""

MOST_OF_ALL: Final = 268_435_456
"""About how many bytes there may be in all, but for `SHARE` of each owner. One may take more."""

SHARE: Final = 1_048_576
"""About how many bytes there may be of one owner, whatever there is of others, and besides a
message that is larger than all may be."""

SHARE_OF_CONNECTION: Final = 262_144
"""About how many bytes there may be of one connection, whatever there is of others."""

SHARE_OF_REQUEST: Final = 65_536
"""The same of one request."""

SMALL: Final = 4_096
"""Bytes of a message that is not counted."""

SMALL_DOCUMENT: Final = 8_192
"""Bytes that a document takes which is not counted."""

_UNKNOWN: Final = object()
"""Owns what clients have that have neither a user nor an address of their own."""

_ALL: Final = "", None

_Key: TypeAlias = tuple[str, Hashable]
"""Of what kind it is, and whose."""

_sizes: Counter[_Key] = Counter()
"""About how many bytes there are of each."""

_documents: Counter[tuple[_Key, Document]] = Counter()
"""How many operations of an owner share a document, which counts once."""

_OWN: Final = "Other large requests of this client are still under way"

_OF_OTHERS: Final = "Large requests of other clients are still under way"

# Under WSGI each request has a thread of its own.
_lock: Final = Lock()


class Holding:
    """What the message of one operation or request takes, and its document.

    Args:
        kind: what is counted together.
        most: bytes that there may be of this kind and owner. One message may take more.

    Attributes:
        size: bytes of the message that are counted.
        memory: bytes of the message and of its documents.
    """

    __slots__ = ("_documents", "_key", "_kind", "_most", "memory", "size")

    def __init__(self, kind: str, most: int) -> None:
        self._kind = kind
        self._most = most
        self._key: _Key | None = None
        self._documents: list[Document] = []
        self.memory = self.size = 0

    def add(self, size: int, owner: Callable[[], Hashable], *, always: bool = False) -> None:
        """Count bytes of the message until `release`.

        Args:
            size: bytes.
            owner: returns whose it is: the user, or else the address; `None`: not known.
            always: count them, however many there are.

        Raises:
            FullError: the owner, or the process, has too many already.
        """
        key = self._known_key(owner)
        with _lock:
            self._take(key, size, always=always)
            self.size += size
            self.memory += size

    def add_document(
        self, document: Document, owner: Callable[[], Hashable], *, always: bool = False
    ) -> None:
        """Count a document until `release`: once for all that its owner does with it.

        Args:
            document: of the operation.
            owner: as for `add`.
            always: as for `add`.

        Raises:
            FullError: the owner, or the process, has too much already.
        """
        key = self._known_key(owner)
        with _lock:
            if (key, document) not in _documents:
                self._take(key, document.memory, always=always)
            _documents[key, document] += 1
            self._documents.append(document)
            self.memory += document.memory

    def release(self) -> None:
        """Count nothing of it any more; harmless when repeated."""
        if self._key is None:
            return
        with _lock:
            size, self.size, self.memory = self.size, 0, 0
            documents, self._documents = self._documents, []
            for document in documents:
                held = self._key, document
                _documents[held] -= 1
                if not _documents[held]:
                    del _documents[held]
                    size += document.memory
            for each in (self._key, _ALL):
                _sizes[each] -= size
                if not _sizes[each]:
                    del _sizes[each]

    def _known_key(self, owner: Callable[[], Hashable]) -> _Key:
        if self._key is None:
            whose = owner()
            self._key = self._kind, _UNKNOWN if whose is None else whose
        return self._key

    def _take(self, key: _Key, size: int, *, always: bool) -> None:
        most = MOST_OF_UNKNOWN if key[1] is _UNKNOWN else self._most
        own, of_all = _sizes[key], _sizes[_ALL]
        if own > SHARE and own + size > most and not always:
            raise FullError(_OF_OTHERS if key[1] is _UNKNOWN else _OWN)
        if of_all and of_all + size > MOST_OF_ALL and own + size > SHARE and not always:
            raise FullError(_OF_OTHERS)
        _sizes[key] += size
        _sizes[_ALL] += size

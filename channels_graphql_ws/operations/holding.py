"""What messages and documents take while their operations last: a bound for all of them.

One connection or request has its own bounds; this is for clients with many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from threading import Lock
from typing import ClassVar, Final, TypeAlias

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

UPLOADS: Final = 10
"""How many of the longest uploads one owner may have on the disk at a time."""

UPLOADS_OF_UNKNOWN: Final = 50
"""The same of all clients together that have neither a user nor an address of their own."""

UPLOADS_OF_ALL: Final = 100
"""The same of all clients; each may have one upload, whatever there is of others."""

_UNKNOWN: Final = object()
"""Owns what clients have that have neither a user nor an address of their own."""

_Key: TypeAlias = tuple[str, Hashable]
"""Of what kind it is, and whose."""

_ALL: Final[_Key] = "", None

_sizes: Counter[_Key] = Counter()
"""About how many bytes there are of each."""

_documents: Counter[tuple[_Key, Document]] = Counter()
"""How many operations of an owner share a document, which counts once."""

_OWN: Final = "Other large requests of this client are still under way"

_OF_OTHERS: Final = "Large requests of other clients are still under way"

# Under WSGI each request has a thread of its own.
_lock: Final = Lock()


class Holding:
    """What the message of one operation or request takes in memory, and its document.

    Args:
        kind: what is counted together.
        most: bytes that there may be of this kind and owner. One message may take more.

    Attributes:
        size: bytes of the message that are counted.
        memory: bytes of the message and of its documents.
    """

    __slots__ = ("_documents", "_key", "_kind", "_most", "memory", "size")

    _all: ClassVar[_Key] = _ALL

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

    def resize(self, size: int, owner: Callable[[], Hashable], *, always: bool = False) -> None:
        """Count the message with as many bytes as it has by now.

        Args:
            size: bytes, in place of those that were counted before.
            owner: as for `add`.
            always: as for `add`.

        Raises:
            FullError: they are more, and the owner, or the process, has too many already. Those
                that were counted before still are.
        """
        more = size - self.size
        if more > 0:
            self.add(more, owner, always=always)
        elif more:
            key = self._known_key(owner)
            with _lock:
                self.size += more
                self.memory += more
                self._give_back(key, -more)

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
            self._give_back(self._key, size)

    def _known_key(self, owner: Callable[[], Hashable]) -> _Key:
        if self._key is None:
            whose = owner()
            self._key = self._kind, _UNKNOWN if whose is None else whose
        return self._key

    def _take(self, key: _Key, size: int, *, always: bool) -> None:
        most_of_unknown, most_of_all, share = self._bounds()
        most = most_of_unknown if key[1] is _UNKNOWN else self._most
        own, of_all = _sizes[key], _sizes[self._all]
        # One message may take more than all may, also if it is counted bit by bit.
        if own - self.size > share and own + size > most and not always:
            raise FullError(_OF_OTHERS if key[1] is _UNKNOWN else _OWN)
        has_others = of_all > self.size
        if has_others and of_all + size > most_of_all and own + size > share and not always:
            raise FullError(_OF_OTHERS)
        _sizes[key] += size
        _sizes[self._all] += size

    def _give_back(self, key: _Key, size: int) -> None:
        for each in (key, self._all):
            _sizes[each] -= size
            if not _sizes[each]:
                del _sizes[each]

    def _bounds(self) -> tuple[int, int, int]:
        """Return the most of unknown clients, the most of all, and the share of each owner."""
        return MOST_OF_UNKNOWN, MOST_OF_ALL, SHARE


class StoredUpload(Holding):
    """What the upload of one request takes on the disk, which memory has nothing to do with.

    Args:
        longest: bytes that an upload may have.
    """

    __slots__ = ("_longest",)

    _all: ClassVar[_Key] = "uploads", None

    def __init__(self, longest: int) -> None:
        super().__init__("uploads", UPLOADS * longest)
        self._longest = longest

    def _bounds(self) -> tuple[int, int, int]:
        longest = self._longest
        return UPLOADS_OF_UNKNOWN * longest, UPLOADS_OF_ALL * longest, longest

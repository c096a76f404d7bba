"""The words of the format: header and tags.

A payload is the header followed by one MessagePack object. What MessagePack has no word for
is written in one of two ways, neither of which user data can imitate:

* a scalar is one extension object, whose code says how to read its bytes;
* what holds other things is an array whose first item is a *tag*, an extension object of
  one byte: `[TUPLE, 1, 2]`. So everything lies in one flat MessagePack object that is
  read in one pass, however deeply it is nested.
"""

from __future__ import annotations

from typing import Final

from msgpack import ExtType

MAGIC: Final = b"\xc1"
"""The one byte that MessagePack never uses: no other MessagePack begins with it."""

HEADER: Final = MAGIC + b"\x01"
"""Magic and the version of the format."""

TAG: Final = 1
"""The extension code of tags. Those of scalars stand in their rows, see `scalars`."""

TAG_PREFIX: Final = b"\xd4\x01"
"""How every tag begins on the wire (`fixext 1`); bytes without it hold no tag."""

TUPLE: Final = ExtType(TAG, b"t")
SET: Final = ExtType(TAG, b"s")
FROZENSET: Final = ExtType(TAG, b"f")
ENUM: Final = ExtType(TAG, b"e")
MODEL: Final = ExtType(TAG, b"m")
REGISTERED: Final = ExtType(TAG, b"r")

"""The words of the format: header, extension codes and tags.

A payload is the header followed by one MessagePack object. Whatever MessagePack has no
word for is yield_to_server in one of two ways, neither of which user data can imitate:

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

# Extension codes. The numbers are part of the format: never change or reuse one.
TAG: Final = 1
INTEGER: Final = 2
DECIMAL: Final = 3
UUID: Final = 4
DATETIME: Final = 5
DATE: Final = 6
TIME: Final = 7
TIMEDELTA: Final = 8

TAG_PREFIX: Final = b"\xd4\x01"
"""How every tag begins on the wire (`fixext 1`); bytes without it hold no tag."""

TUPLE: Final = ExtType(TAG, b"t")
SET: Final = ExtType(TAG, b"s")
FROZENSET: Final = ExtType(TAG, b"f")
ENUM: Final = ExtType(TAG, b"e")
MODEL: Final = ExtType(TAG, b"m")
REGISTERED: Final = ExtType(TAG, b"r")

"""Payloads to bytes and back: MessagePack, with Python's and Django's types kept.

What comes back is of the same type and equal, nested anywhere:

* `None`, `bool`, `int` of any size, `float`, `str`, `bytes`, `list`, `tuple`, `set`,
  `frozenset`, `dict` with any keys (in order), `Decimal`, `UUID`, `timedelta`, `date`,
  `time` and `datetime`. `timezone` offsets, `ZoneInfo` keys and `fold` are kept; a zone
  of another kind becomes its offset at that moment.
* Members of an `Enum` (Django's choices, too) whose class can be found again by its
  module and name. Decoding looks for it in modules which are imported already and never
  imports one, so import it where broadcasts are received, or register it.
* Django models: the values of their own columns, foreign keys as ids, files by name.
  What was assigned arrives as the type of its column: `"3.50"` in a `DecimalField` as a
  `Decimal`, a lazy text in a `CharField` as a `str`. Value objects of fields that convert
  in their own way (phone numbers, money, ranges) go by the field's `value_to_string` and
  `to_python`, as in Django's serializers.
  Deferred columns stay deferred; cached relations, prefetched objects, annotations and
  other attributes stay behind. The instance is rebuilt without a query, as unpickling
  would do it: `__init__` does not run and no signal is sent. Only a class which overrides
  `__init__` or `from_db` is built through `from_db`, like a row of the database, and in a
  thread if that needs the database.
  A column which this side does not know (yet) is ignored, one which the other side did
  not send is deferred, so that both may run different versions for a while.

What changes its type on the way: a `QuerySet` is evaluated at the call and becomes a
list, a lazy text a `str`, a lazy object what it stands for, `bytearray` and `memoryview`
become `bytes`, a `MultiValueDict` (`request.GET`) a dict of lists. Any other subclass of a
type above becomes that type: named tuples are tuples, `defaultdict` is `dict`,
`SafeString` is `str`. Everything else is refused with its path, unless it is registered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.core.exceptions import SynchronousOnlyOperation

from channels_graphql_ws.exceptions import PayloadDecodeError
from channels_graphql_ws.serializer.copies import UnknownError, copier
from channels_graphql_ws.serializer.culprit import explain
from channels_graphql_ws.serializer.decoding import unpack
from channels_graphql_ws.serializer.encoding import pack
from channels_graphql_ws.serializer.registry import register, unregister
from channels_graphql_ws.serializer.wire import HEADER, MAGIC

__all__ = ["Serializer", "register", "unregister"]


class Serializer:
    """Payloads to bytes and back."""

    @staticmethod
    def serialize(data: object) -> bytes:
        """Return the bytes of a payload; see the module for what it may hold.

        Raises:
            PayloadTypeError: something in it cannot be sent; the text says where and what.
            SynchronousOnlyOperation: reading it makes a query, and an event loop runs here.
        """
        try:
            return HEADER + pack(data)
        except SynchronousOnlyOperation as error:
            error.add_note(_QUERY_IN_PAYLOAD)
            raise
        except (TypeError, ValueError, BufferError, RecursionError) as error:
            raise explain(data) from error

    @staticmethod
    def deserialize(data: bytes) -> Any:
        """Return a payload of its own, which the caller may change.

        Raises:
            PayloadDecodeError: the bytes are not what `serialize` returns, or name
                something that is unknown here.
            SynchronousOnlyOperation: the class of a model makes a query in `__init__` or
                `from_db`, and an event loop runs in this thread: use another one.
        """
        if type(data) is not bytes or not data.startswith(HEADER):
            raise PayloadDecodeError(_foreign(data))
        try:
            return unpack(data[len(HEADER) :])
        except (PayloadDecodeError, SynchronousOnlyOperation):
            raise
        # Whatever goes wrong in MessagePack, in a constructor that is given nonsense or in
        # a registered `decode`: it costs this one payload, and the reader goes on.
        except Exception as error:
            reason = f"Malformed payload: {type(error).__name__}: {error}"
            raise PayloadDecodeError(reason) from error

    @classmethod
    def deserializer(cls, data: bytes) -> Callable[[], Any]:
        """Return a function that returns a payload of its own at each call.

        For receivers that need several: most payloads are cheaper to copy than to decode.

        Raises:
            PayloadDecodeError, SynchronousOnlyOperation: see `deserialize`.
        """
        try:
            pristine = cls.deserialize(data)
            return copier(pristine) or (lambda: pristine)
        except UnknownError:
            return partial(cls.deserialize, data)


_QUERY_IN_PAYLOAD: Final = (
    "The payload holds a QuerySet, which is read when it is sent. In a coroutine, send "
    "`[each async for each in queryset]`"
)


def _foreign(data: object) -> str:
    """Say what is wrong with something that does not begin with our header."""
    if not isinstance(data, bytes):
        return f"Expected bytes, got {type(data).__qualname__}"
    if len(data) >= len(HEADER) and data.startswith(MAGIC):
        return (
            f"Payload of format version {data[1]}, but only version {HEADER[1]} is known"
            " here; does another release of channels_graphql_ws use this channel layer?"
        )
    return (
        f"No payload of channels_graphql_ws (it begins with {data[:8]!r}); does another"
        " program, or a release that wrote no header, use this channel layer?"
    )

"""What the tests of the serializer share."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

import msgpack
import pytest

from channels_graphql_ws.exceptions import PayloadDecodeError, PayloadTypeError
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.serializer.wire import HEADER


def travel(payload: Any) -> Any:
    """Return what arrives of a payload."""
    return Serializer.deserialize(Serializer.serialize(payload))


def refusal(payload: object) -> str:
    """Return the text that a payload is refused with."""
    with pytest.raises(PayloadTypeError) as caught:
        Serializer.serialize(payload)
    return str(caught.value)


def decode_error(data: Any) -> str:
    """Return the text that bytes are refused with."""
    with pytest.raises(PayloadDecodeError) as caught:
        Serializer.deserialize(data)
    return str(caught.value)


def forged(*items: object) -> bytes:
    """Return the bytes of an array which somebody has written by hand."""
    return HEADER + msgpack.packb(list(items))


def exact(value: Any) -> Any:
    """Return a value together with all types in it, for comparing; `nan` equals `nan`."""
    if isinstance(value, dict):
        return dict, [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [exact(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value), {(type(item), repr(item)) for item in value}
    if isinstance(value, datetime | time):
        return type(value), value.isoformat(), value.fold, repr(value.tzinfo)
    return type(value), repr(value)

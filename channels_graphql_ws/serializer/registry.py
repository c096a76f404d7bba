"""Own types: the functions that pack and unpack them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

from channels_graphql_ws.exceptions import PayloadDecodeError

T = TypeVar("T")

# What MessagePack packs itself is never asked for here: a registration had no effect.
NATIVE: Final = frozenset(
    {type(None), bool, int, float, str, bytes, bytearray, memoryview, list, dict}
)


@dataclass(frozen=True, slots=True)
class Registration:
    """How instances of one class travel."""

    cls: type[Any]
    name: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


_by_class: dict[type[Any], Registration] = {}
_by_name: dict[str, Registration] = {}


def register(
    cls: type[T],
    *,
    name: str,
    encode: Callable[[T], Any],
    decode: Callable[[Any], T],
) -> None:
    """Let payloads hold instances of `cls`.

    Call it in every process that broadcasts or receives, for example in
    `AppConfig.ready`. A registration also stands for subclasses that have none of their
    own (the nearest in the method resolution order counts), and goes before what the
    serializer does by itself, so that a model or an enum can be sent in another way.

    Args:
        cls: the class.
        name: its name on the wire; must not change while payloads are on their way.
        encode: returns anything that can be serialized, registered types included.
        decode: gets back what `encode` returned, and returns the instance. The channel
            layer alone decides who may write it, so do not trust it blindly.

    Raises:
        ValueError: the class or the name is registered differently already, or the class
            is one that MessagePack knows itself.
    """
    if cls in NATIVE:
        raise ValueError(f"{cls.__qualname__} is built in and cannot be registered")
    new = Registration(cls, name, encode, decode)
    for old in (_by_class.get(cls), _by_name.get(name)):
        if old is not None and old != new:
            raise ValueError(
                f"Cannot register {cls.__qualname__} as {name!r}: "
                f"{old.cls.__qualname__} is registered as {old.name!r} already"
            )
    _by_class[cls] = _by_name[name] = new
    registration_of.cache_clear()


def unregister(cls: type[Any]) -> None:
    """Forget a registered class; tests want this.

    Raises:
        ValueError: the class is not registered.
    """
    old = _by_class.pop(cls, None)
    if old is None:
        raise ValueError(f"{cls.__qualname__} is not registered")
    del _by_name[old.name]
    registration_of.cache_clear()


@lru_cache(maxsize=1024)
def registration_of(cls: type[object]) -> Registration | None:
    """Return the registration that speaks for a class, if there is one."""
    return next((_by_class[base] for base in cls.__mro__ if base in _by_class), None)


def decode_registered(items: list[Any]) -> object:
    """Return an instance from the name of its class and what `encode` returned."""
    name, content = items
    if name not in _by_name:
        raise PayloadDecodeError(f"No type is registered here as {name!r}")
    return _by_name[name].decode(content)

"""Members of enumerations, found again without importing or calling anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum, Flag
from types import ModuleType
from typing import Any, TypeGuard

from channels_graphql_ws.exceptions import PayloadDecodeError, PayloadTypeError
from channels_graphql_ws.serializer import wire


def encode_enum(member: Enum) -> list[object]:
    """Name the class and the member; members of a `Flag` combine, so these go by value."""
    cls = type(member)
    if _find(cls.__module__, cls.__qualname__) is not cls:
        raise PayloadTypeError(
            f"{cls.__module__}.{cls.__qualname__} cannot be found by its name: move the"
            " enum to the top level of a module or of a class, or register it"
        )
    key = member.value if isinstance(member, Flag) else member.name
    return [wire.ENUM, cls.__module__, cls.__qualname__, key]


def decode_enum(items: list[Any]) -> Enum:
    """Return the member of an enumeration that this process knows already."""
    module, qualname, key = items
    cls = _find(module, qualname)
    if cls is None:
        raise PayloadDecodeError(
            f"No enum {module}.{qualname} here: import its module in the processes that"
            " receive broadcasts (decoding imports nothing), or register it"
        )
    if not issubclass(cls, Flag):
        return cls.__members__[key]
    member = cls(key)
    # The first releases of Python 3.11 pass over bits that no member has.
    if member.value != key:
        raise PayloadDecodeError(f"{key!r} is no value of {module}.{qualname}")
    return member


def _find(module: str, qualname: str) -> type[Enum] | None:
    """Return the enumeration of that name, if its module is imported.

    The name comes from the wire, so nothing is asked that could run code: no attribute
    access (a module may have `__getattr__`, a lazy one imports itself), only the namespaces
    of plain modules and of classes; and what is found is no use unless it is an enum.
    """
    owner = sys.modules.get(module)
    if type(owner) is not ModuleType:
        return None
    names: Mapping[str, object] = vars(owner)
    found: object = None
    for part in qualname.split("."):
        found = names.get(part)
        if not _is_class(found):
            return None
        names = type.__getattribute__(found, "__dict__")
    return found if _is_class(found) and issubclass(found, Enum) else None


def _is_class(found: object) -> TypeGuard[type]:
    # `isinstance` would ask a lazy object for its `__class__`, and so wake it up.
    return issubclass(type(found), type)

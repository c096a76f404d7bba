"""Names that may be misspelt, and how a class that has one is refused."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from difflib import SequenceMatcher
from importlib.util import find_spec
from typing import Any, Final, TypeAlias

SIMILAR: Final = 0.8
"""Share of the letters that two names must have in common, in order, to be similar."""

_INFO: Final = re.compile(r"_*\w*info\w*|_+\d*|_*ctx|_*context", re.IGNORECASE)


class OldNameWarning(DeprecationWarning):
    """A name of an earlier release, or of the predecessor, is used."""


Refused: TypeAlias = "tuple[str, TypeError]"
"""The place where a class is declared, and what is wrong with it."""

_collected: list[list[Refused]] = []


@contextmanager
def collecting() -> Generator[list[Refused]]:
    """Collect what is refused, so that a project can be imported to its end."""
    refused: list[Refused] = []
    _collected.append(refused)
    try:
        yield refused
    finally:
        _collected.remove(refused)


def refuse(error: TypeError) -> None:
    """Raise an error about a class; or keep it while somebody collects them.

    Raises:
        TypeError: the error.
    """
    if not _collected:
        raise error
    # Some mistakes are found again where the class is mounted.
    if all(str(each) != str(error) for _, each in _collected[-1]):
        _collected[-1].append((place_of_user(), error))


def place_of_user() -> str:
    """Return the file and the line of the code outside of the libraries that got us here."""
    return next(
        f"{each.filename}:{each.lineno}"
        for each in inspect.stack(0)
        if each.frame.f_globals.get("__name__", "").partition(".")[0] not in _LIBRARIES
    )


_LIBRARIES: Final = frozenset({"channels_graphql_ws", "graphene"})


def similar_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like a name; `None` if none is.

    Upper case and underscores do not count: `onConnect` is like `on_connect`.
    """
    ratios = {each: _ratio(_folded(name), _folded(each)) for each in known if each != name}
    best = max(ratios, key=ratios.__getitem__, default=None)
    return best if best is not None and ratios[best] >= SIMILAR else None


def unknown_name(module: str, name: str, known: Iterable[str]) -> AttributeError | ImportError:
    """Return the error for a name that a package does not have; its `__getattr__` calls this.

    Args:
        module: the package.
        name: the name.
        known: the names that may have been meant.
    """
    text = f"module {module!r} has no attribute {name!r}"
    if name.startswith("_") or find_spec(f"{module}.{name}") is not None:
        return AttributeError(text)
    if (meant := similar_name(name, known)) is None:
        return AttributeError(text)
    # This function, the package's `__getattr__`, and what asks it.
    if inspect.stack(0)[2].function == _FROM_IMPORT:
        # An AttributeError is a "no" to it, whose text would be lost.
        return ImportError(
            f"cannot import name {name!r} from {module!r}, did you mean {meant!r}?", name=module
        )
    return AttributeError(f"{text}, did you mean {meant!r}?")


_FROM_IMPORT: Final = "_handle_fromlist"
"""The function of `importlib` that `from package import name` calls."""


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _ratio(one: str, other: str) -> float:
    # Another order of the same letters is a slip of the fingers, too.
    if sorted(one) == sorted(other):
        return 1.0
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def added_names(cls: type[Any], known: type[Any]) -> dict[str, Any]:
    """Return the names that the user's classes add to a class of the library.

    Args:
        cls: the user's class, whose bases count, too.
        known: the library's class that it derives from; what this has counts as known.
    """
    added: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base not in known.__mro__:
            added.update(vars(base))
    return added


def is_function(value: object) -> bool:
    """Return whether a value of a class body is a method of any kind."""
    if isinstance(value, staticmethod | classmethod):
        return True
    return inspect.isroutine(value)


def is_bound(cls: type[Any], name: str) -> bool:
    """Return whether a method of a class is called without an instance."""
    return isinstance(inspect.getattr_static(cls, name), staticmethod | classmethod)


def takes(function: Callable[..., Any], count: int, names: Iterable[str] = ()) -> bool:
    """Return whether a function can be called with so many values and these keywords."""
    signature = _signature(function)
    if signature is None:
        return True
    try:
        signature.bind(*[None] * count, **dict.fromkeys(names))
    except TypeError:
        return False
    return True


def calls_super(function: Any) -> bool:
    """Return whether a method goes on to the method that it overrides."""
    inner: Any = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(inner, "__code__", None)
    return code is not None and "__class__" in code.co_freevars


def yields(function: Callable[..., Any]) -> bool:
    """Return whether a call of a function returns a generator, in place of running it."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def takes_info(function: Callable[..., Any]) -> bool:
    """Return whether the second parameter of a function looks like Graphene's `info`."""
    signature = _signature(function)
    if signature is None:
        return True
    parameters = list(signature.parameters.values())
    if any(each.kind is each.VAR_POSITIONAL for each in parameters[:2]):
        return True
    return len(parameters) > 1 and _INFO.fullmatch(parameters[1].name) is not None


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of a function; `None` if it does not tell."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None

"""Log lines that clients can cause: no value is long or breaks a line, and there are few."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Generator, Hashable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from channels_graphql_ws.tracebacks import LONGEST_TEXT, cut, is_harmless, one_line, traceback_of

LONGEST: Final = 100
"""Characters of a value in a line."""

LINES: Final = 30
"""Lines of one kind that are logged in each period on an event loop, or in the process where each
request has a loop of its own; the others are counted."""

PERIOD: Final = 60.0
"""Seconds."""

_MOST_KINDS: Final = 1_000


class Sentence(str):
    """A text of our own in a line: what clients have chosen in it is cut already."""

    __slots__ = ()


def shown(text: str) -> str:
    """Return what a client has sent, for a text: at most 100 characters, quoted if need be."""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    is_plain = text.isascii() and text.isprintable() and " " not in text and text
    return text if is_plain else repr(text)


class LogFields:
    """What the records of the running code are about, besides their text.

    Args:
        owner: what knows the connection. It is not kept alive: contexts keep what is in them.
        connection: returns `connection` and `user_id` of the owner; called for each record.
        operation_id: the client's id of the operation.
        operation_name: that of the operation, as soon as it is known.
    """

    __slots__ = ("_connection", "_owner", "operation_id", "operation_name")

    def __init__(
        self,
        owner: object,
        connection: Callable[[Any], tuple[str | None, object]],
        operation_id: object = None,
        operation_name: str | None = None,
    ) -> None:
        self._owner = ref(owner)
        self._connection = connection
        self.operation_id = operation_id
        self.operation_name = operation_name

    def values(self) -> Mapping[str, object]:
        """Return the fields; what a client has chosen is cut, and breaks no line."""
        owner = self._owner()
        connection, user_id = (None, None) if owner is None else self._connection(owner)
        return {
            "connection": connection,
            "user_id": _safe(user_id),
            "operation_id": _safe(self.operation_id),
            "operation_name": _safe(self.operation_name),
        }


log_fields: ContextVar[LogFields | None] = ContextVar(
    "channels_graphql_ws_log_fields", default=None
)
"""What the records of the running code are about."""

_NO_FIELDS: Final[Mapping[str, object]] = dict.fromkeys(
    ("connection", "user_id", "operation_id", "operation_name")
)


@contextmanager
def logs_about(fields: LogFields | None) -> Generator[None, None, None]:
    """Have records be about something else than the running code is."""
    token = log_fields.set(fields)
    try:
        yield
    finally:
        log_fields.reset(token)


class ClientFields(logging.Filter):
    """Adds to each record which client it is about.

    The loggers of this package have it. Give it to a handler, and records of your own resolvers
    and hooks have the same attributes: `connection`, `user_id`, `operation_id` and
    `operation_name`, each `None` where there is none.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes that the record does not have yet."""
        fields = log_fields.get()
        for name, value in (_NO_FIELDS if fields is None else fields.values()).items():
            vars(record).setdefault(name, value)
        return True


_FIELDS: Final = ClientFields()

# Of these, whichever module logs by them.
for _name in ("graphql_ws_consumer", "broadcast", "http"):
    logging.getLogger(f"channels_graphql_ws.{_name}").addFilter(_FIELDS)


class ClientLog:
    """A logger for lines that clients can cause.

    What stands in a line besides its own text is cut, and without line breaks and escape
    sequences: a client may have chosen it. Lines of one kind are limited: a kind is a text, and
    where an exception was raised.

    Args:
        name: of the logger.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, text: str, *values: object, exc_info: BaseException | None = None) -> None:
        """Log a line of the level DEBUG."""
        self._log(logging.DEBUG, text, values, exc_info)

    def info(self, text: str, *values: object, exc_info: BaseException | None = None) -> None:
        """Log a line of the level INFO."""
        self._log(logging.INFO, text, values, exc_info)

    def warning(self, text: str, *values: object, exc_info: BaseException | None = None) -> None:
        """Log a line of the level WARNING."""
        self._log(logging.WARNING, text, values, exc_info)

    def error(self, text: str, *values: object, exc_info: BaseException | None = None) -> None:
        """Log a line of the level ERROR."""
        self._log(logging.ERROR, text, values, exc_info)

    def exception(self, text: str, *values: object) -> None:
        """Log a line of the level ERROR, with the exception that is being handled."""
        self._log(logging.ERROR, text, values, sys.exc_info()[1])

    def _log(
        self, level: int, text: str, values: tuple[object, ...], error: BaseException | None
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        left_out = _take((self._logger.name, level, text, _place_of(error)))
        if left_out is None:
            return
        if left_out:
            self._write(level, "%s more lines like the next were left out", (left_out,), None)
        self._write(level, text, tuple(map(_shown, values)), error)

    def _write(
        self, level: int, text: str, values: tuple[object, ...], error: BaseException | None
    ) -> None:
        # Above this are `_log` and the method of the level.
        file, line, function, stack = self._logger.findCaller(stacklevel=4)
        exc_info: Any = None if error is None else (type(error), error, error.__traceback__)
        record = self._logger.makeRecord(
            self._logger.name, level, file, line, text, values, exc_info, function, None, stack
        )
        if error is not None and not is_harmless(error):
            record.exc_text = traceback_of(error)
        self._logger.handle(record)


class _Shown:
    """A value in a line, cut and escaped when the line is written."""

    __slots__ = ("_longest", "_value")

    def __init__(self, value: object) -> None:
        self._value = value
        is_text = isinstance(value, BaseException | Sentence)
        self._longest = LONGEST_TEXT if is_text else LONGEST

    def __str__(self) -> str:
        value = self._value
        # A long text is not escaped as a whole, only to be cut.
        text = value[: self._longest + 1] if isinstance(value, str) else _text(str, value)
        return cut(one_line(text), self._longest)

    def __repr__(self) -> str:
        value = self._value
        if isinstance(value, str):
            value = value[: self._longest + 1]
        return cut(_text(repr, value), self._longest)


def _safe(value: object) -> object:
    if isinstance(value, str):
        return cut(one_line(value[: LONGEST + 1]), LONGEST)
    is_long = isinstance(value, int) and abs(value) > sys.maxsize
    return cut(_text(str, value), LONGEST) if is_long else value


def _shown(value: object) -> object:
    # Numbers keep their formats; but an id may have ten thousand digits.
    is_small = isinstance(value, int | float) and abs(value) < sys.maxsize
    return value if is_small else _Shown(value)


def _text(form: Any, value: object) -> str:
    try:
        return one_line(form(value))
    except Exception:  # noqa: BLE001 (it may be the user's, or a number of too many digits)
        return f"<{type(value).__name__}>"


def _place_of(error: BaseException | None) -> Hashable:
    """Return what errors that are raised in one place have in common."""
    if error is None:
        return None
    last: TracebackType | None = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    place = None if last is None else (last.tb_frame.f_code.co_filename, last.tb_lineno)
    return type(error), place


@dataclass(slots=True)
class _Kind:
    """The lines of one kind in the current period."""

    until: float
    lines: int = 0
    left_out: int = 0


_kinds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Kind]] = WeakKeyDictionary()

_kinds_of_process: Final[dict[Hashable, _Kind]] = {}

_counts_by_process: ContextVar[bool] = ContextVar(
    "channels_graphql_ws_counts_lines_by_process", default=False
)


@contextmanager
def lines_of_process() -> Generator[None, None, None]:
    """Count lines for the whole process, as the event loop ends with the request (WSGI)."""
    token = _counts_by_process.set(True)
    try:
        yield
    finally:
        _counts_by_process.reset(token)


def _counted() -> dict[Hashable, _Kind] | None:
    """Return where lines are counted, `None` if no client is served here."""
    if _counts_by_process.get():
        return _kinds_of_process
    try:
        return _kinds.setdefault(asyncio.get_running_loop(), {})
    except RuntimeError:
        # In a thread, on behalf of an operation.
        return None if log_fields.get() is None else _kinds_of_process


def _take(kind: Hashable) -> int | None:
    """Count a line.

    Returns:
        How many were left out before it; `None` if it is to be left out, too.
    """
    kinds = _counted()
    if kinds is None:
        return 0
    now = monotonic()
    known = kinds.get(kind)
    if known is None or known.until <= now:
        if len(kinds) >= _MOST_KINDS:
            kinds.clear()
        left_out = 0 if known is None else known.left_out
        kinds[kind] = _Kind(now + PERIOD, 1)
        return left_out
    if known.lines < LINES:
        known.lines += 1
        return 0
    known.left_out += 1
    return None

"""Log lines that clients can cause."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from graphql import GraphQLError, Source

from channels_graphql_ws import client_log
from channels_graphql_ws.client_log import (
    LINES,
    LONGEST,
    PERIOD,
    ClientLog,
    LogFields,
    Sentence,
    lines_of_process,
    logs_about,
    shown,
)

log = ClientLog("channels_graphql_ws.test")

FORGED = "1\n2026-01-01 CRITICAL forged \x1b[31mred\u2028\u202e\r"


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(client_log, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("text", ["An id %s", "An id %r", "An id %.5s"])
def test_a_value_cannot_break_a_line(caplog, text):
    log.warning(text, FORGED)
    [message] = caplog.messages
    assert message.isprintable()
    assert message.startswith("An id ")


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000_000, "\n" * 10_000_000, 10**4_000, ["y" * 10_000], {"a": FORGED * 2}],
)
@pytest.mark.parametrize("text", ["%s", "%r"])
def test_a_value_is_cut(caplog, value, text):
    log.warning(text, value)
    [message] = caplog.messages
    assert len(message) == LONGEST + 1
    assert message.isprintable()


@pytest.mark.parametrize("value", [1, 1.5, True, None, "a", "an operation", b"\n", ("a", 1)])
def test_an_ordinary_value_stays_as_it_is(caplog, value):
    log.info("%s %r", value, value)
    assert caplog.messages == [f"{value} {value!r}"]


def test_a_number_keeps_its_format(caplog):
    log.info("%d of %.3f", 7, 0.5)
    assert caplog.messages == ["7 of 0.500"]


class UnspeakableError(Exception):
    """An exception of a user that cannot be shown."""

    def __str__(self) -> str:
        raise LookupError

    __repr__ = __str__


@pytest.mark.parametrize("text", ["It is %s", "It is %r"])
def test_a_value_that_cannot_be_shown_is_named(caplog, text):
    log.error(text, UnspeakableError(), exc_info=UnspeakableError())
    assert caplog.messages == ["It is <UnspeakableError>"]


def test_a_number_of_too_many_digits_is_no_exception(caplog):
    log.info("%s", 10**10_000)
    assert caplog.messages == ["<int>"]


def test_a_sentence_of_our_own_may_be_longer(caplog):
    log.info("%s", Sentence("word " * 60))
    log.info("%s", Sentence("word " * 1_000))
    assert [len(message) for message in caplog.messages] == [300, client_log.LONGEST_TEXT + 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", "a"), ("", "''"), ("a b", "'a b'"), ("ü", "'ü'"), ("\n", r"'\n'")],
)
def test_a_value_in_a_text_is_quoted_where_it_must_be(text, expected):
    assert shown(text) == expected
    assert len(shown(text * 1_000)) <= LONGEST * 4 + 3


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """Return an exception with a traceback."""
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_the_message_of_an_exception_cannot_break_a_line_either(caplog):
    error = raised(ValueError(FORGED), raised(LookupError("a\nb" * 1_000)))
    log.error("It failed", exc_info=error)
    lines = caplog.text.splitlines()
    assert not any(line.startswith(("2026", "b")) for line in lines)
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 700
    assert any("ValueError: 1\\n2026-01-01 CRITICAL forged" in line for line in lines)
    assert caplog.records[0].exc_info[1] is error


def test_the_document_of_an_error_is_not_in_a_traceback(caplog):
    document = Source('{ login(password: "hunter2") }')
    try:
        try:
            raise GraphQLError("It is wrong", source=document, positions=[2])
        except GraphQLError as error:
            raise ValueError("It failed") from error
    except ValueError:
        log.exception("It failed")
    assert "GraphQLError: It is wrong\n" in caplog.text
    assert "ValueError: It failed" in caplog.text
    assert "hunter2" not in caplog.text


def test_an_ordinary_traceback_is_left_to_the_formatter(caplog):
    def fail() -> None:
        try:
            raise ValueError("no")
        except ValueError:
            log.exception("It failed")

    fail()
    [record] = caplog.records
    assert (record.levelno, record.exc_text is not None) == (logging.ERROR, True)
    assert "ValueError: no" in caplog.text


def test_an_exception_that_has_itself_as_its_context_ends(caplog):
    error, other = raised(ValueError("a\n")), raised(ValueError("b\n"))
    error.__context__, other.__context__ = other, error
    log.error("It failed", exc_info=error)
    assert "It failed" in caplog.text


def test_a_record_names_its_logger_and_who_has_logged(caplog):
    for method in (log.debug, log.info, log.warning, log.error, log.exception):
        method("It is here")
    names = {(record.name, record.funcName, record.module) for record in caplog.records}
    assert names == {
        (
            "channels_graphql_ws.test",
            "test_a_record_names_its_logger_and_who_has_logged",
            "test_client_log",
        )
    }
    assert [record.levelname for record in caplog.records] == [
        "DEBUG",
        "INFO",
        "WARNING",
        "ERROR",
        "ERROR",
    ]


def test_what_nobody_wants_to_read_costs_nothing(caplog):
    caplog.set_level(logging.ERROR)

    class Dear:
        def __str__(self) -> str:
            raise AssertionError

    log.warning("%s", Dear())
    assert caplog.records == []


async def test_lines_of_a_kind_are_few_and_the_others_are_counted(caplog, clock):
    for number in range(1_000):
        log.warning("A bad message %s", number)
        log.info("Another line")
    kinds = [record.msg for record in caplog.records]
    assert kinds.count("A bad message %s") == LINES
    assert kinds.count("Another line") == LINES
    clock[0] += PERIOD
    caplog.clear()
    log.warning("A bad message %s", 1_000)
    assert caplog.messages == [
        f"{1_000 - LINES} more lines like the next were left out",
        "A bad message 1000",
    ]
    caplog.clear()
    clock[0] += PERIOD
    log.warning("A bad message %s", 1_001)
    assert caplog.messages == ["A bad message 1001"]


async def test_errors_that_are_raised_elsewhere_are_of_another_kind(caplog):
    def one() -> Exception:
        return raised(ValueError("a"))

    def other() -> Exception:
        try:
            raise ValueError("b")
        except ValueError as error:
            return error

    for _ in range(LINES + 1):
        log.error("It failed", exc_info=one())
        log.error("It failed", exc_info=other())
        log.error("It failed", exc_info=ValueError("c"))
    assert len(caplog.records) == 3 * LINES


async def test_kinds_that_clients_might_multiply_are_not_kept(monkeypatch, caplog):
    monkeypatch.setattr(client_log, "_MOST_KINDS", 3)
    for number in range(10):
        log.info(f"A kind {number}")  # noqa: G004 (that is what is tested)
    [kinds] = [
        kinds for loop, kinds in client_log._kinds.items() if loop is asyncio.get_running_loop()
    ]
    assert len(kinds) <= 3


def test_lines_may_count_for_the_process_whichever_loop_they_come_from(caplog: Any):
    async def lines() -> None:
        with lines_of_process():
            for _ in range(LINES - 1):
                log.info("A line")

    for _ in range(3):
        asyncio.run(lines())
    assert caplog.messages.count("A line") == LINES


async def test_lines_in_a_thread_are_few_where_they_are_about_an_operation(caplog: Any):
    def lines() -> None:
        for _ in range(2 * LINES):
            log.info("A line")

    with logs_about(LogFields(log, lambda _: (None, None))):
        await asyncio.to_thread(lines)
    assert len(caplog.records) == LINES


def test_outside_of_an_event_loop_nothing_is_left_out(caplog: Any):
    for _ in range(2 * LINES):
        log.info("A line")
    assert len(caplog.records) == 2 * LINES

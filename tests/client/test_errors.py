"""Texts and attributes of the client's errors."""

from __future__ import annotations

import pytest

from channels_graphql_ws.client.errors import (
    ConnectionRejectedError,
    ErrorDetails,
    GraphqlOperationError,
    GraphqlWsTimeoutError,
    MessagesLostError,
    MutationInterruptedError,
    NoDataError,
    ResultTypeError,
    SubprotocolMismatchError,
    error_details,
    sentence,
)
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    GraphqlWsResponseError,
    RemoteProtocolError,
)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (ConnectionRejectedError, ConnectionClosedError),
        (GraphqlOperationError, GraphqlWsResponseError),
        (GraphqlWsTimeoutError, TimeoutError),
        (MessagesLostError, GraphqlWsClientError),
        (MutationInterruptedError, ConnectionClosedError),
        (NoDataError, LookupError),
        (ResultTypeError, TypeError),
        (SubprotocolMismatchError, RuntimeError),
    ],
)
def test_every_error_of_the_client_is_of_one_tree_and_of_a_familiar_kind(error, base):
    assert issubclass(error, GraphqlWsClientError)
    assert issubclass(error, base)


def test_a_timeout_says_what_was_waited_for_how_long_and_what_to_do():
    error = GraphqlWsTimeoutError("an answer", 2.50, "Look at the log")
    assert str(error) == "Waited 2.5 s for an answer. Look at the log"
    assert (error.waited_for, error.seconds) == ("an answer", 2.5)
    assert str(GraphqlWsTimeoutError("an answer", 3)) == "Waited 3 s for an answer"


FULL = {
    "message": "no",
    "locations": [{"line": 1, "column": 3}],
    "path": ["user", 0, "name"],
    "extensions": {"code": "FORBIDDEN"},
}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "error", "payload": [FULL]},
        {"type": "error", "payload": {"errors": [FULL]}},
        {"type": "error", "payload": FULL},
        {"type": "next", "payload": {"data": None, "errors": [FULL]}},
    ],
)
def test_errors_are_read_wherever_the_dialects_have_them(message):
    (details,) = error_details(message)
    assert details == ErrorDetails(
        "no", ({"line": 1, "column": 3},), ("user", 0, "name"), {"code": "FORBIDDEN"}
    )
    assert details.code == "FORBIDDEN"


def test_an_error_that_only_has_a_message_has_nothing_else():
    assert error_details({"payload": [{"message": "no"}]}) == (ErrorDetails("no"),)
    assert ErrorDetails("no").code is None


@pytest.mark.parametrize(
    ("details", "text"),
    [
        (ErrorDetails("no"), "no"),
        (ErrorDetails("no", path=("user", 0)), "no (at user.0)"),
        (ErrorDetails("no", [{"line": 1, "column": 3}]), "no (line 1, column 3)"),
    ],
)
def test_an_error_is_shown_with_its_place(details, text):
    assert str(details) == text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (None, "The server sent no readable error: None"),
        ("text", "The server sent no readable error: 'text'"),
        (["text"], "text"),
        ([{}], "An error without a message"),
        ([{"message": "m", "locations": 1, "path": "p", "extensions": []}], "m"),
        ([{"message": "m", "locations": [1]}], "m"),
    ],
)
def test_errors_of_any_shape_are_shown_somehow(payload, text):
    assert [str(each) for each in error_details({"type": "error", "payload": payload})] == [text]


def test_a_result_without_errors_has_none():
    assert error_details({"type": "next", "payload": {"data": 1}}) == ()


def test_a_failed_operation_names_itself_and_each_error_and_has_the_data_there_is():
    payload = {"data": {"a": None}, "errors": [{"message": "x"}, FULL], "extensions": {"e": 1}}
    message = {"type": "next", "payload": payload}
    error = GraphqlOperationError(message, "The query Q")
    assert str(error) == "The query Q failed: x; no (at user.0.name)"
    assert (error.data, error.extensions) == ({"a": None}, {"e": 1})
    assert error.response is message


def test_an_operation_that_was_not_executed_has_no_data():
    error = GraphqlOperationError({"type": "error", "payload": [FULL]}, "The query")
    assert (error.data, error.extensions) == (None, None)


def test_a_text_that_is_a_sentence_already_stays_as_it_is():
    errors = (TimeoutError(), OSError("a"), RemoteProtocolError("Is it?"))
    assert [sentence(each) for each in errors] == ["TimeoutError.", "a.", "Is it?"]


def test_an_error_of_somebody_else_is_named_and_keeps_its_notes():
    noted = ValueError("Is it?")
    noted.add_note("It is")
    errors = (KeyError(), KeyError("token"), noted)
    assert [sentence(each) for each in errors] == [
        "KeyError.",
        "KeyError: 'token'.",
        "ValueError: Is it? It is.",
    ]

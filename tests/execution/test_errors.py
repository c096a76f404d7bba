"""What clients are told of an exception, and what the log is told."""

from __future__ import annotations

import json
import logging
import math
from decimal import Decimal
from typing import Any

import graphene
import pytest
from django.utils.translation import gettext_lazy
from graphql import ExecutionResult, GraphQLError

from channels_graphql_ws.execution.encoding import encode_result
from channels_graphql_ws.execution.errors import (
    MOST_LOGGED,
    describe,
    format_error,
    log_errors,
)
from engine_fakes import Rig, schema_of

pytestmark = pytest.mark.usefixtures("executor")


def encoded(data: Any, *errors: GraphQLError) -> Any:
    return json.loads(encode_result(ExecutionResult(data, list(errors)), format_error))


def broken(error: Exception) -> Any:
    raise LookupError("this is a broken formatter")


def test_a_graphql_error_speaks_for_itself():
    error = GraphQLError("no", path=["a", 0], extensions={"code": "E"})
    assert format_error(error) == {"message": "no", "path": ["a", 0], "extensions": {"code": "E"}}


def test_an_error_of_a_resolver_has_no_extensions():
    error = GraphQLError("boom", original_error=ValueError("boom"))
    assert format_error(error) == {"message": "boom"}


def test_of_any_other_error_the_class_is_told():
    assert format_error(RuntimeError("x")) == {
        "message": "RuntimeError: x",
        "extensions": {"code": "RuntimeError"},
    }


def test_the_words_of_the_user_are_taken():
    assert describe(ValueError("x"), lambda error: {"message": "mine"}) == {"message": "mine"}


@pytest.mark.parametrize("format", [broken, lambda error: None], ids=["raises", "gives nothing"])
def test_a_formatter_that_fails_is_logged_and_tells_nothing(caplog, format):
    assert describe(ValueError("secret"), format) == {"message": "Internal server error"}
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info


def test_a_lazy_text_in_an_error_is_told():
    error = GraphQLError(
        gettext_lazy("no"), extensions={"title": gettext_lazy("Sorry"), "price": Decimal("1.5")}
    )
    assert encoded(None, error)["errors"] == [
        {"message": "no", "extensions": {"title": "Sorry", "price": "1.5"}}
    ]


def test_an_error_is_told_without_the_part_that_has_no_json_form(caplog):
    extensions = {"code": "E", "values": {1, 2}, "more": [object(), "x"]}
    error = GraphQLError("no", path=["a"], extensions=extensions)
    assert describe(error, format_error) == {
        "message": "no",
        "path": ["a"],
        "extensions": {"code": "E", "more": [None, "x"]},
    }
    assert (
        "without a part that has no JSON form, extensions.values: a value of the type 'set'"
        in caplog.text
    )


def test_an_error_whose_message_has_no_json_form_keeps_the_rest():
    told = describe(ValueError("x"), lambda error: {"message": object(), "code": 3})
    assert told == {"message": "Internal server error", "code": 3}


def test_errors_are_absent_where_there_are_none():
    assert encoded({"a": 1}) == {"data": {"a": 1}}


def test_data_is_always_there():
    assert encoded(None, GraphQLError("no")) == {"data": None, "errors": [{"message": "no"}]}


def test_extensions_of_a_result_are_told_as_far_as_they_have_a_json_form():
    result = ExecutionResult({"a": 1}, None, {"cost": 3, "seen": {1}})
    assert json.loads(encode_result(result, format_error)) == {
        "data": {"a": 1},
        "extensions": {"cost": 3},
    }


def test_extensions_of_a_result_are_told():
    result = ExecutionResult({"a": 1}, None, {"cost": 3})
    assert json.loads(encode_result(result, format_error))["extensions"] == {"cost": 3}


@pytest.mark.parametrize("value", [2**200, -(2**64), "\ud800", {1: "a"}, "é", 1.5, [None, True]])
def test_odd_values_that_have_a_json_form_arrive(value):
    expected = {"1": "a"} if value == {1: "a"} else value
    assert encoded({"a": value}) == {"data": {"a": expected}}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_json_has_no_word_for_is_null(value):
    assert encoded({"a": value}) == {"data": {"a": None}}


def circle() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


@pytest.mark.parametrize("value", [object(), circle(), {(1, 2): 3}, b"bytes"])
def test_a_result_without_a_json_form_is_an_error_and_is_logged(caplog, value):
    result = encoded({"a": value})
    assert result["data"] is None
    assert result["errors"][0]["message"].startswith("The result has no JSON form")
    [record] = caplog.records
    assert record.message.startswith("A result has no JSON form: data.a")


def test_one_error_without_a_json_form_costs_neither_the_data_nor_the_others():
    result = encoded(
        {"a": 1}, GraphQLError("bad", extensions={"what": object()}), GraphQLError("good")
    )
    assert result["data"] == {"a": 1}
    assert [error["message"] for error in result["errors"]] == ["bad", "good"]


def test_what_broke_in_the_users_code_is_logged_with_its_traceback(caplog):
    cause = ValueError("boom")
    log_errors([GraphQLError("boom", original_error=cause)], "OnEvent", "7")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name == "channels_graphql_ws.graphql_ws_consumer"
    assert record.exc_info[1] is cause
    assert "OnEvent" in record.message
    assert "7" in record.message


def test_an_error_that_is_no_graphql_error_is_logged_as_it_is(caplog):
    cause = ValueError("boom")
    log_errors([cause], "OnEvent", "7")
    assert [record.exc_info[1] for record in caplog.records] == [cause]


def test_what_is_wrong_with_the_request_is_not_logged(caplog):
    inner = GraphQLError("refused")
    log_errors([GraphQLError("no"), GraphQLError("no", original_error=inner)], "it", "1")
    log_errors(None, "it", "1")
    assert caplog.records == []


class Secretive(graphene.ObjectType):
    """Breaks, for whoever names a password."""

    boom = graphene.String(password=graphene.String())
    items = graphene.List(lambda: Secretive)

    def resolve_boom(self, info, password=None):
        raise ValueError("Boom")

    def resolve_items(self, info):
        return [{}] * 300


SECRETIVE = schema_of(query=Secretive)
FORGED = "1\n2026-01-01 CRITICAL forged"


async def test_the_log_has_the_path_of_an_error_and_nothing_of_the_document(caplog):
    query = '{ items { a: boom(password: "hunter2") } }'.replace("items", "i: items", 1)
    await Rig(SECRETIVE).answer(query, id="7")
    record = caplog.records[0]
    assert record.message == "An error in an operation (id 7) at i.0.a: ValueError('Boom')"
    assert "hunter2" not in caplog.text
    assert "GraphQL request" not in caplog.text


@pytest.mark.parametrize("count", [10, 11, 300])
async def test_a_result_with_many_errors_is_logged_in_few_lines(caplog, count):
    fields = " ".join(f"a{number}: boom" for number in range(count))
    result = await Rig(SECRETIVE).answer(f"{{ {fields} }}")
    assert len(result["errors"]) == count
    more = [f"{count - MOST_LOGGED} more errors in an operation (id 1)"] if count > 10 else []
    assert caplog.messages[MOST_LOGGED:] == more
    assert len(caplog.text) < 30_000


raised = []


class Failing(graphene.ObjectType):
    """Keeps what its resolvers raise."""

    fails = graphene.String()
    fails_late = graphene.String()

    @staticmethod
    def resolve_fails(_root, _info):
        try:
            raise KeyError("inner")
        except KeyError as error:
            raised.append(ValueError("outer"))
            raise raised[-1] from error

    @staticmethod
    async def resolve_fails_late(_root, _info):
        raised.append(ValueError("late"))
        raise raised[-1]


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("field", ["fails", "failsLate"])
async def test_errors_that_are_not_logged_keep_no_frames(field):
    raised.clear()
    fields = " ".join(f"a{number}: {field}" for number in range(30))
    result = await Rig(schema_of(query=Failing)).answer(f"{{ {fields} }}")
    assert len(result["errors"]) == len(raised) == 30
    with_frames = [error for error in raised if error.__traceback__ is not None]
    assert len(with_frames) == MOST_LOGGED
    behind = [error.__cause__ for error in raised if error.__cause__ is not None]
    assert sum(error.__traceback__ is not None for error in behind) in (0, MOST_LOGGED)


async def test_what_a_client_has_named_cannot_break_a_line(caplog):
    server = Rig(SECRETIVE)
    server.session.before = lambda request: 1 / 0 if request.operation_name == "Q" else None
    caplog.set_level(logging.DEBUG)
    await server.run("query Q { boom }", id=FORGED, name="Q")
    await server.run('query A { boom(password: "a\u2028b") }', id=FORGED, name="A")
    await server.run("query A { boom }", id="x" * 900_000, name="A")
    await server.run("query A { " + "y" * 5_000 + ": boom }", id="1", name="A")
    assert len(caplog.records) == 4
    assert all(message.isprintable() for message in caplog.messages)
    assert max(map(len, caplog.messages)) < 1_000


async def test_a_refusal_names_the_operation_in_one_line(caplog):
    def refuse(request):
        raise PermissionError(FORGED)

    server = Rig(SECRETIVE)
    server.session.before = refuse
    caplog.set_level(logging.INFO)
    await server.run("{ boom }", id=FORGED)
    [message] = caplog.messages
    assert message.startswith("Operation '1\\n2026-01-01 CRITICAL forged' was refused: ")
    assert message.isprintable()

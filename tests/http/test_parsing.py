"""Bodies, query strings and upload maps, well-formed and not."""

from __future__ import annotations

import json

import pytest

from channels_graphql_ws.http import parsing
from channels_graphql_ws.http.errors import HttpError


def refused(call, *arguments, **named):
    with pytest.raises(HttpError) as caught:
        call(*arguments, **named)
    assert caught.value.status == 400
    return caught.value.message


def test_all_parameters_of_an_operation_are_taken():
    content = {
        "query": "query A { a }",
        "operationName": "A",
        "variables": {"x": 1},
        "extensions": {"e": 2},
        "more": 3,
    }
    operation = parsing.operation_of(content)
    assert operation.query == "query A { a }"
    assert operation.operation_name == "A"
    assert operation.variables == {"x": 1}
    assert operation.extensions == {"e": 2}
    assert operation.payload == content


def test_what_is_null_or_missing_is_empty():
    content = {"query": "{ a }", "operationName": None, "variables": None, "extensions": None}
    for each in (content, {"query": "{ a }"}, {"query": "{ a }", "operationName": ""}):
        operation = parsing.operation_of(each)
        assert operation.variables == {}
        assert operation.operation_name is None
        assert operation.extensions is None


def test_operations_are_numbered_for_the_log():
    one, other = (parsing.operation_of({"query": "{ a }"}) for _ in range(2))
    assert one.id != other.id


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "an object was expected, not null"),
        ("{ a }", "an object was expected, not a string"),
        (3, "an object was expected, not a number"),
        ({}, '"query" is missing'),
        ({"query": None}, '"query" is missing'),
        ({"query": 1}, '"query" must be a string, it is a number'),
        ({"query": True}, '"query" must be a string, it is a boolean'),
        ({"query": ["{ a }"]}, '"query" must be a string, it is an array'),
        ({"query": {}}, '"query" must be a string, it is an object'),
        ({"query": "", "operationName": 0}, '"operationName" must be a string, it is a number'),
        ({"query": "", "variables": []}, '"variables" must be an object, it is an array'),
        ({"query": "", "variables": "{}"}, '"variables" must be an object, it is a string'),
        ({"query": "", "extensions": 0}, '"extensions" must be an object, it is a number'),
    ],
)
def test_a_parameter_of_another_type_is_refused_by_name(content, message):
    assert refused(parsing.operation_of, content) == message


def test_a_body_is_json():
    assert parsing.json_of('{"query": "ü"}'.encode()) == {"query": "ü"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is empty"),
        (b'{"query": "\xff"}', "The body is not UTF-8"),
        (b'{"query": "{ a', "The body is not JSON: "),
        (b"[" * 100_000, "The body is not JSON: "),
        (b'{"query": NaN}', "The body is not JSON: "),
        (b"[18446744073709551616%s]" % (b" " * 300_000), "The body is not JSON: an integer of"),
    ],
)
def test_a_body_that_is_no_json_is_refused(body, message):
    assert refused(parsing.json_of, body).startswith(message)


def test_a_batch_is_refused_unless_switched_on():
    message = refused(parsing.operations_of, [{"query": "{ a }"}], max_batch_size=0)
    assert (
        message
        == "Batches are switched off, see `max_batch_size`: send one operation, not an array"
    )


def test_a_batch_keeps_its_order():
    content = [{"query": "{ a }"}, {"query": "{ b }"}]
    operations = parsing.operations_of(content, max_batch_size=2)
    assert isinstance(operations, list)
    assert [each.query for each in operations] == ["{ a }", "{ b }"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "The batch is empty"),
        ([{"query": "{ a }"}] * 3, "The batch has 3 operations, no more than 2 are allowed"),
        (
            [{"query": "{ a }"}, 1],
            "Operation 1 of the batch: an object was expected, not a number",
        ),
        ([{}], 'Operation 0 of the batch: "query" is missing'),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(content, message):
    assert refused(parsing.operations_of, content, max_batch_size=2) == message


def test_one_operation_is_no_batch():
    operation = parsing.operations_of({"query": "{ a }"}, max_batch_size=2)
    assert not isinstance(operation, list)


def test_a_query_string_has_an_operation():
    parameters = parsing.parameters_of(
        b"query=query+A(%24x:Int)%7Ba%7D&operationName=A&variables=%7B%22x%22:1%7D&extensions="
    )
    operation = parsing.operation_of_parameters(parameters)
    assert operation.query == "query A($x:Int){a}"
    assert operation.operation_name == "A"
    assert operation.variables == {"x": 1}
    assert operation.extensions is None


@pytest.mark.parametrize(
    ("query_string", "message"),
    [
        (b"", '"query" is missing'),
        (b"query=%7Ba%7D&variables=%7B", '"variables" is not JSON: '),
        (b"query=%7Ba%7D&extensions=x", '"extensions" is not JSON: '),
        (b"query=%7Ba%7D&variables=1", '"variables" must be an object, it is a number'),
        (b"query=%FF", "The query string is not UTF-8"),
        (b"query=\xff", "The query string is not UTF-8"),
        (b"&".join([b"a=1"] * 101), "The query string has more than 100 parameters"),
    ],
)
def test_a_query_string_that_makes_no_sense_is_refused(query_string, message):
    def parse():
        parsing.operation_of_parameters(parsing.parameters_of(query_string))

    assert refused(parse).startswith(message)


def test_files_go_where_the_map_says():
    operations = {"query": "", "variables": {"one": None, "many": [None, {"deep": None}]}}
    mapping = {"0": ["variables.one", "variables.many.0"], "1": ["variables.many.1.deep"]}
    parsing.with_files(operations, mapping, {"0": "A", "1": "B"})
    assert operations["variables"] == {"one": "A", "many": ["A", {"deep": "B"}]}


def test_files_go_into_a_batch():
    operations = [{"variables": {"file": None}}, {"variables": {"file": None}}]
    parsing.with_files(operations, {"x": ["1.variables.file"]}, {"x": "X"})
    assert operations == [{"variables": {"file": None}}, {"variables": {"file": "X"}}]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "variables",
        "variables.",
        "variables.none",
        "variables.text",
        "variables.text.0",
        "variables.list.1",
        "variables.list.-1",
        "variables.list.x",
        "variables.list.١",
        "variables.list. 0",
        "variables.list.0.x",
        "operationName",
        "query",
        "other",
        "0.variables.list.0",
    ],
)
def test_a_path_that_leads_to_no_null_among_the_variables_is_refused(path):
    operations = {
        "query": "{ a }",
        "operationName": None,
        "other": None,
        "variables": {"text": "x", "list": [None]},
    }
    before = json.dumps(operations)
    message = refused(parsing.with_files, operations, {"0": [path]}, {"0": "A"})
    assert message == f"The map's path {path!r} does not lead to a null among the variables"
    assert json.dumps(operations) == before


def test_no_two_files_go_to_one_place():
    operations = {"variables": {"file": None}}
    mapping = {"0": ["variables.file"], "1": ["variables.file"]}
    message = refused(parsing.with_files, operations, mapping, {"0": "A", "1": "B"})
    assert "does not lead to a null" in message


@pytest.mark.parametrize(
    ("operations", "mapping", "files", "message"),
    [
        (1, {}, {}, '"operations": an object or an array was expected, not a number'),
        ({}, [], {}, '"map": an object was expected, not an array'),
        ({}, {"0": []}, {}, "The map names a file '0' that was not uploaded"),
        ({}, {}, {"0": "A"}, "The file '0' is not in the map"),
        ({}, {"0": "variables.x"}, {"0": "A"}, "The map of the file '0' is no array of strings"),
        ({}, {"0": [1]}, {"0": "A"}, "The map of the file '0' is no array of strings"),
        ([], {"0": ["0"]}, {"0": "A"}, "The map's path '0' does not lead to"),
        ({}, {"0": ["variables.x"] * 10_001}, {"0": "A"}, "The map has more than 10000 paths"),
        ({}, {"0": ["0." * 501]}, {"0": "A"}, "A path of the map is longer than 1000 char"),
    ],
)
def test_a_map_that_lies_is_refused(operations, mapping, files, message):
    assert refused(parsing.with_files, operations, mapping, files).startswith(message)

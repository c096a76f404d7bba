"""What documents say of themselves."""

from __future__ import annotations

import pytest
from gql import gql
from graphql import parse

from channels_graphql_ws.client.documents import (
    DeclaredOperation,
    choose_operation,
    declared_operations,
    document_text,
)


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("{ a }", [("query", None)]),
        ("query { a }", [("query", None)]),
        ("query Q { a }", [("query", "Q")]),
        ("mutation M($x: In = {y: [1]}) @d(z: {w: 1}) { a }", [("mutation", "M")]),
        ('subscription S{a(b:"}")} # query N { a }', [("subscription", "S")]),
        ('query A { a(b: """ } query X { """) } query B { b }', [("query", "A"), ("query", "B")]),
        ('query A { a(b: """ \\""" } """) }', [("query", "A")]),
        ("fragment F on T { a } query Q { ...F }", [("query", "Q")]),
        ("query @live { a }", [("query", None)]),
        ("query query { query }", [("query", "query")]),
        ("query mutation($query: Int) { a }", [("query", "mutation")]),
        ("", []),
        ("nonsense", []),
        ("}}}", []),
    ],
)  # fmt: skip
def test_the_operations_of_a_document_are_found_by_their_kind_and_name(text, declared):
    assert list(declared_operations(text)) == [DeclaredOperation(*each) for each in declared]


def test_a_document_of_text_is_taken_as_it_is():
    assert document_text(" { a } ") == " { a } "


@pytest.mark.parametrize("document", [parse("query Q { a }"), gql("query Q { a }")])
def test_a_parsed_document_is_printed(document):
    assert document_text(document) == "query Q {\n  a\n}"


@pytest.mark.parametrize("document", [None, 7, b"{ a }"])
def test_what_is_no_document_is_a_type_error(document):
    with pytest.raises(TypeError, match=r"must be text or a graphql\.DocumentNode, not"):
        document_text(document)


def test_the_only_operation_is_chosen_with_its_name():
    assert choose_operation("mutation M { a }", None) == DeclaredOperation("mutation", "M")


def test_one_of_several_operations_is_chosen_by_name():
    text = "query A { a } mutation B { b }"
    assert choose_operation(text, "B") == DeclaredOperation("mutation", "B")


def test_several_operations_without_a_name_are_an_error_which_lists_them():
    with pytest.raises(ValueError, match="give operation_name, it declares 'A', 'mutation'"):
        choose_operation("query A { a } mutation { b }", None)


def test_a_name_that_the_document_has_not_is_an_error_which_lists_those_it_has():
    with pytest.raises(ValueError, match="has no operation 'B', it declares 'A'"):
        choose_operation("query A { a }", "B")


@pytest.mark.parametrize("name", [None, "Known"])
def test_a_document_that_only_the_server_knows_is_left_to_it(name):
    assert choose_operation("", name) == DeclaredOperation("operation", name)


def test_an_operation_is_called_by_its_kind_and_name():
    assert str(DeclaredOperation("query", "Q")) == "The query Q"
    assert str(DeclaredOperation("mutation")) == "The mutation"

"""What the compiler has to take, and that what it does not take is executed all the same."""

from __future__ import annotations

from typing import Any

import graphene
import pytest
from graphql import (
    GraphQLSchema,
    MiddlewareManager,
    build_schema,
    get_introspection_query,
    get_operation_ast,
    parse,
)

from channels_graphql_ws.execution.compiler.operation import compile_operation
from differential.middleware import SYNC, WAITING
from differential.side_by_side import answer
from engine_fakes import Rig

TEXT = """
    directive @note on FIELD
    enum Color { RED }
    scalar Own
    input Range { low: Int = 1 high: Int! }
    interface Named { name: String! }
    type Cat implements Named { name: String! color: Color cats(first: Int = 2): [Cat!] }
    type Dog implements Named { name: String! own: Own }
    union Pet = Cat | Dog
    type Query {
        name: String! list: [[Int!]!] named: Named pet: Pet pets: [Pet!]! cat: Cat
        span(of: Range!, color: Color = RED, own: Own): Int
    }
    type Mutation { set(to: Int): Int }
    type Subscription { event: Cat }
"""
SCHEMA = build_schema(TEXT)

COMPILED = {
    "a field": "{ name }",
    "an alias": "{ a: name b: name }",
    "a field that is selected twice": "{ cat { name } cat { color } }",
    "lists": "{ list }",
    "an object in an object": "{ cat { cats { cats { name } } } }",
    "an interface": "{ named { name __typename } }",
    "a union": "{ pet { ... on Cat { color } ... on Dog { own } } }",
    "a list of a union": "{ pets { ... on Named { name } } }",
    "an inline fragment without a type": "{ ... { name } }",
    "a named fragment": (
        "{ ...F ...F } fragment F on Query { cat { ...G } } fragment G on Cat { name }"
    ),
    "a literal argument": "{ span(of: {high: 1}, color: RED, own: [1]) }",
    "a variable": "query ($v: Int!) { span(of: {high: $v}) }",
    "an input object in a variable": "query ($r: Range!) { span(of: $r) }",
    "a variable with a default": "query ($v: Int = 1) { cat { cats(first: $v) { name } } }",
    "a condition": "{ name @skip(if: false) cat @include(if: true) { name } }",
    "a condition in a variable": "query ($v: Boolean!) { name @skip(if: $v) @include(if: $v) }",
    "a condition of a fragment": (
        "query ($v: Boolean = true) { ... @include(if: $v) { name } ...F @skip(if: $v) }"
        " fragment F on Query { name }"
    ),
    "a condition that may be null": "query ($v: Boolean! = true) { name @include(if: $v) }",
    "three conditions": (
        "query ($a: Boolean!, $b: Boolean!, $c: Boolean!)"
        " { x: name @skip(if: $a) y: name @skip(if: $b) z: name @skip(if: $c) }"
    ),
    "a directive of the schema": "{ name @note }",
    "the name of a type": "{ __typename cat { __typename } }",
    "a mutation": "mutation { a: set(to: 1) b: set }",
    "an event": "subscription { event { name cats { name } } }",
    "one of several operations": "query A { name } query B { name }",
}


@pytest.mark.parametrize("text", COMPILED.values(), ids=COMPILED)
@pytest.mark.parametrize("middleware", [None, MiddlewareManager(*SYNC, *WAITING)])
def test_it_is_compiled(text: str, middleware: MiddlewareManager | None) -> None:
    document = parse(text)
    operation = get_operation_ast(document, "B" if "query B" in text else None)
    assert operation is not None
    assert compile_operation(SCHEMA, document, operation, middleware) is not None


class Node(graphene.relay.Node):
    """The interface of things that have an id of their own."""


class Ship(graphene.ObjectType):
    """A thing with an id."""

    class Meta:
        interfaces = (Node,)

    name = graphene.String()

    @classmethod
    def get_node(cls, info: Any, id: str) -> Ship:
        return cls(id=id, name=f"ship {id}")


class Ships(graphene.relay.Connection):
    """Pages of ships."""

    class Meta:
        node = Ship


class Rename(graphene.relay.ClientIDMutation):
    """A mutation as Relay wants it."""

    class Input:
        name = graphene.String(required=True)

    ship = graphene.Field(Ship)

    @classmethod
    def mutate_and_get_payload(cls, root: Any, info: Any, **input: Any) -> Rename:
        return cls(ship=Ship(id="1", name=input["name"]))


class RelayQuery(graphene.ObjectType):
    """What Relay asks for."""

    node = Node.Field()
    ships = graphene.relay.ConnectionField(Ships)

    @staticmethod
    def resolve_ships(root: Any, info: Any, **page: Any) -> list[Ship]:
        return [Ship(id=str(number), name=f"ship {number}") for number in range(5)]


class RelayMutation(graphene.ObjectType):
    """What Relay does."""

    rename = Rename.Field()


RELAY: GraphQLSchema = graphene.Schema(
    query=RelayQuery, mutation=RelayMutation, types=[Ship]
).graphql_schema

RELAYED = {
    "pages": """{
        ships(first: 2, after: "YXJyYXljb25uZWN0aW9uOjE=") {
            pageInfo { hasNextPage endCursor } edges { cursor node { id name } }
        }
    }""",
    "a node": '{ node(id: "U2hpcDoz") { id __typename ... on Ship { name } } }',
    "a node that is none": '{ node(id: "nothing") { id } }',
    "a mutation": 'mutation { rename(input: {name: "x", clientMutationId: "7"}) '
    "{ clientMutationId ship { id name } } }",
}


@pytest.mark.parametrize("text", RELAYED.values(), ids=RELAYED)
def test_relay_gets_the_same(text: str) -> None:
    answer(RELAY, text)


class OwnManager(MiddlewareManager):
    """Decides for each field whether to wrap it."""

    def get_field_resolver(self, field_resolver: Any) -> Any:
        """Wrap all but readers."""
        return lambda root, info, **arguments: f"own {field_resolver(root, info, **arguments)}"


class Greeting(graphene.ObjectType):
    """A query."""

    hello = graphene.String(default_value="hello")


NOT_COMPILED: dict[str, tuple[str, Any]] = {
    "introspection": (get_introspection_query(), None),
    "a type by its name": ('{ hello __type(name: "Greeting") { name } }', None),
    "a manager of the user's": ("{ hello }", OwnManager()),
    "many conditions": (
        "query ({}) {{ hello {} }}".format(
            ", ".join(f"$v{number}: Boolean = true" for number in range(40)),
            " ".join(f"a{number}: hello @include(if: $v{number})" for number in range(40)),
        ),
        None,
    ),
    "a lot": ("{ " + " ".join(f"a{number}: hello" for number in range(5_000)) + " }", None),
}


@pytest.mark.parametrize(("text", "middleware"), NOT_COMPILED.values(), ids=NOT_COMPILED)
async def test_what_is_not_compiled_is_executed_as_ever(text: str, middleware: Any) -> None:
    schema = graphene.Schema(query=Greeting).graphql_schema
    answers = [
        await Rig(schema, middleware=middleware, compile_operations=compiles).answer(text)
        for compiles in (True, False)
    ]
    assert answers[0] == answers[1]
    assert list(answers[0]) == ["data"]
    assert answers[0]["data"]

"""Whether an operation has resolvers that may block."""

from __future__ import annotations

import graphene
import pytest
from graphql import GraphQLSchema
from graphql.utilities import get_operation_ast

from channels_graphql_ws.execution.blocking import starts_in_thread
from channels_graphql_ws.execution.documents import documents_of
from channels_graphql_ws.execution.rules import NO_RULES
from channels_graphql_ws.execution.sync_resolvers import Hops


class Named(graphene.Interface):
    name = graphene.String()


class Quick(graphene.ObjectType):
    class Meta:
        interfaces = (Named,)

    again = graphene.Field(lambda: Quick)


class Slow(graphene.ObjectType):
    class Meta:
        interfaces = (Named,)

    @staticmethod
    def resolve_name(root, info):
        return "slow"


class Query(graphene.ObjectType):
    named = graphene.Field(Named)
    quick = graphene.Field(Quick)
    slow = graphene.Field(Slow)

    @staticmethod
    async def resolve_quick(root, info):
        return Quick(name="quick")


schema: GraphQLSchema = graphene.Schema(query=Query, types=[Slow]).graphql_schema


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ quick { name again { name } } }", False),
        ("{ slow { name } }", True),
        ("{ named { name } }", True),
        ("{ named { __typename ... on Quick { name } } }", False),
        ("{ named { ... on Slow { name } } }", True),
        ("{ ... { slow { name } } }", True),
        ("{ ... @include(if: true) { quick { name } } }", False),
        ("{ quick { ...f again { ...f } } } fragment f on Quick { name }", False),
        ("{ named { ...f } } fragment f on Slow { name }", True),
        ("{ __schema { queryType { name } } }", False),
        ('{ __type(name: "Slow") { name } }', False),
    ],
)
async def test_an_operation_starts_in_a_thread_if_it_calls_such_a_resolver(query, expected):
    document = documents_of(schema, NO_RULES).get(query)
    if not hasattr(document, "ast"):
        document = await document
    operation = get_operation_ast(document.ast)
    hops = Hops(None)
    for _ in range(2):  # The second time it is known.
        assert starts_in_thread(schema, document, operation, hops) is expected

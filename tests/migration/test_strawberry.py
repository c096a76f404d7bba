"""What docs/migrating/strawberry.md promises, and no other test shows."""

from __future__ import annotations

import re
from typing import Any

import graphene
from graphql import GraphQLError, ValidationRule

from asgi_socket import AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer
from http_client import post
from support import wait_until


class Query(graphene.ObjectType):
    hello = graphene.String()
    place = graphene.String()

    @staticmethod
    def resolve_hello(_root: Any, info: Any) -> str:
        return f"{info.context['connection_params']['token']} at {info.context.ws.scope['path']}"

    @staticmethod
    def resolve_place(_root: Any, info: Any) -> str:
        return f"{info.context['request'].method} {type(info.context['response']).__name__}"


schema = graphene.Schema(query=Query)


class FewAliases(ValidationRule):
    """Strawberry's `MaxAliasesLimiter`, as a rule."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._count = 0

    def enter_field(self, node: Any, *_: Any) -> None:
        self._count += node.alias is not None
        if self._count == 2:
            self.report_error(GraphQLError("Too many aliases", node))


class Consumer(GraphqlWsConsumer):
    schema = schema
    validation_rules = (FewAliases,)

    async def accept(self, subprotocol: Any = None, headers: Any = None) -> None:
        await super().accept(subprotocol, headers=[(b"x-served-by", b"me")])

    def get_context(self, context: Any) -> Any:
        context.ws = self
        return context

    @classmethod
    def validate_document(cls, schema: Any, document: Any, rules: Any) -> Any:
        errors = super().validate_document(schema, document, rules)
        return [GraphQLError(re.sub(" Did you mean .*", "", each.message)) for each in errors]


async def answers(*queries: str) -> tuple[AsgiSocket, list[Any]]:
    socket = AsgiSocket(Consumer.as_asgi())
    await socket.acknowledged(payload={"token": "t"})
    for number, query in enumerate(queries):
        socket.start(str(number), query)
    await wait_until(lambda: all(socket.results(str(each)) for each in range(len(queries))))
    await socket.drop()
    return socket, [socket.results(str(each))[0] for each in range(len(queries))]


async def test_the_handshake_may_have_headers_of_ones_own() -> None:
    socket, _ = await answers()
    assert socket.sent[0]["headers"] == [(b"x-served-by", b"me")]


async def test_the_context_has_items_and_takes_the_consumer() -> None:
    _, [result] = await answers("{ hello }")
    assert result == {"data": {"hello": "t at /graphql/"}}
    http = await post(GraphqlHttpConsumer.as_asgi(schema=schema), {"query": "{ place }"})
    assert http.json == {"data": {"place": "POST HttpResponse"}}


async def test_suggestions_can_be_left_out_and_aliases_limited() -> None:
    _, [unknown, aliases] = await answers("{ helo }", "{ a: hello b: hello }")
    assert unknown == [{"message": "Cannot query field 'helo' on type 'Query'."}]
    assert aliases == [{"message": "Too many aliases"}]

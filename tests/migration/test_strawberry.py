"""What docs/migrating/strawberry.md promises, and no other test shows."""

from __future__ import annotations

import pickle
import re
from copy import copy
from typing import Any

import graphene
import pytest
from graphql import GraphQLError, ValidationRule

from asgi_socket import AsgiSocket
from channels_graphql_ws import (
    BasePermission,
    GraphqlHttpConsumer,
    GraphqlWsConsumer,
    OperationContext,
)
from http_client import post
from support import wait_until


class Query(graphene.ObjectType):
    hello = graphene.String()
    place = graphene.String()

    @staticmethod
    def resolve_hello(_root: Any, info: Any) -> str:
        assert info.context["request"] is info.context["ws"]
        return (
            f"{info.context['connection_params']['token']} at {info.context['ws'].scope['path']}"
        )

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


async def test_the_context_has_items_and_among_them_the_consumer() -> None:
    _, [result] = await answers("{ hello }")
    assert result == {"data": {"hello": "t at /graphql/"}}
    http = await post(GraphqlHttpConsumer.as_asgi(schema=schema), {"query": "{ place }"})
    assert http.json == {"data": {"place": "POST HttpResponse"}}


def test_items_of_strawberry_are_those_of_a_live_websocket() -> None:
    consumer = object()
    context = OperationContext({}, consumer=consumer)
    for name in ("request", "ws"):
        assert name in context
        assert copy(context)[name] is consumer
        assert name not in context._asdict()
        elsewhere = pickle.loads(pickle.dumps(context))  # noqa: S301 (our own bytes)
        for without in (OperationContext({}), elsewhere):
            assert name not in without
            with pytest.raises(KeyError):
                without[name]
    with pytest.raises(AttributeError, match=r"over WebSocket, `info\.context` has what there is"):
        _ = context.request
    context["ws"] = "mine"
    assert context["ws"] == "mine"


def test_names_of_its_permissions_say_what_takes_their_place() -> None:
    with pytest.raises(TypeError, match=r"IsStaff: `error_extensions` is not read.* set `code`"):
        type("IsStaff", (BasePermission,), {"error_extensions": {"code": "UNAUTHORIZED"}})
    with pytest.raises(TypeError, match="`error_class` is not read here: raise a `GraphQLError`"):
        type("IsStaff", (BasePermission,), {"error_class": ValueError})


async def test_suggestions_can_be_left_out_and_aliases_limited() -> None:
    _, [unknown, aliases] = await answers("{ helo }", "{ a: hello b: hello }")
    assert unknown == [{"message": "Cannot query field 'helo' on type 'Query'."}]
    assert aliases == [{"message": "Too many aliases"}]

"""What resolvers return that their fields cannot have: clients are not told, the log is."""

from __future__ import annotations

from typing import Any

import graphene
import pytest
from graphene.types.generic import GenericScalar
from graphql import GraphQLError

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer, Subscription
from http_client import listeners, post
from support import wait_until

SECRET = "what only the server knows"  # noqa: S105 (no password)
OTHERS = {"name": "a name", "password": SECRET}


class Named(graphene.Interface):
    name = graphene.String()


class Number(graphene.ObjectType):
    class Meta:
        interfaces = (Named,)
        possible_types = (int,)


class Late(graphene.ObjectType):
    """A type that takes its time to say what it is."""

    name = graphene.String()

    @classmethod
    async def is_type_of(cls, root: Any, info: Any) -> bool:
        return root != OTHERS


class Either(graphene.Union):
    class Meta:
        types = (Number, Late)


class Colour(graphene.Enum):
    RED = 1


class Own(graphene.Scalar):
    """A scalar that says to clients why it refuses."""

    @staticmethod
    def serialize(value: Any) -> Any:
        raise GraphQLError("Not for you", extensions={"code": "OWN"})


class Query(graphene.ObjectType):
    named = graphene.Field(Named)
    either = graphene.Field(Either)
    number = graphene.Field(Number)
    late = graphene.Field(Late)
    colour = graphene.Field(Colour)
    count = graphene.Int()
    text = graphene.String()
    texts = graphene.List(graphene.String)
    listed = graphene.List(graphene.String)
    needed = graphene.Field(graphene.NonNull(graphene.ID))
    date = graphene.Date()
    own = graphene.Field(Own)
    returned = graphene.Field(graphene.NonNull(graphene.String))
    below = graphene.Field(Late)
    json = GenericScalar()

    @staticmethod
    def resolve_json(_root: Any, _info: Any) -> Any:
        return {SECRET: object()}

    @staticmethod
    def resolve_returned(_root: Any, _info: Any) -> Any:
        return GraphQLError("Returned on purpose")

    @staticmethod
    def resolve_below(_root: Any, _info: Any) -> Any:
        return {"name": GraphQLError("From below")}

    @staticmethod
    def resolve_texts(_root: Any, _info: Any) -> Any:
        return ["a", OTHERS]


class OnUnfit(Subscription):
    text = graphene.String()

    @staticmethod
    def publish(payload: Any, info: Any) -> Any:
        return {"text": OTHERS}


class Events(graphene.ObjectType):
    on_unfit = OnUnfit.Field()


class Root:
    """Returns the same for each field that has no resolver."""

    def __getattr__(self, name: str) -> Any:
        return SECRET if name in {"colour", "date", "count"} else OTHERS


class Consumer(GraphqlHttpConsumer):
    schema = graphene.Schema(query=Query, subscription=Events)

    def get_root_value(self, context: Any) -> Any:
        return Root()


@pytest.fixture(params=[True, False], ids=["compiled", "by graphql-core"])
def compiles(request: pytest.FixtureRequest) -> Any:
    return request.param


UNFIT = {
    "{ named { name } }": "Abstract type 'Named' must resolve to an Object type",
    "{ either { __typename } }": "Abstract type 'Either' ",
    "{ number { name } }": "Expected value of type 'Number' but got: {",
    "{ late { name } }": "Expected value of type 'Late' but got: {",
    "{ colour }": f"Enum 'Colour' cannot represent value: '{SECRET}'",
    "{ count }": "Int cannot represent non-integer value",
    "{ text }": "String cannot represent value: {",
    "{ texts }": "String cannot represent value: {",
    "{ needed }": "ID cannot represent value: {",
    "{ date }": "Date cannot represent value: ",
}


@pytest.mark.parametrize("query", UNFIT)
async def test_clients_are_not_told_what_a_resolver_has_returned(
    query: str, compiles: bool, caplog: Any
) -> None:
    answer = await post(Consumer.as_asgi(compile_operations=compiles), {"query": query})
    [error] = answer.json["errors"]
    assert (error["message"], list(error)) == (
        "Unexpected error.",
        ["message", "locations", "path"],
    )
    assert SECRET.encode() not in answer.body
    assert UNFIT[query] in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("query", UNFIT)
async def test_they_are_where_errors_are_not_hidden(query: str, compiles: bool) -> None:
    answer = await post(
        Consumer.as_asgi(mask_errors=False, compile_operations=compiles), {"query": query}
    )
    assert answer.json["errors"][0]["message"].startswith(UNFIT[query])


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("{ own }", {"message": "Not for you", "extensions": {"code": "OWN"}}),
        ("{ returned }", {"message": "Returned on purpose"}),
        ("{ below { name } }", {"message": "From below"}),
    ],
)
async def test_what_is_meant_for_clients_is_told(
    query: str, error: Any, compiles: bool, caplog: Any
) -> None:
    answer = await post(Consumer.as_asgi(compile_operations=compiles), {"query": query})
    [told] = answer.json["errors"]
    assert {key: told[key] for key in error} == error
    assert not caplog.records


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Unexpected error."),
        (
            {"mask_errors": False},
            f"The result has no JSON form: data.json.{SECRET}: a value of the type 'object'",
        ),
    ],
)
async def test_what_has_no_json_form_is_unexpected_too(
    options: Any, message: str, compiles: bool, caplog: Any
) -> None:
    answer = await post(
        Consumer.as_asgi(**options, compile_operations=compiles), {"query": "{ json }"}
    )
    assert answer.json == {"data": None, "errors": [{"message": message}]}
    assert f"data.json.{SECRET}" in caplog.text


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_events_hide_the_same(subprotocol: str, compiles: bool, caplog: Any) -> None:
    consumer = GraphqlWsConsumer.as_asgi(
        schema=Consumer.schema, mask_errors=True, compile_operations=compiles
    )
    socket = AsgiSocket(consumer, subprotocol)
    await socket.acknowledged()
    socket.start("1", "subscription { onUnfit { text } }")
    await wait_until(listeners)
    await OnUnfit.broadcast(payload=None)
    await wait_until(lambda: socket.results("1"))
    [result] = socket.results("1")
    assert result["errors"][0]["message"] == "Unexpected error."
    assert SECRET not in str(result)
    assert UNFIT["{ text }"] in caplog.text
    await socket.drop()


async def test_what_is_no_list_is_logged(compiles: bool, caplog: Any) -> None:
    class Counted(Consumer):
        def get_root_value(self, context: Any) -> Any:
            return {"listed": 1}

    answer = await post(Counted.as_asgi(compile_operations=compiles), {"query": "{ listed }"})
    assert answer.json["errors"][0]["message"] == "Unexpected error."
    assert "Expected Iterable, but did not find one for field 'Query.listed'." in caplog.text

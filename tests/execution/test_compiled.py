"""Operations are compiled once for each document, and only where that is wanted."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import graphene
import pytest
from graphql import GraphQLSchema, MiddlewareManager

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer, Subscription
from channels_graphql_ws.execution.compiler.selections import MAX_CONDITIONS
from channels_graphql_ws.execution.documents import MOST_KEPT, compiled, documents_of, load
from channels_graphql_ws.execution.metered import MeteredContext
from channels_graphql_ws.operations.engine import engine_of
from engine_fakes import Query, Rig, schema_of
from http_client import post

pytestmark = pytest.mark.usefixtures("executor")


class OnEvent(Subscription):
    """What subscriptions are made of here."""

    ok = graphene.Boolean()

    @staticmethod
    def publish(payload: Any, info: Any) -> Any:
        return payload


@pytest.fixture
def by_core(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fields that graphql-core executes."""
    fields: list[str] = []
    execute_field = MeteredContext.execute_field

    def noted(self: Any, parent: Any, source: Any, nodes: Any, path: Any) -> Any:
        fields.append(nodes[0].name.value)
        return execute_field(self, parent, source, nodes, path)

    monkeypatch.setattr(MeteredContext, "execute_field", noted)
    return fields


def kept(schema: GraphQLSchema, text: str, middleware: MiddlewareManager | None = None) -> Any:
    document: Any = documents_of(schema).get(text)
    return compiled(schema, document, document.operation(None), middleware)


def test_an_operation_is_compiled_once() -> None:
    schema = schema_of()
    assert kept(schema, "{ ok }") is kept(schema, "{ ok }")
    assert kept(schema, "{ ok }") is not kept(schema, "{ ok ok }")


def test_each_middleware_has_its_own() -> None:
    schema, manager = schema_of(), MiddlewareManager()
    assert kept(schema, "{ ok }", manager) is kept(schema, "{ ok }", manager)
    assert kept(schema, "{ ok }", manager) is not kept(schema, "{ ok }")


def test_few_are_kept_for_one_document() -> None:
    schema = schema_of()
    document = load(schema, "{ ok }")
    for _ in range(MOST_KEPT + 1):
        compiled(schema, document, document.operation(None), MiddlewareManager())
    assert len(document.compiled) == 1


def test_what_can_not_be_compiled_is_not_tried_again() -> None:
    schema = schema_of()
    variables = " ".join(f"$v{number}: Boolean!" for number in range(MAX_CONDITIONS + 1))
    fields = " ".join(
        f"a{number}: ok @skip(if: $v{number})" for number in range(MAX_CONDITIONS + 1)
    )
    document: Any = documents_of(schema).get(f"query ({variables}) {{ {fields} }}")
    for _ in range(2):
        assert compiled(schema, document, document.operation(None), None) is None
    assert len(document.compiled) == 1


def test_no_compiled_operation_keeps_a_schema_alive() -> None:
    def use_one() -> Any:
        class Local(Query):
            """Its resolver knows the schema."""

            @staticmethod
            def resolve_ok(root: Any, info: Any) -> bool:
                return schema is info.schema

        schema = schema_of(query=Local)
        operation = kept(schema, "{ ok }")
        result = operation.execute(root_value=None, context_value=None, variable_values={})
        assert result.data == {"ok": True}
        return ref(schema)

    alive = use_one()
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("query", ["{ ok }", "mutation { ok }"])
async def test_operations_are_compiled_unless_that_is_switched_off(
    query: str, executor: str, by_core: list[str]
) -> None:
    rig = Rig(schema_of(query=Query, mutation=type("Mutation", (Query,), {})))
    assert (await rig.answer(query))["data"] == {"ok": True}
    assert by_core == ([] if executor == "compiled" else ["ok"])


async def test_so_are_events(executor: str, by_core: list[str]) -> None:
    rig = Rig(schema_of(OnEvent))
    client = await rig.subscribe("subscription { event { ok } }")
    rig.hub.broadcast({"ok": True})
    await client.hears(1)
    assert client.data == [{"ok": True}]
    assert by_core == ([] if executor == "compiled" else ["event", "ok"])
    await rig.end(client)


@pytest.mark.parametrize("is_on", [True, False])
async def test_the_switch_is_an_option_over_http(is_on: bool, by_core: list[str]) -> None:
    consumer = GraphqlHttpConsumer.as_asgi(schema=schema_of(), compile_operations=is_on)
    assert (await post(consumer, {"query": "{ ok }"})).json == {"data": {"ok": True}}
    assert by_core == ([] if is_on else ["ok"])


@pytest.mark.parametrize("is_on", [True, False])
def test_and_over_websocket(is_on: bool) -> None:
    class Consumer(GraphqlWsConsumer):
        schema = schema_of()
        compile_operations = is_on

    assert engine_of(Consumer()).settings.compile_operations is is_on

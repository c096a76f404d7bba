"""protocol.md and api.md 2.5, 5: results, errors, and what ends an operation."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLError

from conformance.peer import NEW, Peers, complete
from conformance.stage import Stage, consumer
from support import wait_until

only_new = pytest.mark.parametrize("subprotocol", [NEW])

TWO = "query A { hello } query B { double(value: 2) }"


async def test_a_result_is_followed_by_the_complete_and_has_errors_only_if_there_are_some(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", "{ hello }")

    assert await peer.hear(2) == [peer.next("1", {"hello": "Hello, world!"}), complete("1")]
    assert await peer.lives()


@pytest.mark.parametrize("rest", [{}, dict.fromkeys(["variables", "operationName", "extensions"])])
async def test_variables_operation_name_and_extensions_may_be_missing_or_null(
    peers: Peers, stage: Stage, rest: dict[str, Any]
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", "{ hello }", **rest)

    assert await peer.hear(2) == [peer.next("1", {"hello": "Hello, world!"}), complete("1")]


async def test_the_operation_of_the_given_name_is_executed_with_the_given_variables(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    query = f"query C($name: String) {{ hello(name: $name) }} {TWO}"

    await peer.ask("1", query, operationName="C", variables={"name": "Ж"}, extensions={"a": 1})

    assert await peer.hear(2) == [peer.next("1", {"hello": "Hello, Ж!"}), complete("1")]


async def test_half_an_emoji_in_a_variable_does_not_cost_the_connection(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    query = "query ($name: String) { hello(name: $name) }"

    await peer.ask("1", query, variables={"name": "\ud83d"})

    assert await peer.heard() == peer.next("1", {"hello": "Hello, \N{REPLACEMENT CHARACTER}!"})


async def test_a_field_that_fails_is_part_of_the_result_and_tells_no_class(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", "{ hello fails }")

    error = {
        "message": "out of order",
        "locations": [{"line": 1, "column": 9}],
        "path": ["fails"],
    }
    data = {"hello": "Hello, world!", "fails": None}
    assert await peer.hear(2) == [peer.next("1", data, errors=[error]), complete("1")]


async def test_a_graphql_error_keeps_its_extensions(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", "{ refuses }")

    error = {
        "message": "not for you",
        "locations": [{"line": 1, "column": 3}],
        "path": ["refuses"],
        "extensions": {"code": "FORBIDDEN"},
    }
    assert await peer.heard() == peer.next("1", {"refuses": None}, errors=[error])


async def test_a_syntax_error_ends_the_operation_and_the_connection_lives_on(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", "wrong")

    error = {
        "message": "Syntax Error: Unexpected Name 'wrong'.",
        "locations": [{"line": 1, "column": 1}],
    }
    refused = peer.refused("1", error)
    assert await peer.hear(len(refused)) == refused
    assert await peer.lives()


async def test_all_validation_errors_are_told_together_in_graphql_cores_order(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", "query A { one two } query A { one three double }")

    expected = [
        "Cannot query field 'one' on type 'Query'.",
        "Cannot query field 'two' on type 'Query'.",
        "Cannot query field 'one' on type 'Query'.",
        "Cannot query field 'three' on type 'Query'.",
    ]
    [first, *_] = await peer.hear(len(peer.refused("1")))
    errors = first["payload"] if peer.is_new else first["payload"]["errors"]
    messages = [error["message"] for error in errors]
    assert len(messages) == 6
    assert [each for each in messages if each.startswith("Cannot")] == expected
    assert {tuple(error) for error in errors} == {("message", "locations")}
    assert await peer.lives()


@pytest.mark.parametrize(
    ("query", "name", "message"),
    [
        (TWO, "C", "Unknown operation named 'C'."),
        (TWO, "", "Must provide operation name if query contains multiple operations."),
        (TWO, None, "Must provide operation name if query contains multiple operations."),
    ],
)
async def test_without_one_operation_to_execute_the_operation_is_refused_with_a_clear_text(
    peers: Peers, stage: Stage, query: str, name: str | None, message: str
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", query, operationName=name)

    refused = peer.refused("1", {"message": message})
    assert await peer.hear(len(refused)) == refused
    assert stage.executed == []
    assert await peer.lives()


QUERY_OF_INT = "query ($v: Int!) { double(value: $v) }"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"v": "x"}, "Int cannot represent non-integer value: 'x'"),
        ({"v": {"a": 1}}, "Int cannot represent non-integer value: {'a': 1}"),
        ({"v": 2**40}, "Int cannot represent non 32-bit signed integer value: 1099511627776"),
        ({"v": None}, "Variable '$v' of non-null type 'Int!' must not be null."),
        ({}, "Variable '$v' of required type 'Int!' was not provided."),
    ],
)
async def test_variables_of_the_wrong_kind_are_an_error_with_a_clear_text(
    peers: Peers, stage: Stage, variables: dict[str, Any], message: str
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", QUERY_OF_INT, variables=variables)

    answer = await peer.heard()
    payload = answer["payload"]
    [error] = payload if answer["type"] == "error" else payload["errors"]
    assert message in error["message"]
    assert "extensions" not in error
    if answer["type"] != "error":
        assert await peer.heard() == complete("1")
    assert await peer.lives()


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (
            RuntimeError("no entry"),
            {"message": "RuntimeError: no entry", "extensions": {"code": "RuntimeError"}},
        ),
        (GraphQLError("no entry"), {"message": "no entry"}),
    ],
)
async def test_an_operation_that_on_operation_refuses_is_one_error_and_never_executed(
    peers: Peers, stage: Stage, raised: Exception, error: dict[str, Any]
) -> None:
    async def on_operation(self: Any, op_id: Any, payload: Any) -> None:
        if payload["query"] == "{ hello }":
            raise raised

    peer = await peers.connect(consumer(stage, on_operation=on_operation))

    await peer.ask("1", "{ hello }")

    payload = [error] if peer.is_new else {"errors": [error]}
    assert await peer.heard() == {"type": "error", "id": "1", "payload": payload}
    assert stage.executed == []
    assert await peer.lives()


async def test_on_operation_gets_the_id_and_all_that_the_client_sent(
    peers: Peers, stage: Stage
) -> None:
    seen = []

    async def on_operation(self: Any, op_id: Any, payload: Any) -> None:
        seen.append((op_id, payload))

    peer = await peers.connect(consumer(stage, on_operation=on_operation))
    await peer.ask("1", "{ hello }", mine=1)

    await peer.hear(2)
    assert seen == [("1", {"query": "{ hello }", "mine": 1})]


async def test_an_error_whose_extensions_have_no_json_form_still_ends_the_operation(
    peers: Peers, stage: Stage
) -> None:
    def on_operation(self: Any, op_id: Any, payload: Any) -> None:
        if payload["query"] == "{ hello }":
            raise GraphQLError("no entry", extensions={"who": object()})

    peer = await peers.connect(consumer(stage, on_operation=on_operation))

    await peer.ask("1", "{ hello }")

    answer = await peer.heard()
    assert (answer["type"], answer["id"]) == ("error", "1")
    assert await peer.lives()


@pytest.mark.parametrize(
    ("query", "gate"),
    [
        ("{ hang }", "query"),
        ("mutation { hang }", "mutation"),
        ('subscription { onEvent(gate: "subscribe") { text } }', "subscribe"),
    ],
)
@only_new
async def test_the_id_of_a_live_operation_of_any_kind_closes_4409(
    peers: Peers, stage: Stage, query: str, gate: str
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("mine", query)
    await stage.arrival(gate)

    await peer.ask("mine", "{ hello }")
    stage.open_gate(gate)

    assert await peer.closed() == (4409, "Subscriber for mine already exists")
    assert "hello" not in stage.executed


@only_new
@pytest.mark.parametrize("strict", [False, True])
async def test_two_subscribes_with_one_id_close_4409_before_anything_else_is_sent(
    peers: Peers, stage: Stage, strict: bool
) -> None:
    peer = await peers.connect(consumer(stage, strict_ordering=strict))

    await peer.ask("1", "subscription { onEvent { text } }")
    await peer.ask("1", "subscription { onEvent { text } }")

    assert await peer.closed() == (4409, "Subscriber for 1 already exists")


@pytest.mark.parametrize("subprotocol", ["graphql-ws"])
async def test_the_id_of_a_live_operation_is_an_error_for_a_legacy_client_who_stays(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", "{ hang }")

    await peer.ask("1", "{ hello }")

    error = {"message": "Subscription with msg_id=1 already exists!"}
    assert await peer.hear(2) == [peer.next("1", None, errors=[error]), complete("1")]
    stage.open_gate("query")
    assert await peer.hear(2) == [peer.next("1", {"hang": "released"}), complete("1")]
    assert stage.executed == ["hang"]


async def test_an_id_is_free_again_as_soon_as_the_server_has_completed(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))

    for _ in range(3):
        await peer.ask("1", "{ double(value: 2) }")
        await peer.ask("1", "wrong")

    refused = len(peer.refused("1"))
    heard = await peer.hear(3 * (2 + refused))
    assert heard[: 2 + refused] * 3 == heard


@pytest.mark.parametrize(
    ("query", "gate"),
    [
        ("{ hang }", "query"),
        ("mutation { hang }", "mutation"),
        ('subscription { onEvent(gate: "subscribe") { text } }', "subscribe"),
    ],
)
async def test_an_id_is_free_again_as_soon_as_the_client_has_completed(
    peers: Peers, stage: Stage, query: str, gate: str
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", query)
    await stage.arrival(gate)

    await peer.stop("1")
    await peer.ask("1", "{ double(value: 2) }")

    assert await peer.hear(2) == [peer.next("1", {"double": 4}), complete("1")]
    stage.open_gate(gate)
    assert await peer.lives()


@pytest.mark.parametrize(
    ("query", "gate"), [("{ hang }", "query"), ("mutation { hang }", "mutation")]
)
async def test_a_query_or_mutation_is_cancelled_by_complete_and_its_result_not_sent(
    peers: Peers, stage: Stage, query: str, gate: str
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", query)
    await stage.arrival(gate)

    await peer.stop("1")

    await wait_until(lambda: stage.cancelled == [gate])
    stage.open_gate(gate)
    assert await peer.lives()


async def test_a_result_that_is_just_ready_when_the_client_completes_is_not_sent(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", "{ hang }")
    await stage.arrival("query")

    await peer.stop("1")
    stage.open_gate("query")

    assert await peer.lives()


async def test_a_complete_for_an_unknown_or_finished_id_is_ignored(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", "{ hello }")
    await peer.hear(2)

    await peer.stop("1")
    await peer.stop("unknown")

    assert await peer.lives()


async def test_a_complete_before_connection_init_is_ignored(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage), init=False)

    await peer.stop("unknown")
    await peer.say("connection_init")

    assert await peer.heard() == {"type": "connection_ack"}

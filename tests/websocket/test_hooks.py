"""The hooks and limits of the WebSocket consumer, in both dialects."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import graphene
import pytest
from graphql import GraphQLError, ValidationRule

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import ConnectionRejectionError
from channels_graphql_ws.execution.documents import Rules, load
from news_schema import HELLO, NEWS, News, Stage, consumer_class
from support import tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
INTERNAL = {"message": "Internal server error"}


def connect(subprotocol: str, scope: Any = None, **attributes: Any) -> AsgiSocket:
    return AsgiSocket(consumer_class(**attributes).as_asgi(), subprotocol, scope=scope)


async def ready(subprotocol: str, scope: Any = None, **attributes: Any) -> AsgiSocket:
    socket = connect(subprotocol, scope, **attributes)
    await socket.acknowledged(payload={"token": "t"})
    return socket


async def answer(socket: AsgiSocket, query: str = HELLO, **payload: Any) -> Any:
    """Execute an operation, and give its first result."""
    socket.start("1", query, **payload)
    await wait_until(lambda: socket.results("1"))
    return socket.results("1")[0]


def refusal(socket: AsgiSocket, *errors: Any) -> Any:
    return list(errors) if socket.subprotocol == NEW else {"errors": list(errors)}


@BOTH
@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"message": "Too old"}, "Too old"),
        ({"reason": "ж" * 100}, "ж" * 61),
        ({"message": 7}, "Forbidden"),
        (None, "Forbidden"),
    ],
)
async def test_a_rejection_says_what_the_hook_wants(
    subprotocol: str, payload: Any, reason: str
) -> None:
    async def on_connect(self: Any, payload_of_client: Any) -> None:
        assert self.connection_params == {"token": "t"}
        raise ConnectionRejectionError(payload)

    socket = connect(subprotocol, on_connect=on_connect)
    socket.init(payload={"token": "t"})
    await socket.ended()

    assert socket.closes == [(4403 if subprotocol == NEW else 4000, reason)]
    said = [] if subprotocol == NEW else [{"type": "connection_error", "payload": payload or {}}]
    assert socket.frames == said


@BOTH
@pytest.mark.parametrize("is_of_class", [False, True])
async def test_a_hook_that_is_set_after_the_connection_was_made_refuses(
    subprotocol: str, is_of_class: bool
) -> None:
    def refuse(*_: Any) -> None:
        raise ConnectionRejectionError({"message": "Late"})

    async def accept(self: Any, subprotocol: str | None = None) -> None:
        await cls.__base__.accept(self, subprotocol)
        (type(self) if is_of_class else self).on_connect = refuse

    cls: Any = consumer_class(accept=accept)
    socket = AsgiSocket(cls.as_asgi(), subprotocol)
    socket.init()
    await socket.ended()
    assert socket.closes == [(4403 if subprotocol == NEW else 4000, "Late")]


@pytest.mark.parametrize("payload", ["No", 5, ["No"]])
def test_a_rejection_wants_a_dict(payload: Any) -> None:
    with pytest.raises(TypeError, match="is not a dict; pass"):
        ConnectionRejectionError(payload)


@BOTH
async def test_one_subscription_too_many_gets_an_error_and_room_is_made_by_an_end(
    subprotocol: str,
) -> None:
    socket = await ready(
        subprotocol,
        max_operations_per_connection=1,
        confirm_subscriptions=True,
    )
    socket.start("a", NEWS)
    await wait_until(lambda: socket.results("a"))

    option = "max_operations_per_connection"
    text = f"Operation limit of 1 reached: end a subscription of this connection (`{option}`)."
    extensions = {"code": "LIMIT_EXCEEDED", "limit": option, "allowed": 1}
    error = {"message": text, "extensions": extensions}
    assert await answer(socket, NEWS) == refusal(socket, error)
    socket.start("query", HELLO)
    await socket.heard(f"{'next' if subprotocol == NEW else 'data'}:query", "complete:query")
    socket.stop("a")
    await socket.heard("complete:a")
    socket.start("b", NEWS)
    await wait_until(lambda: socket.results("b"))
    assert socket.results("b") == [{"data": None}]
    await socket.drop()


def _sync_context(self: Any, context: Any) -> Any:
    context.connection_params = {"changed": True}
    return context


async def _async_context(self: Any, context: Any) -> Any:
    await tick()
    return _sync_context(self, context)


@BOTH
@pytest.mark.parametrize("hook", [_sync_context, _async_context])
async def test_get_context_gives_the_context(subprotocol: str, hook: Any) -> None:
    socket = await ready(subprotocol, get_context=hook)
    result = await answer(socket, "{ connection }")
    assert "{'changed': True}" in result["data"]["connection"]
    await socket.drop()


@BOTH
@pytest.mark.parametrize("name", ["get_context", "get_root_value"])
async def test_a_hook_refuses_by_raising(subprotocol: str, name: str) -> None:
    def refuse(self: Any, context: Any) -> Any:
        raise GraphQLError("Not you")

    socket = await ready(subprotocol, **{name: refuse})
    assert await answer(socket) == refusal(socket, {"message": "Not you"})
    await socket.drop()


class Rooted(graphene.ObjectType):
    """Tells of its root."""

    root = graphene.String()

    @staticmethod
    def resolve_root(root: Any, info: Any) -> str:
        return str(root)


ROOTED = graphene.Schema(query=Rooted)


@BOTH
async def test_get_root_value_gives_the_root(subprotocol: str) -> None:
    async def root(self: Any, context: Any) -> str:
        return f"root of {context.graphql_operation_id}"

    socket = await ready(subprotocol, schema=ROOTED, get_root_value=root)
    assert await answer(socket, "{ root }") == {"data": {"root": "root of 1"}}
    await socket.drop()


@BOTH
@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"query": "{ hi: hello }"}, {"hi": "world"}),
        ({"schema": ROOTED, "query": "{ root }"}, {"root": "None"}),
        (
            {
                "query": "query A { hello } query B($at: String) { wait(at: $at) }",
                "operation_name": "B",
                "variables": {"at": "x"},
            },
            {"wait": "x"},
        ),
        ({"variables": None}, {"hello": "world"}),
        (True, {"hello": "world"}),
    ],
)
async def test_on_operation_may_replace_what_is_executed(
    subprotocol: str, changes: Any, data: Any
) -> None:
    socket = await ready(subprotocol, on_operation=lambda self, op_id, payload: changes)
    assert await answer(socket) == {"data": data}
    await socket.drop()


@BOTH
@pytest.mark.parametrize("changes", [{"querry": HELLO}, {"query": None}])
async def test_a_replacement_without_sense_is_a_mistake_of_the_server(
    subprotocol: str, changes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await ready(subprotocol, on_operation=lambda self, op_id, payload: changes)
    assert await answer(socket) == refusal(socket, INTERNAL)
    assert "`on_operation` returned" in str(caplog.records[-1].exc_info)
    await socket.drop()


@BOTH
async def test_hooks_about_results_are_called_in_order_while_one_waits(subprotocol: str) -> None:
    stage = Stage("one")

    async def on_next(self: Any, op_id: Any, result: Any) -> Any:
        await stage.at(result["data"]["news"]["text"])
        return {**result, "extensions": {"id": op_id}}

    def on_complete(self: Any, op_id: Any) -> None:
        stage.note(f"complete {op_id}")

    socket = await ready(
        subprotocol, on_next=on_next, on_complete=on_complete, confirm_subscriptions=True
    )
    await answer(socket, NEWS)
    for text in ("one", "two"):
        await News.broadcast(payload=text)
    await wait_until(lambda: "one" in stage.passed)
    await News.unsubscribe()
    await tick(10)
    assert len(socket.results("1")) == 1
    stage.let_go("one")
    await socket.heard("complete:1")

    assert [result["data"]["news"]["text"] for result in socket.results("1")[1:3]] == [
        "one",
        "two",
    ]
    assert socket.results("1")[1]["extensions"] == {"id": "1"}
    assert stage.passed == ["one", "one went on", "two", "complete 1"]
    await socket.drop()


@BOTH
async def test_hooks_that_give_nothing_change_nothing(subprotocol: str) -> None:
    seen: list[Any] = []

    def on_next(self: Any, op_id: Any, result: Any) -> None:
        seen.append(result)

    async def on_error(self: Any, op_id: Any, errors: Any) -> None:
        seen.append(errors[0]["message"])

    socket = await ready(subprotocol, on_next=on_next, on_error=on_error)
    assert await answer(socket) == {"data": {"hello": "world"}}
    socket.start("2", "{")
    await wait_until(lambda: socket.results("2"))
    assert "Syntax Error" in json.dumps(socket.results("2"))
    assert seen[0] == {"data": {"hello": "world"}}
    assert "Syntax Error" in seen[1]
    await socket.drop()


@BOTH
async def test_the_end_of_a_query_waits_for_the_hook_about_its_result(subprotocol: str) -> None:
    async def on_next(self: Any, op_id: Any, result: Any) -> Any:
        await tick()
        return {"data": op_id}

    socket = await ready(subprotocol, on_next=on_next)
    assert await answer(socket) == {"data": "1"}
    await socket.heard("next:1" if subprotocol == NEW else "data:1", "complete:1")
    await socket.drop()


@BOTH
async def test_one_hook_needs_no_other(subprotocol: str) -> None:
    seen: list[Any] = []
    socket = await ready(subprotocol, on_complete=lambda self, op_id: seen.append(op_id))
    assert await answer(socket) == {"data": {"hello": "world"}}
    await socket.heard("complete:1")
    socket.start("2", "{")
    await wait_until(lambda: socket.results("2"))
    assert seen == ["1"]
    await socket.drop()


@BOTH
async def test_on_complete_is_called_for_what_the_client_stops_before_the_answer(
    subprotocol: str,
) -> None:
    stage = Stage("query")
    said: list[Any] = []

    async def on_complete(self: Any, op_id: Any) -> None:
        await tick()
        said.append((op_id, list(socket.words)))

    socket = await ready(
        subprotocol, stage.scope, on_complete=on_complete, confirm_subscriptions=True
    )
    await answer(socket, NEWS)
    socket.start("q", "{ wait }")
    await wait_until(lambda: "query" in stage.passed)
    socket.stop("q")
    socket.stop("1")
    await socket.heard("complete:1")
    await wait_until(lambda: len(said) == 2)

    assert sorted(id for id, _ in said) == ["1", "q"]
    assert "complete:1" not in dict(said)["1"]
    await socket.drop()
    assert len(said) == 2


@BOTH
async def test_on_complete_is_called_once_for_what_ends_with_the_connection(
    subprotocol: str,
) -> None:
    stage = Stage("mutation")
    socket = await ready(
        subprotocol,
        stage.scope,
        on_complete=lambda self, op_id: stage.note(f"complete {op_id}"),
        on_disconnect=lambda self, code: stage.note("disconnect"),
        confirm_subscriptions=True,
    )
    await answer(socket, NEWS)
    socket.start("m", 'mutation { tellAndWait(text: "hi") }')
    await wait_until(lambda: "mutation" in stage.passed)
    socket.hang_up()
    await wait_until(lambda: "complete 1" in stage.passed)
    stage.let_go("mutation")
    await socket.ended()

    ends = [each for each in stage.passed if each.startswith(("complete", "disconnect"))]
    assert ends == ["complete 1", "complete m", "disconnect"]


@BOTH
async def test_on_complete_comes_behind_the_hooks_before_it(subprotocol: str) -> None:
    stage = Stage("next")

    async def on_next(self: Any, op_id: Any, result: Any) -> None:
        await stage.at("next")

    socket = await ready(
        subprotocol,
        on_next=on_next,
        on_complete=lambda self, op_id: stage.note("complete"),
        confirm_subscriptions=True,
    )
    await answer(socket, NEWS)
    await News.broadcast(payload="one")
    await wait_until(lambda: "next" in stage.passed)
    socket.stop("1")
    await tick(10)
    assert "complete" not in stage.passed
    stage.let_go("next")
    await socket.heard("complete:1")
    assert stage.passed == ["next", "next went on", "complete"]
    await socket.drop()


@BOTH
async def test_on_complete_that_takes_longer_than_the_client_stays_is_called_once(
    subprotocol: str,
) -> None:
    stage = Stage("complete")

    async def on_complete(self: Any, op_id: Any) -> None:
        await stage.at("complete")

    socket = await ready(subprotocol, on_complete=on_complete)
    socket.start("1", HELLO)
    await wait_until(lambda: "complete" in stage.passed)
    socket.hang_up()
    await tick(10)
    stage.let_go("complete")
    await socket.ended()
    assert stage.passed == ["complete", "complete went on"]


@BOTH
async def test_an_operation_that_has_failed_does_not_complete(subprotocol: str) -> None:
    seen: list[Any] = []
    failing = asyncio.Event()

    async def on_error(self: Any, op_id: Any, errors: Any) -> None:
        failing.set()
        await asyncio.Event().wait()

    socket = await ready(
        subprotocol,
        on_error=on_error,
        on_complete=lambda self, op_id: seen.append(op_id),
        disconnect_timeout=0.01,
    )
    socket.start("1", "{")
    await failing.wait()
    await socket.drop()
    assert seen == []


@BOTH
async def test_on_error_may_replace_errors(subprotocol: str) -> None:
    socket = await ready(
        subprotocol,
        on_error=lambda self, op_id, errors: [{"message": "No"}],
        on_operation=lambda self, op_id, payload: 1 / 0,
    )
    assert await answer(socket) == refusal(socket, {"message": "No"})
    await socket.drop()


@BOTH
@pytest.mark.parametrize("failure", [RuntimeError("broken hook"), asyncio.CancelledError()])
async def test_hooks_that_fail_are_an_internal_error(
    subprotocol: str, caplog: pytest.LogCaptureFixture, failure: BaseException
) -> None:
    async def fail(self: Any, *_: Any) -> Any:
        raise failure

    hooks = {"on_next": fail, "on_error": lambda *_: [object()], "on_complete": fail}
    socket = await ready(subprotocol, **hooks)
    assert await answer(socket) == {"data": None, "errors": [INTERNAL]}
    await socket.heard("complete:1")
    socket.start("2", "{")
    await wait_until(lambda: socket.results("2"))
    assert "Internal server error" in json.dumps(socket.results("2"))
    name = consumer_class().__qualname__
    assert caplog.messages == [
        f"`on_next` of {name} failed (id '1')",
        f"`on_complete` of {name} failed (id '1')",
        f"`on_error` of {name} failed (id '2')",
    ]
    assert all(record.exc_info for record in caplog.records)
    await socket.drop()


HANGING = {
    "on_connect": "",
    "on_operation": "{ connection }",
    "get_context": "{ connection }",
    "get_root_value": "{ connection }",
    "on_next": "{ connection }",
    "on_error": "{",
    "on_complete": "{ connection }",
}


@BOTH
@pytest.mark.parametrize("name", HANGING)
async def test_a_hook_that_hangs_is_named_in_the_log_and_may_go_on(
    subprotocol: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate = asyncio.Event()

    async def hang(_self: Any, *arguments: Any, **_: Any) -> Any:
        await gate.wait()
        return arguments[0] if name == "get_context" else None

    hooks = {name: hang, "warn_operation_timeout": 0.001}
    socket = AsgiSocket(consumer_class(**hooks).as_asgi(), subprotocol)
    socket.init()
    if HANGING[name]:
        await socket.heard("connection_ack")
        socket.start("1", HANGING[name])
    text = "has not returned for 0.001 seconds: its client is waiting"
    await wait_until(lambda: text in caplog.text)
    assert f"`{name}` of " in caplog.text
    gate.set()
    if HANGING[name]:
        await wait_until(lambda: socket.results("1"))
    else:
        await socket.heard("connection_ack")
    await socket.drop()


@BOTH
@pytest.mark.parametrize("name", ["on_next", "on_error", "on_complete"])
async def test_a_hook_about_results_that_hangs_is_given_up(
    subprotocol: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(_self: Any, *_: Any) -> None:
        await asyncio.Event().wait()

    hooks = {name: hang, "event_timeout": 0.001, "warn_operation_timeout": None}
    socket = await ready(subprotocol, **hooks)
    socket.start("1", HANGING[name])
    last = "error:1" if name == "on_error" and subprotocol == NEW else "complete:1"
    await socket.heard(last)
    assert ("Internal server error" in str(socket.results("1"))) is (name != "on_complete")
    [record] = caplog.records
    assert record.message.startswith(f"`{name}` of ")
    assert record.exc_info
    await socket.drop()


@BOTH
@pytest.mark.parametrize("given", [5, [1], "x"])
async def test_on_next_has_to_give_an_object(
    subprotocol: str, given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await ready(subprotocol, on_next=lambda *_: given)
    assert await answer(socket) == {"data": None, "errors": [INTERNAL]}
    assert f"`on_next` returned {given!r}, it must return a dict" in caplog.text
    await socket.drop()


@BOTH
@pytest.mark.parametrize("given", [[], [{}], [{"message": 1}], [{"text": "No"}]])
async def test_on_error_has_to_give_errors_with_messages(
    subprotocol: str, given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await ready(subprotocol, on_error=lambda *_: given, get_context=lambda *_: 1 / 0)
    assert await answer(socket) == refusal(socket, INTERNAL)
    assert f"`on_error` returned {given!r}, it must return errors" in caplog.text
    await socket.drop()


@BOTH
async def test_a_result_waits_for_room_behind_a_hook(subprotocol: str) -> None:
    stage = Stage("one")

    async def on_next(self: Any, op_id: Any, result: Any) -> None:
        await stage.at(result["data"]["news"]["text"])

    taken = asyncio.Event()
    held = False

    async def on_send(event: Any) -> None:
        if held:
            await taken.wait()

    application = consumer_class(on_next=on_next, confirm_subscriptions=True).as_asgi()
    socket = AsgiSocket(application, subprotocol, on_send=on_send)
    await socket.acknowledged()
    await answer(socket, NEWS)
    held = True
    for text in ("one", "two"):
        await News.broadcast(payload=text)
    await wait_until(lambda: "one" in stage.passed)
    # More than the outbox takes.
    for number in range(100):
        socket.start(str(number + 10), "{")
    await tick(20)
    stage.let_go("one")
    await tick(20)
    taken.set()
    await wait_until(lambda: len(socket.results("1")) == 3)
    await socket.drop()


def _dumps(content: Any) -> str:
    return json.dumps(content, indent=1)


async def _dumps_late(content: Any) -> str:
    await tick()
    return _dumps(content)


def _loads(text: str) -> Any:
    return json.loads(text.removeprefix("own"))


async def _loads_late(text: str) -> Any:
    await tick()
    return _loads(text)


@BOTH
@pytest.mark.parametrize(("encode", "decode"), [(_dumps, _loads), (_dumps_late, _loads_late)])
async def test_another_json_is_on_the_wire(subprotocol: str, encode: Any, decode: Any) -> None:
    socket = await ready(
        subprotocol, encode_json=staticmethod(encode), decode_json=staticmethod(decode)
    )
    word = "subscribe" if subprotocol == NEW else "start"
    socket.say_text("own" + json.dumps({"type": word, "id": "1", "payload": {"query": HELLO}}))
    await socket.heard("next:1" if subprotocol == NEW else "data:1", "complete:1")
    texts = [event["text"] for event in socket.sent if "text" in event]
    assert all(text.startswith("{\n ") for text in texts)
    socket.say_text("nonsense")
    await socket.ended()
    assert socket.closes == [(4400, "Message must be valid JSON")]


@BOTH
async def test_deep_nesting_is_no_json_for_a_decoder_that_fails_at_it(subprotocol: str) -> None:
    socket = await ready(subprotocol, decode_json=staticmethod(_loads))
    socket.say_text("own" + "[" * 100_000 + "]" * 100_000)
    await socket.ended()
    assert socket.closes == [(4400, "Message must be valid JSON")]


@BOTH
async def test_binary_frames_stay_refused(subprotocol: str) -> None:
    socket = await ready(subprotocol, decode_json=staticmethod(_loads))
    socket.say_bytes(b"{}")
    await socket.ended()
    assert socket.closes == [(4400, "Message must be a text frame")]


@BOTH
async def test_an_encoder_that_fails_closes_4500(
    subprotocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    def encode(content: Any) -> str:
        raise RuntimeError("broken encoder")

    socket = connect(subprotocol, encode_json=staticmethod(encode))
    socket.init()
    await socket.ended()
    assert socket.closes == [(4500, "Internal server error")]
    assert "`encode_json` failed" in caplog.messages


class NoHello(ValidationRule):
    """Knows no `hello`."""

    def enter_field(self, node: Any, *_: Any) -> None:
        if node.name.value == "hello":
            self.report_error(GraphQLError("No hello"))


@BOTH
@pytest.mark.parametrize(
    ("attributes", "query", "text"),
    [
        ({"validation_rules": [NoHello]}, HELLO, "No hello"),
        ({"max_tokens": 2}, HELLO, "Document contains more than 2 tokens"),
        ({"introspection": False}, "{ __schema { types { name } } }", "introspection is disabled"),
        ({"max_depth": 0}, NEWS, "Operation 'anonymous' exceeds the maximum depth of 0."),
    ],
)
async def test_limits_of_documents(
    subprotocol: str, attributes: Any, query: str, text: str
) -> None:
    free = await ready(subprotocol)
    assert "errors" not in json.dumps(await answer(free, HELLO))
    socket = await ready(subprotocol, **attributes)
    socket.start("1", query)
    await wait_until(lambda: socket.results("1"))
    assert text in json.dumps(socket.results("1"))
    await socket.drop()
    await free.drop()


class Deep(graphene.ObjectType):
    """Has no ground."""

    deep = graphene.Field(lambda: Deep)
    name = graphene.String()


DEEP = graphene.Schema(query=Deep).graphql_schema


@pytest.mark.parametrize(
    ("query", "depth"),
    [
        ("query A { name }", 0),
        ("{ deep { name } }", 1),
        ("{ deep { ... { deep { name } } } }", 2),
        (
            (
                "{ ...F } fragment F on Deep { deep { ...G ...G } }"
                " fragment G on Deep { deep { name } }"
            ),
            2,
        ),
        ("{ __schema { types { fields { name } } } }", 0),
    ],
)
def test_depth_is_counted(query: str, depth: int) -> None:
    assert load(DEEP, query, Rules(max_depth=depth)).errors == ()
    assert len(load(DEEP, query, Rules(max_depth=depth - 1)).errors) == 1


def test_an_unknown_fragment_is_no_matter_of_depth() -> None:
    [error] = load(DEEP, "{ ...F }", Rules(max_depth=1)).errors
    assert error.message == "Unknown fragment 'F'."


def refuse(_next: Any, _root: Any, _info: Any, **_arguments: Any) -> Any:
    raise GraphQLError("Not for you")


async def test_on_connect_may_set_options_of_what_is_executed() -> None:
    async def on_connect(self: Any, payload: Any) -> None:
        self.middleware = [refuse] if payload["strict"] else None

    strict, lenient = connect(NEW, on_connect=on_connect), connect(NEW, on_connect=on_connect)
    await strict.acknowledged(payload={"strict": True})
    await lenient.acknowledged(payload={"strict": False})
    assert (await answer(strict))["errors"][0]["message"] == "Not for you"
    assert "errors" not in await answer(lenient)
    await strict.drop()
    await lenient.drop()


async def test_an_option_may_be_a_property_of_what_on_connect_has_learnt() -> None:
    async def on_connect(self: Any, _payload: Any) -> None:
        self.scope["is_stranger"] = True

    strangers = property(lambda self: [refuse] if self.scope.get("is_stranger") else None)
    socket = await ready(NEW, on_connect=on_connect, middleware=strangers)
    assert (await answer(socket))["errors"][0]["message"] == "Not for you"
    await socket.drop()


async def test_options_that_on_connect_sets_count_from_then_on() -> None:
    async def on_connect(self: Any, payload: Any) -> None:
        self.introspection = payload["introspection"]

    socket = connect(LEGACY, on_connect=on_connect)
    await socket.acknowledged(payload={"introspection": True})
    assert "errors" not in await answer(socket, "{ __schema { __typename } }")
    socket.init(payload={"introspection": False})
    await wait_until(lambda: socket.words.count("connection_ack") == 2)
    socket.start("2", "{ __schema { __typename } }")
    await wait_until(lambda: socket.results("2"))
    assert "introspection is disabled" in str(socket.results("2")[0])
    await socket.drop()


async def test_an_option_that_makes_no_sense_lets_nobody_in(caplog: Any) -> None:
    async def on_connect(self: Any, _payload: Any) -> None:
        self.max_depth = "deep"

    socket = connect(NEW, on_connect=on_connect)
    socket.init()
    await socket.ended()
    assert socket.closes == [(4403, "Forbidden")]
    assert "max_depth is 'deep'" in caplog.text


async def test_an_option_that_is_set_too_late_is_told(caplog: Any) -> None:
    async def on_connect(self: Any, _payload: Any) -> None:
        self.send_ping_every = 7
        self.pong_timeout = 3.0
        self.mine = 1

    class Late(consumer_class(on_connect=on_connect)):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.pong_timeout = 3.0

    socket = AsgiSocket(Late.as_asgi(), NEW)
    await socket.acknowledged()
    [record] = [each for each in caplog.records if "open already" in each.message]
    assert "`send_ping_every` of " in record.message
    await socket.drop()

"""The consumer: what users set and override, and every way that a connection ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from channels.exceptions import DenyConnection, StopConsumer
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from django.utils.translation import gettext_lazy
from graphene.validation import DisableIntrospection
from graphql import GraphQLError, build_schema

import channels_graphql_ws
from asgi_socket import LEGACY, NEW, AsgiSocket, Event
from channels_graphql_ws import graphql_ws_consumer
from channels_graphql_ws.exceptions import ConnectionRejectionError
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.pubsub import channel_reader, hub, local
from channels_graphql_ws.websocket import consumer
from channels_graphql_ws.websocket.consumer import GraphqlWsConsumer
from news_schema import HELLO, NEWS, SLOW_NEWS, TELL, News, Stage, consumer_class, schema
from support import tick, wait_until

LOGGER = "channels_graphql_ws.graphql_ws_consumer"
BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])


@pytest.fixture(autouse=True)
def _nothing_stays_in_the_hub() -> Iterator[None]:
    yield
    assert hub._hubs == {}
    assert local.receivers(get_channel_layer()) == ()


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


def connect(
    *subprotocols: str | bytes, stage: Stage | None = None, **attributes: Any
) -> AsgiSocket:
    """Open a socket to a consumer class that has these attributes."""
    scope = None if stage is None else stage.scope
    return AsgiSocket(consumer_class(**attributes).as_asgi(), *subprotocols, scope=scope)


async def ready(*subprotocols: str, **options: Any) -> AsgiSocket:
    """Open a socket and have it acknowledged."""
    socket = connect(*subprotocols, **options)
    socket.init()
    await wait_until(lambda: "connection_ack" in socket.words)
    return socket


async def live(query: str = NEWS, *subprotocols: str, **options: Any) -> AsgiSocket:
    """Open a socket and subscribe with the id `s`."""
    socket = await ready(*subprotocols, **options)
    socket.start("s", query)
    await wait_until(lambda: sum(one.counts()["listeners"] for one in hub._hubs.values()))
    return socket


def test_a_class_without_a_schema_is_refused_with_its_name() -> None:
    class Forgetful(GraphqlWsConsumer):
        pass

    with pytest.raises(AssertionError, match=r"Forgetful\.schema is missing"):
        Forgetful()


def test_the_class_has_its_old_places() -> None:
    assert graphql_ws_consumer.GraphqlWsConsumer is GraphqlWsConsumer
    assert channels_graphql_ws.GraphqlWsConsumer is GraphqlWsConsumer


async def test_what_is_no_websocket_is_refused_with_a_hint() -> None:
    with pytest.raises(ValueError, match="ProtocolTypeRouter"):
        await AsgiSocket(consumer_class().as_asgi(), scope={"type": "http"}).ended()


async def test_a_core_schema_of_graphql_serves_as_well_as_one_of_graphene() -> None:
    socket = await ready(schema=schema.graphql_schema)
    socket.start("1", HELLO)
    await socket.heard("next:1", "complete:1")
    await socket.drop()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([NEW], NEW),
        ([LEGACY], LEGACY),
        ([LEGACY, "other", NEW], NEW),
        ([b"graphql-ws", b"graphql-transport-ws"], NEW),
        ([b"graphql-ws"], LEGACY),
    ],
)
async def test_the_newer_subprotocol_is_chosen_whatever_the_order(
    offered: list[str | bytes], chosen: str
) -> None:
    socket = connect(*offered)
    await wait_until(lambda: socket.sent)
    assert socket.sent == [{"type": "websocket.accept", "subprotocol": chosen}]
    await socket.drop()


async def test_a_class_may_prefer_one_subprotocol_and_switch_off_the_other() -> None:
    prefers = connect(NEW, LEGACY, subprotocols=[LEGACY, NEW])
    refuses = connect(LEGACY, subprotocols=[NEW])
    await wait_until(lambda: prefers.sent)
    assert prefers.sent == [{"type": "websocket.accept", "subprotocol": LEGACY}]
    await refuses.ended()
    assert [code for code, _ in refuses.closes] == [4406]
    await prefers.drop()


async def test_a_class_may_decide_on_the_subprotocols_for_each_connection() -> None:
    class Mine(GraphqlWsConsumer):
        @property
        def subprotocols(self) -> list[str]:  # type: ignore[override]
            return [LEGACY] if self.scope["path"] == "/graphql/" else [NEW]

    Mine.schema = schema
    socket = AsgiSocket(Mine.as_asgi(), NEW, LEGACY)
    await wait_until(lambda: socket.sent)
    assert socket.sent == [{"type": "websocket.accept", "subprotocol": LEGACY}]
    await socket.drop()


async def test_a_subprotocol_that_nobody_knows_is_a_mistake_in_the_class(
    log: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ValueError, match=r"\['graphql-tws'\] are not among"):
        connect(NEW, subprotocols=[NEW, "graphql-tws"])
    cls = consumer_class()
    application = cls.as_asgi()
    cls.subprotocols = [NEW, "graphql-tws"]
    socket = AsgiSocket(application)
    await socket.ended()
    [record] = log.records
    assert record.exc_info is not None
    assert "['graphql-tws'] are not among" in str(record.exc_info[1])


@pytest.mark.parametrize("offered", [[], ["soap"], [b"\xff"]])
async def test_without_an_acceptable_subprotocol_the_socket_is_closed_with_4406(
    offered: list[str | bytes], log: pytest.LogCaptureFixture
) -> None:
    codes: list[Any] = []
    socket = AsgiSocket(
        consumer_class(on_disconnect=lambda _self, code: codes.append(code)).as_asgi(),
        scope={"subprotocols": offered},
    )
    socket.init()
    socket.say("ping")
    await socket.ended()
    assert socket.closes == [(4406, "Subprotocol not acceptable")]
    assert socket.frames == []
    assert codes == []
    [record] = log.records
    assert record.exc_info is None
    assert "none of its subprotocols is ours" in record.getMessage()


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        (["graphql-ws", "secret-token"], "it offers 2, ['graphql-ws'] of which"),
        (["secret-token", b"secret-\xff"], "it offers 2, none of which"),
        ([], "it offers 0, none of which"),
    ],
)
async def test_what_a_client_offers_is_not_in_the_log_unless_it_is_known(
    offered: list[str | bytes], told: str, log: pytest.LogCaptureFixture
) -> None:
    consumer = consumer_class(subprotocols=["graphql-transport-ws"])
    socket = AsgiSocket(consumer.as_asgi(), scope={"subprotocols": offered})
    await socket.ended()
    [record] = log.records
    assert told in record.getMessage()
    assert record.getMessage().endswith("needs one of ['graphql-transport-ws']")
    assert "secret" not in record.getMessage()


@BOTH
async def test_the_acknowledgement_carries_the_dict_that_on_connect_returns(
    subprotocol: str,
) -> None:
    async def on_connect(_self: Any, payload: Any) -> Any:
        return {"you": payload["name"]}

    socket = connect(subprotocol, on_connect=on_connect)
    socket.init(payload={"name": "Ann"})
    await socket.heard("connection_ack")
    assert socket.frames == [{"type": "connection_ack", "payload": {"you": "Ann"}}]
    await socket.drop()


@pytest.mark.parametrize("answer", [None, True, "text", ["list"]])
async def test_anything_else_that_on_connect_returns_is_not_for_the_client(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await ready(on_connect=lambda _self, _payload: answer)
    assert socket.frames == [{"type": "connection_ack"}]
    assert ("To refuse a client, raise" in caplog.text) is (answer is not None)
    await socket.drop()


@BOTH
async def test_the_acknowledgement_may_hold_what_djangos_encoder_knows(subprotocol: str) -> None:
    answer = {"hello": gettext_lazy("Hello"), "price": Decimal("1.5")}
    socket = connect(subprotocol, on_connect=lambda _self, _payload: answer)
    socket.init()
    await socket.heard("connection_ack")
    assert socket.frames[0]["payload"] == {"hello": "Hello", "price": "1.5"}
    await socket.drop()


@BOTH
async def test_a_refusal_may_have_a_lazy_text(subprotocol: str) -> None:
    def on_connect(_self: Any, _payload: Any) -> None:
        raise ConnectionRejectionError({"message": gettext_lazy("Not today")})

    socket = connect(subprotocol, on_connect=on_connect)
    socket.init()
    await socket.ended()
    if subprotocol == NEW:
        assert socket.closes == [(4403, "Not today")]
    else:
        assert socket.frames == [{"type": "connection_error", "payload": {"message": "Not today"}}]


async def _refuse_later(_self: Any, _payload: Any) -> None:
    await tick()
    raise RuntimeError("Connection rejected!")


def _refuse(_self: Any, _payload: Any) -> None:
    raise RuntimeError("Connection rejected!")


async def test_on_connect_that_is_cancelled_from_inside_refuses() -> None:
    async def on_connect(_self: Any, _payload: Any) -> None:
        raise asyncio.CancelledError

    socket = connect(on_connect=on_connect)
    socket.init()
    await socket.ended()
    assert socket.closes == [(4403, "Forbidden")]


async def test_on_connect_that_only_the_instance_has_refuses_too() -> None:
    class Guarded(consumer_class()):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.on_connect = partial(_refuse, self)

    socket = AsgiSocket(Guarded.as_asgi(), NEW)
    socket.init()
    await socket.ended()
    assert socket.closes == [(4403, "Forbidden")]


@BOTH
@pytest.mark.parametrize("on_connect", [_refuse, _refuse_later])
@pytest.mark.parametrize("set_later", [False, True])
async def test_on_connect_refuses_by_raising_whatever_kind_of_function_it_is(
    subprotocol: str, on_connect: Any, set_later: bool
) -> None:
    cls = consumer_class()
    if set_later:
        cls.on_connect = on_connect  # type: ignore[method-assign]
    else:
        cls = consumer_class(on_connect=on_connect)
    socket = AsgiSocket(cls.as_asgi(), subprotocol)
    socket.init()
    await socket.ended()
    assert [code for code, _ in socket.closes] == [4403 if subprotocol == NEW else 4000]
    error = {
        "message": "RuntimeError: Connection rejected!",
        "extensions": {"code": "RuntimeError"},
    }
    told = [] if subprotocol == NEW else [{"type": "connection_error", "payload": error}]
    assert socket.frames == told


@pytest.mark.parametrize(("payload", "params"), [({"a": 1}, "{'a': 1}"), ("", "{}"), (None, "{}")])
async def test_the_context_knows_the_connection(payload: Any, params: str) -> None:
    socket = connect()
    await socket.acknowledged(payload=payload)
    socket.start("1", "{ connection }")
    await socket.heard("complete:1")
    [result, _] = socket.results("1")
    name, _, seen = result["data"]["connection"].partition(" ")
    assert name.startswith("specific")
    assert seen == params
    await socket.drop()


async def test_an_acknowledgement_without_a_json_form_closes_with_4500(
    log: pytest.LogCaptureFixture,
) -> None:
    socket = connect(on_connect=lambda _self, _payload: {"what": object()})
    socket.init()
    await socket.ended()
    assert socket.closes == [(4500, "Internal server error")]
    assert log.messages[:2] == [
        "`on_connect` returned what has no JSON form: what: a value of the type 'object'",
        "A connection failed",
    ]


def _graphql_error(_self: Any, _op_id: Any, **_: Any) -> None:
    raise GraphQLError("Not now", extensions={"code": "LATER"})


async def _other_error(_self: Any, _op_id: Any, **_: Any) -> None:
    await tick()
    raise PermissionError("not you")


@pytest.mark.parametrize(
    ("on_operation", "error"),
    [
        (_graphql_error, {"message": "Not now", "extensions": {"code": "LATER"}}),
        (
            _other_error,
            {
                "message": "PermissionError: not you",
                "extensions": {"code": "PermissionError"},
            },
        ),
    ],
)
@BOTH
async def test_on_operation_refuses_an_operation_by_raising(
    subprotocol: str, on_operation: Any, error: Event
) -> None:
    socket = await ready(subprotocol, on_operation=on_operation)
    socket.start("1", HELLO)
    await socket.heard("error:1")
    told = [error] if subprotocol == NEW else {"errors": [error]}
    assert socket.results("1") == [told]
    await socket.drop()


async def test_on_operation_gets_the_id_and_all_of_the_payload() -> None:
    seen: list[Any] = []

    async def on_operation(_self: Any, op_id: Any, payload: Any) -> None:
        seen.append((op_id, payload))

    cls = consumer_class()
    cls.on_operation = on_operation  # type: ignore[method-assign]
    socket = AsgiSocket(cls.as_asgi())
    await socket.acknowledged()
    socket.start("1", HELLO, custom="yes")
    await socket.heard("next:1", "complete:1")
    assert seen == [("1", {"query": HELLO, "custom": "yes"})]
    await socket.drop()


async def test_on_operation_may_be_replaced_on_the_base_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(GraphqlWsConsumer, "on_operation", _graphql_error)
    socket = await ready()
    socket.start("1", HELLO)
    await socket.heard("error:1")
    await socket.drop()


async def test_errors_may_be_told_in_another_way() -> None:
    def tell(error: Exception) -> dict[str, Any]:
        return {"message": str(error), "extensions": {"mine": True}}

    socket = await ready(_format_error=staticmethod(tell))
    socket.start("1", "{ nothing }")
    await socket.heard("error:1")
    [[error]] = socket.results("1")
    assert error["extensions"] == {"mine": True}
    await socket.drop()


@pytest.mark.parametrize("query", ["{ nothing }", "{ broken }"])
async def test_a_failing_format_of_errors_does_not_reach_the_server(query: str) -> None:
    def tell(error: Exception) -> dict[str, Any]:
        raise LookupError("no words")

    socket = await ready(_format_error=staticmethod(tell))
    socket.start("1", query)
    await wait_until(lambda: socket.closes or socket.results("1"))
    await socket.drop()


async def test_attributes_may_be_set_until_the_first_connection() -> None:
    cls = consumer_class()
    for name, value in {
        "confirm_subscriptions": True,
        "subscription_confirmation_message": {"data": "mine", "errors": [RuntimeError("x")]},
        "answer_complete": False,
    }.items():
        setattr(cls, name, value)
    socket = AsgiSocket(cls.as_asgi())
    await socket.acknowledged()
    socket.start("s", NEWS)
    socket.stop("s")
    socket.say("ping")
    await socket.heard("connection_ack", "next:s", "pong")
    error = {"message": "RuntimeError: x", "extensions": {"code": "RuntimeError"}}
    assert socket.results("s") == [{"data": "mine", "errors": [error]}]
    await socket.drop()


async def test_all_connections_of_a_class_share_one_engine_until_its_settings_change() -> None:
    def shout(resolve: Any, root: Any, info: Any, **arguments: Any) -> Any:
        return "changed"

    cls = consumer_class()
    engines = [engine_of(cls()) for _ in range(2)]
    cls.middleware = [shout]
    engines.append(engine_of(cls()))
    assert engines[0] is engines[1] is not engines[2]
    socket = AsgiSocket(cls.as_asgi())
    await socket.acknowledged()
    socket.start("1", HELLO)
    await socket.heard("complete:1")
    assert socket.results("1")[0] == {"data": {"hello": "changed"}}
    await socket.drop()


def test_an_engine_is_kept_where_an_attribute_gets_another_value_that_means_the_same() -> None:
    cls = consumer_class(validation_rules=[])
    engine = engine_of(cls())
    cls.validation_rules = ()
    cls.schema = cls.schema.graphql_schema
    assert engine_of(cls()) is engine


def test_a_rule_that_is_added_to_the_rules_of_a_class_is_noticed() -> None:
    cls = consumer_class(validation_rules=[])
    assert engine_of(cls()).settings.rules.validation_rules == ()
    cls.validation_rules.append(DisableIntrospection)
    assert engine_of(cls()).settings.rules.validation_rules == (DisableIntrospection,)


def test_a_schema_that_carries_another_one_later_is_noticed() -> None:
    class Carrier:
        graphql_schema = schema.graphql_schema

    cls = consumer_class(schema=Carrier())
    assert engine_of(cls()).settings.schema is schema.graphql_schema
    later = build_schema("type Query { later: Int }")
    Carrier.graphql_schema = later
    assert engine_of(cls()).settings.schema is later


def test_a_subclass_has_an_engine_of_its_own() -> None:
    cls = consumer_class()
    heir = type("Heir", (cls,), {"confirm_subscriptions": True})
    assert not engine_of(cls()).settings.confirm_subscriptions
    assert engine_of(heir()).settings.confirm_subscriptions


async def test_what_is_set_on_an_instance_before_it_connects_is_for_that_connection_only() -> None:
    class Hasty(consumer_class()):
        async def connect(self) -> None:
            if self.scope["path"] == "/hasty":
                self.strict_ordering = True
            await super().connect()
            settings.append(self._connection._settings)

    settings: list[Any] = []
    for path in ("/", "/hasty", "/"):
        socket = AsgiSocket(Hasty.as_asgi(), scope={"path": path})
        await socket.acknowledged()
        await socket.drop()
    assert [each.strict_ordering for each in settings] == [False, True, False]
    assert settings[0] is settings[2]


async def test_settings_that_can_not_be_used_close_with_4500(
    log: pytest.LogCaptureFixture,
) -> None:
    class Late(consumer_class()):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.middleware = [42]

    socket = AsgiSocket(Late.as_asgi())
    await socket.ended()
    assert [code for code, _ in socket.closes] == [4500]
    assert log.messages == ["A connection failed"]


@BOTH
async def test_pings_are_sent_in_their_interval(subprotocol: str) -> None:
    socket = await ready(subprotocol, send_ping_every=0.005)
    word = "ping" if subprotocol == NEW else "ka"
    await socket.heard(word, word, word)
    await socket.drop()


async def test_a_peer_that_does_not_answer_is_closed_and_everything_of_it_ends() -> None:
    stage = Stage()
    socket = await live(stage=stage, send_ping_every=0.005, pong_timeout=0.01)
    await socket.ended()
    assert socket.closes == [(4408, "Pong timeout")]
    assert stage.passed.count("unsubscribed") == 1


async def test_who_does_not_introduce_himself_in_time_is_closed() -> None:
    socket = connect(connection_init_wait_timeout=0.01)
    await socket.ended()
    assert socket.closes == [(4408, "Connection initialisation timeout")]
    assert socket.frames == []


@pytest.mark.parametrize("overrides", [False, True])
async def test_a_message_that_is_too_long_is_not_even_parsed(overrides: bool) -> None:
    attributes: dict[str, Any] = {"receive": _receive_with_super} if overrides else {}
    socket = await ready(max_message_size=100, **attributes)
    socket.say_text("[" * 101)
    await socket.ended()
    assert socket.closes == [(4400, "Message is larger than 100 bytes")]


async def test_a_message_may_have_any_length_without_a_limit() -> None:
    socket = await ready(max_message_size=None, receive=_receive_with_super)
    socket.start("1", HELLO + " " * 2_000_000)
    await socket.heard("next:1", "complete:1")
    await socket.drop()


@BOTH
@pytest.mark.parametrize("mutation", ["tell", "tellAndWait"])
async def test_a_strict_mutation_is_answered_before_the_notifications_it_causes(
    subprotocol: str, mutation: str
) -> None:
    stage = Stage("mutation")
    socket = await live(NEWS, subprotocol, stage=stage, strict_ordering=True)
    socket.start("m", f'mutation {{ {mutation}(text: "hi") }}')
    await wait_until(lambda: "m" in str(socket.words) or "mutation" in stage.passed)
    stage.let_go("mutation")
    word = "next" if subprotocol == NEW else "data"
    await socket.heard(f"{word}:m", "complete:m", f"{word}:s")
    await socket.drop()


@pytest.mark.parametrize("mutation", ["end", "endAndWait"])
async def test_a_strict_mutation_is_answered_before_the_completes_it_causes(
    mutation: str,
) -> None:
    stage = Stage("mutation")
    socket = await live(stage=stage, strict_ordering=True)
    socket.start("m", f"mutation {{ {mutation} }}")
    stage.let_go("mutation")
    await socket.heard("next:m", "complete:m", "complete:s")
    assert stage.passed.count("unsubscribed") == 1
    await socket.drop()


async def test_a_disconnect_is_noticed_while_a_strict_operation_hangs() -> None:
    stage = Stage("query")
    socket = await ready(stage=stage, strict_ordering=True)
    socket.start("1", "{ wait }")
    socket.start("2", HELLO)
    await wait_until(lambda: "query" in stage.passed)
    await socket.drop()
    assert socket.words == ["connection_ack"]


async def test_who_floods_a_strict_connection_is_read_when_there_is_room_again() -> None:
    stage = Stage("query")
    socket = await ready(stage=stage, strict_ordering=True)
    socket.start("first", "{ wait }")
    for number in range(200):
        socket.start(str(number), HELLO)
    await wait_until(lambda: "query" in stage.passed)
    stage.let_go("query")
    await socket.heard("complete:199")
    assert len(socket.words) == 1 + 2 * 201
    await socket.drop()


class GatedLayer(InMemoryChannelLayer):
    """A layer that is as slow in letting somebody join as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.joining = 0
        self.may_join = asyncio.Event()

    async def group_add(self, group: str, channel: str) -> None:
        self.joining += 1
        await self.may_join.wait()
        await super().group_add(group, channel)


@pytest.fixture
async def gated_layer() -> Any:
    layer = GatedLayer()
    before = channel_layers.set("default", layer)
    yield layer
    if before is None:
        del channel_layers.backends["default"]
    else:
        channel_layers.set("default", before)


@BOTH
async def test_a_subscription_is_confirmed_when_all_of_its_groups_are_joined(
    subprotocol: str, gated_layer: GatedLayer
) -> None:
    socket = await ready(subprotocol, confirm_subscriptions=True)
    socket.start("s", 'subscription { news(topic: "t") { text } }')
    await wait_until(lambda: gated_layer.joining == 2)
    await tick(20)
    assert socket.words == ["connection_ack"]
    gated_layer.may_join.set()
    await wait_until(lambda: socket.results("s"))
    await News.broadcast_async(group="t", payload="hi")
    await wait_until(lambda: len(socket.results("s")) == 2)
    assert socket.results("s") == [{"data": None}, {"data": {"news": {"text": "hi"}}}]
    await socket.drop()


@BOTH
async def test_the_confirmation_comes_before_the_complete_of_a_hasty_client(
    subprotocol: str, gated_layer: GatedLayer
) -> None:
    stage = Stage()
    socket = await ready(subprotocol, stage=stage, confirm_subscriptions=True)
    socket.start("s", NEWS)
    socket.stop("s")
    await wait_until(lambda: gated_layer.joining)
    gated_layer.may_join.set()
    word = "next" if subprotocol == NEW else "data"
    await socket.heard(f"{word}:s", "complete:s")
    assert stage.passed == ["subscribe", "unsubscribed"]
    await socket.drop()


async def test_a_subscription_that_fails_is_not_confirmed() -> None:
    socket = await ready(confirm_subscriptions=True)
    socket.start("s", 'subscription { news(topic: "refused") { text } }')
    await socket.heard("connection_ack", "error:s")
    await socket.drop()


@BOTH
async def test_a_complete_while_subscribe_waits_is_honoured(subprotocol: str) -> None:
    stage = Stage("subscribe")
    socket = await ready(subprotocol, stage=stage)
    socket.start("s", SLOW_NEWS)
    await wait_until(lambda: stage.passed == ["subscribe"])
    socket.stop("s")
    await socket.heard("complete:s")
    stage.let_go("subscribe")
    socket.start("q", HELLO)
    await socket.heard("complete:q")
    assert stage.passed == ["subscribe"]
    await socket.drop()


async def test_several_subscriptions_of_a_connection_hear_each_its_own() -> None:
    socket = await live()
    socket.start("t", 'subscription { news(topic: "t") { text } }')
    socket.start("m", 'mutation { tell(text: "hi", topic: "t") }')
    await socket.heard("next:m", "complete:m", "next:t")
    await socket.drop()


@BOTH
async def test_without_a_channel_layer_queries_work_and_a_subscription_names_the_setting(
    subprotocol: str,
) -> None:
    socket = await ready(subprotocol, channel_layer_alias="missing", chat_message=_chat_message)
    socket.start("1", "{ connection }")
    socket.start("s", NEWS)
    word = "next" if subprotocol == NEW else "data"
    last = ["error:s"] if subprotocol == NEW else ["data:s", "complete:s"]
    await socket.heard(f"{word}:1", "complete:1", *last)
    assert socket.results("1")[0] == {"data": {"connection": "None {}"}}
    assert "CHANNEL_LAYERS" in str(socket.results("s"))
    await socket.drop()


async def _client_complete(socket: AsgiSocket) -> None:
    socket.stop("s")
    await socket.heard("complete:s")


async def _server_unsubscribe(socket: AsgiSocket) -> None:
    await News.unsubscribe_async()
    await socket.heard("complete:s")


async def _client_close(socket: AsgiSocket) -> None:
    await socket.drop(1000)


async def _dropped_socket(socket: AsgiSocket) -> None:
    await socket.drop(None)


async def _bad_message(socket: AsgiSocket) -> None:
    socket.say_text("not JSON")
    await socket.ended()


async def _cancelled_task(socket: AsgiSocket) -> None:
    await tick(3)
    socket.task.cancel()
    await socket.ended()
    assert socket.closes == [(1012, "Service restart")]


async def _unknown_event(socket: AsgiSocket) -> None:
    socket._incoming.put_nowait({"type": "websocket.odd"})
    await socket.ended()


WAYS_OUT = [
    _client_complete,
    _server_unsubscribe,
    _client_close,
    _dropped_socket,
    _bad_message,
    _cancelled_task,
    _unknown_event,
]


@BOTH
@pytest.mark.parametrize("way_out", WAYS_OUT)
async def test_unsubscribed_is_called_once_whatever_ends_a_subscription(
    way_out: Any, subprotocol: str
) -> None:
    stage = Stage()
    socket = await live(NEWS, subprotocol, stage=stage)
    await way_out(socket)
    assert stage.passed == ["subscribe", "unsubscribed"]
    if not socket.task.done():
        await socket.drop()
    assert stage.passed == ["subscribe", "unsubscribed"]


async def test_unsubscribed_is_called_once_when_joining_fails_after_the_hook(
    gated_layer: GatedLayer,
) -> None:
    async def refuse(*_: Any) -> None:
        raise OSError("layer is down")

    gated_layer.group_add = refuse  # type: ignore[method-assign]
    stage = Stage()
    socket = await ready(stage=stage)
    socket.start("s", NEWS)
    await socket.heard("error:s")
    assert "SERVICE_UNAVAILABLE" in str(socket.results("s"))
    await socket.drop()
    assert stage.passed == ["subscribe", "unsubscribed"]


async def test_at_a_disconnect_a_mutation_finishes_and_a_query_is_cancelled() -> None:
    stage = Stage("mutation", "query")
    socket = await ready(stage=stage)
    socket.start("m", 'mutation { tellAndWait(text: "hi") }')
    socket.start("q", "{ wait }")
    await wait_until(lambda: {"mutation", "query"} <= set(stage.passed))
    socket.hang_up()
    await tick(10)
    stage.let_go("query")
    stage.let_go("mutation")
    await socket.ended()
    assert "mutation done" in stage.passed
    assert "query went on" not in stage.passed


@pytest.mark.parametrize("what", ["mutation", "unsubscribed"])
async def test_what_hangs_after_the_disconnect_is_cancelled_when_time_is_up(what: str) -> None:
    stage = Stage(what)
    socket = await live(SLOW_NEWS, stage=stage, disconnect_timeout=0.01)
    socket.start("m", 'mutation { tellAndWait(text: "hi") }')
    await wait_until(lambda: "mutation" in stage.passed)
    await socket.drop()
    assert f"{what} went on" not in stage.passed


async def test_a_server_that_cancels_twice_is_obeyed_and_nothing_is_left() -> None:
    stage = Stage("unsubscribed")
    codes: list[Any] = []
    socket = await live(
        SLOW_NEWS, stage=stage, on_disconnect=lambda _self, code: codes.append(code)
    )
    for _ in range(2):
        socket.task.cancel()
        await tick(5)
    with pytest.raises(asyncio.CancelledError):
        await socket.ended()
    assert stage.passed == ["subscribe", "unsubscribed"]
    assert codes == [1012]


def like_granian(consumer: type[GraphqlWsConsumer]) -> AsgiSocket:
    """Open a socket of a server that sends no close while it is asked for an event."""
    asking = asyncio.Lock()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def receive_alone() -> Event:
            async with asking:
                event: Event = await receive()
                return event

        async def send_in_turn(event: Event) -> None:
            async with asking if event["type"] == "websocket.close" else AsyncExitStack():
                await send(event)

        await consumer.as_asgi()(scope, receive_alone, send_in_turn)

    return AsgiSocket(application)


@pytest.mark.parametrize(
    ("attributes", "says_hello", "code"),
    [
        ({"connection_init_wait_timeout": 0.001}, False, 4408),
        ({"send_ping_every": 0.001, "pong_timeout": 0.001}, True, 4408),
        ({"on_connect": _refuse_later}, True, 4403),
        ({"on_connect": _refuse}, True, 4403),
    ],
)
async def test_a_close_that_nobody_has_asked_for_goes_out_at_once(
    attributes: dict[str, Any], says_hello: bool, code: int
) -> None:
    socket = like_granian(consumer_class(**attributes))
    if says_hello:
        socket.init()
    await socket.ended()
    assert [code for code, _ in socket.closes] == [code]


async def test_a_bad_frame_is_answered_with_a_close_at_once() -> None:
    socket = like_granian(consumer_class())
    socket.say_text("[")
    await socket.ended()
    assert [code for code, _ in socket.closes] == [4400]


async def test_a_hook_of_the_user_may_close() -> None:
    async def on_operation(self: Any, _op_id: Any, **_: Any) -> None:
        await self.close(4999, "enough")

    socket = like_granian(consumer_class(on_operation=on_operation))
    await socket.acknowledged()
    socket.start("1", HELLO)
    await socket.ended()
    assert socket.closes == [(4999, "enough")]


@pytest.mark.parametrize(
    ("way_out", "code"),
    [
        (_client_close, 1000),
        (_dropped_socket, None),
        (_bad_message, 4400),
        (_cancelled_task, 1012),
        (_unknown_event, None),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_on_disconnect_learns_of_the_close_code_once(
    way_out: Any, code: int | None, is_async: bool
) -> None:
    codes: list[Any] = []

    async def on_disconnect(_self: Any, code: int | None) -> None:
        await tick()
        codes.append(code)

    hook = on_disconnect if is_async else lambda _self, code: codes.append(code)
    socket = await live(on_disconnect=hook)
    await way_out(socket)
    assert codes == [code]


async def _fail(_self: Any, _code: Any) -> None:
    raise LookupError("hook")


async def _hang(_self: Any, _code: Any) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("on_disconnect", "what"), [(_fail, "failed"), (_hang, "took too long")])
async def test_an_on_disconnect_that_fails_or_hangs_is_logged(
    on_disconnect: Any, what: str, log: pytest.LogCaptureFixture
) -> None:
    socket = await live(on_disconnect=on_disconnect, disconnect_timeout=0.01)
    await socket.drop()
    name = consumer_class().__qualname__
    assert log.messages == [f"`on_disconnect` of {name} {what}"]


async def _receive_with_super(self: Any, *arguments: Any, **more: Any) -> None:
    await GraphqlWsConsumer.receive(self, *arguments, **more)


class Overriding(GraphqlWsConsumer):
    """Overrides what Channels offers, and calls `super()`."""

    schema = schema
    log: list[Any]

    async def connect(self) -> None:
        self.log.append("connect")
        await super().connect()

    async def disconnect(self, code: int | None) -> None:
        self.log.append(("disconnect", code))
        await super().disconnect(code)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.log.append(content["type"])
        if content["type"] == "hello":
            content = {"type": "subscribe", "id": "h", "payload": {"query": HELLO}}
        await super().receive_json(content, **kwargs)


async def test_channels_methods_may_be_overridden_and_call_super() -> None:
    Overriding.log = []
    socket = AsgiSocket(Overriding.as_asgi())
    await socket.acknowledged()
    socket.say("hello")
    await socket.heard("connection_ack", "next:h", "complete:h")
    socket.say("ping")
    await socket.heard("pong")
    await socket.drop(1001)
    assert Overriding.log == [
        "connect",
        "connection_init",
        "hello",
        "ping",
        ("disconnect", 1001),
    ]


@pytest.mark.parametrize("frame", ["not JSON", b"binary"])
async def test_an_overridden_receive_sees_frames_and_bad_ones_still_close_with_4400(
    frame: str | bytes,
) -> None:
    seen: list[Any] = []

    async def receive(self: Any, text_data: Any = None, bytes_data: Any = None) -> None:
        seen.append(text_data or bytes_data)
        await GraphqlWsConsumer.receive(self, text_data=text_data, bytes_data=bytes_data)

    socket = await ready(receive=receive)
    if isinstance(frame, str):
        socket.say_text(frame)
    else:
        socket.say_bytes(frame)
    await socket.ended()
    assert seen[1:] == [frame]
    assert [code for code, _ in socket.closes] == [4400]


async def test_an_overridden_receive_waits_as_the_connection_wants() -> None:
    stage = Stage("query")
    socket = await ready(stage=stage, strict_ordering=True, receive=_receive_with_super)
    socket.start("first", "{ wait }")
    for number in range(100):
        socket.start(str(number), HELLO)
    await wait_until(lambda: "query" in stage.passed)
    stage.let_go("query")
    await socket.heard("complete:99")
    await socket.drop()


async def test_an_overridden_receive_is_not_flooded_with_what_is_no_json() -> None:
    seen: list[Any] = []

    async def receive(self: Any, text_data: Any = None, bytes_data: Any = None) -> None:
        seen.append(text_data)
        await GraphqlWsConsumer.receive(self, text_data=text_data, bytes_data=bytes_data)

    stage = Stage("query")
    socket = await ready(stage=stage, strict_ordering=True, receive=receive)
    socket.start("first", "{ wait }")
    for _ in range(200):
        socket.say_text("no JSON")
    await wait_until(lambda: "query" in stage.passed and "no JSON" in seen)
    await tick()
    assert seen.count("no JSON") < 200
    stage.let_go("query")
    await socket.ended()
    assert [code for code, _ in socket.closes] == [4400]


async def test_frames_of_a_socket_that_was_accepted_by_hand_go_nowhere() -> None:
    async def connect(self: Any) -> None:
        await self.accept(NEW)

    for overrides in ({}, {"receive": _receive_with_super}):
        cls = consumer_class(connect=connect, **overrides)
        socket = AsgiSocket(cls.as_asgi())
        socket.init()
        socket.say_text("not JSON")
        await socket.drop()
        assert [event["type"] for event in socket.sent] == ["websocket.accept"]


async def test_connect_may_deny() -> None:
    async def connect(self: Any) -> None:
        raise DenyConnection

    socket = AsgiSocket(consumer_class(connect=connect, close=_close).as_asgi())
    await socket.ended()
    assert socket.closes == [(4999, "")]
    assert [event["type"] for event in socket.sent] == ["websocket.close"]


async def _close(self: Any, code: Any = None, reason: Any = None) -> None:
    await self.base_send({"type": "websocket.close", "code": code or 4999})


async def test_a_disconnect_without_super_ends_everything_all_the_same() -> None:
    codes: list[Any] = []

    async def disconnect(_self: Any, _code: Any) -> None:
        pass

    socket = await live(
        disconnect=disconnect, on_disconnect=lambda _self, code: codes.append(code)
    )
    await socket.drop(1001)
    assert codes == [1001]


async def _raise(*_: Any, **__: Any) -> None:
    raise LookupError("override")


@pytest.mark.parametrize("method", ["connect", "receive", "receive_json", "disconnect"])
async def test_an_override_that_fails_closes_with_4500_and_does_not_reach_the_server(
    method: str, log: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    if method in ("connect", "receive", "receive_json"):
        socket = connect(stage=stage, **{method: _raise})
        socket.init()
    else:
        socket = await live(stage=stage, **{method: _raise})
        socket.hang_up()
    await socket.ended()
    assert [code for code, _ in socket.closes] == [4500]
    assert log.messages[0] == "A connection failed"
    assert stage.passed in ([], ["subscribe", "unsubscribed"])


async def test_a_channel_layer_that_fails_does_not_reach_the_server(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise OSError("layer is down")

    monkeypatch.setattr(consumer, "get_channel_layer", fail)
    socket = connect(listen_to_channel_layer=True)
    await socket.ended()
    assert [code for code, _ in socket.closes] == [4500]
    assert log.messages == ["A connection failed"]


async def test_a_consumer_that_does_not_listen_takes_no_channel_from_the_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The pub/sub layer of channels_redis keeps each channel until somebody has read from it.
    monkeypatch.delattr(InMemoryChannelLayer, "new_channel")
    first, second = await ready(), await ready()
    names = {await _channel_name(first), await _channel_name(second)}
    assert len(names) == 2
    assert all(InMemoryChannelLayer.channel_name_regex.match(name) for name in names)
    await first.drop()
    await second.drop()


def test_a_process_with_a_consumer_is_one_that_serves_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local._process, "serves", False)
    consumer_class().as_asgi()
    assert local._process.serves


async def _chat_message(self: Any, event: Event) -> None:
    if event["text"] == "broken":
        raise LookupError("handler")
    await self.send_json({"type": "chat", "id": event["text"]})


async def _channel_name(socket: AsgiSocket) -> str:
    socket.start("name", "{ connection }")
    await socket.heard("complete:name")
    name: str = socket.results("name")[0]["data"]["connection"].partition(" ")[0]
    return name


def _layer() -> Any:
    return get_channel_layer()


async def test_a_handler_of_the_class_gets_the_messages_to_its_channel(
    log: pytest.LogCaptureFixture,
) -> None:
    socket = await ready(chat_message=_chat_message)
    name = await _channel_name(socket)
    for text in ("1", "broken", "2"):
        await _layer().send(name, {"type": "chat.message", "text": text})
    await socket.heard("chat:1", "chat:2")
    assert log.messages == ["A channel-layer message to a consumer was lost"]
    await socket.drop()


async def test_the_groups_attribute_joins_the_channel_of_the_consumer() -> None:
    socket = await ready(groups=["chat-room"], chat_message=_chat_message)
    await _layer().group_send("chat-room", {"type": "chat.message", "text": "1"})
    await socket.heard("chat:1")
    await socket.drop()
    assert "chat-room" not in _layer().groups


async def test_a_handler_may_stop_the_listening_without_a_word_in_the_log(
    log: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    async def chat_message(_self: Any, event: Event) -> None:
        heard.append(event["text"])
        raise StopConsumer

    socket = await ready(chat_message=chat_message)
    name = await _channel_name(socket)
    await _layer().send(name, {"type": "chat.message", "text": "1"})
    await wait_until(lambda: heard)
    await tick(3)
    await _layer().send(name, {"type": "chat.message", "text": "2"})
    await _channel_name(socket)
    await socket.drop()
    assert heard == ["1"]
    assert log.messages == []


async def test_a_consumer_survives_a_layer_that_can_not_be_read(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel_reader, "LONGEST_PAUSE", 0)
    receive = InMemoryChannelLayer.receive
    failures = iter([OSError("layer is down")])

    async def receive_or_fail(self: Any, channel: str) -> Any:
        for failure in failures:
            raise failure
        return await receive(self, channel)

    monkeypatch.setattr(InMemoryChannelLayer, "receive", receive_or_fail)
    socket = await ready(chat_message=_chat_message)
    name = await _channel_name(socket)
    await _layer().send(name, {"type": "chat.message", "text": "1"})
    await socket.heard("chat:1")
    assert log.messages == [
        "Cannot read from the channel layer, events may be lost: OSError('layer is down')"
    ]
    await socket.drop()


@pytest.mark.parametrize(
    ("attributes", "listens"),
    [
        ({}, False),
        ({"listen_to_channel_layer": True}, True),
        ({"chat_message": _chat_message}, True),
        ({"chat_message": _chat_message, "listen_to_channel_layer": False}, False),
        ({"on_connect": _chat_message, "_private": _chat_message}, False),
    ],
)
async def test_only_who_has_something_to_hear_waits_on_a_channel_of_his_own(
    attributes: Any, listens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, waiting = InMemoryChannelLayer.receive, list[str]()

    async def watched(self: Any, channel: str) -> Any:
        waiting.append(channel)
        return await receive(self, channel)

    monkeypatch.setattr(InMemoryChannelLayer, "receive", watched)
    socket = connect(**attributes)
    await wait_until(lambda: socket.sent)
    await tick(3)
    assert bool(waiting) is listens
    await socket.drop()


async def _scenario(socket: AsgiSocket) -> None:
    """Do a bit of everything; what is not answered any more is not waited for."""
    socket.init()
    await tick(5)
    socket.start("s", NEWS)
    socket.start("a", SLOW_NEWS)
    socket.start("q", HELLO)
    socket.start("m", TELL)
    socket.stop("a")
    socket.start("bad", "{")
    await tick(30)


SENDS = 9  # As many as the scenario makes.


@pytest.mark.parametrize("number", range(SENDS))
@pytest.mark.parametrize("fault", ["raises", "hangs", "disconnects"])
async def test_a_socket_that_breaks_at_any_send_leaves_nothing_behind(
    number: int, fault: str
) -> None:
    stage = Stage()
    codes: list[Any] = []
    sends = 0

    async def on_send(event: Event) -> None:
        nonlocal sends
        sends += 1
        if sends - 1 != number:
            return
        if fault == "hangs":
            await asyncio.Event().wait()
        if fault == "disconnects":
            socket.hang_up()
            await tick()
        raise OSError("broken pipe")

    cls = consumer_class(on_disconnect=lambda _self, code: codes.append(code))
    socket = AsgiSocket(cls.as_asgi(), scope=stage.scope, on_send=on_send)
    await _scenario(socket)
    assert sends > number
    if number == 0 and fault == "hangs":
        socket.task.cancel()
        await asyncio.gather(socket.task, return_exceptions=True)
    else:
        await socket.drop()
    assert len(codes) == (1 if number else 0)
    assert stage.passed.count("subscribe") == stage.passed.count("unsubscribed")


@pytest.mark.parametrize("number", range(8))
async def test_a_client_that_goes_at_any_message_leaves_nothing_behind(number: int) -> None:
    stage = Stage()
    codes: list[Any] = []
    cls = consumer_class(on_disconnect=lambda _self, code: codes.append(code))
    messages = 0

    async def receive() -> Event:
        nonlocal messages
        messages += 1
        if messages > number:
            return {"type": "websocket.disconnect"}
        event: Event = await socket._incoming.get()
        return event

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        await cls.as_asgi()(scope, receive, send)

    socket = AsgiSocket(application, scope=stage.scope)
    await _scenario(socket)
    await socket.drop()
    assert len(codes) == (1 if number else 0)
    assert stage.passed.count("subscribe") == stage.passed.count("unsubscribed")


async def test_a_slow_client_is_bounded_and_does_not_delay_others() -> None:
    """The queue keeps the newest; what waits for the socket is no more than a few frames."""
    takes_frames = asyncio.Event()
    takes_frames.set()

    async def on_send(event: Event) -> None:
        await takes_frames.wait()

    cls = consumer_class(subscription_notification_queue_limit=5)
    slow = AsgiSocket(cls.as_asgi(), on_send=on_send)
    fast = AsgiSocket(consumer_class().as_asgi())
    for socket in (slow, fast):
        await socket.acknowledged()
        socket.start("s", NEWS)
    await wait_until(
        lambda: hub._hubs and next(iter(hub._hubs.values())).counts()["listeners"] == 2
    )
    takes_frames.clear()
    for number in range(300):
        await News.broadcast_async(payload=str(number))
        await wait_until(lambda number=number: len(fast.results("s")) == number + 1)
    assert len(slow.results("s")) == 0
    takes_frames.set()
    await wait_until(lambda: str(slow.results("s")[-1:]).count("299"))
    assert len(slow.results("s")) < 100
    for socket in (slow, fast):
        await socket.drop()


async def test_a_client_whose_answer_the_server_refuses_is_not_left_waiting(
    log: pytest.LogCaptureFixture,
) -> None:
    """As Daphne does with frames that are larger than those it takes."""

    async def on_send(event: Event) -> None:
        if "world" in event.get("text", ""):
            raise ValueError("too large")

    socket = AsgiSocket(consumer_class().as_asgi(), on_send=on_send)
    await socket.acknowledged()
    socket.start("1", HELLO)
    await socket.ended()
    assert socket.closes == [(4500, "A message could not be sent")]
    assert "ValueError('too large')" in log.text


async def test_a_crash_on_a_socket_that_can_not_even_be_closed_stays_in_the_log(
    log: pytest.LogCaptureFixture,
) -> None:
    async def on_send(event: Event) -> None:
        raise OSError("broken pipe")

    socket = AsgiSocket(consumer_class().as_asgi(), on_send=on_send)
    await socket.ended()
    assert log.messages == ["A connection failed"]


async def test_attributes_may_be_given_to_as_asgi() -> None:
    socket = AsgiSocket(GraphqlWsConsumer.as_asgi(schema=schema, max_message_size=50))
    await socket.acknowledged()
    socket.say_text("x" * 51)
    await socket.ended()
    assert socket.closes == [(4400, "Message is larger than 50 bytes")]


def test_an_attribute_that_there_is_not_is_named() -> None:
    with pytest.raises(TypeError, match="did you mean 'send_ping_every'"):
        consumer_class().as_asgi(send_ping_evry=1)


async def test_a_class_with_an_init_of_its_own_is_given_its_arguments() -> None:
    given: list[int] = []

    class Own(GraphqlWsConsumer):
        def __init__(self, number: int) -> None:
            super().__init__()
            given.append(number)

    Own.schema = schema
    socket = AsgiSocket(Own.as_asgi(number=7))
    await socket.acknowledged()
    await socket.drop()
    assert given == [7]


async def test_the_reason_of_the_close_is_there_where_the_server_tells_it() -> None:
    reasons: list[str] = []
    cls = consumer_class(on_disconnect=lambda self, code: reasons.append(self.close_reason))
    for more in ({"reason": "bye"}, {"reason": None}, {}):
        socket = AsgiSocket(cls.as_asgi())
        await socket.acknowledged()
        socket._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000, **more})
        await socket.ended()
    assert reasons == ["bye", "", ""]


async def test_a_close_that_the_server_refuses_is_none() -> None:
    async def on_send(event: Event) -> None:
        if event["type"] == "websocket.close":
            raise ValueError("no closes today")

    socket = AsgiSocket(consumer_class().as_asgi(), on_send=on_send)
    await socket.acknowledged()
    socket.say_text("not JSON")
    await tick(5)
    await socket.drop()
    assert socket.closes == []


async def test_who_begins_to_listen_when_the_client_has_gone_comes_to_the_end_at_once() -> None:
    class Remembered(consumer_class()):
        async def connect(self) -> None:
            consumers.append(self)
            await super().connect()

    consumers: list[GraphqlWsConsumer] = []
    socket = AsgiSocket(Remembered.as_asgi())
    await socket.acknowledged()
    await socket.drop()
    async with consumers[0].listen_to_channel("chat") as messages:
        assert [message async for message in messages] == []

"""Declaring subscriptions, mounting them, and sending to them."""

from __future__ import annotations

import enum
import gc
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any
from weakref import ref

import graphene
import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from channels.layers import InMemoryChannelLayer, channel_layers
from graphql import graphql_sync

from channels_graphql_ws import GraphqlWsConsumer, GraphqlWsResponseError, Subscription
from channels_graphql_ws.exceptions import ChannelLayerError, PayloadTypeError
from channels_graphql_ws.pubsub import layers, local
from channels_graphql_ws.pubsub import layers as destinations
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.subscription import groups
from channels_graphql_ws.subscription.declaration import SubscriptionOptions
from channels_graphql_ws.subscription.field import SKIP
from channels_graphql_ws.subscription.groups import layer_group
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from support import GUARD, FakeLayer, wait_until


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class OnEvent(Subscription):
    """Something happened."""

    value = graphene.Int()

    def publish(self, info):
        return OnEvent(value=self)


def schema_of(**fields: graphene.Field) -> graphene.Schema:
    return graphene.Schema(query=Query, subscription=type("Root", (graphene.ObjectType,), fields))


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consumer classes of this test count, those of others do not."""
    monkeypatch.setattr(destinations, "_owners", (ref(GraphqlWsConsumer),))


Connect = Callable[..., Any]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Subscribe a new client to a field; give the client and the id."""
    clients: list[GraphqlWsClient] = []

    async def connect(
        query: str, *, consumer: type[GraphqlWsConsumer] = GraphqlWsConsumer, **fields: Any
    ) -> tuple[GraphqlWsClient, str]:
        class Consumer(consumer):
            schema = schema_of(**fields)
            confirm_subscriptions = True
            subscription_notification_queue_limit = 10_000

        client = GraphqlWsClient(GraphqlWsTransport(Consumer.as_asgi(), "/"))
        await client.connect_and_init()
        clients.append(client)
        op_id = await client.start(query)
        assert await client.receive_next(op_id) == {"data": None}
        return client, op_id

    yield connect
    for client in clients:
        await client.finalize()


@pytest.fixture
async def fake_layer() -> AsyncIterator[FakeLayer]:
    """A channel layer which is not passed by."""
    layer = FakeLayer()
    previous = channel_layers.set("default", layer)
    yield layer
    if previous is None:  # None had been made yet.
        del channel_layers.backends["default"]
    else:
        channel_layers.set("default", previous)


def test_a_subscription_without_publish_is_refused_by_name() -> None:
    with pytest.raises(AssertionError, match=r"OnNothing.*publish"):

        class OnNothing(Subscription):
            value = graphene.Int()


@pytest.mark.parametrize("policy", ["newest", None, ["close"]])
def test_an_unknown_queue_policy_is_refused_with_the_choices(policy: Any) -> None:
    with pytest.raises(
        ValueError,
        match=r"OnOdd.*one of 'drop_oldest', 'drop_newest', 'close', 'coalesce'",
    ):

        class OnOdd(Subscription):
            value = graphene.Int()
            publish = OnEvent.publish
            notification_queue_policy = policy


def test_coalescing_without_its_hook_is_refused_and_a_field_is_no_hook() -> None:
    with pytest.raises(ValueError, match=r"OnOdd.*needs a method 'coalesce\(payload\)'"):

        class OnOdd(Subscription):
            coalesce = graphene.Int()
            publish = OnEvent.publish
            notification_queue_policy = "coalesce"


def test_a_hook_that_would_have_to_be_awaited_can_not_coalesce() -> None:
    with pytest.raises(ValueError, match=r"OnOdd.*'coalesce' must not be async"):

        class OnOdd(Subscription):
            value = graphene.Int()
            publish = OnEvent.publish
            notification_queue_policy = "coalesce"

            @staticmethod
            async def coalesce(payload):
                return payload


def test_a_field_may_be_called_coalesce() -> None:
    class OnNamed(Subscription):
        coalesce = graphene.Int()
        publish = OnEvent.publish

    assert OnNamed._meta.coalesce is None
    assert "type OnNamed {\n  coalesce: Int\n}" in str(schema_of(on_named=OnNamed.Field()))


def test_a_queue_policy_and_its_hook_are_inherited() -> None:
    class Base(Subscription):
        class Meta:
            abstract = True

        notification_queue_policy = "coalesce"

        def coalesce(self):
            return self

    class OnChild(Base):
        value = graphene.Int()
        publish = OnEvent.publish

    class OnOther(OnChild, coalesce=str):
        publish = OnEvent.publish

    assert OnChild._meta.coalesce("key") == "key"
    assert OnOther._meta.coalesce is str


def test_the_docstring_describes_the_type_and_the_field() -> None:
    assert "Something happened." in str(schema_of(on_event=OnEvent.Field()))
    assert OnEvent.Field().description == "Something happened."


def test_meta_and_class_keywords_take_what_graphene_takes() -> None:
    class ByMeta(Subscription):
        class Meta:
            name = "Renamed"
            description = "By Meta."

        value = graphene.Int()
        publish = OnEvent.publish

    class ByKeyword(Subscription, name="Other", description="By keyword.", none_skips=False):
        value = graphene.Int()
        publish = OnEvent.publish

    assert (ByMeta._meta.name, ByMeta._meta.description) == ("Renamed", "By Meta.")
    assert (ByKeyword._meta.name, ByKeyword._meta.description) == ("Other", "By keyword.")
    assert ByMeta._meta.none_skips
    assert not ByKeyword._meta.none_skips


def test_hooks_and_arguments_may_be_class_keywords() -> None:
    def publish(payload, info, room):
        return None

    def subscribe(root, info, room):
        return None

    def unsubscribed(root, info, room):
        return None

    class OnKeyword(
        Subscription,
        publish=publish,
        subscribe=subscribe,
        unsubscribed=unsubscribed,
        arguments={"room": graphene.String()},
        output=OnEvent,
    ):
        pass

    meta = OnKeyword._meta
    assert isinstance(meta, SubscriptionOptions)
    assert (meta.publish, meta.subscribe, meta.unsubscribed) == (publish, subscribe, unsubscribed)
    assert list(meta.arguments) == ["room"]
    assert meta.output is OnEvent


def test_field_takes_name_description_deprecation_and_required() -> None:
    field = OnEvent.Field(
        name="renamed", description="Another.", deprecation_reason="old", required=True
    )
    text = str(schema_of(on_event=field))
    assert '"""Another."""\n  renamed: OnEvent! @deprecated(reason: "old")' in text


def test_the_signatures_are_those_that_users_know() -> None:
    parameters = list(inspect.signature(Subscription.Field).parameters)
    assert parameters == ["name", "description", "deprecation_reason", "required"]
    for name in ("broadcast", "broadcast_sync", "broadcast_async"):
        assert list(inspect.signature(getattr(Subscription, name)).parameters) == [
            "group",
            "payload",
            "on_commit",
            "using",
            "durable",
        ]
    for name in ("unsubscribe", "unsubscribe_sync", "unsubscribe_async"):
        parameters = list(inspect.signature(getattr(Subscription, name)).parameters)
        assert parameters == ["group", "on_commit", "using"]


def test_the_arguments_are_those_of_the_inner_class() -> None:
    class OnRoom(Subscription):
        class Arguments:
            room = graphene.String(required=True)
            kinds = graphene.List(graphene.Int)

        value = graphene.Int()
        publish = OnEvent.publish

    assert "onRoom(kinds: [Int], room: String!): OnRoom" in str(schema_of(on_room=OnRoom.Field()))


def test_an_abstract_base_needs_no_publish_and_hands_down_what_it_has() -> None:
    class Base(Subscription):
        class Meta:
            abstract = True

        class Arguments:
            room = graphene.String()

        at = graphene.Int()
        notification_queue_limit = 7

        @staticmethod
        def subscribe(root, info, room=None):
            return [room]

    class OnChild(Base):
        value = graphene.Int()
        publish = OnEvent.publish

    assert OnChild.notification_queue_limit == 7
    assert OnChild._meta.subscribe is Base.subscribe
    text = str(schema_of(on_child=OnChild.Field()))
    assert "onChild(room: String): OnChild" in text
    assert "type OnChild {\n  at: Int\n  value: Int\n}" in text


def test_interfaces_give_their_fields() -> None:
    class Timed(graphene.Interface):
        at = graphene.Int()

    class OnTimed(Subscription):
        class Meta:
            interfaces = (Timed,)

        value = graphene.Int()
        publish = OnEvent.publish

    text = str(schema_of(on_timed=OnTimed.Field()))
    assert "type OnTimed implements Timed {\n  at: Int\n  value: Int\n}" in text


async def test_schema_subscribe_says_who_serves_the_field() -> None:
    result: Any = await schema_of(on_event=OnEvent.Field()).subscribe(
        "subscription { onEvent { value } }"
    )
    [error] = result.errors
    assert "'onEvent'" in error.message
    assert "GraphqlWsConsumer" in error.message


def test_skip_is_not_to_be_mistaken() -> None:
    assert Subscription.SKIP is SKIP
    assert repr(SKIP) == "SKIP"


class OnSecret(Subscription):
    """Lets nobody in, and publishes whatever comes."""

    value = graphene.Int()

    def subscribe(self, info):
        raise PermissionError

    def publish(self, info):
        return OnSecret(value=7)


async def test_what_does_not_ask_subscribe_does_not_get_what_publish_returns() -> None:
    schema = schema_of(on_secret=OnSecret.Field())
    query = "subscription { onSecret { value } }"
    for result in (schema.execute(query), await schema.execute_async(query)):
        assert result.data == {"onSecret": None}
        [error] = result.errors
        assert "GraphqlWsConsumer" in error.message
        assert "`schema.execute()`" in error.message


def test_nor_does_a_query_that_it_is_mounted_on_by_mistake() -> None:
    root = type("Query", (graphene.ObjectType,), {"on_secret": OnSecret.Field()})
    assert graphene.Schema(query=root).execute("{ onSecret { value } }").data == {"onSecret": None}


async def test_nor_does_an_operation_that_publish_itself_executes(connect: Connect) -> None:
    class OnNested(Subscription):
        text = graphene.String()

        def publish(self, info):
            nested = info.schema
            result = graphql_sync(nested, "subscription { secret { value } }")
            return OnNested(text=result.errors[0].message)

    query = "subscription { nested { text } }"
    client, op_id = await connect(query, nested=OnNested.Field(), secret=OnSecret.Field())
    await OnNested.broadcast(payload=1)
    payload = await client.receive_next(op_id)
    assert "fed by broadcasts" in payload["data"]["nested"]["text"]


class Plain(Subscription):
    value = graphene.Int()

    def subscribe(self, info):
        assert self is None
        info.context.called = ["subscribe"]

    def publish(self, info):
        info.context.called.append("publish")
        return Plain(value=self)

    def unsubscribed(self, info):
        ended.append([*info.context.called, "unsubscribed"])


class Static(Subscription):
    value = graphene.Int()

    @staticmethod
    async def subscribe(root, info):
        Plain.subscribe(root, info)

    @staticmethod
    async def publish(payload, info):
        return Plain.publish(payload, info)

    @staticmethod
    async def unsubscribed(root, info):
        Plain.unsubscribed(root, info)


class OfClass(Subscription):
    value = graphene.Int()

    @classmethod
    async def subscribe(cls, root, info):
        Plain.subscribe(root, info)

    @classmethod
    def publish(cls, payload, info):
        info.context.called.append("publish")
        return cls(value=payload)

    @classmethod
    def unsubscribed(cls, root, info):
        Plain.unsubscribed(root, info)


ended: list[list[str]] = []


@pytest.mark.parametrize("kind", [Plain, Static, OfClass])
async def test_hooks_may_be_of_any_kind(connect: Connect, kind: type[Subscription]) -> None:
    client, op_id = await connect("subscription { event { value } }", event=kind.Field())
    await kind.broadcast(payload=1)
    assert await client.receive_next(op_id) == {"data": {"event": {"value": 1}}}
    ended.clear()
    await client.complete(op_id)
    await client.receive_complete(op_id)
    assert ended == [["subscribe", "publish", "unsubscribed"]]


async def test_a_class_made_inside_of_a_function_works(connect: Connect) -> None:
    class OnLocal(Subscription):
        class Output(graphene.ObjectType):
            text = graphene.String()

        def publish(self, info):
            return {"text": self}

    client, op_id = await connect("subscription { event { text } }", event=OnLocal.Field())
    await OnLocal.broadcast(payload="x")
    assert await client.receive_next(op_id) == {"data": {"event": {"text": "x"}}}


@pytest.mark.parametrize("wrap", [graphene.NonNull, graphene.List])
async def test_the_output_may_be_wrapped(connect: Connect, wrap: Any) -> None:
    class OnWrapped(Subscription, output=wrap(graphene.Int)):
        def publish(self, info):
            return self

    client, op_id = await connect("subscription { event }", event=OnWrapped.Field())
    payload = [1, 2] if wrap is graphene.List else 1
    await OnWrapped.broadcast(payload=payload)
    assert await client.receive_next(op_id) == {"data": {"event": payload}}


async def test_arguments_arrive_as_graphene_converts_them(connect: Connect) -> None:
    class Color(enum.Enum):
        RED = "r"

    class OnColor(Subscription):
        class Arguments:
            color = graphene.Argument(graphene.Enum.from_enum(Color), required=True)

        text = graphene.String()

        def publish(self, info, color):
            return OnColor(text=str(color))

    client, op_id = await connect(
        "subscription { event(color: RED) { text } }", event=OnColor.Field()
    )
    await OnColor.broadcast()
    assert await client.receive_next(op_id) == {"data": {"event": {"text": "Color.RED"}}}


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("nothing", [None, SKIP])
@pytest.mark.parametrize("is_async", [True, False])
async def test_skipping_is_silent(
    connect: Connect, required: bool, nothing: Any, is_async: bool
) -> None:
    def publish(payload, info):
        return nothing if payload == 0 else OnEvent(value=payload)

    async def publish_async(payload, info):
        return publish(payload, info)

    class OnSkip(Subscription, output=OnEvent, publish=publish_async if is_async else publish):
        pass

    client, op_id = await connect(
        "subscription { event { value } }", event=OnSkip.Field(required=required)
    )
    for payload in (0, 1, 0, 2):
        await OnSkip.broadcast(payload=payload)
    for payload in (1, 2):
        assert await client.receive_next(op_id) == {"data": {"event": {"value": payload}}}
    assert await client.settle() == []


async def test_where_none_does_not_skip_it_is_null_and_skip_still_skips(
    connect: Connect,
) -> None:
    class OnNull(Subscription, none_skips=False):
        value = graphene.Int()

        def publish(self, info):
            return SKIP if self == "skip" else None

    client, op_id = await connect("subscription { event { value } }", event=OnNull.Field())
    for payload in ("skip", None, "skip"):
        await OnNull.broadcast(payload=payload)
    assert await client.receive_next(op_id) == {"data": {"event": None}}
    assert await client.settle() == []


async def test_a_subscribe_method_of_the_root_type_does_not_get_in_the_way(
    connect: Connect,
) -> None:
    client, op_id = await connect(
        "subscription { event { value } }",
        event=OnEvent.Field(),
        subscribe_event=lambda _root, _info: None,
    )
    await OnEvent.broadcast(payload=1)
    assert await client.receive_next(op_id) == {"data": {"event": {"value": 1}}}


class OnRoom(Subscription):
    class Arguments:
        room = graphene.String()

    value = graphene.Int()

    def subscribe(self, info, room=None):
        return None if room is None else [room]

    def publish(self, info, room=None):
        return OnRoom(value=self)

    @classmethod
    def announce(cls, value):
        return super().broadcast(group="sub", payload=value)


ROOM = "subscription($room: String) { event(room: $room) { value } }"


async def test_a_group_gets_its_own_and_everybody_gets_what_is_for_all(connect: Connect) -> None:
    a, in_a = await connect('subscription { event(room: "a") { value } }', event=OnRoom.Field())
    b, in_b = await connect('subscription { event(room: "b") { value } }', event=OnRoom.Field())
    await OnRoom.broadcast(group="a", payload=1)
    await OnRoom.broadcast(group="b", payload=2)
    await OnRoom.broadcast(payload=3)
    for client, op_id, own in ((a, in_a, 1), (b, in_b, 2)):
        assert await client.receive_next(op_id) == {"data": {"event": {"value": own}}}
        assert await client.receive_next(op_id) == {"data": {"event": {"value": 3}}}
    await OnRoom.unsubscribe(group="a")
    await a.receive_complete(in_a)
    await OnRoom.unsubscribe()
    await b.receive_complete(in_b)
    assert await a.settle() == await b.settle() == []


async def test_super_broadcast_works_in_a_class_method(connect: Connect) -> None:
    client, op_id = await connect(
        'subscription { event(room: "sub") { value } }', event=OnRoom.Field()
    )
    await OnRoom.announce(1)
    assert await client.receive_next(op_id) == {"data": {"event": {"value": 1}}}


async def receive_all(client: GraphqlWsClient, op_id: str, count: int) -> list[int]:
    return [(await client.receive_next(op_id))["data"]["event"]["value"] for _ in range(count)]


async def test_sync_code_in_a_running_loop_broadcasts_in_order(connect: Connect) -> None:
    client, op_id = await connect("subscription { event { value } }", event=OnEvent.Field())

    def signal_handler() -> None:
        for number in range(100):
            OnEvent.broadcast(payload=number)

    signal_handler()
    gc.collect()
    assert await receive_all(client, op_id, 100) == list(range(100))


async def test_a_thread_without_a_loop_reaches_consumers_on_the_loop_of_another(
    connect: Connect,
) -> None:
    client, op_id = await connect("subscription { event { value } }", event=OnEvent.Field())
    results: list[object] = []

    def plain() -> None:
        OnEvent.broadcast(payload=1)
        results.append(OnEvent.broadcast_sync(payload=2))
        OnEvent.unsubscribe(group="nobody is there")
        OnEvent.unsubscribe_sync(group="nobody is there")
        OnEvent.unsubscribe_sync()

    thread = threading.Thread(target=plain)
    thread.start()
    assert await receive_all(client, op_id, 2) == [1, 2]
    await client.receive_complete(op_id)
    thread.join(GUARD)
    assert results == [None]


async def test_the_async_forms_send_when_awaited(connect: Connect) -> None:
    client, op_id = await connect("subscription { event { value } }", event=OnEvent.Field())
    await OnEvent.broadcast_async(payload=1)
    assert await receive_all(client, op_id, 1) == [1]
    await OnEvent.unsubscribe_async()
    await client.receive_complete(op_id)


def test_the_async_forms_are_seen_to_be_async() -> None:
    assert iscoroutinefunction(OnEvent.broadcast_async)
    assert iscoroutinefunction(OnEvent.unsubscribe_async)
    assert async_to_sync(OnEvent.broadcast_async)(payload=1) is None


async def test_waiting_in_a_running_loop_is_refused_clearly() -> None:
    with pytest.raises(RuntimeError, match=r"OnEvent\.broadcast\(group='g'\) would block"):
        OnEvent.broadcast_sync(group="g", payload=1)
    with pytest.raises(RuntimeError, match=r"OnEvent\.unsubscribe\(group=None\) would block"):
        OnEvent.unsubscribe_sync()


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_burst_to_ten_subscribers_is_complete_and_in_order(
    connect: Connect, awaited: bool
) -> None:
    query = "subscription { event { value } }"
    clients = [await connect(query, event=OnEvent.Field()) for _ in range(10)]
    # That 5,000 pass the hub is shown in its own tests, in a fraction of the time.
    for number in range(1_000):
        sent = OnEvent.broadcast(payload=number)
        if awaited:
            await sent
    for client, op_id in clients:
        assert await receive_all(client, op_id, 1_000) == list(range(1_000))


async def test_the_payload_is_that_of_the_moment_of_the_call(fake_layer: FakeLayer) -> None:
    payload = [1]
    sent = OnEvent.broadcast(payload=payload)
    later = OnEvent.broadcast_async(payload=payload)
    payload.append(2)
    await sent
    await later
    assert [Serializer.deserialize(each["payload"]) for each in fake_layer.sent] == [[1], [1]]


async def test_the_messages_are_those_which_other_processes_know(fake_layer: FakeLayer) -> None:
    await OnEvent.broadcast(group="g", payload=1)
    await OnEvent.unsubscribe(group="g")
    first, second = fake_layer.sent
    # The first three are the predecessor's, which looks at no others.
    assert sorted(first) == ["at", "group", "payload", "sender", "serial", "type"]
    assert isinstance(first["payload"], bytes)
    assert second == {"type": "unsubscribe", "group": layer_group(OnEvent, "GQLWS", "g")}


async def test_a_failure_which_nobody_awaits_names_class_and_group(
    fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    fake_layer.errors["group_send"] = OSError("no Redis")
    OnEvent.broadcast(group="g" * 10_000, payload=1)
    OnEvent.unsubscribe()
    await wait_until(lambda: len(caplog.records) == 2)
    shortened = "g" * 100 + "…"
    assert [record.message for record in caplog.records] == [
        f"OnEvent.broadcast(group='{shortened}') failed and nobody awaited it",
        "OnEvent.unsubscribe(group=None) failed and nobody awaited it",
    ]


async def test_a_failure_which_is_awaited_is_raised(
    fake_layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    fake_layer.errors["group_send"] = OSError("no Redis")
    for sending in (OnEvent.broadcast(payload=1), OnEvent.broadcast_async(payload=1)):
        with pytest.raises(ChannelLayerError, match="no Redis"):
            await sending
    assert caplog.records == []


@pytest.mark.parametrize("send", [OnEvent.broadcast, OnEvent.broadcast_sync])
def test_what_can_not_be_sent_is_refused_at_the_call(send: Callable[..., Any]) -> None:
    with pytest.raises(PayloadTypeError):
        send(payload=object())


@pytest.mark.parametrize("group", [1, b"bytes", ["list"]])
def test_a_group_that_is_no_text_is_refused_at_the_call(group: Any) -> None:
    with pytest.raises(TypeError, match="group must be a string or None"):
        OnEvent.broadcast(group=group)
    with pytest.raises(TypeError, match="group must be a string or None"):
        OnEvent.unsubscribe(group=group)


async def test_without_a_channel_layer_each_form_names_the_setting(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {}
    for send in (OnEvent.broadcast, OnEvent.broadcast_async, OnEvent.broadcast_sync):
        with pytest.raises(ChannelLayerError, match="CHANNEL_LAYERS"):
            send(payload=1)


def test_classes_and_groups_have_names_of_their_own_on_the_layer() -> None:
    def make() -> type[Subscription]:
        class OnTwin(Subscription):
            publish = OnEvent.publish

        return OnTwin

    assert layer_group(make(), "P", "g") == layer_group(make(), "P", "g")
    names = {
        layer_group(OnEvent, "P", "g"),
        layer_group(OnRoom, "P", "g"),
        layer_group(OnEvent, "P", ""),
    }
    assert len(names | {layer_group(OnEvent, "P", None)}) == 4


def test_long_names_of_groups_which_clients_may_have_chosen_are_not_kept():
    for length, kept in ((groups.LONGEST_KEPT + 1, 0), (groups.LONGEST_KEPT, 1)):
        before = groups._kept_name.cache_info().misses
        names = {layer_group(OnEvent, "kept", "g" * length) for _ in range(2)}
        assert len(names) == 1
        assert groups._kept_name.cache_info().misses - before == kept


def subscription_for(name: str, output: Any = None) -> type[Subscription]:
    """Make a class as a framework does: all have the same module and name."""

    class OnChange(Subscription):
        class Meta:
            pass

        Meta.name = name  # type: ignore[attr-defined]
        Output = output
        value = graphene.Int()
        publish = OnEvent.publish

    return OnChange


def test_classes_that_a_function_makes_do_not_share_groups() -> None:
    def output(name: str) -> Any:
        return type(name, (graphene.ObjectType,), {"value": graphene.Int()})

    made = [
        subscription_for("OnAuthor"),
        subscription_for("OnBook"),
        subscription_for("OnBook", output("Book")),
        subscription_for("OnBook", graphene.NonNull(output("Author"))),
    ]
    assert len({layer_group(each, "P", "g") for each in made}) == len(made)


async def test_classes_of_one_factory_never_get_the_events_of_each_other(connect: Connect) -> None:
    orders, salaries = subscription_for("OnOrder"), subscription_for("OnSalary")
    client, op_id = await connect(
        "subscription { event { value } }", event=orders.Field(), other=salaries.Field()
    )
    await salaries.broadcast(payload=1)
    await orders.broadcast(payload=2)
    assert await receive_all(client, op_id, 1) == [2]
    assert await client.settle() == []


async def test_of_two_classes_that_nothing_tells_apart_one_is_refused_while_the_other_is_used(
    connect: Connect,
) -> None:
    first, second = subscription_for("OnSame"), subscription_for("OnSame")
    query = "subscription { event { value } }"
    client, op_id = await connect(query, event=first.Field())
    with pytest.raises(GraphqlWsResponseError) as caught:
        await connect(query, event=second.Field())
    [error] = caught.value.response["payload"]
    assert "There are two Subscription classes" in error["message"]
    assert "`name` in the inner class `Meta`" in error["message"]
    # Nor does it send them its events.
    for send in (second.broadcast, second.broadcast_async):
        with pytest.raises(TypeError, match="There are two Subscription classes"):
            await send(payload=1)
    await first.broadcast(payload=2)
    assert await receive_all(client, op_id, 1) == [2]
    # A function that makes a class may run again, as tests do.
    await client.complete(op_id)
    await client.receive_complete(op_id)
    other, again = await connect(query, event=second.Field())
    await second.broadcast(payload=3)
    assert await receive_all(other, again, 1) == [3]


@pytest.mark.parametrize("first", [0, 1])
def test_the_group_of_a_member_of_an_enum_is_that_of_its_text(first: int) -> None:
    class Room(str, enum.Enum):  # noqa: UP042 (it prints in another way than a `StrEnum`)
        TEA = "tea"

    groups = ["tea", Room.TEA]
    cls = subscription_for(f"On{first}")
    assert layer_group(cls, "P", groups[first]) == layer_group(cls, "P", groups[1 - first])
    assert layer_group(cls, "P", "Room.TEA") != layer_group(cls, "P", Room.TEA)


@pytest.mark.usefixtures("consumers")
async def test_a_prefix_of_a_consumer_subclass_takes_effect(
    fake_layer: FakeLayer,
) -> None:
    class Prefixed(GraphqlWsConsumer):
        group_name_prefix = "Mine"

    assert Prefixed.group_name_prefix == "Mine"
    await OnEvent.broadcast_async(payload=1)
    await OnEvent.unsubscribe()
    prefixes = [message["group"].split("-")[0] for message in fake_layer.sent]
    assert prefixes == ["GQLWS", "Mine", "GQLWS", "Mine"]


@pytest.mark.usefixtures("consumers")
async def test_clients_of_consumers_with_different_prefixes_all_hear(connect: Connect) -> None:
    class Prefixed(GraphqlWsConsumer):
        group_name_prefix = "Mine"

    query = "subscription { event { value } }"
    clients = [
        await connect(query, event=OnEvent.Field()),
        await connect(query, consumer=Prefixed, event=OnEvent.Field()),
    ]
    await OnEvent.broadcast(payload=1)
    for client, op_id in clients:
        assert await receive_all(client, op_id, 1) == [1]
        assert await client.settle() == []


def test_a_broadcast_where_nobody_listens_is_fine(caplog: pytest.LogCaptureFixture) -> None:
    local.serving()
    for _ in range(50):
        OnEvent.broadcast(payload=1)
        OnEvent.unsubscribe(group="unknown")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_layer_of_these_tests_is_the_in_memory_one() -> None:
    assert type(layers.channel_layer()) is InMemoryChannelLayer


def test_the_type_of_the_payload_changes_nothing_at_run_time():
    assert Subscription[int] is Subscription

    class OnNumber(Subscription[int]):
        number = graphene.Int()

        def publish(self, info):
            return OnNumber(number=self)

    class OnSpecialNumber(OnNumber):
        pass

    assert issubclass(OnNumber, Subscription)
    assert OnNumber._meta.name == "OnNumber"
    assert [*OnSpecialNumber._meta.fields] == ["number"]

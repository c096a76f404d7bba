"""Mistakes in consumer and view classes are found when the class is made or mounted."""

from __future__ import annotations

import warnings
from datetime import timedelta
from functools import partial
from typing import Any

import graphene
import pytest
from graphql import build_schema

from asgi_socket import AsgiSocket
from channels_graphql_ws import (
    BasePermission,
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    GraphqlWsConsumer,
    Subscription,
)
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.operations.option_values import option_names
from channels_graphql_ws.operations.overrides import overridden

EVERY = pytest.mark.parametrize("base", [GraphqlWsConsumer, GraphqlHttpConsumer, GraphqlView])


def declared(base: Any = GraphqlWsConsumer, **body: Any) -> Any:
    """Declare a class with this in its body."""
    return type("Mine", (base,), body)


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


schema = graphene.Schema(query=Query)


async def one(self, payload): ...
async def two(self, op_id, payload): ...


MISSPELT: list[tuple[str, Any, str]] = [
    ("on_conect", one, "on_connect"),
    ("onConnect", lambda self, params: None, "on_connect"),
    ("on_ws_connect", one, "on_connect"),
    ("on_connect_", one, "on_connect"),
    ("on_opration", two, "on_operation"),
    ("on_disconect", one, "on_disconnect"),
    ("get_contxt", lambda self, context: context, "get_context"),
    ("execute_operations", lambda self, **arguments: None, "execute_operation"),
    ("parse_documents", classmethod(lambda cls, text: None), "parse_document"),
    ("send_ping_evry", 3, "send_ping_every"),
    ("strict_order", True, "strict_ordering"),
    ("confirm_subscription", True, "confirm_subscriptions"),
    ("max_dept", 7, "max_depth"),
    ("middlewares", [one], "middleware"),
    ("data_loader", {"authors": object}, "data_loaders"),
    ("subprotocol", "graphql-ws", "subprotocols"),
    ("on_start", two, "on_operation"),
    ("group_name_prefx", "X", "group_name_prefix"),
    ("mask_error", True, "mask_errors"),
    ("shema", schema, "schema"),
    ("on_subscribe", two, "on_operation"),
    ("ping_interval", 20, "send_ping_every"),
]


@pytest.mark.parametrize(("name", "value", "meant"), MISSPELT)
def test_a_misspelt_hook_or_option_is_refused_when_the_class_is_made(
    name: str, value: Any, meant: str
) -> None:
    with pytest.raises(TypeError, match="did you mean") as caught:
        declared(**{name: value})
    assert str(caught.value) == (
        f"Mine: there is no {name!r}, did you mean {meant!r}? If the name is meant as it is, say "
        f"so: `own_names = [{name!r}]`"
    )
    kept = declared(**{name: value, "own_names": [name]})
    assert declared(kept, **{name: value}).as_asgi(schema=schema)


@EVERY
def test_it_is_refused_in_every_kind_of_class(base: Any) -> None:
    with pytest.raises(TypeError, match="did you mean 'on_operation'"):
        declared(base, on_operaton=two)


def test_it_is_refused_in_a_mixin() -> None:
    with pytest.raises(TypeError, match="did you mean 'on_connect'"):
        type("Mine", (type("Mixin", (), {"on_conect": one}), GraphqlWsConsumer), {})


@pytest.mark.parametrize(
    "body",
    [
        {"load_user": one, "chat_message": one, "tenant": "t", "settings": {}},
        {"on_connected": lambda self: None, "connected": one, "reconnect": one},
        {"get_content": lambda self, key: None, "get_contexts": lambda self: None},
        {"confirm_subscription": "a text", "send_pings_every": "5 s", "max_depths": True},
        {"channel_name": "n", "channel_layer": None, "_on_conect": one},
        {"on_message": one, "group_name": "g"},
        {"on_conect": None, "strict_orderings": object()},
    ],
)
def test_names_that_could_not_be_meant_are_the_users(body: dict[str, Any]) -> None:
    assert declared(**body).as_asgi(schema=schema)


PRIVATE = {
    "_on_gql_connection_init": "on_connect",
    "_on_gql_connection_terminate": "on_disconnect",
    "_on_gql_start": "on_operation",
    "_on_gql_subscribe": "on_operation",
    "_on_gql_subscribe__parse_query": "parse_document",
    "_on_gql_complete": "on_complete",
    "_on_gql_stop": "unsubscribed",
    "_on_gql_anything": "receive_json",
    "_send_gql_connection_ack": "on_connect",
    "_send_gql_data": "on_next",
    "_send_gql_error": "_format_error",
    "_send_gql_pong": "on_ping",
    "_send_gql_connection_keep_alive": "send_ping_every",
    "_send_gql_anything": "on_next",
    "_process_broadcast": "publish",
    "_register_subscription": "subscribe",
    "_run_in_worker": "resolve_sync_in_threads",
    "_spawn_background_task": "tasks",
    "_channel_layer": "channel_layer_alias",
}


@pytest.mark.parametrize(("name", "instead"), PRIVATE.items())
def test_a_private_hook_of_the_predecessor_is_refused_with_what_takes_its_place(
    name: str, instead: str
) -> None:
    with pytest.raises(TypeError, match=f"`{name}` of django-channels-graphql-ws") as caught:
        declared(**{name: one})
    assert instead in str(caught.value)
    assert declared(**{name: one, "own_names": (name,)})
    assert declared(**{name: "not a method"})


@pytest.mark.parametrize("name", ["_on_gql_connection_init", "_process_broadcast"])
def test_a_private_hook_that_is_set_later_is_refused_where_the_class_is_mounted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = declared(schema=schema)
    setattr(late, name, one)
    with pytest.raises(TypeError, match=f"`{name}` of django-channels-graphql-ws"):
        late.as_asgi()
    monkeypatch.setattr(GraphqlWsConsumer, name, one, raising=False)
    with pytest.raises(TypeError, match=f"`{name}` of django-channels-graphql-ws"):
        GraphqlWsConsumer.as_asgi(schema=schema)


def test_a_private_method_that_a_subscription_gets_later_is_refused_where_it_is_mounted() -> None:
    class OnEvent(Subscription):
        text = graphene.String()

        def publish(self, info: Any) -> Any: ...

    class OnMine(OnEvent):
        class Meta:
            own_names = ("_group_name",)

    OnEvent._group_name = classmethod(one)  # type: ignore[attr-defined]
    for cls in (OnMine, OnEvent):
        root = type("Root", (graphene.ObjectType,), {"on_event": cls.Field()})
        late = declared(schema=graphene.Schema(query=Query, subscription=root))
        if cls is OnMine:
            assert late.as_asgi()
    with pytest.raises(TypeError, match=r"`_group_name` of django-.* `group_name_prefix`"):
        late.as_asgi()


class SetsHook(GraphqlWsConsumer):
    """Sets a private hook of the predecessor where no check of the class finds it."""

    schema = graphene.Schema(query=Query)

    def __init__(self, name: str, hook: Any) -> None:
        super().__init__()
        setattr(self, name, hook)


@pytest.mark.parametrize("hook", [one, partial(one, None)])
async def test_a_private_hook_of_an_instance_is_refused_when_a_client_connects(
    hook: Any, caplog: pytest.LogCaptureFixture
) -> None:
    socket = AsgiSocket(SetsHook("_on_gql_start", hook))
    await socket.ended()
    assert socket.closes == [(4500, "Internal server error")]
    assert "`_on_gql_start` of django-channels-graphql-ws" in caplog.text
    assert "`on_operation(op_id, payload)`" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"), [("_on_gql_start", "no method"), ("_is_mine", one), ("_on_gql_stop", one)]
)
async def test_other_attributes_of_an_instance_are_the_users(name: str, value: Any) -> None:
    cls = type("Mine", (SetsHook,), {"own_names": ["_on_gql_stop"]})
    socket = AsgiSocket(cls(name, value))
    socket.init()
    await socket.acknowledged()
    await socket.drop()


def test_a_handler_that_goes_on_to_the_predecessors_is_refused() -> None:
    with pytest.raises(TypeError, match=r"`broadcast` of django-.* override `filter_event`"):

        class Filtering(GraphqlWsConsumer):
            async def broadcast(self, message: Any) -> None:
                await super().broadcast(message)  # type: ignore[misc]

    with pytest.raises(TypeError, match=r"`unsubscribe` of django-.* override `unsubscribed`"):

        class Ending(GraphqlWsConsumer):
            async def unsubscribe(self, message: Any) -> None:
                await super().unsubscribe(message)  # type: ignore[misc]

    class Own(GraphqlWsConsumer):
        """Has a handler for messages of its own."""

        async def broadcast(self, message: Any) -> None:
            await self.send_json(message)

    assert Own.as_asgi(schema=schema)


@EVERY
@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("keep_alive", True, "send_ping_every"),
        ("keep_alive_interval", 3.5, "send_ping_every"),
        ("keep_alive_interval", timedelta(seconds=3), "send_ping_every"),
        ("subscription_protocols", ["graphql-ws"], "subprotocols"),
        ("subscription_protocols", ["graphql-sse"], "event_streams_enabled"),
        ("graphql_ide", "graphiql", "graphiql"),
        ("notification_queue_limit", 5, "subscription_notification_queue_limit"),
    ],
)
def test_an_option_of_another_package_is_refused_with_its_name_here(
    base: Any, name: str, value: Any, meant: str
) -> None:
    if meant in option_names(base):
        with pytest.raises(TypeError, match=f"no '{name}', did you mean"):
            declared(base, **{name: value})
        mount = base.as_view if base is GraphqlView else base.as_asgi
        with pytest.raises(TypeError, match=f"no option '{name}', did you mean"):
            mount(schema=schema, **{name: value})
    assert declared(base, **{name: one})


def test_an_old_name_of_an_option_works_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="is called 'send_ping_every' now") as caught:
        cls = declared(send_keepalive_every=7)
    assert cls.send_ping_every == 7
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert declared(cls).send_ping_every == 7
    with pytest.warns(DeprecationWarning, match="is called"):
        assert declared(send_keepalive_every=7, send_ping_every=3).send_ping_every == 3


@pytest.mark.parametrize("name", ["max_worker_threads", "warn_resolver_timeout"])
def test_an_old_option_without_effect_is_warned_of(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{name} has no effect"):
        declared(**{name: 4})


class OnEvent(Subscription):
    value = graphene.Int()

    def publish(self, info):
        return {"value": self}


class OnOther(Subscription):
    value = graphene.Int()
    publish = OnEvent.publish


def schema_with(**fields: Any) -> graphene.Schema:
    root = type("Root", (graphene.ObjectType,), fields)
    return graphene.Schema(query=Query, subscription=root)


@pytest.mark.parametrize("value", [OnEvent, OnEvent(), OnEvent.Field])
@pytest.mark.parametrize("others", [{}, {"other": OnOther.Field()}])
def test_a_subscription_that_is_not_mounted_by_a_call_is_refused(value: Any, others: Any) -> None:
    wrong = schema_with(on_event=value, **others)
    text = r"Root.on_event is not a field: .* `on_event = OnEvent\.Field\(\)`"
    with pytest.raises(TypeError, match=text):
        declared(schema=wrong).as_asgi()
    with pytest.raises(TypeError, match=text):
        declared(GraphqlHttpConsumer).as_asgi(schema=wrong)
    with pytest.raises(TypeError, match=text):
        GraphqlView.as_view(schema=wrong)
    with pytest.raises(TypeError, match=text):
        GraphqlProtocolTypeRouter(wrong)


@pytest.mark.parametrize("field", [graphene.Int(), graphene.Field(graphene.Int)])
@pytest.mark.parametrize("kind", ["query", "mutation", "subscription"])
def test_a_field_with_a_comma_behind_it_is_refused(kind: str, field: Any) -> None:
    root = type("Root", (graphene.ObjectType,), {"other": graphene.Int(), "value": (field,)})
    wrong = graphene.Schema(**{"query": Query, kind: root})
    with pytest.raises(
        TypeError, match=r"Root\.value is a tuple with a field in it: take the comma"
    ):
        declared(schema=wrong).as_asgi()


def test_other_tuples_of_a_root_are_left_alone() -> None:
    root = type("Root", (graphene.ObjectType,), {"value": graphene.Int(), "names": ("a",)})
    assert declared(schema=graphene.Schema(query=root)).as_asgi()


def test_a_subscription_may_be_declared_where_it_is_mounted() -> None:
    class Root(graphene.ObjectType):
        class OnInner(Subscription):
            value = graphene.Int()
            publish = OnEvent.publish

        inner = OnInner.Field()
        base = Subscription

    assert declared(schema=graphene.Schema(query=Query, subscription=Root)).as_asgi()


def test_a_root_that_inherits_fields_is_looked_at_as_a_whole() -> None:
    class Part:
        on_event = OnEvent.Field

    class Root(Part, graphene.ObjectType):
        other = OnOther.Field()

    with pytest.raises(TypeError, match=r"Root\.on_event is not a field"):
        declared(schema=graphene.Schema(query=Query, subscription=Root)).as_asgi()


def twin(name: str | None = None) -> type[Subscription]:
    class OnTwin(Subscription):
        class Meta:
            pass

        if name:
            Meta.name = name  # type: ignore[attr-defined]
        Output = graphene.List(graphene.Int)
        publish = OnEvent.publish

    return OnTwin


def test_classes_that_would_get_each_others_events_are_refused() -> None:
    with pytest.raises(TypeError, match="Give each a GraphQL name of its own"):
        declared(schema=schema_with(a=twin().Field(), b=twin().Field())).as_asgi()
    apart = schema_with(a=twin("A").Field(), b=twin("B").Field(), again=OnEvent.Field())
    assert declared(schema=apart).as_asgi()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (graphene.Schema(), "not valid: Query root type must be provided"),
        (build_schema("type Query"), "not valid: Type Query must define one or more fields"),
        ("a.dotted.path", "'a.dotted.path' is not a schema"),
    ],
)
@EVERY
def test_a_wrong_schema_is_refused_when_it_is_mounted(base: Any, wrong: Any, text: str) -> None:
    mount = base.as_view if base is GraphqlView else base.as_asgi
    with pytest.raises(TypeError, match=text):
        mount(schema=wrong)
    mine = declared(base, schema=wrong)
    with pytest.raises(TypeError, match=text):
        (mine.as_view if base is GraphqlView else mine.as_asgi)()


class OnPython(Subscription):
    """Its field is none."""

    text = str
    publish = OnEvent.publish


class OnAnnotated(Subscription):
    """So is this one."""

    text: str
    publish = OnEvent.publish


class OnNothing(Subscription):
    """There is none at all."""

    publish = OnEvent.publish


@pytest.mark.parametrize(
    ("cls", "advice"),
    [
        (OnPython, "`text` of it is no field: write `text = graphene.String()`."),
        (OnAnnotated, "`text` of it is no field: write `text = graphene.String()`."),
        (OnNothing, "fields."),
    ],
)
def test_fields_that_are_types_of_python_are_told_with_what_to_write(
    cls: Any, advice: str
) -> None:
    with pytest.raises(TypeError, match="must define one or more fields") as caught:
        declared(schema=schema_with(a=cls.Field())).as_asgi()
    assert str(caught.value).endswith(advice)


async def test_a_schema_that_comes_later_is_checked_at_the_first_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cls = declared()
    socket = AsgiSocket(cls.as_asgi())
    cls.schema = graphene.Schema()
    await socket.ended()
    assert socket.closes == [(4500, "Internal server error")]
    assert "Query root type must be provided" in caplog.text


async def test_a_schema_of_the_instance_is_not_asked_for_when_it_is_mounted() -> None:
    cls = declared(schema=property(lambda self: schema))
    socket = AsgiSocket(cls.as_asgi(), "graphql-transport-ws")
    socket.init()
    await socket.heard("connection_ack")
    await socket.drop()


class Own(GraphqlWsConsumer):
    """Has an `__init__` that takes what comes."""

    made: list[Any] = []

    def __init__(self, *args: Any, greeting: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.made.append((greeting, kwargs, self.send_ping_every))


async def test_options_are_taken_out_of_what_an_init_of_its_own_gets() -> None:
    socket = AsgiSocket(
        Own.as_asgi(schema=schema, send_ping_every=7, greeting="hi"), "graphql-transport-ws"
    )
    socket.init()
    await socket.heard("connection_ack")
    assert Own.made.pop() == ("hi", {}, 7)
    await socket.drop()


class Named(GraphqlWsConsumer):
    """Has an `__init__` with a parameter that is an option."""

    def __init__(self, schema: Any = None) -> None:
        self.schema = schema
        super().__init__()


async def test_an_option_that_an_init_names_is_passed_to_it() -> None:
    socket = AsgiSocket(Named.as_asgi(schema=schema), "graphql-transport-ws")
    socket.init()
    await socket.heard("connection_ack")
    await socket.drop()
    with pytest.raises(TypeError, match="did you mean 'strict_ordering'"):
        Named.as_asgi(schema=schema, strict_orderin=True)


@pytest.mark.parametrize(
    ("name", "method", "call"),
    [
        ("get_context", lambda self, request, response: None, "get_context(context)"),
        ("get_root_value", lambda self: None, "get_root_value(context)"),
        ("on_connect", lambda self: None, "on_connect(payload)"),
        ("on_operation", lambda self, op_id, message: None, "on_operation(op_id, payload)"),
        ("on_disconnect", lambda self: None, "on_disconnect(code)"),
        ("on_next", classmethod(lambda cls, result: None), "on_next(op_id, result)"),
    ],
)
def test_a_hook_that_cannot_be_called_is_refused_or_kept_as_something_else(
    name: str, method: Any, call: str
) -> None:
    with pytest.raises(TypeError) as caught:
        declared(**{name: method})
    assert f"`{name}` is a hook, and cannot be called as `{call}`" in str(caught.value)
    kept = declared(**{name: method, "own_names": [name]}, schema=schema)
    assert not overridden(kept(), name)


async def yields_later(self, payload):
    yield payload


@pytest.mark.parametrize("method", [yields_later, lambda self, payload: (yield payload)])
def test_a_hook_that_yields_is_refused(method: Any) -> None:
    with pytest.raises(
        TypeError, match="`on_connect` is called for what it returns, and has a `y"
    ):
        declared(on_connect=method)
    assert declared(on_connect=method, own_names=["on_connect"], schema=schema)


async def test_a_helper_with_the_name_of_a_hook_is_not_called() -> None:
    called: list[None] = []
    mine = declared(
        on_disconnect=lambda self: called.append(None), own_names=("on_disconnect",), schema=schema
    )
    socket = AsgiSocket(mine.as_asgi(), "graphql-transport-ws")
    socket.init()
    await socket.heard("connection_ack")
    await socket.drop()
    assert called == []


def test_hooks_may_have_more_parameters_or_any() -> None:
    async def on_connect(self, payload, extra=None): ...
    async def on_disconnect(self, *args): ...
    async def on_operation(self, op_id, *, payload): ...

    hooks = {each.__name__: each for each in (on_connect, on_disconnect, on_operation)}
    assert declared(**hooks, execute_operation=lambda self, schema, **rest: None, schema=schema)


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_hooks_may_be_static_or_class_methods(kind: Any) -> None:
    parameters = (lambda payload: None) if kind is staticmethod else (lambda cls, payload: None)
    method = kind(parameters)
    assert declared(on_connect=method, schema=schema)
    with pytest.raises(TypeError, match="did you mean 'on_connect'"):
        declared(on_conect=method)


def test_hooks_of_odd_kinds_are_left_alone() -> None:
    assert declared(on_connect=partial(one, None), schema=schema).as_asgi()
    assert declared(on_connect=property(lambda self: one), schema=schema)


@EVERY
@pytest.mark.parametrize("value", [None, {"user": 1}, True])
def test_what_is_not_a_method_is_not_a_hook(base, value):
    with pytest.raises(TypeError, match="`get_context` is a hook: it must be a method, not "):
        declared(base, get_context=value)
    assert declared(base, get_context=value, own_names=["get_context"])


def test_a_handler_of_channel_messages_may_have_the_name_of_a_hook_elsewhere():
    assert declared(on_subscribe=one)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("batch", "`max_batch_size` says how many"),
        ("pretty", "clients format JSON themselves"),
    ],
)
def test_what_graphene_djangos_view_knows_is_refused_on_a_view(name, said):
    with pytest.raises(TypeError, match=said):
        declared(GraphqlView, **{name: True})
    assert declared(GraphqlView, **{name: True}, own_names=[name])
    assert declared(GraphqlWsConsumer, **{name: True})


def test_what_graphene_djangos_view_knows_may_be_off():
    assert declared(GraphqlView, batch=False)


class Staff(BasePermission):
    def has_permission(self, source, info):
        return True


@EVERY
def test_permissions_of_a_consumer_or_view_are_refused(base):
    with pytest.raises(TypeError, match="is asked on Subscription classes and fields, not here"):
        declared(base, permission_classes=[Staff])
    assert declared(base, permission_classes=[Staff], own_names=["permission_classes"])


@EVERY
@pytest.mark.parametrize("given", [Staff, [Staff]])
def test_permissions_by_another_name_are_not_asked_either(base, given):
    with pytest.raises(TypeError, match="`permissions` holds permission classes"):
        declared(base, permissions=given)
    assert declared(base, permissions=given, own_names=["permissions"])


def test_permissions_that_another_base_has_are_its_own():
    class OfAnother:
        permission_classes: Any = ()

    assert type("Mine", (OfAnother, GraphqlView), {"permission_classes": [int]})


@EVERY
def test_permissions_that_a_consumer_or_view_gets_later_are_refused(base):
    later = declared(base, schema=schema)
    later.permission_classes = [Staff]
    with pytest.raises(TypeError, match="is asked on Subscription classes and fields, not here"):
        engine_of(later())
    later.own_names = ["permission_classes"]
    assert engine_of(later())


@EVERY
def test_permissions_of_one_consumer_or_view_are_refused(base):
    one = declared(base, schema=schema)()
    one.permission_classes = Staff
    with pytest.raises(TypeError, match="is asked on Subscription classes and fields, not here"):
        engine_of(one)


def test_a_mistake_in_permissions_is_found_where_the_class_is_mounted(monkeypatch):
    class Guarded(Subscription):
        ok = graphene.Boolean()

        @staticmethod
        def publish(payload, info): ...

    root = type("Root", (graphene.ObjectType,), {"it": Guarded.Field()})
    guarded = graphene.Schema(query=Query, subscription=root)
    monkeypatch.setattr(Guarded, "permission_classes", [Staff])
    assert GraphqlWsConsumer.as_asgi(schema=guarded)
    monkeypatch.setattr(Guarded, "permission_classes", [Staff()])
    with pytest.raises(TypeError, match="write the class, `Staff` without"):
        GraphqlWsConsumer.as_asgi(schema=guarded)


class Guarded(graphene.ObjectType):
    permission_classes = Staff
    ok = graphene.Boolean()


class Guard(graphene.Mutation):
    permission_classes = (Staff,)
    ok = graphene.Boolean()

    def mutate(self, info): ...


class Warden(graphene.ObjectType):
    permissions = [Staff]
    ok = graphene.Boolean()


class OfAnotherLibrary(graphene.ObjectType):
    permission_classes = [int]
    asked_by_the_user = [Staff]
    ok = graphene.Boolean()


@pytest.mark.parametrize("field", [graphene.Field(Guarded), graphene.Field(Warden), Guard.Field()])
def test_permissions_of_a_type_or_mutation_are_refused(field):
    root = type("Root", (graphene.ObjectType,), {"it": field})
    guarded = graphene.Schema(query=Query, mutation=root)
    with pytest.raises(TypeError, match=r"(Guard|Warden).*of a mutation or type is not asked"):
        GraphqlWsConsumer.as_asgi(schema=guarded)


def test_other_permissions_of_a_type_are_left_alone():
    root = type("Root", (graphene.ObjectType,), {"it": graphene.Field(OfAnotherLibrary)})
    assert GraphqlWsConsumer.as_asgi(schema=graphene.Schema(query=root))


STRAWBERRYS: list[tuple[str, str]] = [
    ("is_request_allowed", r"not called: raise in `on_operation\(op_id, payload\)`"),
    ("get_sub_response", r"not called: set status, .* of `info\.context\.response`"),
    ("parse_json", "not called: override `decode_json`"),
    ("process_errors", r"not called: override `_format_error\(error\)`"),
    ("should_render_graphql_ide", "not called: set `graphiql`"),
]


@pytest.mark.parametrize(("name", "instead"), STRAWBERRYS)
def test_a_hook_of_strawberry_says_what_takes_its_place(name: str, instead: str) -> None:
    with pytest.raises(TypeError, match=f"Mine: `{name}` of Strawberry is {instead}"):
        declared(GraphqlHttpConsumer, **{name: one})
    declared(GraphqlHttpConsumer, **{name: one, "own_names": [name]})
    declared(GraphqlHttpConsumer, **{name: "a text"})


def test_helpers_of_a_websocket_may_have_names_that_strawberry_uses_over_http() -> None:
    declared(parse_json=one, create_response=two)
    with pytest.raises(TypeError, match="set `subprotocols`, the preferred one first"):
        declared(pick_websocket_subprotocol=two)


@EVERY
def test_classes_of_strawberrys_inside_are_refused(base: Any) -> None:
    with pytest.raises(TypeError, match=r"`graphql_ws_handler_class` of Strawberry is not used"):
        declared(base, graphql_ws_handler_class=dict)


@EVERY
def test_an_execute_operation_that_cannot_be_called_is_refused(base: Any) -> None:
    async def strawberrys(self, request, context, root_value, sub_response): ...
    async def some(self, schema, document, **others): ...

    with pytest.raises(TypeError, match=r"gets the arguments of `graphql\.execute` by name"):
        declared(base, execute_operation=strawberrys)
    declared(base, execute_operation=some)
    declared(base, execute_operation=classmethod(lambda cls, **arguments: None))

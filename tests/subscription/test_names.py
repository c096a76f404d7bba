"""Names in the body of a `Subscription`: what is ours, what is the user's, what is misspelt."""

from __future__ import annotations

import functools
from typing import Any

import graphene
import pytest

from channels_graphql_ws import Subscription
from channels_graphql_ws.spelling import collecting
from channels_graphql_ws.subscription.declaration import SubscriptionOptions
from engine_fakes import Rig, schema_of

PUBLIC_NAMES = {
    "COMPLETE": "`publish` returns it to end a subscription",
    "Field": "mounts the class; the predecessor's name",
    "SKIP": "`publish` returns it to skip; the predecessor's name",
    "broadcast": "the predecessor's name",
    "broadcast_async": "the predecessor's name",
    "broadcast_sync": "the predecessor's name",
    "create_type": "Graphene's name",
    "disconnect": "ends connections; a field or method of it is the user's",
    "disconnect_async": "the same, to be awaited",
    "disconnect_sync": "the same, without an event loop",
    "gap_policy": "an option; a field or method of it is the user's",
    "broadcast_durable": "an option; a field or method of it is the user's",
    "broadcast_on_commit": "an option; a field or method of it is the user's",
    "history_size": "an option; a field or method of it is the user's",
    "history_ttl": "an option; a field or method of it is the user's",
    "is_type_of": "Graphene's name",
    "notification_queue_limit": "the predecessor's name; a field or method of it is the user's",
    "notification_queue_policy": "an option; a field or method of it is the user's",
    "permission_classes": "an option; a field of it is the user's",
    "resolve_sync_in_threads": "an option; a field or method of it is the user's",
    "unsubscribe": "the predecessor's name",
    "unsubscribe_async": "the predecessor's name",
    "unsubscribe_sync": "the predecessor's name",
}


def test_the_public_names_are_these_and_no_others() -> None:
    assert {name for name in dir(Subscription) if not name.startswith("_")} == set(PUBLIC_NAMES)


def test_nothing_else_of_a_users_class_is_ours() -> None:
    ours = set(vars(Subscription)) - set(vars(graphene.ObjectType)) - set(PUBLIC_NAMES)
    assert {name for name in ours if not name.startswith("__")} <= {"_meta"}


class Base(Subscription):
    """What the classes of these tests have in common."""

    class Meta:
        abstract = True

    value = graphene.Int()

    @staticmethod
    def publish(payload, info):
        return {"value": payload}


def declared(**body: Any) -> type[Subscription]:
    """Declare a class with this in its body."""
    return type("OnEvent", (Base,), body)


async def test_a_field_or_method_that_is_called_disconnect_is_the_users() -> None:
    methods = declared(disconnect=staticmethod(lambda: "mine"))
    assert methods.disconnect() == "mine"
    fields = declared(disconnect=graphene.Int())
    assert await received(fields) == [{"value": 0}]


async def received(cls: type[Subscription], count: int = 1) -> Any:
    rig = Rig(schema_of(cls))
    client = await rig.subscribe("subscription { event { value } }")
    for number in range(count):
        rig.hub.broadcast(number)
    data = client.data
    await rig.end(client)
    return data


def helper(*_: object, **__: object) -> None:
    """Stand for a method of the user's."""
    raise AssertionError


OWN = {
    "a field group_name": {"group_name": graphene.String()},
    "an attribute group_name": {"group_name": "the framework's"},
    "a method group_name": {"group_name": helper},
    "a field notification_queue_policy": {"notification_queue_policy": graphene.String()},
    "a field notification_queue_limit": {"notification_queue_limit": graphene.Int()},
    "a method notification_queue_limit": {"notification_queue_limit": helper},
    "a property notification_queue_policy": {"notification_queue_policy": property(helper)},
    "fields with the names of new hooks": {
        name: graphene.String() for name in ("initial", "filter_event", "context_id", "coalesce")
    },
    "classes with the names of new hooks": {
        name: type(name, (), {}) for name in ("initial", "filter_event", "context_id")
    },
    "attributes with the names of new hooks": {"initial": "I", "context_id": 3, "coalesce": None},
    "fields with the names of methods": {
        name: graphene.String()
        for name in ("broadcast", "unsubscribe", "subscribe", "unsubscribed")
    },
    "private helpers": {
        name: staticmethod(helper) for name in ("_outgoing", "_broadcasts", "_send", "_topic")
    },
    "a field near a hook": {"subscribed": graphene.Boolean(), "filter_events": graphene.Int()},
    "a field near an option": {"notification_queue_limits": graphene.Int()},
    "helpers near hooks": {
        "subscribed": classmethod(lambda cls, user: None),
        "subscribers": classmethod(lambda cls: []),
        "published": staticmethod(lambda payload: None),
        "filter_events": staticmethod(lambda events, user: events),
        "publisher": property(helper),
    },
    "attributes near options, of another type": {"notification_queue_limits": {"a": 3}},
    "a resolver": {"resolve_value": lambda root, info: root["value"]},
    "an unsubscribe of its own": {"unsubscribe": classmethod(lambda cls, root, info: None)},
}


@pytest.mark.parametrize("body", OWN.values(), ids=OWN.keys())
async def test_names_of_the_user_are_not_in_the_way(body: dict[str, Any]) -> None:
    cls = declared(**body)
    assert await received(cls, 2) == [{"value": 0}, {"value": 1}]


def function(root, info, **arguments):
    """A hook of any name."""


MISSPELT: list[tuple[str, Any, str]] = [
    ("subcribe", function, "subscribe"),
    ("subscirbe", staticmethod(function), "subscribe"),
    ("Subscribe", classmethod(lambda cls, root, info: None), "subscribe"),
    ("suscribe", lambda self, _info: None, "subscribe"),
    ("unsubscibed", function, "unsubscribed"),
    ("un_subscribed", function, "unsubscribed"),
    ("filterEvent", function, "filter_event"),
    ("filter_events", lambda payload, info: True, "filter_event"),
    ("contextid", function, "context_id"),
    ("context_ids", lambda *args: None, "context_id"),
    ("inital", function, "initial"),
    ("intial", functools.lru_cache(function), "initial"),
    ("notification_queue_limt", 5, "notification_queue_limit"),
    ("notification_queue_size", 5, "notification_queue_limit"),
    ("notifcation_queue_policy", "close", "notification_queue_policy"),
    ("Argument", type("Argument", (), {}), "Arguments"),
    ("arguments_", type("arguments_", (), {}), "Arguments"),
    ("Outptu", type("Outptu", (), {}), "Output"),
]


@pytest.mark.parametrize(("name", "value", "meant"), MISSPELT)
def test_a_misspelt_name_is_refused_when_the_class_is_made(
    name: str, value: Any, meant: str
) -> None:
    with pytest.raises(TypeError, match="did you mean") as caught:
        declared(**{name: value})
    assert str(caught.value) == (
        f"Subscription 'OnEvent': there is no {name!r}, did you mean {meant!r}? If the name is "
        f"meant as it is, say so: `class Meta: own_names = [{name!r}]`"
    )


@pytest.mark.parametrize(("name", "value", "meant"), MISSPELT)
def test_a_name_that_is_meant_as_it_is_may_be_kept(name: str, value: Any, meant: str) -> None:
    del meant
    cls = declared(**{name: value, "Meta": type("Meta", (), {"own_names": [name]})})
    declared_below = type("OnOther", (cls,), {name: value})
    assert issubclass(declared_below, Subscription)


def test_a_misspelt_publish_is_refused_with_the_right_spelling() -> None:
    with pytest.raises(TypeError, match="no 'pubilsh', did you mean 'publish'"):

        class OnEvent(Subscription):
            value = graphene.Int()
            pubilsh = function


def test_a_misspelt_name_in_a_mixin_or_an_abstract_base_is_refused() -> None:
    class Mixin:
        subcribe = staticmethod(function)

    class Abstract(Base):
        class Meta:
            abstract = True

        unsubscribd = function

    for base in (Mixin, Abstract):
        bases = (base, Base) if base is Mixin else (base,)
        with pytest.raises(TypeError, match="did you mean"):
            type("OnEvent", bases, {})


@pytest.mark.parametrize(
    ("name", "meant"),
    [("none_skip", "none_skips"), ("noneSkips", "none_skips"), ("argument", "arguments")],
)
def test_a_misspelt_name_in_meta_is_refused(name: str, meant: str) -> None:
    with pytest.raises(TypeError, match=f"`Meta` has no {name!r}, did you mean {meant!r}"):
        declared(Meta=type("Meta", (), {name: False}))
    with pytest.raises(TypeError, match="did you mean"):

        class OnKeyword(Base, **{name: False}):
            pass


def test_what_graphene_and_frameworks_have_in_meta_is_left_alone() -> None:
    class Framework(Base):
        class Meta:
            abstract = True

        @classmethod
        def __init_subclass_with_meta__(cls, model: Any = None, **options: Any) -> None:
            cls.model = model
            super().__init_subclass_with_meta__(**options)

    class OnModel(Framework):
        class Meta:
            name = "OnNamed"
            description = "Described."
            model = int
            registry = None

    assert OnModel.model is int
    assert (OnModel._meta.name, OnModel._meta.description) == ("OnNamed", "Described.")


class Options(SubscriptionOptions):
    """Options of a framework."""

    model: Any = None


def test_options_of_a_framework_may_be_given_by_position() -> None:
    class Framework(Base):
        class Meta:
            abstract = True

        @classmethod
        def __init_subclass_with_meta__(
            cls,
            subscribe=None,
            publish=None,
            unsubscribed=None,
            output=None,
            arguments=None,
            _meta=None,
            model=None,
            **options,
        ):
            _meta = Options(cls)
            _meta.model = model
            super().__init_subclass_with_meta__(
                subscribe, publish, unsubscribed, output, arguments, _meta, **options
            )

    class OnModel(Framework):
        class Meta:
            model = int

    assert OnModel._meta.model is int
    assert OnModel._meta.none_skips is True


@pytest.mark.parametrize(
    ("name", "instead"), [("_group_name", "group_name_prefix"), ("_channel_layer", "alias")]
)
@pytest.mark.parametrize("kind", [staticmethod, classmethod, lambda method: method])
def test_a_private_method_of_the_predecessor_is_refused_with_what_takes_its_place(
    name: str, instead: str, kind: Any
) -> None:
    with pytest.raises(TypeError, match=f"`{name}` of django-channels.*{instead}"):
        declared(**{name: kind(function)})
    cls = declared(**{name: kind(function), "Meta": type("Meta", (), {"own_names": (name,)})})
    assert hasattr(cls, name)
    assert declared(**{name: "no method"})


def test_a_subscribe_that_wraps_the_predecessors_private_one_is_refused() -> None:
    with pytest.raises(TypeError, match=r"`_subscribe` of django-.* override `subscribe`"):

        class Guarded(Base):
            @classmethod
            def _subscribe(cls, root: Any, info: Any, *args: Any, **kwds: Any) -> Any:
                return super()._subscribe(root, info, *args, **kwds)  # type: ignore[misc]

    class Helped(Base):
        """Has a helper of that name."""

        @staticmethod
        def _subscribe(room: str) -> str:
            return f"room {room}"

    assert Helped._subscribe("tea") == "room tea"


@pytest.mark.parametrize("name", ["initial", "filter_event", "context_id", "on_gap"])
def test_a_helper_with_the_name_of_a_hook_is_refused_or_kept(name: str) -> None:
    body = {name: classmethod(lambda cls, user: None)}
    with pytest.raises(TypeError, match=rf"`{name}` is a hook, but it cannot be called as"):
        declared(**body)
    own = declared(**body, Meta=type("Meta", (), {"own_names": [name]}))
    assert getattr(own._meta, name) is None


def test_a_hook_that_lacks_an_argument_of_the_class_is_refused() -> None:
    arguments = type("Arguments", (), {"room": graphene.String()})
    with pytest.raises(TypeError, match=r"called as `initial\(root, info, room=…\)`"):
        declared(Arguments=arguments, initial=lambda root, info: None)
    assert declared(Arguments=arguments, initial=lambda root, info, room: None)._meta.initial


def test_a_function_that_does_not_tell_its_parameters_could_be_a_hook() -> None:
    class Opaque(staticmethod):  # type: ignore[type-arg]
        __signature__ = "none"

    with pytest.raises(TypeError, match="did you mean 'initial'"):
        declared(inital=Opaque(max))


def test_a_hook_that_does_not_tell_its_parameters_is_taken() -> None:
    class Opaque:
        __signature__ = "none"

        def __call__(self, *args: Any, **_: Any) -> Any: ...

    assert declared(initial=Opaque())._meta.initial
    assert declared(publish=Opaque())._meta.publish


def test_all_that_is_wrong_with_a_class_is_told_at_once_to_who_collects_it() -> None:
    meta = type("Meta", (), {"history_size": 3, "none_skip": False})
    with collecting() as refused:
        declared(_group_name=function, none_skips=False, subcribe=function)
        declared(Meta=meta)
    said = [str(error) for _, error in refused]
    expected = [
        "`_group_name` of django-channels-graphql-ws is not called",
        "`none_skips` belongs into the inner class",
        "there is no 'subcribe', did you mean 'subscribe'?",
        "`Meta` has no 'history_size', which is an attribute of the class itself",
        "`Meta` has no 'none_skip', did you mean 'none_skips'?",
    ]
    for part in expected:
        assert any(part in each for each in said), (part, said)


@pytest.mark.parametrize("limit", ["many", [1], {}])
def test_a_limit_that_is_not_a_number_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match=r"notification_queue_limit is .*must be a number"):
        declared(notification_queue_limit=limit)


@pytest.mark.parametrize("answer", [lambda: False, (each for each in ())])
async def test_a_filter_that_is_true_by_mistake_lets_nothing_through(answer: Any) -> None:
    cls = declared(filter_event=staticmethod(lambda payload, info: answer))
    rig = Rig(schema_of(cls))
    client = await rig.subscribe("subscription { event { value } }")
    rig.hub.broadcast(1)
    [result] = client.results
    assert "`filter_event` returned" in result["errors"][0]["message"]
    assert result["data"] is None
    await rig.end(client)


@pytest.mark.parametrize(("answer", "count"), [(1, 1), ([], 0), (Subscription.SKIP, 0)])
async def test_a_filter_may_return_anything_that_is_true_or_false(answer: Any, count: int) -> None:
    cls = declared(filter_event=staticmethod(lambda payload, info: answer))
    assert len(await received(cls)) == count


class WithoutTextError(Exception):
    """One whose text is code that fails."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


async def test_a_filter_whose_error_has_no_text_is_told_and_the_next_event_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def filter_event(payload: Any, info: Any) -> bool:
        if payload == 0:
            raise WithoutTextError
        return True

    cls = declared(filter_event=staticmethod(filter_event))
    rig = Rig(schema_of(cls))
    client = await rig.subscribe("subscription { event { value } }")
    for number in range(2):
        rig.hub.broadcast(number)
    first, second = client.results
    assert first["errors"][0]["message"] == "Internal server error"
    assert second == {"data": {"event": {"value": 1}}}
    assert "failed, and so did the text of its error" in caplog.text
    await rig.end(client)

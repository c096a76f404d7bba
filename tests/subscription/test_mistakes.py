"""A `Subscription` class that cannot work says so when it is made."""

from __future__ import annotations

import logging

import graphene
import pytest

from channels_graphql_ws import GraphqlWsConsumer, PayloadTypeError, Subscription
from channels_graphql_ws.subscription.fitting import returns_nothing
from channels_graphql_ws.testing import GraphqlWebsocketCommunicator


def static(function) -> staticmethod:
    return staticmethod(function)


def made(**body) -> type[Subscription]:
    """Make a class with this body."""
    usual = {"text": graphene.String(), "publish": static(lambda payload, info: None)}
    return type("OnEvent", (Subscription,), {**usual, **body})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"none_skips": False}, r"belongs into the inner class: `class Meta: none_skips = False`"),
        ({"Meta": type("Meta", (), {"history_size": 3})}, "is an attribute of the class itself"),
        ({"Input": type("Input", (), {"room": graphene.String()})}, "called `Arguments`, and not"),
        ({"Args": type("Args", (), {"room": graphene.String()})}, "`Arguments`, and not `Args`"),
        ({"arguments": type("A", (), {"room": graphene.String()})}, "and not `arguments`"),
        ({"subscribe": ["tea"]}, "`subscribe` is a hook: it must be a method, not"),
        ({"unsubscribed": "tea"}, "`unsubscribed` is a hook: it must be a method, not 'tea'"),
        ({"Meta": type("Meta", (), {"interface": ()})}, "did you mean 'interfaces'"),
        ({"at": graphene.DateTime}, r"is a type, and no field .* `at = graphene.DateTime\(\)`"),
        ({"all": graphene.List}, r"write `all = graphene.List\(…\)`"),
        (
            {"Arguments": type("Arguments", (), {"room": graphene.String})},
            r"write `room = graphene.String\(\)`",
        ),
        ({"unsubscribe": static(lambda root, info: None)}, "the hook is called `unsubscribed`"),
        ({"subscribe": static(lambda root: None)}, r"called as `subscribe\(root, info\)`"),
        ({"publish": static(lambda payload: None)}, r"called as `publish\(payload, info\)`"),
        ({"unsubscribed": static(lambda: None)}, r"called as `unsubscribed\(root, info\)`"),
        (
            {"publish": static(lambda root, payload, info: None)},
            r"cannot be called as `publish\(payload, info\)`",
        ),
        (
            {
                "subscribe": static(lambda root, info, rom: None),
                "Arguments": type("Arguments", (), {"room": graphene.String()}),
            },
            r"cannot be called as `subscribe\(root, info, room\)`",
        ),
    ],
)
def test_a_name_that_means_nothing_here_is_refused(body, said):
    with pytest.raises(TypeError, match=said):
        made(**body)


def annotated(**annotations):
    """Make a class with annotations and nothing else in its body."""
    return type("Arguments", (), {"__annotations__": annotations})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            type("Arguments", (), {"room": str}),
            r"`room` is a type of Python: .*graphene.String\(\)",
        ),
        (type("Arguments", (), {"ids": list}), r"write `ids = graphene.List\(…\)`"),
        (annotated(room=str), r"is an annotation only: write `room = graphene.String\(\)`"),
        (annotated(size="int"), r"write `size = graphene.Int\(\)`"),
        (annotated(ids="list[int]"), r"write `ids = graphene.List\(…\)`"),
        (annotated(room=str | None), r"write `room = graphene.…`"),
    ],
)
def test_an_argument_that_is_a_type_of_python_is_refused_with_what_to_write(arguments, said):
    with pytest.raises(TypeError, match=said):
        made(Arguments=arguments, publish=static(lambda payload, info, **arguments: None))


def test_arguments_may_have_annotations():
    class Arguments:
        room: graphene.String = graphene.String(required=True)

    cls = made(Arguments=Arguments, publish=static(lambda payload, info, room: None))
    assert list(cls._meta.arguments) == ["room"]


def test_arguments_of_a_mounted_field_are_refused_with_their_place():
    with pytest.raises(TypeError, match=r"no argument 'room'.* in its inner class `Arguments`"):
        made().Field(room=graphene.String())
    with pytest.raises(TypeError, match="positional"):
        made().Field("name", "description", "reason", True, "more")
    assert made().Field("name", description="What it is.").name == "name"


def test_many_groups_are_refused_with_what_to_call():
    with pytest.raises(TypeError, match="not \\['a', 'b'\\]: call this for each of them"):
        made().broadcast(group=["a", "b"])


async def yields_events(self, info):
    yield {"text": "tea"}


@pytest.mark.parametrize("kind", [static, classmethod, lambda function: function])
@pytest.mark.parametrize("hook", [yields_events, lambda self, info: (yield "tea")])
def test_a_subscribe_that_yields_is_refused_with_what_to_write(kind, hook):
    takes_class = (lambda cls, root, info: (yield)) if kind is classmethod else hook
    with pytest.raises(TypeError) as caught:
        made(subscribe=kind(takes_class))
    assert '`return ["…"]`, the groups to listen to' in str(caught.value)
    assert "is sent by `OnEvent.broadcast(group=…, payload=…)`" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["publish", "initial", "filter_event", "context_id", "on_gap", "unsubscribed"]
)
def test_any_hook_that_yields_is_refused(name):
    with pytest.raises(TypeError, match=f"`{name}` is called for what it returns, and has a"):
        made(**{name: static(yields_events)})


def test_a_coalesce_that_yields_is_refused():
    with pytest.raises(TypeError, match="`coalesce` is called for what it returns"):
        made(coalesce=static(lambda payload: (yield payload)))


def test_a_hook_that_yields_may_be_meant_as_it_is():
    own = type("Meta", (), {"own_names": ["unsubscribed"]})
    assert made(unsubscribed=static(yields_events), Meta=own)


def test_a_list_may_be_made_of_what_publish_yields():
    many = type("Meta", (), {"output": graphene.List(graphene.String)})
    assert made(publish=static(yields_events), Meta=many)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"history_size": "10"}, "history_size is '10'; it must be a whole number"),
        ({"history_size": -1}, "history_size is -1"),
        ({"history_ttl": 0}, "history_ttl is 0; it must be a number of seconds"),
        ({"history_ttl": True}, "history_ttl is True"),
    ],
)
def test_a_history_that_makes_no_sense_is_refused(body, said):
    with pytest.raises(ValueError, match=said):
        made(**body)


@pytest.mark.parametrize("name", ["broadcast_on_commit", "broadcast_durable"])
def test_a_flag_is_true_or_false(name):
    with pytest.raises(ValueError, match=f"{name} is 1; it must be `True`, `False` or `None`"):
        made(**{name: 1})
    assert made(**{name: graphene.Boolean()})


def test_what_is_meant_as_it_is_may_stay():
    room = {"room": graphene.String()}
    made(Input=type("Input", (graphene.InputObjectType,), room))
    made(Input=type("Input", (), room), Arguments=type("Arguments", (), room))
    made(Input=type("Input", (), {"limit": 3}), none_skips=graphene.Boolean())
    made(Input=7)
    made(Url=type("Url", (graphene.String,), {}))
    made(history_size=graphene.Int(), history_ttl=lambda self: 3)
    made(unsubscribe=static(lambda group: None))
    # Clients that do not send the argument are served.
    made(Arguments=type("Arguments", (), room), subscribe=static(lambda root, info: None))
    made(subscribe=static(print), publish=static(dict.fromkeys))
    own = type("Meta", (), {"own_names": ["subscribe"]})
    made(subscribe=static(lambda root: None), Meta=own)


def test_nobody_subscribes_to_the_base_class():
    with pytest.raises(TypeError, match="Nobody can subscribe to `Subscription` itself"):
        Subscription.broadcast(payload="Milk?")


def test_an_object_of_graphql_is_no_payload():
    cls = made()
    with pytest.raises(PayloadTypeError) as error:
        cls.broadcast(payload=cls(text="Milk?"))
    assert "Broadcast what `publish` needs" in error.value.__notes__[0]
    with pytest.raises(PayloadTypeError) as error:
        cls.broadcast(payload=object())
    assert not hasattr(error.value, "__notes__")


def forgets(payload, info):
    {"text": payload}  # noqa: B018 (that is the mistake)


async def forgets_later(payload, info):
    {"text": payload}  # noqa: B018 (that is the mistake)


def decides(payload, info):
    if payload == "Milk?":
        return {"text": payload}
    return None


def yields(payload, info):
    yield payload


def raises(payload, info):
    raise ValueError(payload)


@pytest.mark.parametrize("function", [forgets, forgets_later])
def test_a_function_without_return_returns_nothing(function):
    assert returns_nothing(function)


@pytest.mark.parametrize("function", [decides, yields, raises, print, lambda payload: payload])
def test_other_functions_return_something(function):
    assert not returns_nothing(function)


@pytest.mark.parametrize(("publish", "count"), [(forgets, 1), (forgets_later, 1), (decides, 0)])
async def test_a_return_that_is_missing_is_told_once(caplog, publish, count):
    cls = made(publish=static(publish))

    class Subscriptions(graphene.ObjectType):
        on_event = cls.Field()

    class Query(graphene.ObjectType):
        ok = graphene.Boolean()

    schema = graphene.Schema(query=Query, subscription=Subscriptions)
    client = GraphqlWebsocketCommunicator(GraphqlWsConsumer.as_asgi(schema=schema), "/")
    async with client, client.subscribe("subscription { onEvent { text } }"):
        for _ in range(2):
            await cls.broadcast(payload="Lemon?")
        await client.execute("{ ok }")
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(said) == count
    assert all("`publish` of OnEvent has no `return`" in each for each in said)

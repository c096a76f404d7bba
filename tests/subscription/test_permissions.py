"""Permissions of Subscription classes: who may subscribe, and who gets an event."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import graphene
import pytest
from graphql import GraphQLError

from channels_graphql_ws import BasePermission, Subscription
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.spelling import collecting
from engine_fakes import FakeClient, Rig, here, schema_of
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

NUMBERS = "subscription { event { number } }"
OF_ROOM = "subscription Of($room: String) { event(room: $room) { number } }"


class Answers:
    """What the permission says, and what it was asked."""

    def __init__(self) -> None:
        self.verdict: Any = lambda source: True
        self.asked: list[Any] = []
        self.arguments: list[Any] = []
        self.threads: set[int] = set()

    def give(self, source: Any, arguments: Any) -> Any:
        self.asked.append(source)
        self.arguments.append(arguments)
        self.threads.add(here())
        return self.verdict(source)


answers = Answers()


class Member(BasePermission):
    message = "Members only."
    code = "MEMBERS"

    def has_permission(self, source, info, **arguments):
        return answers.give(source, arguments)


class MemberLater(BasePermission):
    message = "Members only."
    code = "MEMBERS"

    async def has_permission(self, source, info, **arguments):
        await tick()
        return answers.give(source, arguments)


class Event(Subscription):
    number = graphene.Int()

    class Arguments:
        room = graphene.String()

    alike: Any = None
    groups: Any = None
    meanwhile: Any = None
    refused: Any = ()
    first: Any = None

    @classmethod
    def subscribe(cls, root, info, room=None):
        return cls.groups and cls.groups()

    @classmethod
    def context_id(cls, root, info, room=None):
        return cls.alike

    @classmethod
    def initial(cls, root, info, room=None):
        return cls.first

    @classmethod
    def filter_event(cls, payload, info, room=None):
        return payload not in cls.refused

    @classmethod
    def publish(cls, payload, info, room=None):
        return {"number": payload} if cls.meanwhile is None else cls.meanwhile(payload)


PERMISSIONS = [Member, MemberLater, Member & ~~MemberLater]
CLASSES = [
    type(f"Event{number}", (Event,), {"permission_classes": [each]})
    for number, each in enumerate(PERMISSIONS)
]


@pytest.fixture(autouse=True)
def fresh(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    answers.__init__()  # type: ignore[misc]
    for name in ("groups", "meanwhile", "first"):
        monkeypatch.setattr(Event, name, None)
    monkeypatch.setattr(Event, "refused", ())


@pytest.fixture(params=[None, "alike"], ids=["single", "shared"])
def alike(request, monkeypatch):
    monkeypatch.setattr(Event, "alike", request.param)


@pytest.fixture(params=CLASSES, ids=["sync", "async", "combined"])
def event(request) -> type[Event]:
    cls: type[Event] = request.param
    return cls


@pytest.fixture(params=[False, True], ids=["on the loop", "in threads"])
def rig(request, event, alike) -> Rig:
    return Rig(schema_of(event), resolve_sync_in_threads=request.param)


def numbers(client: FakeClient) -> list[Any]:
    return [data["number"] for data in client.data]


async def test_a_client_that_may_subscribes_and_gets_events(rig):
    client = await rig.subscribe(OF_ROOM, room="tea")
    rig.hub.broadcast(1)
    await client.hears(1)
    assert numbers(client) == [1]
    assert list(dict.fromkeys(answers.asked)) == [None, 1]
    assert all(each == {"room": "tea"} for each in answers.arguments)


async def test_a_client_that_may_not_is_refused_before_anything_else(rig):
    answers.verdict = lambda source: False
    Event.groups = lambda: pytest.fail("asked")
    client = await rig.run(NUMBERS)
    [error] = client.errors
    assert client.refusal is Refusal.SUBSCRIBE
    assert client.cohort is None
    assert not rig.hub.all_listeners()
    assert (error["message"], error["extensions"]) in [
        ("Members only.", {"code": "MEMBERS"}),
        ("You do not have permission to do this.", {"code": "FORBIDDEN"}),
    ]


async def test_a_permission_that_raises_refuses_and_the_log_has_its_traceback(rig, caplog):
    answers.verdict = lambda source: 1 / 0
    client = await rig.run(NUMBERS)
    assert client.cohort is None
    assert "division" not in str(client.errors)
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert record.exc_info is not None
    assert "was denied" in record.getMessage()


async def test_a_graphql_error_tells_the_client_why(rig, caplog):
    def verdict(source):
        raise GraphQLError("Log in first.")

    answers.verdict = verdict
    client = await rig.run(NUMBERS)
    assert [each["message"] for each in client.errors] == ["Log in first."]
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_an_event_is_kept_from_a_client_that_may_not_have_it(rig):
    answers.verdict = lambda source: source != 1
    client = await rig.subscribe(NUMBERS)
    for number in (1, 2):
        rig.hub.broadcast(number)
    await client.hears(1)
    assert numbers(client) == [2]


async def test_a_permission_that_raises_keeps_the_event_and_is_logged(rig, caplog):
    answers.verdict = lambda source: 1 / 0 if source == 1 else True
    client = await rig.subscribe(NUMBERS)
    for number in (1, 2):
        rig.hub.broadcast(number)
    await client.hears(1)
    assert numbers(client) == [2]
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert record.exc_info is not None
    assert "keeps events of" in record.getMessage()


async def test_an_error_with_many_clients_is_logged_once(rig, caplog):
    answers.verdict = lambda source: 1 / 0 if source == 1 else True
    clients = [await rig.subscribe(NUMBERS, id=each) for each in "12"]
    for number in (1, 2):
        rig.hub.broadcast(number)
    for client in clients:
        await client.hears(1)
    warned = [each for each in caplog.records if "keeps events of" in each.getMessage()]
    assert len(warned) == 1


async def test_to_raise_a_graphql_error_is_a_way_to_say_no_to_an_event(rig, caplog):
    def verdict(source):
        if source == 1:
            raise GraphQLError("no")
        return True

    answers.verdict = verdict
    client = await rig.subscribe(NUMBERS)
    for number in (1, 2):
        rig.hub.broadcast(number)
    await client.hears(1)
    assert numbers(client) == [2]
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_what_the_filter_keeps_is_not_asked_about(rig):
    client = await rig.subscribe(NUMBERS)
    Event.refused = (1,)
    for number in (1, 2):
        rig.hub.broadcast(number)
    await client.hears(1)
    assert numbers(client) == [2]
    assert 1 not in answers.asked


async def test_a_permission_revoked_while_publish_waits_keeps_the_event(rig):
    entered, opened = asyncio.Event(), asyncio.Event()

    async def waiting(payload):
        if payload == 1:
            entered.set()
            await opened.wait()
        return {"number": payload}

    Event.meanwhile = waiting
    client = await rig.subscribe(NUMBERS)
    rig.hub.broadcast(1)
    await entered.wait()
    answers.verdict = lambda source: source != 1
    opened.set()
    rig.hub.broadcast(2)
    await client.hears(1)
    assert numbers(client) == [2]


async def test_the_first_event_is_kept_from_a_client_whose_right_has_gone(rig):
    gone = asyncio.Event()

    def groups():
        answers.verdict = lambda source: source is not None
        gone.set()

    Event.groups = groups
    Event.first = {"number": 0}
    client = await rig.subscribe(NUMBERS)
    rig.hub.broadcast(1)
    await client.hears(1)
    assert gone.is_set()
    assert numbers(client) == [1]


async def test_clients_that_share_are_asked_one_by_one(rig):
    first = await rig.subscribe(NUMBERS, id="1")
    second = await rig.subscribe(NUMBERS, id="2")
    answers.verdict = lambda source: len([each for each in answers.asked if each == 1]) < 2
    answers.asked.clear()
    rig.hub.broadcast(1)
    await wait_until(lambda: answers.asked.count(1) >= 2)
    answers.verdict = lambda source: True
    rig.hub.broadcast(2)
    await first.hears(1)
    await second.hears(1)
    await wait_until(lambda: numbers(first)[-1:] == numbers(second)[-1:] == [2])
    assert (numbers(first) + numbers(second)).count(1) <= 1


@pytest.mark.parametrize("given", [Member, [int], [Member()], None, "Member"])
def test_a_mistake_is_refused_when_the_class_is_made(given):
    body = {"permission_classes": given, "publish": staticmethod(lambda payload, info: None)}
    with pytest.raises(TypeError, match="permission_classes"):
        type("Mistaken", (Subscription,), body)


def test_a_misspelt_name_is_refused():
    body = {"permissions": [Member], "publish": staticmethod(lambda payload, info: None)}
    with pytest.raises(TypeError, match="did you mean 'permission_classes'"):
        type("Mistaken", (Subscription,), body)


def test_an_unknown_argument_is_refused():
    class House(BasePermission):
        def has_permission(self, source, info, house):
            return True

    body = {"permission_classes": [House], "publish": staticmethod(lambda payload, info: None)}
    with pytest.raises(TypeError, match="cannot be called as"):
        type("Mistaken", (Subscription,), body)


def test_a_field_of_that_name_is_a_field():
    body = {
        "permission_classes": graphene.List(graphene.String),
        "publish": staticmethod(lambda payload, info: None),
    }
    assert type("Mine", (Subscription,), body)._meta.permissions == ()


def test_a_name_of_the_users_own_is_left_alone():
    body = {
        "Meta": type("Meta", (), {"own_names": ["permission_classes"]}),
        "permission_classes": [int],
        "publish": staticmethod(lambda payload, info: None),
    }
    assert type("Mine", (Subscription,), body)._meta.permissions == ()


def test_a_field_of_that_name_does_not_hide_the_permissions_of_a_base():
    body = {"permission_classes": [Member], "publish": staticmethod(lambda payload, info: None)}
    parent = type("Parent", (Subscription,), body)
    child = type("Child", (parent,), {"permission_classes": graphene.List(graphene.String)})
    assert child._meta.permissions == (Member,)
    assert type("Grandchild", (child,), {})._meta.permissions == (Member,)


def test_permissions_are_inherited():
    body = {"permission_classes": [Member], "publish": staticmethod(lambda payload, info: None)}
    parent = type("Parent", (Subscription,), body)
    assert type("Child", (parent,), {})._meta.permissions == (Member,)


async def test_a_class_whose_mistake_is_only_collected_is_open_to_nobody():
    body = {
        "ok": graphene.Boolean(),
        "permission_classes": [int],
        "publish": staticmethod(lambda payload, info: {"ok": True}),
    }
    with collecting() as found:
        mistaken = type("Mistaken", (Subscription,), body)
    assert len(found) == 1
    client = await Rig(schema_of(mistaken)).run("subscription { event { ok } }")
    assert client.errors[0]["extensions"] == {"code": "FORBIDDEN"}


class Open(Event):
    pass


class OpenToo(Open):
    pass


@pytest.mark.parametrize("named_on", [OpenToo, Open, Subscription])
async def test_permissions_that_are_set_later_count_from_the_next_operation(named_on, monkeypatch):
    rig = Rig(schema_of(OpenToo))
    before = await rig.run(NUMBERS)
    monkeypatch.setattr(named_on, "permission_classes", [MemberLater])
    answers.verdict = lambda source: False
    refused = await rig.run(NUMBERS)
    assert refused.errors[0]["extensions"] == {"code": "MEMBERS"}
    rig.hub.broadcast(1)
    await before.hears(1)


async def test_permissions_that_are_added_to_the_list_count(rig, monkeypatch):
    named: list[Any] = []
    monkeypatch.setattr(OpenToo, "permission_classes", named)
    rig = Rig(schema_of(OpenToo))
    named.append(Member)
    answers.verdict = lambda source: False
    assert (await rig.run(NUMBERS)).errors[0]["extensions"] == {"code": "MEMBERS"}


@pytest.mark.parametrize("given", [None, Member, "Member", [int], [Member()], {Member}])
async def test_a_mistake_that_is_made_later_opens_the_class_to_nobody(given, monkeypatch, caplog):
    rig = Rig(schema_of(OpenToo))
    monkeypatch.setattr(OpenToo, "permission_classes", given)
    client = await rig.run(NUMBERS)
    assert client.errors[0]["extensions"] == {"code": "FORBIDDEN"}
    assert "Subscription 'OpenToo': `permission_classes`" in caplog.text


async def test_a_field_of_that_name_is_no_permission():
    body = {
        "permission_classes": graphene.List(graphene.String),
        "publish": staticmethod(lambda payload, info: {"permission_classes": ["a"]}),
    }
    rig = Rig(schema_of(type("Fielded", (Subscription,), body)))
    client = await rig.run("subscription { event { permissionClasses } }")
    rig.hub.broadcast(1)
    assert (await client.hears(1))[0]["data"]["event"] == {"permissionClasses": ["a"]}

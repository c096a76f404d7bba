"""Whose operation it is: nothing of a handshake counts before `on_connect` has accepted it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.cache import SessionStore
from django.utils.functional import SimpleLazyObject
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import ConnectionRejectionError, GraphqlWsConsumer, Subscription
from channels_graphql_ws.websocket import admission
from channels_graphql_ws.websocket.identity import Identities
from support import tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class Said(Subscription):
    """Tells each subscriber whose event it got."""

    text = graphene.String()

    @staticmethod
    def subscribe(root: Any, info: Any) -> None:
        _stage(info).executed(info.context)
        _stage(info).note("subscribed")

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, str]:
        return {"text": f"{payload} for {_whose(info.context)}"}

    @staticmethod
    def unsubscribed(root: Any, info: Any) -> None:
        _stage(info).note(f"unsubscribed {_whose(info.context)}")


class Query(graphene.ObjectType):
    """Answers with the identity that the operation has."""

    who = graphene.String(at=graphene.String())
    user = graphene.String()

    @staticmethod
    def resolve_user(root: Any, info: Any) -> Any:
        return info.context.user.pk

    @staticmethod
    async def resolve_who(root: Any, info: Any, at: str | None = None) -> str:
        _stage(info).executed(info.context)
        await _stage(info).at(at)
        return _whose(info.context)


class Mutation(graphene.ObjectType):
    """The same, and a login over the socket."""

    who = graphene.String(at=graphene.String())
    login = graphene.Boolean(name=graphene.String(), at=graphene.String())
    resolve_who = Query.resolve_who

    @staticmethod
    async def resolve_login(
        root: Any, info: Any, name: str | None = None, at: str | None = None
    ) -> bool:
        info.context.channels_scope["user"] = _user(name)
        await _stage(info).at(at)
        return True


class Subscriptions(graphene.ObjectType):
    """Root type of the subscriptions."""

    said = Said.Field()


SCHEMA = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)

SAID = "subscription { said { text } }"
WHO = "{ who }"


class Stage:
    """Holds up hooks and resolvers, and checks what they see of their client."""

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        self.decisions = 0
        self.notes: list[str] = []
        self._gates: list[tuple[str, asyncio.Event]] = []

    def note(self, what: str) -> None:
        self.notes.append(what)

    async def at(self, gate: str | None) -> None:
        """Wait until the gate is opened."""
        if gate is not None:
            opened = asyncio.Event()
            self._gates.append((gate, opened))
            await opened.wait()

    async def arrival(self, gate: str) -> None:
        """Return when somebody waits there."""
        await wait_until(lambda: any(name == gate for name, _ in self._gates))

    def open(self, number: int = 0) -> None:
        """Open one of the gates where somebody waits."""
        if self._gates:
            self._gates.pop(number % len(self._gates))[1].set()

    def open_all(self) -> None:
        """Open all gates where somebody waits."""
        while self._gates:
            self.open()

    def seen(self, *names: Any) -> None:
        """Check that all of what code sees is of one identity, an accepted one."""
        assert len(set(names)) == 1, names
        assert names[0] in self.accepted, names

    def executed(self, context: Any) -> None:
        """Check what a resolver sees when it begins."""
        assert self.decisions == 0, "an operation has begun while it was decided who this is"
        self.seen(_whose(context))


class Consumer(GraphqlWsConsumer):
    """Takes the name that a client gives, if the password is right."""

    schema = SCHEMA

    async def on_connect(self, payload: Any) -> None:
        stage = self.scope["stage"]
        stage.decisions += 1
        tenant.set(payload["user"])
        self.scope["user"] = _user(payload["user"])
        assert self.connection_params["user"] == payload["user"]
        await stage.at(payload.get("at"))
        assert self.scope["user"].pk == payload["user"]
        if payload.get("password") == "wrong":
            raise ConnectionRejectionError
        stage.decisions -= 1
        stage.accepted.add(payload["user"])

    async def on_operation(self, op_id: Any, payload: Any) -> None:
        await self.scope["stage"].at((payload.get("extensions") or {}).get("on_operation"))

    async def get_context(self, context: Any) -> Any:
        stage = self.scope["stage"]
        await stage.at("get_context" if str(context.graphql_operation_id)[0] == "c" else None)
        stage.seen(
            _whose(context), self.scope["user"].pk, self.connection_params["user"], tenant.get()
        )
        return context

    async def on_disconnect(self, code: int | None) -> None:
        user, stage = self.scope.get("user"), self.scope["stage"]
        name = "nobody" if user is None else user.pk
        stage.note(f"gone {name} {self.connection_params.get('user', 'nobody')} {tenant.get()}")


def _user(name: str | None) -> Any:
    return SimpleNamespace(pk=name)


def _whose(context: Any) -> str:
    params, user = context.connection_params, context.user
    assert params["user"] == user.pk
    name: str = user.pk
    return name


def _stage(info: Any) -> Stage:
    stage: Stage = info.context.channels_scope["stage"]
    return stage


def connect(subprotocol: str, stage: Stage, consumer: Any = Consumer) -> AsgiSocket:
    return AsgiSocket(consumer.as_asgi(), subprotocol, scope={"stage": stage})


async def ready(subprotocol: str, stage: Stage, consumer: Any = Consumer) -> AsgiSocket:
    socket = connect(subprotocol, stage, consumer)
    await socket.acknowledged(payload={"user": "alice"})
    return socket


async def second_ack(socket: AsgiSocket) -> None:
    await wait_until(lambda: socket.words.count("connection_ack") == 2)


@BOTH
async def test_a_refused_client_has_changed_nothing_that_the_last_hook_sees(
    subprotocol: str,
) -> None:
    stage = Stage()
    socket = connect(subprotocol, stage)
    socket.init(payload={"user": "admin", "password": "wrong"})
    await socket.ended()

    assert stage.notes == ["gone nobody nobody nobody"]


@BOTH
async def test_what_on_connect_has_set_holds_for_operations_and_for_the_last_hook(
    subprotocol: str,
) -> None:
    stage = Stage()
    socket = await ready(subprotocol, stage)
    socket.start("1", WHO)
    await socket.heard(f"{_result(subprotocol)}:1", "complete:1")
    assert socket.results("1")[0] == {"data": {"who": "alice"}}
    await socket.drop()

    assert stage.notes == ["gone alice alice alice"]


@BOTH
async def test_the_scope_of_operations_is_the_one_that_the_server_made(subprotocol: str) -> None:
    stage, scopes = Stage(), list[Any]()

    class Keeping(Consumer):
        async def connect(self) -> None:
            scopes.append(self.scope)
            await super().connect()

        def get_context(self, context: Any) -> Any:
            scopes.append(context.channels_scope)
            return context

    socket = await ready(subprotocol, stage, Keeping)
    socket.start("1", WHO)
    await socket.heard("complete:1")
    assert scopes[0] is scopes[1]
    await socket.drop()


@BOTH
async def test_on_connect_may_put_a_scope_in_the_place_of_the_old_one(subprotocol: str) -> None:
    class Replacing(GraphqlWsConsumer):
        schema = SCHEMA

        def on_connect(self, payload: Any) -> None:
            others = {name: value for name, value in self.scope.items() if name != "old"}
            self.scope = {**others, "user": _user("alice")}

        def get_context(self, context: Any) -> Any:
            assert "old" not in context.channels_scope
            self.scope["stage"].accepted.add("alice")
            return context

    socket = AsgiSocket(Replacing.as_asgi(), subprotocol, scope={"stage": Stage(), "old": "value"})
    await socket.acknowledged(payload={"user": "alice"})
    socket.start("1", WHO)
    await socket.heard("complete:1")
    assert socket.results("1")[0] == {"data": {"who": "alice"}}
    await socket.drop()


@pytest.mark.parametrize("operation", [WHO, "mutation { who }"])
@pytest.mark.parametrize("where", ["on_operation", "get_context", "document"])
async def test_an_operation_that_has_not_begun_is_lost_with_a_second_login_that_is_refused(
    where: str, operation: str
) -> None:
    stage = Stage()
    socket = await ready(LEGACY, stage)
    if where == "document":
        # A large document is parsed in a thread.
        operation = operation.replace("{", "{" + "".join(f" a{n}: who" for n in range(450)))
    id = "c" if where == "get_context" else "1"
    socket.start(id, operation, extensions={where: where})
    await stage.arrival(where) if where != "document" else await tick()
    socket.init(payload={"user": "admin", "password": "wrong", "at": "connect"})
    await stage.arrival("connect")
    stage.open(0)
    await tick(5)
    stage.open(0)
    await socket.ended()

    assert socket.results(id) == []
    assert socket.closes == [(4000, "Forbidden")]
    assert stage.notes == ["gone alice alice alice"]


@pytest.mark.parametrize("operation", [WHO, "mutation { who }", SAID])
async def test_an_operation_that_has_not_begun_is_refused_when_another_user_is_accepted(
    operation: str,
) -> None:
    stage = Stage()
    socket = await ready(LEGACY, stage)
    socket.start("1", operation, extensions={"on_operation": "before"})
    await stage.arrival("before")
    socket.init(payload={"user": "bob", "at": "connect"})
    await stage.arrival("connect")
    stage.open()
    await tick(5)
    assert socket.results("1") == []
    stage.open()
    await second_ack(socket)

    assert _codes(socket, "1") == ["IDENTITY_CHANGED"]
    await socket.drop()
    assert stage.notes == ["gone bob bob bob"]


async def test_an_operation_that_waits_is_executed_when_the_same_user_is_accepted_again() -> None:
    stage = Stage()
    socket = await ready(LEGACY, stage)
    socket.start("1", WHO, extensions={"on_operation": "before"})
    await stage.arrival("before")
    socket.init(payload={"user": "alice", "at": "connect"})
    await stage.arrival("connect")
    stage.open()
    await tick(5)
    assert socket.results("1") == []
    stage.open()
    await socket.heard("data:1", "complete:1")

    assert socket.results("1")[0] == {"data": {"who": "alice"}}
    await socket.drop()


async def test_another_user_ends_what_began_before_and_mutations_go_on_as_they_were() -> None:
    stage = Stage()
    socket = await ready(LEGACY, stage)
    socket.start("s", SAID)
    socket.start("q", '{ who(at: "query") }')
    socket.start("m", 'mutation { who(at: "mutation") }')
    await stage.arrival("mutation")
    socket.init(payload={"user": "bob"})
    await second_ack(socket)

    # Their ids are free when the client is told that it is somebody else.
    assert "complete:s" in socket.words
    assert _codes(socket, "q") == ["IDENTITY_CHANGED"]
    assert stage.notes == ["subscribed", "unsubscribed alice"]
    socket.start("s", SAID)
    socket.start("q", WHO)
    await socket.heard("data:q", "complete:q")
    assert socket.results("q")[-2] == {"data": {"who": "bob"}}

    await Said.broadcast(payload="hi")
    await wait_until(lambda: len(socket.results("s")) == 2)
    assert socket.results("s")[-1] == {"data": {"said": {"text": "hi for bob"}}}

    stage.open_all()
    await socket.heard("data:m", "complete:m")
    assert socket.results("m")[0] == {"data": {"who": "alice"}}
    await socket.drop()


async def test_a_new_token_of_the_same_user_changes_nothing_for_what_runs() -> None:
    stage = Stage()
    socket = await ready(LEGACY, stage)
    socket.start("s", SAID)
    await wait_until(lambda: "subscribed" in stage.notes)
    socket.init(payload={"user": "alice", "token": "new"})
    await second_ack(socket)

    await Said.broadcast(payload="hi")
    await wait_until(lambda: socket.results("s"))
    assert socket.results("s") == [{"data": {"said": {"text": "hi for alice"}}}]
    await socket.drop()


async def test_events_go_to_the_accepted_user_while_another_is_decided_on() -> None:
    stage = Stage()
    socket = await ready(LEGACY, stage)
    socket.start("s", SAID)
    await wait_until(lambda: "subscribed" in stage.notes)
    socket.init(payload={"user": "bob", "at": "connect", "password": "wrong"})
    await stage.arrival("connect")
    await Said.broadcast(payload="hi")
    await wait_until(lambda: socket.results("s"))

    assert socket.results("s") == [{"data": {"said": {"text": "hi for alice"}}}]
    await socket.drop()


@BOTH
@pytest.mark.parametrize("name", ["bob", None])
async def test_a_login_or_logout_by_a_mutation_is_answered_and_then_ends_the_rest(
    subprotocol: str, name: str | None
) -> None:
    stage = Stage()
    socket = await ready(subprotocol, stage)
    socket.start("s", SAID)
    socket.start("q", '{ who(at: "query") }')
    await stage.arrival("query")
    socket.start("m", "mutation($name: String) { login(name: $name) }", variables={"name": name})
    await wait_until(lambda: "complete:s" in socket.words)

    words = [word for word in socket.words if word[-1] in "smq"]
    assert words[:2] == [f"{_result(subprotocol)}:m", "complete:m"]
    assert _codes(socket, "q") == ["IDENTITY_CHANGED"]
    await socket.drop()


class Open(GraphqlWsConsumer):
    """Lets everybody in."""

    schema = SCHEMA


async def anonymous(subprotocol: str, stage: Stage) -> AsgiSocket:
    """Return a socket of nobody."""
    stage.accepted.add(None)  # type: ignore[arg-type]
    scope = {"stage": stage, "user": AnonymousUser()}
    socket = AsgiSocket(Open.as_asgi(), subprotocol, scope=scope)
    await socket.acknowledged(payload={"user": None})
    return socket


@BOTH
async def test_a_login_of_somebody_who_was_nobody_is_answered_and_then_ends_the_rest(
    subprotocol: str,
) -> None:
    stage = Stage()
    socket = await anonymous(subprotocol, stage)
    socket.start("s", SAID)
    socket.start("q", '{ who(at: "query") }')
    socket.start("o", 'mutation { who(at: "mutation") }')
    await stage.arrival("mutation")
    socket.start("m", 'mutation { login(name: "bob") }')
    await wait_until(lambda: "complete:s" in socket.words)

    words = [word for word in socket.words if word[-1] in "smq"]
    assert words[:2] == [f"{_result(subprotocol)}:m", "complete:m"]
    assert _codes(socket, "q") == ["IDENTITY_CHANGED"]
    assert stage.notes == ["subscribed", "unsubscribed None"]
    # A mutation goes on as the one who has begun it, and others begin as the new user.
    stage.open_all()
    socket.start("n", "{ user }")
    await wait_until(lambda: {"complete:o", "complete:n"} <= {*socket.words})
    assert socket.results("o")[0] == {"data": {"who": None}}
    assert socket.results("n")[0] == {"data": {"user": "bob"}}
    await socket.drop()


@BOTH
async def test_a_login_that_takes_its_time_is_answered_before_what_it_ends(
    subprotocol: str,
) -> None:
    stage = Stage()
    socket = await anonymous(subprotocol, stage)
    socket.start("s", SAID)
    socket.start("m", 'mutation { login(name: "bob", at: "login") }')
    await stage.arrival("login")
    socket.start("q", "{ user }")
    await socket.heard("complete:q")
    assert "complete:s" not in socket.words
    stage.open_all()
    await wait_until(lambda: "complete:s" in socket.words)
    assert socket.words.index("complete:m") < socket.words.index("complete:s")
    await socket.drop()


async def test_a_login_that_is_not_waited_for_ends_what_began_before() -> None:
    stage = Stage()
    socket = await anonymous(NEW, stage)
    socket.start("s", SAID)
    socket.start("m", 'mutation { login(name: "bob", at: "login") }')
    await stage.arrival("login")
    socket.stop("m")
    await wait_until(lambda: "complete:s" in socket.words)
    await socket.drop()


async def test_a_hook_that_finds_out_who_it_is_ends_nothing() -> None:
    class Late(Open):
        def on_operation(self, op_id: Any, payload: Any) -> None:
            self.scope["user"] = _user("alice")

    stage = Stage()
    stage.accepted.add("alice")
    scope = {"stage": stage, "user": AnonymousUser()}
    socket = AsgiSocket(Late.as_asgi(), NEW, scope=scope)
    await socket.acknowledged(payload={"user": "alice"})
    socket.start("s", SAID)
    for id in "12":
        socket.start(id, WHO)
        await socket.heard(f"complete:{id}")
        assert socket.results(id)[0] == {"data": {"who": "alice"}}
    assert "complete:s" not in socket.words
    socket.start("m", 'mutation { login(name: "bob") }')
    await wait_until(lambda: "complete:s" in socket.words)
    await socket.drop()


async def test_code_that_on_connect_has_started_goes_on_with_the_scope_of_the_connection() -> None:
    stage, opened = Stage(), asyncio.Event()
    later: list[asyncio.Task[None]] = []

    class Renewing(Consumer):
        async def on_connect(self, payload: Any) -> None:
            later.append(asyncio.create_task(self.renew()))
            await super().on_connect(payload)

        async def renew(self) -> None:
            await opened.wait()
            self.scope["renewed"] = True

        def get_context(self, context: Any) -> Any:
            stage.note(str(context.channels_scope.get("renewed")))
            return context

    socket = await ready(LEGACY, stage, Renewing)
    opened.set()
    await later[0]
    socket.start("1", WHO)
    await socket.heard("complete:1")
    assert stage.notes == ["True"]
    await socket.drop()


async def test_code_that_a_refusing_on_connect_has_started_sees_what_was_accepted_before() -> None:
    scope, opened = {"user": "alice"}, asyncio.Event()
    identities = Identities(scope)

    async def look() -> tuple[Any, Any]:
        await opened.wait()
        return identities.seen.scope, identities.seen.connection_params

    async def refuse() -> asyncio.Task[tuple[Any, Any]]:
        handshake = identities.propose({"user": "bob"})
        handshake.identity.scope["user"] = "bob"
        task = asyncio.create_task(look())
        await tick()
        handshake.reject()
        return task

    looking = await asyncio.create_task(refuse())
    opened.set()
    assert await looking == ({"user": "alice"}, {})
    assert scope == {"user": "alice"}


ACTIONS = st.one_of(
    st.tuples(
        st.just("init"),
        st.sampled_from(["alice", "bob", "carol"]),
        st.sampled_from(["right", "right", "right", "wrong"]),
        st.sampled_from([None, "connect"]),
    ),
    st.tuples(
        st.just("operation"),
        st.sampled_from(
            [WHO, "mutation { who }", SAID, '{ who(at: "x") }', 'mutation { who(at: "x") }']
        ),
        st.sampled_from([None, "before"]),
        st.booleans(),
    ),
    st.tuples(st.just("open"), st.integers(0, 3)),
    st.tuples(st.just("stop"), st.integers(0, 3)),
    st.tuples(st.just("broadcast")),
    st.tuples(st.just("wait")),
)


@settings(max_examples=150)
@given(st.lists(ACTIONS, min_size=3, max_size=14), st.integers(0, 4), st.sampled_from([1, 16]))
async def test_every_context_was_accepted_by_on_connect(
    actions: Any, turns: int, at_once: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "BEGUN_AT_ONCE", at_once)
        await _check_contexts(actions, turns)


async def _check_contexts(actions: Any, turns: int) -> None:
    stage, ids = Stage(), list[str]()
    socket = await ready(LEGACY, stage)

    def operation(query: str, gate: str | None, waits_for_context: bool) -> None:
        ids.append(f"{'c' if waits_for_context else 'o'}{len(ids)}")
        socket.start(ids[-1], query, extensions={"on_operation": gate})

    def init(user: str, password: str, gate: str | None) -> None:
        socket.init(payload={"user": user, "password": password, "at": gate})

    does: dict[str, Callable[..., object]] = {
        "init": init,
        "operation": operation,
        "open": stage.open,
        "stop": lambda number: ids and socket.stop(ids[number % len(ids)]),
        "broadcast": lambda: Said.broadcast(payload="hi"),
        "wait": lambda: None,
    }
    for name, *arguments in actions:
        done = does[name](*arguments)
        if isinstance(done, Awaitable):
            await done
        await tick(turns)
    stage.decisions *= bool(socket.closes)
    await _open_all(stage, socket)

    texts = str(socket.frames)
    assert "Error" not in texts, texts
    assert "ssertion" not in texts, texts


async def _open_all(stage: Stage, socket: AsgiSocket) -> None:
    socket.hang_up()
    while not socket.task.done():
        stage.open_all()
        await tick()
    await socket.ended()


def test_a_user_is_known_by_model_and_key_however_it_is_wrapped() -> None:
    wrapped = SimpleLazyObject(lambda: User(pk=1))
    wrapped.pk  # noqa: B018 (now it has been read)
    assert not _changes(User(pk=1), wrapped)
    assert not _changes(User(pk=1), User(pk=1, username="renamed"))
    assert _changes(User(pk=1), User(pk=2))
    assert _changes(User(pk=1), SimpleNamespace(pk=1))
    assert _changes(User(pk=1), AnonymousUser())
    assert not _changes(None, AnonymousUser())
    assert not _changes("alice", "alice")
    assert _changes("alice", "bob")


def test_a_user_that_was_not_read_yet_is_not_read_to_be_known() -> None:
    def read() -> Any:
        raise AssertionError

    lazy = SimpleLazyObject(read)
    assert not _changes(lazy, lazy)
    assert _changes(lazy, SimpleLazyObject(read))


def test_another_session_of_the_same_user_is_another_identity_and_the_first_one_is_not() -> None:
    assert _changes(SessionStore("a" * 32), SessionStore("b" * 32), "session")
    assert not _changes(SessionStore("a" * 32), SessionStore("a" * 32), "session")
    assert not _changes(SessionStore(), SessionStore("a" * 32), "session")


def _changes(before: Any, after: Any, name: str = "user") -> bool:
    identities = Identities({name: before})
    assert not identities.accept(identities.propose({}))
    handshake = identities.propose({})
    handshake.identity.scope[name] = after
    return identities.accept(handshake)


def _codes(socket: AsgiSocket, id: str) -> list[str]:
    errors = [
        error
        for payload in socket.results(id)
        if payload is not None
        for error in (payload if isinstance(payload, list) else payload.get("errors", ()))
    ]
    return [error["extensions"]["code"] for error in errors]


def _result(subprotocol: str) -> str:
    return "next" if subprotocol == NEW else "data"

"""What holds of the protocol in whatever order clients, applications and clocks speak."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.websocket.protocol import (
    REASON_LIMIT,
    Cancel,
    Close,
    Effect,
    Execute,
    Initialize,
    Operation,
    ProtocolSettings,
    Send,
    ServerProtocol,
    State,
)
from channels_graphql_ws.websocket.subprotocols import GRAPHQL_TRANSPORT_WS, SUBPROTOCOLS

IDS = st.sampled_from(["1", "2", "ж" * 200, 1])
"""Few, so that they are used again; one is longer than a reason, one only for the legacy."""

GARBAGE = st.sampled_from(
    [b"", None, "{", "[]", "{}", '{"type":"ж"}', '{"type":"connection_init","payload":7}']
)


class Conversation(RuleBasedStateMachine):
    """Checks each effect when it comes; `data` draws from the operations that there were."""

    @initialize(
        dialect=st.sampled_from(SUBPROTOCOLS),
        answers=st.booleans(),
        far=st.sampled_from(["opened", "initialising", "ready", "ready", "ready"]),
    )
    def open(self, dialect: Any, answers: bool, far: str) -> None:
        self.protocol = ServerProtocol(dialect, ProtocolSettings(answer_complete=answers))
        self.acknowledged = self.asked = self.closed = False
        self.live: dict[Any, Operation] = {}
        self.newest: dict[Any, Operation] = {}
        self.stopping: list[Operation] = []
        self.operations: list[Operation] = []
        self.ended: set[Operation] = set()
        if far != "opened":
            self.init(None)
        if far == "ready":
            self.accept()

    @rule(payload=st.sampled_from([None, {}, ""]))
    def init(self, payload: Any) -> None:
        self.check(self.say("connection_init", payload=payload))

    @rule(id=IDS)
    def start(self, id: Any) -> None:
        self.begin_rest()
        before = dict(self.live)
        effects = self.check(self.say(self.word("subscribe", "start"), id=id, payload=QUERY))
        if id in before:
            assert not any(isinstance(effect, Execute) for effect in effects)

    @rule(id=IDS)
    def stop(self, id: Any) -> None:
        self.begin_rest()
        operation = self.live.get(id)
        effects = self.check(self.say(self.word("complete", "stop"), id=id))
        cancelled = [effect.operation for effect in effects if isinstance(effect, Cancel)]
        assert cancelled == [operation] * (operation is not None and not self.closed)
        assert id not in self.live, "the client's complete frees the id at once"

    @rule(id=IDS)
    def start_again_at_once(self, id: Any) -> None:
        self.stop(id)
        ready = self.protocol.state is State.READY
        effects = self.check(self.say(self.word("subscribe", "start"), id=id, payload=QUERY))
        accepts = isinstance(id, str) or self.protocol.subprotocol.accepts_integer_ids
        if ready and accepts:
            assert [type(effect) for effect in effects] == [Execute]

    @rule(id=st.text(min_size=3, max_size=5))
    def stop_an_unknown_operation(self, id: str) -> None:
        assert self.check(self.say(self.word("complete", "stop"), id=id)) == []

    @rule()
    def ping(self) -> None:
        self.check(self.say(self.word("ping", "ka")))

    @rule(frame=GARBAGE)
    @precondition(lambda self: len(self.operations) > 2)
    def talk_nonsense(self, frame: Any) -> None:
        self.begin_rest()
        self.check(self.protocol.received(frame))

    @rule()
    def accept(self) -> None:
        asked, self.asked = self.asked, False
        effects = self.check(self.protocol.accepted(None))
        assert bool(effects) == (asked and not self.closed)

    @rule()
    @precondition(lambda self: self.protocol.has_held)
    def begin_what_was_held(self) -> None:
        effects = self.check(self.protocol.next_held())
        assert [type(effect) for effect in effects] == [Execute]

    @rule()
    @precondition(lambda self: len(self.operations) > 2)
    def reject(self) -> None:
        self.check(self.protocol.rejected({"message": "no"}))

    @rule(data=st.data())
    @precondition(lambda self: self.operations)
    def give_a_result(self, data: Any) -> None:
        operation = self.any_operation(data)
        frame = self.protocol.next(operation, "{}")
        effects = self.check([] if frame is None else [Send(frame)])
        assert bool(effects) == (self.live.get(operation.id) is operation)

    @rule(data=st.data())
    @precondition(lambda self: self.operations)
    def confirm(self, data: Any) -> None:
        operation = self.any_operation(data)
        frame = self.protocol.confirmed(operation, "{}")
        self.check_words_of(operation, [] if frame is None else [Send(frame)])

    @rule(data=st.data())
    @precondition(lambda self: self.operations)
    def complete(self, data: Any) -> None:
        operation = self.any_operation(data)
        frame = self.protocol.completed(operation)
        self.end(operation, [] if frame is None else [Send(frame)])

    @rule(data=st.data(), refusal=st.sampled_from(Refusal))
    @precondition(lambda self: self.operations)
    def fail(self, data: Any, refusal: Refusal) -> None:
        operation = self.any_operation(data)
        self.end(operation, self.protocol.failed(operation, [{"message": "no"}], refusal))

    @rule(was_subscription=st.booleans())
    @precondition(lambda self: self.stopping)
    def come_to_an_end(self, was_subscription: bool) -> None:
        operation = self.stopping.pop()
        frame = self.protocol.stopped(operation, was_subscription=was_subscription)
        self.end(operation, [] if frame is None else [Send(frame)])

    @rule()
    def want_a_ping(self) -> None:
        self.check(self.protocol.ping_due())

    @rule(what=st.sampled_from(["init_timed_out", "pong_timed_out", "crashed", "socket_closed"]))
    @precondition(lambda self: len(self.operations) > 3)
    def lose_the_connection(self, what: str) -> None:
        self.check(getattr(self.protocol, what)() or [])
        if what == "socket_closed":
            self.closed = True
            self.live.clear()

    def check(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            assert not self.closed, "after a close there are no effects"
            match effect:
                case Close(_, reason):
                    assert len(reason.encode()) <= REASON_LIMIT
                    self.closed = True
                    self.live.clear()
                case Initialize():
                    self.asked = True
                case Execute(operation):
                    self.check_execution(operation)
                case Cancel(operation):
                    assert self.live.pop(operation.id) is operation
                    self.stopping.append(operation)
                case Send(frame):
                    self.acknowledged |= json.loads(frame)["type"] == "connection_ack"
        return effects

    def check_execution(self, operation: Operation) -> None:
        assert self.acknowledged, "nothing is executed before the acknowledgement"
        assert operation.id not in self.live, "an id is live at most once"
        self.live[operation.id] = self.newest[operation.id] = operation
        self.operations.append(operation)

    def check_words_of(self, operation: Operation, effects: list[Effect]) -> None:
        self.check(effects)
        if effects:
            assert self.newest[operation.id] is operation, "taken for words about another"
            assert operation not in self.ended, "nothing is said after the last word"

    def end(self, operation: Operation, effects: list[Effect]) -> None:
        self.check_words_of(operation, effects)
        if effects:
            self.ended.add(operation)
        if self.live.get(operation.id) is operation:
            del self.live[operation.id]
            assert effects, "who was not stopped is told of the end"

    @invariant()
    def the_protocol_knows_when_it_is_closed(self) -> None:
        assert self.closed == (self.protocol.state is State.CLOSED)

    def word(self, new: str, legacy: str) -> str:
        return new if self.protocol.subprotocol is GRAPHQL_TRANSPORT_WS else legacy

    def begin_rest(self) -> None:
        """Nothing is received before all has begun that was held."""
        while self.protocol.has_held:
            self.begin_what_was_held()

    def say(self, type: str, **rest: Any) -> list[Effect]:
        self.begin_rest()
        return self.protocol.received(json.dumps({"type": type, **rest}))

    def any_operation(self, data: Any) -> Operation:
        operation: Operation = data.draw(st.sampled_from(self.operations[-6:]))
        return operation


QUERY = {"query": "{ a }"}

TestConversation = Conversation.TestCase
TestConversation.settings = settings(stateful_step_count=40, deadline=None)

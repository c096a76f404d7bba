"""With compiling switched on and off a client gets the same frames, whatever goes wrong."""

from __future__ import annotations

import enum
from typing import Any

import graphene
import pytest
from graphql import GraphQLError, MiddlewareManager

from channels_graphql_ws import GraphqlWsConsumer, Subscription
from conformance.peer import LEGACY, NEW, Peers, complete


class Odd(graphene.Scalar):
    """A scalar that does not take everything."""

    @staticmethod
    def serialize(value: Any) -> Any:
        if value == "raise":
            raise ValueError("refused")
        if value == "graphql":
            raise GraphQLError("refused", extensions={"code": "ODD"})
        return None if value == "nothing" else [value, {"z": 1, "a": value}]

    @staticmethod
    def parse_value(value: Any) -> Any:
        if value == "raise":
            raise ValueError("cannot be parsed")
        return value

    @staticmethod
    def parse_literal(node: Any, variables: Any = None) -> Any:
        return getattr(node, "value", None)


class Color(enum.Enum):
    """An enum of Python's."""

    RED = 1
    BLUE = 2


GrapheneColor = graphene.Enum.from_enum(Color)


class Cat(graphene.ObjectType):
    """One half of a union."""

    name = graphene.String(required=True)


class Dog(graphene.ObjectType):
    """The other half."""

    barks = graphene.Boolean()


class Pet(graphene.Union):
    """A union whose values know their class, or not."""

    class Meta:
        types = (Cat, Dog)


class Faults:
    """Fields that may be given anything."""

    number = graphene.Int()
    must = graphene.Int(required=True)
    text = graphene.String()
    odd = graphene.Field(Odd, of=Odd())
    items = graphene.List(graphene.NonNull(graphene.Int))
    color = graphene.Field(GrapheneColor, like=GrapheneColor(default_value=Color.BLUE))
    pet = graphene.Field(Pet)
    pets = graphene.List(Pet)
    late = graphene.Int()
    raises = graphene.Int()
    returns = graphene.Int()


async def resolve_late(root: Any, info: Any) -> Any:
    late = root.get("late") if isinstance(root, dict) else None
    if late == "broken":
        raise LookupError(late)
    return late


def resolve_raises(root: Any, info: Any) -> Any:
    raise GraphQLError("told", extensions={"code": 7}, path=["elsewhere"])


def resolve_returns(root: Any, info: Any) -> Any:
    return ZeroDivisionError("returned")


RESOLVERS = {
    "resolve_late": staticmethod(resolve_late),
    "resolve_raises": staticmethod(resolve_raises),
    "resolve_returns": staticmethod(resolve_returns),
}
Report = type("Report", (Faults, graphene.ObjectType), dict(RESOLVERS))


def publish(payload: Any, info: Any, **arguments: Any) -> Any:
    """Publish what is sent, or what cannot be sent."""
    match payload:
        case "raise":
            raise LookupError("publish")
        case "refuse":
            raise GraphQLError("refused", extensions={"code": "NO"})
        case "return":
            return ValueError("returned")
        case "object":
            return object()
        case "pets":
            return {"must": 1, "pets": [Cat(name="Tom"), Cat(), Dog(barks="x"), 3, None]}
    return payload


Arguments = type("Arguments", (), {"times": graphene.Int()})
OnFault: Any = type(
    "OnFault",
    (Faults, Subscription),
    {"Arguments": Arguments, "publish": staticmethod(publish), **RESOLVERS},
)


class Query(graphene.ObjectType):
    """Reports what the root value is."""

    report = graphene.Field(Report, of=graphene.Int(default_value=0))
    reports = graphene.List(Report)

    @staticmethod
    def resolve_report(root: Any, info: Any, of: int) -> Any:
        return publish(PAYLOADS[of], info)

    @staticmethod
    async def resolve_reports(root: Any, info: Any) -> Any:
        return [payload for payload in PAYLOADS if isinstance(payload, dict)]


class Subscriptions(graphene.ObjectType):
    """Where it is mounted."""

    on_fault = OnFault.Field()


SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)

PAYLOADS: list[Any] = [
    {"must": 1, "number": 2, "text": "é\u2028", "odd": "fine", "items": [1, 2], "color": 1},
    "raise",
    "refuse",
    "return",
    "object",
    "pets",
    None,
    "text",
    7,
    [],
    {},
    {"must": None},
    {"must": "x"},
    {"must": 1, "number": "x", "text": ["list"]},
    {"must": 1, "number": 2**40, "items": [1, None]},
    {"must": 1, "items": "12"},
    {"must": 1, "items": 5, "late": "broken"},
    {"must": 1, "items": [1, "x"], "late": 3},
    {"must": 1, "odd": "raise", "color": 9},
    {"must": 1, "odd": "graphql", "color": "RED"},
    {"must": 1, "odd": "nothing", "color": Color.RED},
    {"must": 1, "pet": {"name": "of no class"}},
]

SELECTIONS = {
    "everything": """
        number must text odd items color late raises returns
        pet { __typename ... on Cat { name } } pets { ... on Cat { name } ... on Dog { barks } }
    """,
    "a little": "number text",
    "what may not be null": "must late",
    "arguments": 'odd(of: "x") color(like: RED) other: color',
    "fragments": "...F ... on OnFault @include(if: true) { text } __typename",
    "conditions": " ".join(f"n{at}: number @include(if: $v{at})" for at in range(40)),
}


class OwnManager(MiddlewareManager):
    """A manager that the compiler can know nothing of."""

    def get_field_resolver(self, field_resolver: Any) -> Any:
        return super().get_field_resolver(field_resolver)


def noting(next: Any, root: Any, info: Any, /, **arguments: Any) -> Any:
    """Refuse a field."""
    if info.field_name == "text":
        raise PermissionError("no text")
    return next(root, info, **arguments)


MIDDLEWARE = [None, [noting], OwnManager(noting)]


def document(kind: str, field: str, selection: str, on: str) -> str:
    variables = ", ".join(f"$v{at}: Boolean = true" for at in range(40))
    heading = f"({variables})" if "$v" in selection else ""
    text = f"{kind} {heading} {{ {field} {{ {selection.replace('OnFault', on)} }} }}"
    return text + f" fragment F on {on} {{ number must }}" * ("...F" in selection)


def consumers(**attributes: Any) -> list[type[GraphqlWsConsumer]]:
    """Give a class that compiles and one that does not."""
    return [
        type(
            "Consumer",
            (GraphqlWsConsumer,),
            {
                "schema": SCHEMA,
                "strict_ordering": True,
                "compile_operations": compiles,
                **attributes,
            },
        )
        for compiles in (True, False)
    ]


def frames(peer: Any) -> list[Any]:
    """Give all that the server has sent, as text; but for what the peer itself made up."""
    sent = [event.get("text") for event in peer.sent]
    return [text for text in sent if '"settle"' not in str(text)]


@pytest.fixture
def subprotocol() -> str:
    return NEW


@pytest.fixture
async def peers(subprotocol: str) -> Any:
    peers = Peers(subprotocol)
    yield peers
    await peers.leave()


@pytest.mark.parametrize("middleware", MIDDLEWARE, ids=["none", "function", "manager"])
@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
async def test_events_give_the_same_frames(peers: Peers, selection: str, middleware: Any) -> None:
    text = document("subscription", "onFault", selection, "OnFault")
    told = []
    for consumer in consumers(middleware=middleware):
        peer = await peers.connect(consumer)
        await peer.ask("1", text)
        assert await peer.lives()
        for payload in PAYLOADS:
            await OnFault.broadcast_async(payload=payload)
        await OnFault.unsubscribe_async()
        while await peer.heard() != complete("1"):
            pass
        told.append(frames(peer))
        # Beside the event that `publish` gives nothing for, each is a frame.
        assert len(told[-1]) >= len(PAYLOADS)
    assert told[0] == told[1]


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
@pytest.mark.parametrize("middleware", MIDDLEWARE, ids=["none", "function", "manager"])
async def test_queries_give_the_same_frames(peers: Peers, middleware: Any) -> None:
    told = []
    for consumer in consumers(middleware=middleware):
        peer = await peers.connect(consumer)
        for selection in SELECTIONS.values():
            for at in range(len(PAYLOADS)):
                text = document("query", f"report(of: {at})", selection, "Report")
                await peer.ask("q", text)
                await peer.hear(2)
            await peer.ask("all", document("query", "reports", selection, "Report"))
            await peer.hear(2)
        told.append(frames(peer))
    assert told[0] == told[1]


FILTERED: list[tuple[str, Any]] = [
    ("subscription ($v: Int!) { onFault(times: $v) { number } }", {}),
    ("subscription ($v: Int!) { onFault(times: $v) { number } }", {"v": "x"}),
    ("subscription ($v: Odd!) { onFault { odd(of: $v) } }", {"v": "raise"}),
    ("subscription ($v: Boolean!) { onFault { number @skip(if: $v) } }", {"v": None}),
    ("subscription ($v: Boolean!) { onFault { number @skip(if: $v) } }", {"v": 1}),
    ("subscription { onFault @skip(if: true) { number } }", {}),
    ("query ($v: Boolean!) { report { number @skip(if: $v) } }", {"v": "yes"}),
    ("query ($v: Int!) { report(of: $v) { number } }", {}),
    ("query A { __typename } query B { __typename }", {}),
    ("query ($v: [Boolean!]) { __typename @include(if: $v) }", {}),
]


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
@pytest.mark.parametrize(("text", "variables"), FILTERED)
async def test_what_can_not_be_executed_is_refused_in_the_same_words(
    peers: Peers, text: str, variables: Any
) -> None:
    told = []
    for consumer in consumers():
        peer = await peers.connect(consumer)
        await peer.ask("1", text, variables=variables)
        await peer.ask("fence", "{ __typename }")
        while await peer.heard() != complete("fence"):
            pass
        told.append(frames(peer))
    assert told[0] == told[1]

"""Results as JSON text: no larger than allowed, and the large ones piece by piece."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any

import graphene
import pytest
from graphql import ExecutionResult, GraphQLError
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws import Subscription
from channels_graphql_ws.execution import breathing, pieces
from channels_graphql_ws.execution.encoding import encode_answer, encode_result
from channels_graphql_ws.execution.errors import format_error
from channels_graphql_ws.execution.heavy import HeavyDict, HeavyList, HeavyResult
from channels_graphql_ws.execution.limits import LIMIT_EXCEEDED
from channels_graphql_ws.execution.pieces import HeavyEncoding, TooLargeError, encode
from channels_graphql_ws.execution.rules import Rules
from channels_graphql_ws.json_text import dumps
from engine_fakes import Rig, schema_of
from support import tick

SCALARS = st.none() | st.booleans() | st.integers(-9, 2**70) | st.text(max_size=3)
CONTENT = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=40).map(lambda items: HeavyList(items, is_flat=True))
        | st.lists(inner, max_size=5).map(lambda items: HeavyList(items, is_flat=False))
        | st.dictionaries(st.text(max_size=3), inner, max_size=5)
        | st.dictionaries(st.text(max_size=3), inner, max_size=40).map(HeavyDict)
    ),
    max_leaves=40,
)
OBJECTS = st.dictionaries(st.text(max_size=3), CONTENT, max_size=20)


@given(OBJECTS)
def test_what_is_encoded_in_pieces_is_what_it_is_in_one(content):
    assert json.loads(HeavyEncoding(content, None).text()) == json.loads(dumps(content))


@given(OBJECTS)
def test_the_limit_is_exact(content):
    for encoder in (encode, lambda content, limit: HeavyEncoding(content, limit).text()):
        text = encoder(content, None)
        size = len(text.encode())
        assert encoder(content, size) == text
        with pytest.raises(TooLargeError):
            encoder(content, size - 1)


def test_pieces_are_of_a_size():
    rows = HeavyList([{"text": "x" * 100}] * 10_000, is_flat=True)
    encoding = HeavyEncoding(
        {"rows": rows, "wide": HeavyDict({str(n): n for n in range(9)})}, None
    )
    lengths = sorted(map(len, encoding._pieces))
    assert 20 < len(lengths) < 100
    assert lengths[-1] < 2 * pieces.PIECE


@pytest.fixture
def _short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each look at the clock be the last of a window."""
    now = [0.0]

    def monotonic() -> float:
        now[0] += 1
        return now[0]

    for module in (breathing, pieces):
        monkeypatch.setattr(module, "monotonic", monotonic)


@pytest.mark.usefixtures("_short_windows")
async def test_others_run_while_something_heavy_is_encoded():
    rows = [{"text": "x" * 1_000}] * 1_000
    result = HeavyResult({"rows": HeavyList(rows, is_flat=True)}, None)
    text = encode_answer(result, format_error)
    assert not isinstance(text, str)
    task = asyncio.ensure_future(text)
    turns = 0
    while not task.done():
        await tick()
        turns += 1
    assert turns > 10
    assert json.loads(task.result()) == {"data": {"rows": rows}}


@pytest.mark.usefixtures("_short_windows")
def test_nobody_waits_in_a_thread():
    result = HeavyResult({"rows": HeavyList([{"a": 1}] * 1_000, is_flat=True)}, None)
    assert json.loads(encode_answer(result, format_error)) == {
        "data": {"rows": [{"a": 1}] * 1_000}
    }


def too_large(limit: int) -> dict[str, Any]:
    return {
        "data": None,
        "errors": [
            {
                "message": f"The result has more than {limit} bytes (`max_result_size`).",
                "extensions": {
                    "code": LIMIT_EXCEEDED,
                    "limit": "max_result_size",
                    "allowed": limit,
                },
            }
        ],
    }


RESULTS = [
    ExecutionResult({"a": "ü" * 10}),
    HeavyResult({"a": HeavyList(["ü"] * 10, is_flat=True)}, None),
    ExecutionResult({"a": None}, [GraphQLError("ü", path=["a"])]),
    ExecutionResult({"a": 1}, None, {"more": ["ü"]}),
    HeavyResult({"a": 1}, [GraphQLError("b", path=["a"])]),
]


@pytest.mark.parametrize("result", RESULTS)
async def test_a_result_may_have_so_many_bytes_and_no_more(result):
    text = encode_result(result, format_error)
    size = len(text.encode())
    for encoder in (encode_result, encode_answer):
        assert encoder(result, format_error, size) == text
        assert json.loads(encoder(result, format_error, size - 1)) == too_large(size - 1)


@pytest.mark.usefixtures("_short_windows")
@pytest.mark.parametrize(("row", "limit"), [("x" * 1_000, 500_000), (object(), None)])
async def test_what_goes_wrong_after_a_pause_is_told_as_before_one(row, limit):
    rows = HeavyList([{"a": "x" * 1_000}] * 999 + [row], is_flat=True)
    result = HeavyResult({"rows": rows}, None)
    text = await encode_answer(result, format_error, limit)
    assert text == encode_result(result, format_error, limit)
    assert json.loads(text)["data"] is None


def test_a_text_without_what_has_no_form_may_be_too_large_still(caplog):
    result = ExecutionResult({"a": "x" * 100}, None, {"b": object()})
    assert json.loads(encode_result(result, format_error, 99)) == too_large(99)
    assert "A result has no JSON form: extensions.b" in caplog.text


def test_whoever_formats_errors_formats_this_one():
    result = ExecutionResult({"a": "x" * 100})
    text = encode_result(result, lambda error: {"message": "Oh"}, 50)
    assert json.loads(text) == {"data": None, "errors": [{"message": "Oh"}]}


class Item(graphene.ObjectType):
    echo = graphene.String(text=graphene.String(required=True))
    later = graphene.String(text=graphene.String(required=True))
    item = graphene.Field(lambda: Item)
    items = graphene.List(lambda: Item)

    def resolve_echo(self, info, text):
        return text

    async def resolve_later(self, info, text):
        return text

    def resolve_item(self, info):
        return {}

    def resolve_items(self, info):
        return [{}] * 150


class OnItem(Subscription):
    texts = graphene.List(graphene.String)

    @staticmethod
    def publish(payload, info):
        return {"texts": ["x" * 100] * payload}


SCHEMA = schema_of(OnItem, query=Item)
ECHOES = "".join(f"a{number}: echo(text: $t) " for number in range(500))
LATER = ECHOES.replace("echo", "later")
OBJECTS_OF_ONE = "".join(f"a{number}: item {{ echo(text: $t) }} " for number in range(500))

MANY_FIELDS = " ".join(f"a{number}: echo(text: $t)" for number in range(100))
OBJECTS_OF_MANY = " ".join(f"o{number}: item {{ {MANY_FIELDS} }}" for number in range(9))

LARGE = {
    "objects of many fields": f"{{ {OBJECTS_OF_MANY} }}",
    "fields": f"{{ {ECHOES} }}",
    "fields of an object": f"{{ item {{ item {{ {ECHOES} }} }} }}",
    "objects": f"{{ {OBJECTS_OF_ONE} }}",
    "objects in an object": f"{{ item {{ {OBJECTS_OF_ONE} }} }}",
    "a list": "{ items { echo(text: $t) } }",
    "a list in an object": "{ item { item { items { echo(text: $t) } } } }",
    "a list in a list": "{ items { items { echo(text: $t) } } }",
    "fields that are waited for": f"{{ item {{ {LATER} }} }}",
    "a list that is waited for": "{ items { item { later(text: $t) } } }",
}


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize("case", LARGE)
async def test_a_large_result_is_not_made_to_be_refused(case):
    """The same text under many fields: the result would have 20 MB and more."""
    limit = 2_000_000
    server = Rig(SCHEMA, rules=Rules(max_result_size=limit, max_fields_executed=100_000))
    variables = {"t": "x" * 40_000}
    query = f"query ($t: String!) {LARGE[case]}"
    assert await server.answer(query, t="x") != too_large(limit)
    tracemalloc.start()
    try:
        assert await server.answer(query, **variables) == too_large(limit)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16_000_000


@pytest.mark.usefixtures("executor")
async def test_an_event_may_be_too_large_and_the_next_may_be_small():
    server = Rig(SCHEMA, rules=Rules(max_result_size=1_000))
    client = await server.subscribe("subscription { event { texts } }")
    for count in (1, 10, 300, 1):
        server.hub.broadcast(count)
    results = await client.hears(4)
    expected = {"data": {"event": {"texts": ["x" * 100]}}}
    assert results == [expected, too_large(1_000), too_large(1_000), expected]
    await server.end(client)

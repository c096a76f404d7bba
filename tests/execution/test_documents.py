"""Documents: parsed and validated once, for everybody."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from weakref import ref

import graphene
import pytest
from graphql import GraphQLError, Visitor, build_schema, parse, visit

from channels_graphql_ws.concurrency.threads import Workers
from channels_graphql_ws.execution import documents
from channels_graphql_ws.execution.blocking import starts_in_thread
from channels_graphql_ws.execution.compiler import plans
from channels_graphql_ws.execution.documents import (
    ABORTED,
    INLINE_LIMIT,
    INLINE_NAMES,
    LARGE_LIMIT,
    MOST_CHARACTERS_OF_ERRORS,
    Document,
    DocumentCache,
    compiled,
    documents_of,
    load,
    parse_document,
)
from channels_graphql_ws.execution.errors import TooManyError
from channels_graphql_ws.execution.inline_parsing import NAMES_AT_ONCE
from channels_graphql_ws.execution.parser_queue import ParserQueue, Sender
from channels_graphql_ws.execution.protected_fields import selects_protected
from channels_graphql_ws.execution.rules import Rules
from channels_graphql_ws.execution.sync_resolvers import Hops
from support import GUARD, tick

SCHEMA = build_schema("type Query { ok: Boolean deeper: Query echo(number: Int): Int }")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The length of each text that is parsed, and the thread which does it."""
    calls: list[tuple[int, int]] = []

    def spy(schema, text, rules):
        calls.append((len(text), threading.get_ident()))
        return load(schema, text, rules)

    monkeypatch.setattr(documents, "load", spy)
    return calls


def small(cache: DocumentCache, text: str) -> Document:
    document = cache.get(text)
    assert isinstance(document, Document)
    return document


def padded(length: int) -> str:
    text = "{ ok }"
    return text + " " * (length - len(text))


def test_a_valid_document_has_no_errors():
    assert load(SCHEMA, "{ ok }").errors == ()


def test_a_syntax_error_says_where_it_is():
    [error] = load(SCHEMA, "This produces a syntax error!").errors
    assert error.formatted["locations"] == [{"line": 1, "column": 1}]
    assert "extensions" not in error.formatted


def test_all_validation_errors_are_told_in_order():
    errors = load(SCHEMA, "{ wrong1 ok wrong2 wrong1 }").errors
    assert [error.message.split("'")[1] for error in errors] == ["wrong1", "wrong2", "wrong1"]


def circles(count: int, length: int) -> str:
    """Return a document with a chain of fragments, each of which spreads the first one, too."""
    names = [f"F{number}{'x' * length}" for number in range(count + 1)]
    pairs = pairwise(names)
    chain = "".join(f"fragment {a} on Query {{ ...{b} ...{names[0]} }}" for a, b in pairs)
    return f"{{ ok }} {chain} fragment {names[-1]} on Query {{ ok }}"


MUCH_IS_WRONG = {
    "in each operation": "".join(f"query Q{number} {{ a: ok b: ok }}" for number in range(200)),
    "in a fragment that each operation spreads": "fragment F on Query { a: ok b: ok }"
    + "".join(f"query Q{number} {{ ...F }}" for number in range(200)),
    "with each field": f"{{ {'__schema ' * 200} }}",
    "in the words of graphql-core": f"{{ {'wrong ' * 200} }}",
}


@pytest.mark.parametrize("text", MUCH_IS_WRONG.values(), ids=MUCH_IS_WRONG)
def test_of_all_that_is_wrong_the_first_hundred_errors_are_told(text):
    rules = Rules(max_aliases=1, introspection=False)
    *errors, last = load(SCHEMA, text, rules).errors
    assert len(errors) == 100
    assert last.message == ABORTED


def test_errors_are_told_until_they_are_too_long():
    text = circles(50, 300)
    *errors, last = load(SCHEMA, text).errors
    assert last.message == ABORTED
    assert sum(len(error.message) for error in errors) < 3 * MOST_CHARACTERS_OF_ERRORS
    assert len(text) < MOST_CHARACTERS_OF_ERRORS


def test_the_same_is_told_of_errors_that_a_validation_of_the_user_returns():
    def validate(schema, ast, rules):
        return [GraphQLError(f"wrong {number}") for number in range(200)]

    *errors, last = load(SCHEMA, "{ ok }", Rules(validate_document=validate)).errors
    assert [error.message for error in errors] == [f"wrong {number}" for number in range(100)]
    assert last.message == ABORTED


@pytest.mark.parametrize("levels", [500, 5_000, 100_000])
def test_a_document_nested_too_deeply_is_an_error(levels):
    [error] = load(SCHEMA, "{ deeper " * levels + "{ ok }" + "}" * levels).errors
    assert "nested too deeply" in error.message


def test_a_parser_that_runs_out_of_stack_means_the_same(monkeypatch):
    def parse(text, max_tokens):
        raise RecursionError  # As graphql-core did until it learned to count.

    monkeypatch.setattr(documents, "parse", parse)
    [error] = load(SCHEMA, "{ ok }").errors
    assert error.message == "Document is nested too deeply."


def test_a_number_of_ten_thousand_digits_is_an_error():
    assert load(SCHEMA, f"{{ echo(number: {'9' * 10_000}) }}").errors


@pytest.mark.parametrize("text", ["", " ", "#", "\0", "\ud800", "{", "query", "{ ok }" * 3])
def test_nonsense_is_an_error(text):
    assert load(SCHEMA, text).errors


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("{ ok }", None, None),
        ("query A { ok }", None, "A"),
        ("query A { ok }", "A", "A"),
        ("query A { ok } query B { ok }", "B", "B"),
        ("query A { ...f } fragment f on Query { ok }", None, "A"),
    ],
)
def test_the_operation_is_found(text, name, found):
    operation = load(SCHEMA, text).operation(name)
    assert (operation.name and operation.name.value) == found


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("query A { ok } query B { ok }", None, "Must provide operation name"),
        ("query A { ok } query B { ok }", "C", "Unknown operation named 'C'."),
        ("{ ok }", "A", "Unknown operation named 'A'."),
        ("{ ok }", "", "Unknown operation named ''."),
        ("fragment f on Query { ok }", None, "Must provide an operation."),
    ],
)
def test_an_operation_that_is_not_there_is_an_error_in_plain_words(text, name, message):
    with pytest.raises(GraphQLError, match=message):
        load(SCHEMA, text).operation(name)


def test_a_document_is_parsed_once(loaded):
    cache = DocumentCache(SCHEMA)
    assert small(cache, "{ ok }") is small(cache, "{ ok }")
    assert len(loaded) == 1


def test_a_small_document_is_parsed_at_once_in_the_thread_of_the_caller(loaded):
    small(DocumentCache(SCHEMA), padded(INLINE_LIMIT))
    assert loaded == [(INLINE_LIMIT, threading.get_ident())]


async def test_a_large_document_is_parsed_in_another_thread_and_once(loaded):
    cache = DocumentCache(SCHEMA)
    text = padded(INLINE_LIMIT + 1)
    waiting = cache.get(text)
    assert not isinstance(waiting, Document)
    document = await waiting
    assert [length for length, _ in loaded] == [INLINE_LIMIT + 1]
    assert loaded[0][1] != threading.get_ident()
    assert small(cache, text) is document


def with_names(count: int, first: int = 0) -> str:
    """Return a small document with so many names, another one for each `first`."""
    return f"{{ {' '.join(f'a{number}: ok' for number in range(first, first + count // 2))} }}"


async def test_of_many_small_documents_a_few_are_parsed_on_the_event_loop_at_a_time(loaded):
    cache, here = DocumentCache(SCHEMA), threading.get_ident()
    texts = [with_names(INLINE_NAMES, first) for first in range(3 * NAMES_AT_ONCE // INLINE_NAMES)]
    got = [cache.get(text) for text in texts]
    at_once = [each for each in got if isinstance(each, Document)]
    assert len(at_once) == NAMES_AT_ONCE // INLINE_NAMES
    assert [thread for _, thread in loaded] == [here] * len(at_once)
    # What is known takes no time.
    assert small(cache, texts[0]) is at_once[0]
    await asyncio.gather(*[each for each in got if not isinstance(each, Document)])
    assert len(loaded) == len(texts)
    assert here not in [thread for _, thread in loaded[len(at_once) :]]
    assert all(not small(cache, text).errors for text in texts)
    # In another iteration there is room again.
    small(cache, "{ ok }")


async def test_a_small_document_without_names_counts_among_them(loaded):
    cache = DocumentCache(SCHEMA)
    for first in range(NAMES_AT_ONCE // INLINE_NAMES):
        small(cache, with_names(INLINE_NAMES, first))
    waiting = cache.get("{ ok }")
    assert not isinstance(waiting, Document)
    await waiting
    assert loaded[-1][1] != threading.get_ident()


def test_where_no_event_loop_runs_all_small_documents_are_parsed_at_once(loaded):
    cache = DocumentCache(SCHEMA)
    for first in range(3 * NAMES_AT_ONCE // INLINE_NAMES):
        small(cache, with_names(INLINE_NAMES, first))


async def test_a_large_document_nested_too_deeply_is_an_error_too():
    text = "{ deeper " * 5_000 + "{ ok }" + "}" * 5_000
    document = await DocumentCache(SCHEMA).get(text)  # type: ignore[misc]
    assert "nested too deeply" in document.errors[0].message


async def test_two_who_ask_for_the_same_large_document_get_the_same():
    cache = DocumentCache(SCHEMA)
    text = padded(INLINE_LIMIT + 1)
    one, other = await asyncio.gather(cache.get(text), cache.get(text))  # type: ignore[arg-type]
    assert one is other
    assert len(cache) == 1


async def test_the_names_of_a_large_document_are_not_counted_by_the_caller(monkeypatch):
    pattern, threads = documents._NAME, []

    class Pattern:
        def findall(self, text):
            threads.append(threading.get_ident())
            return pattern.findall(text)

        def finditer(self, text):
            threads.append(threading.get_ident())
            return pattern.finditer(text)

    monkeypatch.setattr(documents, "_NAME", Pattern())
    cache = DocumentCache(SCHEMA)
    assert small(cache, "{ ok }")
    assert threads == [threading.get_ident()]
    assert not (await cache.get(padded(LARGE_LIMIT + 1))).errors
    assert len(threads) == 2
    assert threads[1] != threading.get_ident()


def test_invalid_documents_are_not_kept():
    cache = DocumentCache(SCHEMA)
    assert small(cache, "{ wrong }").errors
    assert small(cache, "{").errors
    assert len(cache) == 0


def test_the_least_recently_used_document_leaves_first(loaded):
    cache = DocumentCache(SCHEMA, max_documents=2)
    for text in ("{ ok }", "query A { ok }", "{ ok }", "query B { ok }"):
        small(cache, text)
    loaded.clear()
    small(cache, "{ ok }")
    small(cache, "query B { ok }")
    assert not loaded
    small(cache, "query A { ok }")
    assert len(loaded) == 1
    assert len(cache) == 2


def test_all_documents_together_take_no_more_memory_than_the_limit(loaded):
    texts = ["{ " + "ok " * count + "}" for count in (6, 4, 5)]
    largest, *others = (small(DocumentCache(SCHEMA), text).memory for text in texts)
    cache = DocumentCache(SCHEMA, max_bytes=max(largest + others[0], sum(others)))
    for text in texts:
        small(cache, text)
    assert len(cache) == 2
    loaded.clear()
    for text in texts[1:]:
        small(cache, text)
    assert not loaded


@pytest.mark.parametrize(
    "text", ["{ " + "ok " * 11 + "}", "{ ok } #" + "[]" * 50, padded(1_100) + "#" + "x" * 4_000]
)
async def test_a_document_beyond_the_limit_is_served_and_drives_nobody_out(text):
    cache = DocumentCache(SCHEMA, max_bytes=4_000)
    small(cache, "{ ok }")
    document = cache.get(text)
    assert not (document if isinstance(document, Document) else await document).errors
    assert len(cache) == 1


def nested_lists(count):
    return "{ ok(values: [" + "[]" * count + "]) }"


def test_what_was_compiled_counts_as_well(monkeypatch):
    monkeypatch.setattr(documents, "NEW_UNTIL_A_SUM", 2)
    cache = DocumentCache(SCHEMA, max_bytes=70_000)
    first = small(cache, "{ " + " ".join(f"a{key}: ok" for key in range(30)) + "}")
    operation = compiled(SCHEMA, first, first.operation(None), None)
    assert compiled(SCHEMA, first, first.operation(None), None) is operation
    before = first.memory_of_all
    operation.execute(root_value={}, context_value=None, variable_values={})
    assert first.memory_of_all > before + 30 * 500
    filler = "{ " + " ".join(f"b{key}: ok" for key in range(30)) + "}"
    # One that graphql-core executes takes no more.
    first.compiled[0] = None, None
    small(cache, filler)
    assert len(cache) == 1
    uncompiled = DocumentCache(SCHEMA, max_bytes=70_000)
    for text in (filler, f"{filler} #"):
        small(uncompiled, text)
    assert len(uncompiled) == 2


def test_what_was_found_out_about_operations_is_kept_and_does_not_count():
    document = load(SCHEMA, "{ ok }", Rules())
    operation = document.operation(None)
    starts_in_thread(SCHEMA, document, operation, Hops(None))
    selects_protected(SCHEMA, document, operation)
    assert len(document.compiled) == 2
    assert document.memory_of_all == document.memory


def test_operations_of_a_document_share_the_room_for_what_is_compiled():
    fields = " ".join(f"a{key}: ok" for key in range(9))
    text = "\n".join(f"query q{key} {{ {fields} }}" for key in range(8))
    document = load(SCHEMA, text)
    for key in range(8):
        operation = compiled(SCHEMA, document, document.operation(f"q{key}"), None)
        operation.execute(root_value={}, context_value=None, variable_values={})
    room = plans.FIELDS_AT_LEAST + len(text) / plans.CHARACTERS_FOR_A_FIELD
    assert 0 < document.memory_of_all <= plans.BYTES_FOR_A_FIELD * room


@pytest.mark.parametrize(
    "text",
    [
        "{ ok " + "other:ok " * 90 + "}",
        "{ ok " + "...{ok}" * 90 + "}",
        nested_lists(900),
        nested_lists(5_000),
    ],
    ids=["names", "fragments", "lists", "a long one"],
)
async def test_what_a_document_takes_is_not_underestimated(text):
    schema = build_schema("type Query { ok(values: [[Int]]): Boolean }")
    cache = DocumentCache(schema)
    await_or_get = cache.get("{ ok }")
    assert isinstance(await_or_get, Document)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        found = cache.get(text)
        document = found if isinstance(found, Document) else await found
        del found
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert not document.errors
    assert taken / 2 < document.memory < 4 * taken


def test_a_parsed_document_keeps_its_places_and_none_of_its_tokens():
    text = "query A($x: Int = 1) { ok @skip(if: true) ...{ a: ok(values: [[$x], {b: 2}]) } }"
    document, whole = parse_document(text), parse(text)
    assert document == whole
    places = [(node.kind, node.loc.start, node.loc.end) for node in nodes_of(document)]
    assert places == [(node.kind, node.loc.start, node.loc.end) for node in nodes_of(whole)]
    first = document.loc.start_token
    assert {id(node.loc.start_token) for node in nodes_of(document)} == {id(first)}
    assert (first.prev, first.next) == (None, None)


def nodes_of(document):
    found = []

    class All(Visitor):
        def enter(self, node, *_):
            found.append(node)

    visit(document, All())
    return found


def test_threads_may_share_a_cache():
    cache = DocumentCache(SCHEMA, max_documents=3)
    failures: list[BaseException] = []

    def ask():
        try:
            for number in range(300):
                small(cache, padded(10 + number % 7))
        except BaseException as error:  # noqa: BLE001 (whatever it is)
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failures
    assert len(cache) == 3


def test_everybody_who_serves_a_schema_shares_a_cache():
    other = build_schema("type Query { ok: Boolean }")
    assert documents_of(SCHEMA) is documents_of(SCHEMA)
    assert documents_of(other) is not documents_of(SCHEMA)


def test_consumers_with_rules_of_their_own_do_not_fill_the_memory():
    schema = build_schema("type Query { ok: Boolean }")
    used = documents_of(schema, Rules(max_depth=0))
    for depth in range(1, 100):
        documents_of(schema, Rules(max_depth=depth))
        assert documents_of(schema, Rules(max_depth=0)) is used
    assert documents_of(schema, Rules(max_depth=99)) is documents_of(schema, Rules(max_depth=99))
    caches = vars(schema)["channels_graphql_ws_documents"]
    assert len(caches) == documents.MOST_CACHES


def test_a_cache_does_not_keep_its_schema_alive():
    class Query(graphene.ObjectType):
        ok = graphene.Boolean()

    def make() -> ref:
        schema = graphene.Schema(query=Query).graphql_schema
        small(documents_of(schema), "{ ok }")
        small(documents_of(schema), "{ wrong }")
        return ref(schema)

    schema = make()
    gc.collect()
    assert schema() is None


@pytest.mark.parametrize(
    "text",
    ["{" + "ok " * (documents.INLINE_NAMES + 1) + "}", "{ ok } #" + "[" * documents.INLINE_SIGNS],
    ids=["names", "signs"],
)
async def test_a_small_document_with_much_in_it_is_parsed_in_another_thread(loaded, text):
    # Fields that overlap are compared each with each: a small text can take seconds.
    cache = DocumentCache(SCHEMA)
    document = await cache.get(text)
    assert document.errors == ()
    [(_, thread)] = loaded
    assert thread != threading.get_ident()


def large(number: int) -> str:
    return padded(LARGE_LIMIT + 1) + f"#{number}"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let nothing be parsed until it is set."""
    opened = threading.Event()

    def wait(schema, text, rules):
        assert opened.wait(GUARD)
        return load(schema, text, rules)

    monkeypatch.setattr(documents, "load", wait)
    yield opened
    opened.set()


async def test_a_client_may_let_few_large_documents_wait(gate):
    cache = DocumentCache(SCHEMA)

    def mine():
        return Sender("me", most=3)

    def yours():
        return Sender("you", most=3)

    waiting = [asyncio.ensure_future(cache.get(large(number), mine)) for number in range(4)]
    await tick()
    # One is at work, three wait.
    with pytest.raises(TooManyError) as caught:
        await cache.get(large(4), mine)
    [error] = caught.value.errors
    assert error.message == (
        "Too many large documents wait to be parsed (`max_waiting_documents`)."
    )
    assert error.extensions == {
        "code": "LIMIT_EXCEEDED",
        "limit": "max_waiting_documents",
        "allowed": 3,
    }
    # Those of others do not count, and neither do those which are not so large, or the same.
    waiting.append(asyncio.ensure_future(cache.get(large(5), yours)))
    waiting.append(asyncio.ensure_future(cache.get(padded(INLINE_LIMIT + 1), mine)))
    waiting += [asyncio.ensure_future(cache.get(large(3), mine)) for _ in range(100)]
    await tick()
    gate.set()
    assert all(document.errors == () for document in await asyncio.gather(*waiting))


async def test_without_a_limit_a_client_has_a_tenth_of_all_places(gate, monkeypatch):
    monkeypatch.setattr(documents, "_parsers", ParserQueue(Workers("test", 1), 1, 30))
    cache = DocumentCache(SCHEMA)

    def mine():
        return Sender("me")

    waiting = [asyncio.ensure_future(cache.get(large(number), mine)) for number in range(4)]
    await tick()
    with pytest.raises(TooManyError) as caught:
        await cache.get(large(4), mine)
    assert caught.value.errors[0].extensions["allowed"] == 3
    gate.set()
    await asyncio.gather(*waiting)


async def test_there_is_an_end_to_what_all_clients_may_let_wait(gate, monkeypatch):
    monkeypatch.setattr(documents, "_parsers", ParserQueue(Workers("test", 1), 1, 10))
    cache = DocumentCache(SCHEMA)

    def of(owner: int) -> Callable[[], Sender]:
        return lambda: Sender(owner, most=5)

    waiting = [asyncio.ensure_future(cache.get(large(n), of(n))) for n in range(11)]
    await tick()
    with pytest.raises(TooManyError):
        await cache.get(large(11), of(10))
    # Whoever has none that waits does not pay for the others.
    waiting.append(asyncio.ensure_future(cache.get(large(12), of(12))))
    await tick()
    gate.set()
    await asyncio.gather(*waiting)


async def test_a_document_is_parsed_for_all_who_wait_for_it_even_if_one_gives_up(gate):
    cache = DocumentCache(SCHEMA)
    text = padded(INLINE_LIMIT + 1)
    first, second = (asyncio.ensure_future(cache.get(text)) for _ in range(2))
    await tick()
    first.cancel()
    await asyncio.wait([first])
    third = asyncio.ensure_future(cache.get(text))
    await tick()
    gate.set()
    assert (await second).errors == ()
    assert await third is cache.get(text)

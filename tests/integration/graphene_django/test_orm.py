"""A graphene-django schema works as it is, mounted in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import AsyncClient, override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlProtocolTypeRouter, GraphqlView
from channels_graphql_ws.testing import GraphqlHttpClient, GraphqlWebsocketCommunicator
from library_schema import schema
from testapp.models import Book

pytestmark = pytest.mark.usefixtures("library")

BOOKS = [{"title": "Notes"}, {"title": "Songs"}, {"title": "Tarantula"}]
WITH_AUTHORS = [
    {"title": "Notes", "author": {"name": "Ada Lovelace"}},
    {"title": "Songs", "author": {"name": "Bob Dylan"}},
    {"title": "Tarantula", "author": {"name": "Bob Dylan"}},
]
BY = [
    {"title": "Notes", "printed": "Notes by Ada Lovelace", "words": ["Ada", "Lovelace"]},
    {"title": "Songs", "printed": "Songs by Bob Dylan", "words": ["Bob", "Dylan"]},
    {"title": "Tarantula", "printed": "Tarantula by Bob Dylan", "words": ["Bob", "Dylan"]},
]
EDGES = {"edges": [{"node": each} for each in WITH_AUTHORS]}

QUERIES: list[tuple[str, Any]] = [
    ("{ books { title } }", {"books": BOOKS}),
    ("{ books { title author { name } } }", {"books": WITH_AUTHORS}),
    ("{ later { title author { name } } }", {"later": WITH_AUTHORS}),
    ("{ plain { title author { name } } }", {"plain": WITH_AUTHORS}),
    ("{ plainLater { title author { name } } }", {"plainLater": WITH_AUTHORS}),
    ("{ plain { title printed words } }", {"plain": BY}),
    ("{ plainLater { title printed words } }", {"plainLater": BY}),
    ("{ generatedLater { title author { name } } }", {"generatedLater": WITH_AUTHORS}),
    ("{ connected { edges { node { title author { name } } } } }", {"connected": EDGES}),
    ("{ connectedLater { edges { node { title author { name } } } } }", {"connectedLater": EDGES}),
    (
        "{ listed { name books { edges { node { title } } } } }",
        {
            "listed": [
                {"name": "Ada Lovelace", "books": {"edges": [{"node": BOOKS[0]}]}},
                {
                    "name": "Bob Dylan",
                    "books": {"edges": [{"node": BOOKS[1]}, {"node": BOOKS[2]}]},
                },
            ]
        },
    ),
    (
        "{ authors { titles allBooks { title author { name } } } }",
        {
            "authors": [
                {"titles": ["Notes"], "allBooks": WITH_AUTHORS[:1]},
                {"titles": ["Songs", "Tarantula"], "allBooks": WITH_AUTHORS[1:]},
            ]
        },
    ),
    ("{ count later { title } }", {"count": 3, "later": BOOKS}),
    ("{ wordsLater }", {"wordsLater": ["one", "two"]}),
]

# graphql-core prints what an `async def` resolver returns on the event loop.
PRINTED: list[tuple[str, Any]] = [
    ("{ printedLater }", {"printedLater": "Ada Lovelace"}),
    ("{ allPrintedLater }", {"allPrintedLater": ["Ada Lovelace"] * 2}),
    ("{ eachPrintedLater }", {"eachPrintedLater": ["Ada Lovelace"] * 2}),
]


async def over_http_consumer(query: str, **options: Any) -> Any:
    application = GraphqlHttpConsumer.as_asgi(schema=schema, **options)
    return (await GraphqlHttpClient(application).execute(query)).content


async def over_router(query: str, **options: Any) -> Any:
    router = GraphqlProtocolTypeRouter(schema, middleware_stack=None, **options)
    async with GraphqlWebsocketCommunicator(router, "/graphql/") as socket:
        result = await socket.execute(query)
        answer = {"data": result.data}
        return {**answer, "errors": result.errors} if result.errors else answer


async def over_view(query: str, **options: Any) -> Any:
    class Urls:
        urlpatterns = (
            path("graphql/", csrf_exempt(GraphqlView.as_view(schema=schema, **options))),
        )

    with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["testserver"], MIDDLEWARE=[]):
        body = json.dumps({"query": query})
        answer = await AsyncClient().post("/graphql/", body, content_type="application/json")
        return answer.json()


ways = pytest.mark.parametrize("ask", [over_http_consumer, over_router, over_view])
executors = pytest.mark.parametrize("compiles", [True, False], ids=["compiled", "graphql-core"])


def looking(next: Any, root: Any, info: Any, **arguments: Any) -> Any:
    Book.objects.exists()
    return next(root, info, **arguments)


async def waiting(next: Any, root: Any, info: Any, **arguments: Any) -> Any:
    await Book.objects.aexists()
    result = next(root, info, **arguments)
    return await result if hasattr(result, "__await__") else result


@ways
@executors
@pytest.mark.parametrize(
    "middleware", [None, [looking], [waiting], [looking, waiting], [waiting, looking]]
)
async def test_every_query_is_answered(ask: Any, compiles: bool, middleware: Any) -> None:
    options = {"compile_operations": compiles, "middleware": middleware}
    for query, data in QUERIES:
        assert await ask(query, **options) == {"data": data}, query


@ways
async def test_what_reads_the_database_when_it_is_printed_is_printed_in_a_thread(ask: Any) -> None:
    for query, data in PRINTED:
        assert await ask(query, compile_operations=True) == {"data": data}, query
        answer = await ask(query, resolve_sync_in_threads=False, mask_errors=False)
        assert "`resolve_sync_in_threads = True`" in str(answer["errors"][0]), query


@executors
async def test_a_mutation_broadcasts_to_a_subscription(compiles: bool) -> None:
    router = GraphqlProtocolTypeRouter(schema, middleware_stack=None, compile_operations=compiles)
    async with GraphqlWebsocketCommunicator(router, "/graphql/") as socket:
        subscription = "subscription { onBook { first book { title author { name } } } }"
        results = socket.subscribe(subscription)
        first = await anext(results)
        assert first.data == {"onBook": {"first": True, "book": WITH_AUTHORS[0]}}
        for title in ("A", "B", "C", "D", "E"):
            query = f'mutation {{ addBook(title: "{title}") {{ book {{ author {{ name }} }} }} }}'
            answer = await socket.execute(query)
            assert answer.data == {"addBook": {"book": {"author": {"name": "Ada Lovelace"}}}}
            event = await anext(results)
            book = {"title": title, "author": {"name": "Ada Lovelace"}}
            assert event.data == {"onBook": {"first": False, "book": book}}
        await results.aclose()

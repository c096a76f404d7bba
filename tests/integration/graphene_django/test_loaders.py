"""Data loaders beside resolvers that use the ORM."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from aiodataloader import DataLoader

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlProtocolTypeRouter, Subscription
from channels_graphql_ws.testing import GraphqlHttpClient, GraphqlWebsocketCommunicator
from testapp.models import Author, Book

pytestmark = pytest.mark.usefixtures("library")

batches: list[int] = []
"""How many keys each batch had."""


class Authors(DataLoader):  # type: ignore[type-arg]
    """Loads authors by their keys."""

    async def batch_load_fn(self, keys: Any) -> Any:
        batches.append(len(keys))
        found = await Author.objects.ain_bulk(list(keys))
        return [found[key] for key in keys]


class AuthorType(graphene.ObjectType):
    name = graphene.String()


class BookType(graphene.ObjectType):
    title = graphene.String()
    author = graphene.Field(AuthorType)

    @staticmethod
    def resolve_author(root: Any, info: Any) -> Any:
        return info.context.authors.load(root.author_id)


class Query(graphene.ObjectType):
    books = graphene.List(BookType)
    later = graphene.List(BookType)
    count = graphene.Int()

    @staticmethod
    def resolve_books(_root: Any, _info: Any) -> Any:
        return Book.objects.all()

    @staticmethod
    async def resolve_later(_root: Any, _info: Any) -> Any:
        return [book async for book in Book.objects.all()]

    @staticmethod
    def resolve_count(_root: Any, _info: Any) -> int:
        return Book.objects.count()


class FreshBook(graphene.ObjectType):
    """Its loader is one of `data_loaders`."""

    author = graphene.Field(AuthorType)

    @staticmethod
    def resolve_author(root: Any, info: Any) -> Any:
        return info.context.data_loaders.authors.load(root.author_id)


class OnBooks(Subscription):
    books = graphene.List(FreshBook)

    @staticmethod
    def publish(_payload: Any, _info: Any) -> Any:
        return {"books": Book.objects.all()}


class OnBooksLater(Subscription):
    """Its hooks stay on the event loop."""

    books = graphene.List(FreshBook)

    @staticmethod
    async def initial(_root: Any, info: Any) -> Any:
        await info.context.data_loaders.authors.load(1)
        return {"books": []}

    @staticmethod
    async def filter_event(_payload: Any, info: Any) -> bool:
        await info.context.data_loaders.authors.load(1)
        return True

    @staticmethod
    async def publish(_payload: Any, _info: Any) -> Any:
        return {"books": [book async for book in Book.objects.all()]}


class OnSharedBooks(OnBooks):
    @staticmethod
    def context_id(_root: Any, _info: Any) -> str:
        return "all"


class Subscriptions(graphene.ObjectType):
    on_books = OnBooks.Field()
    on_books_later = OnBooksLater.Field()
    on_shared_books = OnSharedBooks.Field()


schema = graphene.Schema(query=Query, subscription=Subscriptions)


@pytest.fixture(autouse=True)
def many(library: None) -> None:
    batches.clear()
    ada = Author.objects.get(name="Ada Lovelace")
    authors = Author.objects.bulk_create(Author(name=f"A{number}") for number in range(10))
    Book.objects.all().delete()
    everybody = [ada, *authors]
    Book.objects.bulk_create(
        Book(title=f"T{number}", author=everybody[number % 11]) for number in range(100)
    )


def in_middleware(next: Any, root: Any, info: Any, **arguments: Any) -> Any:
    """Make the loaders, as many Graphene applications do."""
    if "authors" not in info.context:
        info.context.authors = Authors()
    return next(root, info, **arguments)


class InContext(GraphqlHttpConsumer):
    schema = schema

    def get_context(self, context: Any) -> Any:
        context.authors = Authors()
        return context


class InAsyncContext(GraphqlHttpConsumer):
    schema = schema

    async def get_context(self, context: Any) -> Any:
        context.authors = Authors()
        return context


class InNamespace(GraphqlHttpConsumer):
    schema = schema

    async def get_context(self, context: Any) -> Any:
        context.loaders = SimpleNamespace(authors=Authors())
        context.authors = context.loaders.authors
        return context


@pytest.fixture(params=[False, True], ids=["", "debug"])
async def event_loop_in_debug_mode(request: pytest.FixtureRequest) -> None:
    """In debug mode the event loop refuses calls of other threads, which it could lose."""
    asyncio.get_running_loop().set_debug(request.param)


@pytest.mark.usefixtures("event_loop_in_debug_mode")
@pytest.mark.parametrize("field", ["books", "later"])
@pytest.mark.parametrize(
    ("cls", "middleware"),
    [
        (InContext, None),
        (InAsyncContext, None),
        (InNamespace, None),
        (GraphqlHttpConsumer, [in_middleware]),
    ],
)
@pytest.mark.parametrize("compiles", [True, False])
async def test_a_hundred_items_are_one_batch(
    cls: Any, middleware: Any, field: str, compiles: bool
) -> None:
    application = cls.as_asgi(schema=schema, middleware=middleware, compile_operations=compiles)
    result = await GraphqlHttpClient(application).execute(f"{{ {field} {{ author {{ name }} }} }}")
    assert result.errors is None
    assert len({each["author"]["name"] for each in result.data[field]}) == 11
    assert batches == [11]


def names(result: Any, field: str) -> set[str]:
    assert result.errors is None
    return {each["author"]["name"] for each in result.data[field]["books"]}


@pytest.mark.parametrize("compiles", [True, False], ids=["compiled", "graphql-core"])
@pytest.mark.parametrize(
    ("subscription", "field"),
    [(OnBooks, "onBooks"), (OnBooksLater, "onBooksLater"), (OnSharedBooks, "onSharedBooks")],
)
async def test_an_event_is_one_batch_and_the_next_one_sees_changed_rows(
    subscription: type[Subscription], field: str, compiles: bool
) -> None:
    router = GraphqlProtocolTypeRouter(
        schema,
        middleware_stack=None,
        data_loaders={"authors": Authors},
        compile_operations=compiles,
    )
    async with GraphqlWebsocketCommunicator(router, "/graphql/") as socket:
        query = f"subscription {{ {field} {{ books {{ author {{ name }} }} }} }}"
        async with socket.subscribe(query) as results:
            if subscription is OnBooksLater:
                assert (await anext(results)).data == {field: {"books": []}}
            for number in range(5):
                batches.clear()
                ada = Author.objects.filter(name__startswith="Ada")
                await ada.aupdate(name=f"Ada {number}")
                await subscription.broadcast()
                assert f"Ada {number}" in names(await anext(results), field)
                assert batches[-1] == 11


class OwnContext(GraphqlHttpConsumer):
    schema = schema
    data_loaders = {"authors": Authors}
    mask_errors = False

    def get_context(self, context: Any) -> Any:
        return SimpleNamespace(user=None)


async def test_a_context_of_ones_own_may_do_without_them() -> None:
    client = GraphqlHttpClient(OwnContext.as_asgi())
    async with client.subscribe(
        "subscription { onBooks { books { author { name } } } }"
    ) as results:
        await OnBooks.broadcast()
        assert "has no attribute 'data_loaders'" in (await anext(results)).errors[0].message

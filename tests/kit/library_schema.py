"""An ordinary graphene-django schema: authors, books, and news of them."""

from __future__ import annotations

from typing import Any

import graphene
from graphene_django import DjangoConnectionField, DjangoListField, DjangoObjectType

from channels_graphql_ws import Subscription
from testapp.models import Author, Book


class BookType(DjangoObjectType):
    class Meta:
        model = Book
        interfaces = (graphene.relay.Node,)
        fields = ("id", "title", "author", "status")


class AuthorType(DjangoObjectType):
    class Meta:
        model = Author
        fields = ("id", "name", "books")

    titles = graphene.List(graphene.String)
    all_books = graphene.List(BookType)

    @staticmethod
    def resolve_titles(root: Any, _info: Any) -> Any:
        return root.books.values_list("title", flat=True)

    @staticmethod
    async def resolve_all_books(root: Any, _info: Any) -> Any:
        return root.books.all()


class PlainBook(graphene.ObjectType):
    """Read by default resolvers, which follow the foreign key."""

    title = graphene.String()
    author = graphene.Field(lambda: PlainAuthor)
    printed = graphene.String()
    words = graphene.List(graphene.String)

    @staticmethod
    def resolve_printed(root: Any, _info: Any) -> str:
        return f"{root.title} by {root.author.name}"

    @staticmethod
    def resolve_words(root: Any, _info: Any) -> Any:
        return (word for word in root.author.name.split())


class PlainAuthor(graphene.ObjectType):
    name = graphene.String()


class Printed:
    """Reads the database when it is printed."""

    def __str__(self) -> str:
        return Author.objects.order_by("pk")[0].name


async def _printed() -> Printed:
    return Printed()


class Query(graphene.ObjectType):
    books = graphene.List(BookType)
    authors = graphene.List(AuthorType)
    listed = DjangoListField(AuthorType)
    connected = DjangoConnectionField(BookType)
    connected_later = DjangoConnectionField(BookType)
    plain = graphene.List(PlainBook)
    plain_later = graphene.List(PlainBook)
    later = graphene.List(BookType)
    generated_later = graphene.List(PlainBook)
    count = graphene.Int()
    words_later = graphene.List(graphene.String)
    printed_later = graphene.String()
    all_printed_later = graphene.List(graphene.String)
    each_printed_later = graphene.List(graphene.String)

    @staticmethod
    def resolve_books(_root: Any, _info: Any) -> Any:
        return Book.objects.all()

    @staticmethod
    def resolve_authors(_root: Any, _info: Any) -> Any:
        return Author.objects.order_by("pk")

    @staticmethod
    async def resolve_connected_later(_root: Any, _info: Any, **_arguments: Any) -> Any:
        return Book.objects.all()

    @staticmethod
    def resolve_plain(_root: Any, _info: Any) -> Any:
        return Book.objects.all()

    @staticmethod
    async def resolve_plain_later(_root: Any, _info: Any) -> Any:
        return Book.objects.all()

    @staticmethod
    async def resolve_later(_root: Any, _info: Any) -> Any:
        return Book.objects.all()

    @staticmethod
    async def resolve_generated_later(_root: Any, _info: Any) -> Any:
        return _one_by_one()

    @staticmethod
    def resolve_count(_root: Any, _info: Any) -> int:
        return Book.objects.count()

    @staticmethod
    async def resolve_words_later(_root: Any, _info: Any) -> Any:
        return ("one", "two")

    @staticmethod
    async def resolve_printed_later(_root: Any, _info: Any) -> Any:
        return Printed()

    @staticmethod
    async def resolve_all_printed_later(_root: Any, _info: Any) -> Any:
        return [Printed(), Printed()]

    @staticmethod
    async def resolve_each_printed_later(_root: Any, _info: Any) -> Any:
        return [_printed(), _printed()]


def _one_by_one() -> Any:
    yield from Book.objects.all()


class AddBook(graphene.Mutation):
    class Arguments:
        title = graphene.String(required=True)

    book = graphene.Field(BookType)

    @staticmethod
    def mutate(_root: Any, _info: Any, title: str) -> AddBook:
        author, _ = Author.objects.get_or_create(name="Ada Lovelace")
        book = Book.objects.create(title=title, author=author)
        OnBook.broadcast(group="all", payload={"pk": book.pk})
        return AddBook(book=book)


class Mutation(graphene.ObjectType):
    add_book = AddBook.Field()


class OnBook(Subscription):
    """Every hook uses the ORM."""

    book = graphene.Field(BookType)
    first = graphene.Boolean()
    queries: int = 0

    @staticmethod
    def subscribe(_root: Any, _info: Any) -> list[str]:
        Author.objects.exists()
        return ["all"]

    @staticmethod
    def initial(_root: Any, _info: Any) -> Any:
        return {"book": Book.objects.first(), "first": True}

    @staticmethod
    def filter_event(payload: Any, _info: Any) -> bool:
        return Book.objects.filter(pk=payload["pk"]).exists()

    @staticmethod
    def publish(payload: Any, _info: Any) -> Any:
        return {"book": Book.objects.get(pk=payload["pk"]), "first": False}


class Subscriptions(graphene.ObjectType):
    on_book = OnBook.Field()


schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)


def fill() -> None:
    """Two authors and three books."""
    ada = Author.objects.create(name="Ada Lovelace")
    bob = Author.objects.create(name="Bob Dylan")
    Book.objects.create(title="Notes", author=ada)
    Book.objects.create(title="Songs", author=bob)
    Book.objects.create(title="Tarantula", author=bob)

"""Models of every kind that a payload may hold."""

from __future__ import annotations

import enum
import json
import uuid
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any, ClassVar

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import functions
from django.utils.asyncio import async_unsafe
from django.utils.functional import SimpleLazyObject


class Color(enum.Enum):
    """An enumeration whose values are not what a wire can carry."""

    RED = object()
    GREEN = memoryview(b"green")[::2]


class Weekday(enum.IntEnum):
    """Members that are numbers, too."""

    MONDAY = 1
    TUESDAY = 2


class Size(enum.StrEnum):
    """Members that are texts, too."""

    SMALL = "s"
    LARGE = "l"


class Permission(enum.Flag):
    """Members that combine."""

    READ = enum.auto()
    WRITE = enum.auto()


class Rank(models.IntegerChoices):
    """Django's choices of numbers."""

    LOW = 1, "Low"
    HIGH = 2, "High"


not_an_enum = print
woken: list[str] = []
lazy_thing = SimpleLazyObject(lambda: woken.append("woken"))


class Point:
    """A type that nobody knows."""

    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


class NamedPoint(Point):
    """A subclass that has no registration of its own."""


class Author(models.Model):
    """Somebody whom others refer to."""

    name = models.CharField(max_length=50)
    fans = models.ManyToManyField("self")


class Book(models.Model):
    """Choices, a reference, and an order."""

    class Status(models.TextChoices):
        """Where a book is on its way."""

        DRAFT = "draft", "Draft"
        PRINTED = "printed", "Printed"

    title = models.CharField(max_length=50)
    author = models.ForeignKey(Author, models.CASCADE, null=True, related_name="books")
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)

    class Meta:
        """Instances come in the order of their keys."""

        ordering: ClassVar[list[str]] = ["pk"]


class Bestseller(Book):
    """A proxy."""

    class Meta:
        """No table of its own."""

        proxy = True


class Place(models.Model):
    """A parent with a table of its own."""

    name = models.CharField(max_length=50)


class Restaurant(Place):
    """A child in another table."""

    stars = models.IntegerField(default=0)


class Everything(models.Model):
    """One field of each built-in type."""

    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    big = models.BigIntegerField(default=2**62)
    binary = models.BinaryField(default=b"\x00\xff")
    boolean = models.BooleanField(default=True)
    char = models.CharField(max_length=50, default="char")
    date = models.DateField(null=True)
    datetime = models.DateTimeField(null=True)
    decimal = models.DecimalField(max_digits=9, decimal_places=4, null=True)
    duration = models.DurationField(null=True)
    email = models.EmailField(default="a@example.com")
    file = models.FileField(upload_to="files", null=True)
    path = models.FilePathField(path=".", default="here")
    float = models.FloatField(default=1.5)
    address = models.GenericIPAddressField(default="::1")
    image = models.ImageField(upload_to="images", null=True)
    integer = models.IntegerField(default=-1)
    json = models.JSONField(default=dict)
    positive = models.PositiveIntegerField(default=1)
    slug = models.SlugField(default="a-slug")
    small = models.SmallIntegerField(default=2)
    text = models.TextField(default="text")
    time = models.TimeField(null=True)
    url = models.URLField(default="https://example.com/")
    book = models.OneToOneField(Book, models.CASCADE, null=True)
    content_type = models.ForeignKey(ContentType, models.CASCADE, null=True)
    object_id = models.PositiveIntegerField(null=True)
    target = GenericForeignKey()


class Photo(models.Model):
    """An image whose size Django reads from the file when an instance is made."""

    image = models.ImageField(width_field="width", height_field="height")
    width = models.IntegerField(null=True)
    height = models.IntegerField(null=True)


class Invoice(models.Model):
    """Columns that the database fills in."""

    net = models.IntegerField()
    gross = models.GeneratedField(
        expression=models.F("net") * 2, output_field=models.IntegerField(), db_persist=True
    )
    created = models.DateTimeField(db_default=functions.Now())
    state = models.CharField(max_length=10, db_default="new")


class SharedMember(models.Model):
    """A primary key of two columns."""

    pk = models.CompositePrimaryKey("row", "number")
    row = models.IntegerField()
    number = models.IntegerField()


class Tracked(models.Model):
    """A class which wants a say in how its instances are made."""

    name = models.CharField(max_length=50)
    note = models.TextField(default="")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.first_name = self.name


class Loaded(models.Model):
    """A class which remembers what came from the database."""

    name = models.CharField(max_length=50)

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Loaded:
        """Keep the values as they were loaded."""
        instance = super().from_db(*args, **kwargs)
        instance.loaded = dict(zip(args[1], args[2], strict=True))
        return instance


class PointField(models.Field):  # type: ignore[type-arg]
    """A column with a type that nobody knows."""

    def db_type(self, connection: object) -> str:
        """Say what the column is."""
        return "text"


class Located(models.Model):
    """Has a value that can be sent only if its type is registered."""

    where = PointField(null=True)


class Card:
    """A value object without any base, as Django's documentation has it."""

    def __init__(self, suit: str, rank: int) -> None:
        self.suit = suit
        self.rank = rank

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Card) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.suit, self.rank))


@async_unsafe
def _looked_up(rank: str) -> Card:
    """Stand for a query."""
    return Card("query", int(rank))


class CardField(models.Field):  # type: ignore[type-arg]
    """Written after "Writing custom model fields"; reads texts and cards."""

    def get_internal_type(self) -> str:
        return "CharField"

    def db_parameters(self, connection: Any) -> Any:
        return {"type": "varchar(10)", "check": None}

    def from_db_value(self, value: Any, *_: object) -> Any:
        return self.to_python(value)

    def to_python(self, value: Any) -> Any:
        if value is None or isinstance(value, Card):
            return value
        suit, rank = value.split("-")
        return _looked_up(rank) if suit == "query" else Card(suit, int(rank))

    def get_prep_value(self, value: Any) -> Any:
        value = self.to_python(value)
        return None if value is None else f"{value.suit}-{value.rank}"

    def value_to_string(self, obj: Any) -> Any:
        return self.get_prep_value(self.value_from_object(obj))


class Weight:
    """A number with a unit."""

    def __init__(self, grams: int, unit: str) -> None:
        self.grams = grams
        self.unit = unit


class _WeightDescriptor:
    """Keeps and gives weights, with the unit that another column holds."""

    def __init__(self, field: Any) -> None:
        self.field = field

    def __get__(self, instance: Any, owner: object = None) -> Any:
        if instance is None:
            return self
        value = vars(instance)[self.field.name]
        if value is None or isinstance(value, Weight):
            return value
        return Weight(value, instance.unit)

    def __set__(self, instance: Any, value: Any) -> None:
        if isinstance(value, Weight):
            instance.unit = value.unit
        vars(instance)[self.field.name] = value


class WeightField(models.IntegerField):  # type: ignore[type-arg]
    """Two columns that are one value object; what is kept is not what is sent."""

    def contribute_to_class(self, cls: Any, name: str, **options: Any) -> None:
        super().contribute_to_class(cls, name, **options)
        setattr(cls, name, _WeightDescriptor(self))

    def to_python(self, value: Any) -> Any:
        return super().to_python(value.grams if isinstance(value, Weight) else value)

    def get_prep_value(self, value: Any) -> Any:
        return self.to_python(value)

    def value_to_string(self, obj: Any) -> Any:
        return self.get_prep_value(self.value_from_object(obj))


class NotesField(models.TextField):  # type: ignore[type-arg]
    """JSON in a text, whose strings are JSON, too."""

    def from_db_value(self, value: Any, *_: object) -> Any:
        return self.to_python(value)

    def to_python(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        return json.dumps(value, default=str)

    def value_to_string(self, obj: Any) -> str:
        return json.dumps(self.value_from_object(obj), default=str)


class PathEncoder(json.JSONEncoder):
    """Knows what no other encoder does."""

    def default(self, o: Any) -> Any:
        return {"path": str(o)} if isinstance(o, PurePath) else super().default(o)


class PathDecoder(json.JSONDecoder):
    """Reads what `PathEncoder` writes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            object_hook=lambda o: PurePath(o["path"]) if "path" in o else o, **options
        )


class PointText(models.CharField):  # type: ignore[type-arg]
    """Reads points from the database only: nothing reads what `value_to_string` writes."""

    def from_db_value(self, value: Any, *_: object) -> Any:
        return value and Point(*map(int, value.split()))

    def get_prep_value(self, value: Any) -> Any:
        return value and f"{value.x} {value.y}"


class ItemsField(models.Field):  # type: ignore[type-arg]
    """Keeps several values of another field, and converts them from text only, as arrays do."""

    def __init__(self, base_field: Any, **options: Any) -> None:
        self.base_field = base_field
        super().__init__(**options)
        base_field.attname = "item"

    def deconstruct(self) -> Any:
        """Return how to make it (Django)."""
        name, path, arguments, options = super().deconstruct()
        return name, path, [self.base_field, *arguments], options

    def get_internal_type(self) -> str:
        """Return the field whose column it has (Django)."""
        return "TextField"

    def to_python(self, value: Any) -> Any:
        """Read the items of text (Django)."""
        if isinstance(value, str):
            return [self.base_field.to_python(item) for item in json.loads(value)]
        return value

    def value_to_string(self, instance: Any) -> str:
        """Write the items (Django)."""
        items = [SimpleNamespace(item=item) for item in self.value_from_object(instance)]
        written = (item.item if item.item is None else self._written(item) for item in items)
        return json.dumps(list(written))

    def _written(self, item: Any) -> str:
        return str(self.base_field.value_to_string(item))


class PathsField(models.JSONField):  # type: ignore[type-arg]
    """Paths in JSON, read from lists of texts."""

    def from_db_value(self, value: Any, *args: Any) -> Any:
        return self.to_python(super().from_db_value(value, *args))

    def to_python(self, value: Any) -> Any:
        return value and [PurePath(each) for each in value]


class TextEncoder(json.JSONEncoder):
    """Writes as text what it does not know."""

    def default(self, o: Any) -> str:
        return str(o)


class Deck(models.Model):
    """Columns of every kind that third-party packages have."""

    top = CardField(primary_key=True)
    weight = WeightField(null=True)
    unit = models.CharField(max_length=2, default="g")
    notes = NotesField(default=dict)
    paths = models.JSONField(null=True, encoder=PathEncoder, decoder=PathDecoder)
    strict = models.JSONField(null=True)
    files = PathsField(null=True, encoder=TextEncoder)
    where = PointText(max_length=9, null=True)


class Player(models.Model):
    """Refers to a table whose key is a value object."""

    deck = models.ForeignKey(Deck, models.CASCADE, null=True)


class Demanding(models.Model):
    """A class that needs the database to be made."""

    author = models.ForeignKey(Author, models.CASCADE)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.names = [self.author.name]


class Shelf(models.Model):
    """Columns of several values."""

    prices = ItemsField(models.DecimalField(max_digits=5, decimal_places=2), null=True)
    sizes = ItemsField(models.CharField(max_length=5), null=True)
    nested = ItemsField(ItemsField(models.IntegerField()), null=True)

"""One model for each package: phone numbers, money, time zones and so on."""

from __future__ import annotations

from typing import Any, ClassVar

import pydantic
from django.contrib.postgres.fields import (
    ArrayField,
    DateTimeRangeField,
    DecimalRangeField,
    HStoreField,
    IntegerRangeField,
)
from django.db import models
from django_choices_field import IntegerChoicesField, TextChoicesField
from django_countries.fields import CountryField
from django_pydantic_field import SchemaField
from djmoney.models.fields import MoneyField
from encrypted_fields.fields import EncryptedCharField, EncryptedDateField, EncryptedJSONField
from hashid_field import HashidAutoField, HashidField
from model_utils import Choices, FieldTracker
from model_utils.fields import MonitorField, SplitField, StatusField
from multiselectfield import MultiSelectField
from phonenumber_field.modelfields import PhoneNumberField
from picklefield.fields import PickledObjectField
from polymorphic.models import PolymorphicModel
from relativedeltafield import RelativeDeltaField
from taggit.managers import TaggableManager
from timezone_field import TimeZoneField

AnyField = Any


class Level(models.TextChoices):
    """A choice of texts."""

    LOW = "low"
    HIGH = "high"


class Rank(models.IntegerChoices):
    """A choice of numbers."""

    FIRST = 1
    SECOND = 2


class Profile(pydantic.BaseModel):
    """A schema with parts."""

    name: str
    tags: list[str] = []


class Phone(models.Model):
    """django-phonenumber-field, tracked by django-model-utils."""

    value: AnyField = PhoneNumberField(null=True)
    tracker = FieldTracker()


class Price(models.Model):
    """django-money: a column for the amount, and one for the currency."""

    value: AnyField = MoneyField(max_digits=9, decimal_places=2, default_currency="USD", null=True)


class Zone(models.Model):
    """django-timezone-field."""

    value: AnyField = TimeZoneField(null=True)


class Hashed(models.Model):
    """django-hashid-field, as a primary key, too."""

    id: AnyField = HashidAutoField(primary_key=True, salt="id")
    value: AnyField = HashidField(null=True, salt="value")


class HashedReference(models.Model):
    """A foreign key to such a key."""

    value = models.ForeignKey(Hashed, models.CASCADE, null=True)


class Land(models.Model):
    """django-countries."""

    value: AnyField = CountryField(null=True)
    several: AnyField = CountryField(multiple=True, null=True)


class Tagged(models.Model):
    """django-taggit, whose tags are no columns."""

    value = models.CharField(max_length=9)
    tags = TaggableManager()


class Article(models.Model):
    """django-model-utils."""

    STATUS: ClassVar[Any] = Choices("draft", "done")
    value: AnyField = StatusField()
    changed: AnyField = MonitorField(monitor="value")
    body: AnyField = SplitField()


class Secret(models.Model):
    """django-fernet-encrypted-fields."""

    value: AnyField = EncryptedCharField(max_length=99, null=True)
    day: AnyField = EncryptedDateField(null=True)
    data: AnyField = EncryptedJSONField(null=True)


class Pickled(models.Model):
    """django-picklefield."""

    value: AnyField = PickledObjectField(null=True)


class Delta(models.Model):
    """django-relativedelta."""

    value: AnyField = RelativeDeltaField(null=True)


class Several(models.Model):
    """django-multiselectfield."""

    value: AnyField = MultiSelectField(choices=Level.choices, null=True, max_length=9)


class Chosen(models.Model):
    """django-choices-field."""

    value: AnyField = TextChoicesField(choices_enum=Level, null=True)
    rank: AnyField = IntegerChoicesField(choices_enum=Rank, null=True)


class Described(models.Model):
    """django-pydantic-field."""

    value: AnyField = SchemaField(schema=Profile, null=True)
    several: AnyField = SchemaField(schema=list[Profile], default=list)


class Animal(PolymorphicModel):
    """django-polymorphic."""

    value = models.CharField(max_length=9)


class Dog(Animal):
    """A subclass with a column of its own."""

    owner: AnyField = PhoneNumberField(null=True)


class OfPostgres(models.Model):
    """Columns that only PostgreSQL has: no table is made."""

    numbers = IntegerRangeField(null=True)
    times = DateTimeRangeField(null=True)
    prices = DecimalRangeField(null=True)
    counts: AnyField = ArrayField(models.IntegerField(), null=True)
    phones: AnyField = ArrayField(PhoneNumberField(), null=True)
    words: AnyField = HStoreField(null=True)

    class Meta:
        managed = False

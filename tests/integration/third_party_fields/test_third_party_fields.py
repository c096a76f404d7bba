"""Models with fields of other packages arrive as the database would give them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from django.db.models import Model
from moneyed import Money
from phonenumber_field.phonenumber import PhoneNumber
from psycopg.types.range import Range

from round_trips import travel
from third_party.models import (
    Article,
    Chosen,
    Delta,
    Described,
    Dog,
    Hashed,
    HashedReference,
    Land,
    Level,
    OfPostgres,
    Phone,
    Pickled,
    Price,
    Profile,
    Rank,
    Secret,
    Several,
    Tagged,
    Zone,
)

PHONE = "+41446681800"

INSTANCES: list[tuple[type[Model], dict[str, Any]]] = [
    (Phone, {"value": PHONE}),
    (Phone, {"value": None}),
    (Price, {"value": Money(3, "EUR")}),
    (Price, {"value": Decimal("1.50")}),
    (Zone, {"value": "Europe/Berlin"}),
    (Zone, {"value": ZoneInfo("UTC")}),
    (Hashed, {"value": 5}),
    (Land, {"value": "DE", "several": ["DE", "FR"]}),
    (Tagged, {"value": "x"}),
    (Article, {"value": "done", "body": "a<!-- split -->b"}),
    (Secret, {"value": "text", "day": date(2026, 1, 1), "data": {"a": [1]}}),
    (Pickled, {"value": {"a": (1, "x")}}),
    (Pickled, {"value": relativedelta(days=1)}),
    (Delta, {"value": relativedelta(months=1)}),
    (Several, {"value": ["low", "high"]}),
    (Chosen, {"value": Level.LOW, "rank": Rank.SECOND}),
    (Described, {"value": Profile(name="Ann"), "several": [Profile(name="Bob", tags=["x"])]}),
    (Dog, {"value": "Rex", "owner": PHONE}),
]


def columns(instance: Model) -> dict[str, tuple[type, Any]]:
    """Return what a resolver would read from an instance."""
    values = {f.attname: getattr(instance, f.attname) for f in instance._meta.concrete_fields}
    return {name: (type(value), _comparable(value)) for name, value in values.items()}


def _comparable(value: Any) -> Any:
    return str(value) if type(value).__name__ == "SplitText" else value


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("model", "values"), INSTANCES, ids=[model.__name__ for model, _ in INSTANCES]
)
def test_it_arrives_as_the_database_gives_it(model: Any, values: dict[str, Any]) -> None:
    sent = model(**values)
    sent.save()
    loaded = model.objects.get()
    assert columns(travel(loaded)) == columns(loaded)
    assert columns(travel({"just saved": sent})["just saved"]) == columns(sent)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("model", "values"), INSTANCES, ids=[model.__name__ for model, _ in INSTANCES]
)
def test_what_arrived_can_be_saved(model: Any, values: dict[str, Any]) -> None:
    model(**values).save()
    loaded = model.objects.get()
    travel(loaded).save(force_update=True)
    again = columns(model.objects.get())
    # A `MonitorField` says when that was.
    changed = {"changed"} if model is Article else set()
    assert {name for name, value in columns(loaded).items() if value != again[name]} <= changed


@pytest.mark.django_db
def test_a_foreign_key_to_a_hashid_arrives() -> None:
    hashed = Hashed.objects.create(value=5)
    arrived = travel(HashedReference(value=hashed))
    assert arrived.value_id == hashed.pk
    assert arrived.value == hashed


def test_a_tracked_model_knows_what_has_changed_since() -> None:
    arrived = travel(Phone(value=PHONE))
    assert isinstance(arrived.value, PhoneNumber)
    arrived.value = "+41446681801"
    assert arrived.value.as_e164 == "+41446681801"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("numbers", Range(1, 3)),
        ("numbers", Range(None, 3, "(]")),
        ("numbers", Range(empty=True)),
        ("times", Range(datetime(2026, 1, 1, tzinfo=UTC), None)),
        ("prices", Range(Decimal("1.50"), Decimal(2))),
        ("counts", [1, 2]),
        ("phones", [PhoneNumber.from_string(PHONE)]),
        ("words", {"a": "b", "c": None}),
    ],
)
def test_a_column_of_postgres_arrives(name: str, value: Any) -> None:
    arrived = getattr(travel(OfPostgres(**{name: value})), name)
    assert arrived == value
    assert isinstance(arrived, type(value))

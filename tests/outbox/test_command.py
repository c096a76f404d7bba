"""`manage.py graphql_outbox`: what waits is shown, sent again or deleted."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from channels_graphql_ws.outbox.models import OutboxEvent


def manage(*arguments: str) -> list[str]:
    """Run the command, and return the lines that it prints."""
    printed = io.StringIO()
    call_command("graphql_outbox", *arguments, stdout=printed)
    return printed.getvalue().splitlines()


@pytest.fixture
def rows(db: None) -> list[int]:
    """One that waits, and two that were given up."""
    due = timezone.now()
    made = [
        OutboxEvent(event=str(number), subscription="shop.schema:OnSale:OnSale:", group='"a"')
        for number in range(3)
    ]
    for row in made:
        row.due_at = due if row is made[0] else None
        row.attempts, row.error = (0, "") if row is made[0] else (10, "LookupError: gone")
        row.payload = b""
        row.save()
    return [row.pk for row in made]


def states() -> list[bool]:
    return [row.due_at is not None for row in OutboxEvent.objects.order_by("pk")]


def test_the_rows_are_listed(rows: list[int]) -> None:
    first, second, _ = manage()
    assert first.startswith(f"{rows[0]}  20")
    assert first.endswith('waits  shop.schema.OnSale  group "a"')
    assert second.endswith(
        'given up  shop.schema.OnSale  group "a", failed 10 times: LookupError: gone'
    )
    assert len(manage("--failed")) == 2
    assert len(manage("list", str(rows[1]))) == 1
    assert manage("--limit", "1")[1:] == ["… and 2 more, see --limit"]


def test_rows_that_were_given_up_are_tried_again(rows: list[int]) -> None:
    assert manage("retry", str(rows[1])) == ["1 to be sent by a serving process"]
    assert states() == [True, True, False]
    assert manage("retry", "--failed") == ["1 to be sent by a serving process"]
    assert states() == [True, True, True]


def test_rows_are_deleted(rows: list[int]) -> None:
    assert manage("delete", "--failed") == ["2 deleted"]
    assert manage("delete", str(rows[0])) == ["1 deleted"]
    assert manage() == ["Nothing waits to be sent"]


def test_not_all_rows_are_meant_by_mistake(rows: list[int]) -> None:
    with pytest.raises(CommandError, match="Which rows"):
        manage("delete")


@pytest.mark.usefixtures("bare_database")
def test_a_missing_table_is_told() -> None:
    with pytest.raises(CommandError, match=r"python manage\.py migrate --database default"):
        manage()

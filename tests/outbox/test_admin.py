"""The page of Django's admin with the events that are to be sent."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from admin_site import use_admin
from channels_graphql_ws.outbox.models import OutboxEvent

pytestmark = pytest.mark.django_db

PAGE = "/admin/channels_graphql_ws_outbox/outboxevent/"


@pytest.fixture(autouse=True)
def project(settings: Any) -> None:
    use_admin(settings)


@pytest.fixture
def rows() -> list[OutboxEvent]:
    """One that waits, and one that was given up."""
    made = [
        OutboxEvent(event=name, subscription="shop:OnSale:OnSale:", group='"a"', payload=b"SECRET")
        for name in ("waits", "given up")
    ]
    made[0].due_at = timezone.now()
    made[1].attempts, made[1].error = 10, "LookupError: <gone>"
    for row in made:
        row.save()
    return made


def logged_in(*names: str) -> Client:
    """Return a browser of a user with permissions on rows."""
    user = User.objects.create_user("ada", is_staff=True)
    codenames = [f"{name}_outboxevent" for name in names]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def test_the_page_has_no_mistakes() -> None:
    call_command("check", "admin", "channels_graphql_ws_outbox")


def test_rows_are_shown_without_their_payloads(rows: list[OutboxEvent]) -> None:
    browser = logged_in("view")
    html = browser.get(PAGE).content.decode()
    assert "shop.OnSale" in html
    assert "LookupError: &lt;gone&gt;" in html
    assert 'value="send_again"' not in html
    given_up = browser.get(PAGE, {"due_at__isempty": "1", "q": "OnSale"}).content.decode()
    assert "1 event to send" in given_up
    html = browser.get(f"{PAGE}{rows[1].pk}/change/").content.decode()
    assert "LookupError" in html
    assert "SECRET" not in html
    assert browser.get(f"{PAGE}add/").status_code == 403
    assert browser.post(f"{PAGE}{rows[1].pk}/change/").status_code == 403


def test_who_may_not_see_them_does_not(rows: list[OutboxEvent]) -> None:
    assert logged_in().get(PAGE).status_code == 403


def test_rows_are_sent_again(rows: list[OutboxEvent]) -> None:
    data = {"action": "send_again", "_selected_action": [row.pk for row in rows]}
    page = logged_in("view", "change").post(PAGE, data, follow=True)
    assert "2 events are to be sent." in page.content.decode()
    assert {(row.due_at is None, row.attempts) for row in OutboxEvent.objects.all()} == {
        (False, 0)
    }


def test_rows_can_be_deleted(rows: list[OutboxEvent]) -> None:
    data = {"action": "delete_selected", "_selected_action": [rows[1].pk]}
    html = logged_in("view", "delete").post(PAGE, data).content.decode()
    assert "Are you sure you want to delete the selected event to send?" in html

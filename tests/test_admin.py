"""The page of Django's admin: who may see connections, what is shown, and ending one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.test import Client

from admin_site import use_admin
from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport, alogin_headers

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = "<script>alert('&')</script>"
PAGE = "/admin/channels_graphql_ws/connection/"


class Query(graphene.ObjectType):
    """Without one, a schema is not valid."""

    ok = graphene.Boolean()


SCHEMA = graphene.Schema(query=Query)


@pytest.fixture(autouse=True)
def project(settings: Any) -> None:
    use_admin(settings)
    # Of Django's own; the others are no concern of this.
    settings.SILENCED_SYSTEM_CHECKS = ["channels_graphql_ws.W001", "channels_graphql_ws.W003"]


@pytest.fixture
async def connected() -> AsyncIterator[GraphqlWsClient]:
    """The client of a user whose name is an attack."""
    user = await User.objects.acreate_user(HOSTILE)
    application = AuthMiddlewareStack(GraphqlWsConsumer.as_asgi(schema=SCHEMA))
    initial = {"headers": await alogin_headers(user)}
    client = GraphqlWsClient(GraphqlWsTransport(application, "/live/", initial))
    await client.connect_and_init()
    yield client
    await client.finalize()


def logged_in(*permissions: str, staff: bool = True, strict: bool = False) -> Client:
    """Return a browser of a user with permissions on connections."""
    user = User.objects.create_user(f"user {permissions} {staff}", is_staff=staff)
    kind, _ = ContentType.objects.get_or_create(
        app_label="channels_graphql_ws", model="connection"
    )
    for name in permissions:
        permission, _ = Permission.objects.get_or_create(
            content_type=kind, codename=f"{name}_connection", defaults={"name": name}
        )
        user.user_permissions.add(permission)
    client = Client(enforce_csrf_checks=strict)
    client.force_login(user)
    return client


def test_a_project_with_the_page_has_no_mistakes_and_no_migrations_to_make() -> None:
    call_command("check", "admin", "channels_graphql_ws")
    call_command("makemigrations", check=True, dry_run=True, verbosity=0, skip_checks=True)
    # Which goes through all models, with and without a table.
    call_command("dumpdata", "channels_graphql_ws", verbosity=0)


async def test_who_may_see_connections_sees_them_and_their_texts_escaped(
    connected: GraphqlWsClient,
) -> None:
    browser = await sync_to_async(logged_in)("view")
    html = (await sync_to_async(browser.get)(PAGE)).content.decode()
    assert HOSTILE not in html
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in html
    assert "<td>WebSocket</td>" in html
    assert "<td>/live/</td>" in html
    assert "InMemoryChannelLayer does not cross processes" in html
    # Without the permission there is no button.
    assert 'name="connection"' not in html
    found = await sync_to_async(browser.get)(PAGE, {"q": '"><b>nobody'})
    html = found.content.decode()
    assert "<b>nobody" not in html
    assert "<td>WebSocket</td>" not in html
    index = await sync_to_async(browser.get)("/admin/channels_graphql_ws/")
    assert f'href="{PAGE}"' in index.content.decode()


async def test_more_than_fit_on_the_page_are_counted(
    connected: GraphqlWsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channels_graphql_ws.admin.LISTED", 0)
    browser = await sync_to_async(logged_in)("view")
    assert "1 more: search for it." in (await sync_to_async(browser.get)(PAGE)).content.decode()


async def test_the_button_ends_the_connection_and_nothing_but_the_button(
    connected: GraphqlWsClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    browser = await sync_to_async(logged_in)("view", "delete", strict=True)
    get, post = sync_to_async(browser.get), sync_to_async(browser.post)
    html = (await get(PAGE)).content.decode()
    ((id),) = re.findall(r'name="connection" value="(\w+)"', html)
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', html)[0]
    assert (await post(f"{PAGE}end/", {"connection": id})).status_code == 403
    assert (await get(f"{PAGE}end/", {"connection": id})).status_code == 405
    data = {"connection": id, "csrfmiddlewaretoken": token}
    answer = await post(f"{PAGE}end/", data, follow=True)
    assert f"The connection {id} was ended." in answer.content.decode()
    await connected.wait_disconnect(assert_code=4403)
    assert f"The connection {id!r} was ended by the user" in caplog.text
    data["connection"] = "<b>"
    html = (await post(f"{PAGE}end/", data, follow=True)).content.decode()
    assert "has a connection &lt;b&gt;." in html


@pytest.mark.parametrize(
    ("permissions", "staff", "seen", "ended"),
    [
        ((), True, 403, 403),
        (("view",), True, 200, 403),
        (("delete",), True, 403, 302),
        (("view", "delete"), False, 302, 302),
    ],
)
def test_each_permission_allows_one_thing(
    permissions: tuple[str, ...], seen: int, ended: int, *, staff: bool
) -> None:
    browser = logged_in(*permissions, staff=staff)
    assert browser.get(PAGE).status_code == seen
    answer = browser.post(f"{PAGE}end/", {"connection": "1"})
    assert answer.status_code == ended
    if not staff:
        assert answer.headers["Location"].startswith("/admin/login/")


def test_there_is_nothing_to_add_or_to_change() -> None:
    browser = logged_in("view", "add", "change")
    assert browser.get(f"{PAGE}add/").status_code == 404
    assert browser.get(f"{PAGE}1/change/").status_code == 404
    assert "addlink" not in browser.get("/admin/channels_graphql_ws/").content.decode()


def test_a_channel_layer_that_is_missing_is_a_text_on_the_page(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {}
    browser = logged_in("view", "delete")
    assert "Channel layer is not configured" in browser.get(PAGE).content.decode()
    answer = browser.post(f"{PAGE}end/", {"connection": "1"}, follow=True)
    assert "Channel layer is not configured" in answer.content.decode()


def test_the_model_has_a_name_and_finds_nothing() -> None:
    from channels_graphql_ws.models import Connection  # noqa: PLC0415 (as Django imports it)

    assert str(Connection(id="1")) == "1"
    assert not Connection.objects.filter(id="1").exists()

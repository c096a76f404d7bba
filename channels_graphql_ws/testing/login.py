"""Sessions for the users of tests."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.test import AsyncClient, Client


def login_headers(user: Any, backend: str | None = None) -> list[tuple[bytes, bytes]]:
    """Begin a session for a user, and return the headers that carry it.

    They are for all clients of this package. A backend is needed where there are several.
    """
    client = Client()
    client.force_login(user, backend)
    return _headers(client)


async def alogin_headers(user: Any, backend: str | None = None) -> list[tuple[bytes, bytes]]:
    """Do the same as `login_headers` where an event loop runs."""
    client = AsyncClient()
    await client.aforce_login(user, backend)
    return _headers(client)


def _headers(client: Client | AsyncClient) -> list[tuple[bytes, bytes]]:
    name = settings.SESSION_COOKIE_NAME
    return [(b"cookie", f"{name}={client.cookies[name].coded_value}".encode())]

"""Fixtures of the tests of the outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from file_database import file_database
from outbox_schema import Consumer

FIELDS = ("onSale", "onOrder", "onKept")


@pytest.fixture
def database(tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    """A database in a file, with an outbox that is looked at all the time."""
    path = tmp_path / "db.sqlite3"
    looks = override_settings(CHANNELS_GRAPHQL_WS={"OUTBOX_LOOK_EVERY": 0.01})
    with looks, file_database(path, django_db_blocker, "channels_graphql_ws_outbox"):
        yield path


@pytest.fixture
async def client() -> AsyncIterator[GraphqlWsClient]:
    """A client that is subscribed to all of them."""
    client = GraphqlWsClient(GraphqlWsTransport(Consumer.as_asgi(), path="/"))
    await client.connect_and_init()
    for field in FIELDS:
        await client.subscribe(f"subscription {{ {field} {{ what }} }}", wait_confirmation=False)
    yield client
    await client.finalize()

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

FIELDS = ("onSale", "onOrder", "onKept", "onHurry", "onSpoken")


ONE_DESTINATION = {"GROUP_NAME_PREFIX": "GQLWS", "CHANNEL_LAYER_ALIAS": "default"}


@pytest.fixture(autouse=True)
def looks_all_the_time() -> Iterator[None]:
    """Look into the outbox all the time; and send to no classes of other tests."""
    with override_settings(CHANNELS_GRAPHQL_WS={"OUTBOX_LOOK_EVERY": 0.01, **ONE_DESTINATION}):
        yield


@pytest.fixture
def database(tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    """A database in a file, with an outbox."""
    path = tmp_path / "db.sqlite3"
    with file_database(path, django_db_blocker, "channels_graphql_ws_outbox"):
        yield path


@pytest.fixture
def bare_database(tmp_path: Path, django_db_blocker: Any) -> Iterator[None]:
    """A database without an outbox: the migration was not run."""
    with file_database(tmp_path / "bare.sqlite3", django_db_blocker):
        yield


@pytest.fixture
async def client() -> AsyncIterator[GraphqlWsClient]:
    """A client that is subscribed to all of them."""
    client = GraphqlWsClient(GraphqlWsTransport(Consumer.as_asgi(), path="/"))
    await client.connect_and_init()
    for field in FIELDS:
        await client.subscribe(f"subscription {{ {field} {{ what }} }}", wait_confirmation=False)
    yield client
    await client.finalize()

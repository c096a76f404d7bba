"""Fixtures of all tests."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable, Iterator

import hypothesis
import pytest
from asgiref.sync import SyncToAsync
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

import eager_tasks
import redis_server
from channels_graphql_ws import client_log
from channels_graphql_ws.concurrency import placement
from channels_graphql_ws.pubsub import hub, layers
from channels_graphql_ws.subscription import event
from support import GUARD

pytest_plugins = ["both_executors", "task_leaks", "pytest_channels_graphql_ws", "pytester"]

# A deadline for each example would be a timed assertion. The suite tries the same examples each
# time, so that luck lands nothing and holds up nothing; other ones are tried by `tox run -e fuzz`,
# and where CHANNELS_GRAPHQL_WS_TEST_THOROUGH asks for more of them.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize="CHANNELS_GRAPHQL_WS_TEST_THOROUGH" not in os.environ,
)
hypothesis.settings.load_profile("suite")

# What takes long because the machine is busy would be told in the log, and moved to threads, when
# nobody expects it. Tests of that have clocks and limits of their own.
placement.perf_counter = event.perf_counter = time.thread_time
hub.BLOCKS_AFTER = GUARD
logging.getLogger("asyncio").addFilter(lambda record: not str(record.msg).startswith("Executing "))

if eager_tasks.REQUESTED:
    eager_tasks.install()

if os.environ.get("CHANNELS_GRAPHQL_WS_TEST_COMPILE") == "0":
    # `tox run -e uncompiled`: whatever does not say otherwise is executed by graphql-core.
    from channels_graphql_ws.operations.interfaces import EngineSettings
    from channels_graphql_ws.operations.options import OperationOptions

    OperationOptions.compile_operations = False
    EngineSettings.__init__.__kwdefaults__["compile_operations"] = False


# Marks of tests that start programs, or have packages installed for them.
WITH_PROGRAMS = ("browser", "foreign_schemas", "green", "node", "redis", "servers")

# What redis-py leaves of a connection whose server has died before it was made.
HALF_OPEN = "ignore:unclosed <StreamWriter:ResourceWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests with programs of their own take longer: each wait of theirs has its guard."""
    for item in items:
        is_limited = item.get_closest_marker("timeout") is not None
        if not is_limited and any(map(item.get_closest_marker, WITH_PROGRAMS)):
            item.add_marker(pytest.mark.timeout(600))
        if "redis_outage" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.filterwarnings(HALF_OPEN))


@pytest.fixture(autouse=True, scope="module")
def little_to_collect() -> None:
    """Leave alone what is there before a module: hundreds of tests collect garbage.

    Each would look at all modules, at more than 10,000 tests and at what these have left in caches
    for a quarter of a second at first, and for almost a second at last.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_connection_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close the database connections which a test has opened in asgiref's thread.

    In a later test, one without a database, it would be refused to look whether they are stale.
    """
    yield
    if request.node.get_closest_marker("django_db"):
        SyncToAsync.single_thread_executor.submit(_close_connections).result()


@pytest.fixture(autouse=True)
def no_line_left_out() -> Iterator[None]:
    """Forget which lines of the log an earlier test has caused where they count for all."""
    yield
    client_log._kinds_of_process.clear()


@pytest.fixture(autouse=True)
def no_destination_left() -> Iterator[None]:
    """Forget the consumer classes of a test: broadcasts of later ones would go to theirs, too.

    A class is known until the garbage collector comes, which may be much later.
    """
    before = layers._owners
    yield
    if layers._owners is not before:
        layers._owners = before


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        # SQLite's own `close` leaves a database in memory open.
        BaseDatabaseWrapper.close(connection)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis server: the one the environment names, or one of our own.

    Other tests, and perhaps other programs, use it too: take names of your own, never flush it.
    """
    if url := redis_server.external_url():
        yield url
        return
    with _redis() as server:
        yield server.url


@pytest.fixture
def redis_outage() -> Iterator[redis_server.RedisServer]:
    """A Redis server for this test alone, which may stop and start it."""
    with _redis() as server:
        yield server
    # Tasks of channel layers that the outage has ended, and nobody waits for, say so in the log
    # when they are collected: now, and not while another test parses code, which that breaks.
    gc.collect()


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The URL of a Valkey server of our own."""
    with _redis(redis_server.find_valkey) as server:
        yield server.url


def _redis(find: Callable[[], str] = redis_server.find_program) -> redis_server.RedisServer:
    try:
        return redis_server.RedisServer(program=find())
    except redis_server.RedisNotFoundError as error:
        if redis_server.is_required():
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))

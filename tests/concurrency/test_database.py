"""Database connections are closed when they have expired, and not inside of a transaction."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core import mail

from channels_graphql_ws.concurrency import database


class Connection:
    """A connection of one thread."""

    def __init__(self, *, in_atomic_block: bool, is_in_memory: bool = False) -> None:
        self.in_atomic_block = in_atomic_block
        self.vendor = "sqlite" if is_in_memory else "postgresql"
        self.looked_at = 0
        self.closed = 0

    def is_in_memory_db(self) -> bool:
        return True

    def close(self) -> None:
        self.closed += 1

    def close_if_unusable_or_obsolete(self) -> None:
        self.looked_at += 1


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two connections, the first with a transaction."""
    found = [Connection(in_atomic_block=True), Connection(in_atomic_block=False)]

    class Handler:
        def all(self, *, initialized_only: bool) -> Any:
            assert initialized_only
            return found

    monkeypatch.setattr(database, "connections", Handler())
    return found


def test_only_connections_without_a_transaction_are_looked_at(connections: list[Any]) -> None:
    database.close_old_connections()
    assert [each.looked_at for each in connections] == [0, 1]


def test_a_database_in_memory_is_not_looked_at(connections: list[Any]) -> None:
    """pytest-django would refuse that in a test which may not use the database."""
    connections.append(Connection(in_atomic_block=False, is_in_memory=True))
    database.close_old_connections()
    assert [each.looked_at for each in connections] == [0, 1, 0]


def test_others_cannot_close_one_with_a_transaction_either(connections: list[Any]) -> None:
    atomic, plain = connections
    assert database.keep_transactions() == [atomic]
    for each in connections:
        each.close_if_unusable_or_obsolete()
    assert (atomic.looked_at, plain.looked_at) == (0, 1)
    atomic.in_atomic_block = False
    atomic.close_if_unusable_or_obsolete()
    assert atomic.looked_at == 1


async def test_a_call_looks_before_and_after(connections: list[Any]) -> None:
    _, plain = connections
    assert await database.DatabaseCall(lambda: plain.looked_at)() == 1
    assert plain.looked_at == 2


@pytest.mark.parametrize("in_tests", [True, False])
async def test_while_tests_run_threads_of_our_own_keep_no_connections(
    connections: list[Any], monkeypatch: pytest.MonkeyPatch, in_tests: bool
) -> None:
    """A test runner could not destroy their database."""
    if not in_tests:
        monkeypatch.delattr(mail, "outbox")
    with ThreadPoolExecutor() as pool:
        await database.DatabaseCall(lambda: None, thread_sensitive=False, executor=pool)()
    assert [each.closed for each in connections] == [0, int(in_tests)]
    await database.DatabaseCall(lambda: None)()
    assert [each.closed for each in connections] == [0, int(in_tests)]

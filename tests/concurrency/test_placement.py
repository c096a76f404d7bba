"""Where synchronous code runs, and what it learns that from."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.core.exceptions import SynchronousOnlyOperation
from graphql import GraphQLError

from channels_graphql_ws.concurrency import placement as module
from channels_graphql_ws.concurrency.garbage import Collections
from channels_graphql_ws.concurrency.placement import (
    CALLS_TO_WATCH,
    LONGEST_CALL,
    LONGEST_STALL,
    Placement,
    needs_sync,
    needs_thread,
    on_event_loop,
)
from support import tick


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "perf_counter", lambda: clock.now)
    return clock


def watch(placement, call=lambda: None, times=CALLS_TO_WATCH):
    for _ in range(times):
        placement.watched(call)


def test_code_that_needs_no_thread_moves_to_the_event_loop(clock):
    placement = Placement("Code")
    watch(placement, times=CALLS_TO_WATCH - 1)
    assert not placement.on_loop
    assert placement.watched(lambda: "result") == "result"
    assert placement.on_loop


@pytest.mark.django_db
def test_code_that_uses_the_database_stays_in_threads(clock):
    placement = Placement("Code")
    placement.watched(Group.objects.exists)
    watch(placement)
    assert not placement.on_loop


def test_code_that_blocks_stays_in_threads(clock):
    def block():
        clock.now += LONGEST_CALL * 2

    placement = Placement("Code")
    for _ in range(3):
        watch(placement, times=CALLS_TO_WATCH - 1)
        placement.watched(block)
    assert not placement.on_loop


def test_code_that_fails_is_watched_too(clock):
    def fail():
        raise LookupError

    placement = Placement("Code")
    for _ in range(CALLS_TO_WATCH):
        with pytest.raises(LookupError):
            placement.watched(fail)
    assert placement.on_loop


@pytest.mark.parametrize("on_loop", [True, False])
def test_what_is_decided_is_not_watched(clock, on_loop):
    placement = Placement("Code", on_loop=on_loop)
    watch(placement, lambda: setattr(clock, "now", clock.now + 10))
    assert placement.on_loop is on_loop


def test_what_another_thread_has_decided_meanwhile_stays(clock):
    placement = Placement("Code")

    def call():
        watch(placement)
        placement.stay_in_threads("needs a thread")

    placement.watched(call)
    watch(placement)
    assert not placement.on_loop


async def test_code_that_stalls_the_event_loop_once_goes_back_with_one_line(clock, caplog):
    placement = Placement("Code", on_loop=True)
    assert placement.tried(lambda: "quick") == ("quick", True)
    assert placement.on_loop

    def stall():
        clock.now += LONGEST_STALL * 2
        return "slow"

    assert placement.tried(stall) == ("slow", True)
    assert not placement.on_loop
    placement.took(10)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "Code held up the event loop for 0.100 seconds" in record.getMessage()


@pytest.mark.parametrize(
    ("of_its_own", "stays"), [(LONGEST_STALL / 2, True), (LONGEST_STALL * 2, False)]
)
async def test_a_collection_of_garbage_is_not_the_stall_of_code(
    clock, monkeypatch, of_its_own, stays
):
    collections = Collections()
    monkeypatch.setattr(collections, "_now", lambda: clock.now)
    monkeypatch.setattr(module, "collections", collections)
    monkeypatch.setattr(gc, "callbacks", [])
    placement = Placement("Code", on_loop=True)

    def meet_collections():
        for _ in range(2):
            for phase in ("start", "stop"):
                for note in gc.callbacks:
                    note(phase, {})
                clock.now += 0.25 if phase == "start" else of_its_own / 2

    assert placement.tried(meet_collections) == (None, True)
    assert placement.on_loop == stays


@pytest.mark.parametrize(("on_loop", "watched"), [(None, 1), (True, 1), (False, 0)])
def test_collections_are_watched_once_where_code_may_leave_threads(monkeypatch, on_loop, watched):
    monkeypatch.setattr(gc, "callbacks", [])
    for _ in range(3):
        Placement("Code", on_loop=on_loop)
    assert len(gc.callbacks) == watched


async def test_code_that_needs_a_thread_after_all_goes_back(caplog):
    placement = Placement("Code", on_loop=True)
    assert placement.tried(async_to_sync(tick)) == (None, False)
    assert not placement.on_loop
    assert "Code needs a thread" in caplog.text


async def test_other_errors_are_its_own():
    placement = Placement("Code", on_loop=True)
    with pytest.raises(ZeroDivisionError):
        placement.tried(lambda: 1 / 0)
    assert placement.on_loop


async def test_what_fails_only_on_an_event_loop_is_known_by_its_error():
    def use_orm():
        Group.objects.exists()

    def nest():
        coroutine = tick()
        try:
            asyncio.run(coroutine)
        finally:
            coroutine.close()

    def hide():
        try:
            use_orm()
        except SynchronousOnlyOperation as error:
            raise GraphQLError("It failed", original_error=error) from None

    def replace():
        try:
            use_orm()
        except SynchronousOnlyOperation:
            raise LookupError("Nothing found")  # noqa: B904 (as people write it)

    for call in (use_orm, nest, hide, replace):
        with pytest.raises(Exception) as caught:  # noqa: PT011 (each raises another one)
            call()
        assert needs_thread(caught.value)
        assert needs_sync(caught.value) is (call is not nest)
    assert not needs_thread(RuntimeError("no luck"))
    assert not needs_sync(None)


async def test_an_event_loop_is_known():
    assert on_event_loop()
    assert not await asyncio.to_thread(on_event_loop)


@pytest.mark.django_db
async def test_code_that_passes_over_the_refusal_of_the_orm_goes_back_too(caplog):
    def call() -> None:
        with contextlib.suppress(Exception):
            Group.objects.exists()

    placement = Placement("Code", on_loop=True)
    assert placement.tried(call) == (None, False)
    assert not placement.on_loop
    assert "Code needs a thread" in caplog.text

"""How long the garbage collector has held up the process."""

from __future__ import annotations

import gc

import pytest

from channels_graphql_ws.concurrency.garbage import REMEMBERED, SHORTEST, Collections


def collected(*spans: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> Collections:
    collections = Collections()
    moments = iter([moment for span in spans for moment in span])
    monkeypatch.setattr(collections, "_now", lambda: next(moments))
    monkeypatch.setattr(gc, "callbacks", [])
    collections.watch()
    [note] = gc.callbacks
    for _ in spans:
        note("start", {})
        note("stop", {})
    return collections


def test_collections_count_as_far_as_they_are_within_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collections = collected((1, 3), (5, 6), (8, 9), monkeypatch=monkeypatch)
    assert collections.seconds(0, 10) == 4
    assert collections.seconds(2, 5.5) == 1.5
    assert collections.seconds(3, 5) == collections.seconds(6.5, 7) == 0


def test_short_ones_are_not_remembered_and_not_all_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = [(moment, moment + SHORTEST / 2) for moment in range(5)]
    long = [(10.0 + moment, 10.5 + moment) for moment in range(REMEMBERED + 5)]
    collections = collected(*long, *short, monkeypatch=monkeypatch)
    assert len(collections._long) == REMEMBERED
    assert collections.seconds(0, 9) == 0


def test_a_real_collection_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    collections = Collections()
    monkeypatch.setattr(collections, "_shortest", -1.0)
    collections.watch()
    gc.collect()
    gc.callbacks.remove(collections._note)
    assert collections._long

"""What the comparison of clients makes of its figures."""

from __future__ import annotations

import clients
import pytest


def figures(
    ours: float, theirs: float, name: str, kind: str = "events"
) -> dict[clients.Key, list]:
    return {
        (kind, 100, clients.OURS): [{"µs": ours, "KiB": 1.0}, {"µs": 2 * ours, "KiB": 1.0}],
        (kind, 100, name): [{"µs": theirs, "KiB": 2.0}, {"µs": 2 * theirs, "KiB": 2.0}],
    }


@pytest.mark.parametrize(
    ("name", "theirs", "is_met"),
    [
        (clients.GQL[0], 30.0, True),
        (clients.GQL[1], 29.0, False),
        (clients.NPM, 5.0, True),
        (clients.NPM, 4.9, False),
    ],
)
def test_a_ratio_is_that_of_the_same_round(name, theirs, is_met):
    (ratio,) = clients.ratios(figures(10.0, theirs, name))
    assert ratio.value == pytest.approx(10.0 / theirs)
    assert ratio.is_met is is_met


def test_callbacks_of_npm_are_shown_and_promised_nothing():
    assert clients.ratios(figures(10.0, 1.0, clients.BY_CALLBACK)) == []


def test_the_report_has_a_row_for_time_and_one_for_memory():
    found = figures(10.0, 60.0, clients.NPM, "queries")
    versions = {clients.OURS: {"aiohttp": "3"}, clients.NPM: {"ws": "8"}}
    text = clients.report(found, versions, rounds=2)
    assert "| | ours | npm graphql-ws |" in text
    assert "| queries, 100 at once: µs for each | 15.0 | 90.0 |" in text
    assert "| queries, 100 at once: KiB for each | 1.0 | 2.0 |" in text
    assert "| queries, 100 at once | npm graphql-ws | 2.00 | 0.17 | met |" in text
    assert "- npm graphql-ws: ws 8" in text


def test_memory_of_a_single_operation_is_not_shown():
    found = {("events", 1, clients.OURS): [{"µs": 10.0, "KiB": 352.0}]}
    assert "352" not in clients.report(found, {clients.OURS: {}}, rounds=1)

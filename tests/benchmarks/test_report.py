"""The report of the benchmarks: ratios within rounds, verdicts, tables and plots."""

from xml.etree import ElementTree as ET

import pytest
from contenders import BEFORE, CONTENDERS, FLOOR, NODE, OURS, PREDECESSOR
from plots import plots
from report import changes, markdown, number, overview
from results import Measured, Row, Run
from scenarios import SCENARIOS
from targets import TARGETS, verdicts


def measured(name="shared", **rounds):
    """Give a scenario with these rounds of `cpu`."""
    rows = {
        {"ours": OURS, "predecessor": PREDECESSOR, "floor": FLOOR, "node": NODE}[entry]: Row(
            [{"cpu": value, "wall": value} for value in values]
        )
        for entry, values in rounds.items()
    }
    return Measured(name, "fan-out", "µs", "cpu", {"wall": "µs of the clock"}, rows)


def run_of(*scenarios):
    machine = {"processor": "P", "cores": "2", "kernel": "Linux", "date": "2026-01-01"}
    return Run("full", 3, pinned=True, machine=machine, scenarios={s.name: s for s in scenarios})


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_every_target_can_be_measured(target):
    scenario = {one.name: one for one in SCENARIOS}[target.scenario]
    names = {entry.name for entry in scenario.entries}

    assert {target.dividend, target.divisor or OURS} <= names
    assert (target.at_least is None) != (target.at_most is None)


def test_names_of_scenarios_and_their_entries_are_unique():
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)
    for one in SCENARIOS:
        assert len({entry.name for entry in one.entries}) == len(one.entries)
        assert {entry.contender for entry in one.entries} <= set(CONTENDERS)


def test_a_ratio_is_the_median_of_those_within_a_round():
    # Everything took ten times as long in the second round, ours as well.
    one = measured(ours=[10, 100, 10], predecessor=[900, 9_000, 900], floor=[8, 80, 8])

    first, second = list(verdicts({"shared": one}))

    assert (first.value, first.is_met, first.is_failure) == (90, True, False)
    assert (second.value, second.is_met) == (1.25, True)


def test_only_what_is_far_from_good_fails_a_run():
    near, _ = verdicts({"shared": measured(ours=[10], predecessor=[400], floor=[9])})
    far, _ = verdicts({"shared": measured(ours=[10], predecessor=[40], floor=[9])})

    assert (near.is_met, near.is_failure) == (False, False)
    assert (far.is_met, far.is_failure) == (False, True)


def test_what_was_not_measured_has_no_verdict():
    assert list(verdicts({"shared": measured(predecessor=[1])})) == []


def test_an_upper_bound_is_met_from_below():
    commands = Measured("redis-pubsub", "", "µs", "cpu", {}, {OURS: Row([{"commands": 1.0}])})
    memory = Measured("memory", "", "KiB", "kib", {}, {OURS: Row([{"kib": 70.0}])})

    (of_commands,) = verdicts({"redis-pubsub": commands})
    (of_memory,) = verdicts({"memory": memory})

    assert (of_commands.is_met, of_commands.is_failure) == (True, False)
    assert (of_memory.is_met, of_memory.is_failure) == (False, True)


def test_the_overview_shows_who_did_not_take_part_and_who_failed():
    one = measured(ours=[10, 20, 30], floor=[5])
    one.rows[PREDECESSOR] = Row(fault="lost one")
    other = measured("personal", ours=[1])

    lines = overview(run_of(one, other)).splitlines()

    assert lines[0] == "| scenario | ours | predecessor | floor |"
    assert lines[2] == "| fan-out (µs) | 20.0 | failed | 5.00 |"
    assert lines[3] == "| fan-out (µs) | 1.00 | - | - |"


def test_the_report_shows_spread_faults_and_what_lies_above_the_floor():
    one = measured(ours=[10, 20, 30], predecessor=[110, 120, 130], floor=[10, 10, 10])
    one.rows[NODE] = Row(fault="lost one")

    text = markdown(run_of(one), ["a.svg"])

    assert "![a.svg](a.svg)" in text
    assert "| predecessor | 120 | 120 | 110 to 130 | 11.0 x |" in text
    assert "- Node graphql-ws: lost one" in text


def test_a_run_can_be_written_and_read(tmp_path):
    run = run_of(measured(ours=[1.5], floor=[1.0]))
    run.scenarios["shared"].rows[FLOOR].fault = "lost one"

    run.write(tmp_path / "run.json")

    assert Run.read(tmp_path / "run.json") == run
    assert run.faults() == {"shared, floor": "lost one"}


def test_a_plot_has_a_bar_for_each_contender_longer_for_more():
    (svg,) = plots(run_of(measured(ours=[10], predecessor=[1_000], floor=[5]))).values()

    rectangles = ET.fromstring(svg).findall("{http://www.w3.org/2000/svg}rect")  # noqa: S314
    ours, predecessor, floor = (float(each.attrib["width"]) for each in rectangles[1:])

    assert floor < ours < predecessor


@pytest.mark.parametrize(
    ("value", "text"), [(0.126, "0.13"), (12.34, "12.3"), (123.4, "123"), (12_345.6, "12,346")]
)
def test_figures_have_three_digits(value, text):
    assert number(value) == text


def test_a_change_is_compared_with_the_code_before_it_round_by_round():
    rows = {
        OURS: Row([{"cpu": 10.0}, {"cpu": 30.0}, {"cpu": 21.0}]),
        BEFORE: Row([{"cpu": 10.0}, {"cpu": 20.0}, {"cpu": 20.0}]),
        "ours at 100": Row([{"cpu": 5.0}]),
        f"{BEFORE}: ours at 100": Row([{"cpu": 4.0}]),
        NODE: Row([{"cpu": 1.0}]),
    }
    table = changes(run_of(Measured("shared", "", "µs", "cpu", {}, rows))).splitlines()
    assert table[2:] == [
        "| shared | 20.0 | 21.0 | 1.050 |",
        "| shared, ours at 100 | 4.00 | 5.00 | 1.250 |",
    ]

"""Laws of the forecast: it starts from planned costs and ends at measured ones."""

from dataclasses import replace

import pytest
from tests.lab.runs import record, spec

from mementum.lab.planning.forecast import START, Forecast, clock, waiting
from mementum.lab.records.plan import Outline, Plan
from mementum.lab.records.run import Status
from mementum.lab.running.driver import missing


def outline(name: str, seconds: float) -> Outline:
    return Outline(
        name=name,
        title="",
        metric="",
        steps=10,
        deterministic=False,
        scale="log",
        margin=0.01,
        seconds=seconds,
    )


RUNS = tuple(spec(task=task, seed=seed) for task in ("a", "b") for seed in range(10))
PLAN = Plan(tasks=(outline("a", 1.0), outline("b", 3.0)), reference="A", runs=RUNS)


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_before_any_run_the_planned_costs_are_shared_by_the_workers() -> None:
    assert Forecast(PLAN, RUNS, 1).remaining() == pytest.approx(START + 40, abs=0.1)
    assert Forecast(PLAN, RUNS, 4).remaining() == pytest.approx(START + 10, abs=0.1)


def test_a_slower_machine_makes_the_tasks_not_yet_seen_longer_too() -> None:
    now = Clock()
    forecast = Forecast(PLAN, RUNS, 1, now)
    forecast.count(replace(record(RUNS[0]), seconds=2.0))
    assert forecast.remaining() == pytest.approx(9 * 2.0 + 10 * 6.0)
    now.time += 5.0
    assert forecast.remaining() == pytest.approx(9 * 2.0 + 10 * 6.0 - 5.0)


def test_before_the_first_run_ends_no_more_than_the_start_has_passed() -> None:
    now = Clock()
    forecast = Forecast(PLAN, RUNS, 1, now)
    now.time += START / 2
    assert forecast.remaining() == pytest.approx(START / 2 + 40)
    now.time += 60.0
    assert forecast.remaining() == pytest.approx(40)


def test_a_resumed_comparison_costs_what_its_kept_runs_cost() -> None:
    now = Clock()
    kept = [replace(record(run), seconds=2.0) for run in RUNS[:5]]
    forecast = Forecast(PLAN, RUNS[5:], 1, now, kept=kept)
    assert forecast.runs() == (5, 20)
    assert forecast.remaining() == pytest.approx(START + 5 * 2.0 + 10 * 6.0)
    now.time += 600.0
    assert forecast.remaining() == pytest.approx(5 * 2.0 + 10 * 6.0)


def test_at_the_end_nothing_remains_and_all_is_counted() -> None:
    forecast = Forecast(PLAN, RUNS, 2)
    for run in RUNS[:-2]:
        forecast.count(record(run))
    forecast.count(record(RUNS[-2], status=Status.DIVERGED))
    forecast.count(record(RUNS[-1], status=Status.FAILED))
    assert forecast.remaining() == 0.0
    assert forecast.runs() == (20, 20)
    assert forecast.summary().endswith("1 diverged, 1 failed")
    assert "left" not in forecast.summary()


def test_with_nothing_left_there_is_nothing_to_wait_for() -> None:
    assert Forecast(PLAN, [], 2).remaining() == 0.0


def test_missing_runs_are_those_without_a_result_and_the_longest_come_first() -> None:
    done = [record(RUNS[0]), record(RUNS[10], status=Status.DIVERGED)]
    failed = [record(RUNS[11], status=Status.FAILED)]
    left = missing(PLAN, done + failed)
    assert left == [*RUNS[11:], *RUNS[1:10]]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (272, "4:32"), (3725, "1:02:05")]
)
def test_times_are_written_as_clocks_show_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"),
        (14.6, "15 s"),
        (59.6, "1 min"),
        (250, "4 min"),
        (7_100, "118 min"),
        (9_000, "2 h"),
        (8e6, "2,222 h"),
    ],
)
def test_a_time_to_be_waited_for_is_as_rough_as_the_forecast(
    seconds: float, text: str
) -> None:
    assert waiting(seconds) == text

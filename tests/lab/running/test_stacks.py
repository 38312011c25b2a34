"""Laws of stacks: a row is a run, whatever else is in the stack."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.lab.running.test_run import timeless
from tests.lab.runs import killed_on_odd_seeds, killed_once, spec, unprepared

from mementum.lab.planning.contender import CONTENDERS, find
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.planning.schedule import under
from mementum.lab.records.run import SINGLE, STACKED, RunRecord, RunSpec, Status
from mementum.lab.running.executors.local import LocalExecutor
from mementum.lab.running.executors.parcels import MOST, cut, halves
from mementum.lab.running.loop import execute, execute_parcel
from mementum.lab.running.loop.agreement import TOLERANCE, agreement, distance
from mementum.lab.running.rehearsal.step_costs import step_costs
from mementum.lab.running.stepping.kernel import KernelStepper
from mementum.lab.running.versions import versions
from mementum.lab.tasks import registry
from mementum.lab.tasks.task import Task, Tier
from mementum.torch.backends import native

SIZED = [
    replace(task.at(Tier.SMOKE) or task, evaluations=1)
    for task in registry.TASKS
    if task.form == STACKED
]
STEPS = 20
RIVALS = "AdamW", "AMSGrad", "AdaXW", "SGD"


def planned(
    task: Task, rows: int, names: Sequence[str] = RIVALS, steps: int | None = None
) -> list[RunSpec]:
    """Rows of contenders and seeds, or of rates where all seeds are one."""
    many = -(-rows // len(names))
    plan = factorial(
        tasks=[task],
        contenders=[find(name) for name in names],
        seeds=range(many),
        grid=Grid(points=many | 1 if task.deterministic else 1),
        reference=names[0],
        versions=versions(),
    )
    return sorted(plan.runs[:rows], key=lambda run: run.seed)


def single(runs: Sequence[RunSpec]) -> list[RunSpec]:
    return [replace(run, form=SINGLE) for run in runs]


def results(records: Sequence[RunRecord]) -> list[str]:
    assert all(record.error is None for record in records), records[0].error
    return [*map(timeless, records)]


def test_there_are_tasks_whose_runs_are_stacked() -> None:
    assert len(SIZED) > 5


@pytest.mark.parametrize("task", SIZED, ids=lambda task: task.name)
def test_a_row_does_not_depend_on_its_stack(task: Task) -> None:
    runs = planned(task, 24)
    whole = results(execute_parcel(runs))
    assert results(execute_parcel(runs[3:8])) == whole[3:8]
    assert results([execute(runs[9])]) == whole[9:10]


@pytest.mark.parametrize("task", SIZED, ids=lambda task: task.name)
def test_single_and_stacked_runs_are_the_same_but_for_rounding(task: Task) -> None:
    (run,) = planned(task, 1, ["AdamW"])
    assert distance(task, run) <= TOLERANCE


def test_the_control_of_forms_says_what_was_measured() -> None:
    tasks = [registry.find("quad", 40), registry.find("mlp-digits", 50)]
    plan = factorial(
        tasks=tasks,
        contenders=[find("AdamW")],
        seeds=[5],
        grid=Grid(points=3),
        reference="AdamW",
        versions=versions(),
    )
    found = agreement(plan)
    assert found.passed is True
    assert "on 2 tasks" in found.words
    plain = plan.in_forms({task.name: SINGLE for task in tasks})
    assert agreement(plain).passed is None


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_kernel_steps_rows_with_the_bits_of_the_optimizers(
    schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = under(registry.find("mlp-digits", 50), schedule)
    names = [contender.name for contender in CONTENDERS]
    runs = planned(task, 2 * len(names), names)
    found = results(execute_parcel(runs))
    monkeypatch.setattr(KernelStepper, "of", lambda *_: None)
    assert results(execute_parcel(runs)) == found


def test_without_the_kernel_the_optimizers_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    optimizer = find("AdamW").optimizer([torch.nn.Parameter(torch.ones(2))], 0.1, {})
    assert KernelStepper.of(optimizer, "constant", 3) is None


@pytest.mark.parametrize("dead", [[0], [1, 2, 3, 5], [0, 1, 2, 3, 4, 5]])
def test_a_row_that_diverges_ends_as_a_single_run_and_disturbs_no_other(
    dead: list[int],
) -> None:
    task = registry.find("mlp-digits", 50)
    runs = planned(task, 6, ["SGD", "AdamW"])
    for row in dead:
        runs[row] = replace(runs[row], lr=1e30)
    found = execute_parcel(runs)
    for row, (record, run) in enumerate(zip(found, runs, strict=True)):
        alone = execute(replace(run, form=SINGLE))
        assert record.status is alone.status
        assert (record.status is Status.DIVERGED) is (row in dead)
        assert record.curve.steps == alone.curve.steps
        assert timeless(record) == timeless(execute(run))


def test_a_stack_shares_its_time_among_its_rows() -> None:
    found = execute_parcel(planned(registry.find("quad", 40), 6))
    assert len({record.seconds for record in found}) == 1
    assert len({record.optimizer_seconds for record in found}) == 1
    assert 0 < found[0].optimizer_seconds < found[0].seconds


def stacked(count: int, data: str = "00") -> list[RunSpec]:
    return [replace(spec(seed=seed, data=data), form=STACKED) for seed in range(count)]


@pytest.mark.parametrize(
    ("count", "workers"), [*itertools.product([1, 3, 64, 65, 300], [1, 2, 7])]
)
def test_parcels_hold_each_run_once_and_each_worker_has_some(
    count: int, workers: int
) -> None:
    alone = [spec(task="other", seed=seed) for seed in range(3)]
    parcels = cut([*stacked(count), *alone], workers)
    held = [run.run_id for parcel in parcels for run in parcel]
    assert sorted(held) == sorted(run.run_id for run in [*stacked(count), *alone])
    sizes = [len(parcel) for parcel in parcels if parcel[0].form == STACKED]
    assert len(sizes) >= min(count, workers)
    assert max(sizes) <= MOST
    assert max(sizes) - min(sizes) <= 1
    assert all(len(parcel) == 1 for parcel in parcels if parcel[0].form == SINGLE)


@pytest.mark.parametrize("field", ["task", "task_version", "data", "steps", "device"])
def test_a_parcel_holds_runs_of_one_task_size_and_device(field: str) -> None:
    one, *_ = stacked(1)
    value = getattr(one, field)
    other = replace(one, **{field: value + 1 if isinstance(value, int) else "other"})
    assert len(cut([one, other], 1)) == 2
    assert [*map(len, halves((one, other, one)))] == [1, 2]


@pytest.mark.process
def test_a_worker_that_is_killed_takes_no_other_run_of_its_parcel_along(
    tmp_path: Path,
) -> None:
    executor = LocalExecutor(1, killed_on_odd_seeds, unprepared)
    found = [*executor.results(stacked(4))]
    failed = {run.spec.seed for run in found if run.status is Status.FAILED}
    assert failed == {1, 3}
    once = LocalExecutor(2, killed_once, unprepared)
    runs = stacked(8, str(tmp_path))
    assert sorted(run.spec.seed for run in once.results(runs)) == [*range(8)]


@pytest.mark.process
def test_parcels_of_workers_give_what_one_stack_gives() -> None:
    runs = planned(registry.find("quad", 40), 9)
    there = [*LocalExecutor(2).results(runs)]
    assert sorted(results(there)) == sorted(results(execute_parcel(runs)))


def test_a_step_of_each_contender_has_a_cost() -> None:
    found = step_costs(registry.find("quad", 40), [find("SGD"), find("AdamW")])
    assert [*found] == ["SGD", "AdamW"]
    assert all(0 < seconds < 1 for seconds in found.values())
    assert all(map(math.isfinite, found.values()))

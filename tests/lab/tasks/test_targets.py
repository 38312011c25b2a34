"""Laws of the frozen targets: each fits its task as it stands, and no other."""

from dataclasses import replace

import pytest
import torch

from mementum.lab.planning import schedule
from mementum.lab.planning.factorial import outline
from mementum.lab.tasks import targets
from mementum.lab.tasks.registry import TASKS, find, of_tier
from mementum.lab.tasks.targets import FAMILIES
from mementum.lab.tasks.task import Task, Tier

QUICK = of_tier(Tier.QUICK)
LOCAL = {"lm-bytes"}
"""Tasks whose data come with Python, and differ between its patch releases."""

every_task = pytest.mark.parametrize("task", QUICK, ids=lambda task: task.name)


@every_task
def test_the_frozen_target_is_of_the_task_as_it_stands(task: Task) -> None:
    kept = targets.frozen()["tasks"][task.name]
    assert (kept["version"], kept["steps"]) == (task.version, task.steps)
    if task.name not in LOCAL:
        assert kept["data"] == task.data()
        assert targets.goal(task).best is not None
    else:
        assert len(kept["data"]) == len(task.data())


@every_task
def test_a_target_is_something_that_training_reaches(task: Task) -> None:
    kept = targets.frozen()["tasks"][task.name]
    if kept["target"] is None:
        assert kept["untrained"] <= kept["best"]
    else:
        assert kept["untrained"] > max(kept["target"], kept["best"])


@pytest.mark.parametrize("name", ["logreg-cancer", "mlp-digits", "linear-ae", "quad"])
def test_the_frozen_start_is_where_a_run_begins(name: str) -> None:
    task = find(name)
    with torch.no_grad():
        starts = [task.start(seed).evaluate()[1] for seed in range(20)]
    kept = targets.frozen()["tasks"][name]["untrained"]
    # A median of other seeds, written to four digits.
    assert min(starts) * (1 - 1e-3) <= kept <= max(starts) * (1 + 1e-3)


def test_another_version_size_or_data_has_no_target() -> None:
    task = find("mlp-digits")
    assert None not in targets.goal(task)
    for other in (
        replace(task, version=task.version + 1),
        replace(task, steps=task.steps + 1),
        replace(task, data=lambda: "00"),
        replace(task, name="mine"),
    ):
        assert targets.goal(other) == (None, None, None)
    for tier in task.sizes:
        sized = task.at(tier)
        assert sized is not None
        assert targets.goal(sized) == (None, None, None)


def test_a_task_of_ones_own_says_its_goal_itself() -> None:
    own = replace(find("mlp-digits"), name="own", target=0.3, untrained=2.0, best=0.1)
    assert targets.goal(own) == (0.3, 2.0, 0.1)


def test_a_task_under_a_schedule_has_the_target_and_the_family_of_its_own() -> None:
    task = find("logreg-cancer")
    plain, cosine = outline(task), outline(schedule.under(task, "cosine"))
    assert cosine.name == "logreg-cancer+cosine"
    assert (cosine.target, cosine.best) == (plain.target, plain.best)
    assert cosine.target is not None
    assert cosine.family == "logreg-cancer"
    assert schedule.under(task, "constant") == task


def test_families_are_of_tasks_that_there_are_and_no_task_is_in_two() -> None:
    related = [name for names in FAMILIES.values() for name in names]
    assert len(set(related)) == len(related)
    assert set(related) <= {task.name for task in TASKS}
    assert not set(FAMILIES) & {task.name for task in TASKS}
    assert outline(find("lm-lstm")).family == outline(find("lm-bytes")).family
    assert outline(find("zipf-linear")).family == "zipf-linear"

"""Laws of stacks of the user's own models: as single runs, or not stacked at all."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.lab.running.test_run import timeless

from mementum import AdamW, lab
from mementum.lab.planning.contender import find
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.records.run import SINGLE, STACKED, RunSpec
from mementum.lab.running.loop import StackedRuns, execute, execute_parcel
from mementum.lab.running.rehearsal import form, trial
from mementum.lab.running.run_state import Progress
from mementum.lab.running.versions import versions
from mementum.lab.tasks.own import user_file
from mementum.lab.tasks.task import Task

TOP = """
import numpy as np
import torch
from torch import nn
steps, batch, evaluations = 12, 16, 2
def data():
    x = torch.arange(64.0 * 36).reshape(64, 36).sin()
    y = (x.sum(1) * 10).long() % 3
    return (x, y), (x, y)
def loss(model, x, y):
    return nn.functional.cross_entropy(model(x), y)
def metric(model, x, y):
    return 0.5 + (model(x).argmax(1) != y).float().mean().item()
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer, self.times = nn.Linear(36, 8), nn.Linear(8, 3), 0
    def forward(self, x):
        return self.outer(self.inner(x).relu())
"""
STACKABLE = {
    "perceptron": "def model(): return Net()",
    "dropout": """
def model(): return nn.Sequential(nn.Linear(36, 16), nn.Dropout(), nn.Linear(16, 3))
""",
    "frozen": """
def model():
    found = Net()
    found.inner.requires_grad_(False)
    return found
""",
    "unused": """
class Net(Net):
    def __init__(self):
        super().__init__()
        self.idle = nn.Linear(3, 3)
def model(): return Net()
""",
    "tied": """
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.outer = (nn.Linear(36, n) for n in (36, 36, 3))
        self.two.weight = self.one.weight
    def forward(self, x):
        return self.outer(self.two(self.one(x).relu()))
def model(): return Tied()
""",
    "running": """
class Running(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(8))
    def forward(self, x):
        flow = self.inner(x)
        if self.training:
            self.seen.add_(0.1 * (flow.detach().mean(0) - self.seen))
        return self.outer((flow - self.seen).relu())
def model(): return Running()
""",
}
REFUSED = {
    "lstm": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.LSTM(6, 4, batch_first=True), nn.Linear(4, 3)
    def forward(self, x):
        return self.outer(self.inner(x.reshape(-1, 6, 6))[0][:, -1])
def model(): return Net()
""",
    "an if on a value": """
class Net(Net):
    def forward(self, x):
        flow = super().forward(x)
        return 2 * flow if flow.sum() > 0 else flow
def model(): return Net()
""",
    "a counter": """
class Net(Net):
    def forward(self, x):
        self.times += self.training
        return super().forward(x) / (1 + self.times)
def model(): return Net()
""",
    "numpy's chance": """
class Net(Net):
    def forward(self, x):
        return super().forward(x) * (1 + np.random.rand() * self.training)
def model(): return Net()
""",
    "a buffer that is replaced": """
class Net(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
    def forward(self, x):
        self.seen = self.seen + x.mean().detach() * self.training
        return super().forward(x) + self.seen
def model(): return Net()
""",
}


def written(folder: Path, end: str, monkeypatch: pytest.MonkeyPatch) -> Task:
    path = folder / "mine.py"
    path.write_text(TOP + end)
    monkeypatch.setenv(user_file.VARIABLE, "")
    user_file.announce({path: True})
    return user_file.load(path)


def planned(task: Task) -> list[RunSpec]:
    plan = factorial(
        tasks=[replace(task, form=STACKED)],
        contenders=[find(name) for name in ("AdamW", "SGD", "AdaXW")],
        seeds=range(3),
        grid=Grid(points=1),
        reference="AdamW",
        versions=versions(),
    )
    return sorted(plan.runs, key=lambda run: run.seed)


def asked(task: Task) -> str:
    """The form that a rehearsal comes to, whatever the clock says."""
    first = trial._tried(task, find("AdamW"))
    found = form.row_seconds(
        task, find("AdamW"), first.start, first.losses[0], form._LONG
    )
    return SINGLE if found is None else STACKED


@pytest.mark.parametrize("name", STACKABLE)
def test_rows_of_a_users_model_are_single_runs_but_for_rounding(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = written(tmp_path, STACKABLE[name], monkeypatch)
    assert asked(task) == STACKED
    runs = planned(task)
    whole = execute_parcel(runs)
    for record, run in zip(whole, runs, strict=True):
        alone = execute(replace(run, form=SINGLE))
        assert record.error is None
        assert record.curve.train == pytest.approx(alone.curve.train, rel=1e-5)
        assert record.batches == alone.batches
    parts = [*execute_parcel(runs[2:7]), execute(runs[8])]
    pairs = zip(parts, [*whole[2:7], whole[8]], strict=True)
    assert all(timeless(one) == timeless(two) for one, two in pairs)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stacked_is_single_without_an_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = written(tmp_path, REFUSED[name], monkeypatch)
    assert asked(task) == SINGLE or not trial._resumes(task, find("AdamW"))
    assert trial.rehearse(task, [find("AdamW")]).form == SINGLE


class Asking(torch.optim.SGD):
    def step(self, closure):  # type: ignore[no-untyped-def, override]
        closure()
        return super().step()


class TwoModes(torch.optim.SGD):
    def train(self) -> None:
        """Switch to training."""

    def eval(self) -> None:
        """Switch to evaluation."""


class Drawing(torch.optim.SGD):
    def step(self, closure=None):  # type: ignore[no-untyped-def, override]
        torch.rand(())
        return super().step()


class OfModel(torch.optim.SGD):
    def __init__(self, model: torch.nn.Module, lr: float = 0.1) -> None:
        super().__init__(model.parameters(), lr)


class Plain(torch.optim.SGD):
    pass


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (Plain, STACKED),
        (AdamW, STACKED),
        (Asking, SINGLE),
        (TwoModes, SINGLE),
        (Drawing, SINGLE),
        (OfModel, SINGLE),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_who_cannot_step_rows_makes_a_task_single_for_all(
    optimizer: type[torch.optim.Optimizer], expected: str
) -> None:
    usual = {"tasks": ["quad"], "tier": "smoke", "seeds": 1, "lrs": 1}
    who: Sequence[object] = ["AdamW", "SGD"]
    if optimizer is not AdamW:
        who = [*who, optimizer]
    rates = {} if optimizer is AdamW else {optimizer.__name__: 0.1}
    found = lab.plan(contenders=who, lr=rates or None, **usual)  # type: ignore[arg-type]
    assert {spec.form for spec in found.specs()} == {expected}


def test_a_folder_keeps_the_forms_of_its_plan() -> None:
    usual = {"tasks": ["quad"], "tier": "smoke", "seeds": 1, "lrs": 1}
    first = lab.plan(contenders=["AdamW"], **usual)  # type: ignore[arg-type]
    flipped = first.in_forms({"quad": SINGLE})
    assert flipped.keeping_forms(first) == first
    assert first.keeping_forms(flipped) == flipped
    asking = lab.plan(
        contenders=["AdamW", Asking],
        lr={"Asking": 0.1},
        **usual,  # type: ignore[arg-type]
    )
    assert {spec.form for spec in asking.keeping_forms(first).specs()} == {SINGLE}


def test_a_model_at_hand_is_stacked_with_the_batches_of_single_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = torch.linspace(-1, 1, 30)[:, None]
    batches = [*zip(inputs.split(8), inputs.square().split(8), strict=True)]

    def loss(model: torch.nn.Module, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.nn.functional.mse_loss(model(batch[0]), batch[1])

    def compared(row: float | None) -> lab.Comparison:
        monkeypatch.setattr(trial, "row_seconds", lambda *_: row)
        return lab.compare_model(
            lambda: torch.nn.Sequential(
                torch.nn.Linear(1, 8), torch.nn.Dropout(), torch.nn.Linear(8, 1)
            ),
            loss,
            torch.utils.data.DataLoader(batches, batch_size=None, shuffle=True),
            batches,
            steps=8,
            seeds=2,
            lrs=1,
            contenders=["SGD", "AdamW"],
        )

    one, two = compared(None), compared(0.001)
    for alone, row in zip(one.records, two.records, strict=True):
        assert (alone.spec.form, row.spec.form) == (SINGLE, STACKED)
        assert alone.batches == row.batches != ""
        assert alone.curve.train == pytest.approx(row.curve.train, rel=1e-5)


def test_a_parameter_without_a_gradient_does_not_decay_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = written(tmp_path, STACKABLE["unused"], monkeypatch)
    runs = planned(task)[:2]
    with task.session(0):
        made = StackedRuns([Progress(), Progress()], runs, task)
        model = made.stack.problems[0].model  # type: ignore[attr-defined]
        before = [each.detach().clone() for each in model.parameters()]
        made.step(0)
        changed = [
            not torch.equal(one, two)
            for one, two in zip(before, model.parameters(), strict=True)
        ]
    assert changed == [True, True, True, True, False, False]

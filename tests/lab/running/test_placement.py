"""Laws of where a problem is trained: whole on one device, and begun alike on all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from mementum import lab
from mementum.lab.errors import LabError
from mementum.lab.planning.contender import find
from mementum.lab.running.rehearsal.trial import rehearse
from mementum.lab.running.stepping.placement import place
from mementum.lab.tasks.claimed import PROBLEMS
from mementum.lab.tasks.networks.resnet_digits import ResidualDigits
from mementum.lab.tasks.own import user_file
from mementum.lab.tasks.own.model_at_hand import AtHand, at_hand
from mementum.lab.tasks.own.user_file import Own
from mementum.lab.tasks.registry import TASKS
from mementum.lab.tasks.task import Task, Tier
from mementum.lab.user_code.chance import within

READS_VALUES = {
    "fading-gradient": "its loss notes where the scalar is, to score steps",
    "gan-ring": "SciPy assigns its points, which it takes from the CPU",
}
"""Tasks that need numbers beyond a loss and a metric: the meta device has none."""

every_task = pytest.mark.parametrize(
    "task",
    [task.at(Tier.SMOKE) or task for task in (*TASKS, *PROBLEMS)],
    ids=lambda task: task.name,
)


def kinds(problem: object) -> set[str]:
    """The devices of all tensors that an object can reach."""
    found = [each for each in within(problem) if isinstance(each, torch.Tensor)]
    return {each.device.type for each in found}


@every_task
@pytest.mark.usefixtures("small_data")
def test_a_task_is_whole_on_its_device(task: Task) -> None:
    problem = task.start(0)
    shapes = [each.shape for each in problem.parameters()]
    place(problem, "meta")
    assert kinds(problem) == {"meta"}
    assert [each.shape for each in problem.parameters()] == shapes
    assert all(each.requires_grad for each in problem.parameters())
    # What its seeds share is where it was.
    assert kinds(task.start(0)) == {"cpu"}
    if task.name != "fading-gradient":
        loss = problem.loss(0)
        loss.backward()
        assert loss.device.type == "meta"
        assert any(each.grad is not None for each in problem.parameters())


@every_task
@pytest.mark.usefixtures("small_data")
def test_a_task_is_scored_where_it_is(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors of two devices in one operation are an error."""
    if task.name in READS_VALUES:
        pytest.skip(READS_VALUES[task.name])
    problem = task.start(0)
    place(problem, "meta")
    for name, value in {"__float__": 1.0, "__bool__": True}.items():
        usual = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda each, value=value, usual=usual: (
                value if each.is_meta else usual(each)
            ),
        )
    with torch.no_grad():
        assert len(problem.evaluate()) == 2
    assert kinds(problem) == {"meta"}


@every_task
@pytest.mark.usefixtures("small_data")
def test_a_problem_that_is_there_is_left_alone(task: Task) -> None:
    problem = task.start(0)
    before = dict(vars(problem))
    place(problem, "cpu")
    assert all(vars(problem)[name] is value for name, value in before.items())
    assert vars(problem).keys() == before.keys()


@dataclass(frozen=True)
class Shared:
    rows: torch.Tensor


class Part:
    def __init__(self, weight: torch.nn.Parameter) -> None:
        self.weight = weight


class Holding:
    """A problem that holds the same tensors in several ways."""

    table = torch.ones(2)

    def __init__(self) -> None:
        self.model = torch.nn.LSTM(2, 2)
        self.weights = [*self.model.parameters()]
        self.part = Part(torch.nn.Parameter(torch.ones(2), requires_grad=False))
        self.again = {"weight": self.part.weight, "deep": [(self.part.weight, 3)]}
        self.loop = self
        self.shared = Shared(torch.ones(2))
        self.kind = Part

    def parameters(self) -> list[torch.nn.Parameter]:
        return self.weights

    def loss(self, step: int) -> torch.Tensor:
        return self.model(torch.ones(1, 1, 2, device="meta"))[0].sum()

    def evaluate(self) -> tuple[float, float]:
        return 0.0, 0.0


def test_what_several_attributes_hold_stays_one_tensor() -> None:
    problem = Holding()
    shared, weight = problem.shared, problem.part.weight
    place(problem, "meta")
    own = [*problem.model.parameters()]
    assert all(a is b for a, b in zip(own, problem.weights, strict=True))
    assert problem.again["weight"] is problem.part.weight
    assert problem.again["deep"][0][0] is problem.part.weight  # type: ignore[index]
    assert problem.part.weight.device.type == "meta"
    assert not problem.part.weight.requires_grad
    assert weight.device.type == "cpu"
    problem.loss(0).backward()
    assert problem.weights[0].grad is not None
    # What is frozen serves other problems as well.
    assert problem.shared is shared
    assert shared.rows.device.type == "cpu"


def test_running_means_are_those_that_are_kept() -> None:
    problem = ResidualDigits(0, 2)
    place(problem, "meta")
    held = [each for each in within(problem) if isinstance(each, torch.Tensor)]
    assert all(any(each is one for one in held) for each in problem.net.tensors())


OWN = """
import torch
steps, batch = 6, 4

def data():
    x = torch.linspace(-1, 1, 16)[:, None]
    return (x, x.square()), (x, x.square())

def model():
    return torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.BatchNorm1d(4))

def loss(model, x, y):
    return (model(x) - y).square().mean()
"""


def test_a_file_is_placed_with_its_data_and_its_batches(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    task = user_file.load(path)
    problem, beside = task.start(0), task.start(0)
    assert isinstance(problem, Own)
    batches = problem.first_batches()
    place(problem, "meta")
    held = [problem.batch, *problem.kept, *problem.held, *problem.tensors()]
    assert {each.device.type for each in held} == {"meta"}
    problem.loss(0).backward()
    assert all(each.grad is not None for each in problem.parameters())
    # The file's own data serve other runs.
    assert isinstance(beside, Own)
    assert beside.first_batches() == batches
    assert {each.device.type for part in problem.file.parts for each in part} == {"cpu"}


def subject(place: str, batches: object) -> AtHand:
    """A model on a device, and batches that a loader made on the CPU."""
    return AtHand(
        model=torch.nn.Linear(1, 1, device=place),
        loss=lambda model, batch: (model(batch["x"]) - batch["y"]).square().mean(),
        train=batches,  # type: ignore[arg-type]
        held=batches,  # type: ignore[arg-type]
        metric=lambda model, batch: batch["x"].device.type == place,
        maximize=False,
        scale="linear",
    )


@pytest.mark.parametrize("where", ["cpu", "meta"])
def test_batches_of_a_model_at_hand_come_to_its_device(where: str) -> None:
    batches = [{"x": torch.ones(2, 1), "y": torch.ones(2, 1), "name": "one"}]
    task = at_hand(
        subject(where, batches), steps=5, evaluations=1, margin=0.0, kept=False
    )
    problem = task.start(0)
    place(problem, where)
    loss = problem.loss(0)
    loss.backward()
    assert loss.device.type == where
    assert batches[0]["x"].device.type == "cpu"  # type: ignore[union-attr]
    if where == "cpu":
        assert problem._batch is batches[0]  # type: ignore[attr-defined]


def test_a_rehearsed_task_is_where_its_model_is_made(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    task = rehearse(user_file.load(path), [find("SGD")])
    assert task.device == "cpu"
    with pytest.raises(LabError, match="sees 0 devices of cuda here"):
        lab.plan(files=[path], device="cuda")

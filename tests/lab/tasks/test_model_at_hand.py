"""Laws of a model, a loss and data at hand: a task like any other."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.lab.tasks.test_user_file import documented, loader, loss

from mementum import lab
from mementum.cli import main
from mementum.lab.errors import LabError
from mementum.lab.experiment import Comparison
from mementum.lab.running import loop
from mementum.lab.running.rehearsal import trial
from mementum.lab.running.run_state import Progress

QUICK = {"steps": 4, "seeds": 2, "lrs": 1, "contenders": ["SGD"], "evaluations": 2}


def compared(**changes: Any) -> Comparison:
    torch.manual_seed(1)
    model = torch.nn.Linear(1, 1)
    given = {"model": model, "loss": loss, "train": loader(True), "held": loader(False)}
    return lab.compare_model(**(given | QUICK | changes))


def accuracy(model: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> float:
    return float((model(batch[0]) > 0).float().mean())


def test_what_is_kept_goes_on_where_it_stopped_and_has_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[object] = []
    train = loop.train
    monkeypatch.setattr(trial, "row_seconds", lambda *_: None)

    def stopping(run: Progress, spec: Any, task: Any) -> None:
        if len(trained) == 3:
            raise InterruptedError
        trained.append(spec)
        train(run, spec, task)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train", stopping)
        with pytest.raises(InterruptedError):
            compared(out=tmp_path)
    assert len(lab.read(tmp_path).records) == 3
    found = compared(out=tmp_path)
    assert len(found.records) == 4
    assert lab.read(tmp_path).records == found.records
    assert "model-at-hand" in (tmp_path / "report.html").read_text()
    assert main(["report", str(tmp_path)]) == 0
    assert "the model at hand" in capsys.readouterr().out
    lacking = compared()
    assert [r.curve for r in lacking.records] == [r.curve for r in found.records]
    with pytest.raises(LabError, match="holds a comparison of these contenders"):
        compared(out=tmp_path, seeds=3)


def test_without_a_folder_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert compared().analysis.checks
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "other",
    [
        {"model": torch.nn.Linear(1, 1, bias=False)},
        {"loss": lambda model, batch: model(batch[0]).square().mean()},
        {"train": [(torch.ones(2, 1), torch.ones(2, 1))]},
        {"held": [{"inputs": 3}], "loss": lambda model, batch: model.weight.sum()},
    ],
)
def test_a_folder_of_another_model_is_refused(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    compared(out=tmp_path)
    before = (tmp_path / "plan.json").read_bytes()
    with pytest.raises(LabError, match="of another model, loss, metric or data"):
        compared(out=tmp_path, **other)
    assert (tmp_path / "plan.json").read_bytes() == before


@pytest.mark.parametrize(
    ("kept", "other"),
    [
        (torch.nn.Tanh(), torch.nn.ReLU()),
        (torch.nn.Dropout(0.1), torch.nn.Dropout(0.2)),
        (torch.nn.LeakyReLU(0.1), torch.nn.LeakyReLU(0.2)),
    ],
)
def test_a_model_of_the_same_tensors_is_another_where_a_module_is(
    tmp_path: Path, kept: torch.nn.Module, other: torch.nn.Module
) -> None:
    def model(module: torch.nn.Module) -> torch.nn.Module:
        torch.manual_seed(1)
        return torch.nn.Sequential(torch.nn.Linear(1, 1), module)

    compared(out=tmp_path, model=model(kept))
    with pytest.raises(LabError, match="of another model, loss, metric or data"):
        compared(out=tmp_path, model=model(other))


@pytest.mark.parametrize(("scale", "sign"), [("linear", "minus"), ("log", "1 /")])
def test_a_metric_to_be_high_is_turned_and_said_so(scale: str, sign: str) -> None:
    high = compared(metric=lambda m, b: 2 + accuracy(m, b), goal="max", scale=scale)
    low = compared(metric=lambda m, b: 2 + accuracy(m, b))
    for turned, plain in zip(high.records, low.records, strict=True):
        value = plain.curve.validation[-1]
        assert turned.score == (-value if scale == "linear" else 1 / value)
        assert turned.curve.train == plain.curve.train
    named = compared(metric=accuracy, goal="max").analysis.tasks[0]
    assert named.scale == "linear"
    assert named.metric == "minus accuracy on the held-out batches"
    assert named.title == (
        "the model at hand, for the highest accuracy, cosine schedule"
    )
    assert high.analysis.tasks[0].metric.startswith(sign)


def test_a_ratio_wants_a_metric_above_0() -> None:
    with pytest.raises(LabError, match=r'metric is 0, .* give scale = "linear"'):
        compared(metric=lambda m, b: 0.0, goal="max", scale="log")


def test_a_schedule_lets_the_learning_rate_follow() -> None:
    constant, cosine = compared(schedule="constant"), compared(schedule="Cosine")
    assert [r.curve.train[0] for r in cosine.records] == [
        r.curve.train[0] for r in constant.records
    ]
    assert cosine.records[0].score != constant.records[0].score


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"steps": 10.5}, "steps is 10.5; give a whole number"),
        ({"seeds": True}, "seeds is True; give a whole number"),
        ({"lrs": 2}, "lrs is 2; give an odd number"),
        ({"evaluations": 0}, "evaluations is 0"),
        ({"contenders": "SGD"}, "contenders is 'SGD'; give a list"),
        ({"contenders": ["AdaX"]}, "AdaX is an optimizer here, but no contender"),
        ({"reference": "Lion"}, "reference: no contender is named 'Lion'"),
        ({"schedule": "linear"}, "schedule: no schedule is named 'linear'"),
        ({"scale": "lin"}, """scale is 'lin'; give "log" or "linear"."""),
        ({"goal": "maximum"}, """goal is 'maximum'; give "min" or "max"."""),
        ({"goal": "max"}, "goal is 'max', and the loss is to be low; give a metric"),
        ({"margin": "much"}, "margin is much; give a number, 0 or more"),
        ({"out": ""}, "out is empty; name a folder"),
    ],
)
def test_odd_arguments_are_refused_as_everywhere(
    odd: dict[str, Any], words: str
) -> None:
    with pytest.raises(LabError, match=re.escape(words)):
        compared(**odd)


def test_the_documented_task_of_a_package_runs() -> None:
    space: dict[str, Any] = {}
    exec(documented()[2], space)
    task = space["MY_TASK"]
    assert isinstance(task, lab.Task)
    small = task.at(lab.Tier.SMOKE)
    problem = small.start(3)
    assert [each.numel() for each in problem.parameters()] == [2]
    assert problem.loss(0).item() == pytest.approx(problem.evaluate()[1])
    assert len(small.data()) == 64

"""A long run that was killed goes on, and ends with the bits of an undisturbed one."""

import functools
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.lab.runs import each, spec

from mementum.lab.planning import contender
from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.running import loop, modifiers, run_state, snapshot
from mementum.lab.running.executors.local import LocalExecutor
from mementum.lab.running.snapshot import COUNTED, VARIABLE, Resumable, snapshots_in
from mementum.lab.tasks.networks.fashion_conv import FASHION_CONV
from mementum.lab.tasks.networks.fashion_mlp import FASHION_MLP
from mementum.lab.tasks.own import user_file
from mementum.lab.tasks.registry import of_tier
from mementum.lab.tasks.task import Task, Tier

STEPS, HALF = 6, 4
WITHOUT = {name for name in COUNTED if name != "optimizer_seconds"}
OWN = """
import torch
from torch import nn
steps, batch = 6, 4
def data():
    inputs = torch.arange(24.0).reshape(12, 2) / 24
    return (inputs, inputs.sum(1)), (inputs, inputs.sum(1))
def model():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 1))
def loss(model, inputs, targets):
    return (model(inputs)[:, 0] - targets).square().mean()
"""


@pytest.fixture(autouse=True)
def at_every_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(snapshot, "EVERY", 0.0)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "unfinished"))


def shortened(task: Task) -> Task:
    return replace(
        task,
        steps=STEPS,
        evaluations=3,
        start=functools.partial(task.start, steps=STEPS),
    )


def asked(task: Task, name: str, **conditions: Any) -> RunSpec:
    chosen = contender.find(name)
    return replace(
        spec(task=task.name, contender=name, lr=chosen.lr),
        options=dict(chosen.options),
        steps=task.steps,
        **conditions,
    )


def trained(run: RunSpec, task: Task) -> run_state.Progress:
    found = run_state.Progress()
    loop.train(found, run, task)
    return found


def interrupted(run: RunSpec, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the process would be killed, before the step HALF."""
    begin = modifiers.begin

    def fragile(*arguments: object, **conditions: object) -> object:
        making = begin(*arguments, **conditions)  # type: ignore[arg-type]
        whole = making.problem.loss

        def loss(step: int) -> torch.Tensor:
            if step == HALF:
                raise MemoryError
            return whole(step)

        monkeypatch.setattr(making.problem, "loss", loss)
        return making

    with monkeypatch.context() as patch:
        patch.setattr(modifiers, "begin", fragile)
        with pytest.raises(MemoryError):
            trained(run, task)


def same(one: run_state.Progress, other: run_state.Progress) -> bool:
    return one.status == other.status and all(
        getattr(one, name) == getattr(other, name) for name in WITHOUT
    )


def files() -> list[Path]:
    return sorted(Path(os.environ[VARIABLE]).glob("*"))


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize(
    ("name", "schedule"), [("SGD", "constant"), ("AdaXW", "drops")]
)
@pytest.mark.parametrize(
    "task",
    [*of_tier(Tier.PAPER), FASHION_MLP, FASHION_CONV],
    ids=lambda task: task.name,
)
def test_an_interrupted_run_ends_as_an_undisturbed_one(
    task: Task, name: str, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = shortened(task)
    run = asked(task, name, schedule=schedule)
    whole = trained(run, task)
    assert whole.status is Status.FINISHED
    interrupted(run, task, monkeypatch)
    assert [path.name for path in files()] == [
        f"{run.run_id}-{step:012}.pt" for step in (HALF - 1, HALF)
    ]
    begun = []
    monkeypatch.setattr(
        snapshot.Snapshots, "keep", lambda self, step, run: begun.append(step)
    )
    assert same(trained(run, task), whole)
    assert begun == [*range(HALF, STEPS)]
    assert not files()


def test_so_does_a_run_of_ones_own_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    task = user_file.load(path)
    run = asked(task, "AdamNX")
    whole = trained(run, task)
    interrupted(run, task, monkeypatch)
    assert len(files()) == 2
    assert same(trained(run, task), whole)


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("damaged", [1, 2])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save({"step": 3}, path),
        lambda path: torch.save(
            torch.load(path) | {"tensors": [torch.ones(1)] * 4}, path
        ),
    ],
    ids=["torn", "empty", "another form", "another model"],
)
def test_a_damaged_snapshot_gives_way_to_the_one_before(
    damage: object, damaged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = shortened(of_tier(Tier.PAPER)[0])
    run = asked(task, "AdamW")
    whole = trained(run, task)
    interrupted(run, task, monkeypatch)
    for path in files()[-damaged:]:
        damage(path)  # type: ignore[operator]
    assert same(trained(run, task), whole)
    assert not files()


@pytest.mark.usefixtures("small_data")
def test_what_a_process_left_that_died_while_it_wrote_goes_with_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = shortened(of_tier(Tier.PAPER)[0])
    run = asked(task, "AdamW")
    interrupted(run, task, monkeypatch)
    files()[0].with_suffix(".12345").write_bytes(b"half")
    other = files()[0].with_name("another.67890")
    other.touch()
    trained(run, task)
    assert files() == [other]


@pytest.mark.usefixtures("small_data")
def test_the_seconds_of_both_processes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    task = shortened(of_tier(Tier.PAPER)[0])
    run = asked(task, "AdamW")
    interrupted(run, task, monkeypatch)
    last = torch.load(files()[-1])
    torch.save(last | {"seconds": 1000.0}, files()[-1])
    assert trained(run, task).record(run, 5.0).seconds == 1005.0


@pytest.mark.usefixtures("small_data")
def test_a_folder_that_cannot_be_written_stops_no_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    task = shortened(of_tier(Tier.PAPER)[0])
    assert trained(asked(task, "AdamW"), task).status is Status.FINISHED


def test_what_cannot_go_on_is_not_kept() -> None:
    task = next(task for task in of_tier(Tier.SMOKE) if task.name == "logreg-cancer")
    assert not isinstance(task.start(0), Resumable)
    assert trained(asked(task, "SGD"), task).status is Status.FINISHED
    assert not files()


@pytest.mark.usefixtures("small_data")
def test_a_run_measured_by_probes_is_not_kept() -> None:
    task = shortened(of_tier(Tier.PAPER)[0])
    assert trained(asked(task, "AdamW", match_updates=True), task).steps[-1] == STEPS
    assert not Path(os.environ[VARIABLE]).exists()


def test_a_folder_named_by_the_environment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with snapshots_in(tmp_path / "other"):
        assert os.environ[VARIABLE] == str(tmp_path / "unfinished")
    monkeypatch.delenv(VARIABLE)
    with snapshots_in(tmp_path / "other"):
        assert os.environ[VARIABLE] == str(tmp_path / "other")
    assert VARIABLE not in os.environ


@each
def killed_in_the_middle(run: RunSpec) -> RunRecord:
    """Train the file that the run names; the first worker is killed half way."""
    task, found = user_file.load(Path(run.data)), run_state.Progress()
    first = not files()
    snapshot.EVERY = 0.0
    whole = user_file.Own.loss

    def loss(self: user_file.Own, step: int) -> torch.Tensor:
        if first and step == HALF:
            os.kill(os.getpid(), signal.SIGKILL)
        if not first:
            assert step >= HALF
        return whole(self, step)

    user_file.Own.loss = loss  # type: ignore[method-assign]
    loop.train(found, run, task)
    return found.record(run, 1.0)


@pytest.mark.process
def test_a_worker_that_is_killed_leaves_its_run_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    run = replace(asked(user_file.load(path), "AdamNX"), data=str(path))
    whole = trained(run, user_file.load(path))
    (found,) = LocalExecutor(1, killed_in_the_middle).results([run])
    assert found.status is Status.FINISHED, found.error
    assert found.curve.validation == tuple(whole.validation)
    assert not files()

"""Laws of tasks that are the user's own: files, packages, models at hand."""

import importlib
import io
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mementum import lab
from mementum.cli import main
from mementum.lab.errors import LabError
from mementum.lab.planning.contender import find
from mementum.lab.records.journal import Store
from mementum.lab.records.run import RunSpec, Status
from mementum.lab.running.loop import execute
from mementum.lab.running.rehearsal import process as rehearsal
from mementum.lab.tasks import registry
from mementum.lab.tasks.own import user_file
from mementum.lab.tasks.own.entry_points import plugged

PAGE = Path(__file__).parents[3] / "docs" / "lab" / "tasks.md"
ONE = ["--contenders", "SGD", "--seeds", "1", "--lrs", "1", "--workers", "1"]


def documented() -> list[str]:
    """The code of the page, the 20-line task first."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.fixture
def wine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(user_file.VARIABLE, "")
    path = tmp_path / "wine.py"
    path.write_text(documented()[0].replace("steps, batch = 300", "steps, batch = 20"))
    return path


@pytest.fixture
def documented_spec() -> RunSpec:
    return RunSpec(
        task="wine",
        task_version=1,
        data="",
        contender="SGD",
        options={"momentum": 0.9},
        lr=0.1,
        seed=0,
        steps=20,
        versions={},
    )


@pytest.mark.process
def test_the_documented_task_has_about_twenty_lines_and_runs_as_documented(
    wine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(documented()[0].splitlines()) <= 24
    folder = tmp_path / "out"
    assert main(["compare", "--task", str(wine), *ONE, "--out", str(folder)]) == 0
    assert "wine" in capsys.readouterr().out
    records = Store(folder).records()
    assert {(r.spec.task, r.status) for r in records} == {("wine", Status.FINISHED)}
    assert {r.spec.contender for r in records} == {"SGD", "AdamW"}
    for record in records:
        again = execute(record.spec)
        assert (again.score, again.curve) == (record.score, record.curve)


DRAWN = """
import random
import numpy, torch
shift = torch.rand(1)
def data():
    inputs = torch.randn(12, 3) + random.random() + numpy.random.rand() + shift
    return (inputs, inputs.sum(1)), (inputs, inputs.sum(1))
def model():
    return torch.nn.Linear(3, 1)
def loss(model, inputs, targets):
    return (model(inputs)[:, 0] - targets).square().mean()
"""


def test_data_drawn_from_global_states_are_the_same_in_every_process(
    tmp_path: Path,
) -> None:
    path = tmp_path / "drawn.py"
    path.write_text(DRAWN)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        before = torch.get_rng_state(), random.getstate(), np.random.rand()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        found.append(user_file._loaded.__wrapped__(path, "").data())
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (random.getstate(), np.random.rand()) == before[1:]  # noqa: NPY002
    assert len(set(found)) == 1


@pytest.mark.process
def test_the_documented_call_on_a_model_at_hand_runs_as_documented(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exec(documented()[1], {})
    assert capsys.readouterr().out


class Ended:
    """Stands in for a process that has come to its end."""

    def poll(self) -> int:
        return 0

    wait = poll


@pytest.fixture
def rehearsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process say what the process of a rehearsal would, in its words."""

    def begin(process: Any, path: Path, names: list[str], device: None) -> None:
        process.path, process._process = path, Ended()
        answer = rehearsal._answer(path, map(find, names), device)
        process._answer = io.StringIO(json.dumps(answer))

    monkeypatch.setattr(rehearsal._Process, "__init__", begin)


FAULTS: list[tuple[str, str, list[str]]] = [
    ("targets = torch.tensor", "targets = torch.tensr", ["line 13, in data", "tensr"]),
    ("nn.Linear(13, 32)", "nn.Linear(13, wide)", ["line 18, in model", "wide"]),
    ("nn.Linear(32, 3)", "nn.Linear(31, 3)", ["line 22, in loss", "shapes"]),
    ("def loss(", "def los(", ["defines no function loss"]),
    ("import torch\n", "import torch\nimport no_such_module\n", ["line 4", "no_such"]),
    ("import torch\n", "import torch\n)\n", ["line 4", "SyntaxError"]),
    ("import torch\n", "import torch\nraise SystemExit(3)\n", ["line 4", "SystemExit: 3"]),
    ("batch = 20, 32", "batch = 20, 0", ["batch is 0"]),
    ("batch = 20, 32", "batch = 20, '8'", ["batch is '8'", "whole number"]),
    ("import torch\n", "import torch\nmargin = -1\n", ["margin is -1", "0 or more"]),
    ("import torch\n", "import torch\nmargin = '1 %'\n", ["margin is '1 %'"]),
    ("import torch\n", "import torch\ntitle = 5\n", ["title is 5", "text"]),
    ("import torch\n", 'import torch\nscale = "lin"\n', ["scale is 'lin'", "linear"]),
    ("(inputs[1::2], targets[1::2])", "inputs", ["data() returned", "held-out"]),
    ("targets[::2])", "targets[::3])", ["equally many rows"]),
    ("    return nn.functional", "    return 3 or nn.functional", ["in loss returned a int; return a tensor of one number"]),
    ("    return nn.functional", "    return torch.nan * nn.functional", ["loss is nan"]),
    ("    return nn.Sequential", "    return 3 or nn.Sequential", ["in model returned 3, no module"]),
]  # fmt: skip


# However a fault is found, it is told alike: one of each kind goes through a process.
TOLD = [
    *(pytest.param("rehearsed_here", *each) for each in FAULTS),
    *(pytest.param("wine", *FAULTS[i], marks=pytest.mark.process) for i in (0, 2, 6)),
]


@pytest.mark.parametrize(("where", "old", "new", "words"), TOLD)
def test_an_error_in_the_file_is_one_line_that_names_its_place(
    wine: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest,
    where: str, old: str, new: str, words: list[str],
) -> None:  # fmt: skip
    request.getfixturevalue(where)
    assert old in wine.read_text()
    wine.write_text(wine.read_text().replace(old, new, 1))
    folder = wine.parent / "out"
    assert main(["compare", "--task", str(wine), "--out", str(folder)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert shown.err.count("\n") == 1
    for word in ["wine.py", *words]:
        assert word in shown.err
    assert not folder.exists()


def test_an_error_that_comes_late_is_a_failed_run_that_names_its_place(
    wine: Path, documented_spec: RunSpec
) -> None:
    late = "    assert torch.get_num_threads() > 1"
    wine.write_text(
        wine.read_text().replace("    return nn.f", f"{late}\n    return nn.f")
    )
    task = user_file.load(wine.resolve())
    user_file.announce({wine.resolve(): True})
    failed = execute(replace(documented_spec, data=task.data()))
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert re.search(r"wine\.py, line 22, in loss: AssertionError", failed.error)
    assert not failed.error.startswith("OwnTaskError")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-such.py", "no such file"),
        ("mlp-digits.py", "a task named mlp-digits already"),
        ("notes.txt", "give a Python file"),
    ],
)
def test_a_file_that_can_be_no_task_is_refused(
    wine: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    path = wine.parent / name
    if name != "no-such.py":
        path.write_text(wine.read_text())
    out = wine.parent / "out"
    assert main(["compare", "--task", str(path), "--out", str(out)]) == 2
    assert words in capsys.readouterr().err


def test_a_changed_file_or_changed_data_is_another_task(wine: Path) -> None:
    first = user_file.load(wine).data()
    assert user_file.load(wine).data() == first
    wine.write_text(wine.read_text() + "\n# changed\n")
    assert user_file.load(wine).data() != first


def test_dropout_and_start_are_functions_of_the_seed_and_nobody_elses_state(
    wine: Path,
) -> None:
    wine.write_text(wine.read_text().replace("nn.ReLU()", "nn.Dropout(0.5)"))
    task = user_file.load(wine)
    before = torch.get_rng_state()
    one, two, other = task.start(3), task.start(3), task.start(4)
    first = [one.loss(step).item() for step in (0, 1)]
    with torch.no_grad():
        assert two.evaluate() == one.evaluate()
    torch.rand(5)
    assert [two.loss(step).item() for step in (0, 1)] == first
    assert other.loss(0).item() != first[0]
    torch.set_rng_state(before)
    task.start(5).loss(0)
    assert torch.equal(torch.get_rng_state(), before)


def test_entry_points_bring_tasks_and_a_broken_one_keeps_nobody_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "their_tasks.py").write_text(
        "from dataclasses import replace\n"
        "from mementum.lab.tasks.networks.mlp_digits import DIGITS\n"
        "GOOD = replace(DIGITS, name='their-digits')\n"
        "TAKEN = DIGITS\n"
        "NONE = 3\n"
    )
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(
        "[mementum.tasks]\na = their_tasks:GOOD\nb = their_tasks:TAKEN\n"
        "c = their_tasks:NONE\nd = their_tasks:MISSING\ne = no_such_module:X\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    plugged.cache_clear()
    try:
        assert registry.find("their-digits").title == registry.find("mlp-digits").title
        assert main(["tasks"]) == 0
        shown = capsys.readouterr().out
    finally:
        plugged.cache_clear()
    assert "their-digits" in shown
    for point in "bcde":
        assert f"The task {point} of the package theirs is left out" in shown
    assert "mlp-digits already" in shown


def loss(
    model: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    return torch.nn.functional.mse_loss(model(batch[0]), batch[1])


def loader(shuffle: bool) -> torch.utils.data.DataLoader:
    inputs = torch.linspace(-1, 1, 32)[:, None]
    table = torch.utils.data.TensorDataset(inputs, inputs.square())
    return torch.utils.data.DataLoader(table, batch_size=8, shuffle=shuffle)


def test_a_model_at_hand_is_left_as_it_is_and_every_contender_starts_from_it() -> None:
    model = torch.nn.Sequential(
        torch.nn.Linear(1, 4), torch.nn.Dropout(0.2), torch.nn.Linear(4, 1)
    )
    before = [each.detach().clone() for each in model.parameters()]
    state = torch.get_rng_state()
    runs = [
        lab.compare_model(
            model, loss, loader(True), loader(False), steps=6, seeds=2, lrs=1
        )
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    for mine, was in zip(model.parameters(), before, strict=True):
        assert torch.equal(mine, was)
    first, second = ([(r.score, r.curve.train) for r in run.records] for run in runs)
    assert first == second
    assert len({record.curve.train[0] for record in runs[0].records}) == 1
    assert len({record.score for record in runs[0].records}) > 8


def test_a_function_that_makes_the_model_starts_every_seed_elsewhere() -> None:
    found = lab.compare_model(
        lambda: torch.nn.Linear(1, 1),
        loss, loader(True), loader(False),
        steps=3, seeds=3, lrs=1, contenders=["sgd"],
    )  # fmt: skip
    starts = {r.spec.seed: r.curve.train[0] for r in found.records}
    assert len(set(starts.values())) == 3
    assert {r.spec.contender for r in found.records} == {"SGD", "AdamW"}


def test_errors_of_the_model_are_raised_as_they_are_and_odd_arguments_refused() -> None:
    def broken(model: torch.nn.Module, batch: object) -> torch.Tensor:
        raise ZeroDivisionError("mine")

    model = torch.nn.Linear(1, 1)
    with pytest.raises(ZeroDivisionError, match="mine"):
        lab.compare_model(model, broken, loader(True), loader(True), steps=2, lrs=1)
    for odd in (
        {"steps": 0},
        {"scale": "lin"},
        {"contenders": ["Lion"]},
        {"margin": -0.1},
        {"margin": float("nan")},
    ):
        with pytest.raises(LabError, match=r"is 0|lin|Lion|margin is (-0.1|nan)"):
            lab.compare_model(model, loss, loader(True), loader(True), **odd)
    with pytest.raises(LabError, match="train holds no batch"):
        lab.compare_model(model, loss, [], loader(True), steps=2, lrs=1)


def test_files_are_handed_to_workers_through_the_environment(wine: Path) -> None:
    user_file.announce({wine.resolve(): False})
    assert user_file.paths() == {"wine": wine.resolve()}
    assert registry.find("wine").name == "wine"
    assert not registry.find("wine").resumable


def test_a_data_class_of_a_task_file_finds_its_module(tmp_path: Path) -> None:
    path = tmp_path / "with_settings.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import KW_ONLY, dataclass\n"
        "import torch\n"
        "@dataclass\n"
        "class Settings:\n"
        "    _: KW_ONLY\n"
        "    width: int = 3\n"
        "def data():\n"
        "    rows = torch.ones(4, Settings().width)\n"
        "    return (rows, rows), (rows, rows)\n"
        "def model():\n"
        "    return torch.nn.Linear(3, 3)\n"
        "def loss(model, inputs, targets):\n"
        "    return (model(inputs) - targets).square().mean()\n"
    )
    assert user_file.load(path).name == "with_settings"

"""Laws of watching: every run is handed over, and no tracker stops a comparison."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.lab.runs import record, spec

from mementum.lab.cli.trackers import watch
from mementum.lab.errors import LabError
from mementum.lab.records.run import Curve


class Run:
    """A run as trackio and wandb open one."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.points: list[tuple[int | None, dict[str, float]]] = []
        self.finished = False

    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        assert not self.finished
        self.points.append((step, metrics))


class Library(ModuleType):
    """trackio and wandb as a comparison meets them: one run is open at a time.

    trackio and MLflow print to standard output and wandb to standard error, of every
    run. A run that is not closed by the module's own `finish` is closed, and spoken of,
    at exit.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.runs: list[Run] = []
        self.open: Run | None = None

    def say(self, words: str) -> None:
        print(words, file=sys.stderr if self.__name__ == "wandb" else sys.stdout)

    def init(
        self, *, project: str, name: str, group: str, config: dict[str, Any]
    ) -> Run:
        assert self.open is None
        self.open = Run(project=project, name=name, group=group, config=config)
        self.runs.append(self.open)
        self.say(f"open {name}")
        return self.open

    def finish(self) -> None:
        assert self.open is not None
        self.open.finished, self.open = True, None
        self.say("closed")


class MLflow(Library):
    """MLflow: the same by other names, and what is logged goes to the open run."""

    project = ""

    def set_experiment(self, experiment_name: str) -> None:
        self.project = experiment_name

    def start_run(self, *, run_name: str, tags: dict[str, str]) -> None:
        assert self.project
        group = tags["group"]
        self.init(project=self.project, name=run_name, group=group, config={})

    def log_params(self, params: dict[str, Any]) -> None:
        assert self.open is not None
        self.open.given["config"].update(params)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert self.open is not None
        self.open.log(metrics, step)

    def end_run(self) -> None:
        self.finish()


@pytest.fixture(params=["trackio", "wandb", "mlflow"])
def tracker(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Library]:
    """A tracker under its name: two share an interface, and one is made to."""
    kind = MLflow if request.param == "mlflow" else Library
    library = kind(request.param)
    monkeypatch.setitem(sys.modules, request.param, library)
    return request.param, library


def test_every_run_is_handed_over_with_its_curve(
    tracker: tuple[str, Library], tmp_path: Path
) -> None:
    name, library = tracker
    seen = watch(name, tmp_path)
    for seed in range(3):
        seen(record(spec(seed=seed)))
    assert [run.given["config"]["seed"] for run in library.runs] == [0, 1, 2]
    assert len({run.given["name"] for run in library.runs}) == 3
    for run in library.runs:
        assert run.finished
        assert run.points == [
            (0, {"train": 1.0, "validation": 1.0}),
            (10, {"train": 0.25, "validation": 0.5}),
        ]
        assert run.given["config"]["betas"] == [0.9, 0.999]


def test_what_is_not_finite_is_not_handed_over(
    tracker: tuple[str, Library], tmp_path: Path
) -> None:
    name, library = tracker
    curve = Curve(steps=(0, 10), train=(1.0, math.nan), validation=(2.0, math.nan))
    watch(name, tmp_path)(replace(record(spec()), curve=curve))
    assert library.runs[0].points == [(0, {"train": 1.0, "validation": 2.0})]


def test_a_tracker_that_fails_is_dropped_and_said_so_once(
    tracker: tuple[str, Library],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, library = tracker

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("no server")

    monkeypatch.setattr(Run, "log", refuse)
    seen = watch(name, tmp_path)
    seen(record(spec(seed=0)))
    seen(record(spec(seed=1)))
    assert len(library.runs) == 1
    said = capsys.readouterr().err
    assert said.count("takes no more runs (ConnectionError: no server)") == 1


def test_a_tracker_is_heard_once_and_never_where_the_answer_stands(
    tracker: tuple[str, Library], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, library = tracker
    seen = watch(name, tmp_path)
    for seed in range(3):
        seen(record(spec(seed=seed)))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"open {library.runs[0].given['name']}\nclosed\n"


@pytest.mark.parametrize("name", ["trackio", "wandb", "tensorboard", "mlflow"])
def test_a_missing_package_is_named_with_the_way_to_get_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (name, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LabError, match=f"pip install {name}"):
        watch(name, tmp_path)


def test_tensorboard_looks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[Any, ...]] = []

    class SummaryWriter:
        def __init__(self, log_dir: str) -> None:
            written.append(("open", Path(log_dir).parent))

        def add_text(self, name: str, text: str) -> None:
            written.append((name, "lr: 0.001" in text))

        def add_scalar(self, name: str, value: float, global_step: int) -> None:
            written.append((name, value, global_step))

        def close(self) -> None:
            written.append(("close",))

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    watch("tensorboard", tmp_path)(record(spec()))
    assert written == [
        ("open", tmp_path / "tensorboard"),
        ("config", True),
        ("train", 1.0, 0),
        ("validation", 1.0, 0),
        ("train", 0.25, 10),
        ("validation", 0.5, 10),
        ("close",),
    ]

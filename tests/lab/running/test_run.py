"""Laws of runs: identity, written form, determinism, how they end."""

import dataclasses
import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.lab.runs import record, spec

import mementum
from mementum.lab.errors import LabError
from mementum.lab.planning import contender
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.records.run import Curve, FormatError, RunRecord, RunSpec, Status
from mementum.lab.running import loop, run_state
from mementum.lab.running.loop import execute
from mementum.lab.running.versions import source_digest, versions
from mementum.lab.tasks import registry

OTHER = {
    "task": "other",
    "task_version": 2,
    "data": "01",
    "contender": "SGD",
    "options": {"betas": [0.9, 0.99], "eps": 1e-8},
    "lr": 0.0010000000000000002,
    "seed": 1,
    "steps": 11,
    "versions": {"mementum": "1", "torch": "3"},
    "schedule": "cosine",
    "match_updates": True,
    "probe": "sharpness",
    "matched_memory": True,
    "form": "stacked",
    "device": "cuda",
}


def planned(task: str, name: str, lr: float) -> RunSpec:
    plan = factorial(
        tasks=[registry.find(task)],
        contenders=[contender.find(name)],
        seeds=(0,),
        grid=Grid(points=1),
        reference=name,
        versions=versions(),
    )
    return replace(plan.runs[0], lr=lr)


def timeless(record: RunRecord) -> str:
    return replace(record, seconds=0.0, optimizer_seconds=0.0).to_json()


@pytest.mark.parametrize("field", OTHER)
def test_every_field_of_a_spec_is_part_of_its_identity(field: str) -> None:
    assert set(OTHER) == {each.name for each in dataclasses.fields(RunSpec)}
    changed = replace(spec(), **{field: OTHER[field]})
    assert changed.run_id != spec().run_id


def test_a_run_that_had_no_choice_of_form_and_device_keeps_its_name() -> None:
    made = RunSpec(
        task="t",
        task_version=1,
        data="00",
        contender="AdamW",
        options={"eps": 1e-8},
        lr=1e-3,
        seed=3,
        steps=10,
        versions={"torch": "2"},
    )
    assert made.run_id == (
        "dff593e16349f2756dd9e233194e4f96c7c41d65f26ac21c8e37b4dcb964fc6e"
    )


def test_the_order_of_options_is_no_part_of_the_identity() -> None:
    turned = dict(reversed(spec().options.items()))
    assert replace(spec(), options=turned).run_id == spec().run_id


def test_a_record_survives_its_written_form() -> None:
    given = record(spec(lr=1 / 3), score=0.1 + 0.2)
    line = given.to_json()
    assert "\n" not in line
    assert RunRecord.from_json(line) == given
    assert RunRecord.from_json(line).spec.run_id == given.spec.run_id


def test_numbers_that_are_not_finite_are_written_as_null_and_read_as_nan() -> None:
    curve = Curve(
        steps=(0, 1, 2), train=(1.0, math.inf, math.nan), validation=(1, 2, 3)
    )
    given = replace(record(spec(), status=Status.DIVERGED), curve=curve)
    json.loads(given.to_json(), parse_constant=pytest.fail)
    read = RunRecord.from_json(given.to_json()).curve.train
    assert read[0] == 1.0
    assert all(math.isnan(value) for value in read[1:])


@pytest.mark.parametrize("line", ["", "{", "[]", "3", "{}", '{"format":1}'])
def test_a_line_without_a_record_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        RunRecord.from_json(line)


def test_another_version_of_the_form_is_refused_by_its_number() -> None:
    later = json.dumps({**json.loads(record(spec()).to_json()), "format": 7})
    with pytest.raises(FormatError, match="format 7"):
        RunRecord.from_json(later)


@pytest.mark.parametrize("name", ["SGD", "AdaXW"])
def test_a_run_depends_on_its_spec_alone(name: str) -> None:
    one, other = planned("mlp-digits", name, 0.01), planned("mlp-digits", "Adam", 0.001)
    torch.manual_seed(5)
    first = execute(one)
    execute(other)
    torch.manual_seed(6)
    assert timeless(execute(one)) == timeless(first)
    assert first.status is Status.FINISHED
    assert first.score == first.curve.validation[-1]
    assert first.curve.steps == registry.find("mlp-digits").grid()
    assert first.parameters == 64 * 64 + 64 + 64 * 10 + 10
    assert 0 < first.optimizer_seconds < first.seconds


def test_contenders_are_measured_at_the_same_start() -> None:
    starts = {
        execute(planned("mlp-digits", name, 1e30)).curve.validation[0]
        for name in ("SGD", "AdamW", "AdaMomentum")
    }
    assert len(starts) == 1


def test_a_run_that_blows_up_ends_early_as_a_result() -> None:
    ended = execute(planned("mlp-digits", "SGD", 1e30))
    assert ended.status is Status.DIVERGED
    assert ended.score is None
    assert ended.error is None
    assert ended.curve.steps == (0,)
    assert RunRecord.from_json(ended.to_json()).status is Status.DIVERGED


def test_a_loss_above_the_tasks_limit_ends_the_run() -> None:
    run, task = run_state.Progress(), registry.find("mlp-digits")
    # The loss of an untrained net on ten digits is near log 10 = 2.3.
    loop.train(run, planned("mlp-digits", "SGD", 0.1), replace(task, limit=1.0))
    assert run.status is Status.DIVERGED
    assert run.steps == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contender": "Lion"}, "Lion"),
        ({"task": "imagenet"}, "imagenet"),
        ({"data": "ff"}, "data of mlp-digits are others"),
        ({"steps": 7}, "7 steps"),
        ({"task_version": 0}, "version 0"),
        ({"options": {"speed": 9}}, "speed"),
        ({"lr": -1.0}, "-1"),
    ],
)
def test_a_run_that_cannot_be_done_fails_with_its_reason(
    change: dict[str, object], message: str
) -> None:
    run = replace(planned("mlp-digits", "AdamW", 0.1), **change)
    failed = execute(run)
    assert failed.status is Status.FAILED
    assert failed.score is None
    assert failed.error is not None
    assert message in failed.error


def test_a_run_leaves_the_number_of_threads_as_it_found_it() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        execute(planned("mlp-digits", "SGD", 1e30))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


DECIDE = (
    "family/rule.py",
    "family/noise.py",
    "torch/family_optimizer.py",
    "torch/optimizers.py",
    "torch/backends/loop.py",
    "torch/groups/options.py",
    "torch/state/formats.py",
    "torch/step/coefficients.py",
    "native/kernel.cpp",
    "native/isa/kernel.inc",
    "native/isa/kernel_avx2.cpp",
    "native/CMakeLists.txt",
)
DECIDE_NOTHING = (
    "cli/root.py",
    "doctor/command.py",
    "bench/clock.py",
    "lab/experiment/named.py",
    "lab/running/loop.py",
    "torch/checkpoint/state_dict.py",
    "torch/convert/adoption.py",
    "torch/inspect/telemetry.py",
    "torch/integrations/timm.py",
)


@pytest.fixture
def package(tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the package, and the folder in which an install has its kernel."""
    compiled, package = tmp_path / "compiled", tmp_path / "package"
    (compiled / "native").mkdir(parents=True)
    (compiled / "native/kernel.so").write_bytes(b"0")
    ours = [
        each for each in map(Path, mementum.__path__) if (each / "convert.py").exists()
    ]
    shutil.copytree(ours[0], package, ignore=shutil.ignore_patterns("__pycache__"))
    return compiled, package


def test_editing_what_decides_numbers_makes_new_runs_and_nothing_else_does(
    package: tuple[Path, Path],
) -> None:
    compiled, source = package
    before = source_digest(package)
    assert before == versions()["source"]
    assert source_digest([*package, compiled]) == before
    (compiled / "native/kernel.so").write_bytes(b"1")
    (source / "torch/new.py").write_text("1")
    for name in DECIDE_NOTHING:
        with (source / name).open("a") as file:
            file.write("# a comment\n")
    assert source_digest(package) == before
    found = {before}
    for name in DECIDE:
        with (source / name).open("a") as file:
            file.write("// a comment\n")
        found.add(source_digest(package))
    assert len(found) == 1 + len(DECIDE)


def test_a_package_without_sources_has_no_digest(tmp_path: Path) -> None:
    assert versions()["source"] != hashlib.sha256().hexdigest()[:12]
    with pytest.raises(LabError, match="no source of mementum"):
        source_digest([tmp_path])

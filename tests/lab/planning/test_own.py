"""Laws of optimizers of the user's own: every form competes as the lab's own do."""

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import torch

from mementum import lab
from mementum.cli import main
from mementum.lab.errors import LabError
from mementum.lab.planning.contender import CONTENDERS, OTHERS
from mementum.lab.planning.own import registry
from mementum.lab.records.journal import Store
from mementum.lab.records.plan import Plan
from mementum.lab.records.run import Status
from mementum.lab.running.loop import execute

PAGE = Path(__file__).parents[3] / "docs" / "lab" / "contenders.md"
FORMS = ["file", "dot", "colon", "class", "module", "entry point"]


def documented() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.fixture(autouse=True)
def theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[Path, None, None]:
    """A folder with spaces that holds a file, and a package with an entry point."""
    monkeypatch.setenv(registry.VARIABLE, "")
    folder = tmp_path / "my folder"
    folder.mkdir()
    (folder / "my_optimizer.py").write_text(documented()[0])
    (folder / "their_rules.py").write_text(
        documented()[0] + "\nclass NoRate(torch.optim.SGD):\n"
        "    def __init__(self, params, lr): super().__init__(params, lr)\n"
        "class Takes(torch.optim.SGD):\n"
        "    def __init__(self, params, lr, width): super().__init__(params, lr)\n"
    )
    info = folder / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(
        "[mementum.contenders]\nPacked = torch.optim:Adamax\n"
        "adamw = torch.optim:Adamax\nbroken = no_such_module:X\nnone = math:pi\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    registry.plugged.cache_clear()
    registry._registered.clear()
    yield folder
    registry.plugged.cache_clear()
    sys.modules.pop("their_rules", None)


def form(kind: str, folder: Path) -> tuple[object, str]:
    """A contender in one of the forms, and its name."""
    return {
        "file": (str(folder / "my_optimizer.py"), "Signed"),
        "dot": ("torch.optim.Adamax", "Adamax"),
        "colon": ("torch.optim:Adamax", "Adamax"),
        "class": (torch.optim.Adamax, "Adamax"),
        "module": ("their_rules:", "Signed"),
        "entry point": ("Packed", "Packed"),
    }[kind]


def planned(*contenders: object, **how: object) -> Plan:
    usual = {"seeds": 2, "lrs": 3} | how
    return lab.plan(["quad"], contenders, **usual)


@pytest.mark.parametrize("kind", FORMS)
def test_every_form_competes_with_the_rates_and_seeds_of_the_others(
    kind: str, theirs: Path
) -> None:
    source, name = form(kind, theirs)
    plan = planned("SGD", source)
    runs = {c: [r for r in plan.runs if r.contender == c] for c in ("SGD", name)}
    # The pilot begins with one seed at each rate.
    assert {len(each) for each in runs.values()} == {3}
    assert [r.seed for r in runs[name]] == [r.seed for r in runs["SGD"]]
    ratios = [
        {round(r.lr / plan.centres[c], 2) for r in each} for c, each in runs.items()
    ]
    assert ratios[0] == ratios[1]
    assert plan.reference == "AdamW"
    assert all(r.versions.get(f"contender {name}") for r in runs[name])
    assert not any(r.versions.get("contender SGD") for r in runs["SGD"])


@pytest.mark.parametrize("kind", FORMS)
def test_every_form_may_be_the_reference_and_is_found_again_by_a_fresh_process(
    kind: str, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, name = form(kind, theirs)
    plan = planned("SGD", reference=source, seeds=1, lrs=1)
    assert plan.reference == name
    registry._registered.clear()
    (run,) = [each for each in plan.runs if each.contender == name]
    record = execute(run)
    assert (record.status, record.error) == (Status.FINISHED, None)
    assert execute(run).curve == record.curve


def test_a_dot_and_a_colon_name_the_same_runs() -> None:
    dot, colon = (
        planned(each) for each in ("torch.optim.Adamax", "torch.optim:Adamax")
    )
    assert dot == colon == planned(torch.optim.Adamax)


def test_one_that_is_named_twice_takes_part_once(theirs: Path) -> None:
    file = str(theirs / "my_optimizer.py")
    assert (
        planned(file, file, reference=file).runs == planned(file, reference=file).runs
    )


@pytest.mark.process
def test_the_documented_file_runs_as_documented_in_a_folder_with_spaces(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(documented()[0].splitlines()) <= 22
    folder = theirs / "out"
    command = ["compare", "--tasks", "quad", "--contenders", "SGD", "--workers", "1"]
    command += ["--contender", str(theirs / "my_optimizer.py"), "--seeds", "1"]
    command += ["--lrs", "1", "--trials", "2", "--reference", "Signed"]
    assert main([*command, "--out", str(folder)]) == 0
    assert "Signed" in capsys.readouterr().out
    records = Store(folder).records()
    assert {(r.spec.contender, r.status) for r in records} == {
        ("SGD", Status.FINISHED),
        ("Signed", Status.FINISHED),
    }
    tuned = [r.spec.options for r in records if r.spec.contender == "Signed"]
    # Published and two trials in the pilot, and their judging seed.
    assert len({f"{each}" for each in tuned}) == 3
    assert all(0.5 <= each["momentum"] <= 0.99 for each in tuned)
    assert all(each["weight_decay"] in (0.0, 0.01) for each in tuned)


SCRIPT = """
import torch
from mementum import lab
class Mine(torch.optim.SGD):
    def __init__(self, params, lr=0.05):
        super().__init__(params, lr)
if __name__ == "__main__":
    plan = lab.plan(["quad"], [Mine], seeds=1, lrs=1, reference=Mine)
    found = lab.compare(plan, "by script", workers=1, widen=0)
    print(*[(r.spec.contender, r.status.value, r.error) for r in found.records])
"""


@pytest.mark.process
def test_a_class_of_a_script_is_found_by_its_workers(theirs: Path) -> None:
    (theirs / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=theirs,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "('Mine', 'finished', None)"


@pytest.mark.process
def test_the_documented_classes_in_python_run_as_documented(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(theirs)
    space = {"__name__": "__main__"}
    exec(documented()[1].replace('comparison")', 'comparison", workers=0)'), space)
    assert {r.spec.contender for r in space["found"].records} == {
        *("SGD", "Adamax", "NAdam", "AdamW")
    }


def test_a_change_of_the_file_makes_its_runs_new_runs(theirs: Path) -> None:
    file = theirs / "my_optimizer.py"
    before = planned(file)
    assert planned(file) == before
    file.write_text(file.read_text() + "# changed\n")
    after = planned(file)
    old, new = ({r.run_id for r in plan.runs} for plan in (before, after))
    of_others = {r.run_id for r in before.runs if r.contender != "Signed"}
    assert old & new == of_others
    registry._registered.clear()
    (run, *_) = [r for r in before.runs if r.contender == "Signed"]
    record = execute(run)
    assert record.status is Status.FAILED
    assert "plan the comparison again" in str(record.error)


BAD = {
    "absent.py": (None, ["absent.py", "no such file"]),
    "empty.py": ("", ["defines no function optimizer"]),
    "raising.py": ("import math\nmath.sqrt(-1)\n", ["raising.py, line 2", "ValueError"]),
    "broken.py": ("def (\n", ["broken.py, line 1", "SyntaxError"]),
    "exiting.py": ("raise SystemExit(3)\n", ["line 1", "SystemExit: 3"]),
    "list.py": (
        "lr = 1\ndef optimizer(params, lr): return [params]\n",
        ["returned list", "torch.optim.Optimizer"],
    ),
    "making.py": (
        "lr = 1\ndef optimizer(params, lr):\n    return params.missing\n",
        ["making.py, line 3, in optimizer", "AttributeError"],
    ),
    "stepping.py": (
        ("import torch\nlr = 1\nclass Bad(torch.optim.SGD):\n"
        "    def step(self):\n        raise KeyError('x')\n"
        "def optimizer(params, lr): return Bad(params, lr)\n"),
        ["stepping.py, line 5, in step", "KeyError"],
    ),
    "clash.py": (
        "import torch\nname = 'adamw'\noptimizer = torch.optim.SGD\n",
        ["a contender named adamw already", 'name = "Myadamw"'],
    ),
    "named.py": ("import torch\nname = 3\noptimizer = torch.optim.SGD\n", ["name is 3"]),
    "no_rate.py": (
        "def optimizer(params, lr): ...\n",
        ["--lr of no_rate is not known", "--lr no_rate=RATE"],
    ),
    "negative.py": ("lr = -1\ndef optimizer(params, lr): ...\n", ["is -1", "above 0"]),
    "zero.py": ("lr = 0\ndef optimizer(params, lr): ...\n", ["is 0", "above 0"]),
    "text.py": ("lr = 'x'\ndef optimizer(params, lr): ...\n", ["is x", "above 0"]),
    "rate.py": ("lr = 1\ndef optimizer(params, rate): ...\n", ["takes params, rate", "lr"]),
    "wants.py": ("lr = 1\ndef optimizer(params, lr, beta): ...\n", ["wants beta", "default"]),
    "unknown.py": (
        ("lr = 1\nspace = {'momentun': (0.1, 0.2)}\n"
        "def optimizer(params, lr, momentum=0.1): ...\n"),
        ["space has 'momentun'", "did you mean momentum?"],
    ),
    "range.py": (
        "lr = 1\nspace = {'beta': (0, 1)}\ndef optimizer(params, lr, beta=0.1): ...\n",
        ["space['beta'] is (0, 1)", "above 0"],
    ),
    "no_dict.py": ("lr = 1\nspace = 3\ndef optimizer(params, lr): ...\n", ["space is 3"]),
    "no_such_module:X": (None, ["no_such_module:X", "no module"]),
    "no.such.module": (None, ["no.such.module", "no module"]),
    "torch.optim:Adamaxx": (None, ["torch.optim has no Adamaxx"]),
    "torch.nn:Linear": (None, ["torch.nn:Linear", "no class of torch.optim.Optimizer"]),
    "torch.optim:AdamW": (None, ["a contender named AdamW already"]),
    "their_rules:NoRate": (None, ["--lr of NoRate is not known", "--lr NoRate=RATE"]),
    "their_rules:Takes": (None, ["wants width"]),
    "math.pi": (None, ["math:pi", "float"]),
    "torch.optim:SparseAdam": (None, ["sparse_adam.py", "in step", "dense gradients"]),
    "..": (None, ["no module"]),
    "": (None, ["--contender is empty"]),
    " ": (None, ["--contender is empty"]),
    "Unheard": (None, ["no contender is named 'Unheard'"]),
}  # fmt: skip


@pytest.mark.parametrize("source", BAD)
def test_a_source_that_is_none_is_answered_with_one_sentence(
    source: str, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, words = BAD[source]
    if content is not None:
        (theirs / source).write_text(content)
    if source.endswith(".py"):
        source = str(theirs / source)
    folder = theirs / "out"
    command = ["compare", "--tasks", "quad", "--contender", source]
    assert main([*command, "--out", str(folder)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("mementum compare: ")
    assert told.count("\n") == 1
    for word in words:
        assert word in told
    assert not folder.exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"NoRate": 0.0}, "NoRate is 0.0; give a number above 0"),
        ({"NoRate": True}, "NoRate is True"),
        ({"NoRate": 0.1, "AdamW": 0.1}, "AdamW"),
    ],
)
def test_a_rate_that_cannot_be_is_answered_with_one_sentence(
    given: dict[str, float], words: str
) -> None:
    with pytest.raises(LabError, match=re.escape(words)):
        planned("their_rules:NoRate", lr=given)


def test_a_rate_that_is_given_is_the_centre_of_the_grid() -> None:
    assert (
        planned("their_rules:NoRate", lr={"norate": "0.25"}).centres["NoRate"] == 0.25
    )
    assert planned(torch.optim.Adamax, lr={"Adamax": 0.5}).centres["Adamax"] == 0.5
    assert planned("Packed", lr={"Packed": 0.5}).centres["Packed"] == 0.5


def test_a_rate_for_nobody_is_answered_with_one_sentence() -> None:
    registry.plugged.cache_clear()
    with pytest.raises(LabError, match="lr"):
        planned("SGD", lr={"SGD": 0.1})


def test_a_common_weight_decay_is_refused_to_an_optimizer_without_one() -> None:
    plan = planned(torch.optim.Adamax, weight_decay=0.1)
    assert {r.options["weight_decay"] for r in plan.runs} == {0.1}
    planned("torch.optim.Rprop", weight_decay=0)
    with pytest.raises(LabError, match="Rprop takes none"):
        planned("torch.optim.Rprop", weight_decay=0.1)


def test_a_class_that_no_worker_can_import_asks_for_this_process(theirs: Path) -> None:
    class Local(torch.optim.SGD):
        def __init__(self, params, lr=0.1):  # type: ignore[no-untyped-def]
            super().__init__(params, lr)

    plan = planned(Local, "SGD", seeds=1, lrs=1, reference="SGD")
    with pytest.raises(LabError, match="Local, which no other process can find"):
        lab.compare(plan, theirs / "out", workers=1)
    found = lab.compare(plan, theirs / "out", workers=0, widen=0)
    assert {r.status for r in found.records} == {Status.FINISHED}


def test_all_contenders_are_listed_in_a_line_each(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["contenders", str(theirs / "my_optimizer.py")]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [each.name for each in (*CONTENDERS, *OTHERS)] + ["Packed", "Signed"]
    assert [line.split()[0] for line in lines[: len(names)]] == names
    assert all(len(line) <= 80 for line in lines[: len(names)])
    complaints = "\n".join(lines[len(names) :])
    for point in ("adamw", "broken", "none"):
        assert f"The contender {point} of the package theirs is left out" in complaints


CLAIM = """
[paper]
name = "Mine"
title = "t"
source = "s"
read = "all"
[[claim]]
name = "S1"
sentence = "Signs are better than slopes."
where = "here"
[claim.arms]
signed = {contender = "Signed", lrs = [0.01]}
sgd = {contender = "SGD", lrs = [0.1]}
[[claim.check]]
says = "it is"
task = "quad"
arm = "signed"
is = "below"
against = "sgd"
"""


def test_claims_are_about_optimizers_of_ones_own_too(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (theirs / "mine.toml").write_text(CLAIM)
    command = ["reproduce", "--claim", str(theirs / "mine.toml"), "--tier", "smoke"]
    command += ["--workers", "0", "--out", str(theirs / "out")]
    assert main(command) == 2
    assert "Signed" in capsys.readouterr().err
    assert main([*command, "--contender", str(theirs / "my_optimizer.py")]) == 0
    records = Store(theirs / "out").records()
    assert {r.status for r in records} == {Status.FINISHED}
    own = [r.spec for r in records if r.spec.contender == "Signed"]
    assert own
    assert all(r.versions["contender Signed"].startswith("file ") for r in own)


def test_the_environment_says_where_the_files_are(theirs: Path) -> None:
    file = theirs / "my_optimizer.py"
    planned(file)
    assert json.loads(os.environ[registry.VARIABLE]) == {"Signed": str(file.resolve())}

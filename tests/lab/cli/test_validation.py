"""Laws of what is said before anything heavy is imported."""

import json
import subprocess
import sys

import pytest

from mementum.bench import names as bench_names
from mementum.bench.case import CASES, ON_GPU
from mementum.bench.entrant import CLASSES
from mementum.bench.gpu import run as gpu_run
from mementum.bench.training import TRAININGS
from mementum.lab.claims import settled
from mementum.lab.planning import names
from mementum.lab.planning.contender import CONTENDERS
from mementum.lab.tasks.registry import TASKS
from mementum.lab.tasks.task import Tier

REFUSED = {
    "compare --tier foo": "--tier: no tier is named 'foo'; there are smoke,",
    "compare --tasks foo": "--tasks: no task is named 'foo'",
    "compare --tasks mlp-digit,quad": "--tasks: no task is named 'mlp-digit'; did you",
    "compare --tasks gan-ring": "--tasks: gan-ring has no part in tier quick; give",
    "compare --contenders adaxv": "--contenders: no contender is named 'adaxv'",
    "compare --reference AdaX": "--reference: AdaX is an optimizer here, but no",
    "compare --schedule linear": "--schedule: no schedule is named 'linear'",
    "compare --seeds two": "--seeds is two; give a whole number, 1 or more.",
    "compare --lrs 2": "--lrs is 2; give an odd number",
    "compare --trials -1": "--trials is -1; give a whole number, 0 or more.",
    "compare --widen x": "--widen is x; give a whole number",
    "compare --weight-decay much": "--weight-decay is much; give a number",
    "compare --until dawn": "--until is 'dawn'; give \"decided\".",
    "compare --budget soon": "--budget is soon; give a time above 0",
    "compare --workers many": "--workers is many; give a whole number",
    "compare --device gpu": "--device is gpu; give cpu, cuda",
    "compare --lr 0.1": "--lr is 0.1; give NAME=RATE.",
    "compare --out ''": "--out is empty; name a folder",
    "compare --dask tcp://a:1 --workers 2": "--workers is 2 and --dask tcp://a:1;",
    "compare --dask tcp://a:1 --task a.py": "--task is a.py and --dask tcp://a:1;",
    "compare --task nofile.py": "--task is ",
    "compare --contender nofile.py": "--contender is ",
    "reproduce --contender nofile.py": "--contender is ",
    "reproduce --tier paper": "--tier: no tier is named 'paper'",
    "reproduce --workers -1": "--workers is -1; give a whole number",
    "reproduce --device gpu": "--device is gpu; give cpu, cuda",
    "bench --cases nosuch": "no case is named 'nosuch'",
    "bench --in-loop --cases 16m": "no case is named '16m'",
    "bench --classes Adma": "no optimizer is named 'Adma'; did you mean Adam",
    "bench --device cpu --formats float": "no format is named 'float'; did you mean",
    "bench --device cpu --in-loop": "--in-loop is for the processor",
    "bench --formats float32": "--formats is float32, and formats are measured on",
    "bench --jax --classes Adma": "no optimizer is named 'Adma'; did you mean Adam",
    "bench --jax --device cpu": "--device is for steps of torch's parameters",
    "bench --plot no/where.png": "--plot is no/where.png; there is no folder no.",
}
"""A command line, and how the sentence on it begins."""
SCRIPT = """
import contextlib, io, json, shlex, sys
from mementum.cli import main
HEAVY = {"torch", "jax", "scipy", "sklearn", "duckdb", "rich"}
said = {}
for line in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as complaint:
        code = main(shlex.split(line))
    said[line] = [code, complaint.getvalue(), sorted(HEAVY & {*sys.modules})]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said() -> dict[str, list]:
    """The exit code of each line, what it says, and what was imported by then."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([*REFUSED]),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("line", REFUSED)
def test_wrong_words_are_answered_before_anything_heavy_is_imported(
    line: str, said: dict[str, list]
) -> None:
    code, complaint, imported = said[line]
    assert code == 2
    assert complaint.startswith(f"mementum {line.split()[0]}: {REFUSED[line]}")
    assert complaint.count("\n") == 1
    assert imported == []


def test_the_names_known_beforehand_are_those_of_the_lab() -> None:
    tiers = {
        task.name: tuple(tier for tier in Tier if task.at(tier) is not None)
        for task in TASKS
    }
    assert [*tiers.items()] == [*names.TASKS.items()]
    assert tuple(each.name for each in CONTENDERS) == names.CONTENDERS
    assert [*names.OF_CLAIMS] == [*settled.Tier]


def test_the_names_known_beforehand_are_those_of_the_bench() -> None:
    assert tuple(TRAININGS) == bench_names.IN_LOOP
    assert tuple(CASES) == bench_names.ALONE
    assert tuple(ON_GPU) == bench_names.ON_DEVICE
    assert tuple(CLASSES) == bench_names.CLASSES
    assert tuple(gpu_run.FORMATS) == bench_names.FORMATS

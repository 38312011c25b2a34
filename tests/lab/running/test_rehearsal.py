"""Laws of the rehearsal: what is wrong in a task shows before its runs are planned."""

import json
import re
from pathlib import Path

import pytest
import torch

from mementum.cli import main
from mementum.lab.errors import LabError
from mementum.lab.planning.contender import find
from mementum.lab.running.rehearsal.process import _answer, rehearsed
from mementum.lab.running.rehearsal.trial import rehearse
from mementum.lab.tasks.own import user_file
from mementum.lab.tasks.task import Task

BOTH = [find("SGD"), find("AdamW")]
START = """
import torch
from torch import nn
steps, batch = 6, 4
"""
PARTS = {
    "top": "",
    "data": """
def data():
    x = torch.linspace(-1, 1, 16)[:, None]
    return (x, x.square()), (x, x.square())
""",
    "model": """
def model():
    return nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
""",
    "loss": """
def loss(model, x, y):
    return (model(x) - y).square().mean()
""",
    "end": "",
}


def written(folder: Path, **parts: str) -> Path:
    path = folder / "mine.py"
    path.write_text(START + "".join((PARTS | parts).values()))
    return path


@pytest.fixture(autouse=True)
def nothing_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(user_file.VARIABLE, "")


def tried(folder: Path, **parts: str) -> Task:
    return rehearse(user_file.load(written(folder, **parts)), BOTH)


STATEFUL = """
class Net(nn.Module):
    times = 0
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        {init}
    def forward(self, x):
        {forward}
        return self.layer(x) * (1 + 0.1 * float({value}))
def model():
    return Net()
"""
HIDDEN = {
    "counter": ("self.n = 0", "self.n += 1", "self.n"),
    "late counter": ("self.n = 0", "self.n += 1", "self.n > 100"),
    "numbers alike": ("self.n, self.a, self.b = 0, 1, 2", "self.n += 1", "0"),
    "list": ("self.seen = []", "self.seen.append(None)", "len(self.seen)"),
    "dict": ("self.seen = {}", "self.seen['n'] = self.seen.get('n', 0) + 1", "0"),
    "set": ("self.seen = set()", "self.seen.add(len(self.seen))", "0"),
    "tensor": ("self.h = torch.zeros(1)", "self.h = self.h + x.mean().detach()", "0"),
    "in place": ("self.h = torch.zeros(1)", "self.h += 1", "self.h"),
    "array": ("self.h = numpy.zeros(3)", "self.h += 1", "0"),
    "objects": ("self.h = numpy.array([None, []], object)", "self.h[1].append(1)", "0"),
    "count": ("self.h = itertools.count()", "next(self.h)", "0"),
    "range": ("self.h = iter(range(99))", "next(self.h)", "0"),
    "zip": ("self.h = zip(range(99))", "next(self.h)", "0"),
    "generator": ("self.h = (each for each in range(99))", "next(self.h)", "0"),
    "deep": ("self.layer.n = 0", "self.layer.n += 1", "self.layer.n"),
    "closure": ("self.h = closure()", "self.h()", "0"),
    "class": ("pass", "Net.times += 1", "Net.times > 100"),
    "global": ("pass", "COUNT['n'] += 1", "COUNT['n']"),
    "rebound": ("pass", "globals()['TIMES'] = TIMES + 1", "TIMES"),
}
TOP = """
import itertools
import numpy
COUNT, TIMES = {"n": 0}, 0
def closure():
    n = 0
    def count():
        nonlocal n
        n += 1
    return count
"""


@pytest.mark.parametrize("kind", HIDDEN)
def test_state_outside_the_state_dict_makes_a_run_begin_anew(
    tmp_path: Path, kind: str
) -> None:
    init, forward, value = HIDDEN[kind]
    model = STATEFUL.format(init=init, forward=forward, value=value)
    assert not tried(tmp_path, top=TOP, model=model).resumable


@pytest.mark.parametrize("kind", HIDDEN)
def test_nothing_goes_on_from_one_run_of_a_file_to_the_next(
    tmp_path: Path, kind: str
) -> None:
    init, forward, value = HIDDEN[kind]
    model = STATEFUL.format(init=init, forward=forward, value=value)
    data = "def data():\n    COUNT['rows'] = 4\n    x = torch.ones(4, 1)\n"
    data += "    return (x, x), (x, x)\n"
    model = model.replace("return Net()", "assert COUNT['rows'] == 4\n    return Net()")
    task = user_file.load(written(tmp_path, top=TOP, model=model, data=data))
    runs = []
    for _ in range(3):
        fresh = task.fresh()
        with fresh.session(0):
            problem = fresh.start(0)
            runs.append([problem.loss(step).item() for step in range(4)])
    assert runs[1:] == runs[:2]


@pytest.mark.parametrize(
    "model",
    [
        PARTS["model"],
        STATEFUL.format(init="self.n = 3", forward="self.m = 4", value="self.n"),
        "def model():\n    return nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1))\n",
        "def model():\n    return nn.Sequential(nn.Dropout(0.2), nn.LazyLinear(1))\n",
        STATEFUL.format(
            init="self.register_buffer('n', torch.zeros(()))",
            forward="self.n += self.training",
            value="self.n",
        ),
    ],
)
def test_a_model_whose_state_is_in_its_state_dict_is_resumed(
    tmp_path: Path, model: str
) -> None:
    task = tried(tmp_path, model=model)
    assert task.resumable
    assert 0 < task.seconds < 60


FAULTS = {
    "sparse": (
        {
            "model": """
def model():
    return nn.Sequential(nn.Embedding(16, 1, sparse=True))
""",
            "data": """
def data():
    rows = torch.arange(16)
    return (rows, rows[:, None] / 16), (rows, rows[:, None] / 16)
""",
        },
        r"mine.py, line \d+, in model: the gradient of 0.weight is sparse",
    ),
    "graph": (
        {
            "top": "KEPT = []\n",
            "loss": """
def loss(model, x, y):
    KEPT.append(model(x).mean())
    return (model(x) - y).square().mean() + sum(KEPT)
""",
        },
        r"mine.py, line \d+, in loss: the loss of step 1 goes back through the graph",
    ),
    "in place": (
        {
            "loss": "def loss(m, x, y):\n    z = m(x).exp()\n    z.mul_(2)\n"
            "    return z.mean()\n"
        },
        r"mine.py, line \d+, in loss: RuntimeError: .*inplace",
    ),
    "shapes": (
        {"model": "def model():\n    return nn.Linear(3, 1)\n"},
        r"mine.py, line \d+, in loss: RuntimeError",
    ),
    "number": (
        {"loss": "def loss(m, x, y):\n    return m(x).square().mean().item()\n"},
        r"mine.py, line \d+, in loss returned a float; return a tensor of one number",
    ),
    "several": (
        {"loss": "def loss(m, x, y):\n    return m(x)[:, 0]\n"},
        r"in loss returned a Tensor of shape \(16,\); return a tensor of one number",
    ),
    "metric": (
        {"end": "def metric(m, x, y):\n    return 1 / 0\n"},
        r"mine.py, line \d+, in metric: ZeroDivisionError",
    ),
    "nan": (
        {"loss": "def loss(m, x, y):\n    return m(x).mean() * float('nan')\n"},
        "before training the loss is nan",
    ),
    "detached": (
        {"loss": "def loss(m, x, y):\n    return m(x).detach().square().mean()\n"},
        r"mine.py, line \d+, in loss: the loss depends on no parameter",
    ),
    "zero": (
        {"loss": "def loss(m, x, y):\n    return m(x).mean() * 0 + 1\n"},
        r"mine.py, line \d+, in loss: all gradients are 0",
    ),
    "unseeded": (
        {
            "top": "import numpy as np\n",
            "model": "def model():\n    m = nn.Linear(1, 1)\n"
            "    m.bias.data.fill_(np.random.default_rng().normal())\n    return m\n",
        },
        "other parameters",
    ),
    "system": (
        {
            "top": "import random\nSCALE = random.SystemRandom()\n",
            "loss": "def loss(m, x, y):\n    return (m(x) - y).square().mean() "
            "* SCALE.random()\n",
        },
        "of two runs with one seed, the score before training is another",
    ),
    "tiny": (
        {
            "top": "import os\n",
            "loss": "def loss(m, x, y):\n    return (m(x) - y).square().mean() "
            "* (1 + int.from_bytes(os.urandom(2), 'big') / 1e9)\n",
        },
        "of two runs with one seed, the",
    ),
    "dict": (
        {"end": "def metric(m, x, y):\n    return {'a': 1}\n"},
        r"mine.py, line \d+, in metric returned a dict; return one number",
    ),
    "nothing": (
        {"end": "def metric(m, x, y):\n    pass\n"},
        r"mine.py, line \d+, in metric returned a NoneType; return one number",
    ),
    "many": (
        {"end": "def metric(m, x, y):\n    return m(x)\n"},
        r"in metric returned a Tensor of shape \(16, 1\); return one number",
    ),
    "meta": (
        {"model": "def model():\n    return nn.Linear(1, 1, device='meta')\n"},
        r"mine.py, line \d+, in model returned a module on the meta device",
    ),
    "no module": (
        {"model": "def model():\n    return 3\n"},
        r"mine.py, line \d+, in model returned 3, no module",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_shows_in_the_rehearsal_with_its_place(
    tmp_path: Path, kind: str
) -> None:
    parts, words = FAULTS[kind]
    path = written(tmp_path, **parts)
    answer = _answer(path, BOTH)
    assert re.search(words, answer["error"]), answer["error"]
    assert answer["error"].startswith(str(path))
    assert "\n" not in answer["error"].strip()


LOADING = """
from torch.utils.data import DataLoader, TensorDataset
def loss(model, x, y):
    rows = DataLoader(TensorDataset(x, y), 2, num_workers=1)
    return sum((model(a) - b).square().mean() for a, b in rows)
"""
ENDS = {
    "exit": ("import os\nos._exit(3)\n", "its process ended by exit code 3"),
    "crash": ("import ctypes\nctypes.string_at(0)\n", "ended by signal SIGSEGV"),
    "raise": ("1 / 0\n", "line 5: ZeroDivisionError"),
}


@pytest.mark.process
@pytest.mark.parametrize("kind", ENDS)
def test_a_file_that_ends_its_process_is_told_of(tmp_path: Path, kind: str) -> None:
    text, words = ENDS[kind]
    with pytest.raises(LabError, match=words):
        rehearsed([written(tmp_path, top=text)], BOTH)
    assert not user_file.paths()


SETS = """
WORDS = [*{"one", "two", "three", "four", "five", "six"}]
"""


@pytest.mark.process
def test_a_task_with_workers_prints_and_sets_is_run_as_rehearsed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = """
print("loading")
def data():
    x = torch.tensor([float(len(word)) for word in WORDS * 4])[:, None]
    y = torch.tensor([float(ord(word[0])) for word in WORDS * 4])[:, None] / 100
    return (x, y), (x, y)
"""
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "near.py").write_text("K = 1.0\n")
    late = (
        "def metric(m, x, y):\n    from near import K\n    return loss(m, x, y) * K\n"
    )
    path = written(folder, top=SETS, data=data, loss=LOADING, end=late)
    command = ["compare", "--task", str(path), "--contenders", "SGD", "--seeds", "1"]
    out = ["--lrs", "1", "--workers", "2", "--json", "--out", str(tmp_path / "o")]
    assert main([*command, *out]) == 0
    shown = capfd.readouterr()
    found = json.loads(shown.out)
    assert found["runs"] == {"planned": 2, "done": 2}
    assert shown.err.count("loading") == 1


def test_lazy_layers_are_initialised_alike_for_all(tmp_path: Path) -> None:
    task = tried(tmp_path, model="def model():\n    return nn.LazyLinear(1)\n")
    one, two = (task.start(3) for _ in range(2))
    assert one.parameters()[0].shape == (1, 1)
    assert torch.equal(one.parameters()[0], two.parameters()[0])

"""Laws of a user's file: it runs as a script does, and keeps what it does to itself."""

import sys
from pathlib import Path

import pytest
import torch

from mementum.lab.arguments import Argument
from mementum.lab.errors import LabError
from mementum.lab.user_code.module import UserModule

READ = """
def read():
    {imports}
    return {read}
"""
"""What a file has set is read by its own code, when it is at home."""

SETTINGS = {
    "folder": ("os.chdir('/')", "os.getcwd()"),
    "dtype": ("torch.set_default_dtype(torch.float64)", "torch.get_default_dtype()"),
    "device": ("torch.set_default_device('meta')", "torch.ones(1).device.type"),
    "warnings": (
        "warnings.filterwarnings('error', message='mine')",
        "[each for each in warnings.filters if each[0] == 'error' and each[1]]",
    ),
    "environment": ("os.environ['MINE'] = 'set'", "os.environ.get('MINE')"),
    "removed": ("os.environ.pop('HOME', None)", "os.environ.get('HOME')"),
    "logging": ("logging.basicConfig(level=7, force=True)", "logging.root.level"),
    "numpy": ("np.seterr(all='raise')", "np.geterr()"),
    "printing": ("np.set_printoptions(precision=2)", "np.get_printoptions()"),
    "depth": ("sys.setrecursionlimit(3333)", "sys.getrecursionlimit()"),
    "signal": (
        "signal.signal(signal.SIGALRM, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGALRM)",
    ),
    "collection": ("gc.disable()", "gc.isenabled()"),
    "gradients": ("torch.set_grad_enabled(False)", "torch.is_grad_enabled()"),
    "determinism": (
        "torch.use_deterministic_algorithms(True)",
        "torch.are_deterministic_algorithms_enabled()",
    ),
    "precision": (
        "torch.set_float32_matmul_precision('medium')",
        "torch.get_float32_matmul_precision()",
    ),
    "anomalies": (
        "torch.autograd.set_detect_anomaly(True)",
        "torch.is_anomaly_enabled()",
    ),
    "excepthook": ("sys.excepthook = print", "sys.excepthook is print"),
}
IMPORTS = (
    "import gc, logging, os, signal, sys, warnings; import numpy as np; import torch"
)


def executed(path: Path, text: str) -> UserModule:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return UserModule(path, "mine_", Argument("files"))


def value(read: str) -> object:
    scope: dict[str, object] = {}
    exec(IMPORTS, scope)
    return eval(read, scope)


@pytest.mark.parametrize("name", SETTINGS)
def test_what_a_file_sets_holds_for_its_own_code_alone(
    tmp_path: Path, name: str
) -> None:
    change, read = SETTINGS[name]
    before = value(read)
    body = READ.format(imports=IMPORTS, read=read)
    file = executed(tmp_path / "mine.py", f"{IMPORTS}\n{change}\n{body}")
    assert value(read) == before
    for _ in range(2):
        with file.at_home():
            inside = file.module.read()
        assert inside != before
        assert value(read) == before


@pytest.mark.parametrize("name", SETTINGS)
def test_so_does_what_it_sets_later(tmp_path: Path, name: str) -> None:
    change, read = SETTINGS[name]
    before = value(read)
    file = executed(tmp_path / "mine.py", f"{IMPORTS}\ndef later():\n    {change}")
    with file.at_home():
        file.module.later()
    assert value(read) == before


def test_threads_and_prints_are_the_labs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    file = executed(
        tmp_path / "mine.py",
        "import sys, torch\nprint('top', sys.argv)\ntorch.set_num_threads(7)\n"
        "def later():\n    print('later')\n    return torch.get_num_threads()\n",
    )
    with file.at_home():
        assert file.module.later() == threads
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err == f"top ['{tmp_path / 'mine.py'}']\nlater\n"


NEIGHBOURS = {
    "module": ("utils.py", "from utils import K"),
    "package": ("utils/__init__.py", "from utils import K"),
    "inside": ("utils/deep/part.py", "from utils.deep.part import K"),
    "alias": ("utils.py", "import utils as u; K = u.K"),
    "elsewhere": ("../lib-{}/utils.py", "{}from utils import K"),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_two_files_have_each_their_own_neighbours(
    tmp_path: Path, kind: str, late: bool
) -> None:
    place, words = NEIGHBOURS[kind]
    before, path = {*sys.modules}, [*sys.path]
    files = []
    for name in ("a b", "c"):
        beside = tmp_path / name / place.format(name)
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(f"K = {name!r}\n")
        added = f"import sys; sys.path.append({str(beside.parent)!r}); "
        line = words.format(added)
        text = f"{line}\ndef read():\n    return K\n"
        if late:
            text = f"def read():\n    {line}\n    return K\n"
        files.append(executed(tmp_path / name / f"task_{name[0]}.py", text))
    for file in (*files, *files):
        with file.at_home():
            assert file.module.read() == file.path.parent.name
    with files[0].at_home(), files[1].imports():
        assert files[1].module.read() == "c"
    assert sys.path == path
    gone = {*sys.modules} - before
    assert not [each for each in gone if "utils" in each or "task_" in each]


@pytest.mark.parametrize("name", ["random.py", "numpy.py", "json.py", "torch.py"])
def test_a_file_of_a_known_name_takes_no_modules_place(
    tmp_path: Path, name: str
) -> None:
    file = executed(tmp_path / name, "K = 3\ndef read():\n    return K\n")
    known = sys.modules[Path(name).stem]
    with file.at_home():
        assert file.module.read() == 3
        assert sys.modules[Path(name).stem] is known


@pytest.mark.parametrize("name", ["my task.py", "a.b.py", "äö.py", "[x]'\".py"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    text = (
        "from __future__ import annotations\n"
        "import pickle\n"
        "from dataclasses import dataclass\n"
        "@dataclass\nclass C:\n    x: int = 1\n"
        "def read():\n    return pickle.loads(pickle.dumps(C(2))).x\n"
    )
    file = executed(tmp_path / name, text)
    with file.at_home():
        assert file.module.read() == 2


RAISING = {
    "raise": ("x = 1\n1 / 0\n", "line 3: ZeroDivisionError"),
    "syntax": ("x = 1\nx = = 2\n", "line 3: SyntaxError"),
    "exit": ("import sys\nsys.exit(3)\n", "line 3: SystemExit: 3"),
    "import": ("import nowhere_at_all\n", "line 2: ModuleNotFoundError"),
    "arguments": (
        "import argparse\nargparse.ArgumentParser().parse_args(['--no'])\n",
        "line 3: SystemExit: 2",
    ),
    "depth": ("def f():\n    f()\nf()\n", "line 3, in f: RecursionError"),
}


@pytest.mark.parametrize("kind", RAISING)
def test_what_a_file_raises_is_told_with_its_line(tmp_path: Path, kind: str) -> None:
    text, words = RAISING[kind]
    before = Path.cwd(), [*sys.path], {*sys.modules}
    with pytest.raises(LabError) as caught:
        executed(tmp_path / "mine.py", f"import os; os.chdir('/')\n{text}")
    assert f"{tmp_path / 'mine.py'}, {words}" in str(caught.value)
    assert (Path.cwd(), sys.path) == before[:2]
    assert "mine" not in {*sys.modules} - before[2]


HARMLESS = {
    "logger": "import logging\nlog = logging.getLogger('mine')\nlog.warning('a')\n",
    "lock": "import threading\nlock = threading.Lock()\nlock.acquire()\n",
    "pattern": "import re\np = re.compile('a')\n",
    "path": "from pathlib import Path\np = Path('a')\n",
    "cache": "import functools\n@functools.cache\ndef f():\n    return 1\nf()\n",
    "class": "class A:\n    n = 1\na = A()\na.me = a\n",
    "torch": "import torch\nfrom torch import nn\nnet = nn.Linear(2, 2)\n",
    "drawing": "import torch\ng = torch.Generator()\ntorch.rand(1, generator=g)\n",
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_no_result_depends_on_is_no_change(tmp_path: Path, kind: str) -> None:
    text = HARMLESS[kind]
    *_, last = text.splitlines()
    late = f"def later():\n    {last}\n"
    file = executed(tmp_path / "mine.py", text + late)
    assert not file.changed()
    with file.at_home():
        if kind != "lock":
            file.module.later()
    assert not file.changed()
    file.module.left = 1
    assert file.changed()
    assert not file.again().changed()


def test_the_digest_is_of_the_file_and_of_what_it_imports_beside_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "utils.py").write_text("K = 1\n")
    path = tmp_path / "mine.py"
    alone = executed(path, "K = 1\n").code
    assert executed(path, "K = 1\n").code == alone
    first = executed(path, "from utils import K\n").code
    (tmp_path / "utils.py").write_text("K = 2  # another\n")
    assert executed(path, "from utils import K\n").code != first
    assert executed(path, "K = 1\n").code == alone

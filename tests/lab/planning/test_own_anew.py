"""Laws of a contender's file: nothing goes on from one run to the next."""

from pathlib import Path

import pytest

from mementum.lab.errors import LabError
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.planning.own import registry
from mementum.lab.planning.selection import rivals
from mementum.lab.running.loop import execute
from mementum.lab.running.rehearsal.trial import rehearse_contender
from mementum.lab.tasks.registry import find

FILE = """
import random
import torch
{top}
class Mine(torch.optim.SGD):
    def step(self, closure=None):
        {step}
        return super().step(closure)
def optimizer(params, lr=0.01):
    return Mine(params, lr)
"""
LEFT = {
    "list": ("COUNT = [0]", "COUNT[0] += 1; late = COUNT[0] > 30"),
    "class": ("class K:\n    n = 0", "K.n += 1; late = K.n > 30"),
    "iterator": ("from itertools import count\nN = count()", "late = next(N) > 30"),
    "neighbour": ("import near", "near.N += 1; late = near.N > 30"),
    "late neighbour": ("", "import near; near.N += 1; late = near.N > 30"),
}
SLOWER = "; [g.update(lr=g['lr'] * 0.9) for g in self.param_groups if late]"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, "")
    monkeypatch.setattr(registry, "_registered", {})


def written(folder: Path, top: str, step: str) -> Path:
    (folder / "near.py").write_text("N = 0\n")
    path = folder / "mine.py"
    path.write_text(FILE.format(top=top, step=step))
    return path


@pytest.mark.parametrize("kind", LEFT)
def test_a_run_begins_with_the_file_as_it_is(tmp_path: Path, kind: str) -> None:
    top, step = LEFT[kind]
    path = written(tmp_path, top, step + SLOWER)
    plan = factorial(
        tasks=[find("tabular")],
        **rivals([str(path)], "SGD"),
        seeds=[0],
        grid=Grid(points=1),
        versions={},
    )
    spec = plan.runs[-1]
    assert spec.contender == "mine"
    one, two = execute(spec), execute(spec)
    assert one.error is two.error is None
    assert one.curve == two.curve


@pytest.mark.parametrize("draw", ["random.SystemRandom().random()", "os.urandom(1)[0]"])
def test_one_that_cannot_be_seeded_is_refused(tmp_path: Path, draw: str) -> None:
    step = f"[p.data.add_({draw}) for g in self.param_groups for p in g['params']]"
    path = written(tmp_path, "import os", step)
    (mine,) = (
        each for each in rivals([str(path)], "SGD")["contenders"] if each.identity
    )
    with pytest.raises(LabError, match="mine: two runs with one seed differ"):
        rehearse_contender(find("tabular"), mine)

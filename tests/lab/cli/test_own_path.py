"""The way of a new user: a task and an optimizer of one's own, killed twice, merged."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.lab.planning import test_own
from tests.lab.tasks import test_user_file

from mementum import lab
from mementum.cli import main
from mementum.lab.planning.own import registry
from mementum.lab.records.journal import JOURNAL, Store
from mementum.lab.tasks.own import user_file


def words(out: str, workers: int = 2) -> list[str]:
    files = ["--task", "my wine.py", "--contender", "my_optimizer.py"]
    sizes = ["--contenders", "SGD", "--seeds", "2", "--lrs", "3"]
    return ["compare", *files, *sizes, "--workers", f"{workers}", "--out", out]


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def begun_and_killed(folder: Path, out: str, least: int) -> None:
    """Kill a comparison once it has so many results."""
    with subprocess.Popen(
        [sys.executable, "-m", "mementum", *words(out)],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 120
        while lines(folder / out / JOURNAL) < least and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.process
def test_ones_own_task_and_optimizer_killed_twice_merged_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in (user_file, registry):
        monkeypatch.setenv(each.VARIABLE, "")
    folder = tmp_path / "my project"
    folder.mkdir()
    wine = test_user_file.documented()[0].replace(
        "steps, batch = 300", "steps, batch = 60"
    )
    (folder / "my wine.py").write_text(wine)
    (folder / "my_optimizer.py").write_text(test_own.documented()[0])
    for least in (1, 6):
        begun_and_killed(folder, "killed", least)
    assert 6 <= lines(folder / "killed" / JOURNAL) < 18
    monkeypatch.chdir(folder)
    assert main(words("killed", workers=0)) == 0
    assert "Signed" in capsys.readouterr().out
    plan = lab.plan(
        None, ["SGD", "my_optimizer.py"], files=["my wine.py"], seeds=2, lrs=3
    )
    lab.compare(plan, "whole", workers=0)
    killed, whole = (Store(folder / out).records() for out in ("killed", "whole"))
    assert len(killed) >= 18
    assert [r.curve for r in killed] == [r.curve for r in whole]
    assert len({(r.spec.seed, r.batches) for r in killed}) == len(
        {r.spec.seed for r in killed}
    )
    assert main(["merge", "killed", "whole", "--into", "both"]) == 0
    assert main(["report", "both"]) == 0
    assert "my wine" in capsys.readouterr().out
    assert (folder / "both" / "report.html").exists()

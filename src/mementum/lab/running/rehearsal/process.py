"""Rehearses task files in processes like those that runs are carried out in.

The process that plans executes no code of the user's: whatever a file does to its
process, and be it that it ends it, is answered with a sentence.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mementum.lab.errors import LabError, UserCodeError, blamed
from mementum.lab.planning.contender import Contender, find
from mementum.lab.running.stepping.device import Choice, alone
from mementum.lab.tasks.own import user_file
from mementum.lab.tasks.task import Task

_CODE = "from mementum.lab.running.rehearsal.process import main; main()"
_TOLD = (
    "name",
    "version",
    "title",
    "metric",
    "steps",
    "evaluations",
    "deterministic",
    "scale",
    "margin",
    "seconds",
    "resumable",
    "device",
    "usual_schedule",
    "form",
    "step_costs",
)
"""What a rehearsal tells of a task."""


def rehearsed(
    paths: Sequence[Path],
    contenders: Sequence[Contender],
    device: Choice | None = None,
) -> list[Task]:
    """Return the tasks of files after their rehearsals, and tell workers of the files.

    Without a device each is where its file puts it.

    Errors: `LabError` for what would be wrong in every run.
    """
    known = [each.name for each in contenders if not each.identity] or ["AdamW"]
    processes = [_Process(path, known, device) for path in paths]
    try:
        tasks = [each.task() for each in processes]
    finally:
        for each in processes:
            each.end()
    if tasks:
        pairs = zip(paths, tasks, strict=True)
        user_file.announce({path: task.resumable for path, task in pairs})
    return tasks


class _Process:
    """The process that rehearses a file."""

    def __init__(
        self, path: Path, contenders: Sequence[str], device: Choice | None
    ) -> None:
        self.path = path
        read, write = os.pipe()
        job = {
            "file": str(path),
            "contenders": contenders,
            "path": sys.path,
            "device": device and device.kind,
        }
        seen: dict[str, str] = {}
        if device is not None and (cards := device.cards()):
            seen = alone(device.kind, cards[0])
        with os.fdopen(write, "w"):
            self._process = subprocess.Popen(  # noqa: S603 - Python itself
                [sys.executable, "-P", "-c", _CODE, json.dumps(job), str(write)],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=[write],
                env={"PYTHONHASHSEED": "0", **os.environ, **seen},
            )
        self._answer = os.fdopen(read, encoding="utf-8")

    def task(self) -> Task:
        """Return the task that the process told of."""
        text = self._answer.read()
        code = self._process.wait()
        if not text:
            ending = f"exit code {code}"
            if code < 0:
                ending = f"signal {signal.Signals(-code).name}"
            raise UserCodeError(f"{self.path}: its process ended by {ending}.")
        answer = json.loads(text)
        if "error" in answer:
            raise UserCodeError(answer["error"])
        return _told(self.path, answer)

    def end(self) -> None:
        """End the process, if it is still there."""
        self._answer.close()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _told(path: Path, answer: dict[str, Any]) -> Task:
    """Return the task of an answer; the file is executed where it is begun."""
    return Task(
        start=lambda seed: user_file.load(path).start(seed),
        session=lambda seed: user_file.load(path).session(seed),
        data=functools.partial(str, answer["data"]),
        **{name: answer[name] for name in _TOLD},
    )


def main() -> None:
    """Rehearse the file that the arguments name, and write what is to be told."""
    import torch

    job, descriptor = json.loads(sys.argv[1]), int(sys.argv[2])
    sys.path[:] = job["path"]
    sys.argv[:] = [job["file"]]
    torch.set_num_threads(1)
    contenders = map(find, job["contenders"])
    answer = _answer(Path(job["file"]), contenders, job["device"])
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(answer, file)


def _answer(path: Path, contenders: Any, device: str | None = None) -> dict[str, Any]:
    """Return what is to be told of a file: its task, or what is wrong with it."""
    from mementum.lab.running.rehearsal.trial import rehearse

    try:
        with blamed(path):
            task = replace(user_file.load(path), device=device)
            task = rehearse(task, [*contenders])
            told = {name: getattr(task, name) for name in _TOLD}
            return {**told, "data": task.data()}
    except LabError as error:
        words = str(error)
    return {"error": words if str(path) in words else f"{path}: {words}"}

"""What a claim's file names as a task: a task of the lab, and words that change it.

``mlp-digits+drops+sharpness`` is mlp-digits with a learning rate that drops twice and
with the sharpness of the training loss in the place of its metric.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from mementum.lab.planning.schedule import FACTORS
from mementum.lab.records.run import CONSTANT, label
from mementum.lab.running.probes import PROBES
from mementum.lab.tasks import registry
from mementum.lab.tasks.task import Task

SEPARATOR = "+"
MATCHED = "matched"
"""The word for updates of equal size."""


class Setting(NamedTuple):
    """A task and the conditions of its training, as the fields of a run say them."""

    task: Task
    schedule: str = CONSTANT
    match_updates: bool = False
    probe: str | None = None

    @property
    def label(self) -> str:
        """The words by which its runs are shown."""
        return label(self.task.name, *self[1:])


def parse(name: str) -> Setting:
    """Return the setting that a claim's file names.

    The name of a user's file may hold the separator: the longest name of a task wins.
    Errors: `LookupError` for an unknown task, a word that is none of those that change
    a training, and two words of one kind.
    """
    own, words = name, list[str]()
    while SEPARATOR in own and not _known(own):
        own, _, word = own.rpartition(SEPARATOR)
        words.insert(0, word)
    setting = Setting(registry.find_any(own))
    for word in words:
        if word in FACTORS and setting.schedule == CONSTANT:
            setting = setting._replace(schedule=word)
        elif word == MATCHED and not setting.match_updates:
            setting = setting._replace(match_updates=True)
        elif word in PROBES and setting.probe is None:
            setting = setting._replace(probe=word)
        elif word in (*FACTORS, MATCHED, *PROBES):
            raise LookupError(
                f"{name}: {word!r} is one word too many; a training has one schedule "
                "and one probe."
            )
        else:
            listed = ", ".join([*FACTORS, MATCHED, *PROBES])
            raise LookupError(f"{name}: {word!r} is no modifier; there are {listed}")
    return setting


def _known(name: str) -> bool:
    """Whether there is a task of this very name."""
    with suppress(LookupError):
        registry.find_any(name)
        return True
    return False

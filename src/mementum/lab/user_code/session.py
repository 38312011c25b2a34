"""What a user's code runs in: its own modules and settings, and states that are seeded.

It is entered once for a run, and again inside for whatever draws.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext

from mementum.lab.user_code.chance import Chance
from mementum.lab.user_code.module import UserModule


class Session:
    """Where code of a file runs, or, without a file, code that is at hand."""

    def __init__(self, chance: Chance, file: UserModule | None = None) -> None:
        self._chance = chance
        self._home = nullcontext if file is None else file.at_home
        self._imports = nullcontext if file is None else file.imports
        self._within = False

    def states(self) -> tuple[bytes, bytes]:
        """Return where chance stands: torch's global state, and every other."""
        return self._chance.states()

    @contextmanager
    def entered(self, base: int = 0, step: int = 0) -> Generator[None, None, None]:
        """Begin all chance anew, as a function of two numbers.

        The outermost one ends with it as it was; inside it costs little.
        """
        if self._within:
            with self._imports():
                self._chance.begin(base, step)
                yield
            return
        self._within = True
        try:
            with self._home(), self._chance.lent(base, step):
                yield
        finally:
            self._within = False

"""What a user's code runs in: its own modules and settings, and states that are seeded.

It is entered once for a run, and costs nothing where it is entered again inside.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from mementum.lab.user_code.chance import Chance
from mementum.lab.user_code.module import UserModule


class Session:
    """Where code of a file runs, or, without a file, code that is at hand."""

    def __init__(self, chance: Chance, file: UserModule | None = None) -> None:
        self.chance = chance
        self._file = file
        self._within = False

    @contextmanager
    def entered(self, base: int = 0) -> Generator[None, None, None]:
        """Begin all chance anew, as a function of a number, and end with it as it was.

        Inside another one of its own it does neither.
        """
        with ExitStack() as stack:
            if self._file is not None:
                home = self._file.imports if self._within else self._file.at_home
                stack.enter_context(home())
            if not self._within:
                stack.enter_context(self.chance.lent(base))
                stack.callback(setattr, self, "_within", False)
                self._within = True
            yield

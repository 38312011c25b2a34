"""Where the lab prints: a console that goes on when nobody reads any more."""

from __future__ import annotations

import os

from rich.console import Console


class PatientConsole(Console):
    """A console whose reader may leave, as `head` does, without ending the command."""

    def on_broken_pipe(self) -> None:
        """Print nothing from here on, and let the command do the rest of its work."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)

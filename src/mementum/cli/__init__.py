"""The command line: the commands of theory and machine, and the lab's."""

from mementum.cli.root import main, parser

__all__ = ["main", "parser"]

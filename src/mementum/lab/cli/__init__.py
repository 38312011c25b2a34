"""The words of the command line, and what they print."""

from mementum.lab.cli.options import add_commands

__all__ = ["add_commands"]

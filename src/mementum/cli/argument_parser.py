"""A parser whose complaints are sentences, and whose help keeps examples as they are.

The parsers of all commands are of this class, as argparse makes them of the root's.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import NoReturn

EXAMPLES = "examples:\n"
"""How an epilog begins whose lines are kept."""
_SENTENCES = (
    (r"argument (.+): expected one argument", r"\1 wants a value."),
    (r"argument (.+): expected at least one argument", r"\1 wants a value or more."),
    (
        r"argument (.+): ignored explicit argument '(.*)'",
        r"\1 takes no value, and is given \2.",
    ),
    (r"argument (.+): invalid int value: '(.*)'", r"\1 is \2; give a whole number."),
    (r"argument (.+): invalid float value: '(.*)'", r"\1 is \2; give a number."),
)
_CHOICE = re.compile(r"argument (.+): invalid choice: '(.*)' \(choose from (.+)\)")
_MISSING = "the following arguments are required: "


class CommandParser(argparse.ArgumentParser):
    """A parser that answers what it cannot take with a usage line and a sentence."""

    commands: Mapping[str, argparse.ArgumentParser] = MappingProxyType({})
    """The parsers of the root's commands, by name."""

    def error(self, message: str) -> NoReturn:
        """Say how the command is used and what is wrong, and exit with 2."""
        self.print_usage(sys.stderr)
        refuse(self, sentence(message))


def refuse(parser: argparse.ArgumentParser, reason: str) -> NoReturn:
    """Say what is wrong with a command line, and exit with 2."""
    parser.exit(2, f"{parser.prog}: {reason}\n")


class HelpFormatter(argparse.HelpFormatter):
    """Fills paragraphs, and leaves the lines of examples as they are."""

    def add_argument(self, action: argparse.Action) -> None:
        """Take in an argument; commands are indented, which argparse forgets."""
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += self._indent_increment

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(EXAMPLES):
            return text
        return super()._fill_text(text, width, indent)


def sentence(message: str) -> str:
    """Return an error of argparse as the sentence that any other complaint is.

    >>> sentence("argument --step: invalid int value: 'two'")
    '--step is two; give a whole number.'
    >>> sentence("the following arguments are required: SQL")
    'SQL is missing.'
    """
    if message.startswith(_MISSING):
        names = message.removeprefix(_MISSING).split(", ")
        return f"{' and '.join(names)} {'are' if names[1:] else 'is'} missing."
    if found := _CHOICE.fullmatch(message):
        words = found[3].replace("'", "")
        return f"{found[1]} is {found[2]}; choose from {words}."
    for pattern, words in _SENTENCES:
        if found := re.fullmatch(pattern, message):
            return found.expand(words)
    return f"{message.rstrip('.')}."

"""Commands and options that are none, answered with the nearest that are.

They are looked for before anything is parsed: argparse would complain first of what is
missing because of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NoReturn

from mementum.cli.argument_parser import CommandParser, refuse
from mementum.family.limits import near, nearest


def check(root: CommandParser, words: Sequence[str]) -> None:
    """Refuse the first word that should be a command or an option and is not."""
    before = [*takewhile(lambda word: word.startswith("-"), words)]
    _check_options(root, before)
    after = words[len(before) :]
    if after:
        _check_options(named(root, after[0]), after[1:])


def named(root: CommandParser, name: str) -> argparse.ArgumentParser:
    """Return the parser of a command, or refuse a name that is none."""
    if name not in root.commands:
        refuse(root, f"{name} is no command; {nearest(name, root.commands)}")
    return root.commands[name]


def refuse_left(command: argparse.ArgumentParser, word: str) -> NoReturn:
    """Refuse a word that nothing took."""
    if word.startswith("-"):
        refuse(command, _no_option(command, word))
    command.error(f"{word} is a word too many")


def _check_options(command: argparse.ArgumentParser, words: Iterable[str]) -> None:
    known = _options(command)
    for word in takewhile(lambda word: word != "--", words):
        # With a blank it is a value, as argparse has it: a query may begin with dashes.
        name = word.partition("=")[0]
        if word.startswith("--") and " " not in word and name not in known:
            refuse(command, _no_option(command, name))


def _no_option(command: argparse.ArgumentParser, word: str) -> str:
    """Return the sentence on a word that is no option."""
    known = [option[2:] for option in _options(command) if option.startswith("--")]
    found = near(word.lstrip("-"), known)
    if not found:
        return f"{word} is no option; `{command.prog} --help` lists those there are."
    return f"{word} is no option; did you mean --{' or --'.join(found)}?"


def _options(command: argparse.ArgumentParser) -> list[str]:
    return [name for action in command._actions for name in action.option_strings]

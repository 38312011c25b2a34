"""The parser of all commands, and how one is carried out."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mementum import __version__
from mementum.cli import misspelt
from mementum.cli.argument_parser import CommandParser, HelpFormatter
from mementum.cli.bench import add_bench
from mementum.cli.completion import add_completion
from mementum.cli.doctor import add_doctor
from mementum.cli.examples import OF_COMMANDS, epilog
from mementum.cli.explain import add_explain
from mementum.lab.cli import add_commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0: done. 2: it cannot be done, for the reason given in a sentence. 130: stopped by
    Ctrl-C. What else a command returns, its help says.
    """
    _prepare_streams()
    try:
        try:
            return _carried_out(sys.argv[1:] if arguments is None else arguments)
        finally:
            # Here, and not at exit, where nobody would be told of an error.
            sys.stdout.flush()
            sys.stderr.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away, as `head` does: nothing is left to say.
        _silence()
        return 0
    except OSError as error:
        _silence()
        with suppress(OSError):
            print(f"mementum: the output cannot be written: {error}", file=sys.stderr)
        return 2


def _carried_out(words: Sequence[str]) -> int:
    args = _parsed([*words] or ["help"])
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (
        ArithmeticError,
        ValueError,
        TypeError,
        OSError,
        ModuleNotFoundError,
    ) as error:
        print(f"mementum {args.command}: {_told(error)}", file=sys.stderr)
        return 2
    return code


def _told(error: Exception) -> str:
    """Return the sentence on an error; those of files come as number and words."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}."
    return f"{error}"


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """Return what the words ask for; what is none of the options is refused."""
    root = parser()
    misspelt.check(root, words)
    args, left = root.parse_known_args(words)
    if left:
        misspelt.refuse_left(root.commands[args.command], left[0])
    return args


def _prepare_streams() -> None:
    """Let output go somewhere, and no character of a name stop it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _silence() -> None:
    """Let the interpreter find nothing to complain of when it flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def parser() -> CommandParser:
    """Return the parser of all commands."""
    root = CommandParser(
        prog="mementum",
        description="Optimizers that choose how long they remember, and their lab.",
    )
    root.add_argument("--version", action="version", version=f"mementum {__version__}")
    root.commands = _added(root).choices
    for name, each in {"": root, **root.commands}.items():
        each.formatter_class = HelpFormatter
        # A shortened option would mean something else once another option is added.
        each.allow_abbrev = False
        each.epilog = epilog(OF_COMMANDS.get(name, ()))
    return root


def _added(
    root: argparse.ArgumentParser,
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Return the commands, added to the root."""
    commands = root.add_subparsers(
        required=True, dest="command", title="commands", metavar="COMMAND"
    )
    add_explain(commands)
    add_commands(commands)
    add_bench(commands)
    add_doctor(commands)
    add_completion(commands)
    _add_help(commands)
    return commands


def _add_help(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    command = commands.add_parser(
        "help",
        help="print this page, or that of a command",
        description="Print the help of all commands, or that of one.",
    )
    command.add_argument("topic", nargs="?", metavar="COMMAND", help="which one")
    command.set_defaults(run=_help)


def _help(args: argparse.Namespace) -> int:
    root = parser()
    page = root if args.topic is None else misspelt.named(root, args.topic)
    page.print_help()
    return 0

"""The command line: ``mementum explain``, and the lab's commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mementum import __version__, explain, limits, picture
from mementum.lab.cli import add_commands
from mementum.names import resolve
from mementum.recipes import RECIPES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or 2 for what it could not take."""
    args = parser().parse_args(arguments)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away, as `head` does: nothing is left to say, not even
        # by the interpreter when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        print(f"mementum: {error}", file=sys.stderr)
        return 2
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = argparse.ArgumentParser(
        prog="mementum",
        description="Optimizers that choose how long they remember, and their lab.",
    )
    root.add_argument("--version", action="version", version=f"mementum {__version__}")
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    _add_explain(commands)
    add_commands(commands)
    return root


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "explain",
        help="print an optimizer's equations, memory and numbers",
        description="Print an optimizer's equations, its memory, and the numbers its "
        "kernel is told at a step, at the published defaults.",
    )
    command.add_argument("names", nargs="+", metavar="NAME", help=", ".join(RECIPES))
    command.add_argument("--lr", type=float, help="learning rate (default: published)")
    command.add_argument("--step", type=int, default=1, help="step (default: 1)")
    command.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the memory profiles (png, svg)"
    )
    command.set_defaults(run=_explain)


def _explain(args: argparse.Namespace) -> int:
    names = [resolve("optimizer", name, RECIPES) for name in args.names]
    if args.step < 1:
        raise ValueError(f"--step is {args.step}; the first step is 1.")
    if args.lr is not None:
        limits.learning_rate(args.lr)
    if args.plot is not None:
        picture.check(args.plot)
    pages, averages = [], {}
    for name in names:
        recipe = RECIPES[name]
        rule = recipe.function()
        lr = recipe.lr if args.lr is None else args.lr
        pages.append(explain.page(recipe, rule, lr, args.step))
        averages[name] = rule.square
    print("\n\n".join(pages))
    if args.plot is not None:
        picture.draw(averages, args.plot)
        print(f"\nThe memory profiles are drawn in {args.plot}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

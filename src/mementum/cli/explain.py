"""``mementum explain``: what a rule does, and a picture of what it remembers."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mementum.family import explain, limits, picture
from mementum.family.recipes import RECIPES


def add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
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
    command.add_argument("--json", action="store_true", help="print JSON, no pages")
    command.set_defaults(run=_explain)


def _explain(args: argparse.Namespace) -> int:
    names = [limits.resolve("optimizer", name, RECIPES) for name in args.names]
    if args.step < 1:
        raise ValueError(f"--step is {args.step}; the first step is 1.")
    if args.lr is not None:
        limits.number("--lr", args.lr, wants="give a finite number, 0 or more.")
    if args.plot is not None:
        picture.check(args.plot)
    told = explain.data if args.json else explain.page
    pages: list[object] = []
    averages = {}
    for name in names:
        recipe = RECIPES[name]
        rule = recipe.function()
        lr = recipe.lr if args.lr is None else args.lr
        pages.append(told(recipe, rule, lr, args.step))
        averages[name] = rule.square
    print(json.dumps(pages, indent=1) if args.json else "\n\n".join(map(str, pages)))
    if args.plot is not None:
        picture.draw(averages, args.plot)
        # JSON is all there is on standard output.
        aside = sys.stderr if args.json else sys.stdout
        print(f"\nThe memory profiles are drawn in {args.plot}.", file=aside)
    return 0

"""The lab's commands: compare, reproduce, report, tasks, contenders.

What takes time to import stands in modules that are imported once a command runs: help
comes at once.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from importlib import import_module
from typing import TypeAlias

from mementum import install
from mementum.lab.arguments import ArgumentError
from mementum.lab.cli.archive_options import add_archive
from mementum.lab.errors import LabError

Group: TypeAlias = argparse._ActionsContainer
"""What options are added to: a parser, or a group of its options."""
FOLDER = "mementum-compare"
_PAGE = "report.html"
_SPELLING = {
    "budget": "--budget",
    "contender": "--contender",
    "contenders": "--contenders",
    "dask": "--dask",
    "device": "--device",
    "files": "--task",
    "folder": "--out",
    "ledger": "--ledger",
    "lr": "--lr",
    "lrs": "--lrs",
    "reference": "--reference",
    "schedules": "--schedule",
    "seeds": "--seeds",
    "tasks": "--tasks",
    "tier": "--tier",
    "trials": "--trials",
    "weight_decay": "--weight-decay",
    "until": "--until",
    "widen": "--widen",
    "workers": "--workers",
}
"""How the command line spells the arguments of Python."""


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add the lab's commands to the command line."""
    _add_compare(commands)
    _add_reproduce(commands)
    report = commands.add_parser(
        "report",
        usage="mementum report [OPTION ...] [FOLDER]",
        help="make the report of a comparison again",
        description=_REPORT,
    )
    report.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER",
        default=FOLDER,
        help=f"its folder (default: {FOLDER})",
    )
    report.add_argument("--report", metavar="FILE", help=f"the page (default: {_PAGE})")
    report.add_argument(
        "--ledger",
        metavar="FOLDER",
        help="show the verdicts on claims that `mementum reproduce` keeps there",
    )
    report.add_argument("--details", action="store_true", help=_DETAILS)
    report.add_argument("--json", action="store_true", help="print JSON only")
    report.set_defaults(run=run, lab="report")
    tasks = commands.add_parser(
        "tasks",
        help="list the tasks and contenders of the lab",
        description="List the tasks and the contenders that `mementum compare` knows.",
    )
    tasks.add_argument("--json", action="store_true", help="print JSON only")
    tasks.set_defaults(run=run, lab="tasks")
    _add_contenders(commands)
    add_archive(commands, run, FOLDER)


_DETAILS = "print effects, intervals, ranks and notes as well"
_REPORT = (
    "Make the table and the page of a comparison again from the folder it was kept in. "
    "Nothing is trained."
)
_COMPARE = (
    "Train every contender on real tasks, each with its learning rate tuned the same "
    "way, and say what is better, with uncertainty. Interrupted, the same command "
    "continues where it stopped."
)


_CLAIMS = "mementum-claims"
_REPRODUCE = (
    "Run what the papers claim, as far as it can be run here, and say of every claim "
    "whether it is reproduced, with its interval. The predicates are fixed in files "
    "beside the code. Interrupted, the same command continues where it stopped."
)


def _add_reproduce(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add ``mementum reproduce`` to the command line."""
    parser = commands.add_parser(
        "reproduce",
        usage="mementum reproduce [OPTION ...] [PAPER|CLAIM|all]",
        help="check the claims of the papers",
        description=_REPRODUCE,
    )
    what = parser.add_argument_group("what is checked")
    what.add_argument(
        "claims",
        nargs="?",
        metavar="PAPER|CLAIM|all",
        help="comma-separated, such as AdaX or R1,X2 (default: all)",
    )
    what.add_argument(
        "--claim",
        metavar="FILE",
        action="append",
        help="a TOML file with claims of your own; may be given again. Without a "
        "name, no other claim is run",
    )
    _add_own(what)
    parser.add_argument_group("how much is spent").add_argument(
        "--tier",
        metavar="NAME",
        default="quick",
        help="smoke (2 seeds), quick (10) or standard (20) (default: quick)",
    )
    _add_workforce(parser.add_argument_group("where it runs"))
    output = parser.add_argument_group("what comes out")
    _add_out(output, _CLAIMS)
    _add_forms(output)
    parser.set_defaults(run=run, lab="reproduce", module="mementum.lab.cli.reproduce")


def _add_out(group: Group, folder: str) -> None:
    """Add where results are kept."""
    group.add_argument(
        "--out",
        metavar="FOLDER",
        default=folder,
        help=f"where results are kept and found again (default: {folder})",
    )


def _add_forms(group: Group) -> None:
    """Add what is printed in the place of the usual."""
    add = group.add_argument
    add("--dry-run", action="store_true", help="say how many runs, and how long")
    add("--json", action="store_true", help="print JSON only; progress to stderr")


def _add_workforce(group: Group) -> None:
    """Add what says who carries the runs out."""
    add = group.add_argument
    add(
        "--workers",
        metavar="N",
        help="processes at a time; 0: this one (default: one a core, or one a card)",
    )
    add(
        "--device",
        metavar="NAME",
        help="where runs are trained: cpu, cuda, cuda:1 for one card of several, or "
        "auto (default: cpu, and for a task of your own where its model is made)",
    )
    add(
        "--dask",
        metavar="ADDRESS",
        help="run on the Dask cluster of this scheduler (its address, or its file)",
    )


def _add_compare(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add ``mementum compare`` to the command line."""
    parser = commands.add_parser(
        "compare",
        usage="mementum compare [OPTION ...]",
        help="compare optimizers on real tasks",
        description=_COMPARE,
    )
    _add_subjects(parser.add_argument_group("what is compared"))
    _add_spending(parser.add_argument_group("how much is spent"))
    _add_places(parser.add_argument_group("where it runs"))
    _add_output(parser.add_argument_group("what comes out"))
    parser.set_defaults(run=run, lab="compare")


def _add_subjects(group: Group) -> None:
    """Add what says which optimizers are compared on what."""
    add = group.add_argument
    add("--tasks", metavar="NAMES", help="comma-separated (default: all)")
    add(
        "--task",
        metavar="FILE",
        action="append",
        help="a Python file with a task of your own; may be given again. Without "
        "--tasks, no other task is run",
    )
    add("--contenders", metavar="NAMES", help="comma-separated (default: all)")
    _add_own(group)
    add(
        "--lr",
        metavar="NAME=RATE",
        action="append",
        help="the centre of the grid of an optimizer of your own, where it has no "
        "default; may be given again",
    )
    add(
        "--reference",
        metavar="NAME",
        default="AdamW",
        help="whom to compare with; it always takes part (default: AdamW)",
    )
    add(
        "--schedule",
        metavar="NAMES",
        help="constant, cosine (5 %% linear warm-up, then to 0) or both, "
        "comma-separated (default: cosine on tasks with data, constant on the "
        "counterexamples and quadratics)",
    )
    add(
        "--weight-decay",
        metavar="VALUE",
        help="the same decoupled weight decay for every contender, 0 for none "
        "(default: each as published). SGD knows coupled decay only, and has that",
    )


def _add_own(group: Group) -> None:
    """Add what says which optimizers are the user's own."""
    group.add_argument(
        "--contender",
        metavar="SOURCE",
        action="append",
        help="an optimizer of your own, beside the others: a Python file, or "
        "package.module:Class, such as torch.optim.Adamax; may be given again",
    )


def _add_contenders(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add ``mementum contenders`` to the command line."""
    parser = commands.add_parser(
        "contenders",
        help="list the contenders, your own among them",
        description="List the contenders that `mementum compare` knows, those of "
        "installed packages and your own, with their learning rates and options.",
    )
    parser.add_argument(
        "sources", nargs="*", metavar="SOURCE", help="as --contender says"
    )
    _add_own(parser)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.set_defaults(run=run, lab="contenders")


def _add_spending(group: Group) -> None:
    """Add what says how much is spent."""
    add = group.add_argument
    add(
        "--tier",
        metavar="NAME",
        default="quick",
        help="how much to spend: smoke, quick, standard or paper, which fetches real "
        "data (default: quick)",
    )
    add(
        "--seeds",
        metavar="N",
        help="judge on so many fresh seeds, looked at once (default: the tier's looks, "
        "quick at 8 and, with --until decided, at 16, 32 and 64)",
    )
    add(
        "--until",
        metavar="decided",
        help="go on until every contrast is decided, or the last look is taken",
    )
    add(
        "--budget",
        metavar="TIME",
        help="stop after 90s, 10m or 1.5h; the same command goes on from there",
    )
    add(
        "--lrs",
        metavar="N",
        help="learning rates of each contender around its published default; an odd "
        "number (default: the tier's, quick 5, half a decade apart)",
    )
    add(
        "--trials",
        metavar="N",
        help="tune all hyperparameters as well, over so many settings more (default: "
        "the tier's: quick 0, standard and paper 24)",
    )
    add(
        "--widen",
        metavar="N",
        help="how often a grid may be widened whose end was chosen (default: the "
        "tier's: smoke 0, quick 1, standard and paper 2)",
    )


def _add_places(group: Group) -> None:
    """Add what says where runs are carried out."""
    _add_workforce(group)
    group.add_argument("--offline", action="store_true", help="fetch no data")


def _add_output(group: Group) -> None:
    """Add what says where results are kept, and how they are shown."""
    add = group.add_argument
    _add_out(group, FOLDER)
    add("--report", metavar="FILE", help=f"the page (default: {_PAGE} in the folder)")
    add("--details", action="store_true", help=_DETAILS)
    add(
        "--log",
        choices=("trackio", "wandb", "tensorboard", "mlflow"),
        help="hand every finished run to this tracker as well",
    )
    _add_forms(group)


def run(arguments: argparse.Namespace) -> int:
    """Carry out a command of the lab and return its exit code.

    0: done, diverged runs included. 1: done, but runs failed. 2: it cannot be done, for
    the reason given in a sentence. Errors: `ModuleNotFoundError` without the lab's
    packages.
    """
    from mementum.lab.cli import validation

    try:
        validation.check(arguments.lab, arguments)
        for package in install.PACKAGES["lab"]:
            if importlib.util.find_spec(package) is None:
                raise install.missing("it", package, "lab")
        module = import_module(getattr(arguments, "module", "mementum.lab.cli.compare"))
        return int(module.COMMANDS[arguments.lab](arguments))
    except LabError as error:
        says = error.spelled(_SPELLING) if isinstance(error, ArgumentError) else error
        print(f"mementum {arguments.lab}: {says}", file=sys.stderr)
        return 2

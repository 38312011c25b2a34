"""The words of a command, checked before torch is imported to carry it out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mementum.lab import arguments
from mementum.lab.arguments import Argument, ArgumentError, Real
from mementum.lab.planning import names, request


def check(command: str, options: argparse.Namespace) -> None:
    """Refuse what a command cannot be told; `ArgumentError` says what is allowed."""
    if command == "compare":
        _check_comparison(options)
        _check_places(options, options.task or ())
    if command == "reproduce":
        arguments.known_name("tier", options.tier, names.OF_CLAIMS, "tier")
        _check_places(options, ())


def _check_places(options: argparse.Namespace, files: Sequence[str]) -> None:
    """Refuse what no run can be carried out on, or kept in, or made of."""
    arguments.folder("folder", options.out)
    arguments.workers(options.workers)
    arguments.cluster(options.dask, options.workers, files)
    if options.device is not None:
        arguments.device("device", options.device)
    for each in files:
        arguments.file("files", each)
    for each in options.contender or ():
        if each.strip().endswith(".py"):
            arguments.file("contender", each.strip())


def _check_comparison(options: argparse.Namespace) -> None:
    spent = request.effort(
        tier=options.tier,
        seeds=options.seeds,
        lrs=options.lrs,
        trials=options.trials,
        widen=options.widen,
        weight_decay=options.weight_decay,
    )
    request.check_names(
        spent.tier,
        listed(options.tasks),
        contenders(options),
        options.reference,
        listed(options.schedule),
    )
    rates(options.lr)
    if options.until is not None:
        request.until(options.until)
    if options.budget is not None:
        arguments.duration("budget", options.budget)


def listed(text: str | None) -> list[str] | None:
    """Return the names of a list with commas."""
    return None if text is None else text.split(",")


def contenders(options: argparse.Namespace) -> list[str] | None:
    """Return the names, all of the lab's unless told, and the sources beside them."""
    if not options.contender:
        return listed(options.contenders)
    if not all(map(str.strip, options.contender)):
        raise ArgumentError(
            Argument("contender"),
            " is empty; give a Python file, or package.module:Class.",
        )
    return [*(listed(options.contenders) or names.CONTENDERS), *options.contender]


def rates(texts: Sequence[str] | None) -> dict[str, Real]:
    """Return the rates by the names of their contenders."""
    for text in texts or ():
        if "=" not in text:
            raise ArgumentError(Argument("lr"), f" is {text}; give NAME=RATE.")
    return {
        name.strip(): rate
        for name, _, rate in (text.rpartition("=") for text in texts or ())
    }

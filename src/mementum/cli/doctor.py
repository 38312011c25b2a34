"""``mementum doctor``: what works on this machine."""

from __future__ import annotations

import argparse


def add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    command = commands.add_parser(
        "doctor",
        help="say what works on this machine, and what does not",
        description="Say what is installed of torch and of JAX, whether the compiled "
        "kernel runs and, if not, why, what that costs and the way out; check a step "
        "of each optimizer. The exit code is 0 if all is right, else 1. One of torch "
        "and JAX may be absent.",
    )
    command.add_argument("--json", action="store_true", help="print JSON, no page")
    command.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from mementum.doctor.command import doctor

    return doctor(as_json=args.json)

"""``mementum bench``: how long a step takes here."""

from __future__ import annotations

import argparse
from pathlib import Path

from mementum import install
from mementum.bench import chart, names


def add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "bench",
        usage="mementum bench [OPTION ...]",
        help="time a step beside torch's and the machine's floor",
        description="Time a step of each optimizer beside torch's AdamW: after a "
        "forward and a backward pass, with the whole iteration, and alone, beside a "
        "loop that reads and writes the same arrays and computes nothing. All take "
        "turns in one process.",
    )
    _add_subjects(command.add_argument_group("what is timed"))
    _add_places(command.add_argument_group("where it is timed"))
    output = command.add_argument_group("what comes out")
    output.add_argument("--json", action="store_true", help="print JSON, no table")
    output.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the ratios (png, svg)"
    )
    command.set_defaults(run=_bench)


def _add_subjects(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--in-loop",
        action="store_true",
        help="only the cases in a training loop (default among the cases)",
    )
    add(
        "--cases",
        metavar="NAMES",
        help=f"with commas; in a training loop: {', '.join(names.IN_LOOP)}; steps "
        f"alone: {', '.join(names.ALONE)}; on a device: {', '.join(names.ON_DEVICE)} "
        "(default: all)",
    )
    add(
        "--classes",
        metavar="NAMES",
        help="optimizers, with commas (default: all; on a device AdamW and AMSGrad)",
    )
    add(
        "--formats",
        metavar="NAMES",
        help=f"on a device, with commas: {', '.join(names.FORMATS)} (default: all)",
    )
    add(
        "--quick",
        action="store_true",
        help="three optimizers (on a device: formats), a tenth of the time",
    )


def _add_places(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--device",
        metavar="NAME",
        help="a GPU, as cuda, cuda:1 or xpu: steps alone, in each format, beside "
        "torch's and a copy on the device (cpu tries it)",
    )
    group.add_argument(
        "--jax",
        action="store_true",
        help="steps under jit in JAX, beside optax's; it needs no torch",
    )


def _bench(args: argparse.Namespace) -> int:
    _check(args)
    if args.jax:
        return _bench_jax(args)
    with install.needing("it", "torch"):
        from mementum.bench import command

    if args.device is not None:
        return _bench_device(args)
    asked = command.request(
        args.cases, args.classes, quick=args.quick, in_loop=args.in_loop
    )
    return command.bench(asked, as_json=args.json, plot=args.plot)


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be measured before torch, or JAX, is imported for it."""
    for name in ("device", "formats", "cases", "in_loop"):
        if args.jax and getattr(args, name):
            flag = "--" + name.replace("_", "-")
            raise ValueError(
                f"{flag} is for steps of torch's parameters, and --jax is given; leave "
                "one of them out."
            )
    names.classes(args.classes)
    if args.device is None:
        names.cases(args.cases, in_loop=args.in_loop)
        if args.formats is not None:
            raise ValueError(
                f"--formats is {args.formats}, and formats are measured on a --device; "
                "name one, or leave --formats out."
            )
    else:
        names.cases_on_device(args.cases)
        names.formats(args.formats)
        if args.in_loop:
            raise ValueError(
                f"--in-loop is for the processor, and --device is {args.device}; "
                "leave one of them out."
            )
    if args.plot is not None:
        chart.check(args.plot)


def _bench_jax(args: argparse.Namespace) -> int:
    with install.needing("--jax", "jax"):
        from mementum.bench import jax

    asked = jax.request(args.classes, quick=args.quick)
    return jax.bench(asked, as_json=args.json, plot=args.plot)


def _bench_device(args: argparse.Namespace) -> int:
    from mementum.bench import command
    from mementum.bench.gpu.device import opened

    device = opened(args.device)
    asked = command.request_on_device(
        device, args.cases, args.classes, args.formats, quick=args.quick
    )
    return command.bench_device(asked, device, as_json=args.json, plot=args.plot)

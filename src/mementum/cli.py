"""The command line: the commands of theory and machine, and the lab's."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mementum import __version__, completion, install
from mementum.family import explain, limits, picture
from mementum.family.limits import resolve
from mementum.family.recipes import RECIPES
from mementum.lab.cli import add_commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or 2 for what it could not take."""
    _prepare_streams()
    try:
        try:
            return _carried_out(arguments)
        finally:
            # Here, and not at exit, where nobody would be told of an error.
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:
        # The reader went away, as `head` does: nothing is left to say.
        _silence()
        return 0
    except OSError as error:
        _silence()
        with suppress(OSError):
            print(f"mementum: the output cannot be written: {error}", file=sys.stderr)
        return 2


def _carried_out(arguments: Sequence[str] | None) -> int:
    args = parser().parse_args(arguments)
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
        print(f"mementum: {error}", file=sys.stderr)
        return 2
    return code


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
    _add_bench(commands)
    _add_doctor(commands)
    _add_completion(commands)
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
    command.add_argument("--json", action="store_true", help="print JSON, no pages")
    command.set_defaults(run=_explain)


def _explain(args: argparse.Namespace) -> int:
    names = [resolve("optimizer", name, RECIPES) for name in args.names]
    if args.step < 1:
        raise ValueError(f"--step is {args.step}; the first step is 1.")
    if args.lr is not None:
        limits.learning_rate(args.lr)
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


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "bench",
        help="time a step beside torch's and the machine's floor",
        description="Time a step of each optimizer beside torch's AdamW: after a "
        "forward and a backward pass, with the whole iteration, and alone, beside a "
        "loop that reads and writes the same arrays and computes nothing. All take "
        "turns in one process.",
    )
    command.add_argument(
        "--in-loop",
        action="store_true",
        help="only the cases in a training loop (default among the cases)",
    )
    command.add_argument(
        "--cases",
        metavar="NAMES",
        help="with commas; in a training loop: perceptron, convolutions, layer, "
        "adapters, vectors; steps alone: 16m, 300x1000, 60x1000, resnet18, "
        "transformer, strided, transposed; on a device: 256m, llama, 1000x1m, "
        "300x1000, odd, tiny (default: all)",
    )
    command.add_argument(
        "--classes",
        metavar="NAMES",
        help="optimizers, with commas (default: all; on a device AdamW and AMSGrad)",
    )
    command.add_argument(
        "--quick",
        action="store_true",
        help="three optimizers (on a device: formats), a tenth of the time",
    )
    command.add_argument("--json", action="store_true", help="print JSON, no table")
    command.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the ratios (png, svg)"
    )
    _add_bench_elsewhere(command)
    command.set_defaults(run=_bench)


def _add_bench_elsewhere(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--jax",
        action="store_true",
        help="steps under jit in JAX, beside optax's; it needs no torch",
    )
    command.add_argument(
        "--device",
        metavar="NAME",
        help="a GPU, as cuda, cuda:1 or xpu: steps alone, in each format, beside "
        "torch's and a copy on the device (cpu tries it)",
    )
    command.add_argument(
        "--formats",
        metavar="NAMES",
        help="on a device, with commas: float32, float32+bfloat16, float32+float8, "
        "bfloat16+float32, bfloat16, bfloat16+float8 (default: all)",
    )


def _bench(args: argparse.Namespace) -> int:
    if args.jax:
        return _bench_jax(args)
    with install.needing("bench", "torch"):
        from mementum.bench import command

    if args.device is not None:
        return _bench_device(args)
    if args.formats is not None:
        raise ValueError(
            f"--formats is {args.formats}, and formats are measured on a --device; "
            "name one, or leave --formats out."
        )
    asked = command.request(
        args.cases, args.classes, quick=args.quick, in_loop=args.in_loop
    )
    return command.bench(asked, as_json=args.json, plot=args.plot)


def _bench_jax(args: argparse.Namespace) -> int:
    for name in ("device", "formats", "cases", "in_loop"):
        if getattr(args, name):
            flag = "--" + name.replace("_", "-")
            raise ValueError(
                f"{flag} is for steps of torch's parameters, and --jax is given; leave "
                "one of them out."
            )
    with install.needing("bench --jax", "jax"):
        from mementum.bench import jax

    asked = jax.request(args.classes, quick=args.quick)
    return jax.bench(asked, as_json=args.json, plot=args.plot)


def _bench_device(args: argparse.Namespace) -> int:
    from mementum.bench import command
    from mementum.bench.gpu.device import opened

    if args.in_loop:
        raise ValueError(
            f"--in-loop is for the processor, and --device is {args.device}; "
            "leave one of them out."
        )
    device = opened(args.device)
    asked = command.request_on_device(
        device, args.cases, args.classes, args.formats, quick=args.quick
    )
    return command.bench_device(asked, device, as_json=args.json, plot=args.plot)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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


def _add_completion(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    command = commands.add_parser(
        "completion",
        help="print a script that completes commands in a shell",
        description="Print a script that lets a shell complete commands, options and "
        'names of files. In bash: eval "$(mementum completion bash)". In zsh: eval '
        '"$(mementum completion zsh)", after compinit. In fish: mementum completion '
        "fish | source.",
    )
    command.add_argument("shell", choices=completion.SHELLS, help="which shell")
    command.set_defaults(run=_completion)


def _completion(args: argparse.Namespace) -> int:
    print(completion.script(args.shell), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())

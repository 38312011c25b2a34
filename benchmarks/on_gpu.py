"""Check and measure the step on a GPU, in ten minutes at most.

Run ``PYTHONPATH=src python benchmarks/on_gpu.py --json figures.json`` in a checkout,
where torch, Triton, NumPy and pytest are installed; neither mementum nor its compiled
kernel need be. It prints the machine, how many bits differ from those of the loop on
the CPU, what the tests for a GPU say, and the table of `mementum bench --device cuda`.
With ``--tiny`` it tries all that in Triton's interpreter, without a GPU.

The exit code is 0 if no bit differs and no test fails, 1 if not, and 2 without a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "torch" / "gpu"
# The long runs come last; steps that the comparison of bits has taken are left out.
LONG = "test_bits.py"
COMPARED = "tests/torch/gpu/test_bits.py::test_steps_have_the_bits_of_the_loop"
# What is tried in the interpreter, where more takes minutes.
TRIED = "float32+bfloat16 and (clipped or plain)"
# What makes the interpreter quick, as a plugin of pytest or as a module.
QUICK = "tests.interpreted.quick"
# Seconds for all, for the tests, and that the last heat begins before.
ALL, FOR_TESTS, LAST = 600.0, 330.0, 560.0
_BEGIN = time.monotonic()


def main() -> int:
    """Run the parts in order, each whatever came of the one before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or xpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it")
    parser.add_argument("--tiny", action="store_true", help="try it without a GPU")
    args = parser.parse_args()
    if args.tiny:
        # Read when mementum is imported, so this is before.
        os.environ["TRITON_INTERPRET"] = "1"
        args.device = "cpu"
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    if args.tiny:
        importlib.import_module(QUICK)
    from mementum.bench.gpu.device import opened

    try:
        device = opened(args.device)
    except ValueError as error:
        print(f"on_gpu: {error} --tiny tries it without.", file=sys.stderr)
        return 2
    parts: dict[str, Callable[[], Any]] = {
        "machine": lambda: machine(device),
        "bits": lambda: bits(device, tiny=args.tiny),
        "tests": lambda: tests(tiny=args.tiny),
        "bench": lambda: bench(device, tiny=args.tiny),
    }
    found: dict[str, Any] = {"seconds": {}}
    for name, part in parts.items():
        print(f"\n# {name}", flush=True)
        begin = time.monotonic()
        found[name] = _outcome(part)
        found["seconds"][name] = round(time.monotonic() - begin, 1)
        print(f"({found['seconds'][name]} s)", flush=True)
        if args.json is not None:
            # What stands is written, whatever becomes of the rest.
            args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    right = _is_right(found)
    print("\nall is right" if right else "\nsomething is wrong")
    return 0 if right else 1


def _outcome(part: Callable[[], Any]) -> Any:
    try:
        return part()
    except Exception:  # noqa: BLE001 - the other parts are worth their time
        text = traceback.format_exc()
        print(text)
        return {"error": text}


def _is_right(found: dict[str, Any]) -> bool:
    if any("error" in found[name] for name in ("machine", "tests", "bench")):
        return False
    same = isinstance(found["bits"], list) and all(
        row.get("differ") == 0 for row in found["bits"]
    )
    tested = found["tests"]["code"] == 0 and found["tests"]["passed"] > 0
    return same and tested and not found["bench"]["errors"]


def machine(device: Any) -> dict[str, Any]:
    """Print and return what a reader must know to judge the rest."""
    from mementum import machine as host
    from mementum.bench.gpu import table

    facts = {**device.facts(), "processor": host.processor(), "cores": host.cores()}
    print(table.facts_text(facts, host.load()))
    return {**facts, "load": host.load()}


def bits(device: Any, *, tiny: bool) -> list[dict[str, Any]]:
    """Step each rule in each format, here and on the device; tiny ones meet once."""
    import numpy as np
    from tests.torch.gpu.comparison import FEW, FORMATS, RULES, SHAPES, compare

    rows: list[dict[str, Any]] = []
    for rule in RULES:
        for form in FORMATS:
            if tiny and rule != "AMSGrad" and form != "float32+bfloat16":
                continue
            begin = time.monotonic()
            row: dict[str, Any] = {"rule": rule, "format": form}
            shapes, steps = (FEW, 2) if tiny else (SHAPES, 3)
            try:
                # The interpreter computes with infinities in NumPy, which warns.
                with np.errstate(all="ignore"):
                    found = compare(rule, form, device.at, shapes, steps)
                row |= {"differ": found.elements, "of": found.of}
                said = f"differ {found.elements} of {found.of:,}"
            except Exception as error:  # noqa: BLE001 - one of many
                said = f"failed: {type(error).__name__}: {error}"
                row["error"] = traceback.format_exc()
            row["seconds"] = round(time.monotonic() - begin, 2)
            print(f"{rule:<23}{form:<30}{said}", flush=True)
            rows.append(row)
    differ, of = (sum(row.get(name, 0) for row in rows) for name in ("differ", "of"))
    failed = sum("error" in row for row in rows)
    print(f"differ {differ} of {of:,}" + f", {failed} failed" * bool(failed))
    return rows


def tests(*, tiny: bool) -> dict[str, Any]:
    """Run the tests for a GPU in a process of their own; return what they say.

    Tiny ones are those of one format, on the CPU. One must have passed.
    """
    left = min(FOR_TESTS, ALL - (time.monotonic() - _BEGIN))
    paths = os.pathsep.join(sys.path[:2])
    files = sorted(TESTS.glob("test_*.py"), key=lambda file: (file.name == LONG, file))
    asked = [*map(str, files), "--deselect", COMPARED]
    asked += ["-m", "not gpu and not process", "-k", TRIED] if tiny else ["-m", "gpu"]
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "--durations=10"]
    options += ["-p", QUICK] if tiny else []
    lines: list[str] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *asked, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process, _stopped_after(process, left):
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
    output = "".join(lines)
    passed = re.search(r"(\d+) passed", output)
    return {
        "code": process.returncode,
        "passed": int(passed[1]) if passed else 0,
        "output": output,
    }


def _stopped_after(
    process: subprocess.Popen[str], seconds: float
) -> contextlib.ExitStack:
    """Return a context in which a process is stopped when its time is up."""
    stack = contextlib.ExitStack()
    # An interrupt, unlike an end, lets pytest tell what it has found.
    for later, told in ((0, signal.SIGINT), (20, signal.SIGKILL)):
        timer = threading.Timer(seconds + later, process.send_signal, [told])
        timer.start()
        stack.callback(timer.cancel)
    return stack


def bench(device: Any, *, tiny: bool) -> dict[str, Any]:
    """Measure the steps, print the table and return its data."""
    from mementum import machine as host
    from mementum.bench.gpu import run, table

    load = host.load()
    asked = run.request(device, formats=("float32",) if tiny else None, quick=tiny)
    rows: list[Any] = []
    errors: list[str] = []
    for heat in asked.heats():
        if time.monotonic() - _BEGIN > LAST:
            rows.append(run.LeftOut(heat.title, "there was no time left"))
            continue
        try:
            rows += run.run(heat, device, asked.rounds)
        except Exception:  # noqa: BLE001 - the others are worth their time
            errors.append(f"{heat.title}:\n{traceback.format_exc()}")
            print(errors[-1])
    print(table.text(rows, device, load))
    return {**table.data(rows, device, load), "errors": errors}


if __name__ == "__main__":
    sys.exit(main())

"""What of mementum.torch works here, as the doctor's page shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from mementum.bench.case import Case
from mementum.bench.clock import alternate, ratio, spread
from mementum.bench.entrant import FORMATS, built
from mementum.doctor.examination import ALLOWED, PATHS, Result, alike_on, examine
from mementum.doctor.installation import REINSTALL, Installation, find
from mementum.doctor.page import Finding, cell, fact, filled, wrong
from mementum.torch.backends import foreach, native
from mementum.torch.backends.triton import availability

# Seconds to look at the speed for, at a size that no second-level cache holds.
_LOOK = 0.3
_SIZED = Case("1m", "one matrix", ((1_024, 1_024),))


def report() -> list[Finding]:
    """Print what is here and return what is wrong.

    A kernel that cannot run is wrong, whatever keeps it from it.
    """
    kernel = find()
    print("\n".join(_here(kernel)), flush=True)
    results = list(examine(kernel=kernel.finding is None))
    print("\n" + _steps(results), flush=True)
    findings = [kernel.finding] if kernel.finding else []
    findings += [_of_step(result) for result in results if not result.right]
    for device in _accelerators():
        alike = alike_on(device)
        print("\n" + filled(_on(device, alike)), flush=True)
        findings += _of_device(device, alike)
    works = all(isinstance(error, float) for error in results[0].errors.values())
    if works and not availability.is_interpreted():
        print("\n" + filled(_cost(kernel_runs=kernel.finding is None)), flush=True)
    return findings


def _here(kernel: Installation) -> Iterator[str]:
    facts = {
        "threads": f"{torch.get_num_threads()}, as torch.set_num_threads() says",
        "kernel's threads": "none" if kernel.finding else native.threads(),
        "kernel": str(kernel.path or "none") + (" (does not run)" * _broken(kernel)),
        "instruction set": _instructions() if kernel.finding is None else "none",
        "state formats": ", ".join(FORMATS),
        "GPU": ", ".join(map(_named, _accelerators())) or "none that torch sees",
        "Triton": _triton(),
    }
    for label, value in facts.items():
        yield fact(label, value)


def _accelerators() -> list[torch.device]:
    """Return the accelerator that steps run on by default, if there is one."""
    if torch.cuda.is_available():
        return [torch.device("cuda", torch.cuda.current_device())]
    kinds = ("xpu", "mps")
    return [torch.device(kind) for kind in kinds if _is_there(kind)]


def _is_there(kind: str) -> bool:
    module = getattr(torch, kind, None)
    return module is not None and bool(module.is_available())


def _named(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def _triton() -> str:
    version = availability.version()
    if version is None:
        return "none"
    return f"{version}, interpreted" if availability.is_interpreted() else version


def _on(device: torch.device, alike: Mapping[str, bool | str]) -> str:
    """Return how steps run on a device, and what it costs if not by Triton."""
    same = [form for form, answer in alike.items() if answer is True]
    bits = f"Formats with a CPU's bits there: {', '.join(same) or 'none'}."
    reason = availability.refuses(device)
    if reason is None:
        return f"Steps on {_named(device)} run in Triton's kernels. {bits}"
    return (
        f"Steps on {_named(device)} run in foreach operations, as {reason}: there "
        f"{foreach.COST}, and moments in bfloat16 and float8 cost more operations "
        f"still. {bits}"
    )


def _of_device(
    device: torch.device, alike: Mapping[str, bool | str]
) -> Iterator[Finding]:
    for form, answer in alike.items():
        if answer is True:
            continue
        wrong = "differ from a CPU's" if answer is False else f"fail ({answer})"
        yield Finding(
            f"Steps with {form} moments on {_named(device)} {wrong}.",
            "Ask for foreach=True there, and report this page.",
        )


def _broken(kernel: Installation) -> bool:
    return kernel.path is not None and kernel.finding is not None


def _instructions() -> str:
    library = native.library()
    assert library is not None
    offered = ", ".join(native.ISAS[: library.mementum_best_isa() + 1])
    return f"{native.ISAS[native.isa()]}, of {offered}"


def _steps(results: Sequence[Result]) -> str:
    """Return a line for each class, its errors and whether its paths are alike."""
    paths = [path for path in PATHS if path in results[0].errors]
    intro = (
        "One step of each class beside the reference: the largest error in units in "
        f"the last place ({ALLOWED:g} are allowed), and whether all paths give the "
        "same bits with each format of the moments."
    )
    heads = "".join(f"{head:>10}" for head in [*paths, *FORMATS])
    rows = [f"  {'':<13}{heads}"]
    for name, errors, alike in results:
        cells = [cell(errors[path], ALLOWED) for path in paths]
        cells += ["alike" if alike[form] else "DIFFER" for form in FORMATS]
        rows.append(f"  {name:<13}" + "".join(f"{each:>10}" for each in cells))
    return filled(intro) + "\n\n" + "\n".join(rows)


def _of_step(result: Result) -> Finding:
    """Return what is wrong with a class's step."""
    faults = [
        f"the {path} path {wrong(error)}"
        for path, error in result.errors.items()
        if isinstance(error, str) or error > ALLOWED
    ]
    faults += [
        f"its paths differ with {form} moments"
        for form, alike in result.alike.items()
        if not alike
    ]
    return Finding(
        f"{result.name}: {'; '.join(faults)}.",
        f"The kernel may be an older version's: run {REINSTALL}. If this stays, set "
        "MEMENTUM_NATIVE=0 and report it with this page.",
    )


def _cost(*, kernel_runs: bool) -> str:
    """Return what a step takes here, and what the kernel saves or would save."""
    paths = ["native", "foreach"] if kernel_runs else ["foreach"]
    gradients = _SIZED.gradients()
    steps = [
        built("AdamW", _SIZED.parameters(gradients), flags=PATHS[path]).step
        for path in paths
    ]
    fused = torch.optim.AdamW(_SIZED.parameters(gradients), fused=True)
    times = alternate([*steps, fused.step], _LOOK)
    milliseconds = spread(times[0]).median * 1e3
    size = (
        f"A step of AdamW on {_SIZED.elements:,} elements takes {milliseconds:.2f} ms"
    )
    if kernel_runs:
        slower = ratio(times[1], times[0]).median
        torchs = ratio(times[2], times[0]).median
        return (
            f"{size} in the kernel. Without it, on the foreach path, it takes "
            f"{slower:.1f} times as long; torch's fused AdamW takes {torchs:.1f} times."
        )
    slower = ratio(times[0], times[1]).median
    return (
        f"The kernel does not run, so the foreach path does. {size} there, "
        f"{slower:.1f} times as long as torch's fused AdamW, which is about as fast as "
        "the kernel."
    )

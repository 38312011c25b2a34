"""What of mementum.torch works here, as the doctor's page shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from mementum.bench.entrant import FORMATS
from mementum.doctor import timing
from mementum.doctor.examination import ALLOWED, PATHS, Result, alike_on, examine
from mementum.doctor.installation import REINSTALL, Installation, find
from mementum.doctor.page import Finding, Page, cell, fact, filled, plain, wrong
from mementum.doctor.torch_build import blas, build, openmp
from mementum.torch.backends import foreach, native
from mementum.torch.backends.triton import availability


def report(page: Page) -> list[Finding]:
    """Tell what is here and return what is wrong.

    A kernel that cannot run is wrong, whatever keeps it from it.
    """
    kernel = find()
    found = page.data["torch"]
    found |= _data(kernel)
    page.say("\n".join(_here(kernel)))
    results = list(examine(kernel=kernel.finding is None))
    found["checks"] = [_plain(result) for result in results]
    page.say("\n" + _steps(results))
    findings = [kernel.finding] if kernel.finding else []
    findings += [_of_step(result) for result in results if not result.right]
    for device in _accelerators():
        alike = found["checks_on_device"] = alike_on(device)
        page.say("\n" + filled(_on(device, alike)))
        findings += _of_device(device, alike)
    works = all(isinstance(error, float) for error in results[0].errors.values())
    if works and not availability.is_interpreted():
        took = timing.measure(kernel_runs=kernel.finding is None)
        found["timing"] = timing.data(took)
        page.say("\n" + filled(timing.words(took)))
        if took.disturbance:
            page.say("\n" + filled(took.disturbance))
    return findings


def _data(kernel: Installation) -> dict[str, Any]:
    """Return what `_here` tells, as JSON can hold it."""
    runs = kernel.finding is None
    return {
        "build": build(),
        "threads": torch.get_num_threads(),
        "openmp": openmp(),
        "blas": blas(),
        "kernel": {
            "path": None if kernel.path is None else str(kernel.path),
            "runs": runs,
            "why_not": None if kernel.finding is None else kernel.finding.problem,
            "threads": native.threads() if runs else None,
            "instruction_set": native.ISAS[native.isa()] if runs else None,
        },
        "formats": list(FORMATS),
        "gpu": [_named(device) for device in _accelerators()],
        "triton": availability.version(),
    }


def _plain(result: Result) -> dict[str, Any]:
    errors = {path: plain(error) for path, error in result.errors.items()}
    alike = dict(result.alike)
    return {
        "name": result.name,
        "errors": errors,
        "alike": alike,
        "right": result.right,
    }


def _here(kernel: Installation) -> Iterator[str]:
    facts = {
        "torch's build": f"for {build()}; BLAS {blas() or 'unknown'}, OpenMP "
        + (", ".join(openmp()) or "none that is seen"),
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

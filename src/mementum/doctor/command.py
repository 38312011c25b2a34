"""`mementum doctor`: what was found, as a page of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import torch

from mementum import __version__, machine
from mementum.bench.case import Case
from mementum.bench.clock import alternate, ratio, spread
from mementum.bench.entrant import FORMATS, built
from mementum.doctor.examination import ALLOWED, PATHS, Result, examine
from mementum.doctor.installation import REINSTALL, Finding, Installation, find
from mementum.torch.backends import native

_WIDTH = 80
_LABEL = 17
# Seconds to look at the speed for, at a size that no second-level cache holds.
_LOOK = 0.3
_SIZED = Case("1m", "one matrix", ((1_024, 1_024),))


def doctor() -> int:
    """Print what is here and what is wrong; return 0 if all is right, else 1.

    A kernel that cannot run is wrong, whatever keeps it from it.
    """
    kernel = find()
    print("\n".join(_here(kernel)), flush=True)
    results = list(examine(kernel=kernel.finding is None))
    print("\n" + _steps(results), flush=True)
    findings = [kernel.finding] if kernel.finding else []
    findings += [_of_step(result) for result in results if not result.right]
    if all(isinstance(error, float) for error in results[0].errors.values()):
        print("\n" + _filled(_cost(kernel_runs=kernel.finding is None)), flush=True)
    print("\n" + _verdict(findings))
    return 1 if findings else 0


def _here(kernel: Installation) -> Iterator[str]:
    yield f"mementum {__version__}"
    yield ""
    facts = {
        **machine.versions(),
        "processor": f"{machine.processor()}, {machine.cores()} cores",
        "threads": f"{torch.get_num_threads()}, as torch.set_num_threads() says",
        "kernel's threads": "none" if kernel.finding else native.threads(),
        "kernel": str(kernel.path or "none") + (" (does not run)" * _broken(kernel)),
        "instruction set": _instructions() if kernel.finding is None else "none",
        "state formats": ", ".join(FORMATS),
    }
    for label, value in facts.items():
        yield f"{label:<{_LABEL}}{value}"


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
        cells = [_error(errors[path]) for path in paths]
        cells += ["alike" if alike[form] else "DIFFER" for form in FORMATS]
        rows.append(f"  {name:<13}" + "".join(f"{cell:>10}" for cell in cells))
    return _filled(intro) + "\n\n" + "\n".join(rows)


def _error(error: float | str) -> str:
    if isinstance(error, str):
        return "FAILS"
    return f"{error:.2f}" if error <= ALLOWED else f"WRONG {error:.3g}"


def _of_step(result: Result) -> Finding:
    """Return what is wrong with a class's step."""
    wrong = [
        f"the {path} path {_wrong(error)}"
        for path, error in result.errors.items()
        if isinstance(error, str) or error > ALLOWED
    ]
    wrong += [
        f"its paths differ with {form} moments"
        for form, alike in result.alike.items()
        if not alike
    ]
    return Finding(
        f"{result.name}: {'; '.join(wrong)}.",
        f"The kernel may be an older version's: run {REINSTALL}. If this stays, set "
        "MEMENTUM_NATIVE=0 and report it with this page.",
    )


def _wrong(error: float | str) -> str:
    if isinstance(error, str):
        return f"fails ({error})"
    return f"errs by {error:.3g} units"


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


def _verdict(findings: Sequence[Finding]) -> str:
    if not findings:
        return "All is right."
    lines = ["Not right:"]
    for number, finding in enumerate(findings, start=1):
        lines.append(_filled(f"{number}. {finding.problem}", "  "))
        lines.append(_filled(finding.remedy, "     "))
    return "\n".join(lines)


def _filled(text: str, indent: str = "") -> str:
    # A path that is broken in two cannot be copied.
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + " " * 3 * text[:1].isdigit(),
        break_long_words=False,
        break_on_hyphens=False,
    )

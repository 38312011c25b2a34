"""`mementum doctor`: what was found, as a page of 80 columns or as JSON."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import import_module

from mementum import __version__, install, machine
from mementum.doctor import surroundings
from mementum.doctor.page import Finding, Page, fact, filled

# What looks at a side, by the extra that brings its packages: neither is imported
# before its packages are.
_SIDES = {"torch": "mementum.doctor.torch_side", "jax": "mementum.doctor.jax_side"}


def doctor(*, as_json: bool = False) -> int:
    """Print what is here and what is wrong; return 0 if all is right, else 1.

    A side that is absent is not wrong, unless both are.
    """
    page = Page(as_json=as_json)
    _surroundings(page)
    sides = [_of_side(extra, page) for extra in _SIDES]
    findings = [finding for side in sides for finding in side or ()]
    if sides == [None, None]:
        findings.append(
            Finding(
                "Neither mementum.torch nor mementum.optax has what it needs: no step "
                "can be taken.",
                f"For PyTorch run {install.command('torch')}, for JAX "
                f"{install.command('jax')}.",
            )
        )
    page.say("\n" + _verdict(findings))
    page.data["findings"] = [each._asdict() for each in findings]
    page.data["right"] = not findings
    page.close()
    return 1 if findings else 0


def _surroundings(page: Page) -> None:
    """Tell what mementum lies in."""
    system, extras = surroundings.system(), surroundings.extras()
    page.data |= {
        "mementum": __version__,
        "source": surroundings.source(),
        "system": system,
        "python": platform.python_version(),
        "numpy": machine.version("numpy"),
        "extras": extras,
    }
    page.say(f"mementum {__version__}\n")
    page.say(fact("imported from", page.data["source"]))
    page.say(fact("system", surroundings.system_words(system)))
    page.say(fact("Python", page.data["python"]))
    page.say(fact("NumPy", page.data["numpy"] or "none"))
    page.say(fact("processor", f"{system['processor']}, {system['cores']} cores"))
    if extras:
        page.say(fact("extras", surroundings.extras_words(extras)))


def _of_side(extra: str, page: Page) -> list[Finding] | None:
    """Tell what is here of a side and return what is wrong; None if it is absent."""
    page.say()
    versions: dict[str, str | None] = {}
    page.data[extra] = {"versions": versions}
    for package in install.PACKAGES[extra]:
        error = _error(package)
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            page.say(fact(package, f"none; {install.command(extra)} brings it"))
            page.data[extra] = None
            return None
        versions[package] = machine.version(package)
        page.say(fact(package, versions[package] or "of no known version"))
        if error is not None:
            return [_broken(package, error)]
    side = _SIDES[extra]
    error = _error(side)
    if error is not None:
        return [_broken(side, error)]
    findings: list[Finding] = import_module(side).report(page)
    return findings


def _error(module: str) -> Exception | None:
    """Return the error with which a module fails to be imported, if it does."""
    try:
        import_module(module)
    except Exception as error:  # noqa: BLE001 - what is broken may raise anything
        return error
    return None


def _broken(module: str, error: Exception) -> Finding:
    return Finding(
        f"{module} cannot be imported: {type(error).__name__}: {error}",
        f"`python -c 'import {module}'` says where it fails; a package that is broken, "
        "or too old, is to be installed again.",
    )


def _verdict(findings: Sequence[Finding]) -> str:
    if not findings:
        return "All is right."
    lines = ["Not right:"]
    for number, finding in enumerate(findings, start=1):
        lines.append(filled(f"{number}. {finding.problem}", "  "))
        lines.append(filled(finding.remedy, "     "))
    return "\n".join(lines)

"""Whether the compiled kernel is here and, where it is not, why."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
from pathlib import Path
from typing import NamedTuple

import mementum
from mementum import install
from mementum.doctor.page import Finding
from mementum.torch.backends import native

_COMPILERS = ("c++", "g++", "clang++")
REINSTALL = install.command("", "--force-reinstall", "--no-deps", "--no-cache-dir")
# What the machine field of an ELF or Mach-O header says.
_ELF = {3: "i386", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_MACH_O = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_SAME = {"amd64": "x86_64", "arm64": "aarch64"}


class Installation(NamedTuple):
    """Where the kernel's file is, and what keeps it from running; None if nothing."""

    path: Path | None
    finding: Finding | None = None


def find() -> Installation:
    """Return the kernel's file, and why it does not run if it does not."""
    path = _file()
    if os.environ.get("MEMENTUM_NATIVE") == "0":
        return Installation(
            path,
            Finding(
                "The compiled kernel is hidden: the environment has MEMENTUM_NATIVE=0.",
                "Unset MEMENTUM_NATIVE.",
            ),
        )
    if path is None:
        return Installation(None, _not_built())
    return Installation(path, _of_file(path) or _of_environment())


def _file() -> Path | None:
    for root in mementum.__path__:
        for path in sorted(Path(root, "native").glob("mementum_kernel.*")):
            return path
    return None


def _not_built() -> Finding:
    found = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if found is None:
        remedy = (
            "No C++ compiler is here now either: install one (g++ or clang++), then "
            f"run {REINSTALL}."
        )
    else:
        remedy = f"A compiler is here now, {found}: run {REINSTALL}."
    return Finding(
        "The compiled kernel was not built: there was no C++ compiler when mementum "
        "was installed, or the build failed.",
        remedy,
    )


def _of_file(path: Path) -> Finding | None:
    """Return why a file cannot serve as the kernel here, or None."""
    built, here = architecture(path), _named(platform.machine())
    if built is not None and built != here:
        return Finding(
            f"The compiled kernel is for {built}, and this Python runs on {here}.",
            f"Build it here: run {REINSTALL}.",
        )
    try:
        kernel = ctypes.CDLL(os.fspath(path))
    except OSError as error:
        return Finding(
            f"The compiled kernel does not load; the loader says: {error}",
            f"Build it here: run {REINSTALL}.",
        )
    if not (hasattr(kernel, "mementum_step") and hasattr(kernel, "mementum_best_isa")):
        return Finding(
            "The compiled kernel is not this package's: it has no mementum_step.",
            f"Build it again: run {REINSTALL}.",
        )
    if not native.fits(kernel):
        return Finding(
            "The compiled kernel is another version's, and steps do without it.",
            f"Build it again: run {REINSTALL}.",
        )
    return None


def _of_environment() -> Finding | None:
    """Return what is wrong with a variable that the kernel reads, or None."""
    for ask, remedy in (
        (native.isa, "Unset MEMENTUM_ISA: the newest is taken then."),
        (native.asks_for_own_threads, "Unset MEMENTUM_THREADS: torch's run then."),
    ):
        try:
            ask()
        except ValueError as error:
            return Finding(str(error), remedy)
    return None


def architecture(path: Path) -> str | None:
    """Return the processors that a shared library was built for, if it says so."""
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) == 20 and head[:4] == b"\x7fELF":
        order = "little" if head[5] == 1 else "big"
        number = int.from_bytes(head[18:20], order)  # type: ignore[arg-type]
        return _ELF.get(number, f"ELF machine {number}")
    if head[:4] == b"\xcf\xfa\xed\xfe":
        return _MACH_O.get(int.from_bytes(head[4:8], "little"))
    return None


def _named(machine: str) -> str:
    return _SAME.get(machine.lower(), machine.lower())

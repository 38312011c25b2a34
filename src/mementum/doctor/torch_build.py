"""What torch was built for, and which libraries it computes with here."""

from __future__ import annotations

import re
from pathlib import Path

import torch

_OPENMP = re.compile(r"lib(?:gomp|i?omp5?)[^/\s]*$", re.MULTILINE)
_BLAS = re.compile(r"BLAS_INFO=(\w+)")


def build() -> str:
    """Return what torch was built for: "CPU", or "CUDA 12.6"."""
    for name, kind in (("cuda", "CUDA"), ("hip", "ROCm"), ("xpu", "XPU")):
        version = getattr(torch.version, name, None)
        if version is not None:
            return f"{kind} {version}"
    return "CPU"


def blas() -> str | None:
    """Return the library of torch's matrix products, if torch says which."""
    found = _BLAS.search(torch.__config__.show())
    return None if found is None else found[1]


def openmp() -> list[str]:
    """Return the OpenMP runtimes in this process, as far as the system tells."""
    mapped = Path("/proc/self/maps")
    if not mapped.exists():
        return []
    listed = mapped.read_text(encoding="utf-8", errors="replace")
    return sorted(set(_OPENMP.findall(listed)))

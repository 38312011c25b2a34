"""The parts in which the interpreter's tests are run, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
_ELSEWHERE = ("torch/backends/test_kernels.py",)
PARCELS = [
    *sorted(str(file) for file in _HERE.glob("test_*.py")),
    *(str(_HERE.parent / file) for file in _ELSEWHERE),
]

"""The parts in which these tests are run, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
PARCELS = sorted(str(file) for file in _HERE.glob("test_*.py"))

"""What type checkers are shown is what runs."""

from __future__ import annotations

import runpy
from pathlib import Path

import mementum


def test_the_file_uses_every_public_name_and_runs() -> None:
    path = Path(__file__).with_name("public_use.py")
    text = path.read_text("utf-8")
    # The theory's own classes are for recipes.
    theory = {"Coefficients", "Fixed", "Memory", "Rule", "SquareOf", "step_in_backward"}
    unused = {n for n in mementum.__all__ if f"mementum.{n}" not in text}
    assert unused == theory
    assert runpy.run_path(str(path))["groups"]

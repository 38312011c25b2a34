"""A device gives the bits of the loop on the CPU, in every format and rule."""

from __future__ import annotations

import torch
from tests.torch.gpu.comparison import FEW, compare, formats, rules

# Beside the device's, those that a test of its own runs.
LONG = 1_000, 1_000


@rules
@formats
def test_steps_have_the_bits_of_the_loop(
    rule: str, form: str, device: torch.device
) -> None:
    shapes = {"shapes": FEW} if device.type == "cpu" else {}
    found = compare(rule, form, device, **shapes)
    assert found.elements == 0, found
    assert found.of > 4_000


@formats
def test_long_runs_have_the_bits_of_the_loop(form: str, device: torch.device) -> None:
    few = device.type == "cpu"
    shapes = ((3, 7),) if few else (LONG,)
    found = compare("AMSGrad", form, device, shapes, steps=50)
    assert found.elements == 0, found

"""On what the tests of this folder run: each on the CPU, and marked on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mementum.torch.backends import triton


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let drivers and compilers warn as they like, and the interpreter of numbers."""
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.filterwarnings("default"))
        elif triton.device == "cpu" and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::RuntimeWarning"))


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Return where a test runs; on the CPU by whichever path serves there."""
    if request.param == "cpu":
        return torch.device("cpu")
    for kind in ("cuda", "xpu"):
        if torch.get_device_module(kind).is_available():
            return torch.device(kind, 0)
    pytest.skip("torch sees no GPU here")


@pytest.fixture
def cuda(device: torch.device) -> torch.device:
    """Return where a test runs that is about CUDA; the CPU stands in for it."""
    if device.type == "xpu":
        pytest.skip("this is about CUDA")
    return device

"""Without its kernel the package is whole: other paths run, and say so."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from tests.native import kernel
from torch import nn

from mementum.torch import MEMBERS, AdamW
from mementum.torch.backends import native

HIDDEN = """
    import json, torch
    from mementum.torch import MEMBERS
    generator = torch.Generator().manual_seed(1)
    sums = {}
    for member in MEMBERS:
        p = torch.nn.Parameter(torch.randn(3_000, generator=generator))
        optimizer = member([p])
        for _ in range(3):
            p.grad = torch.randn(3_000, generator=generator)
            optimizer.step()
        path = "native" if "run by native" in optimizer.explain() else "other"
        sums[member.__name__] = [path, p.detach().view(torch.int32).sum().item()]
    print(json.dumps(sums))
"""


@pytest.mark.process
@kernel.needed
def test_hidden_by_the_environment_it_is_not_used_and_not_missed() -> None:
    shown = json.loads(kernel.output_of(HIDDEN))
    hidden = json.loads(kernel.output_of(HIDDEN, MEMENTUM_NATIVE="0"))
    assert {path for path, _ in shown.values()} == {"native"}
    assert {path for path, _ in hidden.values()} == {"other"}
    # The same bits from other operations.
    assert {k: bits for k, (_, bits) in shown.items()} == {
        k: bits for k, (_, bits) in hidden.items()
    }


@pytest.fixture
def no_kernel(tmp_path: Path) -> Iterator[None]:
    """A package whose folder holds no kernel."""
    if "MEMENTUM_TEST_KERNEL" in os.environ:
        pytest.skip("a kernel from elsewhere is put in its place")
    empty = ModuleSpec("mementum", None, is_package=True)
    empty.submodule_search_locations = [str(tmp_path)]
    native.library.cache_clear()
    native.isa.cache_clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(importlib.util, "find_spec", lambda _: empty)
        assert native.library() is None
    yield
    native.library.cache_clear()
    native.isa.cache_clear()


@pytest.mark.usefixtures("no_kernel")
@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.__name__)
def test_where_the_file_is_absent_every_class_steps(member: type[AdamW]) -> None:
    param = nn.Parameter(torch.ones(10))
    optimizer = member([param])
    param.grad = torch.ones(10)
    optimizer.step()
    assert (param < 1).all()
    assert "run by foreach" in optimizer.explain()
    assert "not by native: the kernel was not built" in optimizer.explain()


@pytest.mark.usefixtures("no_kernel")
def test_asking_for_an_absent_kernel_raises_one_sentence() -> None:
    with pytest.raises(NotImplementedError) as caught:
        AdamW([nn.Parameter(torch.ones(10))], fused=True)
    message = str(caught.value)
    assert message.startswith("AdamW: fused is True, but the kernel was not built")
    assert message.endswith(".")
    assert "\n" not in message

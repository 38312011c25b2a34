"""What importing the package costs, and what it leans on."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mementum

QUIET = """
import sys
import mementum
assert "torch" not in sys.modules, "torch"
assert "numpy" not in sys.modules, "numpy"
assert mementum.Memory.adam(0.9).weight(1) == 1
assert "AdaX" in dir(mementum) and "torch" not in sys.modules
mementum.AdaX
assert "torch" in sys.modules
"""


@pytest.mark.process
def test_the_theory_is_imported_without_torch() -> None:
    subprocess.run([sys.executable, "-c", QUIET], check=True)


BESIDE_TORCH = """
import sys
import torch

def loaded_by(act):
    before = set(sys.modules)
    act()
    new = {name.split(".")[0] for name in set(sys.modules) - before}
    return new - {"mementum", "numpy"} - sys.stdlib_module_names

def import_ours():
    global AdamW
    from mementum import AdamW

def step(member):
    param = torch.nn.Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    member([param]).step()

assert not loaded_by(import_ours)
step(torch.optim.AdamW)
assert not loaded_by(lambda: step(AdamW))
"""


@pytest.mark.process
def test_importing_and_stepping_load_nothing_of_torch_that_torch_does_not() -> None:
    subprocess.run([sys.executable, "-c", BESIDE_TORCH], check=True)


IMPORTED = """
from mementum.convert import Report, adopt, renamed
import mementum
from mementum.torch import convert
assert mementum.convert.adopt is convert.adopt is adopt
assert mementum.convert.renamed is convert.renamed is renamed
assert mementum.convert.Report is convert.Report is Report
"""


@pytest.mark.process
def test_what_converts_is_a_module_to_import_from() -> None:
    subprocess.run([sys.executable, "-c", IMPORTED], check=True)


# What torch gives no public way to: its multi-tensor operations, the hooks that its own
# state_dict and load_state_dict run, and hiding a method from a compiler that is not loaded yet.
PRIVATE = {
    "_disable_dynamo",
    "_foreach_add",
    "_foreach_add_",
    "_foreach_copy_",
    "_foreach_div",
    "_foreach_maximum_",
    "_foreach_mul",
    "_foreach_mul_",
    "_foreach_sqrt",
    "_foreach_sub",
    "_foreach_sub_",
    "_optimizer_load_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_state_dict_pre_hooks",
}


def test_torchs_private_names_are_used_only_where_listed() -> None:
    package = Path(importlib.import_module("mementum.torch").__file__ or "").parent
    used = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                used.add(node.attr)
    torchs = {name for name in used if not name.startswith("__") and _is_torchs(name)}
    assert torchs <= PRIVATE


def _is_torchs(name: str) -> bool:
    owners = (torch, torch.Tensor, torch.nn.Parameter, torch.optim.Optimizer)
    instance = torch.optim.SGD([torch.ones(1)])
    return any(hasattr(owner, name) for owner in (*owners, instance))


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError):
        mementum.Lion  # noqa: B018

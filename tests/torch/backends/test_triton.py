"""The path of GPUs, as far as it can be tried without one: what Triton compiles of it,
and what it computes in the interpreter."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.interpreted import parcels
from tests.native import kernel

from mementum.family.rule import Coefficients
from mementum.torch.backends import triton as path
from mementum.torch.backends.triton import availability

pytest.importorskip("triton", "3.6", reason="no build of Triton 3.6 is here")

_SECONDS = 600
_PLUGINS = ("-p", "no:cacheprovider", "-p", "tests.interpreted.quick")


@pytest.mark.process
@pytest.mark.parametrize("parcel", parcels.PARCELS)
def test_the_interpreter_agrees(parcel: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *_PLUGINS, parcel],
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
    assert re.search(r"\d+ passed", ended.stdout), ended.stdout


# --- compiled ahead of time -----------------------------------------------------------

SM80, SM90, SM100 = ("cuda", 80, 32), ("cuda", 90, 32), ("cuda", 100, 32)
AMD = ("hip", "gfx942", 64)

# By parameter, gradient, moments: the widest load of the fast path, how many of them
# there are for 1,024 elements of four warps, and the registers allowed.
F32, F64, BF16, F16, F8 = (
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.uint8,
)


class Storage(SimpleNamespace):
    """What is compiled, and what is expected of it on the target of `SM90`."""


STORAGES = {
    "float32": Storage(types=(F32, F32, F32), loads={"v4.b32": 8}, registers=64),
    "float32 with peak": Storage(
        types=(F32, F32, F32), loads={"v4.b32": 10}, registers=80, peak=True
    ),
    "bfloat16, float32 state": Storage(
        types=(BF16, BF16, F32), loads={"v4.b32": 4, "v2.b32": 4}, registers=64
    ),
    "bfloat16 with noise, float32 state": Storage(
        types=(BF16, BF16, F32),
        loads={"v4.b32": 4, "v2.b32": 4},
        registers=64,
        rounds=True,
    ),
    "float16 with noise, float32 state": Storage(
        types=(F16, F16, F32),
        loads={"v4.b32": 4, "v2.b32": 4},
        registers=64,
        rounds=True,
    ),
    "float32, bfloat16 state": Storage(
        types=(F32, F32, BF16), loads={"v4.b32": 4, "v2.b32": 4}, registers=72
    ),
    "bfloat16": Storage(types=(BF16, BF16, BF16), loads={"v4.b32": 4}, registers=64),
    "bfloat16 with noise": Storage(
        types=(BF16, BF16, BF16), loads={"v4.b32": 4}, registers=72, rounds=True
    ),
    "float32, float8 state": Storage(
        types=(F32, F32, F8), loads={"v4.b32": 4, "b32": 4}, registers=112
    ),
    "bfloat16 with noise, float8 state": Storage(
        types=(BF16, BF16, F8),
        loads={"v4.b32": 2, "v2.b32": 2},
        registers=80,
        rounds=True,
    ),
    "float64": Storage(
        types=(F64, F64, F64), loads={"v2.b64": 16}, registers=128, tabled=True
    ),
    "captured": Storage(
        types=(F32, F32, BF16),
        loads={"v4.b32": 4, "v2.b32": 4},
        registers=72,
        tabled=True,
        counted=True,
        skips=True,
    ),
    "numbered": Storage(
        types=(BF16, BF16, BF16), loads={"v4.b32": 4}, registers=80, rank=3
    ),
}
_EXPECTED = {"types", "loads", "registers"}


def compiled(storage: Storage, target: tuple[Any, ...]) -> Any:
    """Return the step, compiled for a target as a launch would compile it."""
    kernels = path._kernels()
    switches = {k: v for k, v in vars(storage).items() if k not in _EXPECTED}
    terms = path._terms(Coefficients(*map(float, kernel.ADAMW)))
    computed = F64 if F64 in storage.types else F32
    others = {"wide": False, **terms, **switches}
    kind = path._kind(*storage.types, computed=computed, **others)
    pointers = {"work": "*i64", "addresses": "*i64", "facts": "*i64"}
    number = "fp64" if computed == F64 else "fp32"
    pointers |= {"numbers": f"*{number}", "steps": "*fp64", "scale_at": "*fp64"}
    return _compiled(kernels.step, pointers | {"skip": "*u8"}, {"KIND": kind}, target)


def _compiled(
    function: Any, pointers: dict[str, str], constants: dict[str, Any], target: Any
) -> Any:
    compiler = importlib.import_module("triton.compiler")
    targets = importlib.import_module("triton.backends.compiler")
    signature = {}
    for name in function.arg_names:
        others = "i64" if name == "counted_step" else "i32"
        if name in Coefficients._fields:
            others = "fp32"
        signature[name] = pointers.get(name, others)
        if name in constants:
            signature[name] = "constexpr"
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, name in enumerate(function.arg_names)
        if name in pointers
    }
    source = compiler.ASTSource(
        fn=function, signature=signature, constexprs=constants, attrs=aligned
    )
    options = {"num_warps": path._WARPS, "enable_fp_fusion": False}
    triton = importlib.import_module("triton")
    return triton.compile(source, target=targets.GPUTarget(*target), options=options)


_INEXACT = re.compile(
    r"\b(?:fma|mad)\.\w+(?:\.ftz)?\.f(?:32|64)"
    r"|\b(?:div|sqrt|rcp|rsqrt|ex2|lg2)\.(?:approx|full)[\w.]*|[\w.]+\.ftz[\w.]*"
)


@pytest.mark.parametrize("name", STORAGES)
def test_a_compiled_step_is_exact_wide_and_without_spills(name, tmp_path):
    storage = STORAGES[name]
    made = compiled(storage, SM90)
    assert not _INEXACT.findall(made.asm["ptx"])
    for width, count in storage.loads.items():
        assert made.asm["ptx"].count(f"ld.global.{width} ") >= count, width
    registers, stack, shared = resources(made, tmp_path)
    assert registers <= storage.registers
    assert stack == 0
    # Blocks of codes have a maximum to find; elements have nothing to exchange.
    assert shared == 0 or F8 in storage.types or "rank" in vars(storage)


def resources(made: Any, folder: Path) -> tuple[int, int, int]:
    """Return registers, bytes of stack and of shared memory, as the assembler says."""
    triton = importlib.import_module("triton")
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    binary = folder / "step.cubin"
    binary.write_bytes(made.asm["cubin"])
    said = subprocess.run(
        [tool, "-res-usage", binary], capture_output=True, text=True, check=True
    )
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+)", said.stdout + said.stderr)
    assert found is not None
    registers, stack, shared = map(int, found.groups())
    return registers, stack, shared


@pytest.mark.parametrize("target", [SM80, SM100], ids=str)
@pytest.mark.parametrize(
    "name", ["float32 with peak", "bfloat16 with noise", "float64"]
)
def test_other_cards_are_compiled_for_alike(name, target):
    made = compiled(STORAGES[name], target)
    assert not _INEXACT.findall(made.asm["ptx"])
    for width, count in STORAGES[name].loads.items():
        assert made.asm["ptx"].count(f"ld.global.{width} ") >= count, width


@pytest.mark.parametrize("name", ["float32", "bfloat16 with noise", "float64"])
def test_amd_compiles_without_contraction(name):
    made = compiled(STORAGES[name], AMD)
    assert "contract" not in made.asm["llir"]
    # 256 threads have four elements each.
    wide = "x2" if BF16 in STORAGES[name].types else "x4"
    assert f"_load_dword{wide} " in made.asm["amdgcn"]


@pytest.mark.parametrize("dtype", [F32, BF16, F64], ids=str)
def test_norms_are_compiled_exactly(dtype):
    kernels = path._kernels()
    pointers = {"work": "*i64", "told": "*i64", "sums": "*fp64", "out": "*fp64"}
    grad = {"GRAD": kernels.types[dtype]}
    pieces = _compiled(kernels.pieces, pointers, grad, SM90)
    totals = _compiled(kernels.totals, pointers, {}, SM90)
    assert not _INEXACT.findall(pieces.asm["ptx"] + totals.asm["ptx"])


# --- launches -------------------------------------------------------------------------


class Launched:
    """Compiles what is launched, as for a card of `SM90`, and runs nothing."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.grids: list[tuple[int, ...]] = []
        self.variants: set[Any] = set()

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        self.grids.append(grid)

        def launch(*args: Any, **options: Any) -> None:
            made = self.function.warmup(*args, grid=grid, **options)
            self.variants.add(made.hash)

        return launch


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Launched:
    """Let steps be launched on CPU tensors, by Triton's own launcher up to the card."""
    runtime = importlib.import_module("triton.runtime")
    targets = importlib.import_module("triton.backends.compiler")
    driver = SimpleNamespace(
        get_current_device=lambda: 0,
        get_current_stream=lambda _: 0,
        get_current_target=lambda: targets.GPUTarget(*SM90),
    )
    monkeypatch.setattr(runtime.driver, "_active", driver, raising=False)
    kernels = path._kernels()
    own = Launched(kernels.step)
    fake = SimpleNamespace(**{**vars(kernels), "step": own})
    monkeypatch.setattr(path, "_kernels", lambda: fake)
    return own


def test_rates_steps_and_counts_compile_nothing_anew(launched: Launched) -> None:
    for count, step, rate in [
        (1, 1, 0.1),
        (16, 16, 5.0),
        (3, 2**40, 1.0),
        (32, 7, 3e-9),
    ]:
        rows = kernel.rows((40,), count, moments=torch.bfloat16)
        bucket = kernel.bucket(rows, step=step)
        bucket.places = list(range(count))
        kernel.update(kernel.ADAMW._replace(step_m=rate), bucket, by=path)
    assert len(launched.variants) == 1


def test_a_bucket_is_one_launch_of_a_program_for_each_piece(launched: Launched) -> None:
    sizes = (1, 1024, 1025, 5000)
    rows = [kernel.rows((size,))[0] for size in sizes]
    kernel.update(kernel.ADAMW, kernel.bucket(rows), by=path)
    assert launched.grids == [(1 + 1 + 2 + 5,)]


# --- where it runs --------------------------------------------------------------------


@pytest.fixture
def no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    availability.refuses.cache_clear()
    monkeypatch.setattr(availability, "is_interpreted", lambda: False)
    yield
    availability.refuses.cache_clear()


CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (("_triton", lambda: None), "not installed"),
        (("_triton", lambda: SimpleNamespace(__version__="3.5.1")), "flushes denormal"),
        (("_compiler", lambda: None), "C compiler"),
        (("_capability", lambda _: (7, 0)), "compute capability 7.0"),
        (("_compilers", dict), "does not compile for cuda"),
    ],
    ids=["absent", "old", "no compiler", "old card", "other card"],
)
def test_what_keeps_triton_from_a_card_is_said(
    no_interpreter, monkeypatch, broken, words
) -> None:
    monkeypatch.setattr(availability, "_capability", lambda _: (9, 0))
    monkeypatch.setattr(availability, *broken)
    assert words in (availability.refuses(CUDA) or "")


def test_a_card_and_a_triton_that_do_are_taken(no_interpreter, monkeypatch) -> None:
    monkeypatch.setattr(availability, "_capability", lambda _: (9, 0))
    monkeypatch.setattr(availability, "_compiler", lambda: "gcc")
    assert availability.refuses(CUDA) is None


def test_other_devices_are_named(no_interpreter) -> None:
    assert "not on mps" in (availability.refuses(torch.device("mps")) or "")

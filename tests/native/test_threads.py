"""Whose threads run the kernel: torch's where they can, else its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.native import kernel

from mementum import AdamW
from mementum.torch.backends import native

HERE = Path(__file__).parent
TASKS = Path("/proc/self/task")

pytestmark = [
    kernel.needed,
    pytest.mark.process,
    pytest.mark.skipif(
        sys.platform != "linux" or not torch.backends.openmp.is_available(),
        reason="torch has no OpenMP here that could be found",
    ),
    pytest.mark.skipif(
        "MEMENTUM_TEST_KERNEL" in os.environ, reason="a watched kernel has its own"
    ),
]

COUNT = """
    import json, os, torch
    from mementum import AdamW
    from mementum.torch.backends import native
    param = torch.nn.Parameter(torch.ones(2_000_000))
    param.grad = torch.ones_like(param)
    optimizer = AdamW([param])
    counts = []
    for threads in (1, 3, 1, 2, 3):
        torch.set_num_threads(threads)
        optimizer.step()
        counts.append(len(os.listdir("/proc/self/task")))
    print(json.dumps([count - counts[0] for count in counts]))
"""


def test_there_are_as_many_threads_as_torch_is_told_and_they_are_torchs() -> None:
    counts = json.loads(kernel.output_of(COUNT, OMP_NUM_THREADS="1"))
    # OpenMP ends what a smaller team has no use for, or lets it wait.
    assert counts[:2] == [0, 2]
    assert counts[4] == 2
    own = kernel.output_of(COUNT, OMP_NUM_THREADS="1", MEMENTUM_THREADS="own")
    assert json.loads(own) == [0] * 5


@pytest.mark.parametrize("first", ["torch", "sklearn.ensemble"])
def test_of_several_openmp_runtimes_it_is_torchs(first: str) -> None:
    """scikit-learn's wheels bring another, which is no business of torch's."""
    if first != "torch":
        pytest.importorskip("sklearn")
    script = f"""
        import {first}
        import sys, ctypes, torch, sklearn.ensemble
        from mementum.torch.backends import native
        torch.ones(1_000_000).exp()
        file = ctypes.c_char_p()
        assert native.library().mementum_pool(ctypes.byref(file)) == 0
        print(file.value.decode())
    """
    file = Path(kernel.output_of(script).strip()).resolve()
    assert not {"scikit_learn.libs", "sklearn"} & set(file.parts)
    assert file.name in native.threads() or "gomp" in file.name or "omp" in file.name


def test_a_fork_has_its_own_even_where_only_the_child_knows_the_package() -> None:
    script = """
        import os, torch
        torch.set_num_threads(3)
        param = torch.nn.Parameter(torch.ones(1_000_000))
        param.grad = torch.ones(1_000_000)
        read, write = os.pipe()
        if not os.fork():
            from mementum import AdamW
            optimizer = AdamW([param], lr=0.5)
            optimizer.step()
            said = "this process is a fork" in optimizer.explain()
            os.write(write, f"{said} {param.detach()[0] != 1}".encode())
            os._exit(0)
        os.close(write)
        print(os.read(read, 100).decode())
    """
    assert kernel.output_of(script, timeout=20).split() == ["True", "True"]


def test_a_new_program_begun_by_a_fork_is_no_fork() -> None:
    script = """
        from mementum.torch.backends import native
        print(native.threads())
    """
    assert "OpenMP" in kernel.output_of(script)
    assert "OpenMP" in native.threads()


def test_the_number_of_threads_is_said_as_a_limit() -> None:
    script = """
        from mementum.torch.backends import native
        print(native.threads())
    """
    # OpenMP may give fewer than torch asks for.
    for words in ({"OMP_THREAD_LIMIT": "1"}, {"MEMENTUM_THREADS": "own"}):
        said = kernel.output_of(script, OMP_NUM_THREADS="2", **words)
        assert said.startswith("up to ")


def test_a_page_says_whose_threads_there_are() -> None:
    optimizer = AdamW([torch.nn.Parameter(torch.ones(3))])
    assert f"    threads: {native.threads()}\n" in optimizer.explain() + "\n"


def test_an_unknown_word_for_threads_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEMENTUM_THREADS", "tbb")
    with pytest.raises(ValueError, match="MEMENTUM_THREADS is 'tbb'; it is torch or"):
        native.asks_for_own_threads.__wrapped__()


def test_llvms_way_into_openmp_runs_every_part_once(tmp_path: Path) -> None:
    """A runtime that has that way alone, without torch and its own runtime."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no compiler for the runtime")
    runtime = tmp_path / "libomp-alone.so"
    flags = "-shared", "-fPIC", "-std=c++17", "-pthread", "-o", runtime
    subprocess.run([compiler, *flags, HERE / "llvm_openmp.cpp"], check=True)
    library = native.library()
    assert library is not None
    script = f"""
        import array, ctypes
        runtime = ctypes.CDLL({str(runtime)!r}, mode=ctypes.RTLD_GLOBAL)
        kernel = ctypes.CDLL({library._name!r})
        file = ctypes.c_char_p()
        assert kernel.mementum_pool(ctypes.byref(file)) == 0
        assert file.value.decode() == {str(runtime)!r}

        class Reading(ctypes.Structure):
            _fields_ = [(name, ctypes.c_int32) for name in ("type", "isa", "threads", "own")]
            _fields_ += [(name, ctypes.c_int64) for name in ("count", "g", "elements", "layouts")]

        values = array.array("f", [1.0]) * 1_000_003
        g = array.array("q", [values.buffer_info()[0]])
        elements, layouts = array.array("q", [len(values)]), array.array("q", [0])
        columns = [each.buffer_info()[0] for each in (g, elements, layouts)]
        sums = ctypes.c_double()
        for threads in range(1, 17):
            reading = Reading(0, 0, threads, 0, 1, *columns)
            assert not kernel.mementum_square_sums(ctypes.byref(reading), ctypes.byref(sums))
            assert sums.value == len(values)
        print(runtime.regions())
    """
    assert int(kernel.output_of(script)) == 15

"""Laws of the doctor: it finds what is wrong, and names the way out."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mementum
from mementum.bench.entrant import CLASSES, FORMATS
from mementum.doctor import command, examination, installation, timing, torch_side
from mementum.doctor.examination import PATHS, Result
from mementum.doctor.installation import Installation, find
from mementum.doctor.page import Finding
from mementum.torch.backends import foreach, loop, native

HERE = find()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder in which the kernel is looked for."""
    monkeypatch.delenv("MEMENTUM_NATIVE", raising=False)
    monkeypatch.setattr(mementum, "__path__", [str(tmp_path)])
    (tmp_path / "native").mkdir()
    return tmp_path / "native"


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the speed for no longer than must be."""
    monkeypatch.setattr(timing, "_LOOK", 0.0)


def finding() -> Finding:
    found = find().finding
    assert found is not None
    return found


def test_a_kernel_that_runs_has_no_finding() -> None:
    assert (HERE.finding is None) == (native.library() is not None)


def test_a_hidden_kernel_is_not_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMENTUM_NATIVE", "0")
    assert "hidden" in finding().problem
    assert "Unset MEMENTUM_NATIVE" in finding().remedy


@pytest.mark.parametrize("compiler", [None, "/opt/bin/c++"])
def test_a_missing_kernel_was_not_built(
    folder: Path, compiler: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: compiler)
    assert find().path is None
    assert "was not built" in finding().problem
    assert (compiler or "install one") in finding().remedy
    assert installation.REINSTALL in finding().remedy


@pytest.mark.parametrize(
    ("head", "built"),
    [
        (b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\x00", "aarch64"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\x00", "x86_64"),
        (b"\x7fELF\x02\x02" + bytes(12) + b"\x00\x16", "s390x"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\x01\x40", "ELF machine 16385"),
        (b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01", "aarch64"),
        (b"MZ", None),
        (b"", None),
    ],
)
def test_a_library_says_which_processors_it_is_for(
    head: bytes, built: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "mementum_kernel.so"
    path.write_bytes(head)
    assert installation.architecture(path) == built


@pytest.mark.parametrize("here", ["arm64", "AMD64", "riscv64"])
def test_a_kernel_for_another_processor_is_named_as_such(
    folder: Path, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation.platform, "machine", lambda: here)
    (folder / "mementum_kernel.so").write_bytes(
        b"\x7fELF\x02\x01" + bytes(12) + b"\x16\x00"
    )
    names = {"arm64": "aarch64", "AMD64": "x86_64"}
    assert f"is for s390x, and this Python runs on {names.get(here, here)}" in (
        finding().problem
    )


def test_a_file_that_does_not_load_is_quoted_from_the_loader(folder: Path) -> None:
    path = folder / "mementum_kernel.so"
    path.write_bytes(b"no library")
    assert find().path == path
    assert f"the loader says: {path}" in finding().problem


def test_a_library_that_is_no_kernel_is_refused(folder: Path) -> None:
    other = next(Path(torch.__file__).parent.glob("lib/libtorch_global_deps.*"))
    (folder / "mementum_kernel.so").symlink_to(other)
    assert "not this package's" in finding().problem


@pytest.mark.skipif(HERE.finding is not None, reason="there is no kernel to ask")
@pytest.mark.parametrize(
    ("variable", "read"),
    [("MEMENTUM_ISA", native.isa), ("MEMENTUM_THREADS", native.asks_for_own_threads)],
)
def test_an_unknown_word_in_the_environment_is_a_finding(
    variable: str, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "mmx")
    read.cache_clear()
    try:
        assert f"{variable} is 'mmx'" in finding().problem
        assert f"Unset {variable}" in finding().remedy
    finally:
        read.cache_clear()


@pytest.mark.usefixtures("briefly")
def test_the_code_says_whether_all_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    code = command.doctor()
    page = capsys.readouterr().out
    assert code == (HERE.finding is not None)
    assert ("All is right." in page) == (code == 0)
    for word in ("Python", "torch", "NumPy", "kernel's threads", *CLASSES, *FORMATS):
        assert word in page


@pytest.mark.usefixtures("briefly")
def test_a_missing_kernel_is_priced_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = Installation(None, Finding("It was not built.", "Build it."))
    monkeypatch.setattr(torch_side, "find", lambda: missing)
    assert command.doctor() == 1
    page = " ".join(capsys.readouterr().out.split())
    assert "so the foreach path does" in page
    assert "times as long as torch's fused AdamW" in page
    assert "1. It was not built. Build it." in page


def test_each_class_is_right_on_each_path() -> None:
    results = list(examination.examine(kernel=HERE.finding is None))
    assert [result.name for result in results] == list(CLASSES)
    assert [result for result in results if not result.right] == []


@pytest.mark.parametrize("number", ["take_m", "take_v", "step_m", "eps_out", "shrink"])
def test_a_number_that_is_wrong_by_a_thousandth_is_found(
    number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = loop.update
    monkeypatch.setattr(
        loop,
        "update",
        lambda c, bucket: exact(
            c._replace(**{number: getattr(c, number) * 1.001 + 1e-6}), bucket
        ),
    )
    result = next(r for r in examination.examine(kernel=False) if r.name == "AdamW")
    assert not result.right
    assert isinstance(result.errors["foreach"], float)
    assert result.errors["foreach"] <= examination.ALLOWED
    wrong = "loop path errs by"
    assert wrong in torch_side._of_step(result).problem or not all(
        result.alike.values()
    )


def test_paths_that_differ_in_a_bit_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = foreach.update

    def off(c, bucket) -> None:
        exact(c, bucket)
        for param in bucket.params:
            values = param.numpy().reshape(-1)
            values[0] = np.nextafter(values[0], np.float32(9))

    monkeypatch.setattr(foreach, "update", off)
    result = next(iter(examination.examine(kernel=False)))
    assert not any(result.alike.values())
    assert (
        "its paths differ with float32 moments" in torch_side._of_step(result).problem
    )


def test_nan_is_no_small_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(c, bucket) -> None:
        for param in bucket.params:
            param.fill_(math.nan)

    monkeypatch.setattr(loop, "update", broken)
    result = next(iter(examination.examine(kernel=False)))
    assert result.errors["loop"] == math.inf


@pytest.mark.usefixtures("briefly")
def test_a_path_that_fails_is_reported_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(c, bucket) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr(loop, "update", fails)
    assert command.doctor() == 1
    page = " ".join(capsys.readouterr().out.split())
    assert "the loop path fails (RuntimeError:" in page
    assert "it broke" in page


def test_a_result_is_right_only_if_all_of_it_is() -> None:
    good = Result("AdamW", dict.fromkeys(PATHS, 0.5), dict.fromkeys(FORMATS, True))
    assert good.right
    assert not good._replace(errors={"native": 2.5}).right
    assert not good._replace(errors={"native": "OSError: no"}).right
    assert not good._replace(alike={"float32": False}).right


@pytest.mark.skipif(native.library() is None, reason="the kernel is not built")
def test_a_kernel_of_another_version_is_told_and_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native, "fits", lambda kernel: False)
    native.library.cache_clear()
    try:
        assert native.library() is None
        assert "another version's" in finding().problem
    finally:
        native.library.cache_clear()


@pytest.fixture
def a_device(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A CPU that is taken for an accelerator."""
    device = torch.device("cpu")
    monkeypatch.setattr(torch_side, "_accelerators", lambda: [device])
    monkeypatch.setattr(torch_side, "_named", lambda _: "Card 7")
    return device


def test_steps_on_a_device_are_held_to_a_cpus_bits(
    a_device, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(torch_side.availability, "refuses", lambda _: None)
    assert command.doctor() == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "GPU Card 7 " in page
    assert (
        "Steps on Card 7 run in Triton's kernels. Formats with a CPU's bits there: "
        in page
    )
    assert ", ".join(FORMATS) in page


def test_a_device_without_triton_costs_what_is_said(
    a_device, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(
        torch_side.availability, "refuses", lambda _: "Triton is not here"
    )
    assert command.doctor() == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "run in foreach operations, as Triton is not here: " in page
    assert "140 bytes" in page


@pytest.mark.parametrize(
    ("answer", "words"),
    [(False, "differ from a CPU's"), ("RuntimeError: no", "fail (Run")],
)
def test_a_device_that_steps_otherwise_is_not_right(
    a_device, monkeypatch, capsys, answer, words
) -> None:
    monkeypatch.setattr(torch_side, "alike_on", lambda _: {"float8": answer})
    assert command.doctor() == 1
    page = " ".join(capsys.readouterr().out.split())
    assert f"Steps with float8 moments on Card 7 {words}" in page


def test_bits_that_differ_on_a_device_are_found(monkeypatch) -> None:
    ends = iter([torch.zeros(3), torch.ones(3)] + [torch.zeros(3)] * 4)
    monkeypatch.setattr(examination, "_end", lambda *_: next(ends))
    found = examination.alike_on(torch.device("cpu"))
    assert found == dict(zip(FORMATS, (False, True, True), strict=True))

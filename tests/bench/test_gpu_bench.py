"""Laws of the measurement on a GPU, tried on the processor."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mementum.bench import command, measurement
from mementum.bench.case import ON_GPU, Case
from mementum.bench.clock import Spread
from mementum.bench.entrant import CLASSES, FUSED
from mementum.bench.gpu import run, table
from mementum.bench.gpu.device import Device, Times, opened
from mementum.bench.gpu.run import (
    COPY,
    FORMATS,
    QUICK_ROUNDS,
    TORCH,
    Heat,
    LeftOut,
    Request,
    Row,
)
from mementum.cli import main

CPU = opened("cpu")
SMALL = Case("small", "a matrix", ((64, 1_024),))
WIDE = Spread(0.0123456, 0.012, 0.013)
# Of the whole of a list that is long: what must move for an element of each format.
BYTES = {
    "float32": 28.0,
    "float32+bfloat16": 20.0,
    "float32+float8": 16 + 4 / 256,
    "bfloat16+float32": 22.0,
    "bfloat16": 14.0,
    "bfloat16+float8": 10 + 4 / 256,
}


def rows_of(heat: Heat, device: Device = CPU) -> list[Row]:
    rows = run.run(heat, device, QUICK_ROUNDS)
    assert all(isinstance(row, Row) for row in rows)
    return [row for row in rows if isinstance(row, Row)]


def ours(rows: list[Row], name: str = "AdamW") -> list[Row]:
    return [row for row in rows if row.name == name]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_step_moves_what_its_format_must(dtype: torch.dtype) -> None:
    formats = tuple(form for form in FORMATS.values() if form.params == dtype)
    rows = ours(rows_of(Heat(SMALL, "AdamW", formats)))
    found = [row.bytes / row.elements for row in rows]
    assert found == [BYTES[form.name] for form in formats]


def test_a_peak_moves_twice_more_and_torch_keeps_one_too() -> None:
    rows = rows_of(Heat(SMALL, "AMSGrad", (FORMATS["float32"],)))
    moved = {row.name: row.bytes / row.elements for row in rows if row.name != COPY}
    assert moved == dict.fromkeys(("amsgrad fused", "amsgrad foreach", "AMSGrad"), 36.0)


def test_what_is_too_small_for_a_format_is_measured_without_it() -> None:
    formats = (FORMATS["float32"], FORMATS["float32+float8"])
    small = Case("vector", "", ((1_000,),))
    rows = ours(rows_of(Heat(small, "AdamW", formats)))
    assert [row.state for row in rows] == ["float32"]


@dataclass
class Clocked:
    """A device whose clock tells what it is asked for, and that has memory."""

    memory: int | None = None
    asked: list[str] = field(default_factory=list)
    at: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def current(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def sample(self, step: Any, before: Any = None) -> Times:
        # A copy is a partial; all else are methods of an optimizer.
        name = type(step.__self__).__name__ if hasattr(step, "__self__") else COPY
        self.asked.append(name if before is None else f"{name} behind")
        step()
        return Times({COPY: 1.0, "AdamW": 2.0}.get(name, 3.0), 0.5)

    def free(self) -> int | None:
        return self.memory

    def peak(self, step: Any) -> int | None:
        step()
        return 5

    def facts(self) -> dict[str, Any]:
        return {"device": "a clock", "memory": self.memory, "driver": None}


def test_entrants_take_turns_and_the_others_work_comes_last() -> None:
    device = Clocked()
    heat = Heat(SMALL, "AMSGrad", (FORMATS["float32"],))
    rows = run.run(heat, device, (3, 4, 2))
    each = [COPY, "AdamW", "AdamW", "AMSGrad"]
    behind = [f"{name} behind" for name in each]
    plain = each + (each + each[::-1]) * 2
    assert device.asked == plain + behind + behind[::-1]
    (copy, fused, *_, own) = [row for row in rows if isinstance(row, Row)]
    assert (copy.of_copy, copy.ratio, fused.ratio) == (1.0, None, None)
    assert own.ratio == Spread(1.5, 1.5, 1.5)
    assert own.of_copy == own.bytes / 3.0 / copy.bytes
    assert own.peak == 5


def test_what_does_not_fit_is_left_out_and_said_so() -> None:
    heat = Heat(ON_GPU["llama"], "AdamW", (FORMATS["float32"],))
    device = Clocked(memory=40 * 10**9)
    (left,) = run.run(heat, device, QUICK_ROUNDS)
    assert isinstance(left, LeftOut)
    assert device.asked == []
    text = table.text([left], device, None)
    assert "Left out: llama, AdamW, float32 parameters\n  wants " in text
    assert "and 40.0 are free" in text
    assert table.data([left], device, None)["left_out"] == [left._asdict()]


def test_memory_that_runs_out_leaves_a_heat_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any) -> list[Row]:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(run, "_rows", fails)
    (left,) = run.run(Heat(SMALL, "AdamW", (FORMATS["float32"],)), CPU)
    assert isinstance(left, LeftOut)


def test_all_of_a_heat_on_a_long_list_fits_80_gigabytes() -> None:
    """What cards that these lists are meant for have free."""
    for heat in run.request(Clocked(memory=0), cases=tuple(ON_GPU)).heats():
        assert heat.nbytes + 2 * run._COPIED < 84e9, heat.title


def test_the_long_lists_are_as_long_as_they_say() -> None:
    assert ON_GPU["256m"].elements == 2**28
    assert ON_GPU["llama"].elements == 1_100_048_384
    assert len(ON_GPU["llama"].shapes) == 201


@pytest.mark.parametrize("shape", [(1,), (64, 80)])
def test_cases_draw_the_same_numbers_in_every_dtype(shape: tuple[int, ...]) -> None:
    case = Case("one", "", (shape,))
    wide, short = (case.gradients("cpu", d) for d in (torch.float32, torch.bfloat16))
    assert short[0].dtype == case.parameters(short)[0].dtype == torch.bfloat16
    # Drawn, rounded, divided and rounded.
    assert torch.allclose(short[0].float(), wide[0], rtol=2**-7, atol=0)


def test_a_request_names_formats_of_classes() -> None:
    asked = run.request(CPU)
    assert asked.cases == ("tiny",)
    assert asked.formats == {"AdamW": tuple(FORMATS), "AMSGrad": ("float32",)}
    assert run.request(CPU, formats=("bfloat16",)).formats == {"AdamW": ("bfloat16",)}
    both = command.request_on_device(CPU, "256M", "adax,adamw", "Float32", quick=True)
    formats = {"AdaX": ("float32",), "AdamW": ("float32",)}
    assert both == Request(("256m",), formats, QUICK_ROUNDS)
    titles = [heat.title for heat in asked.heats()]
    assert titles == [
        "tiny, AdamW, float32 parameters",
        "tiny, AdamW, bfloat16 parameters",
        "tiny, AMSGrad, float32 parameters",
    ]
    with pytest.raises(ValueError, match="no format is named 'float16'"):
        command.request_on_device(CPU, None, None, "float16", quick=True)


ROWS = [
    Row(
        case, name, form.name.partition("+")[0], form.state, 30, 10**9, 28 * 10**9,
        WIDE, WIDE, WIDE, 1.0, 0.987, Spread(1.234, 1.0, 1.5), 123_000_000, path,
        "it is not there" if path == "foreach" else None,
    )
    for case in ON_GPU
    for form in FORMATS.values()
    for name, path in [
        (COPY, None), *((name, None) for name in TORCH),
        *((name, "triton") for name in CLASSES), ("Mementum capturable", "foreach"),
    ]
]  # fmt: skip


def test_the_table_is_80_columns_wide_and_says_everything() -> None:
    facts = {f"fact_{i}": "x" * 20 for i in range(9)}
    device = Clocked()
    device.facts = lambda: {"device": "G", "memory": 8e10, **facts}  # type: ignore[method-assign]
    text = table.text([*ROWS, LeftOut("llama", "too large")], device, 0.25)
    assert max(map(len, text.splitlines())) <= 80
    for word in [*ON_GPU, *TORCH, *CLASSES, "G, 80 GB", "minute before 0.2", "fact 8"]:
        assert word in text
    assert "run by foreach and not by Triton:\n  it is not there." in text


def test_columns_never_touch() -> None:
    far = Spread(4_321.0, 99.0, 5_000.0)
    row = replace(ROWS[-1], step=far, behind=far, host=far, ratio=far, of_copy=0.0001)
    lines = table.text([row], Clocked(), None).splitlines()
    (line,) = [line for line in lines if "Mementum capturable" in line]
    assert line.split()[-6:-3] == ["4,321,000", "4,321,000", "0.000"]


def test_the_picture_has_a_panel_for_each_case() -> None:
    panels = table.panels([*ROWS, LeftOut("llama", "too large")])
    assert [panel.title for panel in panels] == list(ON_GPU)
    assert {mark.name for mark in panels[0].marks} == set(FORMATS)
    assert not table.panels([replace(row, ratio=None) for row in ROWS])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--device", "cuda"], "sees 0 devices of cuda"),
        (["--device", "cuda:7"], "--device is cuda:7"),
        (["--device", "mps"], "must be one of cuda, xpu, cpu"),
        (["--device", "gpu"], "must be one of cuda, xpu, cpu"),
        (["--device", "cpu", "--in-loop"], "--in-loop is for the processor"),
        (["--formats", "float32"], "--formats is float32"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_a_device_that_is_not_here_is_one_sentence(
    words: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", *words]) == 2
    out, err = capsys.readouterr()
    assert sentence in err
    assert (out, err.count("\n")) == ("", 1)


def test_the_whole_measurement_prints_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "ratios.png"
    words = ["bench", "--device", "cpu", "--quick", "--plot", str(plot)]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "tiny: a small matrix and a vector" in out
    assert "0/3  tiny, AdamW, float32 parameters" in err
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_json_holds_what_the_table_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--device", "cpu", "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in found["rows"]} >= {COPY, *ours_named(), FUSED}
    assert found["rows"][1]["step"].keys() == {"median", "low", "high"}
    assert found["machine"]["torch"] == torch.__version__
    assert found["left_out"] == []


def ours_named() -> set[str]:
    return {"AdamW", "AMSGrad", "AdamW capturable"}


def test_progress_names_heats_of_a_device() -> None:
    stream = io.StringIO()
    heat = Heat(SMALL, "AdamW", (FORMATS["bfloat16"],))
    measurement.Progress([1.0], stream).tell(heat, 0)
    assert stream.getvalue() == "0/1  small, AdamW, bfloat16 parameters\n"


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
def test_the_step_by_triton_is_measured() -> None:
    pytest.importorskip("triton")
    words = ["bench", "--device", "cpu", "--quick", "--json", "--formats", "float32"]
    done = subprocess.run(
        [sys.executable, "-m", "mementum", *words],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    rows = json.loads(done.stdout)["rows"]
    assert {row["path"] for row in rows if row["name"] == "AdamW"} == {"triton"}

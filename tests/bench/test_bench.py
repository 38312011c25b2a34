"""Laws of the measurement: what is timed, in which order, and what the times say."""

from __future__ import annotations

import ctypes
import gc
import io
import itertools
import json
import math
import weakref
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mementum.bench import clock, command, measurement, run, table
from mementum.bench.case import CASES, Case, Layout
from mementum.bench.clock import (
    Iteration,
    Iterations,
    Spread,
    alternate,
    alternate_iterations,
    ratio,
    spread,
)
from mementum.bench.entrant import (
    AMSGRAD,
    CLASSES,
    CLIPPING,
    FLOOR,
    FORMATS,
    FUSED,
    TORCH,
    VARIANTS,
    of_class,
    of_class_in_loop,
    of_torch,
    of_torch_in_loop,
    reference,
)
from mementum.bench.run import MEASURED, Heat, Request, Row
from mementum.bench.training import TRAININGS, Training, trained
from mementum.torch.backends import native

SMALL = Case("small", "two matrices and a vector", ((64, 80), (3, 5), (7,)))
TINY = Training("tiny", "one layer", lambda: torch.nn.Linear(64, 80), (4, 64), (4, 80))
SPREAD = Spread(1.0, 0.9, 1.1)
LONG = Spread(9.87654321, 8, 11)
needs_kernel = pytest.mark.skipif(
    native.library() is None, reason="the floor is in the compiled kernel"
)


def test_the_bounds_of_a_ratio_hold_the_median_in_95_of_100_tries() -> None:
    """Order statistics k and n-1-k miss the median if k or fewer lie on one side."""

    def missed(k: int, count: int) -> float:
        return 2 * sum(math.comb(count, i) for i in range(k + 1)) / 2**count

    for count in range(6, 200, 7):
        ranks = [float(rank) for rank in range(1, count + 1)]
        bounds = ratio(ranks, [1.0] * count)
        outside = ranks.index(bounds.low)
        assert bounds.high == ranks[-1 - outside]
        assert missed(outside, count) <= 0.05 < missed(outside + 1, count)


def test_what_disturbs_both_of_a_round_leaves_their_ratio() -> None:
    theirs = [1.0, 7.0, 2.0, 30.0, 1.0, 4.0, 1.5]
    assert ratio([0.5 * t for t in theirs], theirs) == Spread(0.5, 0.5, 0.5)


def test_a_spread_is_the_quartiles() -> None:
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3.0, 2.0, 4.0)


def test_every_other_round_runs_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_repeats", lambda _: 1)
    order: list[str] = []
    times = alternate([lambda name=name: order.append(name) for name in "abc"], 0.0)
    rounds = ["".join(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert rounds == ["abc", "cba"] * (clock.LEAST // 2)
    assert [len(each) for each in times] == [clock.LEAST] * 3


def test_times_belong_to_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_repeats", lambda _: 1)
    ticks = {"now": 0.0}
    monkeypatch.setattr(clock.time, "perf_counter", lambda: ticks["now"])

    def step(seconds: float) -> None:
        ticks["now"] += seconds

    times = alternate([lambda: step(1.0), lambda: step(3.0)], 0.0)
    assert times == [[1.0] * clock.LEAST, [3.0] * clock.LEAST]


def test_a_short_step_is_repeated_and_its_time_is_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = {"now": 0.0, "calls": 0}
    monkeypatch.setattr(clock.time, "perf_counter", lambda: ticks["now"])

    def step() -> None:
        ticks["now"] += clock.SAMPLE / 8
        ticks["calls"] += 1

    (times,) = alternate([step], 0.0)
    assert times == pytest.approx([clock.SAMPLE / 8] * clock.LEAST)
    # Two to warm up, one to look, and in each round one before the eight.
    assert ticks["calls"] == 3 + 9 * clock.LEAST


def test_every_other_round_of_iterations_runs_backwards() -> None:
    order: list[str] = []

    def named(name: str) -> Iteration:
        return Iteration(
            *(lambda part=part: order.append(name + part) for part in "123")
        )

    alternate_iterations([named("a"), named("b")], 0.0)
    whole = ["".join(order[i : i + 3]) for i in range(0, len(order), 3)]
    a, b = "a1a2a3", "b1b2b3"
    # Each twice to warm up.
    assert whole == [a, a, b, b] + [a, b, b, a] * (clock.LEAST // 2)


def test_an_iteration_takes_its_step_and_what_is_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = {"now": 0.0}
    monkeypatch.setattr(clock.time, "perf_counter", lambda: ticks["now"])

    def wait(seconds: float) -> None:
        ticks["now"] += seconds

    iteration = Iteration(lambda: wait(4.0), lambda: wait(2.0), lambda: wait(1.0))
    (times,) = alternate_iterations([iteration], 0.0)
    assert times == Iterations([2.0] * clock.LEAST, [7.0] * clock.LEAST)


def test_no_garbage_is_collected_meanwhile() -> None:
    seen: list[bool] = []

    def look() -> None:
        seen.append(gc.isenabled())

    alternate([look], 0.0)
    alternate_iterations([Iteration(look, look, look)], 0.0)
    assert not any(seen)
    assert gc.isenabled()


def test_the_lists_are_the_models() -> None:
    """The counts that torchvision's and torch's own modules give."""
    assert CASES["resnet18"].elements == 11_689_512
    assert len(CASES["resnet18"].shapes) == 62
    layer = torch.nn.TransformerEncoderLayer(512, 8, 2_048)
    shapes = sorted(tuple(p.shape) for p in layer.parameters()) * 6
    assert sorted(CASES["transformer"].shapes) == sorted(shapes)
    assert CASES["16m"].elements == 1 << 24


def test_the_trained_are_what_their_summaries_say() -> None:
    """VGG-16's 14,714,688 weights and biases of convolutions, less 4,224 biases."""
    counts = {name: training.elements for name, training in TRAININGS.items()}
    layer = torch.nn.TransformerEncoderLayer(1_024, 16, 4_096)
    assert counts == {
        "perceptron": 1_024 * 2_048 + 2_048**2 + 2_048 * 1_024 + 5 * 1_024,
        "convolutions": 14_714_688 - 4_224 + 2 * 4_224 + 513 * 10,
        "layer": sum(param.numel() for param in layer.parameters()),
        "adapters": 128 * 2_048,
        "vectors": 300 * 1_000,
    }
    with torch.device("meta"):
        shapes = {
            name: [param.shape for param in trained(training.model())]
            for name, training in TRAININGS.items()
        }
    for name, found in shapes.items():
        if "tensors" in TRAININGS[name].summary:
            assert f"{len(found)} tensors" in TRAININGS[name].summary
    assert [shape.numel() for shape in shapes["adapters"]] == [2_048] * 128
    assert shapes["vectors"] == [(1_000,)] * 300


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_all_that_is_trained_has_a_gradient(training: Training) -> None:
    params, loss = training.begin()
    first = loss()
    first.backward()
    assert first.isfinite()
    for param in params:
        assert param.grad is not None
        assert param.grad.isfinite().all()
    # Low-rank matrices begin with a zero in each pair, and so does a gradient.
    assert sum(bool(param.grad.any()) for param in params) >= len(params) / 2


def test_every_model_begins_the_same_and_leaves_torchs_own_noise() -> None:
    before = torch.random.get_rng_state()
    (one, loss), (two, other) = TINY.begin(), TINY.begin()
    assert all(map(torch.equal, one, two))
    assert loss() == other()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.fixture
def models() -> tuple[Training, list[torch.nn.Module]]:
    """A training, and the models that it has made."""
    made: list[torch.nn.Module] = []

    def model() -> torch.nn.Module:
        made.append(TINY.model())
        return made[-1]

    return replace(TINY, model=model), made


def test_all_of_a_heat_train_alike(
    models: tuple[Training, list[torch.nn.Module]],
) -> None:
    """All end as near to one another as their formats and torch allow."""
    training, made = models
    run.run(Heat(training, "AdamW"), 0.0)
    fused, plain, half, *_, clipping, clipped, skipping = map(trained, made)
    start, _ = TINY.begin()
    steps = 1 + clock._WARM + clock.LEAST
    assert len(made) == 1 + len(FORMATS) + 3
    for i, first in enumerate(start):
        # To skip nothing changes no bit.
        assert torch.equal(skipping[i], plain[i])
        # In units in the last place of a parameter within 1/8, a step of ours is wrong
        # by one at most, and torch's by one and a half.
        for ours, theirs in ((plain, fused), (clipped, clipping)):
            assert (ours[i] - theirs[i]).abs().max() <= 2.5 * steps * 2**-27
        # In the n-th step, n roundings to bfloat16 lie behind momentum and square.
        wrong = sum(1.5 * n / 128 for n in range(steps + 1))
        assert (half[i] - fused[i]).abs().max() <= wrong * 1e-4
        assert (plain[i] - first).abs().max() > steps / 2 * 1e-4


def test_no_model_outlives_its_heat(
    models: tuple[Training, list[torch.nn.Module]],
) -> None:
    training, made = models
    for member in (None, "AdamW", "AMSGrad"):
        run.run(Heat(training, member), 0.0)
        alive = [weakref.ref(model) for model in made]
        made.clear()
        assert not any(model() for model in alive)


def test_gradients_are_new_in_each_iteration(
    models: tuple[Training, list[torch.nn.Module]],
) -> None:
    training, made = models
    theirs = of_torch_in_loop(training, FUSED)
    ours = of_class_in_loop(training, "AdamW")
    for entrant, model in zip((theirs, ours), made, strict=True):
        params = trained(model)
        assert entrant.iteration is not None
        assert all(param.grad is None for param in params)
        entrant.iteration.before()
        assert all(param.grad is not None for param in params)
        entrant.iteration.step()
        entrant.iteration.after()
        assert all(param.grad is None for param in params)


@pytest.mark.parametrize("name", ["AdamW", "AMSGrad"])
def test_a_heat_in_a_loop_has_two_ratios_a_row(name: str) -> None:
    rows = run.run(Heat(TINY, name), 0.0)
    judge = AMSGRAD if name == "AMSGrad" else FUSED
    found = [(row.name, row.state, row.beside) for row in rows]
    variants = VARIANTS.items() if name == "AdamW" else ()
    assert found == [
        *((name, form, judge) for form in FORMATS),
        *((f"{name} {each}", FORMATS[0], beside) for each, (_, beside) in variants),
    ]
    for row in rows:
        assert row.ratio is not None
        assert row.iteration_ratio is not None
        assert row.iteration is not None
        assert row.iteration.median > row.seconds.median


def test_torchs_heat_in_a_loop_has_all_who_judge() -> None:
    rows = run.run(Heat(TINY, None), 0.0)
    assert [row.name for row in rows] == [FUSED, AMSGRAD, CLIPPING]
    assert [row.iteration_ratio is None for row in rows] == [True, False, False]


@pytest.mark.parametrize("layout", Layout)
def test_a_layout_changes_no_value(layout: Layout) -> None:
    case = Case("one", "", ((6, 8),))
    gradients = case.gradients()
    (dense,) = case.parameters(gradients)
    (param,) = case.parameters(gradients, layout)
    assert torch.equal(param, dense)
    assert param.is_contiguous() == (layout is Layout.DENSE)
    assert param.grad is gradients[0]


@pytest.mark.parametrize("name", CLASSES)
def test_a_step_moves_its_arrays_once_each_way(name: str) -> None:
    """Parameter and moments are read and written, the gradient is read."""
    entrant, _ = of_class(SMALL, SMALL.gradients(), name, "float32")
    arrays = 2 * (4 if CLASSES[name].recipe.function().peak else 3) + 1
    assert entrant.bytes == 4 * arrays * SMALL.elements


def test_torch_moves_as_much_as_ours() -> None:
    gradients = SMALL.gradients()
    for ours, theirs in (("AdamW", FUSED), ("AMSGrad", AMSGRAD)):
        own, _ = of_class(SMALL, gradients, ours, "float32")
        other, _ = of_torch(SMALL, gradients, theirs)
        assert own.bytes == other.bytes


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_torchs_fused_step_judges_where_it_is_right(case: Case) -> None:
    for name in CLASSES:
        expected = AMSGRAD if name == "AMSGrad" else FUSED
        judge = reference(case, name)
        assert judge == (expected if case.layout is Layout.DENSE else None), name


@needs_kernel
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 4095, 4096, 4097, 100_001, 9_000_001])
def test_the_floor_keeps_every_byte(size: int, threads: int) -> None:
    kernel = native.library()
    assert kernel is not None
    rows = [[np.random.default_rng(i).bytes(size + 1) for i in range(j, j + 3)]
            for j in range(2)]  # fmt: skip
    held = [[ctypes.create_string_buffer(data, size + 1) for data in row]
            for row in rows]  # fmt: skip
    streams = array("q")
    for row in held:
        for i, buffer in enumerate(row):
            # One byte on: no stream need be aligned.
            streams.extend((ctypes.addressof(buffer) + 1, size, i != 1))
    address = ctypes.c_void_p(streams.buffer_info()[0])
    kernel.mementum_floor(address, ctypes.c_int64(2), ctypes.c_int64(3), threads)
    assert [[buffer.raw for buffer in row] for row in held] == rows


@needs_kernel
@pytest.mark.parametrize("form", FORMATS)
def test_the_floor_passes_over_the_arrays_of_the_step(form: str) -> None:
    entrant, floor = of_class(SMALL, SMALL.gradients(), "AMSGrad", form)
    assert floor is not None
    assert (floor.name, floor.form, floor.bytes) == (FLOOR, form, entrant.bytes)
    floor.step()


@pytest.mark.parametrize("name", ["AdamW", "AMSGrad"])
def test_a_heat_has_a_row_for_each_format_that_differs(name: str) -> None:
    rows = run.run(Heat(SMALL, name), 0.0)
    assert [row.state for row in rows] == list(FORMATS)
    assert {row.name for row in rows} == {name}
    assert {row.beside for row in rows} == {AMSGRAD if name == "AMSGrad" else FUSED}
    assert [row.bytes for row in rows] == sorted(row.bytes for row in rows)[::-1]
    tiny = run.run(Heat(Case("tiny", "", ((3,),)), name), 0.0)
    assert "float8" not in {row.state for row in tiny}


def test_torchs_own_heat_has_a_row_for_each_way() -> None:
    rows = run.run(Heat(SMALL, None), 0.0)
    names = [row.name for row in rows if row.name != FLOOR]
    assert names == list(TORCH)
    assert [row.ratio is None for row in rows if row.name in TORCH] == [
        name == FUSED for name in TORCH
    ]


@pytest.mark.parametrize("layout", [Layout.STRIDED, Layout.TRANSPOSED])
def test_no_fused_step_of_torchs_is_taken_where_it_is_wrong(layout: Layout) -> None:
    case = Case("odd", "", ((80, 64),), layout)
    names = {row.name for row in run.run(Heat(case, None), 0.0)}
    assert names == {"torch foreach", "torch single"}
    (row, *_) = run.run(Heat(case, "AdamW"), 0.0)
    assert row.beside == run.DENSE
    assert row.ratio is not None


def test_the_fused_step_is_wrong_where_it_is_not_taken() -> None:
    """Should torch mend it, it can judge those cases too."""
    case = Case("odd", "", ((80, 64),), Layout.STRIDED)
    (right,) = case.parameters(case.gradients())
    (wrong,) = case.parameters(case.gradients())
    torch.optim.AdamW([right], foreach=False).step()
    torch.optim.AdamW([wrong], fused=True).step()
    assert not torch.allclose(right, wrong)


ROWS = [
    Row(case, name, form, 7, 123_456_789, LONG, FUSED, SPREAD, SPREAD)
    for case in CASES
    for name, form in itertools.product([*CLASSES, *TORCH], FORMATS)
]
ROWS_IN_LOOP = [
    Row(
        case,
        name,
        form,
        7,
        123_456_789,
        LONG,
        FUSED,
        SPREAD,
        iteration=LONG,
        iteration_ratio=SPREAD,
    )
    for case in TRAININGS
    for name, form in itertools.product(
        [*CLASSES, CLIPPING, *(f"AdamW {each}" for each in VARIANTS)], FORMATS
    )
]


def test_the_table_is_80_columns_wide_and_says_everything() -> None:
    text = table.text([*ROWS_IN_LOOP, *ROWS], 0.25)
    assert max(map(len, text.splitlines())) <= 80
    words = [*MEASURED, *CLASSES, *TORCH, CLIPPING, *VARIANTS, *FORMATS, "threads: "]
    for word in [*words, "minute before: 0.2"]:
        assert word in text
    assert text.index("perceptron: ") < text.index("16m: ")


def test_a_table_explains_its_own_columns_alone() -> None:
    assert "floor" not in table.text(ROWS_IN_LOOP, None)
    assert "iteration" not in table.text(ROWS, None)


def test_columns_never_touch() -> None:
    far = Spread(123.456, 99.999, 4_321.0)
    row = replace(ROWS[0], seconds=LONG, ratio=far, of_floor=far)
    line = next(
        line for line in table.text([row], None).splitlines() if "Adam " in line
    )
    assert line.split()[-3:] == ["123", "100-4,321", "123"]
    assert len(line) <= 80
    loop = replace(ROWS_IN_LOOP[0], name=CLIPPING, state="bfloat16")
    loop = replace(loop, ratio=far, iteration_ratio=far)
    line = next(
        line for line in table.text([loop], None).splitlines() if CLIPPING in line
    )
    assert line.split() == [
        *CLIPPING.split(), "bfloat16", "9,876,543", "15%", "123", "100-4,321",
        "9,877", "123", "100-4,321",
    ]  # fmt: skip
    assert len(line) <= 80


def test_json_holds_what_the_table_does() -> None:
    data = json.loads(json.dumps(table.data([*ROWS, *ROWS_IN_LOOP], 0.25)))
    assert len(data["rows"]) == len(ROWS) + len(ROWS_IN_LOOP)
    bounds = {"median": 1.0, "low": 0.9, "high": 1.1}
    assert data["rows"][0]["ratio"] == bounds
    assert data["rows"][0]["iteration_ratio"] is None
    assert data["rows"][-1]["ratio"] == data["rows"][-1]["iteration_ratio"] == bounds
    assert data["rows"][-1]["iteration"]["median"] == LONG.median
    assert data["machine"]["threads"] == torch.get_num_threads()
    assert data["machine"]["load"] == 0.25


def test_names_ask_for_cases_and_classes() -> None:
    asked = command.request("16M,Layer,16m", "adamw", quick=True, in_loop=False)
    assert asked == Request(("16m", "layer"), ("AdamW",), run.QUICK_BUDGET)
    assert command.request(None, None, quick=False, in_loop=False) == Request()
    quick = command.request(None, None, quick=True, in_loop=True)
    assert quick == Request(tuple(TRAININGS), run.QUICK, run.QUICK_BUDGET)
    with pytest.raises(ValueError, match="did you mean resnet18"):
        command.request("resnet50", None, quick=False, in_loop=False)
    with pytest.raises(ValueError, match="no case is named '16m'"):
        command.request("16m", None, quick=False, in_loop=True)
    with pytest.raises(ValueError, match="no optimizer is named 'SGD'"):
        command.request(None, "SGD", quick=False, in_loop=False)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Request:
    """Ask for a small case of each kind; both stand among the known."""
    monkeypatch.setitem(MEASURED, "tiny", TINY)
    monkeypatch.setitem(MEASURED, "small", SMALL)
    return Request(("tiny", "small"), ("AdamW", "AMSGrad"), 0.0)


def test_the_measurement_prints_a_table_and_draws_a_plot(
    small: Request, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "ratios.png"
    assert command.bench(small, as_json=False, plot=plot) == 0
    out, err = capsys.readouterr()
    assert "small: two matrices" in out
    assert "tiny: one layer" in out
    assert "6/6" not in err
    assert "0/6  tiny, torch" in err
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_picture_has_a_panel_for_each_question() -> None:
    several = table.panels([*ROWS, *ROWS_IN_LOOP])
    titles = [f"{case}, {what}" for case in TRAININGS for what in ("step", "iteration")]
    assert {panel.title for panel in several} == {*CASES, *titles}
    assert {mark.name for panel in several for mark in panel.marks} == {*CLASSES}


def test_the_loops_of_one_class_share_two_panels() -> None:
    alone = [row for row in ROWS_IN_LOOP if row.name == "AdamW"]
    step, iteration = table.panels(alone)
    assert (step.title, iteration.title) == ("AdamW: step", "AdamW: iteration")
    for panel in (step, iteration):
        assert {mark.name for mark in panel.marks} == {*TRAININGS}
        assert len(panel.marks) == len(alone)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("no/such/x.png", "no folder"), ("x.doc", "its ending must be")],
)
def test_a_plot_that_cannot_be_is_refused_before_the_measurement(
    name: str, sentence: str, small: Request, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=sentence):
        command.bench(
            replace(small, cases=("never",)), as_json=False, plot=tmp_path / name
        )


def test_json_is_all_there_is_on_the_output(
    small: Request, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.bench(small, as_json=True, plot=None) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["name"] for row in rows} >= {"AdamW", "AMSGrad", CLIPPING, *TORCH}
    assert {row["case"] for row in rows if row["iteration_ratio"]} == {"tiny"}


def test_an_interrupt_keeps_what_was_measured(
    small: Request, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run.run

    def interrupted(heat: Heat, budget: float) -> list[Row]:
        if heat.member == "AMSGrad":
            raise KeyboardInterrupt
        return whole(heat, budget)

    monkeypatch.setattr(run, "run", interrupted)
    asked = replace(small, cases=("small",))
    assert command.bench(asked, as_json=False, plot=None) == 130
    out = capsys.readouterr().out
    assert "AdamW" in out
    assert "AMSGrad" not in out


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_progress_says_how_long_the_rest_takes(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"s": 0.0}
    monkeypatch.setattr(measurement.time, "monotonic", lambda: now["s"])
    progress = measurement.Progress([3.0, 6.0, 2.0, 1.0], stream)
    progress.tell(Heat(SMALL, None), 0)
    now["s"] = 40.0
    progress.tell(Heat(SMALL, "AdamW"), 1)
    now["s"] = 41.0
    progress.tell(Heat(SMALL, "AdaX"), 2)
    progress.close()
    lines = stream.getvalue()
    assert "1/4  small, AdamW  2 min 00 s left" in lines
    # Where lines add up, there are few of them.
    assert ("AdaX" in lines) == stream.isatty()


def test_a_disturbed_measurement_says_so() -> None:
    wide = [replace(row, seconds=Spread(1.0, 0.6, 1.4)) for row in ROWS]
    calm = [replace(row, seconds=Spread(1.0, 0.99, 1.01)) for row in ROWS]
    assert "Disturbed" not in table.text(calm, None)
    assert f"Disturbed: in {len(ROWS)} of {len(ROWS)} rows" in table.text(wide, None)


def test_both_commands_are_on_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from mementum.cli import main

    assert main(["bench", "--cases", "nosuch"]) == 2
    assert "no case is named 'nosuch'" in capsys.readouterr().err
    for name in ("bench", "doctor"):
        with pytest.raises(SystemExit, match="0"):
            main([name, "--help"])
    out = capsys.readouterr().out
    assert all(name in out for name in MEASURED)

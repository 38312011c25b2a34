"""Whole optimizers on the path of GPUs, beside the same ones on the other paths."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tests.interpreted.bits import assert_same_standings, standing
from tests.torch.cases import members, settings
from torch.nn import Parameter

import mementum
from mementum import AdamW, AMSGrad
from mementum.torch import backends
from mementum.torch.backends import foreach, loop, native, triton
from mementum.torch.state.formats import FORMATS

# A whole block and more, a few, one that float8 takes, and another order in memory.
SHAPES = ((1030,), (7,), (16, 256))


@contextmanager
def without_triton(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(backends, "BACKENDS", (native, foreach, loop))
        yield


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Return a function that calls another where there is no Triton."""

    def call(made: Callable[[], Any]) -> Any:
        with without_triton(monkeypatch):
            return made()

    return call


LOOP = {"foreach": False, "fused": False}


def parameters(shapes=SHAPES, dtype=torch.float32, seed: int = 0) -> list[Parameter]:
    source = torch.Generator().manual_seed(seed)
    return [Parameter(torch.randn(s, generator=source).to(dtype)) for s in shapes]


def gradients(params: list[Parameter], seed: int) -> None:
    source = torch.Generator().manual_seed(100 + seed)
    for param in params:
        param.grad = torch.randn(param.shape, generator=source).to(param.dtype)


def trained(
    build: Callable[[list[Parameter]], Any], steps: int = 2, **made: Any
) -> Any:
    """Return parameters and state after some steps."""
    params = parameters(**made)
    optimizer = build(params)
    for step in range(steps):
        gradients(params, step)
        optimizer.step()
    return standing(params, optimizer)


@settings
def test_every_recipe_is_stepped_as_elsewhere(member, options, elsewhere):
    def run() -> Any:
        return trained(lambda params: member(params, **options), shapes=((40,), (5, 3)))

    assert_same_standings(run(), elsewhere(run))


@members
@pytest.mark.parametrize("form", FORMATS[1:])
def test_every_class_keeps_low_moments_as_elsewhere(member, form, elsewhere):
    def run() -> Any:
        return trained(lambda ps: member(ps, state_dtype=form), shapes=((16, 256),))

    assert_same_standings(run(), elsewhere(run))


@pytest.mark.parametrize("form", FORMATS)
def test_training_the_digits_ends_with_the_bits_of_a_cpu(form, elsewhere):
    images, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    images = images[:256].to(torch.float32) / 16

    def run() -> Any:
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
        )
        optimizer = mementum.AdaX(model.parameters(), state_dtype=form, lr=5e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
        for _ in range(12):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images), labels[:256])
            loss.backward()
            optimizer.step()
            schedule.step()
        return standing(list(model.parameters()), optimizer)

    assert_same_standings(run(), elsewhere(run))


# --- what the device alone knows ------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_captured_steps_are_those_of_the_loop(form):
    def run(**flags: Any) -> Any:
        return trained(
            lambda ps: AMSGrad(ps, state_dtype=form, capturable=True, **flags)
        )

    assert_same_standings(run(), run(foreach=False, fused=False))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("overflows", [False, True])
def test_a_scaler_is_obeyed_as_by_the_loop(form, overflows):
    def run(**flags: Any) -> Any:
        def build(params: list[Parameter]) -> Any:
            optimizer = AMSGrad(params, state_dtype=form, capturable=True, **flags)
            optimizer.grad_scale = torch.tensor(8.0)
            optimizer.found_inf = torch.tensor(float(overflows))
            return optimizer

        return trained(build, shapes=((1030,), (16, 256)))

    assert_same_standings(run(), run(foreach=False, fused=False))


def test_an_overflow_leaves_all_as_it_was_but_for_a_count():
    params = parameters()
    optimizer = AdamW(params, capturable=True)
    gradients(params, 0)
    optimizer.step()
    before = standing(params, optimizer)
    params[0].grad[5] = float("inf")
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert_same_standings(before, standing(params, optimizer))
    assert optimizer.skipped_steps == 1


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("path", [{}, {"foreach": True}, LOOP], ids=str)
def test_a_step_that_is_skipped_holds_what_is_infinite(form, path):
    params = parameters(((20, 256),))
    optimizer = AMSGrad(params, capturable=True, state_dtype=form, **path)
    gradients(params, 0)
    # Its square is infinite, and the parameter stays finite.
    params[0].grad[0, 0] = 1e20
    optimizer.step()
    before = standing(params, optimizer)
    assert torch.isfinite(before[0]["param"]).all()
    params[0].grad[3, 3] = float("nan")
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert_same_standings(before, standing(params, optimizer))


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("bad", [float("inf"), float("nan"), 1e30])
@pytest.mark.parametrize("flags", [{}, {"foreach": False, "fused": False}], ids=str)
def test_captured_steps_skip_gradients_that_are_not_finite(clip_norm, bad, flags):
    params = parameters(((50,), (8,)))
    optimizer = AdamW(
        params, capturable=True, nonfinite="skip", clip_norm=clip_norm, **flags
    )
    gradients(params, 0)
    optimizer.step()
    before = standing(params, optimizer)
    params[0].grad[3] = bad
    optimizer.step()
    after = standing(params, optimizer)
    finite = bool(np.isfinite(bad))
    assert optimizer.skipped_steps == (not finite)
    if finite:
        assert not torch.equal(before[0]["param"], after[0]["param"])
    else:
        assert_same_standings(before, after)


def test_large_float64_gradients_are_not_taken_for_infinite():
    params = parameters(((50,),), torch.float64)
    optimizer = AdamW(params, capturable=True, nonfinite="skip")
    params[0].grad = torch.full((50,), 1e200, dtype=torch.float64)
    optimizer.step()
    assert optimizer.skipped_steps == 0


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("clip_norm", [0.5, 1e6])
def test_clipping_by_a_factor_on_the_device_is_clipping(
    capturable, clip_norm, elsewhere
):
    """The norm is added up in another order: by n additions of a unit of 2**-53."""

    def run(**flags: Any) -> Any:
        params = parameters()
        optimizer = AdamW(params, clip_norm=clip_norm, capturable=capturable, **flags)
        gradients(params, 0)
        optimizer.step()
        return params, optimizer

    (ours, own), (theirs, other) = run(), elsewhere(run)
    assert own.clipped_steps == other.clipped_steps == (clip_norm < 1)
    count = sum(param.numel() for param in ours)
    assert own.gradient_norm == pytest.approx(other.gradient_norm, rel=count * 2**-53)
    for one, two in zip(ours, theirs, strict=True):
        # A factor that is the next number moves a step by as much: 1e-3 of the weight.
        torch.testing.assert_close(one, two, rtol=2**-23, atol=0)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str
)
def test_sums_of_squares_are_those_of_exact_squares(dtype):
    shapes = ((9000,), (4096,), (5,), (70, 64))
    grads = [param.detach() for param in parameters(shapes, dtype)]
    grads.append(grads[3].t()[::2])
    found = triton.square_sums(grads)
    again = triton.square_sums([grad.clone() for grad in grads])
    assert torch.equal(found, again)
    for grad, total in zip(grads, found, strict=True):
        squares = grad.double().square().flatten().tolist()
        # Each of log2(n) and more additions in a row rounds once.
        assert float(total) == pytest.approx(sum(squares), rel=9000 * 2**-53)


# --- where it runs --------------------------------------------------------------------


def runs_by(optimizer: Any) -> set[str]:
    lines = optimizer.explain().splitlines()
    return {line.rsplit(" ", 1)[1] for line in lines if "run by" in line}


def test_the_interpreter_comes_first_and_foreach_may_be_asked_for():
    assert runs_by(AdamW(parameters())) == {"triton"}
    assert runs_by(AdamW(parameters(), fused=True)) == {"triton"}
    assert runs_by(AdamW(parameters(), foreach=True)) == {"foreach"}
    assert runs_by(AdamW(parameters(), capturable=True)) == {"triton"}
    assert runs_by(AdamW(parameters(), foreach=False, fused=False)) == {"loop"}


def test_a_parameter_with_gaps_is_stepped_elsewhere_and_it_is_said(elsewhere):
    def run() -> Any:
        wide = torch.arange(24.0).reshape(4, 6)
        params = [Parameter(wide[:, ::2]), Parameter(torch.ones(40))]
        optimizer = AdamW(params)
        gradients(params, 0)
        optimizer.step()
        gradients(params, 1)
        optimizer.step()
        return params, optimizer

    params, optimizer = run()
    others, other = elsewhere(run)
    assert_same_standings(standing(params, optimizer), standing(others, other))
    said = optimizer.explain()
    assert "gaps between its elements" in said
    assert runs_by(optimizer) == {"triton", "native" if native.library() else "foreach"}


@pytest.mark.parametrize("form", FORMATS)
def test_channels_last_is_numbered_as_any_other_layout(form, elsewhere):
    def run() -> Any:
        source = torch.Generator().manual_seed(0)
        values = torch.randn(8, 64, 3, 3, generator=source)
        param = Parameter(values.to(memory_format=torch.channels_last))
        optimizer = AMSGrad([param], state_dtype=form)
        for step in range(2):
            gradients([param], step)
            if step:
                param.grad = param.grad.to(memory_format=torch.channels_last)
            optimizer.step()
        return standing([param], optimizer)

    assert_same_standings(run(), elsewhere(run))


def test_state_that_lies_otherwise_than_its_parameter_stays_the_users(elsewhere):
    def run() -> Any:
        params = [Parameter(torch.randn(30, 40, generator=torch.Generator()))]
        optimizer = AdamW(params)
        gradients(params, 0)
        optimizer.step()
        kept = optimizer.state[params[0]]
        kept["momentum"] = kept["momentum"].t().contiguous().t()
        mine = kept["momentum"]
        for step in (1, 2, 3):
            gradients(params, step)
            optimizer.step()
        assert kept["momentum"] is mine
        return standing(params, optimizer)

    assert_same_standings(run(), elsewhere(run))


def test_no_copy_and_no_moment_outlives_a_step():
    params = [Parameter(torch.randn(8, 4, 3, 3).to(memory_format=torch.channels_last))]
    optimizer = AdamW(params)
    for step in range(3):
        gradients(params, step)
        optimizer.step()
        kept = optimizer.state[params[0]]
        kept["momentum"] = kept["momentum"].contiguous()
    gone = weakref.ref(kept["momentum"])
    kept["momentum"] = torch.zeros(8, 4, 3, 3)
    del kept
    assert gone() is None


def test_complex_parameters_are_stepped_as_pairs(elsewhere):
    def run() -> Any:
        source = torch.Generator().manual_seed(0)
        values = torch.randn(20, 3, generator=source, dtype=torch.complex64)
        param = Parameter(values)
        optimizer = AdamW([param])
        for _ in range(2):
            param.grad = torch.randn(20, 3, generator=source, dtype=torch.complex64)
            optimizer.step()
        return standing([param], optimizer)

    assert_same_standings(run(), elsewhere(run))


@pytest.mark.parametrize("spoil", ["freed", "repeats"])
def test_memory_that_no_step_can_use_is_refused_before_anything_changes(spoil):
    params = parameters(((40,), (30, 4)))
    optimizer = AdamW(params)
    gradients(params, 0)
    optimizer.step()
    gradients(params, 1)
    kept = optimizer.state[params[1]]
    if spoil == "freed":
        params[1].grad.untyped_storage().resize_(0)
    else:
        kept["momentum"] = torch.zeros(1).expand(30, 4)
    before = params[0].detach().clone()
    with pytest.raises(RuntimeError, match=r"AdamW: .*clone"):
        optimizer.step()
    assert torch.equal(before, params[0])
    assert optimizer.state[params[0]]["step"] == 1


def test_nothing_is_sent_or_found_out_again_while_nothing_moves(monkeypatch):
    params = parameters()
    optimizer = AdamW(params, state_dtype="bfloat16")
    for step in range(3):
        gradients(params, step)
        optimizer.step()
    built: list[Any] = []
    real = triton.plan.build
    monkeypatch.setattr(triton.plan, "build", lambda b: built.append(b) or real(b))
    for step in range(2):
        gradients(params, step)
        optimizer.step()
    assert not built


def test_a_norm_that_is_added_up_elsewhere_is_said_to_be():
    said = "the factor may differ from a CPU's in the last place"
    assert said in AdamW(parameters(), clip_norm=1.0).explain()
    assert said not in AdamW(parameters()).explain()

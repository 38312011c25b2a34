"""Moments stored below float32: what is stored, what it costs, what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from tests.torch.state.moments import (
    LOW_FORMATS,
    assert_same,
    copies,
    give_gradients,
    parameters,
)
from torch import Tensor

from mementum.family.noise import key
from mementum.torch import AdamNX, AdamW, AdaX, AMSGrad
from mementum.torch.state import formats, rounding
from mementum.torch.state.formats import BFLOAT16, FLOAT8, AsComputed
from mementum.torch.state.moments import MOMENTS

# Rows of whole blocks, and with a rest.
SHAPES = (64, 256), (33, 517)
FORMATS = (
    AsComputed(torch.float32),
    AsComputed(torch.float64),
    AsComputed(torch.complex64),
    BFLOAT16,
    FLOAT8,
)

every_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
every_moment = pytest.mark.parametrize("moment", MOMENTS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def numbers(form, moment, shape) -> Tensor:
    """Return numbers that span eight octaves; squares are not negative."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(shape, dtype=torch.float64, generator=generator)
    drawn = drawn * 2.0 ** torch.randint(-7, 1, shape, generator=generator)
    return (drawn if moment == "momentum" else drawn * drawn).to(form.computed)


def noise(shape, step: int = 1) -> Tensor:
    return rounding.words(
        key(0, "a test", step), torch.Size(shape), torch.device("cpu")
    )


# --- What every format does -----------------------------------------------------------


@every_shape
@every_format
def test_a_moment_begins_at_zero_and_costs_what_it_says(form, shape):
    stored = form.zeros(torch.ones(shape, dtype=form.computed))
    assert formats.recognize(stored[0]) == form
    assert len(stored) == len(form.suffixes)
    assert stored[0].shape == shape
    for moment in MOMENTS:
        assert torch.equal(
            form.decode(moment, stored), torch.zeros(shape, dtype=form.computed)
        )
    cost = sum(tensor.untyped_storage().nbytes() for tensor in stored)
    assert cost == form.nbytes(torch.Size(shape))


@every_shape
@every_moment
@every_format
def test_what_is_decoded_is_encoded_as_itself(form, moment, shape):
    stored = form.encode(moment, numbers(form, moment, shape), noise(shape))
    assert all(
        map(
            torch.equal,
            stored,
            form.encode(moment, form.decode(moment, stored), noise(shape, 2)),
        )
    )


@every_moment
@every_format
def test_a_stored_number_is_near_the_number(form, moment):
    number = numbers(form, moment, SHAPES[1])
    stored = form.encode(moment, number, noise(SHAPES[1]))
    # Three bits of mantissa at the least, or else, 15 octaves below the largest, the
    # smallest code: less than 2**-14 of it.
    size = number.abs()
    off = (form.decode(moment, stored) - number).abs()
    assert (off <= torch.maximum(size * 2.0**-3, size.max() * 2.0**-14)).all()


@every_format
def test_a_peak_is_rounded_to_the_nearest_without_noise(form):
    peak = numbers(form, "peak", SHAPES[1])
    stored = form.encode("peak", peak, None)
    assert all(map(torch.equal, stored, form.encode("peak", peak, noise(SHAPES[1]))))


@every_moment
@every_format
def test_a_state_has_the_moment_under_its_names(form, moment):
    param = torch.ones(SHAPES[1], dtype=form.computed)
    stored = form.encode(moment, numbers(form, moment, SHAPES[1]), noise(SHAPES[1]))
    state = formats.entries(form, moment, stored)
    assert set(state) == {moment + suffix for suffix in form.suffixes}
    assert all(map(torch.equal, formats.tensors(form, moment, state), stored))
    assert torch.equal(formats.decode(moment, state), form.decode(moment, stored))
    form.check("it has one", moment, state, None)
    for tensor in stored:
        copy = form.copy(param, tensor)
        assert torch.equal(copy, tensor)
        assert copy.data_ptr() != tensor.data_ptr()


@every_format
def test_a_scale_is_refused_where_it_is_missing_or_not_wanted(form):
    state = formats.entries(form, "square", form.zeros(torch.ones(SHAPES[0])))
    if state.pop("square_scale", None) is None:
        state["square_scale"] = torch.zeros(64, 1, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"^it has one of .* scale"):
        form.check("it has one", "square", state, None)


@every_format
def test_a_square_below_zero_is_refused_where_it_can_be_stored(form):
    param = -torch.ones(SHAPES[0], dtype=form.computed)
    (square, *rest) = form.encode("square", param, noise(SHAPES[0]))
    state = formats.entries(form, "square", (square, *rest))
    if form == FLOAT8:
        assert form.decode("square", (square, *rest)).isnan().all()
        return
    with pytest.raises(ValueError, match=r"^it has one below zero"):
        form.check("it has one", "square", state, None)


# --- What is kept ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state_dtype", "bytes_each"),
    [(None, 8), ("float32", 8), (torch.bfloat16, 4), ("float8", 2 + 2 / 256)],
)
def test_bytes_of_state_per_parameter(state_dtype, bytes_each):
    param = torch.nn.Parameter(torch.zeros(64, 1024))
    optimizer = AdamW([param], state_dtype=state_dtype)
    param.grad = torch.ones_like(param)
    optimizer.step()
    kept = sum(
        tensor.untyped_storage().nbytes()
        for tensor in optimizer.state[param].values()
        if isinstance(tensor, Tensor)
    )
    assert kept == bytes_each * param.numel()


def test_float8_leaves_vectors_and_small_tensors_float32():
    params = parameters()
    optimizer = AdamW(params, state_dtype="float8")
    give_gradients(1, params)
    optimizer.step()
    for param in params:
        low = param.dim() >= 2 and param.numel() >= 4096
        expected = torch.uint8 if low else torch.float32
        assert optimizer.state[param]["square"].dtype == expected


@pytest.mark.parametrize("state_dtype", LOW_FORMATS)
def test_a_moment_that_does_not_change_is_not_rounded_again(state_dtype):
    # With betas of zero a moment is its newest sample, which here stays the same.
    param = torch.nn.Parameter(torch.zeros(32, 300))
    optimizer = AMSGrad([param], betas=(0.0, 0.0), state_dtype=state_dtype)
    generator = torch.Generator().manual_seed(0)
    grad = torch.randn(param.shape, generator=generator)
    # Powers of two are held exactly, where their range is that of a block.
    param.grad = 2.0 ** grad.mul(4).round().clamp(-6, 6)
    optimizer.step()
    before = {k: v.clone() for k, v in optimizer.state[param].items() if k != "step"}
    for _ in range(5):
        optimizer.step()
    for name, kept in before.items():
        assert torch.equal(kept, optimizer.state[param][name]), name


@pytest.mark.parametrize("state_dtype", LOW_FORMATS)
def test_a_peak_never_falls_and_rests_when_squares_are_smaller(state_dtype):
    param = torch.nn.Parameter(torch.zeros(32, 300))
    optimizer = AMSGrad([param], state_dtype=state_dtype)

    generator = torch.Generator().manual_seed(0)
    before = torch.zeros_like(param)
    for step in range(200):
        scale = 1.0 if step < 100 else 1e-3
        param.grad = torch.randn(param.shape, generator=generator) * scale
        optimizer.step()
        after = formats.decode("peak", optimizer.state[param])
        assert (after >= before).all()
        if step > 100:
            assert torch.equal(after, before)
        before = after


@pytest.mark.parametrize("state_dtype", LOW_FORMATS)
@pytest.mark.parametrize("member", [AdaX, AMSGrad])
def test_resuming_is_exact(member, state_dtype, tmp_path):
    flags = {"state_dtype": state_dtype, "stochastic_rounding": True, "seed": 5}
    params = parameters(torch.bfloat16)
    optimizer = member(params, **flags)
    for step in range(3):
        give_gradients(step, params)
        optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    others = copies(params)
    other = member(others, state_dtype=state_dtype)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for step in range(3, 6):
        give_gradients(step, params, others)
        optimizer.step()
        other.step()
    assert_same(optimizer, other, params, others)


@pytest.mark.parametrize("state_dtype", LOW_FORMATS)
def test_noise_follows_a_name_through_groups_and_orders(state_dtype):
    params = parameters()
    others = copies(params)
    named = [(f"layer {i}", p) for i, p in enumerate(params)]
    renamed = [(f"layer {i}", p) for i, p in enumerate(others)]
    optimizer = AdamNX(named, state_dtype=state_dtype)
    other = AdamNX(
        [{"params": renamed[5:][::-1]}, {"params": renamed[:5]}],
        state_dtype=state_dtype,
    )
    for step in range(3):
        give_gradients(step, params, others)
        optimizer.step()
        other.step()
    assert_same(optimizer, other, params, others)


def test_another_seed_rounds_otherwise():
    params = parameters()
    others = copies(params)
    optimizer = AdamW(params, state_dtype="float8")
    other = AdamW(others, state_dtype="float8", seed=1)
    give_gradients(1, params, others)
    optimizer.step()
    other.step()
    # Where the state is the same, so is the first step's parameter.
    kept, different = optimizer.state[params[3]], other.state[others[3]]
    assert not torch.equal(kept["square"], different["square"])
    assert not torch.equal(kept["momentum"], different["momentum"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_small_updates_of_a_low_parameter_are_lost_only_without_noise(dtype):
    moved = {}
    for noisy in (False, True):
        param = torch.nn.Parameter(torch.ones(64, 64, dtype=dtype))
        optimizer = AdamW([param], lr=1e-4, weight_decay=0.0, stochastic_rounding=noisy)
        for _ in range(500):
            param.grad = torch.ones_like(param)
            optimizer.step()
        moved[noisy] = 1 - param.to(torch.float64).mean().item()
    assert moved[False] == 0
    # 500 steps of 1e-4, each to a multiple of d = 2**-8 (2**-11 in float16) up with a
    # chance of about 1e-4 / d: the variance of a step is at most d * 1e-4.
    deviation = math.sqrt(500 * 2.0**-8 * 1e-4 / 4096)
    assert moved[True] == pytest.approx(0.05, abs=4 * deviation)


# --- What is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"state_dtype": "int8"}, "state_dtype is 'int8'"),
        ({"state_dtype": torch.float16}, "state_dtype is 'float16'"),
        ({"state_dtype": "bfloat16", "differentiable": True}, "differentiable is True"),
        ({"state_dtype": "float8", "differentiable": True}, "differentiable is True"),
        ({"stochastic_rounding": True, "differentiable": True}, "stochastic_rounding"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, words):
    with pytest.raises(ValueError, match=words):
        AdamW([torch.nn.Parameter(torch.zeros(3))], **flags)


@pytest.mark.parametrize(
    "flags", [{"seed": 1.5}, {"seed": True}, {"stochastic_rounding": 1}]
)
def test_what_is_no_seed_and_no_switch_is_refused(flags):
    with pytest.raises(TypeError, match=next(iter(flags))):
        AdamW([torch.nn.Parameter(torch.zeros(3))], **flags)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64])
@pytest.mark.parametrize("state_dtype", ["float32", "bfloat16", "float8"])
def test_wide_parameters_are_not_kept_below_their_width(dtype, state_dtype):
    params = [("wide", torch.nn.Parameter(torch.zeros(3, dtype=dtype)))]
    with pytest.raises(ValueError, match="'wide': state_dtype is"):
        AdamW(params, state_dtype=state_dtype)


@pytest.mark.parametrize("saved", [None, "bfloat16", "float8"])
@pytest.mark.parametrize("wanted", [None, "bfloat16", "float8"])
def test_a_state_of_another_format_is_refused(saved, wanted):
    def stepped(state_dtype):
        param = torch.nn.Parameter(torch.zeros(64, 64))
        optimizer = AdamW([param], state_dtype=state_dtype)
        param.grad = torch.ones_like(param)
        optimizer.step()
        return optimizer

    source, target = stepped(saved), stepped(wanted)
    if saved == wanted:
        target.load_state_dict(source.state_dict())
        return
    with pytest.raises(ValueError, match=f"state_dtype={saved!r}"):
        target.load_state_dict(source.state_dict())
    forged = source.state_dict()
    forged["param_groups"][0]["state_dtype"] = wanted
    with pytest.raises(ValueError, match="use the state_dtype it was saved with"):
        target.load_state_dict(forged)


def test_changing_state_dtype_between_steps_is_refused():
    param = torch.nn.Parameter(torch.zeros(64, 64))
    optimizer = AdamW([param], state_dtype="float8")
    param.grad = torch.ones_like(param)
    optimizer.step()
    before = param.detach().clone()
    optimizer.param_groups[0]["state_dtype"] = "bfloat16"
    with pytest.raises(ValueError, match="state_dtype has become 'bfloat16'"):
        optimizer.step()
    assert torch.equal(param, before)


def test_float8_codes_without_their_scale_are_refused():
    param = torch.nn.Parameter(torch.zeros(64, 64))
    optimizer = AdamW([param], state_dtype="float8")
    param.grad = torch.ones_like(param)
    optimizer.step()
    state = optimizer.state_dict()
    del state["state"][0]["square_scale"]
    with pytest.raises(ValueError, match="no scale"):
        optimizer.load_state_dict(state)

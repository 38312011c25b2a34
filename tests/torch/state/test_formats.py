"""Moments stored below float32: what is stored, what it costs, and who agrees."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from mementum.family.noise import key
from mementum.torch import MEMBERS, AdamNX, AdamW, AdaX, AdaXW, AMSGrad
from mementum.torch.backends import native
from mementum.torch.state import rounding
from mementum.torch.state.rounding import Float8

CPU = torch.device("cpu")
DRAWS = 10**6
LOW_FORMATS = ("bfloat16", "float8")
PATHS = {"fused": True}, {"foreach": True}, {"foreach": False}
# Rows shorter than a block, of whole blocks, with a rest, and below float8's sizes.
SHAPES = (7,), (5000,), (64, 64), (33, 517), (600, 7), (4096, 1), (5, 3, 400), ()

pytestmark = pytest.mark.skipif(
    native.library() is None, reason="the kernel is not built"
)


def floats(patterns) -> Tensor:
    return torch.as_tensor(patterns).to(torch.int32).view(torch.float32)


def words(shape, step: int = 1) -> Tensor:
    return rounding.words(key(0, "a test", step), torch.Size(shape), CPU)


def every_code(octaves: int, signs: int) -> Float8:
    """Return, in a row for each exponent, all codes that a block can then hold."""
    exponents = torch.arange(255)[:, None]
    base = ((exponents - octaves) * 8).clamp(min=7)
    sizes = torch.arange(256 // signs)[None, :]
    top = exponents * 8 + 7 - base
    # The largest code lies in the octave that the exponent names.
    sizes = torch.where(sizes <= top, sizes, 0)
    sizes[:, -1] = torch.minimum(top[:, 0], torch.tensor(256 // signs - 1)).clamp(min=0)
    codes = torch.cat([sizes + 128 * sign for sign in range(signs)], dim=1)
    return Float8(codes.to(torch.uint8), exponents.to(torch.uint8))


# --- What a code stands for -----------------------------------------------------------


@pytest.mark.parametrize("step", range(4))
def test_a_float8_code_is_encoded_as_itself_whatever_the_noise(step):
    squares, momenta = every_code(31, 1), every_code(15, 2)
    encoded = rounding.encoded_square(
        rounding.decoded_square(squares), words(squares.codes.shape, step)
    )
    assert torch.equal(encoded.codes, squares.codes)
    assert torch.equal(encoded.scale, squares.scale)
    nearest = rounding.encoded_square(rounding.decoded_square(squares), None)
    assert torch.equal(nearest.codes, squares.codes)
    encoded = rounding.encoded_momentum(
        rounding.decoded_momentum(momenta), words(momenta.codes.shape, step)
    )
    assert torch.equal(encoded.codes, momenta.codes)
    assert torch.equal(encoded.scale, momenta.scale)


@pytest.mark.parametrize("step", range(4))
def test_every_bfloat16_and_float16_is_rounded_to_itself(step):
    patterns = torch.arange(-(2**15), 2**15).to(torch.int16)
    noise = words(patterns.shape, step)
    for dtype in (torch.bfloat16, torch.float16):
        every = patterns.view(dtype)
        number = ~every.isnan()
        rounded = rounding.parameter(every.to(torch.float32), noise, dtype)
        assert torch.equal(rounded[number].view(torch.int16), patterns[number])
        assert rounded[~number].isnan().all()
    every = patterns.view(torch.bfloat16)
    number = ~every.isnan()
    rounded = rounding.bfloat16_momentum(every.to(torch.float32), noise)
    assert torch.equal(rounded[number], every[number])
    rounded = rounding.bfloat16_square(every.to(torch.float32), noise)
    assert torch.equal(rounded[number], every[number])


def test_codes_stand_for_rising_numbers_and_none_is_denormal():
    for decoded, stored in (
        (rounding.decoded_square, every_code(31, 1)),
        (rounding.decoded_momentum, every_code(15, 2)),
    ):
        numbers = decoded(stored)
        assert numbers.isfinite().all()
        assert ((numbers == 0) | (numbers.abs() >= 2.0**-126)).all()
    rising = rounding.decoded_square(every_code(31, 1))[200]
    assert (rising.diff() > 0)[:-1].all()


# --- How far a stored number is off ---------------------------------------------------


def spread_out(shape, seed: int) -> Tensor:
    """Return numbers whose rows span from two octaves to all of float32."""
    generator = torch.Generator().manual_seed(seed)
    span = torch.linspace(2, 270, shape[0], dtype=torch.float64)[:, None]
    share = torch.rand(shape, generator=generator, dtype=torch.float64)
    exponents = (share - 0.55) * span
    signs = torch.randint(0, 2, shape, generator=generator) * 2 - 1
    mantissa = 1 + torch.rand(shape, generator=generator, dtype=torch.float64)
    return (signs * mantissa * 2.0**exponents).to(torch.float32)


def spacing(x: Tensor, bits: int) -> Tensor:
    """Return the distance between numbers of `bits` of mantissa around each of x."""
    _, exponent = torch.frexp(x.to(torch.float64))
    return 2.0 ** (exponent.to(torch.float64) - 1 - bits)


def floors(stored: Float8, octaves: int) -> Tensor:
    """Return the smallest number but zero that each element's block can hold."""
    base = ((stored.scale.to(torch.int64) - octaves) * 8).clamp(min=7)
    smallest = floats((base + 1) << 20).to(torch.float64)
    return smallest.repeat_interleave(256, 1)[:, : stored.codes[0].numel()]


@pytest.mark.parametrize("seed", range(3))
def test_no_float8_element_is_off_by_a_spacing(seed):
    x = spread_out((400, 700), seed)
    noise = words(x.shape, seed)
    for number, octaves, encode, decode in (
        (x.abs(), 31, rounding.encoded_square, rounding.decoded_square),
        (x, 15, rounding.encoded_momentum, rounding.decoded_momentum),
    ):
        stored = encode(number, noise)
        floor = floors(stored, octaves)
        exact, kept = number.to(torch.float64), decode(stored).to(torch.float64)
        below = exact.abs() < floor
        # Below the range, what is stored is one of the two neighbours, zero and floor.
        assert ((kept == 0) | (kept.abs() == floor))[below].all()
        assert ((kept - exact).abs() < spacing(number, 3))[~below].all()


@pytest.mark.parametrize("seed", range(3))
def test_no_bfloat16_element_is_off_by_a_spacing(seed):
    x = spread_out((400, 700), seed)
    noise = words(x.shape, seed)
    for rounded, exact in (
        (rounding.bfloat16_square(x.abs(), noise), x.abs()),
        (rounding.bfloat16_momentum(x, noise), x),
        (rounding.parameter(x, noise, torch.bfloat16), x),
    ):
        off = (rounded.to(torch.float64) - exact.to(torch.float64)).abs()
        assert (off < spacing(exact, 7).clamp(min=2.0**-133)).all()


def test_a_square_is_stored_as_zero_only_if_it_is_zero():
    x = torch.zeros(4, 300)
    x[0, 0], x[0, 1] = 3e38, 1e-45
    x[1, 0], x[1, 1] = 1e-45, 1e-30
    x[2, 5] = 1e-45
    for step in range(20):
        noise = words(x.shape, step)
        stored = rounding.encoded_square(x, noise)
        assert torch.equal(stored.codes != 0, x != 0)
        assert torch.equal(rounding.decoded_square(stored) != 0, x != 0)
        assert torch.equal(rounding.bfloat16_square(x, noise) != 0, x != 0)


def test_no_finite_number_becomes_infinite_and_what_is_not_finite_stays():
    largest = torch.finfo(torch.float32).max
    x = torch.full((2, 256), largest)
    x[1, :3] = torch.tensor([math.inf, math.nan, 1.0])
    for step in range(20):
        noise = words(x.shape, step)
        square = rounding.decoded_square(rounding.encoded_square(x, noise))
        momentum = rounding.decoded_momentum(rounding.encoded_momentum(-x, noise))
        for stored in (
            square,
            -momentum,
            rounding.bfloat16_square(x, noise),
            -rounding.bfloat16_momentum(-x, noise),
            rounding.parameter(x, noise, torch.bfloat16),
        ):
            assert stored[0].isfinite().all()
            assert stored[1, 0] == math.inf
            assert stored[1, 1].isnan()


# --- Unbiased -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [1.0 + 2.0**-12, 1.0 + 2.0**-9, 1.3, 1.999, 3e-5, 2.0**-14 * 1.1, 1e-42],
)
@pytest.mark.parametrize("kind", ["square", "momentum", "negative", "parameter"])
def test_the_mean_of_what_is_stored_is_the_number(x, kind):
    number = torch.full((DRAWS // 250, 256), x)
    number[:, 0] = 2.0 if x > 1e-30 else x * 1.5
    noise = words(number.shape)
    stored = {
        "square": [
            rounding.bfloat16_square(number, noise),
            rounding.decoded_square(rounding.encoded_square(number, noise)),
        ],
        "momentum": [
            rounding.bfloat16_momentum(number, noise),
            rounding.decoded_momentum(rounding.encoded_momentum(number, noise)),
        ],
        "negative": [
            -rounding.bfloat16_momentum(-number, noise),
            -rounding.decoded_momentum(rounding.encoded_momentum(-number, noise)),
        ],
        "parameter": [
            rounding.parameter(number, noise, torch.bfloat16),
            rounding.parameter(number, noise, torch.float16),
        ],
    }[kind]
    for rounded in stored:
        drawn = rounded[:, 1:].to(torch.float64)
        if kind == "square" and (drawn == drawn[0, 0]).all():
            # Out of the block's range a square takes the smallest code: see the floor.
            continue
        low, high = drawn.min().item(), drawn.max().item()
        # A two-point distribution's deviation is at most half the distance of its
        # points, of which 16 bits of noise resolve 2**-16, and a momentum's 2**-12.
        bits = 16 if kind in ("square", "parameter") else 12
        sigma = (high - low) / 2 / math.sqrt(drawn.numel())
        resolution = (high - low) * 2.0**-bits
        if rounded.dtype == torch.float16:
            resolution += 2.0**-40
        assert abs(drawn.mean().item() - number[0, 1].item()) <= 4 * sigma + resolution


# --- All paths, threads and instruction sets ------------------------------------------


def parameters(dtype=torch.float32, seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(shape, generator=generator) for shape in SHAPES]
    tensors.append(torch.randn(80, 60, generator=generator).t())
    tensors.append(
        torch.randn(8, 16, 6, 7, generator=generator).to(
            memory_format=torch.channels_last
        )
    )
    tensors.append(torch.randn(70, 200, generator=generator)[:, ::2])
    return [torch.nn.Parameter(tensor.to(dtype)) for tensor in tensors]


def copies(params: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    kept = [torch.empty_strided(p.shape, p.stride(), dtype=p.dtype) for p in params]
    for copy, param in zip(kept, params, strict=True):
        copy.copy_(param.detach())
    return [torch.nn.Parameter(copy) for copy in kept]


def give_gradients(step: int, *lists: list[torch.nn.Parameter]) -> None:
    """Give parameters gradients that span ten decades, and none at all at step 3."""
    generator = torch.Generator().manual_seed(step)
    for row in zip(*lists, strict=True):
        shape, dtype = row[0].shape, row[0].dtype
        decades = torch.randint(-9, 2, shape, generator=generator)
        grad = torch.randn(shape, generator=generator) * 10.0**decades
        grad = grad * (step != 3)
        for param in row:
            param.grad = grad.to(dtype)


def assert_same(one, other, params, others) -> None:
    for p, q in zip(params, others, strict=True):
        assert torch.equal(p, q)
        assert one.state[p].keys() == other.state[q].keys()
        for name, kept in one.state[p].items():
            if name != "step":
                assert torch.equal(kept, other.state[q][name]), name


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize(
    ("dtype", "state_dtype", "rounding"),
    [
        (torch.float32, "bfloat16", False),
        (torch.float32, "float8", False),
        (torch.bfloat16, "float8", True),
        (torch.float16, "bfloat16", True),
        (torch.bfloat16, None, True),
        (torch.float16, "float64", True),
    ],
)
def test_all_paths_store_the_same_bits(member, dtype, state_dtype, rounding):
    first = parameters(dtype)
    lists = [first, copies(first), copies(first)]
    optimizers = [
        member(
            params,
            **path,
            state_dtype=state_dtype,
            stochastic_rounding=rounding,
            seed=3,
        )
        for params, path in zip(lists, PATHS, strict=True)
    ]
    for step in range(5):
        give_gradients(step, *lists)
        for optimizer in optimizers:
            optimizer.step()
    for optimizer, params in zip(optimizers[1:], lists[1:], strict=True):
        assert_same(optimizers[0], optimizer, first, params)


@pytest.mark.parametrize("state_dtype", LOW_FORMATS)
@pytest.mark.parametrize("shape", [(1030, 2041), (2, 2**20 + 3)])
def test_threads_and_instruction_sets_store_the_same_bits(
    monkeypatch, shape, state_dtype
):
    param = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    grad = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    results = []
    available, before = native.isa(), torch.get_num_threads()
    cases = [(available, threads) for threads in (1, 2, 3, 7, 16)]
    cases += [(isa, 2) for isa in range(available)]
    for isa, threads in cases:
        monkeypatch.setattr(native, "isa", lambda isa=isa: isa)
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        p = torch.nn.Parameter(param.clone())
        optimizer = AMSGrad([p], state_dtype=state_dtype)
        for _ in range(2):
            p.grad = grad
            optimizer.step()
        results.append((optimizer, p))
    monkeypatch.undo()
    assert torch.get_num_threads() == before
    for optimizer, p in results[1:]:
        assert_same(results[0][0], optimizer, [results[0][1]], [p])


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

    def peak() -> Tensor:
        kept = optimizer.state[param]
        if state_dtype == "bfloat16":
            return kept["peak"].to(torch.float32)
        return rounding.decoded_square(Float8(kept["peak"], kept["peak_scale"]))

    generator = torch.Generator().manual_seed(0)
    before = torch.zeros_like(param)
    for step in range(200):
        scale = 1.0 if step < 100 else 1e-3
        param.grad = torch.randn(param.shape, generator=generator) * scale
        optimizer.step()
        after = peak()
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
        ({"state_dtype": "bfloat16", "capturable": True}, "capturable is True"),
        ({"state_dtype": "float8", "differentiable": True}, "differentiable is True"),
        ({"stochastic_rounding": True, "capturable": True}, "capturable is True"),
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


# --- Long memory ----------------------------------------------------------------------


def fallen(state_dtype) -> tuple[Tensor, Tensor]:
    """Return AdaX's square, stored and exact, long after the gradient fell tenfold."""
    param = torch.nn.Parameter(torch.zeros(16, 256))
    optimizer = AdaX([param], lr=0.0, weight_decay=0.0, state_dtype=state_dtype)
    exact = np.zeros((16, 256))
    generator = np.random.default_rng(0)
    rule = optimizer._rules_on_host()[0]
    for t in range(1, 10_001):
        grad = generator.standard_normal((16, 256), dtype=np.float32)
        grad *= np.float32(1.0 if t <= 1000 else 0.1)
        param.grad = torch.from_numpy(grad)
        optimizer.step()
        exact += rule.square.weight(t) * (grad.astype(np.float64) ** 2 - exact)
    kept = optimizer.state[param]
    square = kept["square"]
    if state_dtype == "float8":
        square = rounding.decoded_square(Float8(square, kept["square_scale"]))
    return square.to(torch.float64), torch.from_numpy(exact)


@pytest.mark.parametrize(
    ("state_dtype", "spread"), [(None, 1e-4), ("bfloat16", 0.12), ("float8", 0.5)]
)
def test_a_square_follows_a_gradient_that_falls_tenfold(state_dtype, spread):
    stored, exact = fallen(state_dtype)
    assert stored.mean().item() == pytest.approx(exact.mean().item(), rel=0.05)
    assert (stored / exact - 1).std().item() <= spread


def test_rounded_to_nearest_the_square_would_freeze():
    # The same average as above in plain operations, and the two ways to round.
    generator = torch.Generator().manual_seed(0)
    rule = AdaX([torch.nn.Parameter(torch.zeros(1))])._rules_on_host()[0]
    exact, noisy, nearest = (torch.zeros(16, 16) for _ in range(3))
    for t in range(1, 10_001):
        scale = 1.0 if t <= 1000 else 0.01
        sample = torch.randn(16, 16, generator=generator).square_() * scale
        weight = rule.square.weight(t)
        exact += weight * (sample - exact)
        noisy += weight * (sample - noisy)
        noisy.copy_(rounding.bfloat16_square(noisy, words(noisy.shape, t)))
        nearest += weight * (sample - nearest)
        nearest.copy_(nearest.to(torch.bfloat16))
    assert noisy.mean().item() == pytest.approx(exact.mean().item(), rel=0.05)
    assert nearest.mean() > 5 * exact.mean()


# --- A real task ----------------------------------------------------------------------


def trained(seed: int, state_dtype: str | None) -> float:
    """Return the loss on the digits after 1,000 steps of a small network."""
    images, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    images = images.to(torch.float32) / 16
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = torch.nn.Sequential(
            torch.nn.Linear(64, 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 10),
        )
    loss = torch.nn.functional.cross_entropy
    optimizer = AdaXW(net.parameters(), lr=1e-3, state_dtype=state_dtype, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(1000):
        batch = torch.randint(0, len(images), (64,), generator=generator)
        optimizer.zero_grad()
        loss(net(images[batch]), labels[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        return loss(net(images), labels).item()


def test_low_state_trains_the_digits_as_well_as_float32():
    losses = {
        state_dtype: sum(trained(seed, state_dtype) for seed in range(5)) / 5
        for state_dtype in (None, *LOW_FORMATS)
    }
    for state_dtype in LOW_FORMATS:
        assert losses[state_dtype] <= 1.01 * losses[None]

"""The keys of the noise: the same in any integers, all different, bits well mixed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mementum.family.noise import Key, identity, key, keys
from mementum.torch.state import rounding

Words = NDArray[np.uint64]

# From one on, around powers of two, and at the ends of what torch's float64 and int64
# and 64 bits can count.
STEPS = [
    *range(70),
    *(2**n + d for n in range(9, 63) for d in (-1, 0, 1)),
    *(2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1),
]
NAMES = ["weight", "bias", "layers.0.weight", "layers.1.weight", 0, 1, 2, 10**6]
IDENTITIES = [identity(0, name) for name in NAMES] + [0, 1, 2**63, 2**64 - 1]


# --- Other renderings -----------------------------------------------------------------


def in_python(one: int, step: int) -> int:
    """Return a key in whole numbers without bounds, cut to 64 bits by hand."""

    def mixed(x: int) -> int:
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        return x ^ (x >> 31)

    return mixed(one ^ mixed(0x9E3779B97F4A7C15 * step % 2**64))


def in_halves(one: int, step: int) -> int:
    """Return a key in pairs of uint32, low and high, as where there is no uint64."""
    Half = np.uint32
    Pair = tuple[np.ndarray, np.ndarray]

    def pair(x: int) -> Pair:
        return np.array([x % 2**32], Half), np.array([x >> 32], Half)

    def times(a: np.ndarray, b: np.ndarray) -> Pair:
        """Return the whole product of two words, from those of their halves."""
        low, high, mask = a & Half(0xFFFF), a >> Half(16), Half(0xFFFF)
        bottom, top = b & mask, b >> Half(16)
        first, middle = low * bottom, high * bottom
        other = low * top + (first >> Half(16)) + (middle & mask)
        carried = (middle >> Half(16)) + (other >> Half(16))
        return (first & mask) | (other << Half(16)), high * top + carried

    def multiplied(x: Pair, multiplier: int) -> Pair:
        (low, high), (bottom, top) = x, pair(multiplier)
        first, carried = times(low, bottom)
        return first, carried + low * top + high * bottom

    def shaken(x: Pair, shift: int) -> Pair:
        low, high = x
        moved = (low >> Half(shift)) | (high << Half(32 - shift))
        return low ^ moved, high ^ (high >> Half(shift))

    def mixed(x: Pair) -> Pair:
        x = multiplied(shaken(x, 30), 0xBF58476D1CE4E5B9)
        x = multiplied(shaken(x, 27), 0x94D049BB133111EB)
        return shaken(x, 31)

    moved = mixed(multiplied(pair(step), 0x9E3779B97F4A7C15))
    low, high = mixed(tuple(a ^ b for a, b in zip(pair(one), moved, strict=True)))
    return int(low[0]) | int(high[0]) << 32


def in_torch(one: int, step: int) -> int:
    """Return a key in torch's int64."""

    def tensor(x: int) -> torch.Tensor:
        return torch.from_numpy(np.array([x], np.uint64).view(np.int64))

    return int(rounding.keys(tensor(one), tensor(step)).numpy().view(np.uint64)[0])


@pytest.mark.parametrize("rendering", [in_python, in_halves, in_torch])
def test_every_rendering_gives_the_keys_of_the_definition(
    rendering: Callable[[int, int], int],
) -> None:
    identities = np.array(IDENTITIES, dtype=np.uint64)
    for step in STEPS:
        expected = [rendering(one, step) for one in IDENTITIES]
        assert keys(identities, step).tolist() == expected


def test_keys_are_settled() -> None:
    # Checkpoints resume with the bits of the version that wrote them. Step 1 is mixed
    # to 0xE220A8397B1DCDAF, the first number of SplitMix64 from the seed 0.
    mixed = np.array([0xE220A8397B1DCDAF], dtype=np.uint64)
    assert keys(mixed, 1).tolist() == [0]
    assert keys(np.zeros(1, dtype=np.uint64), 1).tolist() == [5197578548964807871]
    assert key(0, "weight", 1) == Key(4094505870, 3805824144)


# --- Different from one another -------------------------------------------------------


def test_a_key_is_its_two_words() -> None:
    one = np.array([identity(7, "w", "parameter")], dtype=np.uint64)
    first, second = key(7, "w", 123, "parameter")
    assert keys(one, 123).tolist() == [first | second << 32]


def test_no_two_parameters_or_steps_share_a_key() -> None:
    # Of 2**20 numbers of 64 bits two would be equal with a chance of 2**-25.
    identities = np.array([identity(0, i) for i in range(1 << 10)], dtype=np.uint64)
    steps = np.arange(1 << 10, dtype=np.uint64)
    drawn = keys(identities[:, None], steps)
    assert np.unique(drawn).size == drawn.size == 1 << 20


# --- Bits -----------------------------------------------------------------------------


def flipped(drawn: Words, other: Words) -> NDArray[np.float64]:
    """Return how often each bit of a key differs."""
    bits = np.unpackbits((drawn ^ other).view(np.uint8).reshape(-1, 8), axis=1)
    share: NDArray[np.float64] = bits.mean(axis=0)
    return share


DRAWS = 1 << 14
RANDOM = np.random.default_rng(0).integers(2**64, size=(2, DRAWS), dtype=np.uint64)
SEQUENCES: dict[str, tuple[Words, Words]] = {
    "one parameter in successive steps": (
        np.full(DRAWS, identity(0, "weight"), dtype=np.uint64),
        np.arange(1, DRAWS + 1, dtype=np.uint64),
    ),
    "parameters in successive steps": (
        RANDOM[0],
        np.arange(1, DRAWS + 1, dtype=np.uint64),
    ),
    "parameters in one step": (RANDOM[0], np.full(DRAWS, 1, dtype=np.uint64)),
    "parameters in any step": (RANDOM[0], RANDOM[1]),
}
sequences = pytest.mark.parametrize(
    ("identities", "steps"), SEQUENCES.values(), ids=SEQUENCES.keys()
)

# Each share is the mean of DRAWS fair coins, with a standard deviation of half a root.
# The largest of 64 * 64 is beyond 6 of them once in 120,000 sequences.
BOUND = 6 * 0.5 / math.sqrt(DRAWS)


@sequences
def test_each_bit_of_a_step_flips_each_bit_of_a_key_half_of_the_time(
    identities: Words, steps: Words
) -> None:
    before = keys(identities, steps)
    for bit in range(64):
        after = keys(identities, steps ^ np.uint64(1 << bit))
        assert np.abs(flipped(before, after) - 0.5).max() < BOUND, bit


@sequences
def test_each_bit_of_an_identity_flips_each_bit_of_a_key_half_of_the_time(
    identities: Words, steps: Words
) -> None:
    before = keys(identities, steps)
    for bit in range(64):
        after = keys(identities ^ np.uint64(1 << bit), steps)
        assert np.abs(flipped(before, after) - 0.5).max() < BOUND, bit


@sequences
@pytest.mark.parametrize("ahead", [1, 2, 3, 10, 100, 256, 1000, 1 << 20])
def test_a_later_step_flips_half_of_the_bits(
    identities: Words, steps: Words, ahead: int
) -> None:
    later = keys(identities, steps + np.uint64(ahead))
    assert np.abs(flipped(keys(identities, steps), later) - 0.5).max() < BOUND

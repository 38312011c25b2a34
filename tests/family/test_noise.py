"""The rounding noise: unbiased, uncorrelated, and the same in every implementation."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest
import torch

from mementum.family.noise import Key, identity, key, words
from mementum.torch.backends import native
from mementum.torch.state import rounding

DRAWS = 10**6
HALF = 2.0**31


class CKey(ctypes.Structure):
    _fields_ = (("first", ctypes.c_uint32), ("second", ctypes.c_uint32))


def uniform(key: Key, start: int = 0, count: int = DRAWS) -> np.ndarray:
    """Return words scaled to mean 0 and variance 1."""
    return (words(key, start, count) / HALF - 1) * math.sqrt(3)


def assert_uncorrelated(a: np.ndarray, b: np.ndarray) -> None:
    # The correlation of n independent pairs has a standard deviation of 1/sqrt(n).
    assert abs(np.mean(a * b)) < 4 / math.sqrt(len(a))


@pytest.mark.parametrize("step", [1, 2, 1000])
def test_the_mean_is_within_4_sigma(step):
    assert abs(uniform(key(0, "weight", step)).mean()) < 4 / math.sqrt(DRAWS)


@pytest.mark.parametrize("lag", [1, 2, 3, 16, 255, 256, 1024, 4096])
def test_neighbours_along_elements_are_uncorrelated(lag):
    drawn = uniform(key(0, 0, 1))
    assert_uncorrelated(drawn[lag:], drawn[:-lag])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (key(0, "weight", 1), key(0, "weight", 2)),
        (key(0, "weight", 1), key(0, "weight", 257)),
        (key(0, 0, 5), key(0, 1, 5)),
        (key(0, 0, 5), key(1, 0, 5)),
        (key(0, 0, 5), key(0, 0, 5, "parameter")),
    ],
)
def test_other_steps_parameters_seeds_and_purposes_are_uncorrelated(one, other):
    assert_uncorrelated(uniform(one), uniform(other))


def test_one_element_is_uncorrelated_along_its_steps():
    # 16 elements over 65,536 steps, and the same elements a step later.
    drawn = np.stack([uniform(key(0, 3, step), 0, 16) for step in range(1 << 16)])
    assert_uncorrelated(drawn[1:].ravel(), drawn[:-1].ravel())
    assert abs(drawn.mean()) < 4 / math.sqrt(drawn.size)


def test_every_bit_is_even_and_uncorrelated_with_every_other():
    drawn = words(key(0, "bits", 9), 0, DRAWS)
    bits = ((drawn[:, None] >> np.arange(32, dtype=np.uint32)) & 1) * 2.0 - 1
    assert np.abs(bits.mean(0)).max() < 4 / math.sqrt(DRAWS)
    correlation = bits.T @ bits / DRAWS - np.eye(32)
    # 496 pairs: the largest of so many is beyond 4 sigma once in 30 keys, and beyond
    # 5 once in 3,500.
    assert np.abs(correlation).max() < 5 / math.sqrt(DRAWS)


def test_the_part_for_squares_is_uncorrelated_with_the_part_for_momenta():
    drawn = words(key(0, 0, 77), 0, DRAWS)
    low, high = (drawn & 0xFFFFF) / 2.0**19 - 1, (drawn >> 20) / 2.0**11 - 1
    assert_uncorrelated(low * math.sqrt(3), high * math.sqrt(3))


def test_words_of_a_part_are_the_part_of_the_words():
    whole = words(key(2, "w", 4), 2**32 - 1000, 3000)
    np.testing.assert_array_equal(
        words(key(2, "w", 4), 2**32 + 500, 700), whole[1500:2200]
    )


def test_the_upper_half_of_an_index_counts():
    low, high = (words(key(0, 0, 1), start, 1000) for start in (5, 2**32 + 5))
    assert not np.array_equal(low, high)
    assert_uncorrelated(uniform(key(0, 0, 1)), uniform(key(0, 0, 1), 2**32))


def test_a_name_is_no_place_and_every_argument_counts():
    keys = {
        key(0, "1", 1),
        key(0, 1, 1),
        key(1, 0, 1),
        key(0, 0, 11),
        key(0, 0, 1),
        key(10, 0, 1),
        key(0, 0, 1, "parameter"),
    }
    assert len(keys) == 7
    assert all(0 <= half < 2**32 for key in keys for half in key)


def test_the_words_of_a_key_are_settled():
    # Checkpoints resume with the bits of the version that wrote them.
    assert words(Key(1, 2), 2**32 - 1, 3).tolist() == [
        2692382571,
        2821373520,
        4274324222,
    ]


@pytest.mark.parametrize("counted", ["on the host", "on the device"])
@pytest.mark.parametrize("step", [1, 8, 2**40 + 5])
def test_torch_computes_the_same_words(step, counted):
    known = key(3, "w", step)
    mine = known
    if counted == "on the device":
        (mine,) = rounding.keys(
            torch.from_numpy(np.array([identity(3, "w")], np.uint64).view(np.int64)),
            torch.tensor([step], dtype=torch.float64),
        )
    mine = rounding.words(mine, torch.Size((123, 457)), torch.device("cpu"))
    expected = words(known, 0, 123 * 457).reshape(123, 457)
    np.testing.assert_array_equal(mine.numpy().view(np.uint32), expected)


@pytest.mark.skipif(native.library() is None, reason="the kernel is not built")
@pytest.mark.parametrize("isa", range(native.isa() + 1))
@pytest.mark.parametrize("start", [0, 1, 1023, 2**32 - 700, 2**40 + 3])
def test_the_kernel_computes_the_same_words(isa, start):
    noise = key(3, 4, 8)
    mine = (ctypes.c_uint32 * 1500)()
    unknown = native.library().mementum_words(
        isa, CKey(*noise), ctypes.c_int64(start), ctypes.c_int64(1500), mine
    )
    assert not unknown
    np.testing.assert_array_equal(np.array(mine), words(noise, start, 1500))

"""Low moments brought to float32 for paths that compute in tensors, and back."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mementum.torch.backends.bucket import Bucket
from mementum.torch.state import rounding


def widened(bucket: Bucket) -> Iterator[Bucket]:
    """Yield each parameter with its moments in the dtype the step is computed in.

    When the next one is asked for, what the step has made of them is rounded and
    stored: with noise, but for the peak, which noise would drive up.
    """
    for i, param in enumerate(bucket.params):
        wide = Bucket(bucket.step, grads=[bucket.grads[i]])
        wide.params = [param.to(bucket.dtype) if bucket.rounds_params else param]
        wide.momentum = [_opened(bucket, i, "momentum")]
        wide.square = [_opened(bucket, i, "square")]
        wide.peak = [_opened(bucket, i, "peak")] if bucket.peak else []
        yield wide
        if bucket.low:
            _close(bucket, i, wide)
        if bucket.rounds_params:
            words = bucket.words(i, "parameter")
            computed = wide.params[0].to(torch.float32)
            param.copy_(rounding.parameter(computed, words, param.dtype))


def _opened(bucket: Bucket, i: int, moment: str) -> Tensor:
    """Return a moment to compute with: itself, or a float32 copy."""
    if bucket.low == "float8":
        decoded = (
            rounding.decoded_momentum
            if moment == "momentum"
            else rounding.decoded_square
        )
        return decoded(bucket.float8(i, moment))
    stored: Tensor = getattr(bucket, moment)[i]
    return stored.to(bucket.dtype)


def _close(bucket: Bucket, i: int, wide: Bucket) -> None:
    m, v = wide.momentum[0], wide.square[0]
    words = bucket.words(i, "state")
    if bucket.low == "bfloat16":
        bucket.momentum[i].copy_(rounding.bfloat16_momentum(m, words))
        bucket.square[i].copy_(rounding.bfloat16_square(v, words))
        if bucket.peak:
            bucket.peak[i].copy_(wide.peak[0])
        return
    computed = {
        "momentum": rounding.encoded_momentum(m, words),
        "square": rounding.encoded_square(v, words),
    }
    if bucket.peak:
        computed["peak"] = rounding.encoded_square(wide.peak[0], None)
    for moment, encoded in computed.items():
        kept = bucket.float8(i, moment)
        kept.codes.copy_(encoded.codes)
        kept.scale.copy_(encoded.scale)

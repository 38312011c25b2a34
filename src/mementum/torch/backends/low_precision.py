"""Low moments brought to float32 for paths that compute in tensors, and back."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mementum.torch.backends.bucket import Bucket
from mementum.torch.state import rounding
from mementum.torch.state.moments import MOMENTS


def widened(bucket: Bucket) -> Iterator[Bucket]:
    """Yield each parameter with its moments in the dtype the step is computed in.

    When the next one is asked for, what the step has made of them is rounded and
    stored.
    """
    form, moments = bucket.format, MOMENTS if bucket.peak else MOMENTS[:2]
    for i, param in enumerate(bucket.params):
        wide = Bucket(bucket.step, grads=[bucket.grads[i]])
        wide.params = [param.to(bucket.dtype) if bucket.rounds_params else param]
        for name in moments:
            setattr(wide, name, [form.decode(name, bucket.stored(i, name))])
        yield wide
        if form.noisy:
            words = bucket.words(i, "state")
            for name in moments:
                encoded = form.encode(name, getattr(wide, name)[0], words)
                for tensor, new in zip(bucket.stored(i, name), encoded, strict=True):
                    tensor.copy_(new)
        if bucket.rounds_params:
            words = bucket.words(i, "parameter")
            computed = wide.params[0].to(torch.float32)
            param.copy_(rounding.parameter(computed, words, param.dtype))

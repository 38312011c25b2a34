"""The family by its definition: sums over the whole past, nothing recursive.

At step t the sample of step k weighs ``beta ** (t - k)`` in the momentum and
``memory ** (t - k)`` in the second moment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def family(
    gradients: Array,
    x: Array,
    lr: float,
    *,
    momentum: float,
    memory: float,
    square_of: str,
    peak: bool,
    debias_momentum: bool,
    eps: float,
    weight_decay: float,
    decoupled_weight_decay: bool,
) -> Array:
    samples: list[Array] = []
    squares: list[Array] = []
    means: list[Array] = []
    path = []
    for g in gradients:
        if not decoupled_weight_decay:
            g = g + weight_decay * x
        samples.append(g)
        ages = np.arange(len(samples))[::-1]
        shares = momentum**ages
        m = (1 - momentum) * (shares @ np.array(samples))
        u = {"gradient": g, "momentum": m, "residual": g - m}[square_of]
        squares.append(u**2)
        weights = memory**ages
        means.append((weights @ np.array(squares)) / weights.sum())
        v = np.max(means, axis=0) if peak else means[-1]
        m_used = m / ((1 - momentum) * shares.sum()) if debias_momentum else m
        if decoupled_weight_decay:
            x = x - lr * weight_decay * x
        x = x - lr * m_used / (np.sqrt(v) + eps)
        path.append(x)
    return np.array(path)

"""AdaMomentum, also called AdaM^3.

Wang, Kang, Qin, Wang, Xu, Zhang, Fu: arXiv:2106.11514, Algorithm 1. The square is of
the uncorrected momentum, and eps joins the second moment at every step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def adamomentum(
    gradients: Array,
    x: Array,
    lr: float,
    *,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled_weight_decay: bool,
) -> Array:
    beta1, beta2 = betas
    m = np.zeros_like(x)
    v = np.zeros_like(x)
    path = []
    for t, g in enumerate(gradients, start=1):
        if not decoupled_weight_decay:
            g = g + weight_decay * x
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * m**2 + eps
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        if decoupled_weight_decay:
            x = x * (1 - lr * weight_decay)
        x = x - lr * m_hat / np.sqrt(v_hat)
        path.append(x)
    return np.array(path)

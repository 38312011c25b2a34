"""AdaX and AdaX-W.

Li, Zhang, Wang, Luo: "AdaX: Adaptive Gradient Descent with Exponential Long Term
Memory", arXiv:2004.09740, Algorithm 2. The analysed form has no eps and a projection:
here eps is added to the corrected root (0 is the paper's form) and the feasible set is
the whole space. `adax_as_released` is the form of the authors' program, which adds eps
to the raw root. AdaX-W is either with decoupled weight decay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def adax(
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
        v = (1 + beta2) * v + beta2 * g**2
        v_hat = v / ((1 + beta2) ** t - 1)
        if decoupled_weight_decay:
            x = x - lr * weight_decay * x
        x = x - lr * m / (np.sqrt(v_hat) + eps)
        path.append(x)
    return np.array(path)


def adax_as_released(
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
        v = (1 + beta2) * v + beta2 * g**2
        correction = (1 + beta2) ** t - 1
        if decoupled_weight_decay:
            x = x - lr * weight_decay * x
        x = x - lr * np.sqrt(correction) * m / (np.sqrt(v) + eps)
        path.append(x)
    return np.array(path)

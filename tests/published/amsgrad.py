"""AMSGrad and AdamNC.

Reddi, Kale, Kumar: "On the Convergence of Adam and Beyond", arXiv:1904.09237.
AMSGrad is Algorithm 2; AdamNC is section 5 with ``beta2_t = 1 - 1/t``. The paper has
no eps and a projection: here eps is added outside the root (0 is the paper's form) and
the feasible set is the whole space. The learning rate is the caller's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def amsgrad(
    gradients: Array,
    x: Array,
    lr: float,
    *,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    variant: str,
    decoupled_weight_decay: bool,
) -> Array:
    """The paper's order, torch's (correct the largest), optax's (largest corrected)."""
    ascent = {"paper": _paper, "torch": _torch, "optax": _optax}[variant]
    beta1, beta2 = betas
    m = np.zeros_like(x)
    v = np.zeros_like(x)
    largest = np.zeros_like(x)
    path = []
    for t, g in enumerate(gradients, start=1):
        if not decoupled_weight_decay:
            g = g + weight_decay * x
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        direction, largest = ascent(m, v, largest, t, beta1, beta2, eps)
        if decoupled_weight_decay:
            x = x - lr * weight_decay * x
        x = x - lr * direction
        path.append(x)
    return np.array(path)


def _paper(
    m: Array, v: Array, v_hat: Array, t: int, beta1: float, beta2: float, eps: float
) -> tuple[Array, Array]:
    v_hat = np.maximum(v_hat, v)
    return m / (np.sqrt(v_hat) + eps), v_hat


def _torch(
    m: Array, v: Array, largest: Array, t: int, beta1: float, beta2: float, eps: float
) -> tuple[Array, Array]:
    largest = np.maximum(largest, v)
    root = np.sqrt(largest) / np.sqrt(1 - beta2**t)
    return m / (1 - beta1**t) / (root + eps), largest


def _optax(
    m: Array, v: Array, largest: Array, t: int, beta1: float, beta2: float, eps: float
) -> tuple[Array, Array]:
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    largest = np.maximum(largest, v_hat)
    return m_hat / (np.sqrt(largest) + eps), largest


def adamnc(
    gradients: Array,
    x: Array,
    lr: float,
    *,
    momentum: float,
    eps: float,
    weight_decay: float,
    decoupled_weight_decay: bool,
) -> Array:
    """``v_t = sum of g_j**2 / t``; nothing is corrected."""
    m = np.zeros_like(x)
    squares = np.zeros_like(x)
    path = []
    for t, g in enumerate(gradients, start=1):
        if not decoupled_weight_decay:
            g = g + weight_decay * x
        m = momentum * m + (1 - momentum) * g
        squares = squares + g**2
        v = squares / t
        if decoupled_weight_decay:
            x = x - lr * weight_decay * x
        x = x - lr * m / (np.sqrt(v) + eps)
        path.append(x)
    return np.array(path)

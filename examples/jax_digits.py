"""Train a small network in JAX, and the same one in torch, on handwritten digits.

    python examples/jax_digits.py

Both begin with the same parameters and take the same batches. The optimizers give the
same bits for the same gradients; the two frameworks' gradients differ in their last
digits, so the losses come out alike and not equal.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from sklearn.datasets import load_digits

import mementum
import mementum.optax as mx

Arrays = dict[str, Any]


def begin(seed: int) -> Arrays:
    """Return the parameters of a network with one hidden layer."""
    random = np.random.default_rng(seed)
    sizes = {"0": (64, 32), "2": (32, 10)}
    params: Arrays = {}
    for name, (inner, outer) in sizes.items():
        bound = inner**-0.5
        weight = random.uniform(-bound, bound, (outer, inner))
        params[f"{name}.weight"] = weight.astype(np.float32)
        params[f"{name}.bias"] = np.zeros(outer, np.float32)
    return params


def train_in_jax(params: Arrays, pixels: Any, digits: Any, batches: Any) -> float:
    """Return the loss on all images after a step for each batch."""
    optimizer = mx.adaxw(learning_rate=5e-3)
    pixels, digits = jnp.asarray(pixels), jnp.asarray(digits)

    def loss_of(params: Arrays, pixels: Any, digits: Any) -> Any:
        hidden = jax.nn.relu(pixels @ params["0.weight"].T + params["0.bias"])
        scores = hidden @ params["2.weight"].T + params["2.bias"]
        losses = optax.softmax_cross_entropy_with_integer_labels(scores, digits)
        return losses.mean()

    @jax.jit
    def run(params: Arrays) -> Any:
        def step(carry: Any, rows: Any) -> Any:
            params, state = carry
            grads = jax.grad(loss_of)(params, pixels[rows], digits[rows])
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), batches)
        return loss_of(params, pixels, digits)

    return float(run(jax.tree.map(jnp.asarray, params)))


def train_in_torch(params: Arrays, pixels: Any, digits: Any, batches: Any) -> float:
    """Return the same loss, by the torch optimizer."""
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)
    )
    model.load_state_dict({key: torch.tensor(each) for key, each in params.items()})
    optimizer = mementum.AdaXW(model.named_parameters(), lr=5e-3)
    images, labels = torch.tensor(pixels), torch.tensor(digits).long()
    loss_of = torch.nn.functional.cross_entropy
    for rows in torch.tensor(batches):
        optimizer.zero_grad()
        loss_of(model(images[rows]), labels[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        return float(loss_of(model(images), labels))


def main() -> None:
    """Train twice, and print both losses."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    pixels, digits = load_digits(return_X_y=True)
    pixels, digits = (pixels / 16).astype(np.float32), digits.astype(np.int32)
    random = np.random.default_rng(flags.seed)
    batches = random.integers(0, len(digits), (flags.steps, 64))
    params = begin(flags.seed)
    for name, train in (("jax", train_in_jax), ("torch", train_in_torch)):
        print(f"{name:5}  loss {train(params, pixels, digits, batches):.6f}")


if __name__ == "__main__":
    main()

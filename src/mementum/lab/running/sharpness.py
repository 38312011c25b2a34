"""How sharply a loss curves: the largest eigenvalue of its Hessian.

The Hessian is never formed: SciPy's Lanczos iteration asks for its products with
vectors, each of which costs two backward passes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

TOLERANCE = 1e-3
"""Relative error of an eigenvalue."""


class Hessian:
    """The Hessian of a loss at the parameters' present values, as a linear map.

    With a scale s it is ``diag(s) H diag(s)``: with the parameters' sizes this is
    adaptive sharpness, which rescaling the parameters leaves as it is; with one over
    the root of an optimizer's denominator, preconditioned sharpness.
    """

    def __init__(
        self,
        loss: torch.Tensor,
        parameters: Sequence[torch.Tensor],
        scale: torch.Tensor | None = None,
    ) -> None:
        self.parameters = list(parameters)
        self.scale = scale
        self.slope = torch.cat(
            [
                slope.flatten()
                for slope in torch.autograd.grad(
                    loss, self.parameters, create_graph=True
                )
            ]
        )

    @property
    def size(self) -> int:
        """Return the number of parameters."""
        return self.slope.numel()

    def times(self, vector: torch.Tensor) -> torch.Tensor:
        """Return the product with a vector."""
        vector = vector if self.scale is None else self.scale * vector
        parts = torch.autograd.grad(
            self.slope,
            self.parameters,
            grad_outputs=vector,
            retain_graph=True,
            materialize_grads=True,
        )
        product = torch.cat([part.flatten() for part in parts])
        return product if self.scale is None else self.scale * product

    def operator(self) -> LinearOperator:
        """Return the map as SciPy takes it, in float64."""

        def times(vector: np.ndarray) -> np.ndarray:
            given = torch.from_numpy(np.ascontiguousarray(vector.ravel()))
            product = self.times(given.to(self.slope))
            return product.detach().double().numpy(force=True)

        shape = (self.size, self.size)
        return LinearOperator(shape, matvec=times, dtype=np.float64)

    def largest(self) -> float:
        """Return the largest eigenvalue.

        The iteration begins at a fixed vector, so that the same parameters have the
        same sharpness.
        """
        start = np.random.default_rng(0).standard_normal(self.size)
        found = eigsh(
            self.operator(),
            k=1,
            which="LA",
            v0=start,
            tol=TOLERANCE,
            return_eigenvectors=False,
        )
        return float(found[0])


def sizes(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the size of every single parameter, in one vector."""
    return torch.cat([parameter.detach().abs().flatten() for parameter in parameters])

"""A check that tensors are still alike in all but their values and addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import Buffer, Parameter

_TensorGuards: Any
try:
    # What compiled code is guarded by: one call for any number of tensors, for the
    # price of asking each of them one question.
    from torch._C._dynamo import guards
except ImportError:  # a torch that has moved it: every step then looks closely
    _TensorGuards = None
else:
    _TensorGuards = guards.TensorGuards

_PLAIN = (Tensor, Parameter, Buffer)


class Guard:
    """Remembers the kind, dtype, device, shape and strides of tensors.

    It holds none of them. Tensors of classes that keep their elements elsewhere, and
    one that is listed twice, are never found to be alike.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._count = len(tensors)
        plain = all(type(tensor) in _PLAIN for tensor in tensors)
        self._learnt = None
        if _TensorGuards is not None and plain and tensors:
            self._learnt = _TensorGuards(
                *tensors,
                dynamic_dims_sizes=[list(tensor.shape) for tensor in tensors],
                dynamic_dims_strides=[list(tensor.stride()) for tensor in tensors],
            )

    def holds(self, tensors: Sequence[Tensor]) -> bool:
        """Whether these tensors are, one by one, what the first ones were."""
        if self._learnt is None or len(tensors) != self._count:
            return False
        return bool(self._learnt.check(*tensors))

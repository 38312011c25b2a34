"""The public optimizers: each a recipe with its signature.

A signature repeats its recipe's defaults, so that editors and type checkers see them;
a test holds the two equal.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import Any, Literal, Unpack

from torch.optim.optimizer import ParamsT

from mementum.family.memory import Memory
from mementum.family.recipes import RECIPES
from mementum.torch.family_optimizer import FamilyOptimizer, Number
from mementum.torch.groups.options import EXECUTION, Execution

Betas = tuple[Number, Number]


class Adam(FamilyOptimizer):
    recipe = RECIPES["Adam"]

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        options = _named(betas, eps, weight_decay, decoupled_weight_decay)
        super().__init__(params, lr, options | {"amsgrad": amsgrad}, execution)


class AdamW(FamilyOptimizer):
    recipe = RECIPES["AdamW"]

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = True,
        **execution: Unpack[Execution],
    ) -> None:
        options = _named(betas, eps, weight_decay, decoupled_weight_decay)
        super().__init__(params, lr, options | {"amsgrad": amsgrad}, execution)


class AMSGrad(FamilyOptimizer):
    recipe = RECIPES["AMSGrad"]

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        variant: Literal["paper", "torch", "optax"] = "paper",
        *,
        decoupled_weight_decay: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        options = _named(betas, eps, weight_decay, decoupled_weight_decay)
        super().__init__(params, lr, options | {"variant": variant}, execution)


class AdamNC(FamilyOptimizer):
    recipe = RECIPES["AdamNC"]

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-3,
        momentum: Number = 0.9,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        decoupled_weight_decay: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        options = {
            "momentum": momentum,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, lr, options, execution)


class AdaX(FamilyOptimizer):
    recipe = RECIPES["AdaX"]

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1.5e-3,
        betas: Betas = (0.9, 1e-4),
        eps: float = 1e-12,
        weight_decay: float = 5e-4,
        *,
        decoupled_weight_decay: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        options = _named(betas, eps, weight_decay, decoupled_weight_decay)
        super().__init__(params, lr, options, execution)


class AdaXW(FamilyOptimizer):
    recipe = RECIPES["AdaXW"]

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 5e-3,
        betas: Betas = (0.9, 1e-4),
        eps: float = 1e-12,
        weight_decay: float = 5e-2,
        *,
        decoupled_weight_decay: bool = True,
        **execution: Unpack[Execution],
    ) -> None:
        options = _named(betas, eps, weight_decay, decoupled_weight_decay)
        super().__init__(params, lr, options, execution)


class AdamNX(FamilyOptimizer):
    recipe = RECIPES["AdamNX"]

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-3,
        betas: Betas = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        decoupled_weight_decay: bool = True,
        **execution: Unpack[Execution],
    ) -> None:
        options = _named(betas, eps, weight_decay, decoupled_weight_decay)
        super().__init__(params, lr, options, execution)


class AdaMomentum(FamilyOptimizer):
    recipe = RECIPES["AdaMomentum"]

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0.0,
        *,
        decoupled_weight_decay: bool = True,
        **execution: Unpack[Execution],
    ) -> None:
        options = _named(betas, eps, weight_decay, decoupled_weight_decay)
        super().__init__(params, lr, options, execution)


class Mementum(FamilyOptimizer):
    recipe = RECIPES["Mementum"]

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1e-3,
        momentum: Number = 0.9,
        memory: Number | Memory = 1.0001,
        *,
        square_of: Literal["gradient", "momentum", "residual"] = "gradient",
        peak: bool = False,
        debias_momentum: bool = True,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = True,
        **execution: Unpack[Execution],
    ) -> None:
        options = {
            "momentum": momentum,
            "memory": memory,
            "square_of": square_of,
            "peak": peak,
            "debias_momentum": debias_momentum,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, lr, options, execution)


MEMBERS: tuple[type[FamilyOptimizer], ...] = (
    Adam,
    AdamW,
    AMSGrad,
    AdamNC,
    AdaX,
    AdaXW,
    AdamNX,
    AdaMomentum,
    Mementum,
)


def _named(
    betas: Betas, eps: float, weight_decay: float, decoupled: bool
) -> dict[str, Any]:
    return {
        "betas": betas,
        "eps": eps,
        "weight_decay": weight_decay,
        "decoupled_weight_decay": decoupled,
    }


def _describe(member: type[FamilyOptimizer]) -> None:
    """Give a class its public name, its recipe's page, and every flag by name."""
    # What pickles say, so that they can be read wherever the class moves.
    member.__module__ = "mementum"
    member.__doc__ = (
        f"{inspect.getdoc(member.recipe.function)}\n\n"
        f"Source: {member.recipe.paper}\n\n"
        "Arguments by keyword:\n"
        + textwrap.indent(inspect.getdoc(Execution) or "", "    ")
    )
    signature = inspect.signature(member.__init__)
    # torch's amsgrad is taken, to be False, and is no option.
    own = [
        p
        for p in signature.parameters.values()
        if p.kind is not p.VAR_KEYWORD and p.name != "amsgrad"
    ]
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in EXECUTION.items()
    ]
    # `inspect` looks for this name; typing has none for it.
    page = signature.replace(parameters=[*own[1:], *flags])
    setattr(member, "__signature__", page)  # noqa: B010


for _member in MEMBERS:
    _describe(_member)

"""The published optimizers, each as one short function that returns its rule.

A recipe's arguments are its optimizer's hyperparameters, its defaults the authors'.
Numbers are checked where they enter; tensors (``xp=torch``, for steps whose numbers
are computed on a device) are taken as they are.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ParamSpec

from mementum.family import limits
from mementum.family.memory import Fixed, Memory, Namespace
from mementum.family.rule import Rule, SquareOf

P = ParamSpec("P")
Betas = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A published optimizer: its name, default learning rate, paper and function."""

    name: str
    lr: float
    paper: str
    function: Callable[..., Rule]
    defaults: Mapping[str, Any]
    """The hyperparameters besides the learning rate, with their defaults."""

    def rule(
        self, hyperparameters: Mapping[str, Any], xp: Namespace = math, where: str = ""
    ) -> Rule:
        """Return the rule of these hyperparameters.

        Errors begin with the optimizer's name and `where` the values come from.
        """
        try:
            return self.function(**hyperparameters, xp=xp)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.name}: {where}{error}") from None

    @property
    def kind(self) -> str:
        """Return the name of what the state means; a W only moves the decay."""
        return self.name.removesuffix("W")

    @property
    def summary(self) -> str:
        """Return the recipe's first sentence."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


RECIPES: dict[str, Recipe] = {}


def _published(
    name: str, *, lr: float, paper: str
) -> Callable[[Callable[P, Rule]], Callable[P, Rule]]:
    """Enter a function into `RECIPES` under its optimizer's `name`."""

    def enter(function: Callable[P, Rule]) -> Callable[P, Rule]:
        arguments = inspect.signature(function).parameters.values()
        defaults = {each.name: each.default for each in arguments if each.name != "xp"}
        RECIPES[name] = Recipe(name, lr, paper, function, MappingProxyType(defaults))
        return function

    return enter


@_published("Adam", lr=1e-3, paper="arXiv:1412.6980, Algorithm 1")
def adam(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    decoupled_weight_decay: bool = False,
    xp: Namespace = math,
) -> Rule:
    """A mean of gradients over the root of a mean of their squares.

    Differs from the authors' code: the square is kept corrected for its start, so
    it must not be exchanged with torch's `exp_avg_sq` as it stands.
    """
    beta1, beta2 = _decaying(betas, xp)
    return Rule(
        momentum=Fixed(beta1),
        square=Memory.adam(beta2, xp),
        debias_momentum=True,
        eps_out=_eps(eps, xp),
        weight_decay=_decay(weight_decay, xp),
        decoupled=limits.switch("decoupled_weight_decay", decoupled_weight_decay),
    )


@_published("AdamW", lr=1e-3, paper="arXiv:1711.05101, Algorithm 2")
def adamw(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 1e-2,
    decoupled_weight_decay: bool = True,
    xp: Namespace = math,
) -> Rule:
    """Adam whose weight decay acts on the parameter, not on the gradient.

    Differs from the authors' code: the decay is scaled by the learning rate, as in
    torch. torch rounds ``1 - lr * weight_decay`` to the parameter's dtype first, so
    its float32 parameters drift from ours, and from float64, by up to half a unit in
    the last place a step.
    """
    return adam(
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        decoupled_weight_decay=decoupled_weight_decay,
        xp=xp,
    )


@_published("AMSGrad", lr=1e-3, paper="arXiv:1904.09237, Algorithm 2")
def amsgrad(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    variant: str = "paper",
    decoupled_weight_decay: bool = False,
    xp: Namespace = math,
) -> Rule:
    """Adam that divides by the largest mean square seen so far.

    `variant` chooses among the published orders: "paper" corrects nothing; "torch"
    takes the largest raw square and corrects it afterwards; "optax" corrects first
    and takes the largest of the corrected.

    Differs from the authors' code: eps is added outside the root, where the paper
    has none; the learning rate is the caller's, where the analysis has lr/sqrt(t);
    there is no projection.
    """
    limits.choice("variant", variant, ("paper", "torch", "optax"))
    beta1, beta2 = _decaying(betas, xp)
    return Rule(
        momentum=Fixed(beta1),
        square=Memory.adam(beta2, xp) if variant == "optax" else Fixed(beta2),
        peak=True,
        debias_momentum=variant != "paper",
        debias_square=variant == "torch",
        eps_out=_eps(eps, xp),
        weight_decay=_decay(weight_decay, xp),
        decoupled=limits.switch("decoupled_weight_decay", decoupled_weight_decay),
    )


@_published("AdamNC", lr=1e-3, paper="arXiv:1904.09237, section 5, beta2_t = 1 - 1/t")
def adamnc(
    *,
    momentum: Any = 0.9,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    decoupled_weight_decay: bool = False,
    xp: Namespace = math,
) -> Rule:
    """Adam whose second moment is the plain mean of all squares.

    Differs from the authors' code: none was published. eps is added outside the
    root, where the paper has none, and the momentum keeps a constant share.
    """
    return Rule(
        momentum=Fixed(_fraction("momentum", momentum, xp)),
        square=Memory.adamnc(),
        eps_out=_eps(eps, xp),
        weight_decay=_decay(weight_decay, xp),
        decoupled=limits.switch("decoupled_weight_decay", decoupled_weight_decay),
    )


@_published("AdaX", lr=1.5e-3, paper="arXiv:2004.09740, Algorithm 2")
def adax(
    *,
    betas: Betas = (0.9, 1e-4),
    eps: Any = 1e-12,
    weight_decay: Any = 5e-4,
    decoupled_weight_decay: bool = False,
    xp: Namespace = math,
) -> Rule:
    """Adam whose memory of squares only grows, the oldest weighing most.

    The square of step t enters with weight ``beta2 / ((1 + beta2)**t - 1)``.

    Differs from the authors' code: the square is kept corrected, because their form
    leaves float32 after 887,272 steps; eps is added to the corrected root, where
    theirs, added to the raw one, shrinks as the memory grows; ``beta2 = 0`` is the
    plain mean of all squares, where theirs divides by zero; `param.grad` is not
    changed by the weight decay.
    """
    beta1, beta2 = limits.pair("betas", betas)
    if _known(beta2, xp):
        beta2 = limits.growth("betas[1]", beta2)
    return Rule(
        momentum=Fixed(_fraction("betas[0]", beta1, xp)),
        square=Memory.adax(beta2, xp),
        eps_out=_eps(eps, xp),
        weight_decay=_decay(weight_decay, xp),
        decoupled=limits.switch("decoupled_weight_decay", decoupled_weight_decay),
    )


@_published("AdaXW", lr=5e-3, paper="arXiv:2004.09740, AdaX-W")
def adaxw(
    *,
    betas: Betas = (0.9, 1e-4),
    eps: Any = 1e-12,
    weight_decay: Any = 5e-2,
    decoupled_weight_decay: bool = True,
    xp: Namespace = math,
) -> Rule:
    """AdaX whose weight decay acts on the parameter, not on the gradient.

    Differs from the authors' code: as AdaX does.
    """
    return adax(
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        decoupled_weight_decay=decoupled_weight_decay,
        xp=xp,
    )


@_published("AdamNX", lr=1e-3, paper="arXiv:2511.13465")
def adamnx(
    *,
    betas: Betas = (0.9, 0.99),
    eps: Any = 1e-8,
    weight_decay: Any = 1e-2,
    decoupled_weight_decay: bool = True,
    xp: Namespace = math,
) -> Rule:
    """Adam with AdaX's growing memory, under another name for its number.

    The memory ratio is ``beta2 ** -(1 - beta2)``: its 0.99 is AdaX's 1.00508e-4. The
    momentum is corrected for its start.

    Differs from the authors' code: the momentum is stored raw and corrected at the
    step, which is the same while betas[0] stays; the weight of a square has a closed
    form, where theirs subtracts two numbers that become equal; betas[1] below 0.1,
    which freezes the memory at once, is refused.
    """
    beta1, beta2 = limits.pair("betas", betas)
    if _known(beta2, xp):
        beta2 = limits.slow_growth("betas[1]", beta2)
    return Rule(
        momentum=Fixed(_fraction("betas[0]", beta1, xp)),
        square=Memory.adamnx(beta2, xp),
        debias_momentum=True,
        eps_out=_eps(eps, xp),
        weight_decay=_decay(weight_decay, xp),
        decoupled=limits.switch("decoupled_weight_decay", decoupled_weight_decay),
    )


@_published("AdaMomentum", lr=1e-3, paper="arXiv:2106.11514, Algorithm 1")
def adamomentum(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Any = 1e-16,
    weight_decay: Any = 0.0,
    decoupled_weight_decay: bool = True,
    xp: Namespace = math,
) -> Rule:
    """Adam whose second moment averages the square of the momentum.

    eps joins the average at every step, so it acts as ``eps / (1 - beta2)`` under
    the root. The first step has size ``lr / (1 - beta1)``.

    Differs from the authors' code: Algorithm 1 stands alone, without their options
    for rectification, a peak and a decay that ignores the learning rate; the square
    is kept corrected for its start.
    """
    beta1, beta2 = _decaying(betas, xp)
    return Rule(
        momentum=Fixed(beta1),
        square=Memory.adam(beta2, xp),
        square_of=SquareOf.MOMENTUM,
        debias_momentum=True,
        eps_in=_eps(eps, xp) / (1 - beta2),
        weight_decay=_decay(weight_decay, xp),
        decoupled=limits.switch("decoupled_weight_decay", decoupled_weight_decay),
    )


@_published("Mementum", lr=1e-3, paper="the family itself")
def mementum(
    *,
    momentum: Any = 0.9,
    memory: Any = 1.0001,
    square_of: str = "gradient",
    peak: bool = False,
    debias_momentum: bool = True,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    decoupled_weight_decay: bool = True,
    xp: Namespace = math,
) -> Rule:
    """The dial itself: any memory ratio, and the family's switches.

    `memory` is the ratio: below 1 forgets, 1 keeps all squares alike, above 1 keeps
    the oldest best. It may be a `Memory`, or ``{"log_ratio": x}``, its plain form.
    """
    words = tuple(source.value for source in SquareOf)
    source = SquareOf(limits.choice("square_of", square_of, words))
    return Rule(
        momentum=Fixed(_fraction("momentum", momentum, xp)),
        square=_memory(memory, xp),
        square_of=source,
        peak=limits.switch("peak", peak),
        debias_momentum=limits.switch("debias_momentum", debias_momentum),
        eps_out=_eps(eps, xp),
        weight_decay=_decay(weight_decay, xp),
        decoupled=limits.switch("decoupled_weight_decay", decoupled_weight_decay),
    )


def _memory(memory: Any, xp: Namespace) -> Memory:
    if isinstance(memory, Memory):
        return memory
    if isinstance(memory, Mapping) and set(memory) == {"log_ratio"}:
        wants = "it wants a finite number, the logarithm of the memory ratio."
        low = -math.inf
        log_ratio = memory["log_ratio"]
        return Memory(
            limits.number("memory log_ratio", log_ratio, low=low, wants=wants)
        )
    if _known(memory, xp):
        wants = (
            "it is the memory ratio: a finite number from 0 up, such as 0.999 "
            "(Adam), 1 (AdamNC) or 1.0001 (AdaX), or a Memory."
        )
        memory = limits.number("memory", memory, wants=wants)
    return Memory.from_ratio(memory, xp)


def _decaying(betas: Any, xp: Namespace) -> Betas:
    beta1, beta2 = limits.pair("betas", betas)
    return _fraction("betas[0]", beta1, xp), _fraction("betas[1]", beta2, xp)


def _fraction(name: str, value: Any, xp: Namespace) -> Any:
    return limits.fraction(name, value) if _known(value, xp) else value


def _eps(value: Any, xp: Namespace) -> Any:
    return limits.epsilon(value) if _known(value, xp) else value


def _decay(value: Any, xp: Namespace) -> Any:
    return limits.decay(value) if _known(value, xp) else value


def _known(value: Any, xp: Namespace) -> bool:
    """Whether a value can be read here, without waiting for a device."""
    return xp is math or isinstance(value, float | int)

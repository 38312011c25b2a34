"""What the tests of the torch optimizers run over, and how they run it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from mementum.family.reference import State, update
from mementum.family.rule import Coefficients
from mementum.torch import (
    MEMBERS,
    Adam,
    AdamNC,
    AdamNX,
    AdaMomentum,
    AdamW,
    AdaX,
    AdaXW,
    AMSGrad,
    FamilyOptimizer,
    Mementum,
)
from mementum.torch.backends import native

Member = type[FamilyOptimizer]
Options = dict[str, Any]
Grads = Sequence[Tensor | None]

TORCHS: dict[str, Options] = {
    "loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
}
COMPILED: dict[str, Options] = {"fused": {"fused": True}} if native.library() else {}
EAGER = {"default": {}} | TORCHS | COMPILED
CAPTURABLE: dict[str, Options] = {
    f"capturable {name}": {"capturable": True, **flags}
    for name, flags in ({"default": {}} | TORCHS).items()
}
PATHS = EAGER | CAPTURABLE
# Where a rule's numbers are computed: on the host, or on the device.
COMPUTED = {name: PATHS[name] for name in ("default", "capturable default")}

# Beside the defaults: every switch of every recipe, and both decays.
OTHERS: list[tuple[Member, Options]] = [
    (Adam, {"weight_decay": 0.1}),
    (Adam, {"betas": (0.0, 0.5), "eps": 1e-3}),
    (AdamW, {"decoupled_weight_decay": False}),
    (AMSGrad, {"variant": "torch", "weight_decay": 0.1}),
    (AMSGrad, {"variant": "optax", "weight_decay": 0.1}),
    (AMSGrad, {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    (AdamNC, {"momentum": 0.5, "weight_decay": 0.1}),
    (AdaX, {"betas": (0.5, 1e-2), "weight_decay": 0.1}),
    (AdaXW, {"decoupled_weight_decay": False}),
    (AdamNX, {"betas": (0.5, 0.9)}),
    (AdaMomentum, {"eps": 1e-8, "weight_decay": 0.1}),
    (Mementum, {"memory": 0.99, "weight_decay": 0.1}),
    (Mementum, {"memory": 1.0, "debias_momentum": False}),
    (Mementum, {"square_of": "momentum", "peak": True}),
    (Mementum, {"square_of": "residual", "weight_decay": 0.1}),
]


def _setting(member: Member, options: Options) -> Any:
    words = ("=".join((name, str(value))) for name, value in options.items())
    return pytest.param(member, options, id="-".join((member.__name__, *words)))


# One with each of what memory is used for: a coupled decay, a peak, a squared momentum.
KINDS: tuple[Member, ...] = (AdaX, AMSGrad, AdaMomentum)
kinds = pytest.mark.parametrize("member", KINDS, ids=lambda m: m.__name__)
members = pytest.mark.parametrize("member", MEMBERS, ids=lambda m: m.__name__)
SETTINGS = [*((member, {}) for member in MEMBERS), *OTHERS]
settings = pytest.mark.parametrize(
    ("member", "options"), [_setting(*one) for one in SETTINGS]
)
# One for each way through a kernel: what is squared, the peak, either decay.
BRANCHES: list[tuple[Member, Options]] = [
    *((member, {}) for member in KINDS),
    (Mementum, {"square_of": "residual", "weight_decay": 0.1}),
]
branches = pytest.mark.parametrize(
    ("member", "options"), [_setting(*one) for one in BRANCHES]
)


def paths(among: dict[str, Options] = PATHS) -> pytest.MarkDecorator:
    """Run a test with the flags of each path."""
    return pytest.mark.parametrize("flags", among.values(), ids=among.keys())


def settings_and_paths(among: dict[str, Options] = PATHS) -> pytest.MarkDecorator:
    """Run a test with every setting, and on every path, but not with their product.

    A path gets twelve numbers and never learns whose they are: where they are computed
    it is run with all settings, elsewhere with one for each way through a kernel.
    """
    return pytest.mark.parametrize(
        ("member", "options", "flags"),
        [
            pytest.param(*one, flags, id=f"{_setting(*one).id}-{name}")
            for name, flags in among.items()
            for one in (SETTINGS if name in COMPUTED else BRANCHES)
        ],
    )


SHAPES: tuple[tuple[int, ...], ...] = ((3, 4), (), (0,), (5,), (2, 1, 3))


def parameters(
    dtype: torch.dtype = torch.float32,
    shapes: Iterable[tuple[int, ...]] = SHAPES,
    *,
    seed: int = 1,
) -> list[Tensor]:
    """Return leaf tensors that want gradients, drawn from the normal distribution."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64)
        .to(dtype)
        .requires_grad_()
        for shape in shapes
    ]


def gradients(params: Sequence[Tensor], steps: int, *, seed: int = 2) -> list[Grads]:
    """Return a gradient a step and parameter, of scales from 1e-3 to 10."""
    generator = torch.Generator().manual_seed(seed)

    def draw(param: Tensor) -> Tensor:
        wide = torch.complex128 if param.is_complex() else torch.float64
        exponent = (
            4 * torch.rand(param.shape, generator=generator, dtype=torch.float64) - 3
        )
        drawn = torch.randn(param.shape, generator=generator, dtype=wide)
        return (drawn * 10**exponent).to(param.dtype)

    return [[draw(param) for param in params] for _ in range(steps)]


def with_gaps(grads: list[Grads]) -> list[Grads]:
    """Return the gradients with every seventh missing, each parameter's elsewhere."""
    return [
        [None if (t + 2 * i) % 7 == 3 else grad for i, grad in enumerate(step)]
        for t, step in enumerate(grads)
    ]


def twins(params: Iterable[Tensor]) -> list[Tensor]:
    """Return leaf copies, in the same strides, that share nothing."""
    return [p.detach().clone().requires_grad_(p.requires_grad) for p in params]


def give(params: Iterable[Tensor], grads: Grads) -> None:
    """Set the parameters' gradients to copies of these."""
    for param, grad in zip(params, grads, strict=True):
        param.grad = None if grad is None else grad.detach().clone()


def drive(
    optimizer: torch.optim.Optimizer, params: Sequence[Tensor], grads: Iterable[Grads]
) -> None:
    """Take a step with each of the gradients."""
    for step in grads:
        give(params, step)
        optimizer.step()


def run(
    member: Member, params: Iterable[Tensor], grads: Iterable[Grads], **options: Any
) -> tuple[list[Tensor], FamilyOptimizer]:
    """Return copies of the parameters after steps with these gradients."""
    own = twins(params)
    optimizer = member(own, **options)
    drive(optimizer, own, grads)
    return own, optimizer


def continued(
    member: Member, params: Iterable[Tensor], state_dict: Any, **options: Any
) -> tuple[list[Tensor], FamilyOptimizer]:
    """Return new parameters and an optimizer that has loaded the state dict."""
    own = twins(params)
    optimizer = member(own, **options)
    optimizer.load_state_dict(state_dict)
    return own, optimizer


def numbers_of(member: Member, t: int, **options: Any) -> tuple[Coefficients, bool]:
    """Return the numbers of step `t` on the host, and whether the rule has a peak."""
    hyperparameters = member.recipe.defaults | options
    lr = hyperparameters.pop("lr", member.recipe.lr)
    scale = -1.0 if hyperparameters.pop("maximize", False) else 1.0
    rule = member.recipe.rule(hyperparameters)
    return rule.at(t, lr)._replace(scale=scale), rule.peak


def follow(
    member: Member, param: Tensor, grads: Iterable[Tensor | None], **options: Any
) -> State:
    """Return a parameter's state by the float64 reference, over the same steps."""
    state = State.start(param.detach().double().numpy())
    taken = (grad for grad in grads if grad is not None)
    for t, grad in enumerate(taken, start=1):
        numbers, peak = numbers_of(member, t, **options)
        state = update(numbers, grad.double().numpy(), state, peak=peak)
    return state


def bits_of(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Return copies of everything a step may change, to be compared by `same_bits`."""
    kept: list[Any] = []
    for group in optimizer.param_groups:
        for param in group["params"]:
            kept.append(param.detach().clone())
            for name, value in sorted(optimizer.state.get(param, {}).items()):
                kept.append(name)
                is_tensor = isinstance(value, Tensor)
                kept.append(value.detach().clone() if is_tensor else value)
    return kept


def same_bits(a: Any, b: Any) -> bool:
    """Whether values, tensors and lists of them are equal, NaN to NaN, 0 not to -0."""
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_bits, a, b))
    if not isinstance(a, Tensor):
        return type(a) is type(b) and bool(a == b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return _bytes(a) == _bytes(b)


def _bytes(tensor: Tensor) -> bytes:
    plain = tensor.detach().resolve_conj().resolve_neg().reshape(-1)
    plain = plain.clone(memory_format=torch.contiguous_format)
    return plain.view(torch.uint8).numpy().tobytes()

"""Where timm can be imported: what it makes of the family, printed as JSON.

It runs in a process of its own, because timm imports torchvision. Beside a torch for
CPUs a torchvision for CUDA lacks its operators, and can be imported only where two of
them are declared; timm's optimizers use none.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tests.torch.cases import same_bits
from torch import Tensor, nn

from mementum.torch import MEMBERS

APART = Path(sys.prefix) / "timm"


def declare_operators() -> None:
    """Declare torchvision's operators of which its own import asks."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    DECLARED.append(library)


DECLARED: list[Any] = []


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 3))


def steps(model: nn.Module, optimizer: Any, count: int = 3) -> None:
    """Step with gradients that depend on nothing but the parameters."""
    for _ in range(count):
        for param in model.parameters():
            param.grad = param.detach() * 0.5 + 0.1
        optimizer.step()


def same(a: nn.Module, b: nn.Module) -> bool:
    return same_bits(list(a.parameters()), list(b.parameters()))


def created(name: str, kind: type[torch.optim.Optimizer]) -> dict[str, Any]:
    """Compare what timm makes by a name with what we make of the same groups."""
    from timm.optim import create_optimizer_v2

    model, other = network(), network()
    options = {"lr": 1e-2, "weight_decay": 0.1}
    optimizer = create_optimizer_v2(model, opt=name, **options)
    ours = kind(
        [
            {"params": [p for p in other.parameters() if p.dim() == d], **options}
            for d in (1, 2)
        ]
    )
    ours.param_groups[0]["weight_decay"] = 0.0
    steps(model, optimizer)
    steps(other, ours)
    return {
        "class": f"{type(optimizer).__module__}.{type(optimizer).__name__}",
        "decays": [
            [len(g["params"]), g["weight_decay"]] for g in optimizer.param_groups
        ],
        "same": same(model, other),
        "moved": not same(model, network()),
    }


def scheduled(name: str) -> dict[str, Any]:
    """Train timm's own small model with decayed layers, its schedule, and a resume."""
    import timm
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler

    def start() -> tuple[nn.Module, Any, Any]:
        torch.manual_seed(0)
        model = timm.create_model("test_vit", num_classes=4)
        optimizer = create_optimizer_v2(
            model, opt=name, lr=1e-2, weight_decay=0.1, layer_decay=0.5
        )
        return model, optimizer, CosineLRScheduler(optimizer, t_initial=6)

    def run(model: nn.Module, optimizer: Any, schedule: Any, epochs: range) -> Any:
        for epoch in epochs:
            schedule.step(epoch)
            steps(model, optimizer, 1)
        return [group["lr"] / group["lr_scale"] for group in optimizer.param_groups]

    whole, stopped, again = start(), start(), start()
    run(*whole, range(6))
    run(*stopped, range(3))
    again[0].load_state_dict(stopped[0].state_dict())
    again[1].load_state_dict(stopped[1].state_dict())
    rates = run(*again, range(3, 6))
    return {
        "scales": sorted({g["lr_scale"] for g in again[1].param_groups}),
        "rates": rates,
        "same": same(whole[0], again[0]),
        "stopped": same(whole[0], stopped[0]),
    }


def looked_ahead(name: str, kind: type[torch.optim.Optimizer]) -> bool:
    """Whether timm's Lookahead around ours takes the mean that it says."""
    from timm.optim import create_optimizer_v2

    model, other = network(), network()
    optimizer = create_optimizer_v2(model, opt=f"lookahead_{name}", lr=1e-2)
    plain = kind(other.parameters(), lr=1e-2, weight_decay=0.0)
    # The sixth step is the first that Lookahead takes a mean at, with itself.
    steps(model, optimizer, 12)
    steps(other, plain, 6)
    slow: list[Tensor] = [p.detach().clone() for p in other.parameters()]
    steps(other, plain, 6)
    mean = [
        s + 0.5 * (p.detach() - s)
        for s, p in zip(slow, other.parameters(), strict=True)
    ]
    found = [p.detach() for p in model.parameters()]
    return all(map(torch.allclose, found, mean))


def looked_ahead_again(name: str) -> bool:
    """Whether a run resumes from the state that Lookahead has written into."""
    from timm.optim import create_optimizer_v2

    (model, optimizer), (other, resumed) = (
        (m, create_optimizer_v2(m, opt=f"lookahead_{name}", lr=1e-2))
        for m in (network(), network())
    )
    steps(model, optimizer, 8)
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    steps(model, optimizer, 6)
    steps(other, resumed, 6)
    return same(model, other)


def facts(page: str) -> dict[str, Any]:
    import timm
    from timm.optim import get_optimizer_class, list_optimizers

    from mementum.torch.integrations.timm import register

    before = list_optimizers()
    torchs = {n: str(get_optimizer_class(n, False)) for n in ("adam", "adamw")}
    names = register()
    listed = list_optimizers()
    space: dict[str, Any] = {}
    exec(page, space)
    return {
        "version": timm.__version__,
        "torchs": torchs,
        "torchs after": {n: str(get_optimizer_class(n, False)) for n in torchs},
        "names": names,
        "lost": sorted(set(before) - set(listed)),
        "new": sorted(set(listed) - set(before)),
        "again": register() == names and list_optimizers() == listed,
        "page": type(space["optimizer"]).__name__,
        "page names": space["names"],
        **{
            member.__name__: {
                "plain": created(names[member.__name__], member),
                "long": created(f"mementum-{member.__name__.lower()}", member),
                "scheduled": scheduled(names[member.__name__]),
                "looked ahead": looked_ahead(names[member.__name__], member),
                "looked ahead again": looked_ahead_again(names[member.__name__]),
            }
            for member in MEMBERS
        },
    }


if __name__ == "__main__":
    if find_spec("timm") is None:
        sys.path.append(str(APART))
    if torch.version.cuda is None:
        declare_operators()
    print(json.dumps(facts(sys.argv[1])))

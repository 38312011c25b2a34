"""The family in timm's registry, so that its scripts can ask for a member by name."""

from __future__ import annotations

from mementum.torch.family_optimizer import FamilyOptimizer
from mementum.torch.optimizers import MEMBERS

_PREFIX = "mementum-"


def register() -> dict[str, str]:
    """Make the family known to timm, and return the name of each class there.

    `timm.optim.create_optimizer_v2(model, opt="adaxw")` and `train.py --opt adaxw`
    then make an `AdaXW`. A class has its own name in lower case, unless timm has an
    optimizer of that name: "adam" stays timm's and "mementum-adam" is ours. Every
    class has the longer name as well. timm says what the weight decay is, 0 if it is
    told nothing; the class's own default has no effect there.
    Errors: `ImportError` if timm cannot be imported.
    """
    from timm.optim import get_optimizer_info, list_optimizers

    taken = {
        name
        for name in list_optimizers()
        if get_optimizer_info(name).opt_class not in MEMBERS
    }
    return {member.__name__: _register(member, taken) for member in MEMBERS}


def _register(member: type[FamilyOptimizer], taken: set[str]) -> str:
    from timm.optim import OptimInfo
    from timm.optim._optim_factory import default_registry

    own = member.__name__.lower()
    names = [_PREFIX + own] if own in taken else [own, _PREFIX + own]
    for name in set(names) - set(default_registry.list_optimizers()):
        default_registry.register(
            OptimInfo(
                name=name,
                opt_class=member,
                description=f"{member.__name__} of mementum",
                has_momentum="momentum" in member.recipe.defaults,
                has_betas="betas" in member.recipe.defaults,
            )
        )
    return names[0]

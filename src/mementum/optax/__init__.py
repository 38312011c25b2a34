"""The family as optax transformations, with the bits of torch's on CPUs.

    import mementum.optax as mx

    optimizer = mx.adaxw(learning_rate=5e-3)
    state = optimizer.init(params)
    updates, state = optimizer.update(grads, state, params)
    params = optax.apply_updates(params, updates)

torch is not imported.
"""

from importlib import import_module

from mementum import install

with install.needing("mementum.optax", "jax"):
    for _package in install.PACKAGES["jax"]:
        import_module(_package)

from mementum.optax.adoption import adopt
from mementum.optax.links import scale_by_memory, scale_by_rule
from mementum.optax.members import (
    MEMBERS,
    adam,
    adamnc,
    adamnx,
    adamomentum,
    adamw,
    adax,
    adaxw,
    amsgrad,
    mementum,
)
from mementum.optax.state import PeakRuleState, RoundingState, RuleState
from mementum.optax.stochastic_rounding import round_stochastically

__all__ = [
    "MEMBERS",
    "PeakRuleState",
    "RoundingState",
    "RuleState",
    "adam",
    "adamnc",
    "adamnx",
    "adamomentum",
    "adamw",
    "adax",
    "adaxw",
    "adopt",
    "amsgrad",
    "mementum",
    "round_stochastically",
    "scale_by_memory",
    "scale_by_rule",
]

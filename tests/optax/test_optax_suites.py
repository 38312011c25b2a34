"""optax's laws for its own optimizers hold for ours: its tests, run from its wheel."""

from __future__ import annotations

import pytest
from tests.optax.suites import listed, ours, suite

# They are optax's tests, and its warnings.
pytestmark = pytest.mark.filterwarnings("default")

_unwrapped = {"wrapper_name": None, "wrapper_kwargs": None}
_contrib = tuple(each | _unwrapped for each in listed(1e-2))

ContribTest = suite(
    "optax.contrib._common_test",
    "ContribTest",
    _MAIN_OPTIMIZERS_UNDER_TEST=_contrib,
    _ALL_OPTIMIZERS_UNDER_TEST=_contrib,
    _get_opt_factory=ours,
)
AliasTest = suite(
    "optax._src.alias_test",
    "AliasTest",
    _OPTIMIZERS_UNDER_TEST=listed(0.1, adamomentum=1e-2),
    _get_opt=lambda _, name: ours(name),
)

# These ask optax's adam for a momentum by optax's name.
for _name in [
    name for name in dir(AliasTest) if name.startswith("test_explicit_dtype")
]:
    delattr(AliasTest, _name)

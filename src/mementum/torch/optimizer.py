"""The one optimizer: everything torch expects of one, for every rule of the family."""

from __future__ import annotations

import contextlib
import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict, cast, overload

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from mementum import limits, picture
from mementum.memory import Namespace
from mementum.recipes import Recipe
from mementum.rule import Coefficients, Rule
from mementum.torch import checkpoint, explanation
from mementum.torch.backends import choose
from mementum.torch.bucket import Bucket, Roster
from mementum.torch.gradients import first_nonfinite, refuse_sparse
from mementum.torch.groups import EXECUTION, check_flags, named, plain
from mementum.torch.layout import refuse_kinds, refuse_shared_memory, refuse_storage

Number = float | Tensor
TORCH = cast("Namespace", torch)
OURS = (
    FloatingPointError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Execution(TypedDict, total=False):
    """How steps are run; the same arguments for every optimizer, by keyword only.

    `maximize` climbs instead of descending. `foreach` asks for torch's multi-tensor
    operations, `fused` for the compiled kernel, False for both a plain loop; left
    None, the fastest that can serve runs, and `explain()` says which. `capturable`
    computes each step's numbers on the device, so that a graph can be captured.
    `differentiable` lets autograd run through the step. `nonfinite` says what an
    infinite or NaN gradient does: "propagate" lets it through, "skip" leaves out the
    whole step and counts it, "raise" raises before anything changes. `state_dtype` is
    what the moments are stored in: None for float32 (float64 for float64 parameters),
    `torch.bfloat16`, or "float8", whose tensors of fewer than 4096 elements or two
    dimensions stay float32. `stochastic_rounding` rounds bfloat16 and float16
    parameters with noise, so that small updates are not lost. `seed` is the noise's.
    """

    maximize: bool
    foreach: bool | None
    fused: bool | None
    capturable: bool
    differentiable: bool
    nonfinite: Literal["propagate", "skip", "raise"]
    state_dtype: torch.dtype | str | None
    stochastic_rounding: bool
    seed: int


class FamilyOptimizer(torch.optim.Optimizer):
    """A `torch.optim.Optimizer` for a rule of the family.

    A subclass names its recipe; its hyperparameters are the recipe's.
    """

    recipe: ClassVar[Recipe]

    def __init__(
        self,
        params: ParamsT,
        lr: Number,
        hyperparameters: Mapping[str, Any],
        execution: Execution,
    ) -> None:
        unknown = sorted(set(execution) - set(EXECUTION))
        if unknown:
            known = ", ".join(["params", "lr", *hyperparameters, *EXECUTION])
            raise TypeError(
                f"{self.recipe.name} has no argument {unknown[0]!r}; it has {known}."
            )
        self._rosters: dict[int, Roster] = {}
        self._constructed = False
        defaults = {"lr": lr, **hyperparameters, **EXECUTION, **execution}
        super().__init__(params, plain(defaults))
        self._constructed = True
        self._check_memory()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled optimizer; flags it was saved without take defaults."""
        super().__setstate__(state)
        self._rosters = {}
        self._constructed = True
        for group in self.param_groups:
            for name, default in (EXECUTION | self.defaults).items():
                group.setdefault(name, default)
            group.setdefault("rule", self.recipe.kind)
            group.setdefault("skipped_steps", 0)

    @property
    def skipped_steps(self) -> int:
        """Return how many steps were left out for a gradient that was not finite."""
        return max(int(group["skipped_steps"]) for group in self.param_groups)

    def named_params(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter with its name, or with its place if it has none."""
        for index, group in enumerate(self.param_groups):
            yield from named(index, group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with hyperparameters of their own, as torch's method does.

        Errors: `ValueError` or `TypeError` for a bad hyperparameter and for memory
        that two parameters would share; the optimizer is then unchanged.
        """
        if not isinstance(param_group, dict):
            raise TypeError(
                f"{self.recipe.name}: param_group must be a dict with the key "
                f"'params', and not {type(param_group).__name__}."
            )
        kept = {"rule": self.recipe.kind, "skipped_steps": 0}
        super().add_param_group(kept | plain(param_group))
        try:
            self._rule(len(self.param_groups) - 1, math)
            if self._constructed:
                self._check_memory()
        except Exception:
            self.param_groups.pop()
            raise

    def check(self) -> None:
        """Refuse hyperparameters and flags that are, or have become, bad.

        Every step checks those it can read without waiting for a device. Errors:
        `ValueError`, `TypeError` or `NotImplementedError`, naming group and argument.
        """
        for index in range(len(self.param_groups)):
            self._rule(index, math)

    def explain(self, plot: Path | str | None = None) -> str:
        """Return each group's equations and numbers, and the path that runs it.

        `plot` names a picture file to draw the memory profiles in; that needs
        matplotlib.
        """
        indices = range(len(self.param_groups))
        rules = [self._rule(index, math) for index in indices]
        if plot is not None:
            averages = {f"group {i}": rules[i].square for i in indices}
            picture.draw(averages, Path(plot))
        return explanation.text(self, rules)

    def _check_memory(self) -> None:
        with self._errors_named():
            refuse_kinds(self.named_params())
            refuse_shared_memory(self.named_params())
            for index, group in enumerate(self.param_groups):
                refuse_storage(named(index, group), group["state_dtype"])

    def state_dict(self) -> dict[str, Any]:
        """Return the state and the groups, as tensors and plain values alone.

        Beside torch's keys each group says its rule, its parameters' shapes, and the
        version of the format. Like torch's, it shares the moments with the optimizer.
        """
        handle = self.register_state_dict_post_hook(checkpoint.describe, prepend=True)
        try:
            return super().state_dict()
        finally:
            handle.remove()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, by an optimizer of the same rule.

        Parameters are matched by name where both sides have names, whatever their
        order and groups, and by place otherwise. Moments keep the dtype they were
        saved in. Errors: `ValueError` or `TypeError` if the state is another rule's,
        or does not fit the parameters, or holds a bad hyperparameter; the optimizer
        is then unchanged.
        """
        with self._errors_named():
            checkpoint.load(self, state_dict)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step with the gradients there are; return the closure's loss.

        Errors: `ValueError` for a hyperparameter that has become bad, `RuntimeError`
        for a sparse gradient, `FloatingPointError` where `nonfinite` is "raise".
        Nothing has changed then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            self._step()
        return loss

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _step(self) -> None:
        namespaces = [_namespace(group) for group in self.param_groups]
        rules = [self._rule(i, xp) for i, xp in enumerate(namespaces)]
        with self._errors_named():
            refuse_sparse(self.param_groups)
            _refuse_capture(self.param_groups)
            if self._meets_nonfinite():
                for group in self.param_groups:
                    group["skipped_steps"] += 1
                return
        first = 0
        for index, (rule, xp) in enumerate(zip(rules, namespaces, strict=True)):
            group = self.param_groups[index]
            roster = self._rosters.setdefault(index, Roster(group["state_dtype"]))
            buckets = roster.call(group, self.state, peak=rule.peak, first=first)
            first += len(group["params"])
            for bucket in buckets:
                bucket.advance(capturable=group["capturable"])
                if bucket.params:
                    backend = choose(group, bucket.params[0]).backend
                    backend.update(_numbers(rule, group, bucket, xp), bucket)
                bucket.release()

    def _rule(self, index: int, xp: Namespace) -> Rule:
        """Return a group's rule, or refuse its hyperparameters and flags by name."""
        group = self.param_groups[index]
        where = f"parameter group {index}: " if len(self.param_groups) > 1 else ""
        with self._errors_named(where):
            check_flags(group)
            if group["differentiable"] != self.defaults["differentiable"]:
                raise ValueError(
                    f"differentiable is {group['differentiable']} in a group of an "
                    f"optimizer made with {self.defaults['differentiable']}; set it "
                    "for the whole optimizer."
                )
            roster = self._rosters.get(index)
            if roster is not None and roster.state_dtype != group["state_dtype"]:
                raise ValueError(
                    f"state_dtype has become {group['state_dtype']!r}, and the moments "
                    f"are stored in {roster.state_dtype!r}; set it back."
                )
            if group["fused"]:
                for param in group["params"]:
                    choose(group, param)
            if xp is math or not isinstance(group["lr"], Tensor):
                limits.learning_rate(group["lr"])
        hyperparameters = {name: group[name] for name in self.recipe.defaults}
        return self.recipe.rule(_widened(hyperparameters, xp), xp, where)

    def _meets_nonfinite(self) -> bool:
        """Whether this step is to be left out; raises where that is the policy."""
        for policy in ("raise", "skip"):
            watched = (
                pair
                for index, group in enumerate(self.param_groups)
                if group["nonfinite"] == policy
                for pair in named(index, group)
            )
            name = first_nonfinite(watched)
            if name is not None and policy == "raise":
                raise FloatingPointError(
                    f"the gradient of {name} is infinite or NaN; nothing was changed. "
                    "To leave such steps out, use nonfinite='skip'."
                )
            if name is not None:
                return True
        return False

    @contextlib.contextmanager
    def _errors_named(self, where: str = "") -> Iterator[None]:
        """Begin the errors raised inside with the optimizer's name."""
        try:
            yield
        except OURS as error:
            if type(error) not in OURS or str(error).startswith(self.recipe.name):
                raise
            raise type(error)(f"{self.recipe.name}: {where}{error}") from None


def _refuse_capture(groups: list[dict[str, Any]]) -> None:
    """Refuse to be captured with numbers that a replay would repeat for ever."""
    if all(group["capturable"] for group in groups):
        return
    # Asking an uninitialised CUDA would initialise it.
    initialised: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    if initialised and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "a graph is being captured, which would replay this step's numbers for "
            "ever; construct the optimizer with capturable=True."
        )


def _namespace(group: Mapping[str, Any]) -> Namespace:
    """Return where a group's numbers are computed: on the host, or by torch."""
    if group["capturable"]:
        return TORCH
    if not group["differentiable"]:
        return math
    options = (*group.values(), *group.get("betas", ()))
    return TORCH if any(isinstance(option, Tensor) for option in options) else math


def _widened(hyperparameters: dict[str, Any], xp: Namespace) -> dict[str, Any]:
    """Return hyperparameters whose tensors, betas included, are float64 scalars."""
    if xp is math:
        return hyperparameters
    return {
        name: tuple(map(_wide, value))
        if isinstance(value, tuple | list)
        else _wide(value)
        for name, value in hyperparameters.items()
    }


def _wide(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.reshape(()).to(torch.float64)


def _numbers(
    rule: Rule, group: Mapping[str, Any], bucket: Bucket, xp: Namespace
) -> Coefficients:
    """Return the twelve numbers of a bucket's step."""
    lr, step = group["lr"], bucket.step
    if xp is math:
        lr = limits.learning_rate(lr)
    else:
        lr = _wide(lr)
        step = torch.as_tensor(step, dtype=torch.float64)
    numbers = rule.at(step, lr, xp)
    if xp is math and bucket.dtype == torch.float32:
        # A number too small for a float32 is none, on every path.
        numbers = Coefficients(*array("f", numbers))
    return numbers._replace(scale=-1.0) if group["maximize"] else numbers

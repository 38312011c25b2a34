"""The one optimizer: everything torch expects of one, for every rule of the family."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, overload

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.optimizer import ParamsT

from mementum.family import picture
from mementum.family.memory import Namespace
from mementum.family.recipes import Recipe
from mementum.family.rule import Rule
from mementum.torch.backends import choose
from mementum.torch.checkpoint import state_dict as checkpoint
from mementum.torch.groups.errors import named_after
from mementum.torch.groups.options import (
    COUNTS,
    EXECUTION,
    Execution,
    named,
    plain,
    refuse_names,
)
from mementum.torch.groups.parameter_checks import (
    refuse_kinds,
    refuse_shared_memory,
    refuse_storage,
)
from mementum.torch.inspect import explanation, telemetry
from mementum.torch.inspect.telemetry import Telemetry
from mementum.torch.state import sharding
from mementum.torch.step import compiled, gradient_scaling, probe_step
from mementum.torch.step.bucketing import Roster, Rosters, called
from mementum.torch.step.coefficients import namespace, numbers, refuse_capture
from mementum.torch.step.gradient_norms import refuse_sparse
from mementum.torch.step.gradient_scaling import Intake, held, refuse_scaling, tally
from mementum.torch.step.rule_cache import Rules

Number = float | Tensor


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
        self._rosters = Rosters()
        self._in_backward = False
        self._norm: float | Tensor | None = None
        self.names: dict[Tensor, str] = {}
        self._constructed = False
        defaults = plain({"lr": lr, **hyperparameters, **EXECUTION, **execution})
        self._rules = Rules(self.recipe, differentiable=defaults["differentiable"])
        super().__init__(params, defaults)
        self._constructed = True
        self._enrol()
        self._check_memory()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled optimizer; flags it was saved without take defaults."""
        super().__setstate__(state)
        self._rosters = Rosters()
        differentiable = self.defaults.get("differentiable", False)
        self._rules = Rules(self.recipe, differentiable=differentiable)
        self._enrol()
        self._norm = None
        self._in_backward = self.__dict__.get("_in_backward", False)
        self.__dict__.setdefault("names", {})
        self._constructed = True
        for group in self.param_groups:
            for name, default in (EXECUTION | self.defaults).items():
                group.setdefault(name, default)
            group.setdefault("rule", self.recipe.kind)
            for count in COUNTS:
                group.setdefault(count, 0)

    @property
    def skipped_steps(self) -> int:
        """Return how many steps were left out for a gradient that was not finite."""
        return max(int(group["skipped_steps"]) for group in self.param_groups)

    @property
    def clipped_steps(self) -> int:
        """Return how many steps had a gradient longer than `clip_norm`."""
        return max(int(group["clipped_steps"]) for group in self.param_groups)

    @property
    def gradient_norm(self) -> float | None:
        """Return the last norm that `clip_norm` looked at, of unscaled gradients."""
        return None if self._norm is None else float(self._norm)

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Whether a GradScaler is to leave unscaling and its verdict to the step.

        It does where a capture allows it no look at the verdict. Elsewhere it looks
        anyway, and trainers that clip by themselves want the gradients unscaled.
        """
        captured = all(group["capturable"] for group in self.param_groups)
        return captured or self._in_backward

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
        kept = {"rule": self.recipe.kind, **dict.fromkeys(COUNTS, 0)}
        super().add_param_group(kept | plain(param_group))
        try:
            self._rules.of(len(self.param_groups) - 1, self.param_groups, math)
            if self._constructed:
                self._check_memory()
                self._enrol()
        except Exception:
            self.param_groups.pop()
            raise

    def check(self) -> None:
        """Refuse hyperparameters and flags that are, or have become, bad.

        Every step checks those it can read without waiting for a device. Errors:
        `ValueError`, `TypeError` or `NotImplementedError`, naming group and argument.
        """
        self._rules_on_host()

    def explain(self, plot: Path | str | None = None) -> str:
        """Return each group's equations and numbers, and the path that runs it.

        `plot` names a picture file to draw the memory profiles in; that needs
        matplotlib.
        """
        rules = self._rules_on_host()
        if plot is not None:
            averages = {f"group {i}": rule.square for i, rule in enumerate(rules)}
            picture.draw(averages, Path(plot))
        return explanation.text(self, rules)

    def telemetry(self) -> Telemetry:
        """Return what the state says: memory, sizes of updates, squares that rest.

        It is computed when asked, in one pass over the state; steps keep no record but
        two counts. Of sharded parameters it reads the shards of this process.
        """
        return telemetry.of(self, self._rules_on_host())

    def _rules_on_host(self) -> list[Rule]:
        """Return the rules of the groups, or refuse what a group says."""
        self._rosters.refuse_other_storage(self.param_groups, self.recipe.name)
        indices = range(len(self.param_groups))
        return [self._rules.of(index, self.param_groups, math) for index in indices]

    def _enrol(self) -> None:
        """Keep what a compiled step is told: a number, and all parameters in a row."""
        self._number = compiled.enrol(self)
        self._every = [p for group in self.param_groups for p in group["params"]]
        plain_tensors = {type(param) for param in self._every} <= {Tensor, Parameter}
        self._traceable = plain_tensors and not self.defaults["differentiable"]

    def _check_memory(self) -> None:
        with named_after(self.recipe.name):
            refuse_kinds(self.named_params())
            refuse_shared_memory(self.named_params())
            for index, group in enumerate(self.param_groups):
                refuse_storage(named(index, group), group["state_dtype"])
                if group["differentiable"]:
                    sharding.refuse_derivatives(named(index, group))

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
        with named_after(self.recipe.name):
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
        self._opt_called = True
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if torch.compiler.is_compiling() and self._traceable:
            compiled.call(self, self._number, self._every)
            return loss
        scaling = (getattr(self, name, None) for name in ("grad_scale", "found_inf"))
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            self._step(*scaling)
        return loss

    # A scheduler wraps the step to learn that it was called, in a function that
    # torch.compile refuses. It leaves alone what says so and is wrapped already.
    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _step(self, grad_scale: Any = None, found_inf: Any = None) -> None:
        groups = self.param_groups
        self._rosters.refuse_other_storage(groups, self.recipe.name)
        spaces = [namespace(group) for group in groups]
        rules = [self._rules.of(i, groups, xp) for i, xp in enumerate(spaces)]
        # Asked before state is begun.
        rehearsed = not self.state and probe_step.is_one(groups)
        try:
            with named_after(self.recipe.name):
                taken = self._gather(rules, grad_scale, found_inf)
            for group in groups:
                tally(group, "skipped_steps", taken.left_out)
                tally(group, "clipped_steps", taken.clipped)
            self._norm = taken.norm
            if rehearsed or taken.left_out is True:
                return
            for index, (rule, xp) in enumerate(zip(rules, spaces, strict=True)):
                _update(groups[index], self._rosters[index], rule, xp, taken)
        finally:
            self._rosters.release()

    def _gather(self, rules: list[Rule], grad_scale: Any, found_inf: Any) -> Intake:
        """Gather the tensors of a step, and say what it does with the gradients."""
        groups, first, calls = self.param_groups, 0, []
        refuse_capture(groups)
        refuse_scaling(self._in_backward, grad_scale, found_inf)
        for group, rule in zip(groups, rules, strict=True):
            calls.append(called(group, peak=rule.peak, first=first))
            first += len(group["params"])
        changed = self._rosters.gather(calls, self.state)
        if changed:
            refuse_names([groups[index] for index in changed])
            refuse_sparse(groups)
        taken = gradient_scaling.of(groups, grad_scale, found_inf)
        if changed and taken.left_out is not True:
            self._rosters.divide(calls, changed, self.state, self.names)
        return taken

    def _step_alone(self, index: int, place: int, roster: Roster) -> None:
        """Step one parameter of a group, as the whole step would without the others."""
        group = self.param_groups[index]
        alone = {**group, "params": [group["params"][place]]}
        xp = namespace(group)
        try:
            with named_after(self.recipe.name):
                refuse_names([group])
                if "param_names" in group:
                    alone["param_names"] = [group["param_names"][place]]
                roster.refuse_other_storage(group)
                refuse_capture([alone])
            rule = self._rules.of(index, self.param_groups, xp, alone)
            before = self.param_groups[:index]
            first = place + sum(len(each["params"]) for each in before)
            call = called(alone, peak=rule.peak, first=first)
            with named_after(self.recipe.name):
                if not roster.knows(self.state) or not roster.stands(call):
                    refuse_sparse([alone])
                    roster.divide(call, self.state, self.names)
            _update(alone, roster, rule, xp, Intake())
        finally:
            roster.release()


def _update(
    group: dict[str, Any], roster: Roster, rule: Rule, xp: Namespace, taken: Intake
) -> None:
    """Step a group whose tensors have been gathered."""
    for bucket in roster.ready(group):
        bucket.advance(capturable=group["capturable"], left_out=taken.left_out)
        if bucket.params:
            if isinstance(taken.left_out, Tensor):
                bucket.grads = held(bucket.grads, taken.left_out)
            backend = choose(group, bucket.params[0]).backend
            backend.update(numbers(rule, group, bucket, xp, taken), bucket)

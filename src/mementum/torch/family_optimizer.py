"""The one optimizer: everything torch expects of one, for every rule of the family."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, overload

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.optimizer import ParamsT, StateDict
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

from mementum.family import picture
from mementum.family.recipes import Recipe
from mementum.family.rule import Rule
from mementum.torch.checkpoint.state_dict import annotate, check_form, resolve
from mementum.torch.groups.arguments import listed_group, listed_some, refuse_unknown
from mementum.torch.groups.errors import named_after
from mementum.torch.groups.options import (
    COUNTS,
    EXECUTION,
    Execution,
    Group,
    named,
    plain,
    refuse_names,
)
from mementum.torch.groups.parameter_checks import refuse_parameters
from mementum.torch.inspect import explanation, telemetry
from mementum.torch.inspect.telemetry import Telemetry
from mementum.torch.state import State
from mementum.torch.step import compiled, probe_step
from mementum.torch.step.bucketing import BucketCache, GroupStep
from mementum.torch.step.coefficients import namespace
from mementum.torch.step.gradient_scaling import refuse_scaling
from mementum.torch.step.procedure import take_step
from mementum.torch.step.rule_cache import RuleCache

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
        refuse_unknown(self.recipe.name, execution, hyperparameters)
        with named_after(self.recipe.name):
            entries = listed_some(params)
        self._buckets = BucketCache()
        # Set while step_in_backward steps the parameters.
        self.in_backward = False
        self._norm: float | Tensor | None = None
        self.names: MutableMapping[Tensor, str] = WeakTensorKeyDictionary()
        self._constructed = False
        defaults = plain({"lr": lr, **hyperparameters, **EXECUTION, **execution})
        self._rules = RuleCache(self.recipe, differentiable=defaults["differentiable"])
        super().__init__(entries, defaults)
        self._constructed = True
        self._annotate_state_dicts()
        self._register()
        with named_after(self.recipe.name):
            refuse_parameters(self.param_groups)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled optimizer; flags it was saved without take defaults."""
        super().__setstate__(state)
        # It stays when a state is loaded, and is not pickled.
        if "_annotation" not in self.__dict__:
            self._annotate_state_dicts()
        self._buckets = BucketCache()
        differentiable = self.defaults.get("differentiable", False)
        self._rules = RuleCache(self.recipe, differentiable=differentiable)
        self._register()
        self._norm = None
        self.in_backward = self.__dict__.get("in_backward", False)
        self.__dict__.setdefault("names", WeakTensorKeyDictionary())
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
        return captured or self.in_backward

    def named_params(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter with its name, or with its place if it has none."""
        for index, group in enumerate(self.param_groups):
            yield from named(index, group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with hyperparameters of their own, as torch's method does.

        Errors: `ValueError` or `TypeError` for a bad hyperparameter and for memory
        that two parameters would share; the optimizer is then unchanged.
        """
        begun = {"rule": self.recipe.kind, **dict.fromkeys(COUNTS, 0)}
        with named_after(self.recipe.name):
            group = plain(begun | listed_group(param_group))
        super().add_param_group(group)
        last = len(self.param_groups) - 1
        try:
            self._rules.rule(last, self.param_groups, math)
            if self._constructed:
                with named_after(self.recipe.name):
                    refuse_parameters(self.param_groups, since=last)
                self._register()
        except Exception:
            self.param_groups.pop()
            raise

    def check(self) -> None:
        """Refuse hyperparameters and flags that are, or have become, bad.

        Every step checks those it can read without waiting for a device. Errors:
        `ValueError`, `TypeError` or `NotImplementedError`, naming group and argument.
        """
        self._rules_on_host()

    def explain(self, plot: Path | str | None = None) -> explanation.Explanation:
        """Return each group's equations and numbers, and the path that runs it.

        `plot` names a picture file to draw the memory profiles in; that needs
        matplotlib.
        """
        rules = self._rules_on_host()
        if plot is not None:
            averages = {f"group {i}": rule.square for i, rule in enumerate(rules)}
            picture.draw(averages, Path(plot))
        return explanation.describe(
            self.recipe,
            self.param_groups,
            self.state,
            rules,
            skipped_steps=self.skipped_steps,
        )

    def telemetry(self) -> Telemetry:
        """Return what the state says: memory, sizes of updates, squares that rest.

        It is computed when asked, in one pass over the state; steps keep no record but
        two counts. Of sharded parameters it reads the shards of this process.
        """
        return telemetry.measure(
            self.param_groups,
            self.state,
            self._rules_on_host(),
            skipped_steps=self.skipped_steps,
            clipped_steps=self.clipped_steps,
            gradient_norm=self.gradient_norm,
        )

    def _rules_on_host(self) -> list[Rule]:
        """Return the rules of the groups, or refuse what a group says."""
        self._buckets.refuse_other_storage(self.param_groups, self.recipe.name)
        indices = range(len(self.param_groups))
        return [self._rules.rule(index, self.param_groups, math) for index in indices]

    def _register(self) -> None:
        """Make the step known to graphs."""
        # By the name `param_groups` torch.compile would compile every number in.
        self._groups = self.param_groups
        self._number = compiled.register(self._step_in_graph)
        kinds = set(map(type, compiled.params_of(self._groups)))
        plain_tensors = kinds <= {Tensor, Parameter}
        self._traceable = plain_tensors and not self.defaults["differentiable"]

    def register_state_dict_post_hook(
        self,
        hook: Callable[[torch.optim.Optimizer, StateDict], StateDict | None],
        prepend: bool = False,
    ) -> RemovableHandle:
        """Register a function of optimizer and state dict, as torch's method does.

        The first one registered sees all that a state dict of ours says.
        """
        handle = super().register_state_dict_post_hook(hook, prepend)
        if prepend:
            self._annotation.remove()
            self._annotate_state_dicts()
        return handle

    def _annotate_state_dicts(self) -> None:
        """Have state dicts say what they are, before any other hook sees them."""
        self._annotation = super().register_state_dict_post_hook(
            lambda own, saved: annotate(saved, own.param_groups), prepend=True
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, by an optimizer of the same rule.

        Parameters are matched by name where both sides have names, whatever their
        order and groups, and by place otherwise. Moments keep the dtype they were
        saved in. Errors: `ValueError` or `TypeError` if the state is another rule's,
        or does not fit the parameters, or holds a bad hyperparameter; the optimizer
        is then unchanged.
        """
        with named_after(self.recipe.name):
            loaded: Any = state_dict
            if not isinstance(loaded, dict):
                check_form(loaded)
            loaded = loaded.copy()
            for before in self._optimizer_load_state_dict_pre_hooks.values():
                loaded = before(self, loaded) or loaded
            groups, state = resolve(self.recipe, self.param_groups, loaded)
            self._install(groups, state)
            for after in self._optimizer_load_state_dict_post_hooks.values():
                after(self)

    def _install(self, groups: list[Group], state: Mapping[Any, Any]) -> None:
        """Put groups and state in place, or leave the old if the new are refused."""
        before = self.state, self.param_groups, self._buckets
        try:
            self.__setstate__({"state": state, "param_groups": groups})
            self.check()
        except Exception:
            self.state, self.param_groups, self._buckets = before
            raise

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
        scale = getattr(self, "grad_scale", None)
        found_inf = getattr(self, "found_inf", None)
        if torch.compiler.is_compiling() and self._traceable:
            params = compiled.params_of(self._groups)
            compiled.call(self._number, params, scale, found_inf)
            return loss
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            self._step(scale, found_inf)
        return loss

    # A scheduler wraps the step to learn that it was called, in a function that
    # torch.compile refuses. It leaves alone what says so and is wrapped already.
    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]

    # torch.compiler.disable would load the compiler.
    @torch._disable_dynamo  # type: ignore[attr-defined]
    def _step(
        self, grad_scale: Tensor | None = None, found_inf: Tensor | None = None
    ) -> None:
        # What schedulers look at; torch before 2.12 refuses to trace it.
        self._opt_called = True
        groups, steps, first = self.param_groups, [], 0
        self._groups = groups
        self._buckets.refuse_other_storage(groups, self.recipe.name)
        for index, group in enumerate(groups):
            rule = self._rules.rule(index, groups, namespace(group))
            steps.append(GroupStep.build(group, rule, first))
            first += len(group["params"])
        if self.in_backward:
            with named_after(self.recipe.name):
                refuse_scaling(grad_scale, found_inf)
        # Before state is begun.
        probe = not self.state and probe_step.is_one(groups)
        scaling = take_step(
            steps,
            self._buckets,
            self.state,
            grad_scale,
            found_inf,
            names=self.names,
            optimizer=self.recipe.name,
            update=not probe,
        )
        self._norm = scaling.norm

    def step_parameter(self, index: int, place: int, buckets: BucketCache) -> None:
        """Step one parameter of a group, as the whole step would without the others.

        `buckets` are kept for that parameter from step to step. Errors: as `step`.
        """
        group = self.param_groups[index]
        param = group["params"][place]
        alone = {**group, "params": [param]}
        if "param_names" in group:
            with named_after(self.recipe.name):
                refuse_names([group])
            alone["param_names"] = [group["param_names"][place]]
        buckets.refuse_other_storage([alone], self.recipe.name)
        rule = self._rules.rule(index, self.param_groups, namespace(group), alone)
        first = place + sum(len(each["params"]) for each in self.param_groups[:index])
        known = param in self.state
        state: State = {param: self.state[param]} if known else defaultdict(dict)
        with torch.no_grad():
            take_step(
                [GroupStep.build(alone, rule, first)],
                buckets,
                state,
                names=self.names,
                optimizer=self.recipe.name,
            )
        if not known:
            self.state.update(state)

    def _step_in_graph(
        self,
        places: Sequence[int],
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        grad_scale: Tensor | None,
        found_inf: Tensor | None,
    ) -> None:
        """Take the step of a compiled graph, with the tensors that it has."""
        if self._groups is not self.param_groups:
            raise RuntimeError(
                f"{self.recipe.name}: param_groups is another list than when the step "
                "was compiled; change the list that it was, or step without a graph."
            )
        own = compiled.params_of(self._groups)
        lent = compiled.tensors_of_a_graph(own, places, params, grads)
        with lent, torch.no_grad():
            self._step(grad_scale, found_inf)

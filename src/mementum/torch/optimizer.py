"""The one optimizer: everything torch expects of one, for every rule of the family."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, overload

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.optimizer import ParamsT

from mementum import limits, picture
from mementum.memory import Namespace
from mementum.recipes import Recipe
from mementum.rule import Rule
from mementum.torch import (
    checkpoint,
    explanation,
    intake,
    rehearsal,
    sharding,
    telemetry,
    traced,
)
from mementum.torch.backends import choose
from mementum.torch.bucket import Entries, Roster
from mementum.torch.coefficients import namespace, numbers, widened
from mementum.torch.gradients import refuse_sparse
from mementum.torch.groups import (
    COUNTS,
    EXECUTION,
    Execution,
    check_flags,
    named,
    plain,
)
from mementum.torch.intake import Intake, held
from mementum.torch.layout import refuse_kinds, refuse_shared_memory, refuse_storage
from mementum.torch.state import MOMENTS
from mementum.torch.telemetry import Telemetry

Number = float | Tensor
OURS = (
    FloatingPointError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Unknown(NamedTuple):
    """A group to be divided: its parameters that have a gradient, and those.

    `first` is the place of the group's first parameter among all of the optimizer's.
    """

    roster: Roster
    group: dict[str, Any]
    live: list[Tensor]
    grads: list[Tensor]
    peak: bool
    first: int


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
        self._entries = Entries()
        self._rules: dict[int, tuple[list[Any], Rule]] = {}
        self._in_backward = False
        self._norm: float | Tensor | None = None
        self.names: dict[Tensor, str] = {}
        self._constructed = False
        defaults = {"lr": lr, **hyperparameters, **EXECUTION, **execution}
        super().__init__(params, plain(defaults))
        self._constructed = True
        self._enrol()
        self._check_memory()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled optimizer; flags it was saved without take defaults."""
        super().__setstate__(state)
        self._rosters = {}
        self._entries = Entries()
        self._rules = {}
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
            self._rule(len(self.param_groups) - 1, math)
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

    def telemetry(self) -> Telemetry:
        """Return what the state says: memory, sizes of updates, squares that rest.

        It is computed when asked, in one pass over the state; steps keep no record but
        two counts. Of sharded parameters it reads the shards of this process.
        """
        indices = range(len(self.param_groups))
        return telemetry.of(self, [self._rule(index, math) for index in indices])

    def _enrol(self) -> None:
        """Keep what a compiled step is told: a number, and all parameters in a row."""
        self._number = traced.enrol(self)
        self._every = [p for group in self.param_groups for p in group["params"]]
        plain_tensors = {type(param) for param in self._every} <= {Tensor, Parameter}
        self._traceable = plain_tensors and not self.defaults["differentiable"]

    def _check_memory(self) -> None:
        with self._errors_named():
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
        self._opt_called = True
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if torch.compiler.is_compiling() and self._traceable:
            traced.call(self, self._number, self._every)
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
        spaces = [namespace(group) for group in self.param_groups]
        rules = [self._rule(i, xp) for i, xp in enumerate(spaces)]
        # Asked before state is begun.
        rehearsed = not self.state and rehearsal.is_one(self.param_groups)
        with self._errors_named():
            _refuse_capture(self.param_groups)
            _refuse_scaling(self._in_backward, grad_scale, found_inf)
            rosters, unknown = self._look(rules)
            taken = intake.of(self.param_groups, grad_scale, found_inf)
            if taken.left_out is not True:
                self._divide(unknown)
        for group in self.param_groups:
            _count(group, "skipped_steps", taken.left_out)
            _count(group, "clipped_steps", taken.clipped)
        self._norm = taken.norm
        if rehearsed or taken.left_out is True:
            return
        for rule, xp, group, roster in zip(
            rules, spaces, self.param_groups, rosters, strict=True
        ):
            _update(group, roster, rule, xp, taken)

    def _look(self, rules: list[Rule]) -> tuple[list[Roster], list[Unknown]]:
        """Return the groups' rosters, and the groups that are not as they were."""
        same = self._entries.same(self.state)
        rosters, unknown, first = [], [], 0
        for index, (group, rule) in enumerate(
            zip(self.param_groups, rules, strict=True)
        ):
            roster = self._rosters.setdefault(index, Roster(group["state_dtype"]))
            roster.names = self.names
            live, grads = _live(group["params"])
            if not same or not roster.stands(
                group, live, grads, peak=rule.peak, first=first
            ):
                unknown.append(Unknown(roster, group, live, grads, rule.peak, first))
            rosters.append(roster)
            first += len(group["params"])
        if unknown:
            _refuse_names([each.group for each in unknown])
            refuse_sparse(self.param_groups)
        return rosters, unknown

    def _divide(self, unknown: list[Unknown]) -> None:
        """Divide the parameters of groups anew, and begin the state they want."""
        for roster, group, live, grads, peak, first in unknown:
            roster.divide(group, live, grads, self.state, peak=peak, first=first)
        if unknown:
            self._entries.note(self.state)

    def _step_alone(self, index: int, place: int, roster: Roster) -> None:
        """Step one parameter of a group, as the whole step would without the others."""
        group = self.param_groups[index]
        with self._errors_named():
            _refuse_names([group])
        alone = {**group, "params": [group["params"][place]]}
        if "param_names" in group:
            alone["param_names"] = [group["param_names"][place]]
        xp = namespace(group)
        rule = self._rule(index, xp, alone)
        roster.names = self.names
        live, grads = _live(alone["params"])
        with self._errors_named():
            _refuse_other_storage(roster, alone)
            _refuse_capture([alone])
            before = self.param_groups[:index]
            first = place + sum(len(each["params"]) for each in before)
            if not roster.knows(self.state) or not roster.stands(
                alone, live, grads, peak=rule.peak, first=first
            ):
                refuse_sparse([alone])
                self._divide([Unknown(roster, alone, live, grads, rule.peak, first)])
        _update(alone, roster, rule, xp, Intake())

    def _rule(
        self, index: int, xp: Namespace, part: dict[str, Any] | None = None
    ) -> Rule:
        """Return the rule of a group, or of a part of it, or refuse what it says.

        What a group says is looked at again only when it says something else.
        """
        group = part or self.param_groups[index]
        where = f"parameter group {index}: " if len(self.param_groups) > 1 else ""
        said = [group[name] for name in (*EXECUTION, *self.recipe.defaults)]
        said.append(self.param_groups[0]["clip_norm"])
        known = self._rules.get(index)
        if xp is math and known is not None and _same(said, known[0]):
            with self._errors_named(where):
                limits.learning_rate(group["lr"])
            return known[1]
        with self._errors_named(where):
            self._check_group(index, group)
            if xp is math or not isinstance(group["lr"], Tensor):
                limits.learning_rate(group["lr"])
        hyperparameters = {name: group[name] for name in self.recipe.defaults}
        rule = self.recipe.rule(widened(hyperparameters, xp), xp, where)
        # A mapping, a list or a tensor may come to say something else by itself.
        if xp is math and not group["fused"] and all(map(_is_settled, said)):
            self._rules[index] = said, rule
        return rule

    def _check_group(self, index: int, group: dict[str, Any]) -> None:
        """Refuse flags that are bad, or at odds with those of the optimizer."""
        check_flags(group)
        if group["differentiable"] != self.defaults["differentiable"]:
            raise ValueError(
                f"differentiable is {group['differentiable']} in a group of an "
                f"optimizer made with {self.defaults['differentiable']}; set it "
                "for the whole optimizer."
            )
        agreed = self.param_groups[0]["clip_norm"]
        if group["clip_norm"] != agreed:
            raise ValueError(
                f"clip_norm is {group['clip_norm']} here and {agreed} in parameter "
                "group 0, but there is one norm, over all groups; set it to one "
                "value in all of them."
            )
        roster = self._rosters.get(index)
        if roster is not None:
            _refuse_other_storage(roster, group)
        if group["fused"]:
            for param in group["params"]:
                choose(group, sharding.local(param))

    @contextlib.contextmanager
    def _errors_named(self, where: str = "") -> Iterator[None]:
        """Begin the errors raised inside with the optimizer's name."""
        try:
            yield
        except KeyError as error:
            if error.args[0] not in ("step", *MOMENTS):
                raise
            raise RuntimeError(
                f"{self.recipe.name}: {where}the state of a parameter has no "
                f"{error.args[0]!r}, which something has taken out; load a state dict, "
                "or delete the whole of the parameter's state to begin it anew."
            ) from None
        except OURS as error:
            if type(error) not in OURS or str(error).startswith(self.recipe.name):
                raise
            raise type(error)(f"{self.recipe.name}: {where}{error}") from None


def _update(
    group: dict[str, Any], roster: Roster, rule: Rule, xp: Namespace, taken: Intake
) -> None:
    """Step a group whose tensors have been gathered."""
    for bucket in roster.call(group):
        bucket.advance(capturable=group["capturable"], left_out=taken.left_out)
        if bucket.params:
            if isinstance(taken.left_out, Tensor):
                bucket.grads = held(bucket.grads, taken.left_out)
            backend = choose(group, bucket.params[0]).backend
            backend.update(numbers(rule, group, bucket, xp, taken), bucket)
        bucket.release()


def _same(said: list[Any], known: list[Any]) -> bool:
    """Whether a group says what it said, in values of the same types."""
    if not all(map(_is_settled, said)):
        return False
    return list(map(type, said)) == list(map(type, known)) and said == known


def _is_settled(value: Any) -> bool:
    """Whether a value cannot change, and equals nothing that means something else."""
    if type(value) is tuple:
        return all(type(each) is float for each in value)
    return value is None or type(value) in (bool, int, float, str)


def _live(params: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters that have a gradient, and the gradients."""
    grads = [param.grad for param in params]
    present = [grad for grad in grads if grad is not None]
    if len(present) < len(grads):
        params = [param for param in params if param.grad is not None]
    return params, present


def _refuse_names(groups: list[dict[str, Any]]) -> None:
    """Refuse names that are not one for each parameter."""
    for group in groups:
        names, count = group.get("param_names"), len(group["params"])
        if names is not None and len(names) != count:
            raise ValueError(
                f"a group has {count} params and {len(names)} param_names; what is "
                "taken out of one list, or put in, belongs out of or in the other."
            )


def _refuse_other_storage(roster: Roster, group: dict[str, Any]) -> None:
    """Refuse a storage that is not the one in which the moments are."""
    if roster.state_dtype != group["state_dtype"]:
        raise ValueError(
            f"state_dtype has become {group['state_dtype']!r}, and the moments are "
            f"stored in {roster.state_dtype!r}; set it back."
        )


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


def _refuse_scaling(in_backward: bool, *scaling: Any) -> None:
    """Refuse a scale that comes after the parameters were stepped."""
    if in_backward and any(each is not None for each in scaling):
        raise RuntimeError(
            "a GradScaler knows its scale is bad only after the backward pass, which "
            "step_in_backward has stepped in; train in bfloat16, or use the ordinary "
            "loop."
        )


def _count(group: dict[str, Any], name: str, happened: bool | Tensor) -> None:
    """Add to a count: on the host, or in place on the device where that is known."""
    if isinstance(happened, Tensor) and not isinstance(group[name], Tensor):
        count, device = group[name], happened.device
        group[name] = torch.full((), count, dtype=torch.int64, device=device)
    if happened is not False:
        group[name] += happened

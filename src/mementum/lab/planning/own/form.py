"""What a file with an optimizer says, and what a class says by its signature.

A file has `optimizer(params, lr, **options)`, and may have `name`, `lr` and `space`.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from torch.optim import Optimizer

from mementum.family.limits import nearest
from mementum.lab.arguments import Argument, ArgumentError, Real
from mementum.lab.errors import UserCodeError, blamed
from mementum.lab.planning.contender import Contender
from mementum.lab.planning.own.source import Source
from mementum.lab.planning.search_spaces import Choice, Dimension
from mementum.lab.records import codec
from mementum.lab.records.run import Option

_HOW = ("foreach", "fused", "maximize", "differentiable", "capturable")
"""What says how torch computes a step, and is no hyperparameter."""


@dataclass(frozen=True)
class _Made:
    """Makes an optimizer with the user's code, and answers for what it returns."""

    source: Source
    make: Callable[..., object]

    def __call__(self, subject: Any, *, lr: float, **options: Any) -> Optimizer:
        with self.source.home(), blamed(self.source.path):
            found = self.make(subject, lr=lr, **options)
        if not isinstance(found, Optimizer):
            raise UserCodeError(
                f"{self.source.place}: optimizer() returned {type(found).__name__}; "
                "return a torch.optim.Optimizer."
            )
        return found


def read(
    source: Source, rates: Mapping[str, Real], name: str | None = None
) -> Contender:
    """Return the contender that a source describes.

    Args:
        source: The file, module or class.
        rates: Centres of grids in the place of their own, by names in lower case.
        name: What a package calls it, where its module says no name.

    Errors: `LabError` for what is missing in it, or cannot be.
    """
    place, subject = source.place, source.subject
    if isinstance(subject, ModuleType):
        said, make, usual = (
            vars(subject),
            vars(subject).get("optimizer"),
            source.path.stem,
        )
    else:
        said, make, usual = {}, subject, subject.__name__
    if not callable(make):
        raise UserCodeError(
            f"{place} defines no function optimizer. A contender has "
            "optimizer(params, lr), and may have name, lr and space."
        )
    named = _name(place, said.get("name", name or usual))
    first, taken, open_ended = _taken(place, make)
    rate = said.get("lr", taken["lr"].default if "lr" in taken else None)
    return Contender(
        optimizer_name=named,
        lr=_rate(named, rates.get(named.lower(), rate)),
        options=_options(taken),
        factory=_Made(source, make),
        space=_space(place, said.get("space", {}), None if open_ended else [*taken]),
        identity={f"contender {named}": source.identity},
        home=source.home,
        renewed=functools.partial(_renewed, source, rates, name),
        takes_model=first == "model",
        decays=open_ended or "weight_decay" in taken,
    )


def _renewed(
    source: Source, rates: Mapping[str, Real], name: str | None
) -> Contender | None:
    """Return the contender of a file executed anew, if it is to be."""
    found = source.renewed()
    return None if found is None else read(found, rates, name)


def centred(contender: Contender, rates: Mapping[str, Real]) -> Contender:
    """Return the contender with the centre of its grid where it is told."""
    rate = rates.get(contender.name.lower(), contender.lr)
    return replace(contender, lr=_rate(contender.name, rate))


def _name(place: str, name: object) -> str:
    """Return the name if a table can show it."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w +-]{0,39}", name):
        raise UserCodeError(
            f"{place}: name is {name!r}; give up to 40 letters, digits, spaces, "
            "dashes and underscores."
        )
    return name.strip()


_Taken = Mapping[str, inspect.Parameter]


def _taken(place: str, make: Callable[..., object]) -> tuple[str, _Taken, bool]:
    """Return the first parameter, the others by name, and whether any goes."""
    try:
        parameters = [*inspect.signature(make).parameters.values()]
    except (TypeError, ValueError) as error:
        raise UserCodeError(f"{place}: its parameters are not known ({error}).") from (
            error
        )
    plain = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
    open_ended = len(plain) < len(parameters)
    names = {each.name: each for each in plain[1:]}
    if not plain or not (open_ended or "lr" in names):
        given = ", ".join(each.name for each in plain) or "nothing"
        raise UserCodeError(
            f"{place}: optimizer() takes {given}; "
            "let it take the parameters (or the model) first, and lr."
        )
    lacking = [
        key
        for key, each in names.items()
        if key != "lr"
        and each.default is each.empty
        and each.kind is not (each.VAR_POSITIONAL)
    ]
    if lacking:
        raise UserCodeError(
            f"{place}: optimizer() wants {', '.join(lacking)}; give every option but "
            "lr a default."
        )
    return plain[0].name, names, open_ended


def _options(taken: _Taken) -> dict[str, Option]:
    """Return the defaults of what the optimizer takes, as a run keeps them."""
    given = {key: _option(each.default) for key, each in taken.items()}
    return {
        key: option
        for key, option in given.items()
        if option is not None and key not in ("lr", *_HOW)
    }


def _option(value: object) -> Option | None:
    """Return a default as a run keeps it; None for what is no hyperparameter."""
    if isinstance(value, tuple | list):
        return [*value] if value and codec.each(codec.is_number, value) else None
    if isinstance(value, bool | str) or codec.is_number(value):
        return value  # type: ignore[return-value]
    return None


def _rate(name: str, rate: object) -> float:
    """Return a learning rate above 0, or ask for one."""
    option = Argument("lr")
    if rate is None or rate is inspect.Parameter.empty:
        raise ArgumentError(
            *(option, f" of {name} is not known, as its optimizer has no default for "),
            *("it; give ", option, f" {name}=RATE, the centre of its grid."),
        )
    try:
        number = math.nan if isinstance(rate, bool) else float(rate)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ArgumentError(option, f" of {name} is {rate}; give a number above 0.")
    return number


def _space(
    place: str, space: object, known: Sequence[str] | None
) -> tuple[Dimension | Choice, ...]:
    """Return what full tuning varies besides the learning rate."""
    if not isinstance(space, Mapping):
        raise UserCodeError(
            f"{place}: space is {space!r}; give a dict, such as "
            '{"momentum": (0.5, 0.99)}.'
        )
    return tuple(_dimension(place, key, each, known) for key, each in space.items())


def _dimension(
    place: str, key: object, values: object, known: Sequence[str] | None
) -> Dimension | Choice:
    """Return one of the hyperparameters that are varied, with its values."""
    if key == "lr" or (known is not None and key not in known):
        others = [each for each in known or () if each not in ("lr", *_HOW)]
        if key == "lr":
            reason = "it is tuned anyhow."
        elif others:
            reason = nearest(f"{key}", others)
        else:
            reason = "optimizer() takes no option but lr."
        raise UserCodeError(f"{place}: space has {key!r}; {reason}")
    if isinstance(values, tuple) and len(values) == 2:
        if codec.each(codec.is_number, values) and 0 < values[0] < values[1]:
            low, high = map(float, values)
            return Dimension(name=str(key), low=low, high=high, apply=_put(str(key)))
    elif isinstance(values, list) and values:
        choices = [_option(each) for each in values]
        found = tuple(each for each in choices if each is not None)
        if len(found) == len(values):
            return Choice(name=str(key), values=found)
    raise UserCodeError(
        f"{place}: space[{key!r}] is {values!r}; give a range from above 0, such as "
        "(0.001, 0.1), or a list of values."
    )


def _put(name: str) -> Callable[[dict[str, Option], float, int], None]:
    """Return what puts a value into the options."""

    def apply(options: dict[str, Option], value: float, steps: int) -> None:
        options[name] = value

    return apply

"""State dicts with one thing wrong, and what their refusals must say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from tests.torch.cases import (
    Member,
    Options,
)
from tests.torch.checkpoint.loading import blocks, complex_, named, plain, three_in_one

from mementum.torch import AdaX, AMSGrad, FamilyOptimizer, Mementum

nan, inf = float("nan"), float("inf")


class Case(NamedTuple):
    """What is done to a good state dict, and words that the refusal must say."""

    spoil: Callable[[dict[str, Any]], Any]
    words: tuple[str, ...]
    build: Callable[..., FamilyOptimizer] = plain
    member: Member = AdaX
    options: Options = {}  # noqa: RUF012


def _state(name: str, value: Any, key: int = 0) -> Callable[[dict[str, Any]], Any]:
    return lambda saved: saved["state"][key].__setitem__(name, value)


def _group(name: str, value: Any, index: int = 0) -> Callable[[dict[str, Any]], Any]:
    return lambda saved: saved["param_groups"][index].__setitem__(name, value)


def _less(name: str, key: int = 0) -> Callable[[dict[str, Any]], Any]:
    return lambda saved: saved["state"][key].pop(name)


def _but(index: int, name: str, element: float) -> Callable[[dict[str, Any]], Any]:
    """Set the last number of a moment."""

    def spoil(saved: dict[str, Any]) -> None:
        moment = saved["state"][index][name]
        real = torch.view_as_real(moment) if moment.is_complex() else moment
        real.view(-1)[-1] = element

    return spoil


def _regrouped(saved: dict[str, Any]) -> None:
    """Put the last parameter of the first group into the second."""
    first, second = saved["param_groups"]
    for column in ("params", "param_names"):
        second[column].insert(0, first[column].pop())
    first["param_shapes"], second["param_shapes"] = "[[4]]", "[[2, 3], [4]]"


def _swapped(saved: dict[str, Any]) -> None:
    """Save the two parameters in the other order."""
    saved["param_groups"][0]["param_shapes"] = "[[2, 3], [4]]"
    saved["state"] = {0: saved["state"][1], 1: saved["state"][0]}


def _all_names(saved: dict[str, Any], names: list[Any]) -> None:
    for group in saved["param_groups"]:
        group["param_names"] = [names.pop(0) for _ in group["params"]]


def _cast(dtype: torch.dtype) -> Callable[[dict[str, Any]], Any]:
    def spoil(saved: dict[str, Any]) -> None:
        for kept in saved["state"].values():
            for name in ("momentum", "square"):
                kept[name] = kept[name].to(dtype)

    return spoil


def _both(*spoils: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def spoil(saved: dict[str, Any]) -> None:
        for each in spoils:
            each(saved)

    return spoil


def _first(saved: dict[str, Any]) -> dict[str, Any]:
    group: dict[str, Any] = saved["param_groups"][0]
    return group


SQUARE, MOMENTUM = "has a square", "has a momentum"
WHOLE = "the number of steps taken is a whole number"
CASES: dict[str, Case] = {
    # The form.
    "no groups": Case(lambda s: s.pop("param_groups"), ("no list 'param_groups'",)),
    "groups that are no list": Case(
        lambda s: s.update(param_groups={}), ("no list 'param_groups'",)
    ),
    "no state": Case(lambda s: s.pop("state"), ("no dict 'state'", "a model's")),
    "a state that is no dict": Case(lambda s: s.update(state=[]), ("no dict 'state'",)),
    "a group that is none": Case(
        lambda s: s["param_groups"].__setitem__(0, 7), ("group 0", "is no group")
    ),
    "a group without parameters": Case(
        lambda s: _first(s).pop("params"), ("group 0", "no list 'params'")
    ),
    "parameters that are no list": Case(_group("params", 2), ("no list 'params'",)),
    "parameters of another kind": Case(
        _group("params", [0, None]), ("something else than numbers or names",)
    ),
    "a parameter twice": Case(_group("params", [0, 0]), ("gives the key '0' to two",)),
    # Who saved it.
    "no rule": Case(
        lambda s: _first(s).pop("rule"), ("names no rule", "mementum.convert.adopt")
    ),
    "another rule": Case(
        _group("rule", "AdamNX"), ("is AdamNX's", "this optimizer's rule is AdaX")
    ),
    "another rule in the second group": Case(
        _group("rule", "Adam", 1), ("group 1", "is Adam's"), named
    ),
    "a newer format": Case(
        _group("format_version", 3), ("is in format 3", "up to 2", "update mementum")
    ),
    "a format of words": Case(_group("format_version", "new"), ("'new'", "from 1 up")),
    "a format before the first": Case(_group("format_version", 0), ("from 1 up",)),
    "a format of True": Case(_group("format_version", True), ("from 1 up",)),
    # Which parameters.
    "a group less": Case(
        lambda s: s["param_groups"].clear(), ("no parameters", "2 parameters in one")
    ),
    "a group more": Case(
        lambda s: s["param_groups"].append(
            _first(s) | {"params": [2], "param_shapes": "[[4]]"}
        ),
        ("groups of 2, 1 parameters", "named_parameters()"),
    ),
    "a parameter less": Case(
        _both(lambda s: _first(s)["params"].pop(), _group("param_shapes", "[[4]]")),
        ("1 parameter in one group", "2 parameters in one group"),
    ),
    "a parameter more": Case(
        _both(
            lambda s: _first(s)["params"].append(2),
            _group("param_shapes", "[[4], [2, 3], []]"),
        ),
        ("3 parameters in one group", "2 parameters in one group"),
    ),
    "another order": Case(
        _swapped, ("(2, 3) in the state dict", "(4,) in this", "named_parameters()")
    ),
    "another order before the first step": Case(
        _both(_swapped, lambda s: s["state"].clear()), ("(2, 3)", "(4,)")
    ),
    "another shape": Case(
        _group("param_shapes", "[[4], [3, 2]]"), ("parameter 1", "(3, 2)", "(2, 3)")
    ),
    "a shape less": Case(
        _group("param_shapes", "[[4]]"), ("2 parameters", "param_shapes")
    ),
    "shapes of words": Case(_group("param_shapes", "small"), ("'small'", "JSON")),
    "shapes of numbers": Case(_group("param_shapes", "[4, 6]"), ("[4, 6]", "JSON")),
    "a renamed parameter": Case(
        lambda s: _all_names(s, ["a", "weight", "c"]),
        ("without 'b'", "without 'weight'", "mementum.convert.renamed"),
        named,
    ),
    "all names new": Case(
        lambda s: _all_names(s, ["x", "y", "z"]),
        ("the state dict is without 'a', 'b', 'c'", "optimizer is without 'x', 'y'"),
        named,
    ),
    "a name less": Case(_group("param_names", ["a"]), ("2 parameters", "names"), named),
    "a name that is a number": Case(
        lambda s: _all_names(s, ["a", 7, "c"]), ("no words",), named
    ),
    "a name twice": Case(
        lambda s: _all_names(s, ["a", "b", "a"]), ("the name 'a' to two",), named
    ),
    "a named parameter more": Case(
        _both(
            lambda s: _first(s)["params"].append(3),
            lambda s: _first(s)["param_names"].append("d"),
            _group("param_shapes", "[[4], [2, 3], [1]]"),
        ),
        ("this optimizer is without 'd'",),
        named,
    ),
    "a named parameter less": Case(
        lambda s: s["param_groups"].pop(), ("the state dict is without 'c'",), named
    ),
    "a named parameter of another shape": Case(
        _group("param_shapes", "[[4], [6]]"), ("parameter 'b'", "(6,)", "(2, 3)"), named
    ),
    "two decays in one group": Case(
        _regrouped,
        ("saved in groups 0 and 1", "weight_decay", "0.25", "in different groups"),
        three_in_one,
    ),
    "a state of no parameter": Case(
        lambda s: s["state"].update({9: s["state"][0]}), ("under 9", "no group")
    ),
    "a state of no parameter, by name": Case(
        lambda s: s["state"].update(lost=s["state"][0]), ("under 'lost'", "no group")
    ),
    # A parameter's state.
    "a state of another kind": Case(
        lambda s: s["state"].update({0: [1, 2]}), ("parameter 0", "nothing but [1, 2]")
    ),
    "no step": Case(_less("step"), ("holds momentum, square", "keeps step, momentum")),
    "no momentum": Case(_less("momentum"), ("holds square, step",)),
    "no square": Case(_less("square"), ("holds momentum, step",)),
    "no square behind a good state": Case(_less("square", 1), ("parameter 1",)),
    "another moment": Case(_state("exp_avg_sq", torch.zeros(4)), ("exp_avg_sq",)),
    "a scale of no moment": Case(
        _state("peak_scale", torch.zeros(1, dtype=torch.uint8)), ("peak_scale",)
    ),
    "torch's moments": Case(
        lambda s: s["state"][0].update(
            exp_avg=s["state"][0].pop("momentum"),
            exp_avg_sq=s["state"][0].pop("square"),
        ),
        ("holds exp_avg, exp_avg_sq, step", "mementum.convert"),
    ),
    "a peak of a rule without": Case(
        _state("peak", torch.ones(4)), ("holds momentum, pea",)
    ),
    "no peak of a rule with": Case(
        _less("peak"), ("keeps step, momentum, square, peak",), member=AMSGrad
    ),
    "no peak where one was asked for": Case(
        _less("peak"), ("peak",), member=Mementum, options={"peak": True}
    ),
    "a peak of another shape": Case(
        _state("peak", torch.zeros(9)), ("peak of shape (9,)", "(4,)"), member=AMSGrad
    ),
    "momentum of another shape": Case(
        _state("momentum", torch.zeros(5)), (MOMENTUM, "(5,)", "(4,)")
    ),
    "square of one element": Case(_state("square", torch.zeros(1)), (SQUARE, "(1,)")),
    "square of no dimension": Case(_state("square", torch.zeros(())), (SQUARE, "()")),
    "square of more dimensions": Case(
        _state("square", torch.zeros(4, 1)), (SQUARE, "(4, 1)")
    ),
    "square of other dimensions": Case(
        _state("square", torch.zeros(6), 1), ("parameter 1", "(6,)", "(2, 3)")
    ),
    "a complex momentum": Case(
        _state("momentum", torch.zeros(4, dtype=torch.complex64)), ("complex64",)
    ),
    "a real square of a complex parameter": Case(
        _state("square", torch.ones(4)), ("float32", "complex64"), complex_
    ),
    "no tensor": Case(_state("square", None), ("NoneType", "not a tensor")),
    "a list": Case(_state("square", [0.0] * 4), ("is list", "not a tensor")),
    "a square below zero": Case(_but(0, "square", -1e-30), (SQUARE, "below zero")),
    "a square of minus infinity": Case(_but(1, "square", -inf), ("below zero",)),
    "a complex square below zero": Case(
        _but(0, "square", -1.0), (SQUARE, "below zero"), complex_
    ),
    "a peak below zero": Case(
        _but(0, "peak", -1.0), ("has a peak below zero",), member=AMSGrad
    ),
    "a bfloat16 square below zero": Case(
        _but(0, "square", -1.0), ("below zero",), options={"state_dtype": "bfloat16"}
    ),
    # How it is stored.
    "moments cast to bfloat16": Case(
        _cast(torch.bfloat16), ("bfloat16", "state_dtype")
    ),
    "moments cast to float16": Case(_cast(torch.float16), ("float16", "float32")),
    "moments cast to integers": Case(_cast(torch.int64), ("int64", "has cast it")),
    "wider moments than asked for": Case(
        _cast(torch.float64),
        ("float64", "state_dtype='float32'"),
        options={"state_dtype": "float32"},
    ),
    "float32 moments where bfloat16 are kept": Case(
        _cast(torch.float32),
        ("float32", "'bfloat16'"),
        options={"state_dtype": "bfloat16"},
    ),
    "another state_dtype": Case(
        _group("state_dtype", "bfloat16"),
        ("state_dtype='bfloat16'", "this optimizer has None", "build it with"),
    ),
    "an unknown state_dtype": Case(_group("state_dtype", "int4"), ("'int4'",)),
    "float8 codes of float32 moments": Case(
        _cast(torch.uint8), ("stored in float8", "state_dtype is None")
    ),
    "codes without scales": Case(_less("square_scale"), (SQUARE, "no scale"), blocks),
    "scales without codes": Case(_less("square"), ("square_scale",), blocks),
    "a scale of another shape": Case(
        _state("square_scale", torch.zeros(64, dtype=torch.uint8)),
        ("scale of shape (64,)", "(64, 1)"),
        blocks,
    ),
    "a scale of floats": Case(
        _state("momentum_scale", torch.zeros(64, 1)), ("scale of uint8",), blocks
    ),
    "a scale beside a float32 moment": Case(
        _state("square_scale", torch.zeros(1, dtype=torch.uint8)), ("wants none",)
    ),
    "decoded float8 moments": Case(
        _state("square", torch.zeros(64, 64)), ("float32", "'float8'"), blocks
    ),
    # How many steps.
    "a step of NaN": Case(_state("step", nan), ("step is nan", WHOLE)),
    "an infinite step": Case(_state("step", inf), ("step is inf", WHOLE)),
    "a huge step": Case(_state("step", 2**60), (WHOLE, "9,007,199,254,740,992")),
    "a negative step": Case(_state("step", -1), ("step is -1", WHOLE)),
    "half a step": Case(_state("step", 1.5), ("step is 1.5", WHOLE)),
    "half a step in a tensor": Case(_state("step", torch.tensor(1.5)), ("1.5", WHOLE)),
    "a step of words": Case(_state("step", "three"), ("'three'", WHOLE)),
    "no number of steps": Case(_state("step", None), ("None", WHOLE)),
    "two steps": Case(_state("step", torch.tensor([1.0, 2.0])), (WHOLE,)),
    "a step of True": Case(_state("step", True), ("True", WHOLE)),
    # The hyperparameters.
    "no eps": Case(lambda s: _first(s).pop("eps"), ("has no 'eps'", "AdaX")),
    "no lr": Case(lambda s: _first(s).pop("lr"), ("has no 'lr'",)),
    "a rate of NaN": Case(_group("lr", nan), ("lr is nan",)),
    "a rate of NaN in a tensor": Case(_group("lr", torch.tensor(nan)), ("lr is nan",)),
    "an infinite rate": Case(_group("lr", inf), ("lr is inf",)),
    "a negative rate": Case(_group("lr", -1e-3), ("lr is -0.001",)),
    "a rate of words": Case(_group("lr", "fast"), ("lr is 'fast'",)),
    "a negative rate in the second group": Case(
        _group("lr", -1e-3, 1), ("group 1: lr is -0.001",), named
    ),
    "an eps of NaN": Case(_group("eps", nan), ("eps is nan",)),
    "an infinite eps": Case(_group("eps", inf), ("eps is inf",)),
    "a negative decay": Case(_group("weight_decay", -1.0), ("weight_decay is -1",)),
    "betas of another rule": Case(
        _group("betas", [0.9, 0.999]), ("betas[1] is 0.999",)
    ),
    "one beta": Case(_group("betas", [0.9]), ("betas", "two numbers")),
    "a momentum above one": Case(_group("betas", [1.5, 1e-4]), ("betas[0] is 1.5",)),
    "an unknown variant": Case(
        _group("variant", "mine"), ("variant is 'mine'", "'paper'"), member=AMSGrad
    ),
    "a memory of NaN": Case(
        _group("memory", {"log_ratio": nan}), ("log_ratio is nan",), member=Mementum
    ),
    "an unknown policy": Case(_group("nonfinite", "ignore"), ("'ignore'", "'skip'")),
    "two paths": Case(
        lambda s: _first(s).update(fused=True, foreach=True), ("fused and foreach",)
    ),
    "a flag of words": Case(_group("maximize", "yes"), ("maximize is 'yes'",)),
    "a seed of words": Case(_group("seed", "lucky"), ("seed is 'lucky'",)),
    "noise where steps are differentiated": Case(
        _both(_group("differentiable", True), _group("stochastic_rounding", True)),
        ("stochastic_rounding is True and differentiable is True",),
    ),
}

"""Which parameters decay, and how the learning rate falls towards the input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn import Module, Parameter
from torch.nn.parameter import is_lazy

from mementum.family import limits, markup


class ParamGroups(list[dict[str, Any]]):
    """Parameter groups for an optimizer; printed, the split and its reasons."""

    table: str = ""
    rows: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return self.table

    def _repr_html_(self) -> str | None:
        """Return the same table for a notebook; None for groups made elsewhere."""
        return markup.table(self.rows) if self.rows else None


@dataclass(slots=True)
class _Entry:
    """A parameter: its first name, all modules that hold it, and what becomes of it."""

    name: str
    param: Parameter
    names: list[str]
    owners: list[Module]
    reason: str | None = None
    depth: int = 0


def param_groups(
    model: Module,
    weight_decay: float,
    *,
    lr: float | None = None,
    layer_decay: float | None = None,
    layers: Sequence[str] | None = None,
    decay_embeddings: bool = True,
    no_decay: Iterable[str] = (),
    decay: Iterable[str] = (),
) -> ParamGroups:
    """Return a model's parameters as groups that do and do not decay, with names.

    Biases, parameters of norms and all of one dimension or none do not decay; nor do
    embeddings where `decay_embeddings` is False. A norm is a module whose class name
    contains "Norm". `no_decay` and `decay` are patterns of names, such as
    ``"*.pos_embed"``, that decide before these rules. Frozen parameters are left out,
    and tied ones are listed once.

    With `layer_decay` the learning rate `lr` is multiplied by it once for each layer
    between a parameter and the output. `layers` are the names of the layers from the
    input on; left None, those of the longest `ModuleList` or `Sequential`. What the
    model has before the first layer counts as a layer below it, and what it has after
    as one above the last.

    Errors: `ValueError` for a number out of range, or a pattern or layer that names
    nothing, and `TypeError` for one that is in no list.

    >>> import torch
    >>> from mementum import AdaXW, param_groups
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    >>> print(param_groups(model, 0.05))
    weight_decay  parameters  elements  which
            0.05           1         6  the rest
               0           3         9  1 bias, 2 norms
    >>> optimizer = AdaXW(param_groups(model, 0.05), lr=1e-3)
    """
    if not isinstance(model, Module):
        raise TypeError(
            f"param_groups: model is {type(model).__name__}; it is a torch module."
        )
    limits.decay(weight_decay)
    for option, words in (("no_decay", no_decay), ("decay", decay), ("layers", layers)):
        if isinstance(words, str):
            raise TypeError(
                f"param_groups: {option} is {words!r}; it is a list of such, as "
                f"[{words!r}]."
            )
    entries = _entries(model)
    _decide(entries, [*no_decay], [*decay], decay_embeddings=decay_embeddings)
    rates = _rates(model, entries, lr, layer_decay, layers)
    return _grouped(entries, weight_decay, rates)


def _grouped(
    entries: list[_Entry], weight_decay: float, rates: list[float]
) -> ParamGroups:
    """Return the groups, from the input on, and what decays first."""
    parts: dict[tuple[int, bool], list[_Entry]] = {}
    for entry in entries:
        parts.setdefault((entry.depth, entry.reason is not None), []).append(entry)
    parts = dict(sorted(parts.items()))
    groups = ParamGroups()
    for (depth, spared), part in parts.items():
        group: dict[str, Any] = {
            "params": [(entry.name, entry.param) for entry in part],
            "weight_decay": 0.0 if spared else weight_decay,
        }
        if rates:
            group["lr"] = rates[depth]
        groups.append(group)
    groups.rows = _rows(groups, [*parts.values()])
    groups.table = _table(groups.rows)
    return groups


def _entries(model: Module) -> list[_Entry]:
    """Return the parameters that want gradients, each once, in the model's order."""
    entries: dict[int, _Entry] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, param in module.named_parameters(prefix, recurse=False):
            if is_lazy(param):
                raise ValueError(
                    f"param_groups: {name!r} has no shape yet; call the model on a "
                    "batch first."
                )
            if param.requires_grad:
                entry = entries.setdefault(id(param), _Entry(name, param, [], []))
                entry.names.append(name)
                entry.owners.append(module)
    return list(entries.values())


def _decide(
    entries: list[_Entry],
    no_decay: list[str],
    decay: list[str],
    *,
    decay_embeddings: bool,
) -> None:
    """Write down why parameters do not decay."""
    for pattern in (*no_decay, *decay):
        if not any(_matches(entry, [pattern]) for entry in entries):
            raise ValueError(
                f"param_groups: the pattern {pattern!r} matches no parameter; it is "
                "matched against whole names, so a part of one wants stars: '*.scale'."
            )
    for entry in entries:
        if _matches(entry, no_decay) and _matches(entry, decay):
            raise ValueError(
                f"param_groups: {entry.name!r} matches both no_decay and decay; take "
                "it out of one."
            )
        if _matches(entry, no_decay):
            entry.reason = "by name"
        elif not _matches(entry, decay):
            entry.reason = _kind(entry, decay_embeddings=decay_embeddings)


def _matches(entry: _Entry, patterns: list[str]) -> bool:
    return any(fnmatchcase(n, pattern) for n in entry.names for pattern in patterns)


def _kind(entry: _Entry, *, decay_embeddings: bool) -> str | None:
    """Return what kind of parameter that does not decay this is, or None."""
    if any("norm" in type(owner).__name__.lower() for owner in entry.owners):
        return "norm"
    if any("bias" in name.rpartition(".")[2] for name in entry.names):
        return "bias"
    if not decay_embeddings and any(map(_embeds, entry.owners)):
        return "embedding"
    return "vector" if entry.param.dim() <= 1 else None


def _embeds(module: Module) -> bool:
    kinds = nn.Embedding, nn.EmbeddingBag
    return isinstance(module, kinds) or "embedding" in type(module).__name__.lower()


def _rates(
    model: Module,
    entries: list[_Entry],
    lr: float | None,
    layer_decay: float | None,
    layers: Sequence[str] | None,
) -> list[float]:
    """Give each parameter its depth, and return the learning rate of every depth."""
    if layer_decay is None:
        if layers is not None:
            raise ValueError("param_groups: layers are given, and no layer_decay.")
        return [] if lr is None else [limits.learning_rate(lr)]
    wants = "it is the share of the rate that each layer passes on: up to 1, as 0.8."
    limits.number("param_groups: layer_decay", layer_decay, wants=wants)
    if not 0 < layer_decay <= 1:
        raise ValueError(f"param_groups: layer_decay is {layer_decay}; {wants}")
    if lr is None:
        raise ValueError(
            "param_groups: layer_decay wants lr, the rate above the last layer."
        )
    prefixes = _layers(model) if layers is None else [*layers]
    places = [_place(entry, prefixes) for entry in entries]
    for i, prefix in enumerate(prefixes):
        if i not in places:
            raise ValueError(
                f"param_groups: the layer {prefix!r} has no parameter that wants a "
                "gradient; layers are names of modules, from the input on."
            )
    begun = False
    for entry, place in zip(entries, places, strict=True):
        begun = begun or place is not None
        beside = len(prefixes) + 1 if begun else 0
        entry.depth = beside if place is None else place + 1
    rate, top = limits.learning_rate(lr), len(prefixes) + 1
    return [rate * layer_decay ** (top - depth) for depth in range(top + 1)]


def _layers(model: Module) -> list[str]:
    """Return the names of the layers of the longest row of modules."""
    rows = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential)
    }
    if not rows:
        raise ValueError(
            "param_groups: layer_decay finds no ModuleList or Sequential in the model; "
            "name its layers in layers."
        )
    longest = max(rows, key=lambda name: len(rows[name]))
    prefix = f"{longest}." if longest else ""
    return [
        prefix + name
        for name, layer in rows[longest].named_children()
        if any(param.requires_grad for param in layer.parameters())
    ]


def _place(entry: _Entry, prefixes: list[str]) -> int | None:
    """Return the first layer that holds a parameter, if one does."""
    for i, prefix in enumerate(prefixes):
        if any(name.startswith(f"{prefix}.") or name == prefix for name in entry.names):
            return i
    return None


_PLURALS = {"bias": "biases", "by name": "by name"}


def _rows(
    groups: ParamGroups, parts: list[list[_Entry]]
) -> tuple[tuple[str, ...], ...]:
    """Return the numbers of each group, and last which parameters it has."""
    rated = any("lr" in group for group in groups)
    head = ("weight_decay", *(["lr"] if rated else []), "parameters", "elements")
    rows = [(*head, "which")]
    for group, part in zip(groups, parts, strict=True):
        rates = [f"{group['lr']:.4g}"] if rated else []
        elements = sum(entry.param.numel() for entry in part)
        numbers = (*rates, f"{len(part):,}", f"{elements:,}")
        rows.append((f"{group['weight_decay']:g}", *numbers, _reasons(part)))
    return tuple(rows)


def _table(rows: tuple[tuple[str, ...], ...]) -> str:
    *numbers, _ = zip(*rows, strict=True)
    widths = [max(map(len, column)) for column in numbers]
    # The last column is words, which begin alike.
    return "\n".join(
        "  ".join([*map(str.rjust, cells, widths), words]) for *cells, words in rows
    )


def _reasons(part: list[_Entry]) -> str:
    counts: dict[str, int] = {}
    for entry in part:
        if entry.reason is not None:
            counts[entry.reason] = counts.get(entry.reason, 0) + 1
    words = []
    for reason, count in counts.items():
        plural = _PLURALS.get(reason, f"{reason}s")
        words.append(f"{count:,} {reason if count == 1 else plural}")
    return ", ".join(words) or "the rest"

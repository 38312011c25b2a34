"""Laws of chance in a comparison: a seed begins alike for all, or it is refused."""

import itertools
import random
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from mementum import lab
from mementum.lab.errors import LabError
from mementum.lab.records.journal import Store
from mementum.lab.running.rehearsal import trial

ROWS = torch.linspace(-1, 1, 24)[:, None]
PLAIN = TensorDataset(ROWS, ROWS.square())
QUICK = {"steps": 7, "evaluations": 2, "seeds": 2, "lrs": 1}


@pytest.fixture(autouse=True)
def run_by_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses of tests look at their batches, which no stack shows."""
    monkeypatch.setattr(trial, "row_seconds", lambda *_: None)


def own() -> torch.Generator:
    return torch.Generator().manual_seed(3)


class Epochs(Sampler[int]):
    """Counts its epochs, and shuffles by the count."""

    def __init__(self) -> None:
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter(np.random.default_rng(self.epoch).permutation(24).tolist())

    def __len__(self) -> int:
        return 24


class Shuffled:
    """Shuffles a list of its own in place, each time it is gone through."""

    def __init__(self) -> None:
        self.order, self.rng = [*range(6)], random.Random(4)

    def __iter__(self) -> Iterator[Any]:
        self.rng.shuffle(self.order)
        for place in self.order:
            rows = ROWS[4 * place : 4 * place + 4]
            yield rows, rows.square()


class Augmented(Dataset[Any]):
    """Adds noise to its rows."""

    def __init__(self, noise: Callable[[], float]) -> None:
        self.noise = noise

    def __getitem__(self, place: int) -> Any:
        return ROWS[place] + self.noise(), ROWS[place].square()

    def __len__(self) -> int:
        return 24


class Stream(IterableDataset[Any]):
    """Draws its rows one after the other."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)

    def __iter__(self) -> Iterator[Any]:
        for _ in range(10):
            row = torch.tensor(self.rng.normal(size=1)).float()
            yield row, row.square()


def mixed(rows: list[Any]) -> Any:
    inputs, targets = (torch.stack(part) for part in zip(*rows, strict=True))
    return inputs + 0.1 * np.random.rand(), targets  # noqa: NPY002


TORCHS, NUMPYS, PYTHONS = own(), np.random.default_rng(6), random.Random(7)


def from_global() -> float:
    return PYTHONS.random()


LOADERS: dict[str, Callable[[], Iterable[Any]]] = {
    "shuffled": lambda: DataLoader(PLAIN, 5, shuffle=True),
    "generator": lambda: DataLoader(PLAIN, 5, shuffle=True, generator=own()),
    "one for all": lambda: DataLoader(PLAIN, 5, shuffle=True, generator=TORCHS),
    "workers": lambda: DataLoader(
        PLAIN, 5, shuffle=True, generator=own(), num_workers=1
    ),
    "persistent": lambda: DataLoader(
        Augmented(np.random.rand),
        *(5, True),
        num_workers=1,
        persistent_workers=True,
    ),
    "sampler": lambda: DataLoader(
        PLAIN, 5, sampler=RandomSampler(ROWS, generator=own())
    ),
    "replacement": lambda: DataLoader(
        PLAIN, 5, sampler=RandomSampler(ROWS, replacement=True, generator=own())
    ),
    "weights": lambda: DataLoader(
        PLAIN, 5, sampler=WeightedRandomSampler([1.0] * 24, 24, generator=own())
    ),
    "subset": lambda: DataLoader(
        PLAIN, 5, sampler=SubsetRandomSampler(range(12), generator=own())
    ),
    "epochs": lambda: DataLoader(PLAIN, 5, sampler=Epochs()),
    "list in place": Shuffled,
    "stream": lambda: DataLoader(Stream(), 3),
    "collate": lambda: DataLoader(PLAIN, 5, collate_fn=mixed),
    "noise of torch": lambda: DataLoader(Augmented(lambda: torch.rand(()).item()), 5),
    "noise of numpy": lambda: DataLoader(Augmented(np.random.rand), 5),
    "noise of python": lambda: DataLoader(Augmented(random.random), 5),
    "noise of one's own": lambda: DataLoader(Augmented(NUMPYS.random), 5),
    "noise of a global": lambda: DataLoader(Augmented(from_global), 5),
    "list": lambda: [*DataLoader(PLAIN, 5)],
}


def compared(train: Iterable[Any], **changes: Any) -> tuple[Any, list[Any]]:
    """Return the comparison, and the batches of each run in a row."""
    seen: list[torch.Tensor] = []

    def loss(model: torch.nn.Module, batch: Any) -> torch.Tensor:
        if model.training and torch.is_grad_enabled():
            seen.append(torch.cat(batch).detach().clone())
        return (model(batch[0]) - batch[1]).square().mean()

    given = {"loss": loss, "model": lambda: torch.nn.Linear(1, 1)}
    found = lab.compare_model(
        train=train, held=[(ROWS, ROWS.square())], **QUICK, **given | changes
    )
    return found, seen


@pytest.mark.parametrize("name", LOADERS)
def test_all_contenders_of_a_seed_see_the_same_batches(name: str) -> None:
    contenders = ["SGD", "AdaXW"]
    found, seen = compared(LOADERS[name](), contenders=contenders)
    count = len(found.records)
    assert count == 6
    # The first run is made again in the end.
    runs = [seen[-7 * (count + 1) :][7 * place :][:7] for place in range(count)]
    by_seed: dict[int, list[Any]] = {}
    for spec, batches in zip(found.plan.specs(), runs, strict=True):
        by_seed.setdefault(spec.seed, []).append(batches)
    for first, *others in by_seed.values():
        for other in others:
            assert all(map(torch.equal, first, other))
    assert len({(r.spec.seed, r.batches) for r in found.records}) == 2
    again, _ = compared(LOADERS[name](), contenders=contenders)
    assert [r.curve for r in again.records] == [r.curve for r in found.records]


SOURCES: dict[str, Callable[[], float]] = {
    "torch": lambda: torch.rand(()).item(),
    "numpy": np.random.rand,
    "python": random.random,
    "torch's own": lambda: torch.rand((), generator=TORCHS).item(),
    "numpy's own": NUMPYS.normal,
    "python's own": lambda: PYTHONS.gauss(0, 1),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("where", ["model", "loss", "metric"])
def test_whatever_a_function_draws_is_a_function_of_the_seed(
    where: str, name: str
) -> None:
    drawn = SOURCES[name]

    def model() -> torch.nn.Module:
        made = torch.nn.Linear(1, 1)
        with torch.no_grad():
            made.bias.fill_(drawn())
        return made

    def noisy(net: torch.nn.Module, batch: Any) -> torch.Tensor:
        return (net(batch[0]) - batch[1]).square().mean() * (1 + 0.1 * abs(drawn()))

    given = {"model": {"model": model}, "loss": {"loss": noisy}}.get(
        where, {"metric": noisy}
    )
    one, two = (
        compared([(ROWS, ROWS.square())], contenders=["SGD"], **given)[0]
        for _ in range(2)
    )
    assert [r.curve for r in one.records] == [r.curve for r in two.records]
    starts = {(r.spec.seed, r.curve.validation[0]) for r in one.records}
    assert len(starts) == 2


ONCE: dict[str, Callable[[], Any]] = {
    "cycle": lambda: itertools.cycle([1]),
    "generator": lambda: (each for each in [1]),
    "iterator": lambda: iter(DataLoader(PLAIN, 5)),
    "map": lambda: map(int, [1]),
    "zip": lambda: zip([1], strict=True),
    "chain": lambda: itertools.chain([1], [2]),
}


@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("where", ["train", "held"])
def test_what_can_be_gone_through_only_once_is_refused(where: str, name: str) -> None:
    given: dict[str, Any] = {"train": [1], "held": [1]}
    given[where] = ONCE[name]()
    with pytest.raises(LabError, match=f"^{where} is .* only once"):
        lab.compare_model(lambda: torch.nn.Linear(1, 1), lambda m, b: m, **given)


class Late:
    """Grows once it was called often, which no first step shows."""

    def __init__(self, kind: str) -> None:
        self.kind, self.calls, self.rows = kind, 0, [1.0]

    def __call__(self, model: torch.nn.Module, batch: Any) -> torch.Tensor:
        loss = (model(batch[0]) - batch[1]).square().mean()
        if model.training:
            self.calls += 1
            self.rows.append(float(self.calls > 20))
        late = self.calls > 20 if self.kind == "counter" else self.rows[-1]
        return loss * (3.0 if model.training and late else 1.0)


@pytest.mark.parametrize("kind", ["counter", "list"])
def test_what_goes_on_from_run_to_run_is_found_out_in_the_end(
    tmp_path: Path, kind: str
) -> None:
    given = {"loss": Late(kind), "contenders": ["SGD"], "out": tmp_path}
    with pytest.raises(LabError, match="the first run, made again"):
        compared([(ROWS, ROWS.square())], **given)
    assert not Store(tmp_path).records()
    given["loss"] = lambda m, b: (m(b[0]) - b[1]).square().mean()
    assert len(compared([(ROWS, ROWS.square())], **given | {"out": None})[0].records)


class Sly:
    """Begins where it stopped the last time, in a list that is shared."""

    left: ClassVar = [*range(1000)]

    def __iter__(self) -> Iterator[Any]:
        while self.left:
            row = torch.full((1, 1), float(Sly.left.pop()))
            yield row, row


COUNTS = itertools.count(1)
ODD: dict[str, tuple[dict[str, Any], str]] = {
    "model": (
        {"model": lambda: torch.nn.Linear(1, 1).requires_grad_().apply(shifted)},
        "other parameters",
    ),
    "batches": ({"train": Sly()}, "batches are others"),
    "loss": (
        {"loss": lambda m, b: m(b[0]).square().mean() * (uuid.uuid4().int / 2**128)},
        "score before training is another|loss of the same batch is another",
    ),
    "metric": (
        {"metric": lambda m, b: float(next(COUNTS))},
        "score before training is another",
    ),
}


def shifted(module: torch.nn.Module) -> None:
    with torch.no_grad():
        module.bias.fill_(float(np.random.default_rng().normal()))


@pytest.mark.parametrize("kind", ODD)
def test_what_cannot_be_seeded_is_refused_with_the_reason(kind: str) -> None:
    changes, words = ODD[kind]
    given = {"train": [(ROWS, ROWS.square())], "contenders": ["SGD"], **changes}
    with pytest.raises(LabError, match=words):
        compared(**given)

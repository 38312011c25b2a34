"""Laws of chance: whatever a run draws from is a function of the seed, and is lent."""

import functools
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from mementum.lab.user_code.chance import Chance, generators_of, seeded

ROWS = TensorDataset(torch.arange(8.0))

OWN: dict[str, Callable[[], object]] = {
    "torch": lambda: torch.Generator().manual_seed(1),
    "numpy": lambda: np.random.default_rng(1),
    "numpy, other bits": lambda: np.random.Generator(np.random.MT19937(1)),
    "numpy's old one": lambda: np.random.RandomState(1),
    "python": lambda: random.Random(1),
}


def draw(own: object) -> float:
    if isinstance(own, torch.Generator):
        return torch.rand((), generator=own).item()
    return float(own.random() if hasattr(own, "random") else own.random_sample())


GLOBAL: dict[str, Callable[[], float]] = {
    "python": random.random,
    "numpy": np.random.rand,
    "torch": lambda: torch.rand(()).item(),
    "dropout": lambda: float(torch.nn.functional.dropout(torch.ones(64)).sum()),
    "shuffling": lambda: float(np.random.permutation(99)[0]),  # noqa: NPY002
}


@pytest.mark.parametrize("name", GLOBAL)
def test_a_global_state_is_a_function_of_the_number_and_is_given_back(
    name: str,
) -> None:
    drawn, chance = GLOBAL[name], Chance()
    with seeded(5):
        undisturbed = drawn(), drawn()
    with seeded(5):
        first = drawn()
        with chance.lent(7):
            one = drawn()
            chance.begin(7, 1)
            other = drawn()
            chance.begin(7)
            again = drawn()
        assert (first, drawn()) == undisturbed
    assert one == again
    assert name == "dropout" or one != other


@pytest.mark.parametrize("name", OWN)
def test_so_is_a_generator_of_the_users_own(name: str) -> None:
    own, twin = OWN[name](), OWN[name]()
    chance = Chance([own])
    with chance.lent(7):
        one = draw(own), draw(own)
        chance.begin(7, 1)
        other = draw(own)
        chance.begin(7)
        assert (draw(own), draw(own)) == one
    assert one[0] != other
    assert draw(own) == draw(twin)


def test_two_generators_of_one_kind_draw_otherwise() -> None:
    one, two = OWN["numpy"](), OWN["numpy"]()
    with Chance([one, two]).lent(7):
        assert draw(one) != draw(two)


SHARED = random.Random(3)


def through_a_global() -> float:
    return SHARED.random()


def through_another() -> float:
    return through_a_global()


def through_a_comprehension() -> list[float]:
    return [SHARED.random() for _ in range(2)]


class Holder:
    """Holds one in an attribute, as data sets and samplers do."""

    def __init__(self, own: object) -> None:
        self.own = own

    def drawn(self) -> float:
        return draw(self.own)


class Slotted:
    """Holds one in a slot."""

    __slots__ = ("own",)

    def __init__(self, own: object) -> None:
        self.own = own


class OfClass:
    """Holds one in its class."""

    own = SHARED


class Global:
    """Names one in a method."""

    def drawn(self) -> float:
        return SHARED.random()


def looped(own: torch.Generator) -> DataLoader:
    sampler = RandomSampler(ROWS, generator=own)
    return DataLoader(ROWS, batch_sampler=BatchSampler(sampler, 2, drop_last=False))


HOLDERS: dict[str, Callable[[object], object]] = {
    "itself": lambda own: own,
    "list": lambda own: [[own]],
    "dict": lambda own: {"a": (own,)},
    "closure": lambda own: lambda: own,
    "default": lambda own: lambda x=own: x,
    "keyword": lambda own: functools.partial(draw, own=own),
    "partial": lambda own: functools.partial(draw, own),
    "attribute": Holder,
    "nested": lambda own: Holder(Holder(own)),
    "slot": Slotted,
    "method": lambda own: Holder(own).drawn,
    "module": lambda own: torch.nn.Sequential(Layer(own)),
}


class Layer(torch.nn.Module):
    """A layer that keeps one."""

    def __init__(self, own: object) -> None:
        super().__init__()
        self.own = own


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("name", OWN)
def test_a_generator_is_found_wherever_it_is_held(name: str, holder: str) -> None:
    own = OWN[name]()
    assert [id(each) for each in generators_of(HOLDERS[holder](own))] == [id(own)]


@pytest.mark.parametrize(
    "held",
    [through_a_global, through_another, through_a_comprehension, OfClass(), Global()],
    ids=lambda held: getattr(held, "__name__", type(held).__name__),
)
def test_a_generator_is_found_through_the_globals_of_a_function(held: object) -> None:
    assert SHARED in generators_of(held)


@pytest.mark.parametrize(
    "loader",
    [
        lambda own: DataLoader(ROWS, shuffle=True, generator=own),
        lambda own: DataLoader(ROWS, sampler=RandomSampler(ROWS, generator=own)),
        looped,
    ],
)
def test_a_generator_of_a_loader_is_found(loader: Callable[..., DataLoader]) -> None:
    own = torch.Generator()
    assert own in generators_of(loader(own))


def test_the_bound_method_of_a_generator_is_its_generator() -> None:
    own = np.random.default_rng(1)
    assert [*generators_of(own.normal)] == [own]


def test_much_data_is_not_looked_through() -> None:
    rows = [[object()] for _ in range(300_000)]
    assert generators_of({"rows": rows}) == ()

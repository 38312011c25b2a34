"""Laws of what a run does for optimizers of the user's own: closures and modes."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from mementum import lab
from mementum.lab.planning.own import registry
from mementum.lab.records.run import RunRecord, Status
from mementum.lab.running.loop import execute
from mementum.lab.running.modifiers import begin
from mementum.lab.running.rehearsal import trial
from mementum.lab.tasks import registry as registry_of_tasks


class Plain(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)


class Noting(Plain):
    """Notes what is asked of it."""

    notes: list[str] = []  # noqa: RUF012

    def train(self):
        self.notes.append("train")

    def eval(self):
        self.notes.append("eval")

    def step(self):
        self.notes.append("step")
        super().step()


class Demanding(Plain):
    """Wants a closure by its signature."""

    @torch.no_grad()
    def step(self, closure):
        loss = closure()
        super().step()
        return loss


class Asserting(Plain):
    """Wants a closure, and has a default for it."""

    @torch.no_grad()
    def step(self, closure=None):
        assert closure is not None, "a closure, please"
        closure()
        super().step()


class Twice(Plain):
    """Takes every gradient twice, the second time for nothing."""

    def step(self, closure):
        closure()
        closure()
        super().step()


class Noisy(Plain):
    """Draws from the global states."""

    @torch.no_grad()
    def step(self, closure=None):
        super().step()
        size = random.random() + np.random.rand()  # noqa: NPY002
        for parameter in self.param_groups[0]["params"]:
            parameter.add_(torch.randn_like(parameter), alpha=1e-3 * size)


class Deaf(Plain):
    """Asks for a closure and never calls it."""

    def step(self, closure):
        super().step()


class Named(Plain):
    """Takes the model."""

    def __init__(self, model, lr=0.1):
        self.names = [name for name, _ in model.named_parameters()]
        super().__init__(model.parameters(), lr)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, "")
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(Noting, "notes", [])


def trained(kind: type[torch.optim.Optimizer], task: str = "quad") -> list[RunRecord]:
    plan = lab.plan([task], [kind], seeds=2, lrs=1, tier="smoke", reference=kind)
    return [execute(run) for run in plan.runs]


def without_times(records: list[RunRecord]) -> list[Any]:
    return [(each.status, each.curve, each.score) for each in records]


@pytest.mark.parametrize("kind", [Demanding, Asserting, Twice])
def test_a_step_with_a_closure_is_the_step_without(kind: Any) -> None:
    assert without_times(trained(kind)) == without_times(trained(Plain))


def test_torchs_lbfgs_takes_part() -> None:
    assert {each.status for each in trained(torch.optim.LBFGS)} == {Status.FINISHED}


def test_a_closure_that_is_asked_for_and_never_called_is_an_error() -> None:
    with pytest.raises(lab.LabError, match="did not call the closure"):
        trained(Deaf)


def test_modes_are_switched_around_every_evaluation() -> None:
    registry.register([Noting])
    plan = lab.plan(["quad"], [Noting], seeds=1, lrs=1, tier="smoke", reference=Noting)
    Noting.notes.clear()
    (run,) = plan.runs
    record = execute(run)
    notes = Noting.notes
    assert notes[0] == "train"
    mode = "train"
    for note in notes:
        assert note != "step" or mode == "train"
        mode = mode if note == "step" else note
    assert notes.count("step") == run.steps
    assert notes.count("eval") == len(record.curve.steps)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [(Plain, False), (torch.optim.Adamax, True), (torch.optim.LBFGS, False)],
)
def test_only_the_state_of_torchs_own_is_trusted_to_a_snapshot(
    kind: Any, kept: bool
) -> None:
    (own,) = registry.register([kind])
    made = begin(registry_of_tasks.find("quad"), 0, own.builder(0.1, own.options))
    assert kept is (made.stepper is made.optimizer)


def test_what_an_optimizer_draws_is_the_same_whenever_the_run_is_made() -> None:
    first = trained(Noisy)
    torch.manual_seed(5)
    random.seed(5)
    before = torch.get_rng_state(), random.getstate()
    assert without_times(trained(Noisy)) == without_times(first)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    inputs = torch.linspace(-1, 1, 32)[:, None]
    return list(zip(inputs.split(8), inputs.square().split(8), strict=True))


def loss(model: Any, batch: Any) -> torch.Tensor:
    return torch.nn.functional.mse_loss(model(batch[0]), batch[1])


def at_hand(*contenders: Any, **how: Any) -> Any:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(1, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
    )
    return lab.compare_model(
        model, loss, batches(), batches(), steps=6, seeds=2, lrs=1,
        contenders=contenders, **how,
    )  # fmt: skip


def test_a_model_at_hand_gives_a_closure_the_batch_and_dropout_of_its_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial, "row_seconds", lambda *_: None)

    def curves(kind: Any) -> Any:
        records = at_hand(kind).records
        return [each.curve for each in records if each.spec.contender != "AdamW"]

    assert curves(Twice) == curves(Plain)


def test_an_error_of_the_task_inside_a_closure_is_raised_as_it_is() -> None:
    def failing(model: Any, batch: Any) -> torch.Tensor:
        raise ZeroDivisionError

    model = torch.nn.Linear(1, 1)
    with pytest.raises(ZeroDivisionError):
        lab.compare_model(
            model, failing, batches(), batches(), contenders=[Demanding], steps=2
        )


def test_a_rule_that_takes_the_model_sees_its_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def step(self: Named) -> None:
        seen.append(self.names)
        torch.optim.SGD.step(self)

    monkeypatch.setattr(Named, "step", step)
    at_hand(Named)
    assert ["0.weight", "0.bias", "2.weight", "2.bias"] in seen
    seen.clear()
    trained(Named)
    assert ["0"] in seen

"""Laws of the controls: they pass where all is well, fail where it is not, and say so."""

import io
import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from tests.lab.synthetic import Noise, SyntheticPlan, SyntheticTask, run

from mementum import Adam
from mementum.lab.report import page
from mementum.lab.report.export.json_form import to_dict
from mementum.lab.report.terminal import table
from mementum.lab.running import optimizer_controls
from mementum.lab.statistics import analyse
from mementum.lab.statistics.controls import HEAVY_TAIL, against_itself, splits

TEN = tuple(SyntheticTask(name=f"task-{i}") for i in range(10))
TAIL = (SyntheticTask(name=HEAVY_TAIL),)
BOTH = ("AdamW", "Adam", "SGD")


def tail(effect: float):
    plan = SyntheticPlan(tasks=TAIL, contenders=BOTH)
    return analyse(run(plan, Noise(plan, effects={"SGD": effect}, spread=0.003)), plan)


def test_noise_is_rarely_told_from_itself():
    for seed in range(5):
        plan = SyntheticPlan(tasks=TEN)
        analysis = analyse(run(plan, Noise(plan, spread=0.1, seed=seed)), plan)
        assert against_itself(analysis.tasks).passed is True


def test_scores_that_rise_with_the_seed_fail_the_control():
    # Halves then differ by nearly the same amount in every pair: four seeds suffice.
    plan = SyntheticPlan(tasks=TEN)
    analysis = analyse(run(plan, lambda s: math.exp(s.seed + 1e-3 * s.seed**2)), plan)
    control = against_itself(analysis.tasks)
    assert control.passed is False
    assert control in analysis.failed_controls


def test_every_split_is_in_halves_and_comes_once():
    for seeds in ((0, 1, 2, 3), (0, 1, 2, 3, 4), tuple(range(10))):
        found = list(splits(seeds))
        assert len({frozenset(one) for one, _ in found}) == len(found) <= 20
        for one, other in found:
            assert len(one) == len(other) == len(seeds) // 2
            assert not set(one) & set(other)
    assert len(list(splits((0, 1, 2, 3)))) == 3


@pytest.mark.parametrize(
    ("effect", "passed"), [(0.5, True), (0.0, False), (-0.5, False)]
)
def test_adam_must_beat_sgd_on_heavy_tails(effect, passed):
    control = tail(effect).controls[-1]
    assert control.passed is passed


def test_a_control_that_cannot_be_made_is_no_failure():
    plan = SyntheticPlan(seeds=(0, 1))
    analysis = analyse(run(plan, Noise(plan)), plan)
    assert [control.passed for control in analysis.controls] == [None, None]
    assert analysis.failed_controls == ()


def test_a_report_whose_controls_fail_says_so_first():
    analysis = tail(-0.5)
    console = Console(width=80, file=io.StringIO())
    console.print(table(analysis))
    assert console.file.getvalue().startswith("A control fails: do not trust")
    body = page.render(analysis, []).partition("<body>")[2]
    first = body.partition("<h1>")[0]
    assert 'role="alert"' in first
    assert "do not trust" in first
    assert to_dict(analysis)["controls"][-1]["passed"] is False


def test_a_report_whose_controls_pass_raises_no_alarm():
    analysis = tail(0.5)
    assert "do not trust" not in page.render(analysis, [])
    console = Console(width=80, file=io.StringIO())
    console.print(table(analysis))
    assert "do not trust" not in console.file.getvalue()


# --- on the optimizers themselves


def test_the_optimizers_are_what_they_are_known_to_be():
    failed = [c for c in optimizer_controls.controls() if c.passed is not True]
    assert failed == []
    assert len(optimizer_controls.controls()) == len(optimizer_controls.PAIRS)


@pytest.mark.parametrize(
    "other",
    [
        lambda p: torch.optim.Adam(p, lr=1e-2, betas=(0.9, 0.9989)),
        lambda p: torch.optim.Adam(p, lr=1e-2, eps=1e-6),
        lambda p: torch.optim.AdamW(p, lr=1e-2),
        lambda p: torch.optim.Adam(p, lr=math.nan),
    ],
    ids=["beta2", "eps", "decay", "nan"],
)
def test_another_formula_fails_a_trajectory_control(other):
    control = optimizer_controls.control(
        "other", lambda p: Adam(p, lr=1e-2), other, optimizer_controls.TOLERANCE
    )
    assert control.passed is False


def test_an_optimizer_that_breaks_fails_its_control():
    def broken(_):
        raise RuntimeError("no kernel")

    control = optimizer_controls.control("broken", broken, broken, 1.0)
    assert control.passed is False
    assert "no kernel" in control.words


def test_checks_stand_before_the_other_controls():
    analysis = replace(tail(0.5), checks=optimizer_controls.controls())
    assert analysis.controls[0].name == "Adam is torch's"
    assert analysis.failed_controls == ()

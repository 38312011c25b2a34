"""Laws of the choice of a device, where torch sees none, and fakes stand for some."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.lab.claims.test_claim_files import GOOD
from tests.lab.running.test_run import planned
from tests.lab.runs import broken_card, each, of_card, record, spec, unprepared

from mementum import lab
from mementum.cli import main
from mementum.lab.claims.claim_file import read
from mementum.lab.claims.plan import Tier as ClaimTier
from mementum.lab.claims.plan import by_identity, settle
from mementum.lab.claims.plan import planned as planned_claims
from mementum.lab.errors import LabError
from mementum.lab.records.merge import MergeError, union
from mementum.lab.records.run import CPU, Status
from mementum.lab.running.executors.choice import choose, number
from mementum.lab.running.executors.in_process import InProcessExecutor
from mementum.lab.running.executors.local import LocalExecutor
from mementum.lab.running.loop import execute
from mementum.lab.running.stepping import device
from mementum.lab.running.stepping.device import Choice, alone, chosen, exact, facts
from mementum.lab.running.versions import environment

SMALL: dict[str, Any] = {
    "tasks": ["logreg-cancer"],
    "contenders": ["SGD"],
    "reference": "SGD",
    "seeds": 1,
    "lrs": 1,
    "tier": "smoke",
}
Cards = Callable[..., None]


class Fake:
    """What stands for torch.cuda."""

    def __init__(self, cards: int) -> None:
        self.cards, self.entered = cards, list[int]()

    def is_available(self) -> bool:
        return self.cards > 0

    def device_count(self) -> int:
        return self.cards

    def current_device(self) -> int:
        return 0

    def device(self, index: int) -> nullcontext[None]:
        self.entered.append(index)
        return nullcontext()


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Cards:
    """Let torch see so many cards of each kind."""

    def see(**counts: int) -> None:
        fakes = {kind: Fake(counts.get(kind, 0)) for kind in ("cuda", "xpu", "mps")}
        monkeypatch.setattr(torch, "get_device_module", fakes.__getitem__)

    return see


@pytest.mark.parametrize(
    ("value", "seen", "found"),
    [
        (None, {"cuda": 1}, Choice("cpu")),
        ("cpu", {"cuda": 1}, Choice("cpu")),
        ("auto", {}, Choice("cpu")),
        ("auto", {"mps": 1}, Choice("cpu")),
        ("auto", {"xpu": 1}, Choice("xpu")),
        ("auto", {"xpu": 1, "cuda": 2}, Choice("cuda")),
        ("CUDA:1", {"cuda": 2}, Choice("cuda", 1)),
        ("mps", {"mps": 1}, Choice("mps")),
    ],
)
def test_a_value_means_a_device(
    value: str | None, seen: dict[str, int], found: Choice, cards: Cards
) -> None:
    cards(**seen)
    assert chosen(value) == found
    assert found.here()
    assert len(found.cards()) <= 2


@pytest.mark.parametrize(
    ("value", "seen", "here"),
    [("cuda", {}, 0), ("cuda:2", {"cuda": 2}, 2), ("xpu:0", {"cuda": 1}, 0)],
)
def test_a_device_that_is_not_there_is_one_sentence(
    value: str, seen: dict[str, int], here: int, cards: Cards
) -> None:
    cards(**seen)
    kind = value.partition(":")[0]
    words = f"device is {value}, and torch .* sees {here} devices of {kind} here; give"
    with pytest.raises(LabError, match=words):
        chosen(value).cards()


@pytest.mark.parametrize("command", ["compare", "reproduce"])
def test_the_command_line_says_so_before_anything_is_planned(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([command, "--device", "cuda:99", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"mementum {command}: --device is cuda:99, and torch ")
    assert said.count("\n") == 1
    assert not out.exists()


def test_there_is_a_worker_a_card(cards: Cards) -> None:
    cards(cuda=2)
    assert number(None, Choice("cuda").cards()) == 2
    assert number("1", (0, 1)) == 1
    with pytest.raises(LabError, match="workers is 3, and each has a card of its own"):
        choose(3, None, device=Choice("cuda"))
    executor = choose(None, None, device=Choice("cuda"))
    assert isinstance(executor, LocalExecutor)
    seen = [dict(each) for each in executor.places]
    assert seen == [{"CUDA_VISIBLE_DEVICES": each} for each in ("0", "1")]
    assert choose(None, None, device=Choice("cuda", 1)).workers == 1


def test_cards_are_numbered_as_this_process_sees_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5")
    assert alone("cuda", 1) == {"CUDA_VISIBLE_DEVICES": "GPU-5"}
    assert alone("mps", 0) == {}


@pytest.mark.process
def test_no_two_workers_see_one_card() -> None:
    places = [{"CUDA_VISIBLE_DEVICES": each} for each in ("4", "7")]
    before = dict(os.environ)
    executor = LocalExecutor(2, of_card, unprepared, places)
    found = [*executor.results([spec(seed=seed) for seed in range(6)])]
    assert dict(os.environ) == before
    by_process = {
        each.environment["process"]: each.environment["card"] for each in found
    }
    assert {*by_process.values()} == {"4", "7"}


@pytest.mark.process
def test_after_the_error_of_a_card_runs_are_in_another_process() -> None:
    runs = [replace(spec(seed=seed), device="cuda") for seed in range(4)]
    places = [{"CUDA_VISIBLE_DEVICES": "0"}]
    executor = LocalExecutor(1, broken_card, unprepared, places)
    found = {each.spec.seed: each for each in executor.results(runs)}
    failed = {seed for seed, each in found.items() if each.status is Status.FAILED}
    assert failed == {1, 3}
    processes = [found[seed].environment["process"] for seed in range(4)]
    assert processes[0] == processes[1] != processes[2] == processes[3]


def test_a_run_of_this_process_is_on_the_card_that_is_asked_for(
    cards: Cards, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards(cuda=2)
    monkeypatch.setattr(
        "mementum.lab.running.executors.in_process.loop.execute_parcel", each(record)
    )
    executor = choose(0, None, device=Choice("cuda", 1))
    assert isinstance(executor, InProcessExecutor)
    assert [*executor.results([spec()])] == [record(spec())]
    module: Any = torch.get_device_module("cuda")
    assert module.entered == [1]


def test_a_plan_has_the_kind_and_not_the_card(cards: Cards) -> None:
    cards(cuda=2)
    here, there = lab.plan(**SMALL), lab.plan(**SMALL, device="cuda:1")
    assert {each.device for each in here.specs()} == {CPU}
    assert {each.device for each in there.specs()} == {"cuda"}
    assert there == lab.plan(**SMALL, device="auto")
    ids = [{each.run_id for each in plan.specs()} for plan in (here, there)]
    assert not ids[0] & ids[1]


def test_a_plan_for_a_cluster_needs_no_card_here() -> None:
    own = {"contenders": [torch.optim.Adamax], "lr": {"Adamax": 0.01}}
    plan = lab.plan(**(SMALL | own), device="cuda")
    assert {each.device for each in plan.specs()} == {"cuda"}
    with pytest.raises(LabError, match="sees 0 devices of cuda"):
        lab.compare(plan, "nowhere")


def test_a_comparison_is_for_the_device_of_its_plan(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="device is cuda, and the plan is for cpu"):
        lab.compare(lab.plan(**SMALL), tmp_path, device="cuda")


def test_plans_for_two_kinds_do_not_become_one() -> None:
    plans = [lab.plan(**SMALL, device=kind) for kind in ("cpu", "cuda")]
    with pytest.raises(MergeError, match=r"logreg-cancer\+cosine on cpu and on cuda"):
        union(plans)


def test_claims_are_judged_on_whichever_kind_they_ran(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(GOOD)
    claims, tier = read(path), ClaimTier.SMOKE
    plan = planned_claims(claims, tier, device="cuda")
    assert {each.device for each in plan.specs()} == {"cuda"}
    found = by_identity([record(each) for each in plan.specs()])
    check = claims[0].checks[0]
    asked = [*settle(check, claims[0].arms[check.arm], tier).specs()]
    assert all(each.run_id in found for each in asked)


def test_records_name_the_card(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    assert facts("cuda") == {}
    cards(cuda=1, mps=1)

    class Opened:
        def facts(self) -> dict[str, Any]:
            return {"device": "H100", "driver": "570", "HIP": None, "clock": "1980"}

    monkeypatch.setattr(device, "opened", lambda name: Opened())
    device._facts.cache_clear()
    try:
        told = {"device": "H100", "driver": "570"}
        assert facts("cuda") == told
        assert environment("cuda") == environment() | told
        assert record(spec()).environment.keys().isdisjoint(told)
    finally:
        device._facts.cache_clear()
    assert facts("mps") == {"device": "mps"}
    assert environment() == environment(CPU)


def test_a_run_without_its_device_fails_with_a_reason() -> None:
    failed = execute(replace(planned("mlp-digits", "SGD", 0.1), device="cuda"))
    assert failed.score is None
    assert failed.error


def test_float32_is_exact_in_a_run_and_after_it_what_it_was() -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.enabled
    with exact():
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (False, False)
        assert cudnn.deterministic
        assert cudnn.enabled is before[-1]
    after = matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.enabled
    assert after == before

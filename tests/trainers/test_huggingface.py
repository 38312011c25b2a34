"""transformers.Trainer, run with a language model of a few thousand weights."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.torch.cases import Member, Options, kinds, same_bits
from tests.trainers import pages
from tests.trainers.replay import ends, recorded

from mementum import install
from mementum.torch import AdaXW, FamilyOptimizer, param_groups
from mementum.torch.integrations.huggingface import telemetry_callback

pytestmark = pytest.mark.process
os.environ["HF_HUB_OFFLINE"] = "1"

STEPS, ROWS, AT_ONCE = 6, 2, 2
# The dtype of the model, and how the moments are kept and the parameters rounded.
SMALL: dict[str, tuple[torch.dtype, Options]] = {
    "bfloat16 state": (torch.float32, {"state_dtype": torch.bfloat16}),
    "float8 state": (torch.float32, {"state_dtype": "float8"}),
    "all bfloat16": (
        torch.bfloat16,
        {"state_dtype": torch.bfloat16, "stochastic_rounding": True},
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _transformers(loaded: Callable[[str], None]) -> None:
    loaded("transformers.trainer")
    loaded("transformers.models.llama.modeling_llama")


def language_model(dtype: torch.dtype = torch.float32) -> Any:
    """A model with an embedding, a norm's weights and, for float8, wide matrices."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
    )
    return LlamaForCausalLM(config).to(dtype)


@cache
def dataset() -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(3, 64, (STEPS * ROWS * AT_ONCE, 8), generator=generator)
    return [{"input_ids": row, "labels": row} for row in rows]


def trainer(
    folder: Path, model: Any, arguments: Options | None = None, **how: Any
) -> Any:
    from transformers import PrinterCallback, Trainer, TrainingArguments

    settings: Options = {
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "seed": 1,
        "max_steps": STEPS,
        "per_device_train_batch_size": ROWS,
        "dataloader_pin_memory": False,
    }
    made = Trainer(
        model,
        TrainingArguments(str(folder), **(settings | (arguments or {}))),
        train_dataset=dataset(),
        **how,
    )
    made.remove_callback(PrinterCallback)
    return made


def scheduled(optimizer: FamilyOptimizer) -> Any:
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)


@kinds
def test_the_steps_are_the_optimizers_own(member: Member, tmp_path: Path) -> None:
    model = language_model()
    optimizer = member(model.parameters(), lr=5e-3)
    recording = recorded(optimizer)
    run = trainer(tmp_path, model, optimizers=(optimizer, scheduled(optimizer)))
    run.train()
    assert recording.rates == [[pytest.approx(5e-3 * 0.8**k)] for k in range(STEPS)]
    assert same_bits(ends(optimizer), recording.replayed())


@kinds
def test_the_trainer_makes_the_optimizer(member: Member, tmp_path: Path) -> None:
    run = trainer(
        tmp_path,
        language_model(),
        {"weight_decay": 0.01},
        optimizer_cls_and_kwargs=(member, {"lr": 5e-3}),
    )
    optimizer = run.create_optimizer()
    assert type(optimizer) is member
    recording = recorded(optimizer)
    run.train()
    decays = {
        param.dim(): group["weight_decay"]
        for group in optimizer.param_groups
        for param in group["params"]
    }
    assert decays == {2: 0.01, 1: 0.0}
    assert len(recording.grads) == STEPS
    assert same_bits(ends(optimizer), recording.replayed())


@pytest.mark.parametrize("name", ["adaxw", "AdaXW", "mementum.AdaXW"])
def test_the_trainer_knows_no_other_names(name: str, tmp_path: Path) -> None:
    # What the page says of `--optim`.
    with pytest.raises(ValueError, match="is not a valid OptimizerNames"):
        trainer(tmp_path, language_model(), {"optim": name})


@kinds
def test_groups_that_carry_names_resume(member: Member, tmp_path: Path) -> None:
    def groups(model: Any) -> Any:
        return param_groups(model, weight_decay=0.01)

    whole, stopped, again = resumed(tmp_path, member, torch.float32, {}, groups)
    assert not same_bits(whole, stopped)
    assert same_bits(whole, again)
    kept = torch.load(tmp_path / "stopped" / "checkpoint-3" / "optimizer.pt")
    decays = {
        name: group["weight_decay"]
        for group in kept["param_groups"]
        for name in group["param_names"]
    }
    assert decays["model.embed_tokens.weight"] == 0.01
    assert decays["model.norm.weight"] == 0.0


def test_gradients_are_clipped_before_the_step(tmp_path: Path) -> None:
    norms = {}
    for limit in (0.0, 0.5):
        model = language_model()
        optimizer = AdaXW(model.parameters(), lr=5e-3)
        recording = recorded(optimizer)
        how = {"optimizers": (optimizer, None)}
        trainer(tmp_path, model, {"max_grad_norm": limit}, **how).train()
        norms[limit] = recording.norms()
        assert same_bits(ends(optimizer), recording.replayed())
    assert min(norms[0.0]) > 0.5
    # torch adds 1e-6 to the norm, and the product is rounded.
    assert norms[0.5] == pytest.approx([0.5] * STEPS, rel=1e-5)


def test_gradients_are_accumulated_between_steps(tmp_path: Path) -> None:
    taken = {}
    for size, pieces in ((ROWS * AT_ONCE, 1), (ROWS, AT_ONCE)):
        model = language_model()
        optimizer = AdaXW(model.parameters(), lr=5e-3)
        recording = recorded(optimizer)
        arguments = {
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": pieces,
        }
        trainer(tmp_path, model, arguments, optimizers=(optimizer, None)).train()
        taken[pieces] = recording.norms()
        assert same_bits(ends(optimizer), recording.replayed())
    # The first gradient is of the same rows, whole or in two pieces.
    assert len(taken[1]) == len(taken[AT_ONCE]) == STEPS
    assert taken[AT_ONCE][0] == pytest.approx(taken[1][0], rel=1e-5)


@kinds
def test_autocast_to_bfloat16_leaves_the_step_alone(
    member: Member, tmp_path: Path
) -> None:
    model = language_model()
    optimizer = member(model.parameters(), lr=5e-3)
    recording = recorded(optimizer)
    arguments = {"bf16": True, "max_grad_norm": 1.0}
    trainer(tmp_path, model, arguments, optimizers=(optimizer, None)).train()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert same_bits(ends(optimizer), recording.replayed())


def resumed(
    folder: Path,
    member: Member,
    dtype: torch.dtype,
    options: Options,
    groups: Callable[[Any], Any] = lambda model: model.parameters(),
) -> list[list[torch.Tensor]]:
    """Return the weights after a whole run, one stopped half-way, and its other half."""
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop |= state.global_step == STEPS // 2

    after = []
    for name, callbacks, resume in (
        ("whole", [], None),
        ("stopped", [Stop()], None),
        ("resumed", [], str(folder / "stopped" / f"checkpoint-{STEPS // 2}")),
    ):
        model = language_model(dtype)
        optimizer = member(groups(model), lr=5e-3, **options)
        saves = {"save_strategy": "steps", "save_steps": STEPS // 2}
        run = trainer(
            folder / name,
            model,
            saves if name == "stopped" else {},
            optimizers=(optimizer, scheduled(optimizer)),
            callbacks=callbacks,
        )
        run.train(resume_from_checkpoint=resume)
        after.append(list(model.parameters()))
    return after


@kinds
def test_a_resumed_run_ends_as_one_that_was_not_stopped(
    member: Member, tmp_path: Path
) -> None:
    whole, stopped, again = resumed(tmp_path, member, torch.float32, {})
    assert not same_bits(whole, stopped)
    assert same_bits(whole, again)


@kinds
@pytest.mark.parametrize(("dtype", "options"), SMALL.values(), ids=SMALL.keys())
def test_a_resumed_run_rounds_as_one_that_was_not_stopped(
    member: Member, dtype: torch.dtype, options: Options, tmp_path: Path
) -> None:
    whole, stopped, again = resumed(tmp_path, member, dtype, options)
    assert not same_bits(whole, stopped)
    assert same_bits(whole, again)


# The page leaves the Trainer its default, which is meant for accelerators.
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = language_model()
    before = [p.detach().clone() for p in model.parameters()]
    space = pages.run("trainers/huggingface.md", model=model, dataset=dataset())
    assert isinstance(space["optimizer"], AdaXW)
    assert space["trainer"].state.global_step == 100
    assert (tmp_path / "run" / "checkpoint-100").is_dir()
    assert not same_bits(before, list(model.parameters()))
    assert [*telemetry(space["trainer"].state.log_history)] == [50, 100]


def telemetry(history: list[dict[str, float]]) -> dict[int, dict[str, float]]:
    """Return the telemetry in a trainer's log, by step."""
    return {
        int(entry["step"]): {
            name.removeprefix("telemetry/"): value
            for name, value in entry.items()
            if name.startswith("telemetry/")
        }
        for entry in history
        if "telemetry/skipped_steps" in entry
    }


@kinds
def test_telemetry_is_logged_every_so_many_steps(
    member: Member, tmp_path: Path
) -> None:
    model = language_model()
    optimizer = member(model.parameters(), lr=5e-3)
    run = trainer(tmp_path, model, optimizers=(optimizer, None))
    run.add_callback(telemetry_callback(run, every=2))
    run.train()
    found = telemetry(run.state.log_history)
    assert [*found] == [2, 4, 6]
    assert [each["overall/steps"] for each in found.values()] == [2, 4, 6]
    # The rate is 0 when training is over; the moments are those of the last step.
    last = optimizer.telemetry().flat()
    for name in ("coordinates", "memory_steps", "rms_weight"):
        assert found[6][f"group0/{name}"] == last[f"group0/{name}"]


def test_the_trainers_own_log_is_as_without_telemetry(tmp_path: Path) -> None:
    told = []
    for with_telemetry in (False, True):
        model = language_model()
        run = trainer(
            tmp_path,
            model,
            {"logging_strategy": "steps", "logging_steps": 1},
            optimizers=(AdaXW(model.parameters(), lr=5e-3), None),
        )
        if with_telemetry:
            run.add_callback(telemetry_callback(run, every=3))
        run.train()
        history = run.state.log_history
        told.append([e for e in history if "loss" in e])
        assert [*telemetry(history)] == ([3, 6] if with_telemetry else [])
    assert len(told[0]) == STEPS
    assert told[0] == told[1]


def test_what_reports_to_trackers_is_told_of_telemetry(tmp_path: Path) -> None:
    from transformers import TrainerCallback

    heard: list[dict[str, float]] = []

    class Tracker(TrainerCallback):
        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any
        ) -> None:
            heard.append({**logs, "step": state.global_step})

    model = language_model()
    how = {"optimizers": (AdaXW(model.parameters(), lr=5e-3), None)}
    run = trainer(tmp_path, model, callbacks=[Tracker()], **how)
    run.add_callback(telemetry_callback(run, every=4))
    run.train()
    assert [*telemetry(heard)] == [4]


def test_another_optimizer_is_refused_when_training_begins(tmp_path: Path) -> None:
    model = language_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = trainer(tmp_path, model, optimizers=(optimizer, None))
    run.add_callback(telemetry_callback(run))
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(TypeError, match="the optimizer is SGD, and only those of"):
        run.train()
    assert same_bits(before, list(model.parameters()))


def test_what_is_no_trainer_is_refused() -> None:
    with pytest.raises(TypeError, match=r"trainer is 100; it is the Trainer, as in"):
        telemetry_callback(100)  # type: ignore[arg-type]


def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        telemetry_callback(object())  # type: ignore[arg-type]
    command = install.command("trainers")
    words = f"telemetry_callback needs transformers: run {command}."
    assert str(caught.value) == words


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")
def test_the_page_of_telemetry_runs(tmp_path: Path) -> None:
    model = language_model()
    optimizer = AdaXW(model.parameters(), lr=5e-3)
    run = trainer(tmp_path, model, {"max_steps": 100}, optimizers=(optimizer, None))
    _, found, program = pages.program("training/telemetry.md").partition(
        "from mementum.torch"
    )
    pages.run_text("training/telemetry.md", found + program, trainer=run)
    run.train()
    assert [*telemetry(run.state.log_history)] == [100]

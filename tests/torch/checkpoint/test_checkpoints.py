"""What is saved and loaded continues bit for bit."""

from __future__ import annotations

import io
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.torch.cases import (
    EAGER,
    PATHS,
    Member,
    Options,
    bits_of,
    continued,
    drive,
    gradients,
    kinds,
    members,
    parameters,
    paths,
    run,
    same_bits,
    settings,
    with_gaps,
)

from mementum import Memory
from mementum.torch import AMSGrad, Mementum


def through_a_file(state_dict: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return what a plain torch.load gives of a saved state dict."""
    torch.save(state_dict, path)
    return torch.load(path, weights_only=True)


@settings
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.complex64], ids=str
)
def test_a_resumed_run_is_the_uninterrupted_one(
    member: Member, options: Options, dtype: torch.dtype, tmp_path: Path
) -> None:
    start = parameters(dtype)
    grads = with_gaps(gradients(start, 16))
    whole = bits_of(run(member, start, grads, **options)[1])
    halfway, first = run(member, start, grads[:7], **options)
    saved = through_a_file(first.state_dict(), tmp_path / "optimizer.pt")
    resumed, second = continued(member, halfway, saved)
    assert same_bits(bits_of(second), bits_of(first))
    drive(second, resumed, grads[7:])
    assert same_bits(bits_of(second), whole)


@kinds
@pytest.mark.parametrize("before", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("after", EAGER.values(), ids=EAGER.keys())
def test_a_run_may_resume_on_another_path(
    member: Member, before: Options, after: Options
) -> None:
    start = parameters(torch.float64)
    grads = gradients(start, 12)
    halfway, first = run(member, start, grads[:6], **before)
    resumed, second = continued(member, halfway, first.state_dict())
    neutral = {"foreach": None, "fused": None, "capturable": False}
    second.param_groups[0].update(neutral | after)
    drive(second, resumed, grads[6:])
    expected, _ = run(member, start, grads)
    if not before.get("capturable"):
        assert same_bits(resumed, expected)
    # Numbers computed by torch: 6 steps of some 30 roundings each, of steps below 0.1.
    for a, b in zip(resumed, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


@kinds
@pytest.mark.parametrize("capturable", [False, True])
def test_capturing_may_be_switched_after_loading(
    member: Member, capturable: bool
) -> None:
    params, optimizer = run(
        member, start := parameters(), gradients(start, 3), capturable=capturable
    )
    optimizer.param_groups[0]["capturable"] = not capturable
    drive(optimizer, params, gradients(start, 1))
    for param in params:
        step = optimizer.state[param]["step"]
        assert isinstance(step, torch.Tensor) is not capturable
        assert step == 4


@kinds
def test_short_parameters_keep_their_long_moments(
    member: Member, tmp_path: Path
) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        params, first = run(member, start := parameters(dtype), gradients(start, 5))
        saved = through_a_file(first.state_dict(), tmp_path / "optimizer.pt")
        loaded, second = continued(member, params, saved)
        for param in loaded:
            assert second.state[param]["square"].dtype == torch.float32
        assert same_bits(bits_of(first), bits_of(second))


@kinds
@paths({name: PATHS[name] for name in ("default", "capturable default")})
def test_loading_shares_nothing_with_the_given_state_dict(
    member: Member, flags: Options
) -> None:
    params, first = run(member, start := parameters(), gradients(start, 3), **flags)
    saved = first.state_dict()
    kept = deepcopy(saved)
    loaded, second = continued(member, params, saved, **flags)
    drive(second, loaded, gradients(start, 3, seed=9))
    second.param_groups[0]["lr"] = 0.75
    assert saved["param_groups"] == kept["param_groups"]
    for key, state in kept["state"].items():
        for name, value in state.items():
            assert same_bits(saved["state"][key][name], value)
    assert same_bits(bits_of(first)[0], params[0].detach())


@kinds
@paths(EAGER)
def test_what_a_program_adds_to_the_state_is_kept(
    member: Member, flags: Options, tmp_path: Path
) -> None:
    # timm's Lookahead keeps its slow weights there.
    start = parameters(shapes=[(4,), (2, 3)])
    grads = gradients(start, 4)
    whole, _ = run(member, start, grads, **flags)
    params, first = run(member, start, grads[:2], **flags)
    slow, note = torch.ones(4, dtype=torch.float64), {"tags": ["mine"]}
    first.state[params[0]].update(slow=slow, seen=3)
    first.state["note"] = note  # type: ignore[index]
    saved = through_a_file(first.state_dict(), tmp_path / "optimizer.pt")
    resumed, second = continued(member, params, saved, **flags)
    kept: dict[Any, Any] = dict(second.state)
    mine = kept[resumed[0]]
    assert same_bits(mine["slow"], slow)
    assert mine["seen"] == 3
    assert kept["note"] == note
    # Nothing is shared with what was given.
    saved["state"]["note"]["tags"].clear()
    saved["state"][0]["slow"].zero_()
    assert same_bits(mine["slow"], slow)
    assert kept["note"] == note
    drive(second, resumed, grads[2:])
    assert same_bits(resumed, whole)
    assert second.telemetry()


@members
def test_a_state_dict_holds_only_plain_values(member: Member) -> None:
    _, optimizer = run(member, start := parameters(), gradients(start, 1))
    plain = (bool, int, float, str, type(None))

    def look(value: Any) -> None:
        if isinstance(value, dict):
            assert type(value) is dict
            for inner in value.values():
                look(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                look(inner)
        else:
            assert isinstance(value, torch.Tensor) or type(value) in plain

    look(optimizer.state_dict())


def test_a_memory_survives_a_checkpoint(tmp_path: Path) -> None:
    start = parameters()
    grads = gradients(start, 8)
    memory = Memory.adax(0.01)
    whole, _ = run(Mementum, start, grads, memory=memory)
    halfway, first = run(Mementum, start, grads[:4], memory=memory)
    saved = through_a_file(first.state_dict(), tmp_path / "optimizer.pt")
    resumed, second = continued(Mementum, halfway, saved)
    drive(second, resumed, grads[4:])
    assert same_bits(resumed, whole)
    ratio, _ = run(Mementum, start, grads, memory=1.01)
    assert same_bits(ratio, whole)


def test_numpy_numbers_are_saved_as_plain_ones(tmp_path: Path) -> None:
    # A grid of np.logspace is the usual source of learning rates.
    (param,) = parameters(shapes=[(3,)])
    optimizer = AMSGrad([param], lr=np.logspace(-3, -2, 3)[1], eps=np.float32(1e-8))
    optimizer.param_groups[0]["weight_decay"] = 0.1
    through_a_file(optimizer.state_dict(), tmp_path / "optimizer.pt")


RESUME = """
import sys, torch
from mementum.torch import AdaX
saved = torch.load(sys.argv[1], weights_only=True)
param = saved["param"].requires_grad_()
optimizer = AdaX([param])
optimizer.load_state_dict(saved["optimizer"])
for grad in saved["grads"]:
    param.grad = grad
    optimizer.step()
torch.save(param.detach(), sys.argv[2])
"""


@pytest.mark.process
def test_another_process_resumes_bit_for_bit(tmp_path: Path) -> None:
    from mementum.torch import AdaX

    (start,) = parameters(shapes=[(50,)])
    grads = gradients([start], 10)
    (whole,), _ = run(AdaX, [start], grads)
    (halfway,), optimizer = run(AdaX, [start], grads[:5])
    torch.save(
        {
            "param": halfway.detach(),
            "optimizer": optimizer.state_dict(),
            "grads": [step[0] for step in grads[5:]],
        },
        tmp_path / "saved.pt",
    )
    paths_ = [str(tmp_path / "saved.pt"), str(tmp_path / "resumed.pt")]
    subprocess.run([sys.executable, "-c", RESUME, *paths_], check=True)
    assert same_bits(torch.load(tmp_path / "resumed.pt", weights_only=True), whole)


def test_a_state_dict_can_be_kept_in_memory() -> None:
    _, optimizer = run(AMSGrad, start := parameters(), gradients(start, 2))
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=True)
    assert set(loaded["state"][0]) == {"step", "momentum", "square", "peak"}

"""What the processes of a pool run together with torch's ways to train in parallel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from tests.distributed.models import (
    SETTINGS,
    Model,
    Setting,
    fsdp,
    grads_of,
    model,
    optimizer_of,
)
from tests.distributed.programs import MESHES, WORLD, bits, drive, entire, spread
from tests.torch.cases import gradients, parameters, same_bits
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel

from mementum.torch import Adam, AdaX, Mementum
from mementum.torch.integrations.zero_redundancy import named

STEPS = 4


def _two_dimensions(first: str, second: str) -> DeviceMesh:
    return DeviceMesh("cpu", torch.arange(4).view(2, 2), mesh_dim_names=(first, second))


def _sharded(own: Model) -> Model:
    return fsdp(own, WORLD)


def _hybrid(own: Model) -> Model:
    mesh = _two_dimensions("copies", "rows")
    for layer in (own.few, own.wide, own.norm, own.out):
        fully_shard(layer, mesh=mesh)
    return own


def _tensor_parallel(own: Model, mesh: DeviceMesh | None = None) -> Model:
    mesh = MESHES[(WORLD,)] if mesh is None else mesh
    plan = {"wide": ColwiseParallel(), "out": RowwiseParallel()}
    return parallelize_module(own, mesh, plan)  # type: ignore[return-value]


def _both(own: Model) -> Model:
    mesh = _two_dimensions("data", "tensor")
    _tensor_parallel(own, mesh["tensor"])
    for layer in (own.few, own.wide, own.norm, own.out):
        fully_shard(layer, mesh=mesh["data"])
    return own


def _in_part(own: Model) -> Model:
    """Shard one layer, and leave the others as they are."""
    fully_shard(own.wide, mesh=MESHES[(WORLD,)])
    return own


WAYS: dict[str, Callable[[Model], Model]] = {
    "FSDP": _sharded,
    "HSDP": _hybrid,
    "tensor parallel": _tensor_parallel,
    "tensor parallel and FSDP": _both,
    "FSDP of one layer": _in_part,
}


def given_gradients(way: str, name: str) -> bool:
    """Whether a way to shard a model steps it as it is stepped whole."""
    setting = SETTINGS[name]
    own, whole = WAYS[way](model(setting.dtype)), model(setting.dtype)
    optimizer, single = optimizer_of(setting, own), optimizer_of(setting, whole)
    grads = grads_of(whole, STEPS)
    drive(optimizer, list(own.parameters()), grads)
    drive(single, list(whole.parameters()), grads)
    return same_bits(
        bits(optimizer, own.parameters()), bits(single, whole.parameters())
    )


def own_gradients(way: str) -> bool:
    """Whether two processes that see the same data train as one does.

    A mean over two equal gradients is exact.
    """
    setting = Setting(AdaX, {"weight_decay": 0.1})
    own, whole = model(setting.dtype), model(setting.dtype)
    if way == "FSDP":
        wrapped: nn.Module = fsdp(own, 2)
    else:
        group = MESHES[(2,)].get_group()
        wrapped = DistributedDataParallel(own, process_group=group)
    optimizer, single = optimizer_of(setting, own), optimizer_of(setting, whole)
    data = torch.randn(STEPS, 8, 300, generator=torch.Generator().manual_seed(3))
    for batch in data:
        for trained, its in ((wrapped, optimizer), (whole, single)):
            trained(batch).backward()
            its.step()
            its.zero_grad()
    return same_bits(
        bits(optimizer, own.parameters()), bits(single, whole.parameters())
    )


# --- ZeroRedundancyOptimizer ----------------------------------------------------------


def _zero(setting: Setting, own: Model, ranks: int) -> Any:
    # Importing it warns, and the test run makes an error of a warning.
    from torch.distributed.optim import ZeroRedundancyOptimizer

    return ZeroRedundancyOptimizer(
        own.parameters(),
        optimizer_class=named(setting.member, own),
        process_group=MESHES[(ranks,)].get_group(),
        **setting.options,
    )


def zero(name: str, ranks: int, saved: str, *, resume: bool = False) -> bool:
    """Whether a divided optimizer steps as one does, saved after half of the steps.

    Or loaded there, for the other half.
    """
    setting = SETTINGS[name]
    own, whole = model(setting.dtype), model(setting.dtype)
    grads = grads_of(whole, STEPS)
    half = STEPS // 2
    optimizer, single = _zero(setting, own, ranks), optimizer_of(setting, whole)
    drive(single, list(whole.parameters()), grads[:half])
    if resume:
        own.load_state_dict(whole.state_dict())
        optimizer.load_state_dict(torch.load(saved, weights_only=True))
    else:
        drive(optimizer, list(own.parameters()), grads[:half])
        optimizer.consolidate_state_dict(to=0)
        if dist.get_rank() == 0:
            torch.save(optimizer.state_dict(), saved)
    agrees = same_bits(_values(own), _values(whole))
    drive(single, list(whole.parameters()), grads[half:])
    drive(optimizer, list(own.parameters()), grads[half:])
    return agrees and same_bits(_values(own), _values(whole))


def zero_resumed(name: str, ranks: int, saved: str) -> bool:
    """Whether a divided optimizer that has loaded its state steps as one does."""
    return zero(name, ranks, saved, resume=True)


def _values(own: nn.Module) -> list[Tensor]:
    return [param.detach() for param in own.parameters()]


# --- state dicts ----------------------------------------------------------------------


def asked_before_the_first_step(name: str, way: str | None) -> list[str]:
    """Ask for a state dict and load it before the first step; return what changed."""
    setting = SETTINGS[name]
    own = model(setting.dtype)
    own = WAYS[way](own) if way else own
    optimizer = optimizer_of(setting, own)
    whole = model(setting.dtype)
    single = optimizer_of(setting, whole)
    state = get_optimizer_state_dict(own, optimizer)
    set_optimizer_state_dict(own, optimizer, state)
    changed = []
    if not same_bits([entire(p.detach()) for p in own.parameters()], _values(whole)):
        changed.append("parameters")
    if {kept["step"] for kept in optimizer.state.values()} != {0}:
        changed.append("step")
    if any(
        entire(m).any() for s in optimizer.state.values() for m in list(s.values())[1:]
    ):
        changed.append("moments")
    if optimizer.skipped_steps:
        changed.append("skipped steps")
    grads = grads_of(whole, STEPS)
    drive(optimizer, list(own.parameters()), grads)
    drive(single, list(whole.parameters()), grads)
    if not same_bits(
        bits(optimizer, own.parameters()), bits(single, whole.parameters())
    ):
        changed.append("training")
    return changed


def loaded_elsewhere(name: str, form: str) -> list[str]:
    """Load a state dict in another form than sharded; return what then differs."""
    flat = form == "flattened"
    setting = SETTINGS[name]
    own = fsdp(model(setting.dtype), WORLD)
    optimizer = optimizer_of(setting, own)
    grads = grads_of(model(setting.dtype), STEPS)
    drive(optimizer, list(own.parameters()), grads)
    options = StateDictOptions(
        full_state_dict=not flat,
        cpu_offload=not flat,
        flatten_optimizer_state_dict=flat,
    )
    state = get_optimizer_state_dict(own, optimizer, options=options)
    options.broadcast_from_rank0 = not flat
    other = fsdp(model(setting.dtype), WORLD)
    second = optimizer_of(setting, other)
    set_optimizer_state_dict(other, second, state, options=options)
    expected, loaded = (
        bits(optimizer, own.parameters()),
        bits(second, other.parameters()),
    )
    return [
        f"{a} is not {b}"
        for a, b in zip(loaded, expected, strict=True)
        if isinstance(a, tuple) and not same_bits(a, b)
    ]


# --- gradients ------------------------------------------------------------------------


def spoilt(policy: str, value: float, layout: str) -> tuple[str, int, bool]:
    """Step with one bad element of one gradient, which one process holds.

    Return the error if there was one, the steps left out, and whether all is as it was.
    """
    params = [spread(param, layout) for param in parameters(shapes=((7, 4), (5, 3)))]
    grads = gradients(parameters(shapes=((7, 4), (5, 3))), 2)
    optimizer = Adam(params, nonfinite=policy)  # type: ignore[arg-type]
    drive(optimizer, params, grads[:1])
    before = bits(optimizer, params)
    last = grads[1][1]
    assert last is not None
    last[-1, -1] = value
    error = ""
    try:
        drive(optimizer, params, grads[1:])
    except FloatingPointError as raised:
        error = str(raised)
    return error, optimizer.skipped_steps, same_bits(bits(optimizer, params), before)


def sums_not_taken() -> bool:
    """Whether a gradient that is a sum over processes is summed, and left as it was."""
    mesh = MESHES[(2,)]
    (whole,) = parameters(shapes=((6, 4),))
    (step,) = gradients([whole], 1)
    grad = step[0]
    assert grad is not None
    param = distribute_tensor(whole.detach(), mesh, [Replicate()]).requires_grad_()
    # Half in each: their sum is exact.
    given = DTensor.from_local(grad / 2, mesh, [Partial()], run_check=False)
    param.grad = given
    optimizer = Mementum([param], nonfinite="skip")
    optimizer.step()
    whole.grad = grad
    single = Mementum([whole])
    single.step()
    kept = param.grad is given and same_bits(given.to_local(), grad / 2)
    return kept and same_bits(bits(optimizer, [param]), bits(single, [whole]))


# --- refusals -------------------------------------------------------------------------


def refused(shape: tuple[int, ...], layout: str, options: dict[str, Any]) -> str:
    """Return the error of an optimizer made and stepped with a spread parameter."""
    (param,) = (spread(param, layout) for param in parameters(shapes=(shape,)))
    try:
        optimizer = AdaX([("weight", param)], **options)
        param.grad = torch.zeros_like(param)
        optimizer.step()
    except (NotImplementedError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def gradient_elsewhere() -> str:
    """Return the error of a gradient over other processes, or what has changed."""
    param = spread(parameters(shapes=((4, 2),))[0], "rows over 2")
    other = DeviceMesh.from_group(
        MESHES[(2,)].get_group(), "cpu", mesh_dim_names=("x",)
    )
    optimizer = Adam([param])
    param.grad = distribute_tensor(torch.ones(4, 2), other, [Replicate()])
    before = bits(optimizer, [param])
    try:
        optimizer.step()
    except ValueError as error:
        return str(error) if same_bits(bits(optimizer, [param]), before) else "changed"
    return ""


def moments_elsewhere() -> str:
    """Return the error of a moment that is whole where its parameter is not."""
    (param,) = (spread(p, "rows over 2") for p in parameters(shapes=((4, 2),)))
    optimizer = Adam([param])
    drive(optimizer, [param], gradients(parameters(shapes=((4, 2),)), 1))
    optimizer.state[param]["square"] = torch.zeros(4, 2)
    try:
        optimizer.step()
    except ValueError as error:
        return str(error)
    return ""

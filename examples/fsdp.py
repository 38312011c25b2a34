"""Train a small transformer whose parameters, gradients and moments are sharded.

    torchrun --nproc-per-node 2 examples/fsdp.py

Run it again, with any number of processes, and it goes on where its newest checkpoint
ends. On a cluster, start it with that cluster's torchrun arguments; nothing else
changes. It needs no data: each sequence is random tokens and then the same once more,
which a transformer learns to copy.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard

from mementum import AdaXW

TOKENS, LENGTH = 32, 16


class Transformer(nn.Module):
    """A decoder that predicts each token from those before it."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(TOKENS, width)
        self.places = nn.Parameter(torch.zeros(2 * LENGTH, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, nhead=4, dim_feedforward=4 * width, dropout=0.0, batch_first=True
            )
            for _ in range(layers)
        )
        self.head = nn.Linear(width, TOKENS)

    def forward(self, x: Tensor) -> Tensor:
        """Return the loss of predicting the second half of each sequence."""
        hidden = self.tokens(x) + self.places
        mask = nn.Transformer.generate_square_subsequent_mask(
            x.shape[1], device=x.device, dtype=hidden.dtype
        )
        for layer in self.layers:
            hidden = layer(hidden, src_mask=mask, is_causal=True)
        predicted = self.head(hidden[:, LENGTH - 1 : -1]).float()
        return nn.functional.cross_entropy(
            predicted.flatten(0, 1), x[:, LENGTH:].flatten()
        )


class Checkpoints:
    """Saves while training goes on, and shows a checkpoint only when it is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Of its own, so that saving and training never wait for one another.
        self.group = dist.new_group(backend="gloo")
        self.pending: tuple[Any, Path] | None = None
        if dist.get_rank() == 0:
            for left in folder.glob("*.partial"):
                shutil.rmtree(left)
        dist.barrier(self.group)

    def newest(self) -> Path | None:
        """Return the newest checkpoint; the first process looks, for all to agree."""
        found = sorted(self.folder.glob("step-??????"))
        newest = [found[-1] if found else None]
        dist.broadcast_object_list(newest, group=self.group)
        return newest[0]

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Copy a state, and begin to write the copy."""
        self.finish()
        path = self.folder / f"step-{step:06}"
        partial = path.with_suffix(".partial")
        writing = dcp.async_save(state, checkpoint_id=partial, process_group=self.group)
        self.pending = writing, path

    def finish(self) -> None:
        """Wait until the last checkpoint is written, and give it its name."""
        if self.pending is None:
            return
        writing, path = self.pending
        writing.result()
        # The first process is told last: all others have written their parts.
        if dist.get_rank() == 0:
            path.with_suffix(".partial").rename(path)
        self.pending = None


def batch(step: int, size: int, device: torch.device) -> Tensor:
    """Return this process's sequences of a step, the same whenever it is asked."""
    seed = step * dist.get_world_size() + dist.get_rank()
    generator = torch.Generator().manual_seed(seed)
    half = torch.randint(TOKENS, (size, LENGTH), generator=generator)
    return torch.cat((half, half), dim=1).to(device)


def sharded(options: argparse.Namespace, device: torch.device) -> Transformer:
    """Return the model, each of its layers spread over all processes."""
    torch.manual_seed(0)
    model = Transformer(options.width, options.layers).to(device)
    if options.bf16:
        model = model.to(torch.bfloat16)
    for layer in model.layers:
        fully_shard(layer)
    fully_shard(model)
    return model


def train(options: argparse.Namespace, device: torch.device) -> None:
    """Train from the newest checkpoint to the last step, and print the loss."""
    model = sharded(options, device)
    # bfloat16 parameters lose small updates unless they are rounded with noise.
    optimizer = AdaXW(
        model.named_parameters(),
        lr=options.lr,
        stochastic_rounding=options.bf16,
        state_dtype=torch.bfloat16 if options.bf16 else None,
    )
    checkpoints = Checkpoints(options.folder)
    step = 0
    if (newest := checkpoints.newest()) is not None:
        step = resume(model, optimizer, newest)
    while step < options.steps:
        loss = model(batch(step, options.batch, device))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        if dist.get_rank() == 0:
            print(f"step {step:6} loss {mean.item() / dist.get_world_size():.6f}")
        if step % options.save_every == 0 or step == options.steps:
            checkpoints.save(step, state_of(model, optimizer, step))
    checkpoints.finish()


def state_of(model: nn.Module, optimizer: AdaXW, step: int) -> dict[str, Any]:
    """Return all that a run needs to go on."""
    weights, moments = get_state_dict(model, optimizer)
    return {"model": weights, "optimizer": moments, "step": step}


def resume(model: nn.Module, optimizer: AdaXW, path: Path) -> int:
    """Load a checkpoint, and return how many steps it was taken after."""
    state = state_of(model, optimizer, 0)
    dcp.load(state, checkpoint_id=path)
    set_state_dict(
        model,
        optimizer,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
    )
    return int(state["step"])


def main() -> None:
    """Read the arguments, meet the other processes and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=32, help="sequences a process")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--bf16", action="store_true", help="halve every tensor")
    parser.add_argument("--save-every", type=int, default=50)
    parser.add_argument("--folder", type=Path, default=Path("checkpoints"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        train(options, device)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()

"""The lab's tasks on real data in the lengths that claims are about."""

from __future__ import annotations

from dataclasses import replace

from mementum.lab.tasks.networks.fashion_conv import FASHION_CONV
from mementum.lab.tasks.networks.fashion_mlp import FASHION_MLP
from mementum.lab.tasks.networks.text_kjv import KJV
from mementum.lab.tasks.task import Size, Task


def _over(task: Task, name: str, size: Size) -> Task:
    """Return a task in a length of its own, under a name of its own."""
    title = f"{task.title}, {size.steps:,} steps"
    return replace(task.over(size), name=name, title=title)


PERCEPTRON_3K = _over(FASHION_MLP, "fashion-mlp-3k", Size(3000, 10, 2.8))
PERCEPTRON_10K = _over(FASHION_MLP, "fashion-mlp-10k", Size(10_000, 10, 8.0))
PERCEPTRON_71K = _over(FASHION_MLP, "fashion-mlp-71k", Size(71_000, 20, 52.0))
"""The length of AdaX's CIFAR-10 runs."""
CONVOLUTIONS_4K = _over(FASHION_CONV, "fashion-conv-4k", Size(4000, 10, 18.0))
KJV_3K = _over(KJV, "text-kjv-3k", Size(3000, 10, 18.0))
LENGTHS = PERCEPTRON_3K, PERCEPTRON_10K, PERCEPTRON_71K, CONVOLUTIONS_4K, KJV_3K

"""What every command's help shows of it at work."""

from __future__ import annotations

from collections.abc import Sequence

from mementum.cli.argument_parser import EXAMPLES

OF_COMMANDS = {
    "": (
        "mementum explain AdaX",
        "mementum compare --tasks mlp-digits --contenders AdaXW,Adam",
        "mementum help compare",
    ),
    "explain": (
        "mementum explain AdaX",
        "mementum explain AdamNX --lr 1e-3 --step 1000",
        "mementum explain Adam AdaX AdamNC --plot memory.png",
    ),
    "compare": (
        "mementum compare --dry-run",
        "mementum compare --tasks mlp-digits,quad --contenders AdaXW --seeds 4",
        "mementum compare --until decided --budget 1.5h --out long",
        "mementum compare --task my_task.py --contender torch.optim.Adamax",
    ),
    "reproduce": (
        "mementum reproduce R1 --tier smoke --dry-run",
        "mementum reproduce AdaX,AdamNX --out claims",
        "mementum reproduce --claim my_claims.toml --json",
    ),
    "report": (
        "mementum report --details",
        "mementum report long --report page.html --ledger claims",
    ),
    "tasks": ("mementum tasks", "mementum tasks --json"),
    "contenders": (
        "mementum contenders",
        "mementum contenders torch.optim.Adamax my_optimizer.py",
    ),
    "query": (
        'mementum query "SELECT contender, min(score) FROM runs GROUP BY ALL"',
        'mementum query "FROM runs WHERE seed = 0" long --format csv',
        'mementum query "DESCRIBE curves"',
    ),
    "merge": ("mementum merge monday tuesday --into both",),
    "status": ("mementum status", "mementum status long --json"),
    "export": (
        "mementum export --to tables",
        "mementum export long --to tables --format csv",
    ),
    "bench": (
        "mementum bench --quick --in-loop",
        "mementum bench --cases 16m,resnet18 --classes AdamW,AdaXW --plot step.png",
        "mementum bench --device cuda --formats float32,bfloat16",
        "mementum bench --jax --quick --json",
    ),
    "doctor": ("mementum doctor", "mementum doctor --json"),
    "completion": (
        "mementum completion bash",
        "mementum completion fish",
    ),
    "help": ("mementum help", "mementum help compare"),
}
"""Command lines by the command that they show; those of the root have no name."""


def epilog(lines: Sequence[str]) -> str:
    """Return the end of a page of help."""
    return EXAMPLES + "\n".join(f"  {line}" for line in lines)

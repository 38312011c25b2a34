"""How long a step takes here, beside torch's own and the machine's floor.

Everything is timed in one process, each in its turn, round after round, so that what
disturbs the machine disturbs all alike.
"""

__all__ = [
    "case",
    "chart",
    "clock",
    "command",
    "entrant",
    "gpu",
    "measurement",
    "names",
    "run",
    "table",
    "training",
]

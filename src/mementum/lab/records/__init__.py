"""What is written down of a comparison: runs, plan, journal, and tables of them."""

__all__ = [
    "beginnings",
    "codec",
    "journal",
    "merge",
    "plan",
    "run",
    "scale",
    "segments",
    "sql",
]

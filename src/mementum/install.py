"""How mementum is installed: what every error, and the doctor, says of it."""

from __future__ import annotations


def command(extra: str = "", *options: str) -> str:
    """Return what installs mementum, with an extra where one is named.

    >>> command("lab")
    "`pip install '.[lab]'` in a clone of mementum"
    """
    target = f"'.[{extra}]'" if extra else "."
    words = " ".join(["pip install", *options, target])
    return f"`{words}` in a clone of mementum"

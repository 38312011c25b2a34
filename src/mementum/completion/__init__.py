"""Scripts that let shells complete the command line; they are made with the package."""

from __future__ import annotations

from pathlib import Path

from mementum import install

__all__ = ["SHELLS", "script"]

SHELLS = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """Return the script for a shell.

    Errors: `FileNotFoundError` if none was made when mementum was installed.
    """
    path = Path(__file__).with_name(f"mementum.{shell}")
    if not path.exists():
        again = install.command("", "--force-reinstall", "--no-deps", "--no-cache-dir")
        raise FileNotFoundError(
            f"completion {shell}: the script was not made when mementum was "
            f"installed; run {again}."
        )
    return path.read_text(encoding="utf-8")

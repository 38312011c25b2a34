"""What a page shows: files, programs, commands, and what these print.

A fenced block of Python is run where it stands, or kept as the file that the line
before it names. An indented line that begins with `mementum` is run as a command. A
block of text after either is what it prints.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mementum import cli

_BLOCK = re.compile(
    r"(?P<before>[^\n]*\n?)\n?"
    r"(?:^```(?P<kind>python|text)\n(?P<text>.*?)^```$"
    r"|^    mementum (?P<command>[^\n]+)$)",
    re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"as `([\w.]+)`:$")
_NUMBER = re.compile(r"\d[\d,]*\.\d+")


@dataclass
class Shown:
    """Something that a page runs, what it says is printed, and what is printed."""

    source: str
    says: str | None = None
    printed: str = ""


def run(path: Path) -> list[Shown]:
    """Run a page in the present folder, and return what it shows."""
    space: dict[str, Any] = {"__name__": path.stem}
    found: list[Shown] = []
    for before, kind, text in _blocks(path.read_text("utf-8")):
        file = _FILE.search(before)
        if kind == "text":
            assert found[-1].says is None, f"{path.name} shows twice:\n{text}"
            found[-1].says = text.rstrip()
        elif kind == "python" and file:
            Path(file[1]).write_text(text, "utf-8")
        else:
            found.append(Shown(text))
            found[-1].printed = _printed(kind, text, space).rstrip()
    return found


def _blocks(page: str) -> Iterator[tuple[str, str, str]]:
    for block in _BLOCK.finditer(page):
        kind = block["kind"] or "command"
        text = block["command"] if block["text"] is None else block["text"]
        yield block["before"].strip(), kind, text


def _printed(kind: str, text: str, space: dict[str, Any]) -> str:
    """Run a program or a command, and return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        if kind == "python":
            exec(compile(text, space["__name__"], "exec"), space)
        else:
            assert cli.main(shlex.split(text)) == 0, text
    return out.getvalue()


def agree(says: str, printed: str) -> bool:
    """Whether two texts are the same but for the last digit of broken numbers.

    Sums have another order on another processor, so a number may be rounded to the
    next one in its last digit.
    """
    if _NUMBER.sub("#", says) != _NUMBER.sub("#", printed):
        return False
    pairs = zip(_NUMBER.findall(says), _NUMBER.findall(printed), strict=True)
    return all(_near(*pair) for pair in pairs)


def _near(one: str, two: str) -> bool:
    digits = {len(each.partition(".")[2]) for each in (one, two)}
    values = [float(each.replace(",", "")) for each in (one, two)]
    # One unit of the last digit, and half of one for the doubles' own rounding.
    return len(digits) == 1 and abs(values[0] - values[1]) < 1.5 * 10 ** -digits.pop()

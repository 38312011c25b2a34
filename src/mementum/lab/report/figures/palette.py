"""One look for each contender, told apart without colour as well.

The colours are those of Okabe and Ito, chosen to stay distinct for colour-blind
readers, with grey in the place of their yellow, which is too pale for lines on white.
Dash and marker change with the colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mementum.family.picture import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

INK = "#1d1d1f"
MUTED = "#5c5f66"
RULE = "#d9dbe0"
PAPER = "#ffffff"
GREY = "#8a8a8a"
BETTER = BLUE
WORSE = VERMILION
NAMED = {
    INK: "ink",
    MUTED: "muted",
    RULE: "rule",
    PAPER: "paper",
    GREY: "grey",
    BLUE: "blue",
    GREEN: "green",
    ORANGE: "orange",
    PURPLE: "purple",
    SKY: "sky",
    VERMILION: "vermilion",
}
"""What the page's style calls a colour, so that it has another one in the dark."""

_SERIES_PER_PANEL = 10


class Look(NamedTuple):
    """How a contender is drawn: colour, lengths of dashes and gaps, marker."""

    colour: str
    dashes: tuple[float, ...]
    """In line widths; empty for a solid line."""
    marker: str

    @property
    def stroke(self) -> str:
        """The dashes as an SVG dash array."""
        return " ".join(f"{2.5 * each:g}" for each in self.dashes) or "none"


def variable(colour: str) -> str:
    """What the page's style calls a colour, as a value of a style."""
    return f"var(--{NAMED[colour]})"


_REFERENCE = Look(INK, (4.5, 2), "o")
_OTHERS = (
    Look(ORANGE, (), "s"),
    Look(SKY, (), "D"),
    Look(GREEN, (3, 1.5), "^"),
    Look(PURPLE, (), "v"),
    Look(VERMILION, (3, 1.5), "P"),
    Look(BLUE, (3.5, 1.5, 1, 1.5), "X"),
    Look(GREY, (1, 1.5), "*"),
)
_AGAIN = (((1, 1), "<"), ((7, 2), ">"))
"""Dashes and markers with which the colours come again where there are not enough."""
_MATCHED_DASHES = (5, 1.5, 1, 1.5, 1, 1.5)
_MATCHED_MARKERS = ("h", "p")


def looks(
    contenders: Sequence[str], reference: str, matched: Mapping[str, str] | None = None
) -> dict[str, Look]:
    """A look for every contender; the reference is black and dashed.

    `matched` names the optimizer of each contender with a matched memory: it has the
    optimizer's colour, dashed and dotted.
    """
    originals = matched or {}
    rivals = [name for name in contenders if name != reference]
    plain = [name for name in rivals if name not in originals]
    found = {
        reference: _REFERENCE,
        **{name: _look(i) for i, name in enumerate(plain)},
    }
    for i, name in enumerate(each for each in rivals if each in originals):
        original = found.get(originals[name], _look(i))
        marker = _MATCHED_MARKERS[i % len(_MATCHED_MARKERS)]
        found[name] = Look(original.colour, _MATCHED_DASHES, marker)
    return found


def _look(place: int) -> Look:
    """The look of the rival at this place."""
    turn, place = divmod(place, len(_OTHERS))
    if turn == 0:
        return _OTHERS[place]
    return Look(_OTHERS[place].colour, *_AGAIN[(turn - 1) % len(_AGAIN)])


def panels(contenders: Sequence[str], reference: str) -> list[tuple[str, ...]]:
    """Contenders in even groups of at most ten, the reference in each of them."""
    rivals = [name for name in contenders if name != reference]
    groups = math.ceil(len(rivals) / (_SERIES_PER_PANEL - 1)) or 1
    size = math.ceil(len(rivals) / groups) or 1
    parts = [rivals[i : i + size] for i in range(0, len(rivals), size)] or [[]]
    kept = (reference,) if reference in contenders else ()
    return [(*kept, *part) for part in parts]

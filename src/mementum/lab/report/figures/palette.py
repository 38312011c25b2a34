"""One look for each contender, told apart without colour as well.

The colours are those of Okabe and Ito, chosen to stay distinct for colour-blind
readers, with grey in the place of their yellow, which is too pale for lines on white.
Dash and symbol change with the colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mementum.family.picture import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

INK = "#1d1d1f"
MUTED = "#5c5f66"
RULE = "#d9dbe0"
BETTER = BLUE
WORSE = VERMILION

_SERIES_PER_PANEL = 8


class Look(NamedTuple):
    """How a contender is drawn: colour, Plotly dash, Plotly symbol."""

    colour: str
    dash: str
    symbol: str

    @property
    def stroke(self) -> str:
        """The dash as an SVG dash array."""
        return {"solid": "none", "dot": "2 3", "dashdot": "7 3 2 3"}.get(
            self.dash, self.dash.replace("px", "").replace(",", " ")
        )


_REFERENCE = Look(INK, "9px,4px", "circle")
_OTHERS = (
    Look(ORANGE, "solid", "square"),
    Look(SKY, "solid", "diamond"),
    Look(GREEN, "6px,3px", "triangle-up"),
    Look(PURPLE, "solid", "triangle-down"),
    Look(VERMILION, "6px,3px", "cross"),
    Look(BLUE, "dashdot", "x"),
    Look("#8A8A8A", "dot", "star"),
)
_AGAIN = (
    ("2px,2px", "triangle-left"),
    ("14px,4px", "triangle-right"),
)
"""Dashes and symbols with which the colours come again where there are not enough."""
_MATCHED_DASH = "10px,3px,2px,3px,2px,3px"
_MATCHED_SYMBOLS = ("hexagon", "pentagon")


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
        symbol = _MATCHED_SYMBOLS[i % len(_MATCHED_SYMBOLS)]
        found[name] = Look(original.colour, _MATCHED_DASH, symbol)
    return found


def _look(place: int) -> Look:
    """The look of the rival at this place."""
    turn, place = divmod(place, len(_OTHERS))
    if turn == 0:
        return _OTHERS[place]
    dash, symbol = _AGAIN[(turn - 1) % len(_AGAIN)]
    return Look(_OTHERS[place].colour, dash, symbol)


def panels(contenders: Sequence[str], reference: str) -> list[tuple[str, ...]]:
    """Contenders in even groups of at most eight, the reference in each of them."""
    rivals = [name for name in contenders if name != reference]
    groups = math.ceil(len(rivals) / (_SERIES_PER_PANEL - 1)) or 1
    size = math.ceil(len(rivals) / groups) or 1
    parts = [rivals[i : i + size] for i in range(0, len(rivals), size)] or [[]]
    kept = (reference,) if reference in contenders else ()
    return [(*kept, *part) for part in parts]

"""Memory profiles as a picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mementum import install
from mementum.family.memory import Average

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which the colour-blind can tell apart, without its yellow.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, BLACK = "#56B4E9", "#E69F00", "#000000"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, BLACK)
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
_POINTS = 400


def draw(
    averages: Mapping[str, Average], path: Path, runs: tuple[int, ...] = (1_000, 70_000)
) -> None:
    """Draw how much each past step weighs at the end of runs of some lengths.

    One panel a run; a weight of 1 is an equal share. The file's ending chooses the
    format. Errors: `ModuleNotFoundError` without matplotlib, `ValueError` for a path
    that is no picture's, `OSError` from writing.
    """
    check(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4 * len(runs), 3.6), layout="constrained")
    panels = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for axes, steps in zip(panels, runs, strict=True):
        _draw_run(axes, averages, steps)
    panels[0].set_ylabel("weight, in equal shares")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9
    )
    figure.savefig(path, dpi=160)


def check(path: Path) -> None:
    """Refuse a path that no picture can be written to, before any work is done."""
    if importlib.util.find_spec("matplotlib") is None:
        raise install.missing("a picture", "matplotlib", "lab")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path} cannot be written: there is no such folder.")
    if path.is_dir() or path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ValueError(
            f"{path} is no picture file; its name ends in .png, .svg or .pdf."
        )


def _draw_run(axes: Axes, averages: Mapping[str, Average], steps: int) -> None:
    shown = sorted({round(i * (steps - 1) / (_POINTS - 1)) for i in range(_POINTS)})
    for i, (name, average) in enumerate(averages.items()):
        profile = average.profile(steps)
        axes.plot(
            [k + 1 for k in shown],
            [profile[k] * steps for k in shown],
            label=name,
            color=COLOURS[i % len(COLOURS)],
            linestyle=_DASHES[i % len(_DASHES)],
            linewidth=1.8,
            zorder=2 if _DASHES[i % len(_DASHES)] == "-" else 3,
        )
    axes.set_yscale("log")
    axes.set_ylim(1e-3, 1e2)
    axes.set_xlim(1, steps)
    axes.set_title(f"after {steps:,} steps", fontsize=11)
    axes.set_xlabel("gradient of step")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.locator_params(axis="x", nbins=4)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)

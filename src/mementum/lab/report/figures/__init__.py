"""The figures of a report: said as data, drawn once, put into the page."""

__all__ = [
    "axes",
    "bands",
    "drawing",
    "figure",
    "figure_set",
    "inline_svg",
    "line_figures",
    "palette",
    "task_figures",
]

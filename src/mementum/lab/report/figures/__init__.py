"""The figures of a report."""

__all__ = [
    "axes",
    "bands",
    "figure_set",
    "line_figures",
    "matplotlib_export",
    "palette",
    "task_figures",
]

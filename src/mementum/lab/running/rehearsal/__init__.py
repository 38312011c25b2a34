"""A rehearsal: a few steps of a task, before hundreds of its runs are planned."""

__all__ = ["form", "process", "step_costs", "trial"]

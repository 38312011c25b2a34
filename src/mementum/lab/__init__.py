"""The lab trains optimizers on real tasks, fairly tuned, and says which is better."""


class LabError(Exception):
    """Something the user can set right; the message is a sentence that says how."""

"""The error that every part of the lab raises."""


class LabError(Exception):
    """Something the user can set right; the message is a sentence that says how."""

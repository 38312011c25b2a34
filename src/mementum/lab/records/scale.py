"""The scale that scores are compared on; lower is better on both."""

from __future__ import annotations

import math

from mementum.lab.errors import LabError


class ScaleError(LabError):
    """A number has no place on the scale that it is compared on."""


def on_scale(score: float, scale: str, where: str = "") -> float:
    """The number whose differences are compared: log(score), or the score itself.

    Errors: `ScaleError` for a score of 0 or less on the logarithmic scale. Any number
    in its place would be one that no run had.
    """
    if scale != "log":
        return score
    if score <= 0:
        raise ScaleError(
            f"the score{where} is {score:g}, and scores are compared by their ratio; "
            'give scale = "linear" to compare by their difference.'
        )
    return math.log(score)


def turned(value: float, scale: str) -> float:
    """The score of a metric that is to be high: its ratio turned, or its sign.

    Errors: `ScaleError` if ratios of the metric are to be compared, and it has none.
    """
    if scale != "log":
        return -value
    if value <= 0:
        raise ScaleError(
            f"the metric is {value:g}, and scores are compared by their ratio; "
            'give scale = "linear" to compare by their difference.'
        )
    return 1 / value

"""The theory: what decides a step, and nothing that takes one.

It imports the standard library alone; reference, noise and rounding need NumPy too. The
numbers of a step are computed by whatever namespace is passed in: `math`, `torch`, or
`jax.numpy`.
"""

__all__ = [
    "explain",
    "limits",
    "listing",
    "markup",
    "memory",
    "noise",
    "picture",
    "recipes",
    "reference",
    "rounding",
    "rule",
]

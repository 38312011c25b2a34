"""The names that an optimizer can be made by, each with a line of description."""

from __future__ import annotations

from fnmatch import fnmatchcase

from mementum.family import markup
from mementum.family.recipes import RECIPES


class Listing(dict[str, str]):
    """Names and descriptions; printed, a line for each."""

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:{width}}  {line}" for name, line in self.items())

    def _repr_html_(self) -> str:
        """Return the lines as a table for a notebook."""
        return markup.table([("name", "description"), *self.items()])


def list_optimizers(pattern: str = "*") -> Listing:
    """Return the names that match a pattern, and what each optimizer is.

    The names are those that `mementum.create` takes. `pattern` has the wildcards of a
    shell, and its case does not matter. What matches nothing is an empty list.

    Errors: `TypeError` for a pattern that is no string.

    >>> print(list_optimizers("adax*"))
    adax   Adam whose memory of squares only grows, the oldest weighing most.
    adaxw  AdaX whose weight decay acts on the parameter, not on the gradient.
    """
    if not isinstance(pattern, str):
        raise TypeError(
            f"list_optimizers: pattern is {pattern!r}; it is a string such as 'ada*'."
        )
    named = {recipe.name.lower(): recipe.summary for recipe in RECIPES.values()}
    wanted = pattern.strip().lower()
    return Listing({n: line for n, line in named.items() if fnmatchcase(n, wanted)})

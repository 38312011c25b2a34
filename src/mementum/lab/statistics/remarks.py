"""What a reader must know beside a verdict, as short sentences."""

from __future__ import annotations

from mementum.lab.statistics.choice import Choice

EDGE = "chosen learning rate at the edge of the grid"


def remarks(choice: Choice, reference: Choice) -> tuple[str, ...]:
    """Everything about two choices that qualifies the comparison between them."""
    if not choice.usable:
        return ("no usable run",)
    found = [*of_choice(choice)]
    if not reference.usable:
        found.append(f"{reference.contender}, the reference, has no usable run")
    if reference.diverged:
        found.append(f"{reference.contender}, the reference, {_divergence(reference)}")
    return tuple(found)


def of_single_seed(choice: Choice) -> tuple[str, ...]:
    """What a single seed means where chance plays a part."""
    if not choice.in_sample or not choice.usable:
        return ()
    return ("single seed: no interval, and its learning rate is chosen on itself",)


def of_choice(choice: Choice) -> tuple[str, ...]:
    """What qualifies the scores of one contender, whatever it is compared with."""
    found = []
    if choice.diverged:
        found.append(_divergence(choice))
    if choice.edge:
        found.append(EDGE)
    missing = sum(scored.value is None for scored in choice.scored)
    if missing:
        found.append(f"no result on {missing} of {len(choice.scored)} seeds")
    return tuple(found)


def _divergence(choice: Choice) -> str:
    """How often the scored runs diverged, in words."""
    return (
        f"diverged at its chosen learning rate on {choice.diverged} of "
        f"{len(choice.scored)} seeds"
    )

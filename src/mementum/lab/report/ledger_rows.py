"""The verdicts on claims, as far as the page of a comparison shows them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class LedgerRow(NamedTuple):
    """A claim and what became of it."""

    name: str
    paper: str
    sentence: str
    verdict: str
    sign: str
    """The verdict as a sign."""
    tone: str
    """The class of what shows the verdict in colour."""


class LedgerRows(NamedTuple):
    """A ledger as it was written last."""

    page: Path
    tier: str
    entries: tuple[LedgerRow, ...]

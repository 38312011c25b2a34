"""The ledger that lies in a folder, as far as the report of a comparison shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mementum.lab.claim import ClaimError
from mementum.lab.claims import words
from mementum.lab.claims.plain import FORMAT
from mementum.lab.claims.verdict import Outcome

PAGE = "ledger.html"
PLAIN = "ledger.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A claim and what became of it."""

    name: str
    paper: str
    sentence: str
    verdict: Outcome

    @property
    def sign(self) -> str:
        """The verdict as a sign."""
        return words.SIGNS[self.verdict]

    @property
    def tone(self) -> str:
        """The class of what shows the verdict in colour."""
        return words.tone(self.verdict)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A ledger as it was written last."""

    page: Path
    tier: str
    entries: tuple[Entry, ...]


def read(folder: Path) -> Kept:
    """Return the ledger of a folder.

    Raises:
        ClaimError: There is none, or it is written in another version of its form.
    """
    path = folder / PLAIN
    again = f"`mementum reproduce all --out {folder}` writes it"
    try:
        plain: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ClaimError(
            f"{folder} holds no ledger: {PLAIN} is missing. {again}."
        ) from error
    except OSError as error:
        raise ClaimError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ClaimError(f"{path} is broken ({error}). {again} anew.") from error
    try:
        if (form := plain["format"]) != FORMAT:
            raise ClaimError(
                f"{path} is written in format {form}, and this version reads format "
                f"{FORMAT}. {again} anew."
            )
        entries = tuple(
            Entry(
                name=str(each["name"]),
                paper=str(each["paper"]),
                sentence=str(each["sentence"]),
                verdict=Outcome(each["verdict"]),
            )
            for each in plain["claims"]
        )
        return Kept(page=folder / PAGE, tier=str(plain["tier"]), entries=entries)
    except (KeyError, TypeError, ValueError) as error:
        raise ClaimError(f"{path} is broken ({error!r}). {again} anew.") from error

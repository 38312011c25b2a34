"""Files of data sets: fetched once, checked always, never half there."""

from __future__ import annotations

import functools
import hashlib
import http.client
import os
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from mementum.lab.errors import LabError
from mementum.lab.records import atomic

FOLDER = "MEMENTUM_DATA"
OFFLINE = "MEMENTUM_OFFLINE"
_SECONDS = 60.0
"""How long a mirror may stay silent."""
_CHUNK = 1 << 20


class DataError(LabError):
    """A data set cannot be had; the message says which file to put where."""


@dataclass(frozen=True)
class Source:
    """A file of a data set: its name here, its content's sha256, and its mirrors."""

    name: str
    sha256: str
    mirrors: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse mirrors that are no web address."""
        for mirror in self.mirrors:
            if not mirror.startswith(("https://", "http://")):
                raise ValueError(f"{mirror} is no web address")


def folder() -> Path:
    """Return where data sets are kept."""
    given = os.environ.get(FOLDER)
    return Path(given) if given else Path.home() / ".cache" / "mementum"


def _offline() -> bool:
    """Return whether nothing may be fetched."""
    return os.environ.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no")


def file(source: Source) -> Path:
    """Return the file of a source, fetched if it is missing, its content checked."""
    return checked(source, folder() / source.name)


@functools.cache
def checked(source: Source, path: Path) -> Path:
    """Return the path of the file once its content is what it should be."""
    try:
        found = _digest(path)
    except FileNotFoundError:
        _fetch(source, path)
        return path
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    if found != source.sha256:
        raise DataError(
            f"{path} has the sha256 {found}, and {source.sha256} is expected. Delete "
            "it to have it fetched again."
        )
    return path


def _digest(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _fetch(source: Source, path: Path) -> None:
    """Fetch the file from the first mirror that has it whole."""
    by_hand = (
        f"Put it there by hand: {' or '.join(source.mirrors)}, sha256 {source.sha256}."
    )
    if _offline():
        raise DataError(
            f"{path} is missing, and nothing may be fetched (--offline). {by_hand}"
        )
    reasons = []
    for mirror in source.mirrors:
        try:
            _download(mirror, path, source.sha256)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{mirror}: {str(error).strip()}")
        else:
            return
    told = "; ".join(reasons)
    raise DataError(f"{path} is missing and cannot be fetched ({told}). {by_hand}")


def _download(mirror: str, path: Path, sha256: str) -> None:
    """Write what the mirror sends to the path, if it is what it should be.

    It is written beside the path, checked, and only then renamed: a file of that name
    is whole, whoever interrupts and however many fetch it at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    total = hashlib.sha256()
    with atomic.replacing(path, Path(name)):
        with (
            os.fdopen(handle, "wb") as written,
            urllib.request.urlopen(mirror, timeout=_SECONDS) as sent,  # noqa: S310
        ):
            while block := sent.read(_CHUNK):
                total.update(block)
                written.write(block)
        if (found := total.hexdigest()) != sha256:
            raise ValueError(f"sends a file of sha256 {found}")

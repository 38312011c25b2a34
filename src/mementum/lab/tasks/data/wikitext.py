"""WikiText-2, raw, from its zip archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from mementum.lab.tasks.data.download import DataError, Source, file

_NAME = "wikitext-2-raw-v1.zip"
SOURCE = Source(
    _NAME,
    "ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11",
    (
        f"https://huggingface.co/datasets/ggml-org/ci/resolve/main/{_NAME}",
        f"https://s3.amazonaws.com/research.metamind.io/wikitext/{_NAME}",
    ),
)


def load(part: str, source: Source = SOURCE) -> np.ndarray:
    """Return the text of "train", "valid" or "test" as bytes of UTF-8."""
    return read(file(source), f"wiki.{part}.raw")


def read(path: Path, name: str) -> np.ndarray:
    """Return a member of the archive, in whichever of its folders it lies."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if Path(member).name == name:
                    return np.frombuffer(archive.read(member), np.uint8)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} is no zip archive: {error}.") from error
    raise DataError(f"{path} has no member {name}.")

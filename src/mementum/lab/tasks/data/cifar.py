"""CIFAR-10, from its binary archive: no pickle is read."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from mementum.lab.tasks.data.download import DataError, Source, file

SOURCE = Source(
    "cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
)
PARTS = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
_RECORD = 1 + 3 * 32 * 32
"""A label, then the red, green and blue planes of 32 by 32."""


def load(part: str, source: Source = SOURCE) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (n, 3, 32, 32) and classes (n,) of "train" or "test"."""
    records = np.concatenate(read(file(source), PARTS[part]))
    labels, pixels = records[:, 0], records[:, 1:]
    if labels.max(initial=0) > 9:
        raise DataError(f"{source.name} has a class {labels.max()}; they end at 9.")
    return pixels.reshape(-1, 3, 32, 32), labels


def read(path: Path, names: tuple[str, ...]) -> list[np.ndarray]:
    """Return the records of the named members of the archive, in that order.

    Members are read from the archive and never written to disk.
    """
    found: dict[str, np.ndarray] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                opened = archive.extractfile(member) if name in names else None
                if opened is not None:
                    found[name] = np.frombuffer(opened.read(), np.uint8)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path} is no gzipped tar archive: {error}.") from error
    for name in names:
        if name not in found:
            raise DataError(f"{path} has no member {name}.")
        if len(found[name]) % _RECORD or not len(found[name]):
            raise DataError(
                f"{name} in {path} has {len(found[name])} bytes, no multiple of "
                f"{_RECORD}."
            )
    return [found[name].reshape(-1, _RECORD) for name in names]

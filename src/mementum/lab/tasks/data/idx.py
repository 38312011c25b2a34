"""Arrays of bytes in gzipped IDX files, as MNIST and its successors are kept."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mementum.lab.tasks.data.download import DataError, Source, file

_BYTES = 0x08
"""The code of unsigned bytes, the only kind that these data sets have."""


def sources(sums: Mapping[str, str], mirrors: tuple[str, ...]) -> dict[str, Source]:
    """Return the files by part and kind: "train-images" to "t10k-labels"."""
    return {
        name.rpartition("/")[2].split("-idx")[0]: Source(
            name, sha256, tuple(f"{each}{name.rpartition('/')[2]}" for each in mirrors)
        )
        for name, sha256 in sums.items()
    }


def load(
    part: str, known: Mapping[str, Source], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (n, 28, 28) and labels (n,) of "train" or "t10k", as bytes."""
    images = read(file(known[f"{part}-images"]))
    labels = read(file(known[f"{part}-labels"]))
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise DataError(
            f"{name} {part} has images of shape {images.shape} and labels of shape "
            f"{labels.shape}; they do not belong together."
        )
    return images, labels


def read(path: Path) -> np.ndarray:
    """Return the array in a gzipped IDX file.

    Two zero bytes, the kind, the number of dimensions, each dimension as four bytes,
    most significant first, then the elements in C order.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no gzip file: {error}.") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, _BYTES]):
        raise DataError(f"{path} is no IDX file of bytes; it begins {content[:4]!r}.")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise DataError(f"{path} ends within its header, at {len(content)} bytes.")
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist())
    if len(content) != header + math.prod(shape):
        raise DataError(f"{path} says shape {shape} and holds {len(content)} bytes.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)

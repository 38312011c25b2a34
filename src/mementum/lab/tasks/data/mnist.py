"""MNIST, from its IDX files."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from mementum.lab.tasks.data.download import DataError, Source, file

_MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
_SUMS = {
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        name.split("-idx")[0]: Source(name, sha256, tuple(m + name for m in _MIRRORS))
        for name, sha256 in _SUMS.items()
    }
)
_BYTES = 0x08
"""The code of unsigned bytes, the only kind that MNIST has."""


def load(
    part: str, sources: Mapping[str, Source] = SOURCES
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (n, 28, 28) and digits (n,) of "train" or "t10k", as bytes."""
    images = read(file(sources[f"{part}-images"]))
    labels = read(file(sources[f"{part}-labels"]))
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise DataError(
            f"MNIST {part} has images of shape {images.shape} and labels of shape "
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

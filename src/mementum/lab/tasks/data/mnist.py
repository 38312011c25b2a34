"""MNIST, from its IDX files."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from mementum.lab.tasks.data import idx
from mementum.lab.tasks.data.download import Source

SOURCES: Mapping[str, Source] = MappingProxyType(
    idx.sources(
        {
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
        },
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
    )
)


def load(
    part: str, sources: Mapping[str, Source] = SOURCES
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (n, 28, 28) and digits (n,) of "train" or "t10k", as bytes."""
    return idx.load(part, sources, "MNIST")

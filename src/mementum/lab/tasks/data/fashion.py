"""Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), from its IDX files.

Debian ships the same four files in its package ``dataset-fashion-mnist``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from mementum.lab.tasks.data import idx
from mementum.lab.tasks.data.download import Source

_DEBIAN = "dataset-fashion-mnist"
_INSTALLED = Path("/usr/share/datasets/fashion-mnist")
_FOLDER = "fashion-mnist"
"""In the folder of data sets: MNIST's files have the same names."""
SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        name: replace(source, installed=_INSTALLED, package=_DEBIAN)
        for name, source in idx.sources(
            {
                f"{_FOLDER}/train-images-idx3-ubyte.gz": (
                    "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"
                ),
                f"{_FOLDER}/train-labels-idx1-ubyte.gz": (
                    "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"
                ),
                f"{_FOLDER}/t10k-images-idx3-ubyte.gz": (
                    "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"
                ),
                f"{_FOLDER}/t10k-labels-idx1-ubyte.gz": (
                    "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"
                ),
            },
            (
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            ),
        ).items()
    }
)


def load(
    part: str, sources: Mapping[str, Source] = SOURCES
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (n, 28, 28) and classes (n,) of "train" or "t10k", as bytes."""
    return idx.load(part, sources, "Fashion-MNIST")

"""A kernel other than the installed one, such as one that a sanitizer watches."""

from __future__ import annotations

import ctypes
import functools
import os

from mementum.torch.backends import native

if "MEMENTUM_TEST_KERNEL" in os.environ:
    other = ctypes.CDLL(os.environ["MEMENTUM_TEST_KERNEL"])
    native.library = functools.cache(lambda: other)

"""Tests of the path of GPUs in Triton's interpreter, which takes CPU tensors.

They are collected where TRITON_INTERPRET is set: tests/torch/backends/test_triton.py
runs them so, in processes of their own.
"""

from __future__ import annotations

from mementum.torch.backends.triton.availability import is_interpreted

collect_ignore_glob = [] if is_interpreted() else ["*"]

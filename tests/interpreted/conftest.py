"""Tests of the path of GPUs in Triton's interpreter, which takes CPU tensors.

They are collected where TRITON_INTERPRET is set: tests/torch/backends/test_triton.py
runs them so, in processes of their own.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mementum.torch.backends.triton.availability import is_interpreted

collect_ignore_glob = [] if is_interpreted() else ["*"]

if is_interpreted():
    import triton.language as tl
    from triton.runtime import interpreter

    _patch = interpreter._patch_lang

    class _Scope:
        """What the interpreter has put in place of Triton's functions, and undoes."""

        open = False

        def __init__(self) -> None:
            self.own: Any = None
            if not _Scope.open:
                every = SimpleNamespace(__globals__={"tl": tl, "core": tl.core})
                self.own, _Scope.open = _patch(every), True

        def restore(self) -> None:
            if self.own is not None:
                self.own.restore()
                _Scope.open = False

    # It looks through the whole language at each call inside a kernel: once is enough,
    # and ten times as fast.
    interpreter._patch_lang = lambda _: _Scope()

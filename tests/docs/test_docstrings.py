"""Docstrings as they are written here become what Sphinx reads."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest
from tests.trainers.pages import DOCS

pytest.importorskip("sphinx")


def reference() -> ModuleType:
    """Return the extension of the site, which lies in no package."""
    spec = spec_from_file_location("reference", DOCS / "site" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def turned(text: str, name: str = "somewhere.f", of: object = None) -> str:
    lines = text.splitlines()
    reference()._process(None, "function", name, of, None, lines)
    return "\n".join(lines)


def test_an_indented_block_is_code_of_its_language() -> None:
    found = turned(
        "A mean:\n\n    w(t) = expm1(L)\n\nMore.\n\n    import torch\n\nEnd.\n"
    )
    assert ".. code-block:: text\n\n    w(t) = expm1(L)\n" in found
    assert ".. code-block:: python\n\n    import torch\n" in found
    assert found.rstrip().endswith("\nEnd.")


def test_arguments_are_fields() -> None:
    found = turned(
        "Do.\n\nArgs:\n    one: The first,\n        of two: really.\n\nEnd.\n"
    )
    assert "\n:param one: The first,\n        of two: really.\n" in found
    assert "code-block" not in found
    assert found.endswith("End.")


def test_papers_pages_and_public_names_are_links() -> None:
    found = turned(
        "See `AdaX`, `mementum.create`, arXiv:1412.6980 and docs/lab/tasks.md."
    )
    assert ":py:obj:`AdaX <mementum.AdaX>`" in found
    assert ":py:obj:`create <mementum.create>`" in found
    assert "`arXiv:1412.6980 <https://arxiv.org/abs/1412.6980>`__" in found
    assert ":doc:`/lab/tasks`" in found
    assert turned("`AdaX` is `x`.", "mementum.AdaX") == "`AdaX` is `x`."


def test_a_doctest_stays_as_it_is() -> None:
    text = "One.\n\n>>> f('`AdaX`')\n1\n"
    assert turned(text) == text.rstrip("\n")


def test_an_optimizer_has_its_equations_and_a_link_to_the_flags() -> None:
    import mementum

    found = turned(mementum.AMSGrad.__doc__ or "", "mementum.AMSGrad", mementum.AMSGrad)
    assert "    k  = max(k, v)\n" in found
    assert ":ref:`flags <flags>`" in found
    assert "maximize" not in found

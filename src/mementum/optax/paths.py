"""The leaves of trees, and their names."""

from __future__ import annotations

from typing import Any

import jax
from jax.tree_util import keystr, tree_flatten_with_path


def named_leaves(tree: Any) -> tuple[list[str], list[Any], Any]:
    """Return the names of a tree's leaves, the leaves, None among them, and the form.

    A name is a path with dots, as torch writes it: ``layers.0.kernel``. flax puts a
    ``.value`` behind some of its own, at one time and not at another.
    """
    pairs, form = tree_flatten_with_path(tree, is_leaf=is_none)
    names = [
        keystr(path, simple=True, separator=".").removesuffix(".value")
        for path, _ in pairs
    ]
    return names, [leaf for _, leaf in pairs], form


def spread(prefix: Any, tree: Any) -> Any:
    """Return a tree with the leaf of a prefix at each leaf that lies below it."""
    return jax.tree.map(
        lambda leaf, below: jax.tree.map(lambda _: leaf, below, is_leaf=is_none),
        prefix,
        tree,
        is_leaf=is_none,
    )


def is_none(node: Any) -> bool:
    """Whether a node is None, which optax takes for a leaf without a gradient."""
    return node is None

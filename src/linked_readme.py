"""The README as a package shows it: links lead into the repository, if one is named.

In the repository links are relative. An index knows no other file than this one, so
there they begin with the address that `[project.urls]` has under Source. Without one a
link is its words, and a picture is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_PICTURE = re.compile(r"^!\[([^]]*)\]\((?!https?:)([^)#]+)\)\n\n?", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^]]+)\]\((?!https?:|#)([^)]+)\)")


def dynamic_metadata(
    settings: Mapping[str, Any], project: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """Return the README for the metadata of a package; there is nothing to set."""
    source = project.get("urls", {}).get("Source", "")
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    text = linked(text, source, project["version"])
    return {"readme": {"content-type": "text/markdown", "text": text}}


def linked(text: str, source: str, version: str) -> str:
    """Return Markdown whose relative links lead to a version in a repository.

    >>> linked("See [the pages](docs/jax.md#bits).", "https://host/us/it", "1.2")
    'See [the pages](https://host/us/it/blob/v1.2/docs/jax.md#bits).'
    >>> linked("See [the pages](docs/jax.md#bits).", "", "1.2")
    'See the pages.'
    """
    if not source:
        return _LINK.sub(r"\1", _PICTURE.sub("", text))
    source = source.rstrip("/")
    text = _PICTURE.sub(
        lambda each: each[0].replace(each[2], f"{source}/raw/v{version}/{each[2]}"),
        text,
    )
    return _LINK.sub(rf"[\1]({source}/blob/v{version}/\2)", text)

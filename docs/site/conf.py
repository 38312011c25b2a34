"""How Sphinx makes the site; `make docs` runs it without a network."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import mementum

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for `reference`, beside this file

PROJECT = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text("utf-8"))
# Who owns the project fills these in there, and nowhere else.
URLS = {label.lower(): url for label, url in PROJECT["project"].get("urls", {}).items()}
SOURCE = URLS.get("source", URLS.get("repository"))

project = "mementum"
author = "the mementum authors"
release = mementum.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "reference",
]
exclude_patterns = ["site"]

# Anchors as they are where Markdown is read in the repository.
myst_heading_anchors = 4

default_role = "code"
highlight_language = "text"
add_module_names = False
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

nitpicky = True
nitpick_ignore_regex = [
    # No inventory of another project is fetched.
    (r"py:.*", r"(torch|jax|optax|numpy|np|pathlib|collections|contextlib|typing)\..*"),
    # Types that have no page: what an argument takes is said in words beside them.
    ("py:class", r"mementum\.lab\.(records|running|statistics|tasks)\..*"),
]

pygments_style = "a11y-light"
pygments_dark_style = "github-dark"

html_theme = "furo"
html_title = f"mementum {release}"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
html_baseurl = URLS.get("documentation", "")

_MONO = 'ui-monospace, "SF Mono", Menlo, Consolas, monospace'
_SANS = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def _colours(
    *, ink: str, muted: str, rule: str, wash: str, paper: str, link: str
) -> dict[str, str]:
    """Return furo's variables for the colours of the lab's page, as `page.css` has."""
    return {
        "color-foreground-primary": ink,
        "color-foreground-secondary": muted,
        "color-foreground-muted": muted,
        "color-foreground-border": muted,
        "color-background-primary": paper,
        "color-background-secondary": wash,
        "color-background-hover": wash,
        "color-background-border": rule,
        "color-code-background": wash,
        "color-brand-primary": link,
        "color-brand-content": link,
        "color-brand-visited": link,
        "color-api-name": link,
        "color-api-pre-name": link,
    }


html_theme_options = {
    "light_css_variables": {
        "font-stack": _SANS,
        "font-stack--monospace": _MONO,
        **_colours(
            ink="#1d1d1f",
            muted="#5c5f66",
            rule="#d9dbe0",
            wash="#f4f5f7",
            paper="#fff",
            link="#005f96",
        ),
    },
    "dark_css_variables": _colours(
        ink="#e8e8ea",
        muted="#a5a9b2",
        rule="#3a3d44",
        wash="#22252b",
        paper="#16181c",
        link="#7cc4f4",
    ),
    "top_of_page_buttons": [],
}
if SOURCE is not None:
    html_theme_options |= {
        "source_repository": SOURCE,
        "source_branch": "main",
        "source_directory": "docs/",
        "top_of_page_buttons": ["view"],
    }

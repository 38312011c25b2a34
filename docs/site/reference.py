"""The reference of the site: docstrings as they are written here, and the commands.

A docstring has its code in single backticks, and equations or programs in blocks that
are indented. Both mean something else in reStructuredText, which autodoc reads.
"""

from __future__ import annotations

import ast
import os
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import mementum
from mementum.cli import parser
from mementum.family import explain

# The lines below it are indented, and no block.
_ARGUMENTS = "Args:"
_ARGUMENT = re.compile(r"^    (\w+): ")
_LEAD = re.compile(r"^(Errors|Source|Differs from the authors' code):")
_FLAGS = "Arguments by keyword:"
_PAPER = re.compile(r"arXiv:(\d{4}\.\d{5}|\d{4}\.\d{4})")
_PAGE = re.compile(r"docs/([\w/]+)\.md")
_NAME = re.compile(r"(?<!`)`(?:mementum\.)?(\w+)(\(\))?`(?!`)")
_LINKED = {name: f"mementum.{name}" for name in mementum.__all__}


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx read docstrings and pages through this."""
    app.connect("autodoc-process-docstring", _process)
    app.connect("source-read", _as_downloads)
    app.connect("html-page-context", _with_levels, priority=900)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _as_downloads(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to Markdown outside the site lead to copies, as those to code do."""
    up = "../" * (page.count("/") + 1)
    source[0] = source[0].replace(f"]({up}", f"](path:{up}")


def _with_levels(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: object
) -> None:
    """Give the headings between the links of a page their level, for readers aloud."""
    links = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = links.replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )


def _process(
    app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]
) -> None:
    """Turn the lines of a docstring into reStructuredText, in place."""
    own = name.rpartition(".")[2]
    lines[:] = [
        line for part in _parts(_whole(of, lines)) for line in _turned(part, own)
    ]


def _whole(of: object, lines: list[str]) -> list[str]:
    """Return a docstring, that of an optimizer with its equations.

    The flags, which each of them repeats, are a link.
    """
    if _FLAGS not in lines:
        return lines
    own: Any = of
    rule = own.recipe.rule(own.recipe.defaults)
    drawn = ["", "At its defaults:", "", *explain.equations(rule).splitlines()]
    link = "All classes take the :ref:`flags <flags>` besides, by keyword."
    end = lines.index("")
    return [*lines[:end], *drawn, *lines[end : lines.index(_FLAGS)], link, ""]


def _parts(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield runs of lines: indented blocks, and what stands between them."""
    part: list[str] = []
    indented = arguments = False
    for line in lines:
        if line and not line.startswith(" "):
            arguments = line == _ARGUMENTS
        begins = line.startswith("    ") and not arguments
        # A line inside a paragraph may be indented; a block stands apart.
        if line and begins is not indented and not (part and part[-1]):
            yield part
            part, indented = [], begins
        part.append(line)
    yield part


def _turned(part: list[str], own: str) -> list[str]:
    """Return a part in reStructuredText."""
    if part and part[0].startswith("    "):
        return [f".. code-block:: {_language(part)}", "", *part, ""]
    if _ARGUMENTS in part:
        first = part.index(_ARGUMENTS)
        fields = [_ARGUMENT.sub(r":param \1: ", line) for line in part[first + 1 :]]
        part = [*part[:first], *fields]
    return [line if line.startswith(">>>") else _linked(line, own) for line in part]


def _language(block: list[str]) -> str:
    """Return the language of a block: what parses as Python, or plain text."""
    try:
        ast.parse(textwrap.dedent("\n".join(block)))
    except SyntaxError:
        return "text"
    return "python"


def _linked(line: str, own: str) -> str:
    """Return a line with links to papers, pages and public names."""

    def name(found: re.Match[str]) -> str:
        target = _LINKED.get(found[1])
        if target is None or found[1] == own:
            return found[0]
        return f":py:obj:`{found[1]}{found[2] or ''} <{target}>`"

    line = _NAME.sub(name, line)
    line = _PAPER.sub(r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", line)
    line = _PAGE.sub(r":doc:`/\1`", line)
    return _LEAD.sub(r"**\1:**", line)


class CommandHelp(SphinxDirective):
    """A section for each command, with what `mementum help COMMAND` prints."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Return the sections, the list of commands first."""
        root = parser()
        pages: dict[str, Any] = {"mementum": root}
        pages |= {f"mementum {name}": page for name, page in root.commands.items()}
        return [self._section(title, page) for title, page in pages.items()]

    def _section(self, title: str, page: Any) -> nodes.section:
        columns = os.environ.get("COLUMNS")
        os.environ["COLUMNS"] = "80"
        try:
            text = page.format_help().rstrip()
        finally:
            if columns is None:
                del os.environ["COLUMNS"]
            else:
                os.environ["COLUMNS"] = columns
        anchor = nodes.make_id(f"command {title}")
        section = nodes.section(ids=[anchor], names=[title])
        section += nodes.title("", "", nodes.literal("", title))
        section += nodes.literal_block(text, text, language="text")
        self.state.document.note_explicit_target(section)
        return section

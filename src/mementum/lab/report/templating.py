"""The templates of pages and texts."""

from __future__ import annotations

import jinja2

from mementum import __version__
from mementum.lab.report import finding, number_words, sentences, stage_words
from mementum.lab.report.figures.palette import variable

_TITLES = {
    "across": "All tasks together",
    "tasks": "Tasks",
    "controls": "Controls",
    "claims": "Claims of the papers",
    "troubles": "Runs that went wrong",
    "methods": "Methods",
    "environment": "Environment",
}


def environment() -> jinja2.Environment:
    """The templates; those of pages escape everything that they print."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("mementum.lab.report", "templates"),
        autoescape=jinja2.select_autoescape(
            disabled_extensions=("txt.j2",), default=True
        ),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {
        "count": number_words.count,
        "finding": finding,
        "listed": number_words.listed,
        "number_words": number_words,
        "sentences": sentences,
        "stage_words": stage_words,
        "titles": _TITLES,
        "version": __version__,
    }
    found.filters["typeset"] = typeset
    found.filters["variable"] = variable
    return found


def typeset(text: str) -> str:
    """Numbers with a true minus sign, and on one line with their percent sign."""
    return text.replace("-", "\N{MINUS SIGN}").replace(" %", "\N{NO-BREAK SPACE}%")

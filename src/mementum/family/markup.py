"""HTML for notebooks: plain, escaped, and readable without a style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

# A dollar sign in a name begins no formula: notebooks typeset all but these classes.
_VERBATIM = 'class="tex2jax_ignore mathjax_ignore"'


def table(rows: Sequence[Sequence[str]], *, caption: str = "") -> str:
    """Return rows as a table: the first heads the columns, first cells head the rows.

    >>> print(table([["", "lr"], ["group <0>", "0.001"]], caption="Groups"))
    <table border="1" cellpadding="4" class="tex2jax_ignore mathjax_ignore">
    <caption>Groups</caption>
    <thead>
    <tr><th scope="col"></th><th scope="col">lr</th></tr>
    </thead>
    <tbody>
    <tr><th scope="row">group &lt;0&gt;</th><td>0.001</td></tr>
    </tbody>
    </table>
    """
    head, *body = rows
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = [f'<table border="1" cellpadding="4" {_VERBATIM}>']
    lines += [f"<caption>{escape(caption)}</caption>"] if caption else []
    lines += ["<thead>", f"<tr>{columns}</tr>", "</thead>", "<tbody>"]
    for name, *cells in body:
        values = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{values}</tr>')
    return "\n".join([*lines, "</tbody>", "</table>"])


def paragraph(text: str) -> str:
    """Return text as a paragraph.

    >>> paragraph("lr < 1")
    '<p class="tex2jax_ignore mathjax_ignore">lr &lt; 1</p>'
    """
    return f"<p {_VERBATIM}>{escape(text)}</p>"


def preformatted(text: str) -> str:
    """Return lines that keep their spaces.

    >>> preformatted("a  < b")
    '<pre class="tex2jax_ignore mathjax_ignore">a  &lt; b</pre>'
    """
    return f"<pre {_VERBATIM}>{escape(text)}</pre>"

"""HTML for notebooks shows what it is given, and nothing else that a browser would do."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from mementum.family import markup

HOSTILE = [
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp;",
    "\"quoted\" 'twice'",
    "<!-- -->",
    "$\\frac{1}{2}$",
    "a\u202eb",
    "",
]
ELEMENTS = {"table", "caption", "thead", "tbody", "tr", "th", "td", "p", "pre"}


class Reader(HTMLParser):
    """What a browser would see: the elements, and the text in each cell."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[str] = set()
        self.cells: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag in ("th", "td", "caption", "p", "pre"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data.strip("\n")

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_as_it_is(name: str) -> None:
    rows = [["", name], [name, "1"], ["second", name]]
    read = Reader(markup.table(rows, caption=name or "none"))
    assert read.cells == [name or "none", *(cell for row in rows for cell in row)]
    assert read.elements <= ELEMENTS
    for written in (markup.paragraph(name), markup.preformatted(name)):
        read = Reader(written)
        assert read.cells == [name]
        assert read.elements <= ELEMENTS


def test_a_dollar_sign_begins_no_formula() -> None:
    for written in (
        markup.table([["$x$"]]),
        markup.paragraph("$x$"),
        markup.preformatted("$x$"),
    ):
        opening = written.partition(">")[0]
        assert "tex2jax_ignore" in opening
        assert "mathjax_ignore" in opening


def test_it_is_readable_without_a_style_in_light_and_dark() -> None:
    written = markup.table([["", "a"], ["b", "c"]], caption="d")
    assert 'border="1"' in written
    assert "style" not in written
    assert "color" not in written

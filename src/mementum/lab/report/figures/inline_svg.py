"""Matplotlib's SVG made small enough to stand in a page by the dozen.

Coordinates have a tenth of a pixel, styles become classes that all figures of a page
share, colours become names that the page's style gives a value by day and by night, and
ids are those of this figure alone. Groups of a contender say whose they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from markupsafe import escape

from mementum.lab.report.figures.drawing import Drawing
from mementum.lab.report.figures.palette import NAMED

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_POINT = re.compile(r"(?<=[ML]) | (?=[MLCQz])|\n")
_POINTER = re.compile(r"(?<=url\(#)[^)]+")
_DULL = {"fill-opacity: 1", "stroke-opacity: 1", "stroke-linejoin: miter"}
_FAMILY = re.compile(r"font: ([\d.]+)px [^;]*")


@dataclass
class Styles:
    """The styles of a page's figures; each has a class."""

    names: dict[str, str] = field(default_factory=dict)

    def of(self, text: str) -> str:
        """Return the class of a style."""
        return self.names.setdefault(text, f"f{len(self.names)}")

    def __str__(self) -> str:
        """Return them as a style sheet."""
        return "\n".join(f".{name}{{{text}}}" for text, name in self.names.items())


def inline(drawing: Drawing, styles: Styles) -> str:
    """Return a figure as an element of a page, without its title."""
    root = ET.fromstring(drawing.svg)  # noqa: S314, written by Matplotlib just now
    *_, width, height = map(float, root.attrib["viewBox"].split())
    above = round(height * drawing.above, 1)
    box = f"0 {above:g} {width:g} {round(height - above, 1):g}"
    inner = _Writer(drawing, styles).group(root)
    name, label = drawing.figure.name, escape(drawing.figure.description)
    head = f'id="{name}" viewBox="{box}" role="img" aria-label="{label}"'
    return f"<svg {head}>{inner}</svg>"


@dataclass
class _Writer:
    """Writes the elements of a figure."""

    drawing: Drawing
    styles: Styles
    ids: dict[str, str] = field(default_factory=dict)

    def renamed(self, name: str) -> str:
        """Return this figure's own id in the place of Matplotlib's."""
        own = f"{self.drawing.figure.name}-{len(self.ids)}"
        return self.ids.setdefault(name, own)

    def group(self, element: ET.Element) -> str:
        """Return what stands inside an element."""
        return "".join(map(self.element, element))

    def element(self, element: ET.Element) -> str:
        """Return an element with what stands inside."""
        tag = element.tag.removeprefix(_SVG)
        name = element.get("id", "")
        if tag in ("metadata", "style") or name == "title":
            return ""
        if name in self.drawing.owners:
            return self.owned(element, name)
        inner = self.group(element)
        if tag in ("g", "defs") and not inner:
            return ""
        attributes = dict(self.attributes(element))
        if tag == "g" and not attributes:
            return inner
        return _element(tag, attributes, inner or escape((element.text or "").strip()))

    def owned(self, element: ET.Element, name: str) -> str:
        """Return a group of a contender, with its words and those of its marks."""
        owner, words = self.drawing.owners[name]
        # Matplotlib writes a few marks one by one, and many as uses of one.
        marks = [*element.iter(f"{_SVG}use")] or [*element.iter(f"{_SVG}path")]
        for mark, said in zip(marks, self.drawing.marks.get(name, ()), strict=False):
            ET.SubElement(mark, f"{_SVG}title").text = f"{owner}, {said}"
        title = f"<title>{escape(words)}</title>" if words else ""
        attributes = {"data-contender": owner, **dict(self.attributes(element))}
        return _element("g", attributes, title + self.group(element))

    def attributes(self, element: ET.Element) -> Iterator[tuple[str, str]]:
        """Return the attributes that say something, short."""
        tag = element.tag.removeprefix(_SVG)
        for key, text in element.attrib.items():
            match key:
                case "id" if tag in ("path", "clipPath"):
                    yield key, self.renamed(text)
                case "id":
                    pass
                case "style":
                    if style := _style(text):
                        yield "class", self.styles.of(style)
                case "d":
                    yield key, _POINT.sub("", _rounded(text)).strip()
                case "transform" if text.startswith("rotate(-0"):
                    pass
                case "clip-path":
                    own = self.renamed(_POINTER.findall(text)[0])
                    yield key, f"url(#{own})"
                case _ if key == _LINK:
                    yield "href", f"#{self.renamed(text[1:])}"
                case _:
                    yield key, _rounded(text)


def _element(tag: str, attributes: dict[str, str], inner: str) -> str:
    """Return an element as text."""
    head = "".join(f' {key}="{escape(text)}"' for key, text in attributes.items())
    return f"<{tag}{head}>{inner}</{tag}>" if inner else f"<{tag}{head}/>"


def _rounded(text: str) -> str:
    """Return a text in which numbers have a tenth at most."""
    return _NUMBER.sub(lambda found: f"{round(float(found[0]), 1):g}", text)


def _style(text: str) -> str:
    """Return a style without what goes without saying, its colours by name."""
    kept = [part.strip() for part in text.split(";")]
    style = ";".join(part.replace(": ", ":") for part in kept if part not in _DULL)
    style = _FAMILY.sub(r"font-size:\1px", style.replace("font:", "font: "))
    for colour, name in NAMED.items():
        style = re.sub(colour, f"var(--{name})", style, flags=re.IGNORECASE)
    return style

"""Read a letter's HTML as a mail program does: which text is visible, in which size and colours, where links lead.

Just enough of CSS for letters: inline styles, inheritance, and the rules of one media query laid over them.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import css_inline

VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})
INHERITED = ("color", "font-size", "direction")


@dataclass(slots=True)
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None"
    children: "list[Element | str]" = field(default_factory=list)

    def style(self, name: str) -> str | None:
        """The inline value of a property; an important one wins, else the last."""
        values = [value.strip() for key, value in declarations(self.attributes.get("style", "")) if key == name]
        important = [value for value in values if value.endswith("!important")]
        return (important or values or [""])[-1].removesuffix("!important").strip() or None

    def computed(self, name: str) -> str | None:
        at: Element | None = self
        while at is not None:
            if value := at.style(name):
                return value
            at = at.parent
        return None

    def find(self, tag: str) -> "list[Element]":
        return [element for element in self.walk() if element.tag == tag]

    def walk(self) -> "list[Element]":
        found = [self]
        for child in self.children:
            if isinstance(child, Element):
                found += child.walk()
        return found

    def texts(self) -> "list[tuple[Element, str]]":
        """What can be seen, in order, with the element it stands in."""
        if self.tag in {"head", "style", "script", "title"} or self.style("display") == "none":
            return []
        found: list[tuple[Element, str]] = []
        for child in self.children:
            found += child.texts() if isinstance(child, Element) else [(self, child)] if child.strip() else []
        return found

    @property
    def visible(self) -> str:
        return "".join(_spaced(child) for child in self.children) if self.style("display") != "none" else ""

    @property
    def font_size(self) -> float:
        at: Element | None = self
        while at is not None:
            if size := re.search(r"(?:^|\s)([\d.]+)px", (at.style("font-size") or at.style("font") or "")):
                return float(size[1])
            at = at.parent
        return 16.0

    @property
    def colours(self) -> tuple[str, str]:
        """Text and ground, as `#rrggbb`."""
        return self.computed("color") or "#000000", self.computed("background-color") or "#ffffff"


BLOCKS = frozenset({"p", "div", "td", "th", "tr", "table", "li", "h1", "h2", "br", "title", "style"})


def _spaced(child: "Element | str") -> str:
    if isinstance(child, str):
        return child
    if child.tag in {"head", "style", "script"}:
        return ""
    return f"\n{child.visible}\n" if child.tag in BLOCKS else child.visible


def declarations(style: str) -> list[tuple[str, str]]:
    parts = (part.partition(":") for part in style.split(";") if ":" in part)
    return [(name.strip().lower(), value) for name, _, value in parts]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root", {}, None)
        self.at = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(element)
        if tag not in VOID:
            self.at = element

    def handle_endtag(self, tag: str) -> None:
        assert self.at.tag == tag, f"</{tag}> closes <{self.at.tag}>"
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        self.at.children.append(data)


def read(html: str) -> Element:
    """Parse a whole page; a tag that is not closed in its place fails."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.at is reader.root, f"<{reader.at.tag}> is never closed"
    return reader.root


def media(html: str, condition: str) -> str:
    """The rules inside `@media (condition)`."""
    start = html.index("{", html.index(f"@media ({condition})")) + 1
    depth, at = 1, start
    while depth:
        depth += {"{": 1, "}": -1}.get(html[at], 0)
        at += 1
    return html[start : at - 1]


def under(html: str, condition: str) -> Element:
    """The page as it is where the media query holds."""
    rules = media(html, condition)
    return read(css_inline.inline(html, extra_css=rules, inline_style_tags=False, keep_style_tags=True, load_remote_stylesheets=False))

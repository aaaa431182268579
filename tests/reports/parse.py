"""The report's page as a parser sees it: elements, attributes and text, with what a strict page must not hold."""

from html.parser import HTMLParser
from typing import Any

__all__ = ["Page", "parse"]

_VOID = {"meta", "input", "br", "wbr", "link", "img", "rect"}
_INLINE = {"bdi", "wbr", "a", "b"}


class Page(HTMLParser):
    """Elements in order as (tag, attributes, text inside); `unbalanced` names tags that do not close in turn."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.unbalanced: list[str] = []
        self._open: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _INLINE:
            self.handle_data(" ")
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))
        if tag not in _VOID:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self._open or self.elements[self._open[-1]][0] != tag:
            self.unbalanced.append(tag)
            return
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.elements[index][2].append(data)

    def finish(self) -> "Page":
        """Close the document and note what stayed open."""
        self.close()
        self.unbalanced += [self.elements[index][0] for index in self._open]
        return self

    def texts(self, tag: str, **wanted: Any) -> list[str]:
        """Text of every `tag` whose attributes equal `wanted` (class_ for class), white space joined."""
        asked = {name.rstrip("_").replace("_", "-"): value for name, value in wanted.items()}
        return [
            " ".join("".join(text).split())
            for found, attributes, text in self.elements
            if found == tag and asked.items() <= attributes.items()
        ]


def parse(html: str) -> Page:
    """Parse a whole page."""
    page = Page()
    page.feed(html)
    return page.finish()

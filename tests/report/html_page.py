"""A page taken apart, for tests."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

SVG = "data:image/svg+xml;base64,"
VOID = {"meta", "img", "br", "hr", "link", "input", "source"}


class Page(HTMLParser):
    """Tags with their attributes, all text outside of style, and tags that were left open.

    Attributes:
        tags: (name, attributes) in their order.
        text: of everything but `style`.
        unclosed: tags that are open at the end, or that were closed out of turn.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.unclosed: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.unclosed += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unclosed.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def values(self, name: str) -> list[str]:
        """Every value of an attribute."""
        return [str(attrs[name]) for _, attrs in self.tags if name in attrs]

    def figures(self) -> list[str]:
        """The SVG pictures, as text."""
        return [base64.b64decode(src.removeprefix(SVG)).decode() for src in self.values("src") if src.startswith(SVG)]

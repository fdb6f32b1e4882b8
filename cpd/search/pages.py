"""What the pages show, as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2
from starlette.responses import Response

from cpd.evaluate.zeroshot import class_phrase
from cpd.search.query import LONGEST
from cpd.search.searcher import EXAMPLES
from cpd.search.template import TEMPLATES
from cpd.search.upload import LARGEST

if TYPE_CHECKING:
    from cpd.search.gallery import Clip
    from cpd.search.query import Query
    from cpd.search.recent import Dropped
    from cpd.search.searcher import Answer, Searcher

LONGEST_NAME = 120  # characters shown of a file's name


class Pages:
    """The pages about a gallery.

    Args:
        searcher: what is searched.
        seconds: of a dropped clip that are looked at.
    """

    def __init__(self, searcher: Searcher, *, seconds: float) -> None:
        gallery = searcher.gallery
        self._templates = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            loader=jinja2.DictLoader(TEMPLATES),
            trim_blocks=True,
        )
        examples = searcher.examples() or [class_phrase(name) for name in gallery.classes[:EXAMPLES]]
        self._shared: dict[str, Any] = {
            "gallery": gallery,
            "examples": examples if gallery.has_text else [],
            "placeholder": min(examples, key=len, default=""),
            "longest": LONGEST,
            "largest": LARGEST,
            "seconds": f"{seconds:g}",
            "asked": "",
        }
        step = max(1, len(gallery) // EXAMPLES)
        self._samples = gallery.clips[::step][:EXAMPLES]

    def home(self) -> Response:
        """The start page."""
        return self._render("home", title="CPD search", samples=self._samples)

    def found(self, query: Query, answer: Answer) -> Response:
        """Clips for a sentence."""
        title = f"{query.typed} - CPD search"
        return self._render("found", title=title, asked=query.typed, query=query, answer=answer)

    def clip(self, clip: Clip, answer: Answer) -> Response:
        """A clip of the gallery."""
        heading = clip.title or clip.label or clip.key
        return self._about(heading, f"/clip/{clip.key}.mp4", answer, label=clip.label, what="Clip looked up")

    def dropped(self, token: str, dropped: Dropped) -> Response:
        """A dropped clip."""
        return self._about(dropped.name, f"/dropped/{token}.mp4", dropped.answer, label="", what="Clip looked at")

    def trouble(self, status: int, heading: str, message: str, *, headers: dict[str, str] | None = None) -> Response:
        """Why there is nothing to show."""
        title = f"{heading} - CPD search"
        return self._render("trouble", status=status, headers=headers, title=title, heading=heading, message=message)

    def _about(self, heading: str, video: str, answer: Answer, *, label: str, what: str) -> Response:
        title = f"{heading} - CPD search"
        return self._render("about", title=title, heading=heading, video=video, answer=answer, label=label, what=what)

    def _render(self, name: str, *, status: int = 200, headers: dict[str, str] | None = None, **own: Any) -> Response:
        html = self._templates.get_template(name).render(self._shared | own)
        # A title may hold half a surrogate pair, which has no UTF-8.
        return Response(html.encode(errors="replace"), status_code=status, headers=headers, media_type="text/html")


def shown_name(name: str) -> str:
    """A file's name without folders and invisible characters, and not too long."""
    base = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(letter for letter in base if letter.isprintable())
    return f"{printable[: LONGEST_NAME - 1]}\u2026" if len(printable) > LONGEST_NAME else printable or "a clip"

"""End to end in a headless Chromium: type, play, back, drop; and strangers' text runs no script."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from cpd.search import upload
from cpd.search.searcher import Searcher
from tests import small_corpus
from tests.search.small_search import HOSTILE, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const held = new DataTransfer();
  held.items.add(new File([bytes], name));
  for (const kind of ["dragover", "drop"]) {
    document.querySelector("main").dispatchEvent(
      new DragEvent(kind, { dataTransfer: held, bubbles: true, cancelable: true }));
  }
}"""
PLAYS = "(n) => [...document.querySelectorAll('video')].filter((v) => !v.paused && v.currentTime > 0.2).length >= n"


def find_chromium() -> str:
    asked = os.environ.get("CPD_CHROMIUM")
    found = asked or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} is on the PATH, and CPD_CHROMIUM is not set")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=executable)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def site(searcher: Searcher) -> Iterator[str]:
    with served(searcher) as address:
        yield address


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page that must not complain, leave this site, or open a dialog."""
    context = browser.new_context(base_url=site, viewport={"width": 390, "height": 844})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda request: request.url.startswith(site) or complaints.append(request.url))
    yield opened
    context.close()
    assert complaints == []


@pytest.fixture
def video(tmp_path: Path) -> Path:
    small_corpus.write_video(tmp_path / "mine.mp4", colour="red", motion="left", seed=3)
    return tmp_path / "mine.mp4"


def ask(page: Page, sentence: str) -> None:
    page.get_by_label("Describe what happens").fill(sentence)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=sentence, level=1).wait_for()


def first_clip(page: Page) -> str:
    return str(page.locator(".cards video").first.get_attribute("src"))


def test_type_play_back(page: Page, searcher: Searcher) -> None:
    page.goto("/")
    ask(page, "a blue square goes right")
    assert page.locator(".cards li").count() == searcher.k
    page.wait_for_function(PLAYS, arg=2)
    found = first_clip(page)
    title = page.locator(".cards li").first.locator(".title").inner_text()
    assert title == "a blue square goes right!"
    ask(page, "a red square goes left")
    assert first_clip(page) != found
    page.go_back()
    page.get_by_role("heading", name="a blue square goes right").wait_for()
    assert first_clip(page) == found
    assert page.get_by_label("Describe what happens").input_value() == "a blue square goes right"
    page.wait_for_function(PLAYS, arg=2)


def test_a_result_can_be_bookmarked_and_followed(page: Page, site: str) -> None:
    page.goto("/?q=a+blue+square+goes+right")
    page.locator(".cards a").first.click()
    page.get_by_role("heading", name="Nearest titles").wait_for()
    assert urlsplit(page.url).path.startswith("/clip/")
    page.wait_for_function(PLAYS, arg=1)
    page.get_by_role("link", name="CPD search").click()
    assert page.url == f"{site}/"


def test_choose_a_clip(page: Page, video: Path) -> None:
    page.goto("/")
    page.get_by_label("drop a clip here").set_input_files(video)
    page.get_by_role("heading", name="mine.mp4").wait_for()
    for heading in ("Nearest titles", "Nearest classes", "Clips like it"):
        assert page.get_by_role("heading", name=heading).is_visible()
    assert page.locator(".names").first.locator("li").count() == 5
    page.wait_for_function(PLAYS, arg=1)
    page.reload()
    page.get_by_role("heading", name="mine.mp4").wait_for()
    page.go_back()
    page.get_by_role("heading", name="Some of the clips").wait_for()


def test_drop_a_clip(page: Page, video: Path) -> None:
    page.goto("/?q=a+red+square")
    page.evaluate(DROP, ["dropped.mp4", base64.b64encode(video.read_bytes()).decode()])
    page.get_by_role("heading", name="dropped.mp4").wait_for()
    assert page.get_by_role("heading", name="Nearest classes").is_visible()


def test_a_large_file_is_told_before_it_is_sent(page: Page) -> None:
    page.goto("/")
    page.route("**/clip", lambda route: pytest.fail("it was sent"))
    too_large = (
        "(n) => { const f = new File([new Uint8Array(n)], 'big.mp4'); const d = new DataTransfer();"
        " d.items.add(f); const i = document.querySelector('#clip'); i.files = d.files;"
        " i.dispatchEvent(new Event('change')); }"
    )
    page.evaluate(too_large, upload.LARGEST + 1)
    assert "big.mp4 is too large: 64 MB are the limit." in page.get_by_role("status").inner_text()


def test_without_scripts_all_of_it_works(browser: Browser, site: str, video: Path, tmp_path: Path) -> None:
    """And a file that is too large or no clip is told on a page."""
    context = browser.new_context(base_url=site, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    ask(page, "a blue square goes right")
    large, text = tmp_path / "large.mp4", tmp_path / "text.mp4"
    with large.open("wb") as file:
        file.truncate(upload.LARGEST + (1 << 20))
    text.write_text("hello")
    for path, wanted in ((video, "Nearest titles"), (large, "too large"), (text, "text.mp4 cannot be used")):
        page.goto("/")
        page.get_by_label("drop a clip here").set_input_files(path)
        page.get_by_role("button", name="Find titles").click()
        page.get_by_text(wanted).wait_for()
    context.close()


def test_hostile_titles_run_nothing(page: Page, searcher: Searcher) -> None:
    key = next(clip.key for clip in searcher.gallery.clips if clip.title == HOSTILE)
    for address in (f"/clip/{key}", "/?q=%3Cscript%3Edocument.title%3D%22owned%22%3C%2Fscript%3E"):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert page.title() != "owned"
        assert page.locator("img").count() == 0
    page.goto(f"/clip/{key}")
    assert '"><script>document.title="owned"</script>' in page.locator("h1").inner_text()


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_can_be_used_by_keyboard(browser: Browser, site: str, searcher: Searcher, width: int) -> None:
    page = browser.new_page(base_url=site, viewport={"width": width, "height": 800})
    key = searcher.gallery.clips[1].key
    for address in ("/", f"/clip/{key}", "/nowhere", "/?q=a+red+square"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        widest = page.evaluate("Math.max(0, ...[...document.querySelectorAll('video')].map((v) => v.clientWidth))")
        assert widest <= 450
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.tagName + (document.activeElement.type || '')"))
    assert {"Inputsearch".upper(), "BUTTONsubmit".upper(), "INPUTfile".upper()} <= {name.upper() for name in reached}
    assert {"VIDEO", "A"} <= {name.upper() for name in reached}
    page.close()


def test_who_wants_little_motion_gets_little(browser: Browser, site: str) -> None:
    page = browser.new_page(base_url=site, reduced_motion="reduce")
    page.goto("/?q=a+red+square")
    page.wait_for_function("[...document.querySelectorAll('video')].every((v) => v.readyState >= 1)")
    page.wait_for_timeout(300)
    assert page.evaluate("[...document.querySelectorAll('video')].every((v) => v.paused)")
    page.locator(".cards video").nth(1).hover()
    page.wait_for_function(PLAYS, arg=1)
    assert page.evaluate("document.querySelectorAll('video')[0].paused")
    page.close()

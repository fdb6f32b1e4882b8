"""The page is whole and inert with everything, with nothing, and with texts that would break it."""

from __future__ import annotations

import itertools
import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cpd.cli import main
from cpd.config import Config
from cpd.report.content import Content, gather
from cpd.report.drawing import Drawing
from cpd.report.page import SECTIONS, render
from cpd.report.safe import shorten
from tests.report.html_page import Page
from tests.report.report_corpus import HOSTILE, N_VAL, config_of

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_every_part_is_there(page: Page) -> None:
    assert not page.unclosed
    for wanted in (
        "In shards",
        "75.0",
        "Found at once",
        "Worst failures",
        "Commonest mistakes",
        "2.0 h",
        "25 %",
        "The loader was too slow for every training: over 10 % of a step",
        "4096 MB",
    ):
        assert wanted in page.text, wanted
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    linked = {href.removeprefix("#") for href in page.values("href")}
    assert linked == {key for key, _ in SECTIONS if key != "factors"} | ({"factors"} & linked)
    assert linked <= set(ids)
    assert "lost" not in {attrs.get("class") for tag, attrs in page.tags if tag == "p"}, "nothing is missing"


def test_numbers_say_where_they_come_from(page: Page) -> None:
    buttons = [attrs for tag, attrs in page.tags if tag == "button" and "title" in attrs]
    popovers = {attrs["id"] for tag, attrs in page.tags if "popover" in attrs}
    assert {attrs["popovertarget"] for attrs in buttons} == popovers
    figures = [str(attrs["title"]) for tag, attrs in page.tags if tag == "figure"]
    assert all(source.startswith("from ") for source in figures)
    assert any(source.endswith("linear/acts-test.predictions.json") for source in figures)
    assert len([attrs for attrs in buttons if "eval/cpd/linear/acts-test.json" in str(attrs["title"])]) == 1


def test_tiles_and_costs_say_where_they_come_from(study: Config, page: Page) -> None:
    tiles = [attrs.get("title") for tag, attrs in page.tags if tag == "li" and "class" not in attrs]
    assert [title for title in tiles if title][1] == "from pretrain/*/metrics.json"
    costs = {str(attrs["title"]) for tag, attrs in page.tags if tag == "td" and "title" in attrs}
    own = ["pretrain/cpd/metrics.json", "pretrain/cpd/metrics.jsonl", "benchmarks/features/cpd/*.tsv"]
    assert {f"from {name}" for name in [*own, "eval/cpd/*/*.json", "benchmarks/*/cpd*"]} <= costs
    for title in {*filter(None, tiles), *costs}:
        for pattern in title.removeprefix("from ").split(", "):
            name = pattern.removeprefix(f"{study.results}/")
            assert list(Path(study.results).glob(name)), pattern


def test_the_caption_says_what_a_dash_under_paper_is(
    whole: Content, figures: dict[str, list[Drawing]], page: Page
) -> None:
    told = "— under paper: not published in text."
    assert told in page.text
    (table,) = whole.tables
    for rows, gaps in ((table.rows[:1], False), (table.rows[:2], True)):
        shown = replace(table, rows=rows)
        assert [row.cells[0].published == "—" for row in rows] == [False, True][: len(rows)]
        assert shown.has_gaps == gaps
        assert (told in Page(render(replace(whole, tables=[shown]), figures)).text) == gaps


def test_headings_go_down_step_by_step_and_pictures_have_words(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    for tag, attrs in page.tags:
        assert tag != "img" or "alt" in attrs
        assert tag != "svg" or attrs["aria-label"]
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img" and attrs.get("class") != "moving")
    assert [tag for tag, _ in page.tags].count("table") == [tag for tag, _ in page.tags].count("caption")


def test_the_page_is_inert_and_fetches_nothing(html: str, page: Page) -> None:
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    for _, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on") or name in ("style", "srcset", "action")]
    assert all(value.startswith("data:image/") for value in page.values("src"))
    assert all(value.startswith("#") for value in page.values("href"))
    assert not re.search(r"url\(|@import", html)
    policy = next(str(attrs["content"]) for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    for figure in page.figures():
        root = ElementTree.fromstring(figure)
        assert "script" not in {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not [name for element in root.iter() for name in element.attrib if name.lower().startswith("on")]


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_titles_are_words(page: Page, title: str) -> None:
    assert shorten(title, 60).rstrip("…") in page.text
    assert "\x00" not in page.text


def test_secrets_of_the_config_stay_out(html: str) -> None:
    assert "canary" not in html


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(study: Config, html: str, tmp_path: Path) -> None:
    configfile = str(Path(study.results).parent / "config.yaml")
    target, figures = tmp_path / "out" / "report.html", tmp_path / "figures"
    figures.mkdir()
    (figures / "of-an-older-report.svg").write_text("<svg/>")
    assert main(["report", "--output", str(target), "--figures", str(figures), "--configfile", configfile]) == 0
    assert target.read_text() == html
    names = sorted(path.name for path in figures.iterdir())
    assert {"curves.svg", "flow-pairs-train.svg", "map-cpd.svg", "retrieval-acts-test.svg"} <= set(names)
    assert "of-an-older-report.svg" not in names
    for path in figures.iterdir():
        ElementTree.parse(path)


def test_figures_of_one_name_are_one_file(figures: dict[str, list[Drawing]]) -> None:
    names = [drawing.name for group in figures.values() for drawing in group]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9._+@-]+", name) for name in names)


def test_the_page_stays_small(html: str) -> None:
    assert len(html.encode()) < 1.5 * MEGABYTE


def test_a_page_of_nothing_names_what_is_missing(tmp_path: Path) -> None:
    page = Page(render(gather(config_of(tmp_path))))
    assert not page.unclosed
    for wanted in (
        "Nothing has been fetched yet of: pairs train, pairs val.", "No source has an index.json yet",
        "No titles have been parsed yet", "No run has a log yet", "missing: ", "retrieval/acts-test.json: no such file",
        "No run has finished yet", "No result files yet", "0 of 9",
    ):  # fmt: skip
        assert wanted in page.text, wanted


@pytest.mark.slow
def test_a_study_of_titles_alone(own: Config) -> None:
    """Crawled, nothing cut, nothing trained."""
    for part in ("pretrain", "features", "eval", "benchmarks", "sources/pairs/clips", "sources/pairs/shards"):
        shutil.rmtree(Path(own.results) / part)
    page = Page(render(gather(own)))
    assert not page.unclosed
    assert "waiting 12" in page.text


def test_a_stale_result_shows_its_reason_and_no_number(own: Config, figures: dict[str, list[Drawing]]) -> None:
    folder = Path(own.results).parent
    changed = config_of(folder, evaluate={"linear": {"epochs": 3}})
    page = Page(render(gather(changed), figures))
    assert "measured with other settings" in page.text
    assert "Hint: run its protocol again" in page.text
    assert "0 of 9" in page.text
    assert f"{75.0:.1f}" not in re.sub(r"R@10.*", "", page.text.split("Retrieval")[0])


@pytest.mark.slow
def test_full_size_is_bounded(whole: Content) -> None:
    """14 runs of 250 epochs, 12 splits: what grows with the study is drawn once a run, not once a point."""
    from cpd.report.curves import Curve

    epochs = list(range(250))
    curves = [
        Curve(f"run-{i}", loss=[(e, 9.0 / (e + 1)) for e in epochs], r10=[(e, e / 3) for e in epochs], switches=[170])
        for i in range(14)
    ]
    points = [(i % 50 / 50, i // 50 / 40) for i in range(2000)]
    words = [f"class {i % 13}" for i in range(2000)]
    maps = [replace(found, total=19906, xy=points, colour=words, marker=[""] * 2000) for found in whole.maps]
    html = render(replace(whole, curves=curves, maps=maps, flows=6 * whole.flows))
    assert len(html.encode()) < 4 * MEGABYTE
    assert "2,000 of 19,906 videos" in html
    assert N_VAL == 12

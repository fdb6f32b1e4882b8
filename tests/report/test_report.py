"""The page is whole with everything, with nothing, and with names that would break it."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cpd.cli import main
from cpd.config import Config, load_config
from cpd.evaluate.result import make_result, model_path, result_path, write_result
from cpd.fileio import write_json, write_jsonl
from cpd.report import gather, page, plots

ROOT = Path(__file__).parent.parent.parent
HOSTILE = '<script>alert("1")</script> $\\frac{1}$ 日本 {{ 7*7 }}'
OVERLAY = """
results: {results}
corpus: demo
run: [cpd-r34, cpd-r34-stage1]
crawl: {{cookies: /secret/canary-cookies.txt, proxy: "http://canary-proxy:3128"}}
tables:
  table1:
    title: {title}
    columns: [{{name: "UCF101 split 1", protocol: finetune, dataset: ucf101, splits: ["1"], metric: top1}}]
    rows: [{{name: Cross-pair discrimination, run: cpd-r34-stage1}}, {{name: {title}, run: cpd-r34}}]
"""


@pytest.fixture
def configfiles(tmp_path: Path) -> list[Path]:
    (tmp_path / "over.yaml").write_text(OVERLAY.format(results=tmp_path / "results", title=json.dumps(HOSTILE)))
    return [ROOT / "config.yaml", tmp_path / "over.yaml"]


@pytest.fixture
def config(configfiles: list[Path]) -> Config:
    return load_config(*configfiles)


def fill(config: Config) -> None:
    """A little of everything the report reads; the run `cpd-r34` has no result."""
    results = Path(config.results)
    write_json(
        results / "sources" / "kinetics" / "shards" / "index.json",
        {"train": {"n": 7, "shards": []}, "ledger": {"train": {"ok": 7, "gone": 2, "<b>": 1}}},
    )
    titles = [
        {"id": str(i), "title": f"{HOSTILE} {i}", "title_clean": f"clean {i}", "title_tree": ""} for i in range(30)
    ]
    write_jsonl(results / "sources" / "kinetics" / "tree" / "train-0000.jsonl", titles)
    log = results / "pretrain" / "cpd-r34-stage1" / "metrics.jsonl"
    epochs = [{"event": "epoch", "epoch": i, "loss": 9.0 - i, "validation": {"r10": 2.0 * i}} for i in range(4)]
    write_jsonl(
        log, [{"event": "step", "step": 0, "loss": 9.5}, *epochs, {"event": "epoch", "epoch": 4, "loss": "nan"}]
    )
    with open(log, "a") as handle:
        handle.write('{"event": "epo')
    values = {"top1": 61.5, "top5": 90.0, "motion": 70.0, "chance": {"top1": 10.0, "motion": 25.0}}
    run = "cpd-r34-stage1"
    made = make_result(
        config, run, protocol="finetune", dataset="ucf101", split="1", values=values, n=12,
        inputs={str(model_path(config, run)): "f00d" * 16}, wall_seconds=1.0, code=["cpd.errors"],
    )  # fmt: skip
    write_result(result_path(config, run, protocol="finetune", dataset="ucf101", split="1"), made)


class Page(HTMLParser):
    """Tags with their attributes, and all text outside of style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def figures(self) -> list[str]:
        sources = [str(attrs["src"]) for tag, attrs in self.tags if tag == "img"]
        return [base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode() for source in sources]


def test_page_shows_all_parts(config: Config) -> None:
    fill(config)
    html = page.render(config)
    found = Page(html)
    for wanted in ("gone 2", "<b> 1", "61.5", "clean 0", "f00d" * 16, "1 values that are not finite", f"{HOSTILE} 0"):
        assert wanted in found.text, wanted
    assert "kinetics" in found.figures()[0]
    assert len(found.figures()) == 3, "attrition, curves, one factor figure"
    assert "motion: chance 25 %" in found.figures()[2]
    row = next(cell for table in gather.all_tables(config) for cell in table.cells if cell.row == HOSTILE)
    assert row.measured is None
    assert "missing" in found.text


def test_page_is_self_contained_and_inert(config: Config) -> None:
    fill(config)
    html = page.render(config)
    found = Page(html)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "link", "iframe", "object", "form"})
    for _, attrs in found.tags:
        assert not [name for name in attrs if name.startswith("on")]
        assert str(attrs.get("src") or "data:").startswith("data:")
        assert str(attrs.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import", html)
    for figure in found.figures():
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(figure).iter()}
        assert "script" not in tags


def test_secrets_of_the_config_stay_out(config: Config) -> None:
    fill(config)
    assert "canary" not in page.render(config)


def test_page_of_nothing_names_what_is_missing(config: Config) -> None:
    text = Page(page.render(config)).text
    for wanted in ("No source has an index.json yet", "No run has a log yet", "No result files yet", "missing: "):
        assert wanted in text


def test_a_stale_result_shows_its_reason_and_no_number(config: Config, configfiles: list[Path], tmp_path: Path) -> None:
    fill(config)
    (tmp_path / "more.yaml").write_text("evaluate: {finetune: {epochs: 3}}\n")
    text = Page(page.render(load_config(*configfiles, tmp_path / "more.yaml"))).text
    assert "measured with other settings" in text
    assert "61.5" not in text


def test_equal_results_give_equal_pages(config: Config, configfiles: list[Path], tmp_path: Path) -> None:
    fill(config)
    target = tmp_path / "report.html"
    arguments = ["report", "--output", str(target), "--configfile", *map(str, configfiles)]
    assert main(arguments) == 0
    before = target.read_bytes()
    assert main(arguments) == 0
    assert target.read_bytes() == before


def test_figures_take_names_that_look_like_formulas() -> None:
    rows = [gather.Attrition(HOSTILE, "train", {"ok": 1, HOSTILE: 2})]
    figure = base64.b64decode(plots.attrition(rows).partition(",")[2]).decode()
    assert "frac{1}$" in figure
    assert ElementTree.fromstring(figure) is not None


def test_a_damaged_log_is_named_beside_the_curves(config: Config) -> None:
    fill(config)
    log = Path(config.results) / "pretrain" / "cpd-r34-stage1" / "metrics.jsonl"
    log.write_text("{not json}\n")
    (curve,) = gather.curves(config)
    assert str(log) in curve.note
    assert str(log) in Page(page.render(config)).text

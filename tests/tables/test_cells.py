"""Cells hold what the files say, and nothing where a file is missing or stale."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from pathlib import Path

import msgspec
import pytest

from cpd import tables
from cpd.cli import main
from cpd.config import Config, load_config
from cpd.errors import CpdError
from cpd.tables import layout, render
from tests.tables.result_files import put, put_all

ROOT = Path(__file__).parent.parent.parent


def cell(config: Config, row: str, column: str) -> tables.Cell:
    return next(c for c in tables.build(config, "table1") if (c.row, c.column) == (row, column))


def test_inputs_are_the_files_of_every_seed_and_split(config: Config) -> None:
    names = [path.relative_to(config.results).as_posix() for path in tables.inputs(config, "table1")]
    assert sorted(names) == sorted(
        [f"eval/{run}/finetune/ucf101-1.json" for run in ("cpd-r34", "cpd-r34@1", "random-r34", "random-r34@1")]
        + [f"eval/{run}/knn/ucf101-{fold}.json" for run in ("cpd-r34", "cpd-r34@1") for fold in (1, 2, 3)]
        + [f"eval/{run}/zeroshot/ucf101-1.json" for run in ("cpd-r34", "cpd-r34@1")]
    )


def test_mean_over_splits_then_seeds(config: Config) -> None:
    put_all(config)
    folds = cell(config, "Cross-pair discrimination", "three folds")
    assert (folds.measured, folds.std, folds.n, folds.seeds) == (
        20.5,
        pytest.approx(statistics.stdev([20, 21])),
        6,
        [0, 1],
    )
    assert len(folds.files) == 6
    assert folds.note == "not published in text"
    first = cell(config, "Cross-pair discrimination", "UCF101 split 1")
    assert (first.published, first.measured, first.n, first.note) == (82.2, 81.0, 10, "")


def test_one_seed_has_no_std(config: Config) -> None:
    put_all(config)
    alone = msgspec.structs.replace(config, seeds=(0,))
    assert cell(alone, "Cross-pair discrimination", "UCF101 split 1").std is None


def put_draws(config: Config, run: str, *, std: float, **more: float) -> None:
    put(config, run, "zeroshot", "1", {"classes": 101, "50": {"top1": 40.0, "std": std, **more}}, n=48)


@pytest.mark.parametrize(
    ("seeds", "shown", "note"),
    [
        ((0,), "40.0 ± 12.5", "± over 10 draws of classes, 20 test items in each on average"),
        ((0, 1), "40.0 ± 0.0", "over 10 draws of classes, ± 10.0 among them, 20 test items in each on average"),
    ],
)
def test_drawn_classes_show_their_deviation_and_the_items_of_a_draw(
    config: Config, seeds: tuple[int, ...], shown: str, note: str
) -> None:
    put_all(config)
    put_draws(config, "cpd-r34", std=12.5, draws=10, share=100 * 20 / 48)
    put_draws(config, "cpd-r34@1", std=7.5, draws=10, share=100 * 24 / 48)
    some = msgspec.structs.replace(config, seeds=seeds)
    drawn = cell(some, "Cross-pair discrimination", "50 classes")
    assert (layout.measured(drawn), drawn.n, drawn.std_draws) == (shown, 20, 12.5 if len(seeds) == 1 else 10.0)
    assert note in drawn.note.split("; ")
    cells = tables.build(some, "table1")
    for text in (to(cells, title="T") for to in (render.to_md, render.to_html)):
        assert shown in text
        assert note in text
    assert note.replace("±", r"$\pm$") in render.to_tex(cells, title="T")
    (line,) = [row for row in csv.DictReader(io.StringIO(render.to_csv(cells))) if note in row["note"]]
    assert (float(line["std_draws"]), line["n"]) == (drawn.std_draws, "20")


def test_draws_of_results_that_do_not_tell_their_items_still_build(config: Config) -> None:
    put_all(config)
    for run in ("cpd-r34", "cpd-r34@1"):
        put_draws(config, run, std=3.0, draws=10)
    drawn = cell(config, "Cross-pair discrimination", "50 classes")
    assert (drawn.measured, drawn.n, drawn.std_draws) == (40.0, None, 3.0)
    assert "how many test items in each is not recorded" in drawn.note


def test_one_draw_has_no_deviation(config: Config) -> None:
    put_all(config)
    put_draws(config, "cpd-r34", std=0.0, draws=1, share=25.0)
    alone = msgspec.structs.replace(config, seeds=(0,))
    drawn = cell(alone, "Cross-pair discrimination", "50 classes")
    assert (layout.measured(drawn), drawn.n, drawn.std_draws) == ("40.0", 12, None)
    assert "over 1 draw of classes, 12 test items" in drawn.note
    assert "±" not in drawn.note


def test_a_missing_file_leaves_the_cell_empty(config: Config) -> None:
    put_all(config)
    gone = next(path for path in tables.inputs(config, "table1") if "@1/knn/ucf101-2" in str(path))
    gone.unlink()
    folds = cell(config, "Cross-pair discrimination", "three folds")
    assert (folds.measured, folds.std, folds.n, folds.seeds, len(folds.files)) == (None, None, None, [], 5)
    assert f"missing: {gone}" in folds.note
    assert layout.measured(folds) == "missing"
    assert any(str(gone) in problem for problem in tables.check(config) if problem.startswith("table1"))


def test_external_rows_and_columns_that_a_row_lacks(config: Config) -> None:
    put_all(config)
    assert "needs a checkpoint" in cell(config, "Ranking loss", "UCF101 split 1").note
    assert cell(config, "Ranking loss", "UCF101 split 1").published == 79.9
    assert cell(config, "Ranking loss", "UCF101 split 1").command == ""
    assert layout.measured(cell(config, "Ranking loss", "UCF101 split 1")) == layout.NONE
    assert "not measured for this row" in cell(config, "Random initialization", "three folds").note


def test_another_corpus_is_not_compared(config: Config) -> None:
    demo = msgspec.structs.replace(config, corpus="demo")
    put_all(demo)
    found = cell(demo, "Cross-pair discrimination", "UCF101 split 1")
    assert "full-size data" in found.note
    assert found.measured == 81


def test_a_subset_of_too_many_classes_is_told_and_is_no_problem(config: Config) -> None:
    put_all(config)
    for run in ("cpd-r34", "cpd-r34@1"):
        put(config, run, "zeroshot", "1", {"classes": 12, "all": {"top1": 9.0}})
    found = cell(config, "Cross-pair discrimination", "50 classes")
    assert found.measured is None
    assert "too few classes: ucf101 has 12" in found.note
    assert not [problem for problem in tables.check(config) if problem.startswith("table1")]


def test_a_metric_that_is_not_there_is_a_problem(config: Config) -> None:
    put_all(config)
    put(config, "cpd-r34", "finetune", "1", {"top5": 9.0})
    assert "no top1 in cpd-r34's finetune" in cell(config, "Cross-pair discrimination", "UCF101 split 1").note
    assert [problem for problem in tables.check(config) if "no top1" in problem]


def test_results_of_other_settings_are_refused(config: Config, configfiles: list[Path], tmp_path: Path) -> None:
    put_all(config)
    (tmp_path / "more.yaml").write_text("evaluate: {knn: {k: 3}}\n")
    edited = load_config(*configfiles, tmp_path / "more.yaml")
    with pytest.raises(CpdError, match=r"knn/ucf101-1\.json: measured with other settings"):
        tables.build(edited, "table1")
    assert [problem for problem in tables.check(edited) if "other settings" in problem]


def test_results_of_mixed_weights_are_refused(config: Config) -> None:
    put_all(config)
    put(config, "cpd-r34", "knn", "2", {"emb": {"top1": 1.0}}, weights="other")
    with pytest.raises(CpdError, match="was not the same as for"):
        tables.build(config, "table1")


def test_a_row_may_have_a_protocol_and_a_metric_of_its_own(
    config: Config, configfiles: list[Path], tmp_path: Path
) -> None:
    put_all(config)
    row = "{name: Cross-pair discrimination, run: cpd-r34, protocol: knn, metric: emb.top1, columns: [UCF101 split 1]}"
    (tmp_path / "more.yaml").write_text(f"tables: {{table1: {{rows: [{row}]}}}}")
    edited = load_config(*configfiles, tmp_path / "more.yaml")
    frozen = cell(edited, "Cross-pair discrimination", "UCF101 split 1")
    assert (frozen.measured, len(frozen.files)) == (10.5, 2)
    assert all("/knn/ucf101-1.json" in file for file in frozen.files)
    assert {path.parent.name for path in tables.inputs(edited, "table1")} == {"knn"}


def test_names_are_checked(configfiles: list[Path], tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(
        "tables: {table1: {rows: [{name: a, run: cpd-r34, columns: [nope]}, {name: a, run: cpd-r50}]}}"
    )
    problems = tables.check_names(load_config(*configfiles, tmp_path / "more.yaml"), "table1")
    assert [p for p in problems if "no column 'nope'" in p]
    assert [p for p in problems if "'a' comes twice" in p]
    assert [p for p in problems if "needs `feature`" in p]


@pytest.mark.parametrize("overlay", [(), ("config.demo.yaml",)])
def test_shipped_tables_are_sound(overlay: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # results of an earlier run must not decide
    config = load_config(ROOT / "config.yaml", *(ROOT / name for name in overlay))
    assert [problem for name in config.tables for problem in tables.check_names(config, name)] == []
    for name, table in config.tables.items():
        assert tables.inputs(config, name)
        assert len(tables.build(config, name)) == len(table.rows) * len(table.columns)


def test_the_demo_s_titles_say_what_the_demo_measures() -> None:
    demo = load_config(ROOT / "config.yaml", ROOT / "config.demo.yaml").tables
    assert not [table.title for table in demo.values() if "Kinetics-400" in table.title]
    shares = [name.partition(" %")[0] for name in dict.fromkeys(c.name for c in demo["table6"].columns)]
    assert re.findall(r"\d+(?=,| and| %)", demo["table6"].title) == list(dict.fromkeys(shares))


def test_the_page_s_example_is_sound(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "tables.md").read_text(), re.DOTALL)
    (tmp_path / "mine.yaml").write_text(block)
    config = load_config(ROOT / "config.yaml", tmp_path / "mine.yaml")
    assert tables.check_names(config, "mine") == []
    names = {path.relative_to(config.results).as_posix() for path in tables.inputs(config, "mine")}
    assert "eval/cpd-r34-tau02/linear/ucf101-1.json" in names
    assert len(names) == 5


def test_every_table_has_its_line_in_the_page() -> None:
    page = (ROOT / "docs" / "tables.md").read_text()
    described = set(re.findall(r"\b(table\d|v3|beyond|rho|control)\b", page.partition("## The tables of")[2]))
    assert described == set(load_config(ROOT / "config.yaml").tables)


def test_command(config: Config, configfiles: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    put_all(config)
    arguments = ["table", "table1", "--configfile", *map(str, configfiles)]
    assert main(arguments) == 0
    assert "81.0 ± 1.4" in capsys.readouterr().out
    folder = Path(config.results) / "tables"
    assert sorted(path.suffix for path in folder.iterdir()) == [".csv", ".html", ".json", ".md", ".tex"]
    rows = json.loads((folder / "table1.json").read_text())
    built = tables.build(config, "table1", configfiles=list(map(str, configfiles)))
    assert rows == [msgspec.to_builtins(c) for c in built]
    assert set(rows[0]) == {
        "table", "row", "column", "published", "measured", "std", "n", "seeds", "note", "files",
        "command", "std_draws",
    }  # fmt: skip
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(arguments) == 0
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


def test_a_built_table_is_copied_into_a_page(
    config: Config, configfiles: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_all(config)
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- table:table1 -->\nwhat stood here\n<!-- end -->\nAfter.\n")
    arguments = ["--configfile", *map(str, configfiles)]
    assert main(["table", "table1", "--into", str(page), *arguments]) != 0, "the table is not built yet"
    assert main(["table", "table1", *arguments]) == 0
    assert main(["table", "table1", "--into", str(page), *arguments]) == 0
    text = page.read_text()
    assert text.startswith("Before.\n<!-- table:table1 -->\n| Row ")
    assert text.endswith("\n<!-- end -->\nAfter.\n")
    assert "what stood here" not in text
    assert "81.0 ± 1.4" in text
    capsys.readouterr()
    page.write_text("No marks.")
    assert main(["table", "table1", "--into", str(page), *arguments]) == 2
    assert "<!-- table:table1 -->" in capsys.readouterr().err
    assert page.read_text() == "No marks."


def test_into_names_the_page_or_the_table_that_is_not_there(
    configfiles: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, arguments = tmp_path / "nofile.md", ["--configfile", *map(str, configfiles)]
    for words, told in (
        (["--into", str(page), "table1"], f"{page}: no such file"),
        (["--into", str(tmp_path), "table1"], f"{tmp_path}: no such file"),
        (["--into", str(page)], "no table is named"),
        (["--into", str(page), "tabel1"], "known: table1"),
    ):
        assert main(["table", *words, *arguments]) == 2
        assert told in capsys.readouterr().err
    assert not page.exists()


def test_check_command_fails_while_something_is_missing(
    config: Config, configfiles: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    put_all(config)
    assert main(["table", "--check", "--configfile", *map(str, configfiles)]) == 1
    assert "table8: Ours R34 / 400 classes: " in capsys.readouterr().err
    assert main(["table", "tabel1", "--configfile", *map(str, configfiles)]) == 2
    assert "table1" in capsys.readouterr().err

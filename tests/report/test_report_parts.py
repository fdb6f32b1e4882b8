"""What the page is told: runs, tables, retrieval, classes, map, cost; and what each says when files are missing."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cpd.config import Config, load_config
from cpd.errors import ConfigError, CpdError
from cpd.evaluate.predictions import predictions_path
from cpd.evaluate.result import model_path
from cpd.report import (
    choose,
    classes,
    content,
    cost,
    curves,
    embedding,
    plots,
    retrieval,
    safe,
    shelf,
    table_view,
    titles,
)
from cpd.report.page import render
from cpd.report.pictures import spread, strip, thumbnail
from tests.report.html_page import Page
from tests.report.report_corpus import HOSTILE, N_TRAIN, N_VAL, config_of, label
from tests.small_corpus import break_video

ROOT = Path(__file__).parent.parent.parent


def test_the_snakefile_may_import_what_chooses_the_inputs() -> None:
    heavy = "{'torch', 'matplotlib', 'pandas', 'av'}"
    code = f"import sys, cpd.report.choose; found = {heavy} & set(sys.modules); sys.exit(str(found) if found else 0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_runs_are_chosen_from_the_tables() -> None:
    for overlay in ([], [ROOT / "config.demo.yaml"]):
        config = load_config(ROOT / "config.yaml", *overlay)
        assert choose.shown(config) == choose.Shown("cpd-r34", "cpd-r34-shuffled")
        assert choose.mapped(config) == [("cpd-r34", "kinetics"), ("cpd-r34-shuffled", "kinetics")]
        named = {row.run for table in config.tables.values() for row in table.rows if row.run}
        assert set(choose.runs(config)) == named


def test_runs_may_be_named(tmp_path: Path) -> None:
    config = config_of(tmp_path, report={"run": "absent@2", "control": "cpd"})
    assert choose.shown(config) == choose.Shown("absent@2", "cpd")
    with pytest.raises(ConfigError, match=r"report\.run: experiments has no 'cdp'\nHint: known: cpd"):
        choose.shown(config_of(tmp_path, report={"run": "cdp"}))


def test_a_study_without_tables_shows_no_run_of_them(tmp_path: Path) -> None:
    config = config_of(tmp_path, tables={}, run=[])
    assert choose.shown(config) == choose.Shown(None, None)
    assert (choose.mapped(config), choose.prediction_files(config)) == ([], [])


def test_declared_inputs_are_all_that_is_read_of_the_data_path(study: Config) -> None:
    assert all(path.is_file() for path in choose.stage_files(study))
    missing = [path for path in choose.prediction_files(study) if not path.is_file()]
    assert not missing


def test_cells_carry_their_origin(study: Config) -> None:
    cells = table_view.read_tables(study)
    results = table_view.read_results(cells)
    table = table_view.view(study, "table1", cells["table1"], results)
    cell = next(row for row in table.rows if row.name == HOSTILE[0]).cells[0]
    (origin,) = cell.origins
    written = json.loads(Path(origin.path).read_text())
    assert cell.text == f"{written['values']['res5']['top1']:.1f}" == "75.0"
    assert written["config_digest"].startswith(origin.config)
    assert written["code_digest"].startswith(origin.code)
    assert next(iter(written["inputs"].values())).startswith(origin.weights)
    assert len(origin.weights) == 12
    assert (origin.run, origin.seed, origin.n, origin.seconds) == ("cpd", 0, N_VAL, 90.0)
    assert all(word in cell.summary for word in (origin.path, origin.weights, origin.config, origin.code, "90 s"))
    assert table_view.measured(study, cells) == (6, 9), "two runs of three columns; one run has nothing"
    assert table.rows[2].note == "not run: needs a <b>checkpoint</b>"
    assert "missing: " in table.rows[3].cells[0].why[0]


def test_published_numbers_have_a_delta_only_on_the_papers_corpus(study: Config) -> None:
    for corpus, wanted in (("demo", ""), ("full", "-54.9")):
        config = config_of(Path(study.results).parent, corpus=corpus)
        cells = table_view.read_tables(config)
        row = table_view.view(config, "table1", cells["table1"], table_view.read_results(cells)).rows[0]
        assert (row.cells[0].published, row.cells[0].text, row.cells[0].delta) == ("79.9", "25.0", wanted)
    config_of(Path(study.results).parent)


def test_drawn_classes_show_the_deviation_over_the_draws(own: Config) -> None:
    path = Path(own.results) / "eval" / "cpd" / "zeroshot" / "acts-test.json"
    written = json.loads(path.read_text())
    written["values"]["3"] = {"top1": 60.0, "std": 12.5, "draws": 4, "share": 25.0, "chance": {"top1": 33.3}}
    path.write_text(json.dumps(written))
    column = {"name": "3 classes", "protocol": "zeroshot", "dataset": "acts", "metric": "3.top1"}
    made = {"title": "T", "columns": [column], "rows": [{"name": "ours", "run": "cpd"}]}
    config = config_of(Path(own.results).parent, tables={"drawn": made})
    cells = table_view.read_tables(config)
    table = table_view.view(config, "drawn", cells["drawn"], table_view.read_results(cells))
    ((cell,),) = [row.cells for row in table.rows]
    told = f"± over 4 draws of classes, {N_VAL // 4} test items in each on average"
    assert (cell.text, table.rows[0].note, table.draws) == ("60.0 ± 12.5", told, True)
    assert "Of drawn classes ± is the standard deviation over the draws." in Page(render(content.gather(config))).text


def test_retrieval_shows_the_first_and_the_worst(study: Config) -> None:
    (found,), problems = retrieval.retrievals(study)
    assert not problems
    assert (found.run, found.control, found.n, found.first) == ("cpd", "shuffled", N_VAL, 9)
    assert [query.rank for query in found.found] == [1] * retrieval.FOUND
    assert [query.rank for query in found.missed] == sorted(found.ranks, reverse=True)[:3]
    assert all(query.hits[0].match == "right" for query in found.found)
    assert not [hit for query in found.missed for hit in query.hits if hit.match == "right"]
    same = [hit for query in found.found for hit in query.hits if hit.match == "same class"]
    assert not same, "classes come again after 8 videos, and only 5 are shown"
    for k, recall in zip(range(1, N_VAL), retrieval.recalls(found.ranks, list(range(1, N_VAL))), strict=True):
        assert recall == pytest.approx(100.0 * sum(rank <= k for rank in found.ranks) / N_VAL)
    assert {query.control_rank for query in found.found} <= set(found.control_ranks)


def test_accuracy_by_class_agrees_with_a_count(study: Config) -> None:
    (linear, zeroshot), problems = classes.by_class(study)
    assert not problems
    assert (linear.protocol, linear.feature, zeroshot.feature) == ("linear", "res5", "all")
    truth = [label(i) for i in range(N_VAL)]
    for score in linear.scores:
        places = [i for i, name in enumerate(truth) if name == score.name]
        assert score.n == len(places)
        assert score.accuracy == pytest.approx(100 * sum(i < 9 for i in places) / len(places))
        assert score.control == pytest.approx(100 * sum(i < 3 for i in places) / len(places))
    assert sum(map(sum, linear.matrix)) == N_VAL
    diagonal = sum(row[i] for i, row in enumerate(linear.matrix))
    assert 100 * diagonal / N_VAL == pytest.approx(linear.accuracy) == 75.0
    assert sum(n for _, _, n in linear.pairs) == N_VAL - 9


def test_of_many_classes_the_best_and_the_worst_are_shown(own: Config) -> None:
    row = next(row for row in choose.predicted(own) if row.protocol == "linear" and row.run == "cpd")
    n = 400
    names = [f"class {i:03d}" for i in range(n)]
    top5 = [[i] if i % 3 else [(i + 1) % n] for i in range(n)]
    made = {"classes": names, "keys": [str(i) for i in range(n)], "labels": list(range(n)), "top5": {"res5": top5}}
    predictions_path(row.path).write_text(json.dumps(made))
    found = classes.by_class(own)[0][0]
    assert (len(found.scores), found.classes, len(found.names), len(found.matrix)) == (40, n, 20, 20)
    assert [score.accuracy for score in found.scores] == [100.0] * 20 + [0.0] * 20
    assert len(found.pairs) == classes.PAIRS


def test_purity_agrees_with_a_slow_count() -> None:
    rng = np.random.default_rng(0)
    emb = rng.normal(size=(40, 5))
    emb /= np.linalg.norm(emb, axis=1, keepdims=True)
    names = [str(i % 3) for i in range(40)]
    hits = 0
    for i in range(40):
        near = sorted((-float(emb[i] @ emb[j]), j) for j in range(40) if j != i)[: embedding.NEIGHBOURS]
        hits += sum(names[j] == names[i] for _, j in near)
    same, chance = embedding.purity(emb, names)
    assert same == pytest.approx(100 * hits / (40 * embedding.NEIGHBOURS))
    pairs = [names[i] == names[j] for i in range(40) for j in range(40) if i != j]
    assert chance == pytest.approx(100 * sum(pairs) / len(pairs))


def test_the_map_is_the_same_twice(study: Config) -> None:
    (first, control), problems = embedding.maps(study)
    assert not problems
    assert (first.run, control.run) == ("cpd", "shuffled")
    assert len(first.xy) == len(first.colour) == N_VAL
    assert all(0 <= value <= 1 for point in first.xy for value in point)
    assert embedding.maps(study)[0][0].xy == first.xy


def test_curves_mark_the_switch(study: Config) -> None:
    found = {curve.run: curve for curve in curves.curves(study)}
    assert set(found) == {"cpd", "shuffled"}
    assert found["cpd"].switches == [2]
    assert found["cpd"].loss == [(0, 9.0), (1, 8.0), (2, 7.0), (3, 6.0)]
    assert found["cpd"].r10[-1] == (3, 60.0)


def test_a_run_that_is_going_on_is_read_from_its_log(own: Config) -> None:
    folder = Path(own.results) / "pretrain" / "absent"
    folder.mkdir()
    rows = [{"event": "epoch", "epoch": 0, "loss": 3.0}, {"event": "epoch", "epoch": 1, "loss": "nan", "stage": 1}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"event": "epo')
    curve = next(curve for curve in curves.curves(own) if curve.run == "absent")
    assert (curve.loss, curve.switches) == ([(0, 3.0)], [1])
    assert curve.note == "absent: 1 values that are not finite are not drawn"
    (folder / "metrics.jsonl").write_text("{not json}\n")
    note = next(curve for curve in curves.curves(own) if curve.run == "absent").note
    assert str(folder / "metrics.jsonl") in note


def test_a_run_on_labels_shows_its_accuracy(own: Config) -> None:
    path = Path(own.results) / "pretrain" / "shuffled" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["validation"] = [{"epoch": 3, "stage": 1, "top1": 41.0}]
    path.write_text(json.dumps(metrics))
    curve = next(curve for curve in curves.curves(own) if curve.run == "shuffled")
    assert (curve.r10, curve.top1) == ([], [(3, 41.0)])
    assert "top-1, %" in plots.experiment([curve], best=60.0)
    assert "top-1" not in plots.experiment([curves.Curve("x", loss=curve.loss)], best=60.0)


def test_cost_adds_up(study: Config) -> None:
    cells = table_view.read_tables(study)
    results = list(table_view.read_results(cells).values())
    found = cost.costs(study, ["cpd", "shuffled", "absent"], results)
    assert [row.run for row in found] == ["cpd", "shuffled"]
    row = found[0]
    assert (row.pretrain, row.features, row.protocols, row.finetune) == (7200.0, 60.0, 270.0, None)
    assert row.total == 7530.0
    assert (row.clips_per_second, row.data_share, row.memory, row.processes) == (12.5, 25.0, 4096.5, 2)
    assert row.starved
    assert not dataclasses.replace(row, data_share=10.0).starved
    assert not dataclasses.replace(row, data_share=None).starved


def test_titles_are_counted(study: Config) -> None:
    (found,) = titles.counts(study)
    assert found.n == N_TRAIN + N_VAL + 2, "of those that were fetched"
    assert found.kept == found.n - 1
    assert found.fallback == 2


def test_shots_by_place_and_by_key(study: Config) -> None:
    rack = shelf.Shelf(study, "pairs", "train")
    assert len(rack) == N_TRAIN
    shot = rack.at(3)
    assert shot.meta["row"] == 3
    assert rack.of(shot.meta["key"]) == shot
    assert thumbnail(shot).still.startswith("data:image/jpeg;base64,")
    picture = strip(shot)
    assert picture.moving.startswith("data:image/webp;base64,")
    assert picture.width == 3 * picture.height
    with pytest.raises(CpdError, match="no sample 00"):
        rack.of("00")
    with pytest.raises(CpdError, match="has no split 'test'"):
        shelf.Shelf(study, "pairs", "test")


def test_a_clip_that_cannot_be_decoded_says_so(own: Config) -> None:
    break_video(own, "pairs", "train", shelf.Shelf(own, "pairs", "train").at(0).meta["key"])
    gallery = titles.galleries(own)[0]
    problems = [example.picture.problem for example in gallery.examples]
    assert problems[0]
    assert not any(problems[1:])


@pytest.mark.parametrize("n", [0, 1, 2, 5, 97, 2000])
@pytest.mark.parametrize("wanted", [1, 3, 20])
def test_samples_are_spread_evenly(n: int, wanted: int) -> None:
    found = spread(n, wanted)
    assert len(found) == min(n, wanted) == len(set(found))
    assert all(0 <= i < n for i in found)
    gaps = np.diff([-found[0] - 1, *found, 2 * n - found[-1] - 1]) if found else np.array([1])
    assert gaps.max() - gaps.min() <= 2, "also the ends are half a gap away"


@pytest.mark.parametrize("title", HOSTILE)
def test_every_text_can_be_shown(title: str) -> None:
    short = safe.shorten(title)
    short.encode()
    assert len(short) <= safe.LONGEST
    assert not any(ord(letter) < 32 for letter in short)


def test_missing_files_are_named_and_the_rest_is_there(own: Config) -> None:
    for path in choose.prediction_files(own):
        path.unlink()
    for path in (Path(own.results) / "features").rglob("*.safetensors"):
        path.unlink()
    found = content.gather(own)
    assert (found.retrievals, found.classes, found.maps) == ([], [], [])
    assert all(
        "predictions.json: no such file" in text for text in found.problems["retrieval"] + found.problems["classes"]
    )
    assert len(found.problems["map"]) == 2
    assert found.measured == (6, 9)


def test_without_the_controls_predictions_the_run_stands_alone(own: Config) -> None:
    for path in choose.prediction_files(own):
        if "shuffled" in path.parts:
            path.unlink()
    (found,), problems = retrieval.retrievals(own)
    assert (found.control, found.control_ranks) == (None, [])
    assert len(problems) == 1
    assert "shuffled/retrieval/acts-test.predictions.json: no such file" in problems[0]
    panels, problems = classes.by_class(own)
    assert len(problems) == len(panels) == 2
    assert all(panel.control is None and score.control is None for panel in panels for score in panel.scores)


def test_predictions_of_other_settings_are_not_shown(own: Config) -> None:
    changed = config_of(Path(own.results).parent, evaluate={"retrieval": {"n": 7}, "linear": {"epochs": 3}})
    found, problems = retrieval.retrievals(changed)
    assert not found
    assert all("measured with other settings than the config's" in problem for problem in problems)
    panels, problems = classes.by_class(changed)
    assert [panel.protocol for panel in panels] == ["zeroshot"]
    assert len(problems) == 2, "the linear probe of either run"


def test_features_of_other_weights_make_no_map(own: Config) -> None:
    model_path(own, "cpd").write_bytes(b"trained again")
    found, problems = embedding.maps(own)
    assert [row.run for row in found] == ["shuffled"]
    assert "not made from" in problems[0]

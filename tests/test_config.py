"""The config refuses what YAML lets through, in one message that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpd import config as c
from cpd.config.reference import reference, schema
from cpd.errors import ConfigError

ROOT = Path(__file__).parent.parent


def overlay(tmp_path: Path, text: str) -> c.Config:
    path = tmp_path / "over.yaml"
    path.write_text(text)
    return c.load_config(ROOT / "config.yaml", path)


def test_shipped_configs_load() -> None:
    paper = c.load_config(ROOT / "config.yaml")
    demo = c.load_config(ROOT / "config.yaml", ROOT / "config.demo.yaml")
    assert paper.demo is None
    assert demo.demo is not None
    assert demo.results == "results/demo"
    assert set(demo.experiments) >= set(demo.run)
    assert {f"table{n}" for n in range(1, 9)} <= set(paper.tables) & set(demo.tables)


def test_every_shipped_experiment_is_valid() -> None:
    config = c.load_config(ROOT / "config.yaml", ROOT / "config.demo.yaml")
    for name in config.experiments:
        assert c.experiment(config, name).encoder in config.encoders


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("crawl: {sleeep: 1}", "did you mean 'sleep'?"),
        ("resuts: x", "did you mean 'results'?"),
        ("defaults: {train: {momentm: 0.9}}", "did you mean 'momentum'?"),
        ("experiments: {mine: {objective: {tua: 0.1}}}", "did you mean 'tau'?"),
        ("run: [cpd-r43]", "did you mean 'cpd-r34'?"),
        ("experiments: {mine: {encoder: distilbrt}}", "did you mean 'distilbert'?"),
        ("evaluate: {linear: {lr: 1e-4}}", "write 1.0e-4"),
        ("evaluate: {linear: {lr: 1E+2}}", "write 1.0e+2"),
        ("evaluate: {linear: {lr: .nan}}", "finite"),
        ("evaluate: {linear: {lr: '0.1'}}", "evaluate.linear.lr"),
        ("results: a\nresults: b", "duplicate key 'results'"),
        ("crawl:\n  sleep: 1\n  sleep: 2", "line 3"),
        ("\tresults: a", "over.yaml"),
        ("- a\n- b", "a config file is a mapping"),
        ("run: !!python/object/apply:os.system [true]", "over.yaml"),
        ("experiments: {mine: {evaluate: {features: {sise: 256}}}}", "did you mean 'size'?"),
        (
            "encoders: {w: {kind: word2vec, path: w.bin}}\n"
            "experiments: {mine: {encoder: w, stages: [{epochs: 1, lr: 0.1, lr_text: 0.1}]}}",
            "encoder 'w' (word2vec) cannot be trained",
        ),
        ("crawl: {retries: -1}", "retries must be 0 or more"),
        ("experiments: {mine: {stages: [{epochs: 0, lr: 0.1}]}}", "epochs must be at least 1"),
        ("experiments: {mine: {objective: {name: cros_pair}}}", "cros_pair"),
        ("experiments: {mine: {objective: {name: none}}}", "stages"),
        ("datasets: {mine: {source: kinetix, train: a, test: b}}", "did you mean 'kinetics'?"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        overlay(tmp_path, text)
    assert wanted in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        c.load_config("nowhere.yaml")


def test_mappings_merge_and_lists_replace(tmp_path: Path) -> None:
    config = overlay(tmp_path, "seeds: [7, 8]\ncrawl: {retries: 9}")
    assert config.seeds == (7, 8)
    assert config.crawl.retries == 9
    assert config.crawl.sleep == 5.0


def test_an_overlay_takes_out_by_null(tmp_path: Path) -> None:
    over = "sources: {lsmdc: null}\nexperiments: {cpd-r34-lsmdc-skip: null}\n"
    (tmp_path / "bad.yaml").write_text(over)
    with pytest.raises(ConfigError, match=r"tables\.table3\.LSMDC.*cpd-r34-lsmdc-skip"):
        c.load_config(ROOT / "config.yaml", ROOT / "config.demo.yaml", tmp_path / "bad.yaml", _with_table3(tmp_path))
    (tmp_path / "over.yaml").write_text(over + "tables: {table3: null}\nrun: [cpd-r34]\n")
    found = c.load_config(ROOT / "config.yaml", tmp_path / "over.yaml")
    assert "lsmdc" not in found.sources
    assert "table3" not in found.tables
    assert set(found.experiments) == set(c.load_config(ROOT / "config.yaml").experiments) - {"cpd-r34-lsmdc-skip"}


def _with_table3(folder: Path) -> Path:
    (folder / "rows.yaml").write_text("tables: {table3: {rows: [{name: LSMDC, run: cpd-r34-lsmdc-skip}]}}\n")
    return folder / "rows.yaml"


def test_an_experiment_has_test_views_of_its_own_beside_what_trains_it(tmp_path: Path) -> None:
    config = overlay(tmp_path, "experiments: {mine: {evaluate: {features: {size: 96}}}, plain: {}}")
    assert c.evaluation(config, "plain") == config.evaluate
    assert c.evaluation(config, "mine").features.size == 96
    assert c.evaluation(config, "mine").features.clips == config.evaluate.features.clips
    assert c.evaluation(config, "mine").finetune == config.evaluate.finetune
    assert c.experiment(config, "mine") == c.experiment(config, "plain"), "another test view must not train again"
    assert c.evaluation(config, "cpd-r50").finetune.test.size == 224


def test_equal_configs_give_equal_text(tmp_path: Path) -> None:
    one = overlay(tmp_path, "experiments: {mine: {heads: {dim: 8, hidden: 4}}}")
    two = overlay(tmp_path, "experiments: {mine: {heads: {hidden: 4, dim: 8}}}")
    assert c.to_json(c.experiment(one, "mine")) == c.to_json(c.experiment(two, "mine"))
    assert c.to_json(c.experiment(one, "mine")) != c.to_json(c.experiment(one, "cpd-r34"))


def test_reference_page_is_fresh() -> None:
    page = (ROOT / "docs" / "config.md").read_text()
    assert page == reference().rstrip() + "\n", "stale: python -m cpd config --reference > docs/config.md"


def test_schema_names_every_key() -> None:
    assert {"sources", "experiments", "tables"} <= set(schema()["$defs"]["Config"]["properties"])

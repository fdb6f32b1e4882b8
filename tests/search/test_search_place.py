"""Which run and which features are meant, and what is said when there are none."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from msgspec.structs import replace

from cpd.config import Config, Experiment, Objective, Validation, ZeroShot
from cpd.errors import CpdError
from cpd.evaluate import features
from cpd.evaluate.zeroshot import class_phrase
from cpd.fileio import read_json, write_json
from cpd.models.checkpoint import read_config
from cpd.search.gallery import open_gallery
from cpd.search.place import Place, find_run, find_split
from tests.search.small_search import open_searcher
from tests.small_corpus import break_video


def hint_of(error: pytest.ExceptionInfo[CpdError]) -> str:
    return error.value.hint


def copied(config: Config, folder: Path) -> Config:
    """The corpus once more, to damage it."""
    shutil.copytree(config.results, folder / "results")
    return msgspec.structs.replace(config, results=str(folder / "results"))


def test_a_run_by_folder_and_by_name(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    results = Path(config.results)
    for run in ("cpd", str(results / "pretrain" / "cpd"), f"{results}/pretrain/cpd/"):
        assert find_run(run, config).folder == results / "pretrain" / "cpd"
    elsewhere = msgspec.structs.replace(config, results="elsewhere")
    place = find_run(str(results / "pretrain" / "cpd"), elsewhere)
    assert place.features("pairs", "val").is_file(), "the results are those of the folder"
    monkeypatch.chdir(results.parent)
    assert find_run("results/pretrain/told", elsewhere).results == Path("results")
    monkeypatch.chdir(results / "pretrain")
    for run in ("cpd", "../pretrain/cpd"):
        assert find_run(run, elsewhere).features("pairs", "val").is_file()
    monkeypatch.chdir(results / "pretrain" / "cpd")
    assert find_run(".", elsewhere).run == "cpd"


def test_a_wrong_name_is_told_the_nearest(config: Config) -> None:
    with pytest.raises(CpdError, match="no finished run") as error:
        find_run("tolds", config)
    assert "did you mean told?" in hint_of(error)
    with pytest.raises(CpdError) as error:
        find_run(f"{config.results}/pretrain/ZZZ", config)
    assert "finished runs: cpd, random, told" in hint_of(error)
    with pytest.raises(CpdError, match="not a run folder"):
        find_run(f"{config.results}/features/cpd", config)


def test_no_run_at_all(config: Config, tmp_path: Path) -> None:
    with pytest.raises(CpdError) as error:
        find_run("cpd", msgspec.structs.replace(config, results=str(tmp_path)))
    assert "cpd pretrain" in hint_of(error)


def split_of(config: Config, run: str, *, validation: str = "pairs", **asked: str | None) -> tuple[str, str]:
    exp = Experiment(objective=Objective(name="none"), validation=Validation(source=validation, split="val"))
    return find_split(find_run(run, config), exp, **({"source": None, "split": None} | asked))


def test_held_out_clips_unless_others_are_asked_for(config: Config) -> None:
    assert split_of(config, "cpd") == ("pairs", "val")
    assert split_of(config, "cpd", source="acts") == ("acts", "all")
    assert split_of(config, "cpd", split="all") == ("acts", "all")
    assert split_of(config, "cpd", validation="nothing") == ("acts", "all"), "the first that is there"


def test_missing_features_come_with_the_commands_that_make_them(config: Config) -> None:
    place, exp = find_run("told", config), Experiment(objective=Objective(name="none"))
    files = [Path("config.yaml"), Path("config.demo.yaml")]
    with pytest.raises(CpdError, match="it has those of pairs-val") as error:
        find_split(place, exp, source="acts", split="all", configfiles=files)
    target = place.features("acts", "all")
    assert f"snakemake --cores all {target} --configfile config.demo.yaml" in hint_of(error)
    wanted = "cpd features --run told --source acts --split all --configfile config.yaml config.demo.yaml"
    assert wanted in hint_of(error)
    with pytest.raises(CpdError) as error:
        find_split(Place(config, "nothing"), exp, source=None, split=None, configfiles=files[:1])
    assert "--split val" in hint_of(error)
    assert "--configfile" not in hint_of(error)


def test_features_of_other_weights_are_refused(config: Config, tmp_path: Path) -> None:
    own = copied(config, tmp_path)
    path = Path(own.results) / "pretrain" / "cpd" / "config.json"
    write_json(path, read_json(path) | {"weights_sha256": "0" * 64})
    with pytest.raises(CpdError, match="not made from"):
        open_gallery(find_run("cpd", own), source="pairs", split="val")


def test_features_of_other_shards_are_refused(config: Config, tmp_path: Path) -> None:
    own = copied(config, tmp_path)
    place = find_run("cpd", own)
    shutil.copy(place.features("acts", "all"), place.features("pairs", "val"))
    with pytest.raises(CpdError, match="32 keys are not in the shards"):
        open_gallery(place, source="pairs", split="val")


def test_a_damaged_clip_is_not_shown(config: Config, tmp_path: Path) -> None:
    own = copied(config, tmp_path)
    gallery = open_gallery(find_run("cpd", own), source="pairs", split="val")
    key = gallery.clips[3].key
    break_video(own, "pairs", "val", key)
    assert gallery.video(2)
    with pytest.raises(CpdError, match=key):
        gallery.video(3)


def test_torn_features_and_missing_shards_are_named(config: Config, tmp_path: Path) -> None:
    own = copied(config, tmp_path)
    place = find_run("cpd", own)
    (Path(own.results) / "sources" / "pairs" / "shards" / "val-0000.tar").unlink()
    with pytest.raises(CpdError, match=r"val-0000\.tar"):
        open_gallery(place, source="pairs", split="val")
    path = place.features("pairs", "val")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CpdError, match=path.name):
        open_gallery(place, source="pairs", split="val")


@pytest.mark.parametrize(("absent", "has_text"), [([], True), (["the text head", "the language model"], False)])
def test_an_imported_run_has_text_where_its_file_had(
    config: Config, tmp_path: Path, absent: list[str], has_text: bool
) -> None:
    own = copied(config, tmp_path)
    place = find_run("random", own)
    assert read_config(place.folder).experiment.objective.name == "none"
    assert not open_gallery(place, source="pairs", split="val").has_text
    write_json(place.folder / "import.json", {"absent": absent})
    gallery = open_gallery(place, source="pairs", split="val")
    assert gallery.has_text is has_text
    found = features.load(place.features("pairs", "val"))
    assert gallery.clip_ND.shape == (found.emb_ND if has_text else found.res5_NF).shape
    assert gallery.clip_ND.norm(dim=1).tolist() == pytest.approx([1.0] * 10, abs=1e-5)


def test_class_names_are_embedded_as_zero_shot_embeds_them(config: Config) -> None:
    prompts = ("a {}", "{} square")
    everywhere = replace(config, evaluate=replace(config.evaluate, zeroshot=ZeroShot(prompts=prompts)))
    own = {"evaluate": {"zeroshot": {"prompts": ["the {}"]}}}
    for name, wanted in (("cpd", ("the {}",)), ("cpd@3", ("the {}",)), ("told", prompts), ("random", prompts)):
        settings = replace(everywhere, experiments=config.experiments | {"cpd": own})
        assert Place(settings, name).prompts == wanted
    with open_searcher(everywhere, "told") as searcher:
        names = searcher.gallery.classes
        slow = [
            sum(searcher.network.sentences([prompt.format(class_phrase(name))])[0] for prompt in prompts)
            for name in names
        ]
        found = searcher.like(0).classes
        cosines = {
            name: float(torch.nn.functional.cosine_similarity(row, searcher.gallery.clip_ND[0], dim=0))
            for name, row in zip(names, slow, strict=True)
        }
        assert {named.name: named.score for named in found} == pytest.approx(
            dict(sorted(cosines.items(), key=lambda item: -item[1])[:5]), abs=1e-5
        )

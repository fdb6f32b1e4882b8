"""Which features train and which test; the commands of the protocols on them, from files to result files."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import torch

from cpd.cli import main
from cpd.config import Config
from cpd.errors import CpdError
from cpd.evaluate import datasets
from cpd.evaluate.features import features_path, load
from cpd.evaluate.predictions import Classified, Retrieved, predictions_path, read_predictions
from cpd.evaluate.result import read_result, result_path
from tests.evaluate.feature_files import CLASSES, put_features, put_model

RUN = "cpd-r34"


def test_folds_divide_one_split(config: Config) -> None:
    put_features(config, RUN, source="ucf101", split="all")
    train, test = datasets.labelled(config, RUN, dataset="ucf101", split="1")
    assert sorted(train.keys + test.keys) == sorted(f"all-{i}" for i in range(24))
    assert [int(key[4:]) % 8 < 4 for key in train.keys] == [True] * 12
    whole = load(features_path(config, RUN, source="ucf101", split="all"))
    assert torch.equal(train.features["emb"], whole.emb_ND[[whole.keys.index(key) for key in train.keys]])
    assert train.labels == [whole.labels[whole.keys.index(key)] for key in train.keys]


def test_without_folds_two_splits(config: Config) -> None:
    put_features(config, RUN, source="kinetics", split="train", n=20)
    put_features(config, RUN, source="kinetics", split="val", n=8)
    train, test = datasets.labelled(config, RUN, dataset="kinetics", split="test")
    assert (len(train), len(test), test.keys[0]) == (20, 8, "val-0")
    path = features_path(config, RUN, source="kinetics", split="train")
    size = train.features["res5"].numel() * 4
    mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(path))]
    spans = [[int(edge, 16) for edge in words[0].split("-")] for words in mapped]
    place = train.features["res5"].data_ptr()
    assert any(low <= place and place + size <= high for low, high in spans), "all rows are the file, not a copy"


def test_items_without_a_label_are_refused_unless_the_config_leaves_them_out(config: Config) -> None:
    put_features(config, RUN, source="kinetics", split="train", n=20, unlabelled=3)
    put_features(config, RUN, source="kinetics", split="val", n=8)
    with pytest.raises(CpdError, match="3 items without a label") as caught:
        datasets.labelled(config, RUN, dataset="kinetics", split="test")
    assert "unlabelled: leave_out" in str(caught.value)
    lenient = msgspec.structs.replace(config.datasets["kinetics"], unlabelled="leave_out")
    config = msgspec.structs.replace(config, datasets={**config.datasets, "kinetics": lenient})
    train, test = datasets.labelled(config, RUN, dataset="kinetics", split="test")
    assert (len(train), len(test), train.keys[0]) == (17, 8, "train-3")


@pytest.mark.parametrize(
    ("dataset", "split", "wanted"),
    [
        ("ucf102", "1", "no 'ucf102'"),
        ("ucf101", "4", "no split '4'"),
        ("ucf101", "test", "no split 'test'"),
        ("kinetics", "val", "no split 'val'"),
        ("kinetics-lowshot", "0.1", "fractions"),
        ("hmdb51", "1", "hmdb51-all.safetensors"),
        ("ucf101", "2", "no items"),
    ],
)
def test_what_is_not_there_is_named(config: Config, dataset: str, split: str, wanted: str) -> None:
    put_features(config, RUN, source="ucf101", split="all")
    with pytest.raises(CpdError, match=wanted):
        datasets.labelled(config, RUN, dataset=dataset, split=split)


def test_features_of_other_weights_are_refused(config: Config) -> None:
    put_features(config, RUN, source="ucf101", split="all")
    put_model(config, RUN, content=b"trained anew")
    with pytest.raises(CpdError, match=r"ucf101-all\.safetensors: not made from"):
        datasets.labelled(config, RUN, dataset="ucf101", split="1")


def test_retrieval_needs_titles(config: Config) -> None:
    put_features(config, RUN, source="ucf101", split="all", text=False)
    with pytest.raises(CpdError, match="no titles"):
        datasets.pairs(config, RUN, dataset="ucf101", split="1", n=4)


@pytest.fixture
def arguments(config: Config, configfiles: list[Path]) -> list[str]:
    put_features(config, RUN, source="kinetics", split="train", n=40)
    put_features(config, RUN, source="kinetics", split="val", n=12)
    return ["--run", RUN, "--dataset", "kinetics", "--configfile", *map(str, configfiles)]


@pytest.mark.parametrize("protocol", ["knn", "linear"])
def test_classification_commands(config: Config, arguments: list[str], protocol: str) -> None:
    assert main([protocol, *arguments]) == 0
    path = result_path(config, RUN, protocol=protocol, dataset="kinetics", split="test")
    result = read_result(path)
    assert result.n == 12
    assert set(result.values["emb"]) == {"top1", "top5", "motion", "way", "chance"}
    assert result.values["emb"]["chance"] == {"top1": 25, "motion": 50, "way": 50}
    assert result.values["emb"]["top1"] > result.values["res5"]["top1"], "res5 is noise here"
    assert sorted(Path(name).name for name in result.inputs) == [
        "kinetics-train.safetensors", "kinetics-val.safetensors", "model.safetensors",
    ]  # fmt: skip
    assert main([protocol, *arguments]) == 0
    again = read_result(path)
    assert again.values == result.values
    told = read_predictions(predictions_path(path))
    assert isinstance(told, Classified)
    assert (told.classes, told.keys) == (sorted(CLASSES), [f"val-{i}" for i in range(12)])
    assert [told.classes[i] for i in told.labels] == [CLASSES[i % 4] for i in range(12)]
    for feature, best in told.top5.items():
        right = sum(row[0] == label for row, label in zip(best, told.labels, strict=True))
        assert result.values[feature]["top1"] == pytest.approx(100 * right / 12)


def test_retrieval_command_takes_the_first_n(config: Config, arguments: list[str]) -> None:
    assert main(["retrieval", *arguments]) == 0
    result = read_result(result_path(config, RUN, protocol="retrieval", dataset="kinetics", split="test"))
    assert result.n == 6
    assert result.values["t2v"]["r1"] == 100
    path = result_path(config, RUN, protocol="retrieval", dataset="kinetics", split="test")
    told = read_predictions(path.with_name("kinetics-test.predictions.json"))
    assert isinstance(told, Retrieved)
    assert told.keys == [f"val-{i}" for i in range(6)]
    assert told.t2v.rank == [1] * 6
    assert [best[0] for best in told.v2t.top5] == list(range(6))


def test_zeroshot_command(config: Config, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Embedder:
        def embed_sentences(self, sentences: list[str]) -> torch.Tensor:
            assert sentences == list(CLASSES)
            return torch.eye(4, 16)

    monkeypatch.setattr("cpd.models.checkpoint.load_embedder", lambda folder: Embedder())
    assert main(["zeroshot", *arguments]) == 0
    result = read_result(result_path(config, RUN, protocol="zeroshot", dataset="kinetics", split="test"))
    assert result.values["all"]["top1"] == 100
    assert set(result.values) == {"classes", "all", "2"}


def test_a_missing_run_is_one_message(configfiles: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["knn", "--run", "cpd-r50", "--dataset", "kinetics", "--configfile", *map(str, configfiles)]) == 2
    assert "kinetics-" in capsys.readouterr().err


def test_config_command(configfiles: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--configfile", *map(str, configfiles)]
    assert main(["config", *files]) == 0
    assert json.loads(capsys.readouterr().out)["evaluate"]["knn"]["k"] == 5
    assert main(["config", "--experiment", "cpd-r50", *files]) == 0
    assert json.loads(capsys.readouterr().out)["backbone"]["depth"] == 50
    assert main(["config", "--check", *files]) == 0
    assert "ok" in capsys.readouterr().out
    assert main(["config", "--experiment", "cpd-r500", *files]) == 2
    assert "cpd-r50" in capsys.readouterr().err

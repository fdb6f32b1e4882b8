"""From videos to result files by the commands, and every number again by other code, from the features file alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

import cpd
from cpd.cli import main
from cpd.evaluate.zeroshot import draw_classes
from tests.small_corpus import write_corpus

pytestmark = pytest.mark.slow
RUN = "cpd"
VIEWS = {"clips": 3, "crops": 1, "frames": 4, "stride": 2, "size": 24}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, its features, and the results of the four protocols."""
    file = write_corpus(tmp_path_factory.mktemp("corpus"))
    config = yaml.safe_load(file.read_text())
    config["evaluate"] |= {"features": VIEWS, "knn": {"k": 5, "vote": "weighted"}, "retrieval": {"n": 10}}
    config["evaluate"] |= {"linear": {"epochs": 300, "lr": 0.03, "step": 200, "batch": 16}}
    config["evaluate"] |= {"zeroshot": {"subsets": [3], "draws": 4}}
    file.write_text(yaml.safe_dump(config))
    words = ["--run", RUN, "--configfile", str(file)]
    assert main(["pretrain", RUN, "--configfile", str(file)]) == 0
    assert main(["features", "--source", "acts", "--split", "all", *words]) == 0
    assert main(["features", "--source", "pairs", "--split", "train", "val", *words]) == 0
    for protocol in ("knn", "linear", "zeroshot"):
        assert main([protocol, "--dataset", "acts", "--split", "1", *words]) == 0
    assert main(["retrieval", "--dataset", "whole", *words]) == 0
    return file.parent / "results"


def read(results: Path, name: str) -> tuple[dict[str, np.ndarray], dict[str, list[Any]]]:
    tensors = load_file(results / "features" / RUN / f"{name}.safetensors")
    return tensors, json.loads(tensors["rows"].tobytes())


def found(results: Path, protocol: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    path = results / "eval" / RUN / protocol / name
    return (
        json.loads(path.with_suffix(".json").read_text())["values"],
        json.loads(path.with_suffix(".predictions.json").read_text()),
    )


def sides(results: Path, feature: str) -> tuple[np.ndarray, list[str], np.ndarray, list[str]]:
    tensors, rows = read(results, "acts-all")
    picked = []
    for side in ("train", "test"):
        index = [i for i, folds in enumerate(rows["folds"]) if folds["1"] == side]
        picked += [tensors[feature][index].astype(np.float64), [rows["labels"][i] for i in index]]
    return tuple(picked)


@pytest.mark.parametrize("feature", ["emb", "res5"])
def test_knn_and_linear_against_scikit_learn(results: Path, feature: str) -> None:
    train, labels, test, truth = sides(results, feature)
    values, told = found(results, "knn", "acts-1")
    twin = KNeighborsClassifier(5, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07))
    predicted = twin.fit(train, labels).predict(test).tolist()
    assert predicted == [told["classes"][best[0]] for best in told["top5"][feature]]
    assert values[feature]["top1"] == pytest.approx(100 * np.mean(np.array(predicted) == np.array(truth)))
    scaler = StandardScaler().fit(train)
    regression = LogisticRegression(C=10, max_iter=3000).fit(scaler.transform(train), labels)
    wanted = regression.predict(scaler.transform(test))
    values, told = found(results, "linear", "acts-1")
    ours = [told["classes"][best[0]] for best in told["top5"][feature]]
    assert values[feature]["top1"] == pytest.approx(100 * np.mean(np.array(ours) == np.array(truth)))
    assert np.mean(wanted == np.array(ours)) >= 0.75, "two regularisations of one problem of 16 points"


def test_zeroshot_against_one_cosine_at_a_time(results: Path) -> None:
    _, _, video, truth = sides(results, "emb")
    _, rows = read(results, "acts-all")
    classes = sorted(set(rows["labels"]))
    text = cpd.load(str(results / "pretrain" / RUN)).embed_sentences(classes).numpy().astype(np.float64)
    cosines = [[v @ t / math.sqrt((v @ v) * (t @ t)) for t in text] for v in video]
    values, told = found(results, "zeroshot", "acts-1")
    assert told["classes"] == classes
    assert [int(np.argmax(row)) for row in cosines] == [best[0] for best in told["top5"]["all"]]
    hits = [classes[int(np.argmax(row))] == label for row, label in zip(cosines, truth, strict=True)]
    assert values["all"]["top1"] == pytest.approx(100 * np.mean(hits))
    scores, shares = [], []
    for draw in range(4):
        drawn = draw_classes(classes, size=3, draw=draw)
        hits = []
        for row, label in zip(cosines, truth, strict=True):
            if label in drawn:
                hits.append(max(drawn, key=lambda name: row[classes.index(name)]) == label)
        if hits:
            scores.append(100 * sum(hits) / len(hits))
            shares.append(100 * len(hits) / len(truth))
    mean = sum(scores) / len(scores)
    assert len(classes) > 3
    assert values["3"]["draws"] == len(scores) > 1
    assert values["3"]["top1"] == pytest.approx(mean)
    assert values["3"]["std"] == pytest.approx(math.sqrt(sum((s - mean) ** 2 for s in scores) / (len(scores) - 1)))
    assert values["3"]["share"] == pytest.approx(sum(shares) / len(shares))
    top5 = [label in [classes[i] for i in np.argsort(row)[-5:]] for row, label in zip(cosines, truth, strict=True)]
    assert values["all"]["top5"] == pytest.approx(100 * np.mean(top5))


def test_retrieval_against_ranks_counted_one_by_one(results: Path) -> None:
    """Titles repeat in this corpus, so that ties stand before the right pair."""
    tensors, rows = read(results, "pairs-val")
    values, told = found(results, "retrieval", "whole-test")
    video, text = tensors["emb"].astype(np.float64), tensors["text_emb"].astype(np.float64)
    assert told["keys"] == rows["keys"]
    for way, queries, gallery in (("t2v", text, video), ("v2t", video, text)):
        ranks = []
        for i, query in enumerate(queries):
            sims = [query @ row / math.sqrt((query @ query) * (row @ row)) for row in gallery]
            ranks.append(sum(sim >= sims[i] - 1e-6 for sim in sims))
            best = told[way]["top5"][i]
            assert [sims[j] for j in best] == pytest.approx(sorted(sims, reverse=True)[:5])
        assert told[way]["rank"] == ranks
        for k in (1, 5, 10):
            assert values[way][f"r{k}"] == pytest.approx(100 * np.mean(np.array(ranks) <= k))
        assert values[way]["median_rank"] == np.median(ranks)

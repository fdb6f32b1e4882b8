"""What `cpd plan` says, beside what a person computes from the config with pencil and paper."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from cpd.cli import main
from cpd.config import Config, experiment, load_config
from cpd.errors import CpdError
from cpd.models.resnet3d import slow_resnet
from cpd.plan import hours, storage
from cpd.plan.build import ExperimentPlan, Plan, build
from cpd.plan.by_table import by_table
from cpd.plan.needs import Request, features_of, needs_of, requests_of
from cpd.plan.show import as_text
from cpd.pretrain.estimate import passes_of

ROOT = Path(__file__).parent.parent.parent
R34, R50 = 11.77e9, 41.7e9  # multiply-adds of a clip of 8 x 112 x 112, and of 8 x 224 x 224 (PAPER section 1)


@pytest.fixture(scope="module")
def paper() -> Config:
    return load_config(ROOT / "config.yaml")


@pytest.fixture(scope="module")
def whole(paper: Config) -> Plan:
    return build(paper)


def one(plan: Plan, name: str) -> ExperimentPlan:
    return next(found for found in plan.experiments if found.experiment == name)


def test_training_hours_by_hand(whole: Plan) -> None:
    per_second = 312e12 * 0.1
    clips = 170 * 246534 * 0.85
    seconds = (clips * 3 + 170 * 1000) * R34 * 2 / per_second  # 1,000 held-out clips after each epoch
    assert one(whole, "cpd-r34-stage1").pretrain_gpu_hours == pytest.approx(seconds / 3600, rel=1e-3)
    both = (250 * 246534 * 0.85 * 3 + 250 * 1000) * R50 * 2 / per_second
    assert one(whole, "cpd-r50").pretrain_gpu_hours == pytest.approx(both / 3600, rel=1e-3)
    assert one(whole, "random-r34").pretrain_gpu_hours == 0


def test_evaluation_hours_by_hand(whole: Plan) -> None:
    """cpd-r34-nce: fine-tuned on UCF101 split 1, features of Kinetics train and val for k-NN and retrieval."""
    tune = 13320 * 0.7 * 3 * 60 * 3 * 2 * R34  # at most 60 epochs at each of three rates; 16 frames instead of 8
    test = 13320 * 0.3 * 30 * 2 * R34
    extract = (246534 + 19906) * 0.85 * 10 * counted(slow_resnet(34), frames=8, size=128)
    seconds = (tune + test + extract) * 2 / (312e12 * 0.1)
    assert one(whole, "cpd-r34-nce").evaluate_gpu_hours == pytest.approx(seconds / 3600, rel=1e-3)


def counted(network: nn.Module, *, frames: int, size: int) -> int:
    """Multiply-adds of a clip, convolution by convolution from the shapes of their outputs."""
    total = 0

    def add(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv3d)
        total += output.numel() * module.in_channels * math.prod(module.kernel_size)

    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.register_forward_hook(add)
    network.to("meta").eval()(torch.empty(1, 3, frames, size, size, device="meta"))
    return total


def test_bytes_by_hand(whole: Plan) -> None:
    found = one(whole, "cpd-r34-stage1")
    pairs = 246534 * 0.85
    assert found.bank_bytes == pytest.approx(2 * 4 * 256 * pairs, rel=1e-4)
    network = sum(p.numel() for p in slow_resnet(34).parameters())
    assert found.weight_bytes == pytest.approx(4 * (network + 512 * 256 + 512 * (768 + 256)), rel=1e-3)
    kept = 2 * (2 * found.weight_bytes + 4 * 66e6 + found.bank_bytes)
    assert found.checkpoint_bytes == pytest.approx(kept, rel=1e-6)
    assert found.feature_bytes == pytest.approx(4 * (512 + 256 + 256) * (246534 + 19906) * 0.85, rel=1e-4)
    trained = one(whole, "cpd-r34")
    assert trained.weight_bytes - found.weight_bytes == 4 * 66_000_000, "the language model is saved, too"


def test_sources_are_counted_once_in_the_total(whole: Plan) -> None:
    kinetics = next(source for source in whole.sources if source.source == "kinetics")
    assert (kinetics.ids, kinetics.downloads) == (266440, 266440)
    assert kinetics.crawl_hours == pytest.approx(266440 / 300)
    assert kinetics.download_bytes == pytest.approx(266440 * 0.85 * 2e6)
    assert whole.total.downloads == 266440
    assert whole.total.crawl_hours == kinetics.crawl_hours
    assert one(whole, "cpd-r34").downloads == one(whole, "ranking-r34").downloads == 266440
    assert one(whole, "cpd-r50-instagram").downloads == 0
    assert whole.total.pretrain_gpu_hours == pytest.approx(sum(e.pretrain_gpu_hours for e in whole.experiments))
    assert whole.total.jobs["crawl"] == 494 + 40 + 119 + 300 + 27 + 14


def test_one_table_is_its_own_runs(paper: Config) -> None:
    plan = build(paper, ["table4"])
    assert [found.experiment for found in plan.experiments] == ["supervised-r50", "imagenet-r50", "cpd-r34", "cpd-r50"]
    assert [source.source for source in plan.sources] == ["kinetics"]
    jobs = plan.total.jobs
    assert (jobs["pretrain"], jobs["knn"], jobs["linear"], jobs["features"], jobs["table"]) == (4, 4, 4, 8, 1)
    assert not {"finetune", "all", "report", "check", "plan_ucf101"} & set(jobs)
    with pytest.raises(CpdError, match="tabel4"):
        build(paper, ["tabel4"])


def test_seeds_multiply_runs_and_no_source(paper: Config) -> None:
    once = build(paper, ["table1"])
    thrice = build(msgspec.structs.replace(paper, seeds=(0, 1, 2)), ["table1"])
    assert thrice.total.jobs["pretrain"] == 3 * once.total.jobs["pretrain"]
    assert thrice.total.pretrain_gpu_hours == pytest.approx(3 * once.total.pretrain_gpu_hours)
    assert thrice.total.evaluate_gpu_hours == pytest.approx(3 * once.total.evaluate_gpu_hours)
    assert thrice.sources == once.sources


def test_which_features_a_protocol_reads(paper: Config) -> None:
    assert features_of(paper, Request("r", "knn", "kinetics", "test")) == [
        ("r", "kinetics", "train"),
        ("r", "kinetics", "val"),
    ]
    assert features_of(paper, Request("r", "retrieval", "kinetics", "test")) == [("r", "kinetics", "val")]
    assert features_of(paper, Request("r", "linear", "ucf101", "2")) == [("r", "ucf101", "all")]
    assert features_of(paper, Request("r", "finetune", "kinetics", "test")) == []
    lowshot = [r for r in requests_of(paper, ["table6"]) if r.split == "0.01"]
    assert {r.dataset for r in lowshot} == {"kinetics-lowshot"}
    assert needs_of(paper, lowshot).sources == ["kinetics"]


def test_folds_and_fractions_share_the_videos(paper: Config) -> None:
    train, test = hours.sides(paper, paper.datasets["ucf101"], split="1")
    assert (train, test) == (pytest.approx(9537, rel=0.03), pytest.approx(3783, rel=0.06)), "UCF101's split 1"
    few, tested = hours.sides(paper, paper.datasets["kinetics-lowshot"], split="0.01")
    assert (few, tested) == (pytest.approx(246534 * 0.85 * 0.01), pytest.approx(19906 * 0.85))


def test_persistency_costs_a_pass_for_every_clip(paper: Config) -> None:
    exp = experiment(paper, "cpd-r34-stage1")
    assert passes_of(exp) == 3
    overlay = {"objective": {"name": "persistency", "rho": {"method": "byol", "clips": 4}}}
    with_rho = msgspec.structs.replace(paper, experiments={**paper.experiments, "rho": overlay})
    assert passes_of(experiment(with_rho, "rho")) == 4 * (3 + 1), "the momentum network looks once, too"


def test_what_has_no_banks_says_so(paper: Config) -> None:
    for name in ("ranking-r34", "cpd-r34-infonce", "supervised-r50", "random-r34"):
        assert storage.banks(paper, experiment(paper, name)) == 0


def test_banks_of_half_the_precision_take_half(paper: Config) -> None:
    half = msgspec.structs.replace(paper, experiments={**paper.experiments, "half": {"objective": {"banks": "bf16"}}})
    whole = storage.banks(paper, experiment(paper, "cpd-r34-stage1"))
    assert 2 * storage.banks(half, experiment(half, "half")) == whole


def test_checkpoints_hold_a_second_network_and_the_queue(paper: Config) -> None:
    head = 2048 * 2048 * 2 + 2048 * 128 + 2 * 2048 + 128  # three layers without batch norm
    network = slow_resnet(50).state_dict().values()
    moco = 4 * (3 * head + 65536 * 128) + sum(tensor.nbytes for tensor in network)
    found = storage.persistency(experiment(paper, "rho-moco-2"))
    assert found == pytest.approx(moco, rel=1e-3)
    assert storage.persistency(experiment(paper, "rho-simclr-2")) < found / 3, "one network"
    assert storage.persistency(experiment(paper, "cpd-r50")) == 0


@pytest.mark.slow
def test_the_cluster_page_says_what_each_table_takes(paper: Config, whole: Plan) -> None:
    told = by_table(paper)
    assert told in (ROOT / "docs" / "cluster.md").read_text(), "stale: python -m cpd plan --by-table"
    rows = {line.split(" | ")[0].strip("| `"): line.split(" | ") for line in told.splitlines()[2:-2]}
    assert list(rows) == [*paper.tables, "all together"]
    four = build(paper, ["table4"]).total
    assert float(rows["table4"][2].replace(",", "")) == pytest.approx(four.pretrain_gpu_hours, rel=5e-3)
    assert rows["all together"][-1] == f"{sum(whole.total.jobs.values()):,} |"


def test_text_names_everything(whole: Plan) -> None:
    text = as_text(whole)
    words = (
        "cpd-r34-stage1",
        "instagram",
        "pretrain",
        "31.2 TFLOP/s",
        "266,440 downloads",
        "GPU-hours",
        "finetune 1, ",
    )
    for word in words:
        assert word in text
    assert "data/skip-thoughts/utable.npy  (cpd-r34-lsmdc-skip, cpd-r34-tree-skip)" in text


def test_command_for_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--configfile", str(ROOT / "config.yaml"), str(ROOT / "config.demo.yaml")]
    assert main(["plan", "--json", "--table", "table1", *files]) == 0
    told = json.loads(capsys.readouterr().out)
    plan = msgspec.convert(told, Plan)
    assert plan.tables == ["table1"]
    assert [found.gpus for found in plan.experiments] == [0] * len(plan.experiments)
    assert not [path for source in plan.sources for path in source.missing]
    seconds = 3600 * one(plan, "cpd-r34-stage1").pretrain_gpu_hours
    assert 10 < seconds < 200, "about 45 s on two cores"

"""The nearest neighbours in chunks against all similarities written out, ties included; and what memory they take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpd.evaluate import neighbours

ROOT = Path(__file__).parents[2]
REAL = {name: getattr(neighbours, name) for name in ("TRAIN_ROWS", "TEST_ROWS", "EXACT_ROWS")}


def slow(train_ND: torch.Tensor, test_QD: torch.Tensor, k: int) -> tuple[list[list[float]], list[list[int]]]:
    """Every similarity by itself, then sorted; of equals the earlier row is nearer."""
    sims, rows = [], []
    for query_D in test_QD.double():
        found = [float((row_D * query_D).sum() / row_D.norm() / query_D.norm()) for row_D in train_ND.double()]
        order = sorted(range(len(found)), key=lambda row: (-found[row], row))[:k]
        sims.append([found[row] for row in order])
        rows.append(order)
    return sims, rows


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> object:
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("TRAIN_ROWS", 7), ("TEST_ROWS", 3), ("EXACT_ROWS", 2)):
            patch.setattr(neighbours, name, size)
        yield


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60), q=st.integers(1, 8), k=st.integers(1, 30), twins=st.integers(1, 5), seed=st.integers(0, 99)
)
def test_agrees_with_every_similarity_written_out(n: int, q: int, k: int, twins: int, seed: int) -> None:
    """Every training item stands there `twins` times, far apart, and some test items are training items."""
    generator = torch.Generator().manual_seed(seed)
    train_ND = (torch.randn(n, 6, generator=generator) * 3).repeat(twins, 1)[torch.randperm(n * twins)]
    test_QD = torch.cat([torch.randn(q, 6, generator=generator), train_ND[:2]])
    sim_Qk, near_Qk = neighbours.nearest(train_ND, test_QD, k=k)
    sims, rows = slow(train_ND, test_QD, k)
    assert near_Qk.tolist() == rows
    torch.testing.assert_close(sim_Qk, torch.tensor(sims, dtype=torch.float64), rtol=0, atol=1e-12)


def test_chunks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    train_ND = torch.randn(90, 16, generator=generator)[torch.randint(60, (200,), generator=generator)]
    test_QD = torch.randn(11, 16, generator=generator)
    cut = neighbours.nearest(train_ND, test_QD, k=25)
    for name in ("TRAIN_ROWS", "TEST_ROWS", "EXACT_ROWS"):
        monkeypatch.setattr(neighbours, name, 1000)
    whole = neighbours.nearest(train_ND, test_QD, k=25)
    assert torch.equal(cut[1], whole[1])
    assert torch.equal(cut[0], whole[0])


def test_halves_are_read_as_they_are() -> None:
    train_ND, test_QD = torch.randn(2, 30, 8).half()
    halves = neighbours.nearest(train_ND, test_QD, k=4)
    wide = neighbours.nearest(train_ND.float(), test_QD.float(), k=4)
    assert torch.equal(halves[1], wide[1])
    assert torch.equal(halves[0], wide[0])


def test_a_row_without_direction_is_far_from_all() -> None:
    train_ND = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    sim_Qk, near_Qk = neighbours.nearest(train_ND, torch.tensor([[2.0, 0.0]]), k=3)
    assert (sim_Qk.tolist(), near_Qk.tolist()) == ([[1, 0, -1]], [[1, 0, 2]])


MEASURED = """
import json, sys, torch
from pathlib import Path
from cpd.evaluate import features, neighbours

def field(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name + ":"))
    return 1024 * int(line.split()[1])

train, test, dim, k = map(int, sys.argv[1:5])
file = sys.argv[5]
torch.set_num_threads(1)
neighbours.nearest(torch.randn(40, dim), torch.randn(4, dim), k=3)  # what the first product allocates for good
Path("/proc/self/clear_refs").write_text("5")
before = field("VmRSS")
found = features.load(file)
neighbours.nearest(found.res5_NF, found.res5_NF[:test], k=k)
print(json.dumps([field("VmHWM") - before, neighbours.memory(train=train, test=test, dim=dim, k=k)]))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from /proc")
def test_memory_stays_below_what_is_promised(tmp_path: Path) -> None:
    """From a mapped file; the whole matrix of similarities alone would take several times as much."""
    from cpd.evaluate.features import Features, save

    train, test, dim, k = 20_000, 6_000, 512, 25
    made = Features(
        emb_ND=torch.empty(train, 0),
        res5_NF=torch.randn(train, dim),
        text_ND=torch.empty(0, 0),
        keys=[""] * train,
        labels=[""] * train,
        titles=[""] * train,
        folds=[{}] * train,
        failed=[],
        provenance={},
    )
    save(tmp_path / "f.safetensors", made)
    size = (tmp_path / "f.safetensors").stat().st_size
    command = [sys.executable, "-c", MEASURED, *map(str, (train, test, dim, k)), str(tmp_path / "f.safetensors")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    held, bound = json.loads(done.stdout)
    rows = 64 * 2**20  # keys, labels and folds as Python objects, and the allocator's slack
    assert held < size + bound + rows, f"{held} {size} {bound}"
    assert size + bound + rows < 4 * train * test / 1.5, "a test that the obvious form would fail, too"


def test_the_papers_size_fits_in_four_gib() -> None:
    train, test, dim = 240_000, 20_000, 2048
    with pytest.MonkeyPatch.context() as patch:
        for name, size in REAL.items():
            patch.setattr(neighbours, name, size)
        held = neighbours.memory(train=train, test=test, dim=dim, k=25)
    mapped = 4 * dim * (train + test)
    assert held + mapped < 3.25 * 2**30, "0.75 GiB are left for torch, keys and votes"

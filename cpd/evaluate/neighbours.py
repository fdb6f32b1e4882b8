"""The k nearest training items of each test item by cosine, exact, in little memory.

Both sides are cut: a chunk of training items is read (from a memory map, say), multiplied as it is with every chunk of
test items, the products are divided by its items' lengths, and it is forgotten; each test item keeps its best
candidates so far. Those, a few more than k, are then compared again in float64, where equal items are equal wherever
they stand in a matrix product; of equals the earlier counts as nearer. (Where more than `SPARE` items are as near as
the k-th up to fp32's rounding, as in a collapsed embedding, which of them are candidates is left to `torch.topk`.)

Memory beside the features themselves: the test items once more in fp32, candidates, and chunks (`memory`).
Shapes: N training items, Q test items, B and C of a chunk, D features, k neighbours, M candidates.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import normalize
from tqdm import tqdm

TRAIN_ROWS = 12_000  # no power of two: rows of the products would share cache lines
TEST_ROWS = 1024
EXACT_ROWS = 8  # whose candidates fit a cache
SPARE = 16  # candidates beyond k
TINY = 1e-12  # length below which a row has no direction


def nearest(train_ND: Tensor, test_QD: Tensor, *, k: int, desc: str = "k-NN") -> tuple[Tensor, Tensor]:
    """The nearest training items of each test item, nearest first.

    Args:
        train_ND: fp32 or fp16, may be a memory map.
        test_QD: fp32 or fp16.
        k: how many; at most N are given.
        desc: for the progress bar.

    Returns:
        Cosines (Q, k) in float64, and rows of `train_ND` (Q, k).
    """
    k = min(k, len(train_ND))
    near_QM = _candidates(train_ND, test_QD, size=min(k + SPARE, len(train_ND)), desc=desc)
    # Results go into tensors that are there already: small ones kept between large ones that come and go would leave
    # the allocator with holes, gigabytes of them at the paper's size.
    sim_Qk, near_Qk = torch.empty(len(test_QD), k, dtype=torch.float64), torch.empty(len(test_QD), k, dtype=torch.int64)
    for begin in range(0, len(test_QD), EXACT_ROWS):
        rows = slice(begin, begin + EXACT_ROWS)
        sim_Qk[rows], near_Qk[rows] = _exact(train_ND, test_QD[rows], near_QM[rows], k=k)
    return sim_Qk, near_Qk


def memory(*, train: int, test: int, dim: int, k: int) -> int:
    """Bytes that `nearest` holds at most beside the features themselves."""
    candidates = min(k + SPARE, train)
    kept = 4 * test * dim + 2 * (4 + 8) * test * candidates
    similarities = 4 * min(TRAIN_ROWS, train) * min(TEST_ROWS, test)
    merged = 4 * (4 + 8) * min(TEST_ROWS, test) * candidates
    return kept + 2 * 4 * min(TRAIN_ROWS, train) * dim + similarities + merged


def _candidates(train_ND: Tensor, test_QD: Tensor, *, size: int, desc: str) -> Tensor:
    """Rows of the `size` most similar training items of each test item by fp32 (Q, M), in no order."""
    test_QD = normalize(test_QD.float(), dim=1)
    sim_QM = torch.full((len(test_QD), size), -torch.inf)
    near_QM = torch.zeros((len(test_QD), size), dtype=torch.int64)
    room = torch.empty(min(TRAIN_ROWS, len(train_ND)) * min(TEST_ROWS, len(test_QD)))
    with tqdm(total=len(train_ND), desc=desc, unit="item", disable=None) as bar:
        for first in range(0, len(train_ND), TRAIN_ROWS):
            train_CD = train_ND[first : first + TRAIN_ROWS].float()
            scale_C = vector_norm(train_CD, dim=1).clamp_min_(TINY).reciprocal_()
            for rows in (slice(begin, begin + TEST_ROWS) for begin in range(0, len(test_QD), TEST_ROWS)):
                sim_BC = _product(test_QD[rows], train_CD, room).mul_(scale_C)
                sim_BM, near_BM = sim_BC.topk(min(size, len(train_CD)), dim=1, sorted=False)
                sim_QM[rows], near_QM[rows] = _merged(sim_QM[rows], near_QM[rows], sim_BM, near_BM + first)
            bar.update(len(train_CD))
    return near_QM


def _product(test_BD: Tensor, train_CD: Tensor, room: Tensor) -> Tensor:
    """test train^T (B, C), written where there is room: memory taken anew comes page by page.

    By numpy: its BLAS is a fifth faster here than torch's on the processor of docs/benchmarks.md.
    """
    shape = len(test_BD), len(train_CD)
    sim_BC = room[: math.prod(shape)].view(shape)
    np.matmul(test_BD.numpy(), train_CD.numpy().T, out=sim_BC.numpy())
    return sim_BC


def _merged(sim_BM: Tensor, near_BM: Tensor, sim_BX: Tensor, near_BX: Tensor) -> tuple[Tensor, Tensor]:
    """The best M of M candidates and X new ones."""
    best = torch.cat([sim_BM, sim_BX], dim=1).topk(sim_BM.shape[1], dim=1, sorted=False)
    return best.values, torch.cat([near_BM, near_BX], dim=1).gather(1, best.indices)


def _exact(train_ND: Tensor, test_BD: Tensor, near_BM: Tensor, *, k: int) -> tuple[Tensor, Tensor]:
    """Cosines (B, k) in float64 of the nearest k candidates, and their rows (B, k); of equals the earlier row first."""
    near_BM = near_BM.sort(dim=1).values
    train_BMD = train_ND.index_select(0, near_BM.flatten()).view(*near_BM.shape, -1).double()
    test_BD = test_BD.double()
    length_BM = train_BMD.norm(dim=2).clamp_min(TINY) * test_BD.norm(dim=1).clamp_min(TINY)[:, None]
    sim_BM = train_BMD.mul_(test_BD[:, None]).sum(dim=2) / length_BM
    best = sim_BM.sort(dim=1, descending=True, stable=True)
    return best.values[:, :k], near_BM.gather(1, best.indices[:, :k])

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cpd.engine.batches import grouped, micro_batches, rank_steps
from cpd.engine.distributed import World


@given(n=st.integers(0, 200), size=st.integers(1, 70))
def test_micro_batches_cover_evenly_and_never_leave_one_alone(n: int, size: int) -> None:
    pieces = micro_batches(range(n), size)
    assert [i for piece in pieces for i in piece] == list(range(n))
    lengths = [len(piece) for piece in pieces]
    assert n < 2 or min(lengths) >= 2
    assert n == 0 or max(lengths) - min(lengths) <= 1
    assert size < 3 or max(lengths, default=0) <= size


@given(n=st.integers(2, 60), ranks=st.integers(1, 5), batch=st.integers(2, 20))
def test_ranks_share_each_global_batch_without_loss(n: int, ranks: int, batch: int) -> None:
    batches = [list(range(low, min(low + batch, n))) for low in range(0, n, batch)]
    parts = [rank_steps(batches, World(rank=rank, size=ranks), size=4) for rank in range(ranks)]
    for step, wanted in enumerate(batches):
        assert [i for part in parts for micro in part[step] for i in micro] == wanted


def test_groups_are_lazy() -> None:
    taken: list[int] = []

    def source():
        for i in range(6):
            taken.append(i)
            yield i

    groups = grouped(source(), [2, 0, 3])
    assert list(next(groups)) == [0, 1]
    assert taken == [0, 1]
    assert list(next(groups)) == []
    assert list(next(groups)) == [2, 3, 4]
    assert next(groups, None) is None

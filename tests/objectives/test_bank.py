import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cpd.errors import CpdError
from cpd.objectives.bank import Bank


def unit(*shape, seed=0):
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return rows / rows.norm(dim=-1, keepdim=True)


def test_begins_with_unit_rows_of_the_seed():
    bank = Bank(20, 8, seed=3)
    torch.testing.assert_close(bank.rows_ND.norm(dim=1), torch.ones(20))
    assert torch.equal(bank.rows_ND, Bank(20, 8, seed=3).rows_ND)
    assert not torch.equal(bank.rows_ND, Bank(20, 8, seed=4).rows_ND)


def test_is_no_module_state():
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.bank = Bank(4, 2, seed=0)

    assert not list(Holder().buffers())
    assert not Holder().state_dict()


@given(
    index=st.lists(st.integers(0, 6), min_size=0, max_size=12),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_update_is_the_slow_one_and_the_last_of_equals_wins(index, momentum, seed):
    bank, features = Bank(7, 4, seed=seed), unit(len(index), 4, seed=seed + 1)
    before, expected = bank.rows_ND.clone(), bank.rows_ND.clone()
    for i, f in zip(index, features, strict=True):
        row = momentum * before[i] + (1 - momentum) * f
        expected[i] = row / row.norm()
    bank.update(torch.tensor(index, dtype=torch.long), features, momentum=momentum)
    torch.testing.assert_close(bank.rows_ND, expected)


def test_a_gathered_update_is_the_sum_of_its_parts():
    whole, parts = Bank(10, 4, seed=0), Bank(10, 4, seed=0)
    index, features = torch.randperm(10, generator=torch.Generator().manual_seed(0)), unit(10, 4, seed=1)
    whole.update(index, features, momentum=0.5)
    parts.update(index[:4], features[:4], momentum=0.5)
    parts.update(index[4:], features[4:], momentum=0.5)
    assert torch.equal(whole.rows_ND, parts.rows_ND)


def test_live_features_leave_no_graph():
    bank = Bank(5, 4, seed=0)
    bank.update(torch.tensor([1]), unit(1, 4).requires_grad_(), momentum=0.5)
    assert not bank.rows_ND.requires_grad


@pytest.mark.parametrize("index", [-1, 5])
def test_an_index_outside_is_refused(index):
    with pytest.raises((IndexError, RuntimeError)):
        Bank(5, 4, seed=0).update(torch.tensor([index]), unit(1, 4), momentum=0.5)


def test_state_goes_through_a_safe_file():
    bank, other, file = Bank(5, 4, seed=0), Bank(5, 4, seed=1), io.BytesIO()
    torch.save(bank.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.rows_ND, bank.rows_ND)


def test_state_of_another_size_is_refused():
    with pytest.raises(CpdError, match=r"\(6, 4\), this run's \(5, 4\)"):
        Bank(5, 4, seed=0).load_state_dict(Bank(6, 4, seed=0).state_dict())

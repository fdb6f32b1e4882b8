import io
import math

import pytest
import torch

from cpd.config import Objective
from cpd.errors import CpdError
from cpd.objectives import cross_pair, pair, self_instance
from cpd.objectives.noise import NoiseSource, derive_seed

N, D = 40, 8
OBJECTIVES = {
    "exact": Objective(name="cross_pair"),
    "nce": Objective(name="cross_pair", estimator="nce", noise=12),
    "nce-ema": Objective(name="cross_pair", estimator="nce", noise=12, log_z="ema"),
    "self_instance": Objective(name="self_instance"),
    "ranking": Objective(name="ranking"),
    "info_nce": Objective(name="info_nce"),
}


def build(name, **over):
    return pair.build(OBJECTIVES[name], **({"n": N, "dim": D, "seed": 0, "device": "cpu"} | over))


def batch(step, size=6):
    generator = torch.Generator().manual_seed(step)
    v, t = torch.nn.functional.normalize(torch.randn(2, size, D, generator=generator), dim=2)
    return v.requires_grad_(), t.requires_grad_(), torch.randperm(N, generator=generator)[:size]


def run(objective, steps):
    losses = []
    for step in steps:
        v, t, index = batch(step)
        losses.append(objective(v, t, index)["loss"].item())
        objective.update(v.detach(), t.detach(), index)
    return losses


@pytest.mark.parametrize("name", OBJECTIVES)
def test_parts_are_scalars_and_only_the_loss_is_live(name):
    v, t, index = batch(0)
    parts = build(name)(v, t, index)
    parts["loss"].backward()
    assert v.grad.abs().sum() > 0
    assert t.grad.abs().sum() > 0
    assert [key for key, part in parts.items() if part.requires_grad] == ["loss"]
    assert all(part.shape == () for part in parts.values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_resuming_is_exact_through_a_safe_file(name):
    straight = run(build(name), range(6))
    objective, file = build(name), io.BytesIO()
    head = run(objective, range(3))
    torch.save(objective.state_dict(), file)
    file.seek(0)
    resumed = build(name, seed=5)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert head + run(resumed, range(3, 6)) == straight


def test_each_direction_meets_the_other_modality_s_bank():
    objective, (v, t, index) = build("exact"), batch(0)
    parts = objective(v, t, index)
    videos, texts = objective.banks.video.rows_ND, objective.banks.text.rows_ND
    assert not torch.equal(videos, texts)
    assert parts["v2t"] == cross_pair.exact_loss(v, texts, index, tau=0.07)
    assert parts["t2v"] == cross_pair.exact_loss(t, videos, index, tau=0.07)
    assert parts["loss"] == parts["v2t"] + parts["t2v"]


def test_update_moves_each_modality_s_own_bank():
    objective, (v, t, index) = build("exact"), batch(0)
    before = objective.banks.text.rows_ND.clone()
    objective.update(v, t, index)
    expected = torch.nn.functional.normalize(0.5 * before[index] + 0.5 * t.detach(), dim=1)
    torch.testing.assert_close(objective.banks.text.rows_ND[index], expected)
    untouched = torch.ones(N, dtype=torch.bool)
    untouched[index] = False
    assert torch.equal(objective.banks.text.rows_ND[untouched], before[untouched])


def test_self_instance_is_equation_2_on_its_banks():
    objective, (v, t, index) = build("self_instance"), batch(0)
    banks = objective.banks
    want = self_instance.loss(v, t, banks.video.rows_ND, banks.text.rows_ND, index, tau=0.07)
    assert objective(v, t, index)["loss"] == want


def test_first_batch_freezes_log_z_and_ema_moves_it():
    frozen, moving = build("nce"), build("nce-ema")
    run(frozen, [0])
    run(moving, [0])
    first = frozen.log_z
    assert moving.log_z == first
    run(frozen, [1, 2])
    run(moving, [1])
    assert frozen.log_z == first
    fresh = build("nce")  # on the banks and the draw that the second step met
    fresh.load_state_dict({**_after_one_step("nce"), "log_z": []})
    v, t, _ = batch(1)
    fresh.noise.next_step()
    new = fresh._estimate(v, t)
    want = [math.log(0.99 * math.exp(old) + 0.01 * math.exp(z)) for old, z in zip(first, new, strict=True)]
    assert moving.log_z == pytest.approx(want, abs=1e-9)


def _after_one_step(name):
    objective = build(name)
    run(objective, [0])
    return objective.state_dict()


def test_ranks_agree_after_updating_with_unequal_batches():
    """Two ranks with 4 and 2 pairs end with one state, that of the gathered batch."""
    one, two = build("nce-ema"), build("nce-ema")
    for step in range(3):
        v, t, index = batch(step)
        one(v[:4], t[:4], index[:4])
        two(v[4:], t[4:], index[4:])
        one.update(v, t, index)
        two.update(v, t, index)
    assert one.log_z == two.log_z
    assert one.noise.state_dict() == two.noise.state_dict()
    assert torch.equal(one.banks.video.rows_ND, two.banks.video.rows_ND)


def test_none_is_never_built():
    with pytest.raises(ValueError, match="never trained"):
        pair.build(Objective(name="none"), n=4, dim=2, seed=0, device="cpu")


def test_a_checkpoint_of_another_objective_is_refused():
    with pytest.raises(CpdError, match="'ranking', this run's is 'cross_pair exact'"):
        build("exact").load_state_dict(build("ranking").state_dict())


def test_noise_is_uniform_differs_by_draw_and_step_and_repeats_by_seed():
    source = NoiseSource(10, seed=1, device="cpu")
    first, second = source.draw(20000), source.draw(20000)
    source.next_step()
    third = source.draw(20000)
    assert not torch.equal(first, second)
    assert not torch.equal(first, third)
    assert torch.equal(first, NoiseSource(10, seed=1, device="cpu").draw(20000))
    counts = torch.bincount(first, minlength=10)
    assert ((counts - 2000).square() / 2000).sum() < 40  # chi-square with 9 degrees of freedom, p about 1e-5


def test_anchors_get_different_uniform_rows_from_one_stream():
    one, two = NoiseSource(50, seed=1, device="cpu"), NoiseSource(50, seed=1, device="cpu")
    a, b = one.draw_for(torch.tensor([3]), 200), two.draw_for(torch.tensor([17]), 200)
    assert not torch.equal(a, b)
    assert a.min() >= 0
    assert a.max() < 50


def test_derived_seeds_differ():
    seeds = {derive_seed(seed, name) for seed in range(50) for name in ("video", "text", "noise")}
    assert len(seeds) == 150

import hashlib
import io
import math
from typing import Any

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
    first, second = source.draw(20000, purpose="v2t"), source.draw(20000, purpose="t2v")
    source.next_step()
    third, other = source.draw(20000, purpose="v2t"), NoiseSource(10, seed=2, device="cpu").draw(20000, purpose="v2t")
    assert all(not torch.equal(first, draw) for draw in (second, third, other))
    assert torch.equal(first, NoiseSource(10, seed=1, device="cpu").draw(20000, purpose="v2t"))
    for draw in (first, second, third, other):
        assert chi_square(draw, 10) < 40  # 9 degrees of freedom, p about 1e-5
    places = NoiseSource(10, seed=1, device="cpu").draw_for(torch.arange(20000), 1, purpose="v2t")
    assert chi_square(places[:, 0], 10) < 40  # one place of neighbouring instances
    assert chi_square(10 * places[:-1, 0] + places[1:, 0], 100) < 180  # and their pairs: 99 degrees, p about 1e-6
    assert chi_square(10 * first[:-1] + first[1:], 100) < 180


def chi_square(draw, n):
    want = len(draw) / n
    return ((torch.bincount(draw, minlength=n) - want).square() / want).sum()


def test_an_anchor_s_noise_does_not_depend_on_its_batch():
    """The same rows in a whole batch, in parts of it, and by a twin in Python's integers."""
    source, index = NoiseSource(10**6 + 3, seed=5, device="cpu"), torch.tensor([7, 0, 10**9, 7])
    source.next_step()
    whole = source.draw_for(index, 9, purpose="t2v")
    parts = [source.draw_for(part, 9, purpose="t2v") for part in (index[2:], index[:2], index[:0])]
    assert torch.equal(whole, torch.cat([parts[1], parts[2], parts[0]]))
    assert torch.equal(whole[0], whole[3])
    start = int.from_bytes(hashlib.blake2b(repr((5, 1, "t2v")).encode(), digest_size=8).digest(), "little")
    for row, instance in zip(whole.tolist(), index.tolist(), strict=True):
        first = splitmix64(start + instance * 0x9E3779B97F4A7C15)
        words = [splitmix64(first + place * 0x9E3779B97F4A7C15) for place in range(1, 10)]
        assert row == [word % 2**63 % (10**6 + 3) for word in words]


def splitmix64(state):
    """As Vigna's splitmix64.c writes it."""
    z = state % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_the_twin_is_splitmix64():
    """The first words for the seed 1234567, as the reference implementation gives them."""
    words = [splitmix64(1234567 + place * 0x9E3779B97F4A7C15) for place in (1, 2, 3)]
    assert words == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("name", ["nce", "nce-ema"])
def test_nce_does_not_depend_on_how_a_batch_is_cut(name):
    """Losses of the first step, too, and Z, of micro-batches of 6, of 4 and 2, and of single pairs."""
    cuts = ([6], [4, 2], [1] * 6)
    objectives = [build(name) for _ in cuts]
    for step in range(3):
        v, t, index = batch(step)
        losses = []
        for objective, sizes in zip(objectives, cuts, strict=True):
            pieces = zip(*(x.split(sizes) for x in (v, t, index)), strict=True)
            losses.append(sum(objective(*piece)["loss"].item() * len(piece[0]) / 6 for piece in pieces))
            objective.update(v, t, index)
        assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
        assert len({objective.log_z for objective in objectives}) == 1


def test_the_first_step_s_z_is_that_of_its_features_in_expectation():
    """Random rows are uniform on the sphere, whose mean of exp(s / tau) is one number for any unit feature."""
    of_banks, of_features = [], []
    for seed in range(40):
        objective: Any = pair.build(Objective(estimator="nce", noise=500), n=2000, dim=16, seed=seed, device="cpu")
        of_banks.append(objective._first_log_z())
        v, t = torch.nn.functional.normalize(torch.ones(2, 1, 16), dim=2)
        of_features.append(objective._estimate(v, t))
    means = [torch.tensor(z).exp().mean() for z in (of_banks, of_features)]
    assert means[0].item() == pytest.approx(means[1].item(), rel=0.1)


def test_anchors_get_different_uniform_rows_from_one_stream():
    one, two = NoiseSource(50, seed=1, device="cpu"), NoiseSource(50, seed=1, device="cpu")
    a, b = (source.draw_for(torch.tensor([i]), 200, purpose="v2t") for source, i in ((one, 3), (two, 17)))
    assert not torch.equal(a, b)
    assert a.min() >= 0
    assert a.max() < 50


def test_derived_seeds_differ():
    seeds = {derive_seed(seed, name) for seed in range(50) for name in ("video", "text", "noise")}
    assert len(seeds) == 150

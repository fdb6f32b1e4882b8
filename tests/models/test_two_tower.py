import pytest
import torch

from cpd.config import Encoder
from cpd.errors import CpdError
from cpd.models.two_tower import TwoTower
from tests.models.small_towers import experiment

TITLES = ["a red ball rolls", "kick", "two dogs"]


def clips(n=3):
    return torch.randn(n, 3, 2, 32, 32, generator=torch.Generator().manual_seed(0))


def test_shapes_and_unit_rows(encoder):
    model = TwoTower(experiment(), encoder)
    f, res5 = model.embed_video(clips())
    t = model.embed_text(torch.randn(3, model.text.dim))
    assert (f.shape, res5.shape, t.shape) == ((3, 8), (3, 32), (3, 8))
    torch.testing.assert_close(f.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(t.norm(dim=1), torch.ones(3))


def test_features_computed_before_equal_live_tokens_of_a_frozen_language_model(encoder):
    model = TwoTower(experiment(), encoder).train()
    tokens = model.text.tokenize(TITLES)
    before = model.text(**tokens)
    live, cached = model(clips(), tokens), model(clips(), before)
    torch.testing.assert_close(live, cached, rtol=0, atol=0)


def test_a_frozen_language_model_stays_in_eval_mode_without_gradient(encoder):
    model = TwoTower(experiment(), encoder).train()
    assert model.video.training
    assert not model.text.training
    sum(part.sum() for part in model(clips(), model.text.tokenize(TITLES))).backward()
    assert all(parameter.grad is None for parameter in model.text.parameters())
    others = [p for name, p in model.named_parameters() if not name.startswith("text.")]
    assert all(parameter.grad is not None for parameter in others)


def test_the_first_stage_decides_and_a_later_one_may_release(encoder):
    assert TwoTower(experiment(lr_text=3e-5), encoder).text_trains
    model = TwoTower(experiment(), encoder).train()
    model.train_language_model(True)
    assert model.text.training
    sum(part.sum() for part in model(clips(), model.text.tokenize(TITLES))).backward()
    assert model.text.letters.weight.grad.abs().sum() > 0
    assert not model.eval().text.training
    model.train_language_model(True)
    assert not model.text.training  # releasing does not leave eval mode


def test_an_untrained_experiment_is_built_frozen(encoder, untrained):
    assert not TwoTower(untrained, encoder).text_trains


def test_a_missing_encoder_is_named(encoder, tmp_path):
    with pytest.raises(CpdError, match="nowhere"):
        TwoTower(experiment(), Encoder(path=str(tmp_path / "nowhere")))

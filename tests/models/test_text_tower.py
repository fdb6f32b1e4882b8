from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from cpd.errors import CpdError
from cpd.models.text_tower import TextTower
from cpd.text.demo_encoder import train_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

TITLES = ["A man throws the red ball", "a dog", "", "how to ride a bike in the park on a rainy day " * 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random DistilBERT with a tokenizer of a few words."""
    from transformers import DistilBertConfig, DistilBertModel

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder")
    tokenizer = train_tokenizer(TITLES)
    config = DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, hidden_dim=64, n_layers=2, n_heads=2, max_position_embeddings=40
    )
    DistilBertModel(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def tower(folder: Path) -> TextTower:
    return TextTower.from_path(folder, max_tokens=16).eval()


def test_the_feature_is_the_mean_of_the_tokens_of_the_mask(tower: TextTower) -> None:
    tokens = tower.tokenize(TITLES)
    states = tower.encoder(**tokens).last_hidden_state
    for row, mask in enumerate(tokens["attention_mask"]):
        kept = [states[row, t] for t in range(len(mask)) if mask[t]]
        torch.testing.assert_close(tower(**tokens)[row], torch.stack(kept).mean(0))


def test_padding_changes_nothing(tower: TextTower) -> None:
    """Defect (d) of the authors' code: without the mask, padded and unpadded titles differ."""
    alone = torch.cat([tower(**tower.tokenize([title])) for title in TITLES])
    together = tower(**tower.tokenize(TITLES))
    cosine = torch.nn.functional.cosine_similarity(alone, together)
    assert (1 - cosine).abs().max() < 1e-6
    tokens = tower.tokenize(TITLES)
    unmasked = tower(**{**tokens, "attention_mask": torch.ones_like(tokens["attention_mask"])})
    assert torch.nn.functional.cosine_similarity(alone, unmasked)[1] < 0.999


def test_titles_are_truncated_and_the_mask_is_always_there(tower: TextTower, folder: Path) -> None:
    tokens = tower.tokenize(TITLES)
    assert set(tokens) == {"input_ids", "attention_mask"}
    assert tokens["input_ids"].shape == (4, 16)
    assert TextTower.from_path(folder, max_tokens=9999).tokenize(TITLES)["input_ids"].shape == (4, 38)
    assert TextTower.from_path(folder, max_tokens=9999).max_tokens == 40


def test_encode_keeps_the_order_whatever_the_batch(tower: TextTower) -> None:
    tower.train()
    one = tower.encode(TITLES, batch_size=1)
    assert tower.training
    assert tower.dim == 32
    assert one.shape == (4, 32)
    assert not one.requires_grad
    torch.testing.assert_close(tower.encode(TITLES, batch_size=3), one)
    torch.testing.assert_close(one[1:2], tower.eval()(**tower.tokenize(["a dog"])))
    assert tower.encode([], batch_size=2).shape == (0, 32)


def test_empty_titles_give_numbers(tower: TextTower) -> None:
    assert torch.isfinite(tower.encode(["", " "], batch_size=2)).all()
    tower.tokenizer.backend_tokenizer.post_processor = None  # a tokenizer without special tokens
    assert tower.tokenizer.num_special_tokens_to_add() == 0
    assert torch.isfinite(tower.encode(["", "a dog"], batch_size=2)).all()


def test_gradients_reach_the_encoder(tower: TextTower) -> None:
    tower(**tower.tokenize(TITLES)).square().sum().backward()
    weights = [p for p in tower.encoder.parameters() if p.requires_grad]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in weights)


def test_a_missing_or_broken_encoder_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(CpdError, match="nowhere") as caught:
        TextTower.from_path(tmp_path / "nowhere", max_tokens=16)
    assert "hf download" in caught.value.hint
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(CpdError, match=str(tmp_path)):
        TextTower.from_path(tmp_path, max_tokens=16)


def test_the_authors_way_without_a_mask_is_there_for_their_weights(folder: Path, tower: TextTower) -> None:
    """Defect (d): padded to the full length and unmasked, but the mean over the title's own tokens."""
    theirs = TextTower.from_path(folder, max_tokens=16, unmasked=True).eval()
    tokens = theirs.tokenize(["a dog"])
    assert tokens["input_ids"].shape == (1, 16)
    states = tower.encoder(tokens["input_ids"])[0][0]
    kept = int(tokens["attention_mask"].sum())
    torch.testing.assert_close(theirs.encode(["a dog"])[0], states[:kept].mean(0))
    assert not torch.allclose(theirs.encode(["a dog"]), tower.encode(["a dog"]), atol=1e-4)


def test_bert_goes_the_same_way(folder: Path, tmp_path: Path) -> None:
    """BERT takes token types, too, and its pooler (trained on another task) is not used."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sizes = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    bert = TextTower.from_path(tmp_path, max_tokens=16).eval()
    tokens = bert.tokenize(TITLES)
    states = bert.encoder(**tokens).last_hidden_state
    weight = tokens["attention_mask"][:, :, None]
    torch.testing.assert_close(bert.encode(TITLES), (states * weight).sum(1) / weight.sum(1))
    assert bert.dim == 24

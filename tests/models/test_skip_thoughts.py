from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from cpd.config import Encoder
from cpd.errors import CpdError
from cpd.models import encoders
from cpd.models.skip_thoughts import FILES, SkipThoughts
from tests.models.published_files import (
    BI,
    UNI,
    WIDTH,
    WORDS,
    combine_skip,
    write_python2_objects,
    write_skip_thoughts,
    write_word2vec,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "skip"


def row(*words: str) -> list[int]:
    return [WORDS.index(word) for word in words]


def test_sentences_are_what_the_published_code_computes(folder: Path) -> None:
    arrays = write_skip_thoughts(folder)
    tower = encoders.build(Encoder(path=str(folder), kind="skip_thoughts"))
    expected = [
        combine_skip(arrays, row("a", "red", "ball", ".", "<eos>")),
        combine_skip(arrays, row("Dog", "do", "n't", "UNK", "<eos>")),
        combine_skip(arrays, row("<eos>")),
        combine_skip(arrays, row("dog", "jumps", "high", "UNK", "UNK", "a", "<eos>")),
    ]
    found = tower.encode(["a red ball.", "Dog don't swim", "", "dog jumps high, very a"], batch_size=3)
    assert tower.dim == UNI + 2 * BI
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=2e-6)


def test_titles_are_cut_and_still_end(folder: Path) -> None:
    arrays = write_skip_thoughts(folder)
    tower = SkipThoughts(folder, max_tokens=3)
    expected = combine_skip(arrays, row("a", "red", "<eos>"))
    np.testing.assert_allclose(tower.encode(["a red ball"])[0].numpy(), expected, atol=2e-6)


def test_words_and_signs_as_the_treebank_cuts_them() -> None:
    split = SkipThoughts.split
    assert split("It's Dog's ball; they're high!") == [
        "It", "'s", "Dog", "'s", "ball", ";", "they", "'re", "high", "!",
    ]  # fmt: skip
    assert split("Can't stop, won’t stop... 3.5 well-known") == [
        "Ca", "n't", "stop", ",", "wo", "n’t", "stop", "...", "3.5", "well-known",
    ]  # fmt: skip


def test_other_words_are_expanded_from_word2vec(folder: Path, tmp_path: Path) -> None:
    """Section 2.2 of Skip-Thoughts: where the tables are a linear map of word2vec, a new word gets its image."""
    rng = np.random.default_rng(1)
    words = [*WORDS, *(f"w{i}" for i in range(20))]
    write_skip_thoughts(folder, words=words)
    vectors = {word: rng.normal(size=3).astype(np.float32) for word in [*words[2:], "zebra"]}
    map_u, offset = rng.normal(size=(3, WIDTH)), rng.normal(size=WIDTH)
    image = {word: (vector @ map_u + offset).astype(np.float32) for word, vector in vectors.items()}
    table = np.stack([image.get(word, np.zeros(WIDTH, np.float32)) for word in words])
    np.save(folder / "utable.npy", table)
    file = write_word2vec(tmp_path / "w2v.bin", vectors, binary=True)
    tower = encoders.build(Encoder(path=str(folder), kind="skip_thoughts", vectors=str(file)))
    assert isinstance(tower, SkipThoughts)
    np.testing.assert_allclose(tower.input_vectors("zebra")[0], image["zebra"], atol=1e-4)
    np.testing.assert_array_equal(tower.input_vectors("a")[0], table[2])
    np.testing.assert_array_equal(tower.input_vectors("unheard")[0], table[0])
    plain = SkipThoughts(folder, max_tokens=8)
    assert not torch.allclose(tower.encode(["a zebra"]), plain.encode(["a zebra"]))


def test_too_few_shared_words_teach_no_map(folder: Path, tmp_path: Path) -> None:
    write_skip_thoughts(folder)
    file = write_word2vec(tmp_path / "w2v.bin", {"chien": np.zeros(3)}, binary=True)
    with pytest.raises(CpdError, match="shares 0 words"):
        SkipThoughts(folder, max_tokens=8, vectors=file)


def test_it_stays_frozen_and_tables_stay_out_of_the_state(folder: Path) -> None:
    write_skip_thoughts(folder)
    tower = SkipThoughts(folder, max_tokens=8)
    assert not tower.trainable
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    assert {name.split(".")[0] for name in tower.state_dict()} == {"uni", "bi", "fingerprint"}
    assert isinstance(tower.utable, np.memmap)


def test_a_state_of_other_files_is_refused(folder: Path, tmp_path: Path) -> None:
    write_skip_thoughts(folder)
    saved = SkipThoughts(folder, max_tokens=8).state_dict()
    (folder / "dictionary.txt").write_text("".join(f"{word}\n" for word in [*WORDS[:2], *WORDS[:1:-1]]))
    with pytest.raises(CpdError, match="not the encoder files"):
        SkipThoughts(folder, max_tokens=8).load_state_dict(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    write_skip_thoughts(folder)
    (folder / name).unlink()
    with pytest.raises(CpdError, match=name):
        SkipThoughts(folder, max_tokens=8)


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_torn_file_is_named(folder: Path, name: str, share: float) -> None:
    write_skip_thoughts(folder)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CpdError, match=name):
        SkipThoughts(folder, max_tokens=8)


def test_files_of_different_sets_are_refused(folder: Path) -> None:
    write_skip_thoughts(folder)
    (folder / "dictionary.txt").write_text("UNK\n<eos>\n")
    with pytest.raises(CpdError, match=r"utable.npy.*instead of 2 rows"):
        SkipThoughts(folder, max_tokens=8)
    write_skip_thoughts(folder, words=["one", "two"])
    with pytest.raises(CpdError, match="UNK"):
        SkipThoughts(folder, max_tokens=8)
    write_skip_thoughts(folder)
    np.save(folder / "utable.npy", np.zeros((len(WORDS), WIDTH + 1), np.float32))
    with pytest.raises(CpdError, match=r"uni_skip.npz: takes 5 values a word, the table has 6"):
        SkipThoughts(folder, max_tokens=8)
    write_skip_thoughts(folder)
    arrays = dict(np.load(folder / "bi_skip.npz"))
    del arrays["encoder_r_Ux"]
    np.savez(folder / "bi_skip.npz", **arrays)
    with pytest.raises(CpdError, match="lacks encoder_r_Ux"):
        SkipThoughts(folder, max_tokens=8)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_hostile_table_is_refused_and_not_run(folder: Path, tmp_path: Path) -> None:
    """Fault 72, for tables: an array of objects may hold any pickle."""
    write_skip_thoughts(folder)
    write_python2_objects(folder / "btable.npy", [Evil(tmp_path / "PWNED")] * len(WORDS))
    with pytest.raises(CpdError, match=r"btable.npy: not a table"):
        SkipThoughts(folder, max_tokens=8)
    assert not (tmp_path / "PWNED").exists()
    pickle.loads(pickle.dumps(Evil(tmp_path / "PWNED")))
    assert (tmp_path / "PWNED").exists()  # the pickle does work where it is let

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from cpd.config import Encoder
from cpd.engine import optim
from cpd.engine.distributed import World
from cpd.errors import CpdError
from cpd.models import encoders
from cpd.models.checkpoint import load_embedder, save_run
from cpd.models.two_tower import TwoTower
from cpd.models.word_vectors import read_vectors
from cpd.pretrain.titles import Titles
from tests.models.published_files import write_word2vec
from tests.models.small_towers import experiment

VECTORS = {
    "ball": np.array([1.0, 2.0, -3.5]),
    "red": np.array([0.25, 0.0, 1e-3]),
    "</s>": np.array([9.0, 9.0, 9.0]),
    "Dog": np.array([5.0, -5.0, 0.5]),
    "dog": np.array([4.0, -4.0, 0.0]),
    "café": np.array([7.0, 7.0, 7.0]),
}


@pytest.mark.parametrize(("binary", "newline"), [(True, b"\n"), (True, b""), (False, b"")])
@pytest.mark.parametrize("limit", [None, 2])
def test_every_vector_is_read(tmp_path: Path, binary: bool, newline: bytes, limit: int | None) -> None:
    path = write_word2vec(tmp_path / "vectors", VECTORS, binary=binary, newline=newline)
    found = read_vectors(path, limit=limit)
    kept = list(VECTORS)[:limit]
    assert list(found.place) == kept
    assert found.dim == 3
    for word in kept:
        np.testing.assert_array_equal(found[word], VECTORS[word].astype(np.float32))


def test_binary_vectors_that_look_like_text_are_binary(tmp_path: Path) -> None:
    """Bytes of a float may be digits and blanks."""
    looks = np.frombuffer(b"1 2 3 4 5 6\n", "<f4")
    path = write_word2vec(tmp_path / "vectors", {"a": looks, "b": looks}, binary=True)
    np.testing.assert_array_equal(read_vectors(path)["b"], looks)


@pytest.mark.parametrize("binary", [True, False])
def test_a_cut_or_overlong_file_is_refused(tmp_path: Path, binary: bool) -> None:
    whole = write_word2vec(tmp_path / "whole", VECTORS, binary=binary).read_bytes()
    path = tmp_path / "vectors"
    for cut in (len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:cut])
        with pytest.raises(CpdError, match="vectors"):
            read_vectors(path)
    path.write_bytes(whole + b"x 1 2 3\n")
    with pytest.raises(CpdError, match="more than"):
        read_vectors(path)


@pytest.mark.parametrize("content", [b"", b"the 0.1 0.2 0.3\n", b"3\n", b"0 3\n", b"2 9999999\n", b"-1 3\n"])
def test_a_file_without_word2vec_s_header_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "glove.txt").write_bytes(content)
    with pytest.raises(CpdError, match=r"glove.txt"):
        read_vectors(tmp_path / "glove.txt")


def test_missing_gzipped_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CpdError, match="no such file"):
        read_vectors(tmp_path / "nowhere.bin")
    (tmp_path / "v.bin.gz").write_bytes(gzip.compress(b"1 3\n"))
    with pytest.raises(CpdError, match="gzipped"):
        read_vectors(tmp_path / "v.bin.gz")
    (tmp_path / "v.txt").write_text("2 2\na 1 2\nb 1 x\n")
    with pytest.raises(CpdError, match=r"v.txt:3"):
        read_vectors(tmp_path / "v.txt")


def test_of_equal_words_the_first_counts(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("3 1\na 1\na 2\nb 3\n")
    with pytest.warns(UserWarning, match="1 words are there twice"):
        found = read_vectors(tmp_path / "v.txt")
    assert (found["a"][0], found["b"][0], len(found)) == (1, 3, 2)


@pytest.mark.parametrize(("binary", "limit"), [(True, None), (True, 900), (False, None), (False, 900), (False, 1500)])
def test_many_words_some_of_them_twice(tmp_path: Path, binary: bool, limit: int | None) -> None:
    """More than gensim reads at once; bit for bit, whatever the words' bytes."""
    words = [b"w%d" % number for number in range(2000)]
    words[5], words[800], words[1000] = b"caf\xc3", words[3], words[4]
    rows_ND = np.random.default_rng(0).standard_normal((2000, 40)).astype("<f4")
    entries = [row.tobytes() if binary else " ".join(map(repr, row.tolist())).encode() for row in rows_ND]
    lines = [word + b" " + entry + b"\n" for word, entry in zip(words, entries, strict=True)]
    (tmp_path / "vectors").write_bytes(b"2000 40\n" + b"".join(lines))
    with pytest.warns(UserWarning, match="words are there twice"):
        found = read_vectors(tmp_path / "vectors", limit=limit)
    first = {word.decode("utf-8", "surrogateescape"): row for row, word in reversed(list(enumerate(words[:limit])))}
    assert set(found.place) == set(first)
    for word, row in first.items():
        assert found[word].tobytes() == rows_ND[row].tobytes()


def test_what_gensim_cannot_read_says_what_to_do(tmp_path: Path) -> None:
    """A binary file longer than gensim reads at once, with words twice before `limit`."""
    line = b"".join(b"w%d " % (number % 1900) + bytes(160) for number in [*range(700), *range(1300)])
    (tmp_path / "v.bin").write_bytes(b"2000 40\n" + line)
    with pytest.raises(CpdError, match="ends before its 1500 words") as error:
        read_vectors(tmp_path / "v.bin", limit=1500)
    assert "leave out `limit`" in (error.value.hint or "")


def test_a_line_with_one_number_is_no_vector_of_equal_numbers(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("2 3\na 1 2 3\nb 5\n")
    with pytest.raises(CpdError, match=r"v.txt:3: not a word and 3 numbers"):
        read_vectors(tmp_path / "v.txt")


def test_a_binary_file_with_more_words_than_its_header_says(tmp_path: Path) -> None:
    path = write_word2vec(tmp_path / "v.bin", VECTORS, binary=True)
    path.write_bytes(path.read_bytes().replace(b"6 3\n", b"5 3\n"))
    with pytest.raises(CpdError, match="more than its header says"):
        read_vectors(path)


def test_nothing_is_unpacked(tmp_path: Path) -> None:
    path = write_word2vec(tmp_path / "v.bin.xz", VECTORS, binary=True)
    with pytest.raises(CpdError, match="packed") as error:
        read_vectors(path)
    assert "name it .bin" in (error.value.hint or "")


@pytest.fixture
def file(tmp_path: Path) -> Encoder:
    path = write_word2vec(tmp_path / "w2v.bin", VECTORS, binary=True)
    return Encoder(path=str(path), kind="word2vec", max_tokens=3)


def test_a_title_is_the_mean_of_its_words(file: Encoder) -> None:
    """A word's own case first, then its lower case; the rest is left out; unknown titles are zero, and counted."""
    tower = encoders.build(file)
    titles = ["Dog, RED BALL!", "the dog of the", "ball ball red Dog dog", "Ünknown 123", "", "café"]
    expected = [
        (VECTORS["Dog"] + VECTORS["red"] + VECTORS["ball"]) / 3,
        VECTORS["dog"],
        (2 * VECTORS["ball"] + VECTORS["red"]) / 3,
        np.zeros(3),
        np.zeros(3),
        VECTORS["café"],
    ]
    with pytest.warns(UserWarning, match="2 of 6 titles have no word"):
        found = tower.encode(titles, batch_size=2)
    torch.testing.assert_close(found, torch.tensor(np.stack(expected), dtype=torch.float32))
    torch.testing.assert_close(tower(**tower.tokenize(titles)), found)
    assert tower.encode([]).shape == (0, 3)


def test_features_are_computed_once_and_go_to_the_heads(file: Encoder) -> None:
    model = TwoTower(experiment(), file).train()
    titles = Titles(["a red ball", "Dog", "a red ball"], model, World())
    titles.freeze()
    once = titles(torch.tensor([2, 1]))
    torch.testing.assert_close(once, model.text.encode(["a red ball", "Dog"]))
    optimizer = optim.build(
        "sgd",
        {"rest": model.text_head.parameters(), "text": model.text.parameters()},
        weight_decay=0.0,
        momentum=0.9,
    )
    model.embed_text(once).sum().backward()
    optimizer.step()


def test_a_stage_that_would_train_it_is_an_error(file: Encoder) -> None:
    with pytest.raises(CpdError, match="word2vec, which stays frozen, but a stage has lr_text"):
        TwoTower(experiment(lr_text=1e-4), file)


def test_a_run_goes_with_its_word_vectors_and_no_others(file: Encoder, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = TwoTower(experiment(), file).eval()
    save_run(tmp_path / "run", model, experiment(), file)
    expected = model.embed_text(model.text.encode(["a red ball"]))
    torch.testing.assert_close(load_embedder(tmp_path / "run").embed_sentences(["a red ball"]), expected)
    write_word2vec(Path(file.path), VECTORS | {"ball": np.zeros(3)}, binary=True)
    with pytest.raises(CpdError, match="not the one this run was trained with"):
        load_embedder(tmp_path / "run")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "glove"},
        {"max_tokens": 0},
        {"limit": 5},
        {"kind": "word2vec", "vectors": "x"},
        {"kind": "word2vec", "limit": 0},
        {"kind": "word2vec", "unmasked": True},
    ],
)
def test_keys_that_do_not_fit_the_kind_are_refused(wrong: dict[str, object]) -> None:
    import msgspec

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"path": "x"} | wrong, Encoder)

"""Skip-Thoughts, combine-skip: 4800 values of a sentence from the files that its authors published.

Kiros et al., "Skip-Thought Vectors" (2015): a uni-directional GRU of 2400 and a bi-directional one of 2 x 1200, each
half L2-normalised. The paper's LSMDC rows use it. The files are a dictionary.txt with one word a line, utable.npy and
btable.npy with its rows of input vectors, and uni_skip.npz and bi_skip.npz with the GRUs as Theano laid them out.

Shapes: V words, D values of an input vector (620), H hidden units, B sentences, T words of a sentence, E = 4800.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pack_padded_sequence

from cpd.errors import CpdError
from cpd.models.npy import open_table, read_arrays
from cpd.models.sentence_tower import FrozenTower
from cpd.models.word_vectors import WordVectors, read_vectors, stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[Any]

FILES = ("dictionary.txt", "utable.npy", "btable.npy", "uni_skip.npz", "bi_skip.npz")
UNKNOWN, END = "UNK", "<eos>"
PARTS = ("W", "b", "U", "Wx", "bx", "Ux")
# As NLTK's Penn Treebank tokenizer, which the published code used, does with plain sentences: contractions are cut
# before the apostrophe ("do n't", "it 's"), and every sign stands alone.
TOKEN = re.compile(r"\w+(?=n['’]t\b)|n['’]t\b|['’](?:s|m|d|ll|re|ve)\b|\w+(?:[-.]\w+)*|\.\.\.|[^\w\s]", re.IGNORECASE)
ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Expansion:
    """A linear map from word2vec's space to a table's: how words outside the dictionary get an input vector.

    Attributes:
        vectors: of the words.
        uni, bi: (word2vec's width + 1, D) each; the last row is the offset.
    """

    vectors: WordVectors
    uni: Matrix
    bi: Matrix


class SkipThoughts(FrozenTower):
    """The combine-skip encoder; a title ends with `<eos>`, as its authors advise where the full stop is missing."""

    dim: int

    def __init__(self, folder: Path, *, max_tokens: int, vectors: Path | None = None, limit: int | None = None) -> None:
        """Load the folder; `vectors` names a word2vec file for words outside the dictionary.

        Raises:
            CpdError: a file is missing, or does not fit the others.
        """
        _require_files(folder)
        super().__init__([folder / name for name in FILES] + ([vectors] if vectors else []))
        self.max_tokens = max_tokens
        self.words = _read_words(folder / "dictionary.txt")
        self.utable = open_table(folder / "utable.npy", rows=len(self.words))
        self.btable = open_table(folder / "btable.npy", rows=len(self.words))
        self.uni = _gru(folder / "uni_skip.npz", self.utable.shape[1], bidirectional=False)
        self.bi = _gru(folder / "bi_skip.npz", self.btable.shape[1], bidirectional=True)
        self.dim = self.uni.hidden_size + 2 * self.bi.hidden_size
        self.place = {word: row for row, word in enumerate(self.words)}  # the last of equal words, as published
        self.expansion = None if vectors is None else self._expand(read_vectors(vectors, limit=limit))
        for word in (UNKNOWN, END):
            if word not in self.place:
                raise CpdError(f"{folder / 'dictionary.txt'}: has no {word!r}", hint="it is not the published file")

    def tokenize(self, titles: list[str]) -> dict[str, Tensor]:
        """Input vectors `uni` and `bi` (B, T, D), and `attention_mask` (B, T)."""
        sentences = [[*self.split(title)[: self.max_tokens - 1], END] for title in titles]
        longest = max(map(len, sentences), default=1)
        uni = np.zeros((len(titles), longest, self.utable.shape[1]), np.float32)
        bi = np.zeros((len(titles), longest, self.btable.shape[1]), np.float32)
        mask_BT = torch.zeros(len(titles), longest, dtype=torch.int64)
        for row, words in enumerate(sentences):
            mask_BT[row, : len(words)] = 1
            for column, word in enumerate(words):
                uni[row, column], bi[row, column] = self.input_vectors(word)
        return {"uni": torch.from_numpy(uni), "bi": torch.from_numpy(bi), "attention_mask": mask_BT}

    @staticmethod
    def split(title: str) -> list[str]:
        """Words and signs of a title, in its case."""
        return TOKEN.findall(title)

    def input_vectors(self, word: str) -> tuple[Matrix, Matrix]:
        """A word's rows of both tables: its own, the expanded ones, or those of `UNK`."""
        row, expansion = self.place.get(word), self.expansion
        if row is None and expansion is not None and word in expansion.vectors:
            known = np.append(expansion.vectors[word], 1.0)
            return known @ expansion.uni, known @ expansion.bi
        row = self.place[UNKNOWN] if row is None else row
        return self.utable[row], self.btable[row]

    def forward(self, uni: Tensor, bi: Tensor, attention_mask: Tensor) -> Tensor:
        """Tokens of `tokenize` to features (B, E): [uni-skip | bi-skip forward | bi-skip backward]."""
        lengths_B = attention_mask.sum(1).cpu()
        last_1BH = self.uni(pack_padded_sequence(uni, lengths_B, batch_first=True, enforce_sorted=False))[1]
        both_2BH = self.bi(pack_padded_sequence(bi, lengths_B, batch_first=True, enforce_sorted=False))[1]
        halves = normalize(last_1BH[0], dim=1), normalize(torch.cat([both_2BH[0], both_2BH[1]], dim=1), dim=1)
        return torch.cat(halves, dim=1)

    def _expand(self, vectors: WordVectors) -> Expansion:
        shared = [word for word in self.place if word in vectors and word not in (UNKNOWN, END)]
        if len(shared) <= vectors.dim:
            raise CpdError(
                f"{vectors.path}: shares {len(shared)} words with the dictionary, too few to learn a map from",
                hint=f"it needs more than {vectors.dim}; is it of the same language and case?",
            )
        uni, bi = (_linear_map(vectors, shared, self.place, table) for table in (self.utable, self.btable))
        return Expansion(vectors, uni, bi)


def _linear_map(vectors: WordVectors, shared: Sequence[str], place: dict[str, int], table: Matrix) -> Matrix:
    """Least squares from [word2vec | 1] to the table's rows (section 2.2), by its normal equations, block by block."""
    width = vectors.dim + 1
    left, right = np.zeros((width, width)), np.zeros((width, table.shape[1]))
    for start in range(0, len(shared), ROWS_AT_ONCE):
        words = shared[start : start + ROWS_AT_ONCE]
        known = np.hstack([stack(vectors, words), np.ones((len(words), 1))]).astype(np.float64)
        left += known.T @ known
        right += known.T @ np.stack([table[place[word]] for word in words])
    solved: Matrix = np.linalg.lstsq(left, right, rcond=None)[0].astype(np.float32)
    return solved


def _require_files(folder: Path) -> None:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CpdError(
            f"{folder}: Skip-Thoughts' {', '.join(missing)} missing",
            hint=f"put the published files {', '.join(FILES)} there (github.com/ryankiros/skip-thoughts names them)",
        )


def _read_words(path: Path) -> list[str]:
    try:
        # Words end at newlines alone: str.splitlines would cut at Unicode's separators, too.
        return [line.strip() for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")]
    except UnicodeDecodeError as error:
        raise CpdError(f"{path}: not UTF-8: {error}", hint="fetch the file again") from None


def _gru(path: Path, width: int, *, bidirectional: bool) -> nn.GRU:
    """A GRU of torch with Theano's weights.

    Theano's W and U hold [reset | update] side by side, input x 2H, and Wx, Ux the candidate. Its reset gate applies
    to h Ux as torch's does, and its candidate has no second bias: torch's b_hn is 0.
    """
    prefixes = {"encoder": "", "encoder_r": "_reverse"} if bidirectional else {"encoder": ""}
    names = [f"{prefix}_{part}" for prefix in prefixes for part in PARTS]
    arrays = read_arrays(path, names)
    hidden = arrays["encoder_Ux"].shape[0]
    if arrays["encoder_Wx"].shape[0] != width:
        raise CpdError(f"{path}: takes {arrays['encoder_Wx'].shape[0]} values a word, the table has {width}")
    gru = nn.GRU(width, hidden, batch_first=True, bidirectional=bidirectional)
    state = {f"{n}_l0{end}": v for prefix, end in prefixes.items() for n, v in _gates(arrays, prefix).items()}
    try:
        gru.load_state_dict(state)
    except RuntimeError as error:
        raise CpdError(f"{path}: its arrays do not fit one another: {error}", hint="fetch the file again") from None
    return gru.requires_grad_(False)


def _gates(arrays: dict[str, Matrix], prefix: str) -> dict[str, Tensor]:
    def joined(first: str, second: str) -> Tensor:
        parts = [np.ascontiguousarray(arrays[f"{prefix}_{n}"].T, dtype=np.float32) for n in (first, second)]
        return torch.from_numpy(np.concatenate(parts))

    bias = joined("b", "bx")
    weights = {"weight_ih": joined("W", "Wx"), "weight_hh": joined("U", "Ux")}
    return {**weights, "bias_ih": bias, "bias_hh": torch.zeros_like(bias)}

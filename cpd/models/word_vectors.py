"""Word vectors in word2vec's binary and text formats (Mikolov et al. 2013; word2vec.c, `-binary 1` and `0`).

Both begin with a line `WORDS DIM`. Text has a word and DIM numbers a line. Binary has a word, a blank and DIM
little-endian float32 for each word; the C tool ends each with a newline, other writers do not. Read strictly: what
does not fit the header is an error, since a reader that lost its place would go on with noise. Nothing is unpickled.

Shapes: D values of a vector.
"""

from __future__ import annotations

import mmap
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

LONGEST_WORD = 4096  # bytes
MOST_VALUES = 100_000
FLOAT = 4  # bytes


@dataclass(frozen=True)
class WordVectors:
    """Vectors by word; those of a binary file stay on the disk until they are asked for.

    Attributes:
        path: the file.
        dim: D.
        place: word -> where its vector begins: a byte of `data` (binary), or a row of `rows` (text).
    """

    path: Path
    dim: int
    place: dict[str, int]
    data: mmap.mmap | None = None
    rows: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.place)

    def __contains__(self, word: str) -> bool:
        return word in self.place

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        """The vector (D,) of a word, a copy.

        Raises:
            KeyError: the file has no such word.
        """
        at = self.place[word]
        if self.rows is not None:
            return np.array(self.rows[at])
        assert self.data is not None
        vector: NDArray[np.float32] = np.frombuffer(self.data, "<f4", self.dim, at).astype(np.float32)
        return vector


def read_vectors(path: str | Path, *, limit: int | None = None) -> WordVectors:
    """Read the file's words; the first one counts where a word is there twice (a warning tells how many were).

    Args:
        path: a file in word2vec's binary or text format; which one shows by itself.
        limit: read only the first `limit` words.

    Raises:
        CpdError: no such file, no header, a word or vector is cut off, bytes are left over, or a number is no number.
    """
    path = Path(path)
    if not path.is_file():
        raise CpdError(f"{path}: no such file", hint="give a file in word2vec's binary or text format, unpacked")
    with path.open("rb") as handle:
        if handle.read(2) == b"\x1f\x8b":
            raise CpdError(f"{path}: gzipped", hint="unpack it with `gunzip`: its vectors are read in place")
        handle.seek(0)
        words, dim = _header(handle.readline(LONGEST_WORD), path)
        start = handle.tell()
        binary = not _is_text(handle.readline(MOST_VALUES * 32), dim)
        data = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    wanted = words if limit is None else min(limit, words)
    read = _read_binary if binary else _read_text
    found = read(path, data, start, wanted, dim, whole=wanted == words)
    if len(found) < wanted:
        warnings.warn(f"{path}: {wanted - len(found)} words are there twice; the first counts", stacklevel=2)
    return found


def _header(line: bytes, path: Path) -> tuple[int, int]:
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or not line.endswith(b"\n"):
        raise CpdError(f"{path}: its first line is not `WORDS DIM`", hint="word2vec's formats begin so; GloVe's do not")
    words, dim = int(parts[0]), int(parts[1])
    if words < 1 or not 1 <= dim <= MOST_VALUES:
        raise CpdError(f"{path}: {words} words of {dim} values", hint="the header is damaged")
    return words, dim


def _is_text(line: bytes, dim: int) -> bool:
    """Whether a line is a word and `dim` numbers in ASCII."""
    numbers = line.split()[1:]
    return len(numbers) == dim and all(_is_number(number) for number in numbers)


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_binary(path: Path, data: mmap.mmap, start: int, words: int, dim: int, *, whole: bool) -> WordVectors:
    place: dict[str, int] = {}
    at, size, end = start, dim * FLOAT, len(data)
    for number in range(words):
        blank = data.find(b" ", at, min(at + LONGEST_WORD, end))
        if blank < 0 or blank + 1 + size > end:
            raise CpdError(f"{path}: ends in word {number + 1} of {words}", hint="fetch the file again: it is cut off")
        word = data[at:blank].lstrip(b"\n")
        # Undecodable bytes (words cut inside a letter) become words that no title has.
        place.setdefault(word.decode("utf-8", "surrogateescape"), blank + 1)
        at = blank + 1 + size
    if whole and data[at:].strip(b"\n"):
        raise CpdError(f"{path}: {end - at} bytes more than its header says", hint="the header is damaged")
    return WordVectors(path, dim, place, data=data)


def _read_text(path: Path, data: mmap.mmap, start: int, words: int, dim: int, *, whole: bool) -> WordVectors:
    place: dict[str, int] = {}
    rows = np.empty((words, dim), np.float32)
    data.seek(start)
    for number in range(words):
        word, *values = data.readline().rsplit(maxsplit=dim) or [b""]
        if len(values) != dim:
            raise CpdError(f"{path}:{number + 2}: not a word and {dim} numbers", hint="the file is cut off or damaged")
        try:
            rows[number] = [float(value) for value in values]
        except ValueError as error:
            raise CpdError(f"{path}:{number + 2}: {error}", hint="the file is damaged") from None
        place.setdefault(word.decode("utf-8", "surrogateescape"), number)
    if whole and data.read().strip():
        raise CpdError(f"{path}: has more than {words} lines", hint="the header is damaged")
    return WordVectors(path, dim, place, rows=rows)


def stack(vectors: WordVectors, words: Iterable[str]) -> NDArray[np.float32]:
    """The vectors of words that are all there, (words, D)."""
    return np.stack([vectors[word] for word in words])

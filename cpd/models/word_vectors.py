"""Word vectors in word2vec's binary and text formats (Mikolov et al. 2013; word2vec.c, `-binary 1` and `0`).

gensim reads them. It fills what does not fit the header without a word (a line with one number alone fills its row)
and leaves what stands behind the last vector, so the file is held against its header here, before and after: a reader
that lost its place would go on with noise. Nothing is unpickled.

Every vector that is read lies in memory: 4 D bytes and about 150 of the word, 4.1 GB for the 3,000,000 x 300 of
GoogleNews; `limit` bounds it.

Shapes: N words, D values of a vector.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

LONGEST_WORD = 4096  # bytes
MOST_VALUES = 100_000
FLOAT = 4  # bytes
PACKED = (".gz", ".bz2", ".xz", ".zst")  # gensim unpacks what is named so
SLOW = 100_000  # words; more get a progress bar


@dataclass(frozen=True)
class WordVectors:
    """Vectors by word.

    Attributes:
        path: the file.
        dim: D.
        place: word -> row of `rows`, in the file's order.
        rows: the vectors (N, D).
    """

    path: Path
    dim: int
    place: dict[str, int]
    rows: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.place)

    def __contains__(self, word: str) -> bool:
        return word in self.place

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        """The vector (D,) of a word, a copy.

        Raises:
            KeyError: the file has no such word.
        """
        return np.array(self.rows[self.place[word]])


@dataclass(frozen=True)
class Layout:
    """What the first two lines tell: N and D of the header, where the vectors begin, and which format it is."""

    words: int
    dim: int
    start: int
    binary: bool


def read_vectors(path: str | Path, *, limit: int | None = None) -> WordVectors:
    """Read the file; the first one counts where a word is there twice (a warning tells how many were).

    Args:
        path: a file in word2vec's binary or text format; which one shows by itself.
        limit: read only the first `limit` words.

    Raises:
        CpdError: no such file, no header, a word or vector is cut off, bytes are left over, or a number is no number;
            or the vectors do not fit into memory.
    """
    path = Path(path).absolute()  # a path, and no address of anything else
    layout = _layout(path)
    wanted = layout.words if limit is None else min(limit, layout.words)
    whole = wanted == layout.words
    if not layout.binary:
        _check_lines(path, layout, wanted, whole=whole)
    elif path.stat().st_size < layout.start + wanted * (layout.dim * FLOAT + 1):
        raise CpdError(f"{path}: too short for {wanted} vectors", hint="fetch the file again: it is cut off")
    found = _read(path, layout, wanted)
    if layout.binary and whole:
        _check_end(found, layout)
    if len(found) < wanted:
        warnings.warn(f"{path}: {wanted - len(found)} words are there twice; the first counts", stacklevel=2)
    return found


def _layout(path: Path) -> Layout:
    if not path.is_file():
        raise CpdError(f"{path}: no such file", hint="give a file in word2vec's binary or text format, unpacked")
    with path.open("rb") as handle:
        if handle.read(2) == b"\x1f\x8b" or path.suffix.lower() in PACKED:
            how = "unpack it with `gunzip` or its like, and name it .bin or .txt"
            raise CpdError(f"{path}: gzipped or packed otherwise, or named so", hint=how)
        handle.seek(0)
        words, dim = _header(handle.readline(LONGEST_WORD), path)
        start = handle.tell()
        return Layout(words, dim, start, binary=not _is_text(handle.readline(MOST_VALUES * 32), dim))


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


def _check_lines(path: Path, layout: Layout, wanted: int, *, whole: bool) -> None:
    """Every line of a text file has a word and D fields with one blank between, and no line is left over."""
    with path.open("rb") as handle:
        handle.seek(layout.start)
        for number in range(wanted):
            if handle.readline().rstrip().count(b" ") != layout.dim:
                what = f"{path}:{number + 2}: not a word and {layout.dim} numbers with one blank between"
                raise CpdError(what, hint="the file is cut off or damaged")
        if whole and handle.read().strip():
            raise CpdError(f"{path}: has more than {wanted} lines", hint="the header is damaged")


def _read(path: Path, layout: Layout, wanted: int) -> WordVectors:
    """As gensim reads it; undecodable bytes (words cut inside a letter) become words that no title has."""
    quiet = True if wanted < SLOW else None  # None: where there is no terminal
    with tqdm(total=wanted, desc=path.name, unit="word", disable=quiet) as bar, _gensim_in_silence():
        kind = _reader(bar)
        try:
            found = kind.load_word2vec_format(
                str(path), binary=layout.binary, unicode_errors="surrogateescape", limit=wanted
            )
        except EOFError:
            # gensim takes words beyond a limit where some are there twice, and then misses the end.
            twice = "; or words are there twice: leave out `limit`" if wanted < layout.words else ""
            what = f"{path}: ends before its {wanted} words do"
            raise CpdError(what, hint=f"fetch the file again: it is cut off{twice}") from None
        except ValueError as error:
            raise CpdError(_no_number(path, layout) or f"{path}: {error}", hint="the file is damaged") from None
        except MemoryError as error:
            raise CpdError(f"{path}: {error}", hint="give the encoder a `limit`: the first words are enough") from None
    return WordVectors(path, layout.dim, found.key_to_index, found.vectors)


@contextmanager
def _gensim_in_silence() -> Iterator[None]:
    """Without a line for every word that is there twice: one warning counts them."""
    logger = logging.getLogger("gensim")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _reader(bar: tqdm[Any]) -> Any:
    """gensim's KeyedVectors; every word that it takes moves the bar."""
    from gensim.models import KeyedVectors  # seconds: it brings scipy

    class Counted(KeyedVectors):  # type: ignore[misc]  # gensim has no types
        def add_vector(self, key: str, vector: Any) -> Any:
            bar.update()
            return super().add_vector(key, vector)

    return Counted


def _no_number(path: Path, layout: Layout) -> str:
    """Which line of a text file has a field that is no number; "" where none has."""
    with path.open("rb") as handle:
        handle.seek(layout.start)
        for number, line in enumerate(handle, start=2):
            for text in line.split()[1:]:
                if not _is_number(text):
                    return f"{path}:{number}: {text[:40]!r} is no number"
    return ""


def _check_end(found: WordVectors, layout: Layout) -> None:
    """Nothing but newlines is left of a binary file: after every vector (perhaps not the last), or after the last."""
    entry = 1 + layout.dim * FLOAT
    used = sum(len(word.encode("utf-8", "surrogateescape")) + entry for word in found.place)
    left, twice = found.path.stat().st_size - layout.start - used, layout.words - len(found)
    newlines = {0, 1, layout.words - 1, layout.words}
    # How long the words were that are there twice is not known: they bound what is left, and no more.
    fits = left <= layout.words + twice * (entry + LONGEST_WORD) if twice else left in newlines
    if not fits:
        raise CpdError(f"{found.path}: {left} bytes more than its header says", hint="the header is damaged")


def stack(vectors: WordVectors, words: Iterable[str]) -> NDArray[np.float32]:
    """The vectors of words that are all there, (words, D)."""
    return np.stack([vectors[word] for word in words])

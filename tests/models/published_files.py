"""Small files in the formats of the published encoders, and what they must give, written out slowly."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

WORDS = ["UNK", "<eos>", "a", "red", "ball", "dog", "Dog", "do", "n't", "jumps", "high", "."]
WIDTH, UNI, BI = 5, 8, 4


def write_skip_thoughts(folder: Path, *, words: list[str] | None = None) -> dict[str, dict[str, np.ndarray]]:
    """dictionary.txt, utable.npy (numbers), btable.npy (objects, as Python 2 left them), uni_skip.npz, bi_skip.npz."""
    words = WORDS if words is None else words
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dictionary.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    rng = np.random.default_rng(0)
    utable, btable = (rng.normal(size=(len(words), WIDTH)).astype(np.float32) for _ in range(2))
    np.save(folder / "utable.npy", utable)
    rows = np.empty(len(words), dtype=object)
    rows[:] = list(btable)
    write_python2_objects(folder / "btable.npy", rows)
    uni, bi = gru_arrays(rng, UNI, ["encoder"]), gru_arrays(rng, BI, ["encoder", "encoder_r"])
    np.savez(folder / "uni_skip.npz", **uni)
    np.savez(folder / "bi_skip.npz", **bi)
    return {"tables": {"u": utable, "b": btable}, "uni": uni, "bi": bi}


def write_python2_objects(path: Path, rows: object) -> None:
    """An object array as numpy under Python 2 wrote it: pickle protocol 2, numpy's old module names."""
    import pickle

    array = np.asarray(rows, dtype=object)
    with path.open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, np.lib.format.header_data_from_array_1_0(array))
        handle.write(pickle.dumps(rows, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def gru_arrays(rng: np.random.Generator, hidden: int, prefixes: list[str]) -> dict[str, np.ndarray]:
    shapes = {
        "W": (WIDTH, 2 * hidden),
        "b": (2 * hidden,),
        "U": (hidden, 2 * hidden),
        "Wx": (WIDTH, hidden),
        "bx": (hidden,),
        "Ux": (hidden, hidden),
    }
    return {f"{p}_{n}": rng.normal(size=shape).astype(np.float32) for p in prefixes for n, shape in shapes.items()}


def theano_gru(p: dict[str, np.ndarray], prefix: str, inputs: np.ndarray) -> np.ndarray:
    """The last state, step by step, as the published Theano code computes it."""
    state = np.zeros(p[f"{prefix}_Ux"].shape[0])
    half = len(state)
    for x in inputs.astype(np.float64):
        gates = 1 / (1 + np.exp(-(state @ p[f"{prefix}_U"] + x @ p[f"{prefix}_W"] + p[f"{prefix}_b"])))
        reset, update = gates[:half], gates[half:]
        new = np.tanh((state @ p[f"{prefix}_Ux"]) * reset + x @ p[f"{prefix}_Wx"] + p[f"{prefix}_bx"])
        state = update * state + (1 - update) * new
    return state


def combine_skip(arrays: dict[str, dict[str, np.ndarray]], rows: list[int]) -> np.ndarray:
    """[uni | bi forward | bi backward], each half of unit length, of a sentence given as rows of the tables."""
    u, b = arrays["tables"]["u"][rows], arrays["tables"]["b"][rows]
    uni = theano_gru(arrays["uni"], "encoder", u)
    bi = np.concatenate([theano_gru(arrays["bi"], "encoder", b), theano_gru(arrays["bi"], "encoder_r", b[::-1])])
    return np.concatenate([uni / np.linalg.norm(uni), bi / np.linalg.norm(bi)])


def write_word2vec(path: Path, vectors: dict[str, np.ndarray], *, binary: bool, newline: bytes = b"\n") -> Path:
    """A file as word2vec.c writes it; others leave out the newline after a binary vector."""
    width = len(next(iter(vectors.values())))
    with path.open("wb") as handle:
        handle.write(f"{len(vectors)} {width}\n".encode())
        for word, vector in vectors.items():
            if binary:
                handle.write(word.encode() + b" " + struct.pack(f"<{width}f", *vector) + newline)
            else:
                handle.write(f"{word} {' '.join(repr(float(v)) for v in vector)}\n".encode())
    return path

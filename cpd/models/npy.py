"""Arrays that others published as .npy and .npz, read without running what a pickle may hold.

Python 2 wrote some tables as arrays of objects: pickles. Those are read by an unpickler that knows numpy's array and
dtype, and nothing else.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Matrix = NDArray[Any]

AGAIN = "fetch the file again"


def _latin1(text: str, codec: str) -> bytes:
    """How pickles of protocol 2 hold bytes."""
    if codec != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {codec!r}")
    return text.encode("latin1")


_NUMPY = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_ALLOWED: dict[str, Any] = {
    "_reconstruct": np.empty(0).__reduce__()[0],
    "scalar": np.float32(0).__reduce__()[0],
    "ndarray": np.ndarray,
    "dtype": np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in _NUMPY and name in _ALLOWED:
            return _ALLOWED[name]
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")


def open_table(path: Path, *, rows: int) -> Matrix:
    """A table of numbers (rows, D), left on the disk where the file allows it.

    Args:
        path: .npy, of numbers or (Python 2) of objects that are rows of numbers.
        rows: how many there must be.

    Raises:
        CpdError: torn, of another shape, or holding something else than arrays.
    """
    try:
        table = _mapped(path)
    except (ValueError, OSError, EOFError, pickle.UnpicklingError, AttributeError, TypeError) as error:
        raise CpdError(f"{path}: not a table of numbers: {error}", hint=AGAIN) from None
    if table.ndim != 2 or len(table) != rows or not np.issubdtype(table.dtype, np.floating):
        found = f"{table.dtype} {table.shape}"
        raise CpdError(f"{path}: {found} instead of {rows} rows of numbers", hint="is it of the same set of files?")
    return table


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, Matrix]:
    """These arrays of a .npz.

    Raises:
        CpdError: torn, one is missing, or one is not of finite numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = sorted(set(names) - set(file.files))
            if missing:
                raise CpdError(f"{path}: lacks {', '.join(missing)}", hint=AGAIN)
            arrays = {name: file[name] for name in names}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise CpdError(f"{path}: not a whole .npz of numbers: {error}", hint=AGAIN) from None
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise CpdError(f"{path}: {name} is not of finite numbers", hint=AGAIN)
    return arrays


def _mapped(path: Path) -> Matrix:
    with path.open("rb") as handle:
        shape, dtype = _header(handle)
        if not dtype.hasobject:
            mapped: Matrix = np.load(path, mmap_mode="r", allow_pickle=False)
            return mapped
        objects = np.asarray(_ArraysOnly(handle, encoding="latin1").load())
    if objects.shape != shape:
        raise ValueError(f"shape {objects.shape} under a header that says {shape}")
    if objects.ndim == 2:
        return objects.astype(np.float32)
    return np.stack([np.asarray(row, dtype=np.float32) for row in objects])


def _header(handle: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(handle)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(handle)
    return shape, dtype

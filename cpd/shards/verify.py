"""Look at every byte of a shard."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.fileio import sha256_file
from cpd.shards.members import Sample, read_samples
from cpd.shards.records import Sidecar, parse_meta, read_index, read_sidecar
from cpd.shards.write import keys_digest
from cpd.video.decode import count_frames
from cpd.video.probe import VideoError

if TYPE_CHECKING:
    from typing import BinaryIO

_HINT = "delete it and run `cpd shard` for its chunk again"


def verify_shard(path: str | Path) -> Sidecar:
    """Check a shard against its sidecar: size, SHA-256, headers, keys, and that each clip decodes to its frames.

    Returns:
        The sidecar.

    Raises:
        CpdError: the first thing that does not hold, naming the shard and the key.
    """
    sidecar = check_file(path)
    samples = read_samples(path)
    keys = [sample.key for sample in samples]
    if keys != sidecar["keys"] or len(keys) != sidecar["n"] or keys_digest(keys) != sidecar["keys_sha256"]:
        raise CpdError(f"{path}: its keys are not those of its sidecar", hint=_HINT)
    with open(path, "rb") as handle:
        for row, sample in enumerate(samples):
            _check_sample(handle, sample, row, path)
    return sidecar


def check_file(path: str | Path) -> Sidecar:
    """Check size and SHA-256 of a shard against its sidecar, which is returned.

    Raises:
        CpdError: they differ, or one of the two files is missing.
    """
    sidecar = read_sidecar(path)
    if not Path(path).is_file():
        raise CpdError(f"{path}: no such shard", hint="run `cpd shard` for its chunk")
    size = Path(path).stat().st_size
    if size != sidecar["bytes"]:
        raise CpdError(f"{path}: {size} bytes, its sidecar says {sidecar['bytes']}", hint=_HINT)
    if sha256_file(path) != sidecar["sha256"]:
        raise CpdError(f"{path}: its SHA-256 is not that of its sidecar", hint=_HINT)
    return sidecar


def strays(folder: str | Path) -> list[str]:
    """Complaints about tars in a source's shard folder that its index does not know: nothing reads them.

    Shards without samples are not in the index, and are no strays.

    Raises:
        CpdError: there is no index.
    """
    known = {entry["name"] for split in read_index(folder).values() for entry in split["shards"]}
    tars = [path for path in sorted(Path(folder).glob("*.tar*")) if not path.name.startswith(".tmp.")]
    unknown = [path for path in tars if path.name.removesuffix(".tar") not in known]
    return [f"{path}: not in index.json: run `cpd index`, or delete it" for path in unknown if not _is_empty(path)]


def _is_empty(path: Path) -> bool:
    try:
        return check_file(path)["n"] == 0
    except CpdError:
        return False


def _check_sample(handle: BinaryIO, sample: Sample, row: int, path: str | Path) -> None:
    meta = parse_meta(_read(handle, sample.meta), where=f"{path}: {sample.key}.json")
    video = _read(handle, sample.video)
    if meta["key"] != sample.key or meta["row"] != row:
        raise CpdError(f"{path}: {sample.key}.json is of {meta['key']}, row {meta['row']}", hint=_HINT)
    if hashlib.sha256(video).hexdigest() != meta["sha256"]:
        raise CpdError(f"{path}: {sample.key}.mp4 is not the clip that {sample.key}.json describes", hint=_HINT)
    try:
        frames = count_frames(video)
    except VideoError as error:
        raise CpdError(f"{path}: {sample.key}: {error.reason}", hint=_HINT) from None
    if frames != meta["frames"]:
        raise CpdError(f"{path}: {sample.key} decodes to {frames} of {meta['frames']} frames", hint=_HINT)


def _read(handle: BinaryIO, where: tuple[int, int]) -> bytes:
    handle.seek(where[0])
    return handle.read(where[1])

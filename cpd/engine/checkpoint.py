"""Checkpoints that survive kill -9, a full disk and bit rot; resuming is exact or refused.

`step-N.pt` is written beside, fsynced and renamed; `step-N.json` {sha256, size, step, config_digest, identity} comes
last and is what makes it count. Loading walks from the newest to the oldest, checks the digest, and reads with
`weights_only=True` whatever the environment says, so a planted pickle is never executed.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import atomic_path, read_json, sha256_file, write_json


class Checkpoints:
    """The last `keep` checkpoints of one run.

    Args:
        folder: where they are; made when absent.
        keep: how many stay, at least 2, so that a torn one has a predecessor.
        identity: what must not change between the runs that share it (config, data, world size); JSON types.
    """

    def __init__(self, folder: str | Path, keep: int, *, identity: dict[str, Any] | None = None) -> None:
        if keep < 2:
            raise ValueError("keep must be at least 2")
        self.folder = Path(folder)
        self.keep = keep
        self.identity: dict[str, Any] = json.loads(json.dumps(identity or {}))
        self.digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def save(self, step: int, state: dict[str, Any], *, parts: dict[str, str] | None = None) -> Path:
        """Write a checkpoint, then drop the oldest ones.

        Args:
            step: optimiser steps that were made.
            state: what is equal on all ranks.
            parts: name -> sha256 of what `save_part` wrote for this step; all of them, or the checkpoint is not whole.

        Raises:
            CpdError: it could not be written (a full disk); earlier checkpoints are untouched.
        """
        path = self._path(step)
        with _disk_errors(path):
            sha256, size = _write(path, state)
            sidecar = {**self._sidecar(step, sha256, size), **({"parts": parts} if parts else {})}
            write_json(path.with_suffix(".json"), sidecar)
        self._rotate(step)
        return path

    def save_part(self, step: int, rank: int, state: dict[str, Any]) -> dict[str, str]:
        """Write what one rank alone holds; it counts once `save` has named it. Returns {name: sha256}.

        Raises:
            CpdError: it could not be written; earlier checkpoints are untouched.
        """
        path = self._part(step, rank)
        with _disk_errors(path):
            return {path.name: _write(path, state)[0]}

    def load_part(self, step: int, rank: int, *, device: torch.device | str = "cpu") -> dict[str, Any]:
        """What `save_part` wrote, of a step that `load` found whole."""
        part: dict[str, Any] = torch.load(self._part(step, rank), map_location=device, weights_only=True)
        return part

    def load(self, *, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        """The newest state that is whole, or None when nothing was ever saved.

        Raises:
            CpdError: checkpoints exist but none is whole, or they belong to another identity.
        """
        steps = self.steps()
        if not steps and any(self.folder.glob("step-*.pt")):
            warnings.warn(f"{self.folder}: only an unfinished checkpoint: starting from the beginning", stacklevel=2)
        for step in reversed(steps):
            state = self._load_one(step, device)
            if state is not None:
                return state
        if steps:
            raise CpdError(
                f"{self.folder}: none of {len(steps)} checkpoints can be read",
                hint="restore the folder, or delete it to train from the beginning",
            )
        return None

    def steps(self) -> list[int]:
        """Steps that were saved, ascending."""
        names = (re.fullmatch(r"step-(\d+)\.json", path.name) for path in self.folder.glob("step-*.json"))
        return sorted(int(match[1]) for match in names if match)

    def clear(self) -> None:
        """Remove everything of ours, and the folder when that empties it."""
        for pattern in ("step-*.json", "step-*.pt", "step-*.part", ".tmp.*"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step}.pt"

    def _part(self, step: int, rank: int) -> Path:
        return self.folder / f"step-{step}.rank-{rank}.part"

    def _sidecar(self, step: int, sha256: str, size: int) -> dict[str, Any]:
        return {
            "step": step,
            "sha256": sha256,
            "size": size,
            "config_digest": self.digest,
            "identity": self.identity,
        }

    def _load_one(self, step: int, device: torch.device | str) -> dict[str, Any] | None:
        path = self._path(step)
        try:
            sidecar = read_json(path.with_suffix(".json"))
            self._check_identity(path, sidecar)
            # Every rank looks at all parts, so that all take the same checkpoint without asking one another.
            for name, sha256 in {path.name: sidecar["sha256"], **sidecar.get("parts", {})}.items():
                if sha256_file(path.with_name(name)) != sha256:
                    raise ValueError(f"the sha256 of {name} is not the one that was written")
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except IdentityError:
            raise
        except Exception as error:
            warnings.warn(f"{path}: not usable, taking the one before: {error}", stacklevel=3)
            return None
        return state

    def _check_identity(self, path: Path, sidecar: dict[str, Any]) -> None:
        if sidecar["config_digest"] == self.digest:
            return
        lines = differences(sidecar["identity"], self.identity)
        raise IdentityError(
            f"{path.parent}: these checkpoints belong to another run:\n  " + "\n  ".join(lines),
            hint="undo the change, or delete the folder to train from the beginning",
        )

    def _rotate(self, newest: int) -> None:
        """Keep `keep` checkpoints up to `newest`; later ones could not be read when we resumed."""
        steps = self.steps()
        stay = [step for step in steps if step <= newest][-self.keep :]
        for step in set(steps) - set(stay):
            self._path(step).with_suffix(".json").unlink(missing_ok=True)
        for path in self.folder.glob("step-*.pt"):
            if not path.with_suffix(".json").exists():
                path.unlink(missing_ok=True)
        for path in self.folder.glob("step-*.part"):
            if not path.with_name(f"{path.name.split('.')[0]}.json").exists():
                path.unlink(missing_ok=True)
        for path in self.folder.glob(".tmp.*"):  # left by a killed writer: one run writes here at a time
            path.unlink(missing_ok=True)


class IdentityError(CpdError):
    """Checkpoints of a run with other settings, data or world size."""


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch.save reports ENOSPC as RuntimeError
        raise CpdError(
            f"{path}: checkpoint not written: {error}",
            hint="free some space and run again: it goes on from the checkpoint before",
            exit_code=EX_TEMPFAIL,
        ) from error


def _write(path: Path, state: dict[str, Any]) -> tuple[str, int]:
    with atomic_path(path) as beside:
        torch.save(state, beside)
        return sha256_file(beside), beside.stat().st_size


def differences(old: Any, new: Any, *, key: str = "", limit: int = 12) -> list[str]:
    """What differs between two JSON values, one line a key: `train.batch: 8 -> 16`."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines: list[str] = []
        for name in sorted(set(old) | set(new)):
            inner = f"{key}.{name}" if key else name
            lines += differences(old.get(name), new.get(name), key=inner, limit=limit)
        return lines[:limit]
    return [] if old == new else [f"{key}: {old} -> {new}"]


def rng_state() -> dict[str, Any]:
    """States of torch's, Python's and numpy's generators in plain types, which `weights_only` admits."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "python": random.getstate(),
        "numpy": (str(name), np.asarray(keys).tolist(), int(position), int(has_gauss), float(gauss)),
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore what `rng_state` returned."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
    random.setstate(state["python"])
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))

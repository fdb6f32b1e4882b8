"""Weights by address: fetched once into torch's hub folder, and checked against the digest in their name."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

import torch

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import sha256_file

SCHEMES = ("https", "file")
HASHED = re.compile(r"-([0-9a-f]{8,64})\.\w+$")  # as torch's hub names its files: resnet50-0676ba61.pth


def local_weights(weights: str | Path) -> Path:
    """The local file that `weights` names, fetched first where it is an address (`https://.../NAME-SHA256.pth`).

    Raises:
        CpdError: the address is of another scheme, has no digest in its name, cannot be reached, or what came has
            another digest.
    """
    address = urlsplit(str(weights))
    if "://" not in str(weights):
        return Path(weights)
    if address.scheme not in SCHEMES:
        raise CpdError(f"{weights}: not fetched over {address.scheme}", hint="give an https address or a local file")
    name = Path(address.path).name
    digest = HASHED.search(name)
    if not digest:
        raise CpdError(
            f"{weights}: has no SHA-256 in its name, as resnet50-0676ba61.pth has",
            hint="fetch it yourself, check it, and name the local file",
        )
    target = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not target.exists():
        _fetch(str(weights), target, digest[1])
    if not sha256_file(target).startswith(digest[1]):
        raise CpdError(f"{target}: its SHA-256 does not begin with {digest[1]}", hint="delete it, and it is fetched")
    return target


def _fetch(url: str, target: Path, digest: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(target), hash_prefix=digest)  # beside, checked, then moved
    except (URLError, TimeoutError) as error:
        raise CpdError(
            f"{url}: {error}",
            hint="fetch it where there is a network, and name the local file",
            exit_code=EX_TEMPFAIL,
        ) from None
    except RuntimeError as error:  # another digest
        raise CpdError(f"{url}: {error}", hint="the file there is not the one that its name says") from None

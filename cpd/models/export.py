"""A run as a folder to pass on: weights, config, encoder and model card, loadable by `cpd.load` anywhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cpd.errors import CpdError
from cpd.fileio import give_usual_mode, write_text
from cpd.models.card import model_card
from cpd.models.checkpoint import CONFIG, load_embedder, read_config, write_run
from cpd.models.sentence_tower import FrozenTower
from cpd.models.text_tower import TextTower
from cpd.tensors import disk_errors
from cpd.text.folders import whole_folder

if TYPE_CHECKING:
    from cpd.config import Encoder
    from cpd.models.sentence_tower import SentenceTower

ENCODER = "encoder"
CARD = "README.md"


def export_run(run_folder: str | Path, target: str | Path, *, results: Path | None = None, name: str = "") -> Path:
    """Write the folder, whole or not at all, and load it once to see that it loads.

    The language model goes along, as it was trained, so that the folder needs nothing else.

    Args:
        run_folder: of `cpd pretrain` or `cpd import`.
        target: the folder to write; an older export there is replaced.
        results: root of the results; numbers of `eval/NAME/` go into the card. By default two levels above the run,
            where the pipeline keeps runs.
        name: of the run; by default its folder's.

    Returns:
        `target`.

    Raises:
        CpdError: the run does not load, or `target` holds something else.
    """
    run_folder, target = Path(run_folder), Path(target)
    if target.resolve() == run_folder.resolve():
        raise CpdError(f"{target}: is the run itself", hint="name another folder")
    run, embedder = read_config(run_folder), load_embedder(run_folder, device="cpu")
    name = name or run_folder.resolve().name
    with whole_folder(target) as folder:
        encoder = _save_encoder(embedder.model.text, run.encoder, folder)
        write_run(folder, embedder.model, run.experiment, encoder, encoder_from_run=encoder.path, with_text=False)
        card = model_card(
            run,
            name=name,
            folder=target.name,
            run_folder=run_folder,
            results=results or run_folder.resolve().parent.parent,
            weights_sha256=run.weights_sha256,
        )
        write_text(folder / CARD, card)
        load_embedder(folder, device="cpu")
    return target


def _save_encoder(tower: SentenceTower, encoder: Encoder, folder: Path) -> Encoder:
    """Write the language model into `folder`; the encoder with its paths from there."""
    if isinstance(tower, TextTower):
        with disk_errors(folder / ENCODER):
            tower.encoder.save_pretrained(folder / ENCODER)  # type: ignore[operator]
        for weights in (folder / ENCODER).glob("*.safetensors"):
            give_usual_mode(weights)
        tower.tokenizer.save_pretrained(folder / ENCODER)
        return msgspec.structs.replace(encoder, path=ENCODER)
    if not isinstance(tower, FrozenTower):
        raise CpdError(f"{folder}: a {type(tower).__name__} cannot be exported", hint=f"see `encoder` in {CONFIG}")
    (folder / ENCODER).mkdir()
    for path in tower.files:
        shutil.copyfile(path, folder / ENCODER / path.name)
    if encoder.kind == "word2vec":
        return msgspec.structs.replace(encoder, path=f"{ENCODER}/{Path(encoder.path).name}")
    vectors = None if encoder.vectors is None else f"{ENCODER}/{Path(encoder.vectors).name}"
    return msgspec.structs.replace(encoder, path=ENCODER, vectors=vectors)

"""Train stanza's own tagger and parser on the demo's treebank: minutes of download less, seconds of training more.

Sizes are small (hidden 32, one layer, no pretrained vectors), enough for a grammar of some hundred words.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from cpd.config import Text
from cpd.errors import CpdError
from cpd.fileio import write_json
from cpd.text.folders import whole_folder
from cpd.text.models import load_pipeline

if TYPE_CHECKING:
    from cpd.config import Demo

_SHARED = (
    "--mode train --lang en --shorthand en_demo --no_pretrain --cpu --word_emb_dim 24 --word_cutoff 1 "
    "--char_emb_dim 12 --char_hidden_dim 24 --tag_emb_dim 8 --transformed_dim 24 --hidden_dim 32 --num_layers 1 "
    "--lr 1e-2 --word_dropout 0.1 --dropout 0.1 --max_steps_before_stop 1000000 --no_second_optim"
)
_TAGGER = (
    "--share_hid --deep_biaff_hidden_dim 32 --composite_deep_biaff_hidden_dim 16 --batch_size 25 --fix_eval_interval"
)
_PARSER = (  # its batch size counts words, the tagger's sentences
    "--no_ufeats --deep_biaff_hidden_dim 32 --deep_biaff_output_dim 24 --optim adam --beta2 0.95 --weight_decay 0 "
    "--no_plateau --batch_size 200 --no_checkpoint"
)


def train(demo: Demo, output: str | Path) -> dict[str, Any]:
    """Train on `{demo.folder}/treebank/train.conllu` for `demo.stanza_steps` steps each, and score on `dev.conllu`.

    Both trainers run in this process: importing torch once more would cost as much as the training.

    Returns:
        What is written to metrics.json: UPOS accuracy and LAS on dev, in percent, of the saved models in a
        `stanza.Pipeline` (the parser sees predicted tags).

    Raises:
        CpdError: a treebank is missing or empty.
    """
    treebank = Path(demo.folder) / "treebank"
    train_file, dev_file = _checked(treebank / "train.conllu"), _checked(treebank / "dev.conllu")
    from stanza.models import parser, tagger  # on import they set stanza's log level, hence outside of the context
    from stanza.resources.common import logging_level_context

    trainers = {"pos.pt": (tagger.main, _TAGGER), "depparse.pt": (parser.main, _PARSER)}
    with whole_folder(output) as folder, logging_level_context("ERROR", None):
        files = ["--train_file", str(train_file), "--eval_file", str(dev_file), "--save_dir", str(folder)]
        options = [*_SHARED.split(), *files, *_length(demo.stanza_steps), "--seed", str(demo.seed)]
        for name, (trainer, own) in tqdm(trainers.items(), desc="demo-stanza", unit="model", disable=None):
            trainer([*options, *own.split(), "--save_name", name])
            _forget_folders(folder / name)
        metrics = {**score(folder, dev_file), "steps": demo.stanza_steps, "seed": demo.seed}
        write_json(folder / "metrics.json", metrics)
    return metrics


def _length(steps: int) -> list[str]:
    """Scored three times on the way; the best model is kept."""
    return ["--max_steps", str(steps), "--eval_interval", str(max(1, steps // 3))]


def _forget_folders(path: Path) -> None:
    """stanza stores where it trained; without that, equal seeds give equal bytes on any machine."""
    import torch

    checkpoint = torch.load(path, weights_only=True)
    config = checkpoint["config"]
    for key in ("train_file", "eval_file"):
        config[key] = Path(config[key]).name
    config["save_dir"] = ""
    torch.save(checkpoint, path)


def score(folder: Path, dev_file: Path) -> dict[str, float]:
    """{"upos": accuracy, "las": labelled attachment score}, in percent, as the CoNLL 2018 evaluation counts."""
    from stanza.models.common.utils import ud_scores
    from stanza.utils.conll import CoNLL

    models = Text(pos_model=str(folder / "pos.pt"), depparse_model=str(folder / "depparse.pt"))
    gold = CoNLL.conll2doc(input_file=str(dev_file))
    words = [[word.text for word in sentence.words] for sentence in gold.sentences]
    system = format(load_pipeline(models)(words), "C") + "\n\n"
    scores = ud_scores(str(dev_file), io.StringIO(system))
    return {"upos": 100 * scores["UPOS"].f1, "las": 100 * scores["LAS"].f1, "sentences": len(words)}


def _checked(path: Path) -> Path:
    if not path.is_file() or path.stat().st_size == 0:
        raise CpdError(f"{path}: no treebank there", hint="`cpd demo-corpus` writes it")
    return path

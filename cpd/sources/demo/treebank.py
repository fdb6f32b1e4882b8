"""The demo's treebank (CoNLL-U) and the paragraphs its language model is trained on."""

from __future__ import annotations

from cpd.sources.demo import grammar, titles
from cpd.sources.demo.classes import stream
from cpd.sources.demo.grammar import Node


def conllu(n: int, *, seed: int, name: str) -> str:
    """`n` annotated sentences in CoNLL-U, without lemmas' morphology (features and extra columns are `_`)."""
    return "".join(_block(titles.annotated(stream(seed, "treebank", name, i)), f"{name}-{i}") for i in range(n))


def paragraphs(n: int, *, seed: int) -> str:
    """`n` paragraphs, one a line, of two clean sentences parted by a tab.

    They are text alone: no video has them as its title by design. That sentences which stand together speak of the same
    thing is what the language model learns from (cpd/text/demo_encoder.py).
    """
    pairs = (titles.paragraph(stream(seed, "paragraphs", i)) for i in range(n))
    return "".join("\t".join(map(grammar.text, pair)) + "\n" for pair in pairs)


def _block(root: Node, name: str) -> str:
    rows = [
        f"{place}\t{token.form}\t{token.form.lower()}\t{token.upos}\t{token.xpos}\t_\t{token.head}\t{token.deprel}\t_\t_"
        for place, token in enumerate(grammar.tokens(root), start=1)
    ]
    return "\n".join([f"# sent_id = {name}", f"# text = {grammar.text(root)}", *rows, "", ""])

"""Whether the loader holds more and more memory, epoch after epoch."""

from __future__ import annotations

from benchmarks.clip_store import OURS, sources, store
from benchmarks.harness import Options, line
from benchmarks.loader import VIEWS, batches, shards
from benchmarks.memory import resident
from benchmarks.record import Chart, Findings, Target
from cpd.shards.loader import clip_loader

TITLE = "Loader: memory over 50 epochs"


def run(options: Options) -> Findings:
    """Read the same shard again and again in one process."""
    clips = [store(video, options.work) for video in sources(options)[:2]]
    table = shards(clips * (2 if options.quick else 12), OURS, options.work)
    epochs = 3 if options.quick else 50
    held = []
    for epoch in range(epochs):
        order = batches(len(table), epoch)
        for batch in clip_loader(table, views=VIEWS, batches=order, seed=0, epoch=epoch, workers=0, train=True):
            assert not batch.failed
        held.append(resident() / 1e6)
    growth = 100 * (max(held[1:]) / held[0] - 1)
    return Findings(
        title=TITLE,
        about=f"{len(table)} clips, {epochs} epochs, no workers (these are started anew in every epoch)",
        targets=(
            Target(
                what=f"memory of the process over {epochs} epochs",
                against="after its first epoch",
                values=(growth,),
                at_most=5,
                suffix=" % more",
            ),
        ),
        charts=(
            Chart(
                title="Memory of the loading process",
                x="epoch",
                y="MB in memory",
                lines=(line("ours", range(1, epochs + 1), held),),
            ),
        ),
    )

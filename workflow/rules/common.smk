# The checked config, and the few helpers that rules share. Parsed again in every job: no torch, no pandas here.
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from cpd import config as cpd_config
from cpd import tables as cpd_tables
from cpd.digest import code_digest
from cpd.errors import CpdError
from cpd.sources.plan import chunk_names

if workflow.config_settings.config:
    raise WorkflowError(
        "--config is not supported: its nested values arrive as text. Put the keys in an overlay file and name it after --configfile."
    )

CONFIGFILES = [
    "config.yaml",
    *(
        os.path.relpath(f)
        for f in workflow.overwrite_configfiles
        if Path(f).name != "config.yaml"
    ),
]
try:
    C = cpd_config.load_config(*CONFIGFILES)
except CpdError as error:
    raise WorkflowError(str(error))

R = C.results
CPD = f"{shlex.quote(sys.executable)} -m cpd"
CONFIG = "--configfile " + " ".join(map(shlex.quote, CONFIGFILES))


wildcard_constraints:
    source="|".join(C.sources),
    dataset="|".join(C.datasets),
    table="|".join(C.tables),
    run=r"[A-Za-z0-9._+-]+(@[0-9]+)?",
    chunk=r"[a-z]+-[0-9]+",
    split=r"[a-z0-9.]+",


def digest(*values) -> str:
    """Config values as one sorted JSON text: a rule re-runs when it changes, and Snakemake prints the difference."""
    return cpd_config.to_json(values[0] if len(values) == 1 else list(values))


def chunks(source: str, split: str | None = None) -> list[str]:
    """Chunk names of a source, known from its `pairs` and `chunk_size` alone."""
    names = chunk_names(C.sources[source])
    return [
        chunk
        for part, parts in names.items()
        if split in (None, part)
        for chunk in parts
    ]


def experiment(run: str):
    """The experiment of a run: `cpd-clean@1` is `cpd-clean` with seed 1."""
    return cpd_config.experiment(C, run.partition("@")[0])


def seed(run: str) -> int:
    return int(run.partition("@")[2] or 0)


def runs(name: str) -> list[str]:
    return [name if s == 0 else f"{name}@{s}" for s in C.seeds]


def all_runs() -> list[str]:
    return [run for name in C.run for run in runs(name)]


def index(source: str) -> str:
    return f"{R}/sources/{source}/shards/index.json"

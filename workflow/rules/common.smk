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
from cpd.plan import given as cpd_given
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


# With --sdm apptainer: apptainer build cpd.sif apptainer.def (docs/cluster.md)
container: "cpd.sif"


# What every command needs, and what must not re-run anything: this Python (with --sdm conda: that of the rule's
# environment), the config files (default of the CLI).
OWN_PYTHON = f"PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH"
shell.prefix(
    f"set -euo pipefail; export {'' if workflow.deployment_settings.deployment_method else OWN_PYTHON}"
    f" CPD_CONFIGFILES={shlex.quote(os.pathsep.join(CONFIGFILES))}; "
)


wildcard_constraints:
    source="|".join(C.sources),
    dataset="|".join(C.datasets),
    table="|".join(C.tables),
    run=r"[A-Za-z0-9._+-]+(@[0-9]+)?",
    chunk=r"[a-z]+-[0-9]+",
    given=r"(encoders|experiments)\.[A-Za-z0-9._+-]+",
    split=r"[a-z0-9]+(\.[0-9]+)?",


def digest(*values) -> str:
    """Config values as one sorted JSON text. When it changes, the rule re-runs and Snakemake prints the difference."""
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


def protocols(run: str):
    """The protocols' settings for a run: `evaluate`, with the experiment's own over it."""
    return cpd_config.evaluation(C, run.partition("@")[0])


def seed(run: str) -> int:
    return int(run.partition("@")[2] or 0)


def runs(name: str) -> list[str]:
    return [name if s == 0 else f"{name}@{s}" for s in C.seeds]


def all_runs() -> list[str]:
    return [run for name in C.run for run in runs(name)]


def index(source: str) -> str:
    return f"{R}/sources/{source}/shards/index.json"


def dataset_splits(dataset: str) -> list[str]:
    spec = C.datasets[dataset]
    return list(dict.fromkeys([spec.train, spec.test]))


def feature_files(run: str, dataset: str, splits: list[str] | None = None) -> list[str]:
    source = C.datasets[dataset].source
    return [
        f"{R}/features/{run}/{source}-{split}.safetensors"
        for split in splits or dataset_splits(dataset)
    ]


def result(protocol: str) -> str:
    return f"{R}/eval/{{run}}/{protocol}/{{dataset}}-{{split}}.json"


def predictions(protocol: str) -> str:
    return result(protocol).removesuffix(".json") + ".predictions.json"


def given_files(run: str) -> list[str]:
    """Digests of the files that a person put there for a run: word vectors, weights."""
    name = run.partition("@")[0]
    return [f"{R}/given/{key}.json" for key in cpd_given.keys_of_run(C, name)]


def encoder_files(name: str) -> list[str]:
    """Files of a text encoder that the workflow makes; a hub name has none."""
    folder = Path(C.encoders[name].path)
    return [str(folder / "config.json")] if folder.is_relative_to(R) else []

# From public videos and their titles to the tables of the CPD paper.
#   snakemake -n                                              the plan, with job counts (cpd plan: its hours and bytes)
#   snakemake --cores all                                     the paper (config.yaml)
#   snakemake --cores all --configfile config.demo.yaml       the demo, on a laptop's CPU
#   snakemake --cores all results/tables/table4.md            what one table needs, and no more
from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/demo.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.tables.input,
        f"{R}/tables/check.json",
        f"{R}/report.html",


rule data:
    """Shards of every source, and no training."""
    input:
        expand(f"{R}/sources/{{source}}/shards/index.json", source=C.sources),


rule runs:
    """Every pretraining that `run` selects, for every seed."""
    input:
        expand(f"{R}/pretrain/{{run}}/model.safetensors", run=all_runs()),

"""The typed config: `load_config` reads it, `experiment` resolves one experiment, the types say what there is."""

from cpd.config.cluster import Cluster
from cpd.config.data import Clips, Crawl, Demo, Source, Text
from cpd.config.evaluation import (
    Column,
    Dataset,
    Evaluate,
    FeatureViews,
    Finetune,
    Knn,
    Linear,
    Retrieval,
    Row,
    Table,
    ZeroShot,
)
from cpd.config.load import Config, evaluation, experiment, load_config, merge, to_json
from cpd.config.plan import Plan
from cpd.config.report import Report
from cpd.config.rho import Rho
from cpd.config.training import Backbone, Encoder, Experiment, Heads, Objective, Stage, Train, Validation, Views

__all__ = [
    "Backbone",
    "Clips",
    "Cluster",
    "Column",
    "Config",
    "Crawl",
    "Dataset",
    "Demo",
    "Encoder",
    "Evaluate",
    "Experiment",
    "FeatureViews",
    "Finetune",
    "Heads",
    "Knn",
    "Linear",
    "Objective",
    "Plan",
    "Report",
    "Retrieval",
    "Rho",
    "Row",
    "Source",
    "Stage",
    "Table",
    "Text",
    "Train",
    "Validation",
    "Views",
    "ZeroShot",
    "evaluation",
    "experiment",
    "load_config",
    "merge",
    "to_json",
]

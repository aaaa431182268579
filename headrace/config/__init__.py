"""Configuration: YAML in, validated models out. Imports no Spark, so that trainer and serving may use it."""

from headrace.config.agree import slices_of
from headrace.config.cells import Cell, group_cells
from headrace.config.columns import Feature, feature_columns, label_facts, value_types
from headrace.config.conditions import Condition
from headrace.config.groups import FeaturesConfig, Group, Metric, Rate
from headrace.config.load import load_config
from headrace.config.measures import LIMBS, Measure, measures_of
from headrace.config.model import Config

__all__ = [
    "Cell",
    "Condition",
    "Config",
    "Feature",
    "FeaturesConfig",
    "Group",
    "LIMBS",
    "Measure",
    "Metric",
    "Rate",
    "feature_columns",
    "group_cells",
    "label_facts",
    "load_config",
    "measures_of",
    "slices_of",
    "value_types",
]

"""Configuration: YAML in, validated models out. Imports no Spark, so that trainer and serving may use it."""

from headrace.config.columns import Feature, feature_columns
from headrace.config.groups import FeaturesConfig, Group, Metric, Rate
from headrace.config.load import load_config
from headrace.config.model import Config

__all__ = [
    "Config",
    "Feature",
    "FeaturesConfig",
    "Group",
    "Metric",
    "Rate",
    "feature_columns",
    "load_config",
]

"""Headrace: Spark batch features and training data for recommender ranking."""

__all__ = ["__version__"]

__version__ = "0.2.0.dev0"

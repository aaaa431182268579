"""Headrace: Spark batch features and training data for recommender ranking."""

__all__ = ["__version__"]

__version__ = "0.1.0"

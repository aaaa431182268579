"""Public logs to the landing format. What a source lacks is said, and stays absent; nothing is invented."""

from adapters.run import ADAPTERS, AdaptSummary, adapt

__all__ = ["ADAPTERS", "AdaptSummary", "adapt"]

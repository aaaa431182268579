"""A seeded synthetic world in the landing format, with its true probabilities kept beside it. Imports no Spark."""

from simulation.run import simulate
from simulation.spec import TableSummary, WorldSpec, WorldSummary, world_spec

__all__ = ["TableSummary", "WorldSpec", "WorldSummary", "simulate", "world_spec"]

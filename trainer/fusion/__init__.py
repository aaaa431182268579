"""One score of several heads: a declared form, its numbers, and a search for them. docs/fusion.md explains each part."""

from trainer.fusion.drawing import draw_frontier
from trainer.fusion.forms import check_fusion, describe, fuse
from trainer.fusion.frontier import frontier
from trainer.fusion.ranks import request_ranks
from trainer.fusion.results import Estimate, Trial, Tuning, tuning_to_dict
from trainer.fusion.tuning import check_tune, tune

__all__ = [
    "Estimate",
    "Trial",
    "Tuning",
    "check_fusion",
    "check_tune",
    "describe",
    "draw_frontier",
    "frontier",
    "fuse",
    "request_ranks",
    "tune",
    "tuning_to_dict",
]

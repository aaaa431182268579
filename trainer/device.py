"""Where a model computes."""

import torch

from headrace.config.training import TrainConfig
from headrace.errors import ConfigError

__all__ = ["device_of"]


def device_of(config: TrainConfig) -> str:
    """cpu or cuda; raises ConfigError where a GPU is asked for and there is none."""
    there = torch.cuda.is_available()
    if config.device == "cuda" and not there:
        raise ConfigError(
            "train.device", found="cuda, and no GPU that torch can use", wanted="auto or cpu", remedy="change it"
        )
    return "cuda" if there and config.device != "cpu" else "cpu"

"""One trained model for the tests that only look at it, and one thread so that runs repeat bit by bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from tests.trainer.world import CONFIG, world

if TYPE_CHECKING:
    from trainer.train import TrainResult


@dataclass(frozen=True)
class Trained:
    """A root of three days, and the model trained on the first two and validated on the third."""

    root: str
    days: list[date]
    out: Path
    result: "TrainResult"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, _one_thread: None) -> Trained:
    """Train once for the session."""
    from trainer.train import train

    folder = tmp_path_factory.mktemp("world")
    root, days = world(folder / "tables", days=3, rows=16000)
    result = train(root, days=days[:2], valid_day=days[2], config=CONFIG, out=folder / "model")
    return Trained(root, days, folder / "model", result)

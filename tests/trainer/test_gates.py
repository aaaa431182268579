"""Gate statistics against plain arithmetic, and what dropout does to gates that have settled on one expert."""

import math

import pytest
import torch
from torch.nn import functional

from headrace.config import load_config
from trainer.models import Mmoe, Shape
from trainer.models.gates import GateStatistics

SHAPE = Shape(1, 0, 6, (), ("cross",) * 6)


def _weights() -> torch.Tensor:
    logits = torch.randn(700, 2, 4, generator=torch.Generator().manual_seed(0)) * 3
    logits[:, :, 2] -= 40
    return logits.softmax(dim=2)


def test_statistics_are_those_of_all_rows_however_they_are_cut() -> None:
    weights, statistics = _weights(), GateStatistics()
    for part in weights.split([1, 300, 399]):
        statistics.add(part)
    found = statistics.to_dict(["click", "like"])
    assert (found["rows"], found["dead"], list(found["heads"])) == (700, [2], ["click", "like"])
    for t, head in enumerate(found["heads"].values()):
        rows = weights[:, t].double().tolist()
        entropy = sum(-w * math.log(w) for row in rows for w in row if w > 0) / 700
        assert head["weights"] == pytest.approx([sum(row[e] for row in rows) / 700 for e in range(4)])
        assert head["entropy"] == pytest.approx(entropy)
        assert head["polarised"] == sum(max(row) > 0.95 for row in rows) / 700


def test_even_gates_have_the_largest_entropy_and_settled_ones_none() -> None:
    statistics = GateStatistics()
    statistics.add(torch.tensor([[[0.25] * 4, [0.0, 1.0, 0.0, 0.0]]]))
    heads = statistics.to_dict(["even", "settled"])["heads"]
    assert heads["even"] == {"weights": [0.25] * 4, "entropy": pytest.approx(math.log(4)), "polarised": 0.0}
    assert heads["settled"] == {"weights": [0.0, 1.0, 0.0, 0.0], "entropy": 0.0, "polarised": 1.0}


def test_an_expert_that_one_head_uses_is_not_dead() -> None:
    statistics = GateStatistics()
    statistics.add(torch.tensor([[[0.001, 0.0, 0.999], [0.5, 0.0, 0.5]]]))
    assert statistics.to_dict(["a", "b"])["dead"] == [1]


def test_statistics_of_nothing_or_with_too_few_names_are_refused() -> None:
    statistics = GateStatistics()
    with pytest.raises(ValueError, match="no rows"):
        statistics.to_dict(["a"])
    statistics.add(_weights())
    with pytest.raises(ValueError, match="zip"):
        statistics.to_dict(["a"])


def _after_training(gate_dropout: float, *, seed: int) -> tuple[float, list[int]]:
    """Share of settled gates, and dead experts, of a model that began with all gates settled on expert 0.

    Plain SGD, so that an expert learns as much as the gates ask of it, which is how one that is ahead stays ahead.
    """
    torch.manual_seed(seed)
    settings = ["expert_layers=[16, 8]", "tower_layers=[8]", f"gate_dropout={gate_dropout}"]
    config = load_config(settings=[f"train.{s}" for s in settings]).train
    model = Mmoe(SHAPE, heads=2, config=config)
    with torch.no_grad():
        model.first.weight[4 * 16 :].view(2, 4, -1)[:, 0, SHAPE.dense] += 6  # the bias of expert 0 in both gates
    dense, ids = torch.randn(4096, 6), torch.empty(4096, 0, dtype=torch.long)
    chances = torch.stack([3 * dense[:, 0] + 1.5 * dense[:, 1], 3 * dense[:, 3] - 1.5 * dense[:, 4]], dim=1).sigmoid()
    labels = (torch.rand(4096, 2) < chances).float()
    assert _state(model, ids, dense) == (1.0, [1, 2, 3])
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    for _ in range(300):
        some = torch.randint(4096, (128,))
        optimiser.zero_grad()
        functional.binary_cross_entropy_with_logits(model(ids[some], dense[some]), labels[some]).backward()
        optimiser.step()
    return _state(model, ids, dense)


def _state(model: Mmoe, ids: torch.Tensor, dense: torch.Tensor) -> tuple[float, list[int]]:
    statistics = GateStatistics()
    statistics.add(model.gate_weights(ids, dense))
    found = statistics.to_dict(["a", "b"])
    return sum(head["polarised"] for head in found["heads"].values()) / 2, found["dead"]


@pytest.mark.parametrize("seed", [0, 1])
def test_gates_that_have_settled_stay_so_and_dropout_lifts_them(seed: int) -> None:
    settled, dead = _after_training(0.0, seed=seed)
    lifted, still_dead = _after_training(0.1, seed=seed)
    assert settled > 0.85 and len(dead) >= 2
    assert lifted < 0.6 and not still_dead

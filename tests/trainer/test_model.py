"""The network's shapes and gates, and the shuffle that feeds it."""

import numpy as np
import torch

from trainer.batches import shuffled_batches
from trainer.models.mmoe import Mmoe


def _model(gate_dropout: float = 0.0, experts: int = 3) -> Mmoe:
    torch.manual_seed(0)
    return Mmoe(rows=50, fields=2, dense=4, heads=3, embedding_dim=5, experts=experts, gate_dropout=gate_dropout)


def test_logits_have_a_column_for_each_head() -> None:
    assert _model()(torch.zeros(7, 2, dtype=torch.long), torch.zeros(7, 4)).shape == (7, 3)


def test_dropped_gates_sum_to_one_again_and_are_never_all_gone() -> None:
    model = _model(gate_dropout=0.9).train()
    kept = model._drop(torch.full((500, 3, 3), 1 / 3))
    torch.testing.assert_close(kept.sum(dim=2), torch.ones(500, 3))
    assert bool((kept == 0).any())


def test_gates_are_whole_when_not_training() -> None:
    model = _model(gate_dropout=0.9).eval()
    inputs = torch.tensor([[1, 30]] * 4), torch.ones(4, 4)
    torch.testing.assert_close(model(*inputs), model(*inputs))
    torch.testing.assert_close(model.gate_means(*inputs).sum(dim=1), torch.ones(3))


def test_heads_start_at_their_base_rates() -> None:
    model = _model()
    with torch.no_grad():
        for tower in model.towers:
            tower[-1].weight.zero_()  # type: ignore[index]
    model.start_at(torch.tensor([0.01, 0.5, 0.9]))
    found = model(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 4)).sigmoid()
    torch.testing.assert_close(found, torch.tensor([[0.01, 0.5, 0.9]]))


def _stream(parts: list[int]):  # type: ignore[no-untyped-def]
    start = 0
    for n in parts:
        yield {"x": np.arange(start, start + n), "weight": np.ones(n)}
        start += n


def _batches(seed: int, *, parts: list[int], window: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [b["x"] for b in shuffled_batches(_stream(parts), batch_size=10, window=window, rng=rng)]


def test_every_row_comes_once_and_all_batches_but_the_last_are_full() -> None:
    for parts in ([3], [10], [7] * 30, [100, 1, 5, 60]):
        made = _batches(1, parts=parts, window=40)
        assert sorted(np.concatenate(made).tolist()) == list(range(sum(parts)))
        assert all(len(batch) == 10 for batch in made[:-1])


def test_order_is_that_of_the_seed_and_mixes_neighbours() -> None:
    one, again, other = (_batches(s, parts=[7] * 30, window=80) for s in (1, 1, 2))
    assert np.concatenate(one).tolist() == np.concatenate(again).tolist() != np.concatenate(other).tolist()
    assert np.concatenate(one)[:40].max() > 60

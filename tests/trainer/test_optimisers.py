"""The optimisers against dense ones that visit every row, and a run that is cut off against one that is not."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from headrace.config import load_config
from headrace.config.training import TrainConfig
from trainer.models import Shape, build_model
from trainer.models.parts import EmbeddingTable
from trainer.optimisers import Optimisers, repeated_sums, row_sums

PLAIN = load_config(
    settings=[
        f"train.{s}"
        for s in ("embedding_dim=3", "experts=2", "expert_layers=[6]", "tower_layers=[4]", "warmup_steps=0",
                  "clip_norm=null", "gate_dropout=0.3")
    ]
).train  # fmt: skip
SHAPE = Shape(40, 3, 2, ("user",) * 3, ("user",) * 2)


class _Table(nn.Module):
    """A table and one dense weight, so that gradients are plain to see."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.embedding = EmbeddingTable(rows, width)
        self.scale = nn.Parameter(torch.ones(1))


def _config(**changes: object) -> TrainConfig:
    return PLAIN.model_copy(update=changes)


def _draws(rows: int, *, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids with many duplicates, rows of the last quarter never, and factors for their gradients."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        yield torch.randint(rows * 3 // 4, (50, 4), generator=generator), torch.randn(50, 12, generator=generator)


def _dense_gradient(weight: Tensor, ids: Tensor, factors: Tensor) -> Tensor:
    plain = weight.detach().clone().requires_grad_()
    (functional.embedding(ids, plain).flatten(1).square() * factors).sum().backward()
    assert plain.grad is not None
    return plain.grad


def _step(optimiser: Optimisers, table: EmbeddingTable, *, ids: Tensor, factors: Tensor) -> None:
    optimiser.zero_grad()
    (table(ids).square() * factors).sum().backward()
    optimiser.step()


def test_rowwise_adagrad_is_the_dense_rule_on_every_row() -> None:
    model = _Table(20, 3)
    optimiser = Optimisers(model, _config(embedding_learning_rate=0.07))
    weight, squares = model.embedding.weight.detach().clone(), torch.zeros(20)
    for ids, factors in _draws(20, steps=6):
        gradient = _dense_gradient(weight, ids, factors)
        squares += gradient.square().mean(dim=1)
        weight -= 0.07 * gradient / (squares.sqrt() + 1e-8)[:, None]
        _step(optimiser, model.embedding, ids=ids, factors=factors)
        torch.testing.assert_close(model.embedding.weight.detach(), weight)
    torch.testing.assert_close(optimiser.moments["squares"], squares)


def test_adam_of_the_table_is_sparse_adam() -> None:
    model = _Table(20, 3)
    plain = nn.Embedding.from_pretrained(model.embedding.weight.detach().clone(), freeze=False, sparse=True)
    wanted = torch.optim.SparseAdam(plain.parameters(), lr=0.01)
    optimiser = Optimisers(model, _config(embedding_optimiser="adam", embedding_learning_rate=0.01))
    with torch.sparse.check_sparse_tensor_invariants(False):
        for ids, factors in _draws(20, steps=6):
            wanted.zero_grad()
            (plain(ids).flatten(1).square() * factors).sum().backward()
            wanted.step()
            _step(optimiser, model.embedding, ids=ids, factors=factors)
            torch.testing.assert_close(model.embedding.weight, plain.weight)


@pytest.mark.parametrize("rule", ["rowwise_adagrad", "adam"])
def test_rows_that_no_batch_touched_keep_their_bits(rule: str) -> None:
    model = _Table(20, 3)
    optimiser = Optimisers(model, _config(embedding_optimiser=rule))
    before = model.embedding.weight.detach().clone()
    for ids, factors in _draws(20, steps=3):
        _step(optimiser, model.embedding, ids=ids, factors=factors)
    assert torch.equal(model.embedding.weight[15:], before[15:])
    assert not (model.embedding.weight[:15] == before[:15]).any()
    assert all(not moment[15:].any() for moment in optimiser.moments.values())


def test_gradients_of_several_look_ups_of_a_row_are_summed() -> None:
    one, several = _Table(20, 3), _Table(20, 3)
    several.load_state_dict(one.state_dict())
    for model, parts in ((one, 1), (several, 4)):
        optimiser = Optimisers(model, _config())
        for ids, factors in _draws(20, steps=2):
            optimiser.zero_grad()
            for i, f in zip(ids.chunk(parts, dim=1), factors.chunk(parts, dim=1), strict=True):
                (model.embedding(i).square() * f).sum().backward()
            optimiser.step()
    torch.testing.assert_close(one.embedding.weight, several.embedding.weight)


def test_sums_for_a_gpu_repeat_the_sums_for_a_cpu() -> None:
    ids, values = torch.tensor([7, 2, 7, 7, 0, 2]), torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    rows, sums = row_sums(ids, values)
    assert rows.tolist() == [0, 2, 7]
    torch.testing.assert_close(sums[2], values[[0, 2, 3]].sum(dim=0))
    places = torch.full((9,), 99, dtype=torch.int32)  # what an earlier batch left there must not matter
    repeated, same = repeated_sums(ids, values, places=places)
    assert torch.equal(repeated, ids)
    torch.testing.assert_close(same, sums[torch.searchsorted(rows, ids)])


@pytest.mark.parametrize("rule", ["rowwise_adagrad", "adam"])
def test_rows_that_repeat_are_moved_once(rule: str) -> None:
    """The way of a GPU, here on the CPU."""
    once, repeated = _Table(20, 3), _Table(20, 3)
    repeated.load_state_dict(once.state_dict())
    for model, gpu in ((once, False), (repeated, True)):
        optimiser = Optimisers(model, _config(embedding_optimiser=rule))
        if gpu:
            optimiser._places = torch.zeros(20, dtype=torch.int32)
        for ids, factors in _draws(20, steps=4):
            _step(optimiser, model.embedding, ids=ids, factors=factors)
    torch.testing.assert_close(once.embedding.weight, repeated.embedding.weight)


def test_dense_weights_follow_adamw_with_a_warm_up() -> None:
    model, config = _Table(4, 2), _config(warmup_steps=4, learning_rate=0.01, weight_decay=0.1)
    optimiser = Optimisers(model, config)
    plain = nn.Parameter(torch.ones(1))
    wanted = torch.optim.AdamW([plain], lr=1.0, weight_decay=0.1)
    for step, gradient in enumerate((2.0, -1.0, 0.5, 3.0, 3.0, 1.0), start=1):
        for group in wanted.param_groups:
            group["lr"] = 0.01 * min(1.0, step / 4)
        optimiser.zero_grad()
        model.scale.grad, plain.grad = torch.full((1,), gradient), torch.full((1,), gradient)
        optimiser.step()
        wanted.step()
        torch.testing.assert_close(model.scale, plain)


@pytest.mark.parametrize("rule", ["rowwise_adagrad", "adam"])
def test_the_table_warms_up_too(rule: str) -> None:
    moves = []
    for warmup in (0, 10):
        torch.manual_seed(0)
        model = _Table(1, 2)
        before = model.embedding.weight.detach().clone()
        optimiser = Optimisers(model, _config(embedding_optimiser=rule, warmup_steps=warmup))
        _step(optimiser, model.embedding, ids=torch.tensor([[0]]), factors=torch.ones(1, 2))
        moves.append(model.embedding.weight.detach() - before)
    torch.testing.assert_close(moves[1], moves[0] / 10, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("changes", "shares"),
    [
        ({"warmup_steps": 0, "decay": True}, [1.0] * 15 + [5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ({"warmup_steps": 50, "decay": False}, [0.5] + [1.0] * 19),
        ({"warmup_steps": 0, "decay": False}, [1.0] * 20),
    ],
)
def test_rates_follow_the_length_of_the_run(changes: dict[str, Any], shares: list[float]) -> None:
    """The last 30 % of 20 batches decay; a warm-up takes a tenth of them at most."""
    model = _Table(1, 2)
    optimiser = Optimisers(model, _config(learning_rate=0.01, **changes), total_steps=20)
    found = []
    for _ in range(20):
        optimiser.zero_grad()
        optimiser.step()
        found.append(optimiser.adamw.param_groups[0]["lr"] / 0.01)
    assert found == pytest.approx(shares)


def test_clipping_bounds_the_dense_gradients_together_and_leaves_the_table_alone() -> None:
    tables = []
    for clip in (None, 1.0):
        torch.manual_seed(0)
        model = _Table(5, 2)
        optimiser = Optimisers(model, _config(clip_norm=clip))
        optimiser.zero_grad()
        (model.embedding(torch.tensor([[1], [2]])).sum() * model.scale * 1000 + model.scale * 500).sum().backward()
        optimiser.step()
        tables.append(model.embedding.weight.detach())
        assert model.scale.grad is not None
        assert (model.scale.grad.abs() <= 1.0).item() is (clip is not None)
    assert torch.equal(*tables)


def test_one_step_of_a_row_is_bounded_whatever_its_gradient() -> None:
    """Which is why embedding gradients are not clipped."""
    model = _Table(1, 4)
    optimiser = Optimisers(model, _config(embedding_learning_rate=0.05))
    before = model.embedding.weight.detach().clone()
    optimiser.zero_grad()
    (model.embedding(torch.tensor([[0]])) * torch.tensor([1e15, 0, 0, 0])).sum().backward()
    optimiser.step()
    assert (model.embedding.weight - before).norm().item() == pytest.approx(0.05 * 2, rel=1e-5)


def test_forgotten_gradients_move_nothing() -> None:
    model = _Table(20, 3)
    optimiser = Optimisers(model, _config())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (model.embedding(torch.tensor([[3]])).sum() * model.scale).backward()
    optimiser.zero_grad()
    optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("rule", ["rowwise_adagrad", "adam"])
def test_a_model_without_fields_learns_from_its_numbers(rule: str) -> None:
    config = _config(embedding_optimiser=rule)
    model = build_model(Shape(1, 0, 2, (), ("user",) * 2), heads=2, config=config)
    optimiser, before = Optimisers(model, config), model.state_dict()["first.weight"].clone()
    optimiser.zero_grad()
    model(torch.empty(4, 0, dtype=torch.long), torch.ones(4, 2)).sum().backward()
    optimiser.step()
    assert not torch.equal(model.state_dict()["first.weight"], before)


def _trained(rule: str, *, steps: int, cut: int | None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    config = _config(embedding_optimiser=rule, warmup_steps=4, clip_norm=0.5)
    model = build_model(SHAPE, heads=2, config=config)
    optimiser = Optimisers(model, config)
    for step in range(steps):
        if step == cut:
            saved = io.BytesIO()
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "random": torch.get_rng_state()}
            torch.save(state, saved)
            model = build_model(SHAPE, heads=2, config=config)
            optimiser = Optimisers(model, config)
            found: dict[str, Any] = torch.load(io.BytesIO(saved.getvalue()), weights_only=True)
            model.load_state_dict(found["model"])
            optimiser.load_state_dict(found["optimiser"])
            torch.set_rng_state(found["random"])
        draw = torch.Generator().manual_seed(step)
        ids, dense = torch.randint(40, (30, 3), generator=draw), torch.randn(30, 2, generator=draw)
        optimiser.zero_grad()
        functional.binary_cross_entropy_with_logits(model(ids, dense), (dense > 0).float()).backward()
        optimiser.step()
    return model.state_dict() | {f"moments.{name}": value for name, value in optimiser.moments.items()}


@pytest.mark.parametrize("rule", ["rowwise_adagrad", "adam"])
def test_a_run_that_was_cut_off_goes_on_to_the_same_bits(rule: str) -> None:
    whole = _trained(rule, steps=7, cut=None)
    for cut in (1, 3, 6):
        found = _trained(rule, steps=7, cut=cut)
        assert found.keys() == whole.keys() and all(torch.equal(found[name], whole[name]) for name in whole)


def test_state_of_another_rule_or_another_table_is_refused() -> None:
    state = Optimisers(_Table(5, 2), _config()).state_dict()
    with pytest.raises(ValueError, match="squares"):
        Optimisers(_Table(5, 2), _config(embedding_optimiser="adam")).load_state_dict(state)
    with pytest.raises(ValueError, match=r"\[6\]"):
        Optimisers(_Table(6, 2), _config()).load_state_dict(state)


def test_the_tables_update_gives_the_same_bits_with_two_threads() -> None:
    generator = torch.Generator().manual_seed(0)
    ids, factors = torch.randint(3000, (4000, 10), generator=generator), torch.randn(4000, 80, generator=generator)
    tables, before = [], torch.get_num_threads()
    for threads in (1, 2):
        torch.manual_seed(0)
        model = _Table(3000, 8)
        try:
            torch.set_num_threads(threads)
            for _ in range(2):
                _step(Optimisers(model, _config()), model.embedding, ids=ids, factors=factors)
        finally:
            torch.set_num_threads(before)
        tables.append(model.embedding.weight.detach())
    assert torch.equal(*tables)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("rule", ["rowwise_adagrad", "adam"])
def test_a_gpu_learns_the_same_and_no_step_waits_for_it(rule: str) -> None:
    config, models = _config(embedding_optimiser=rule, gate_dropout=0.0, clip_norm=0.5), []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = build_model(SHAPE, heads=2, config=config).to(device)
        optimiser = Optimisers(model, config)
        for step in range(5):
            draw = torch.Generator().manual_seed(step)
            ids, dense = (
                torch.randint(40, (30, 3), generator=draw).to(device),
                torch.randn(30, 2, generator=draw).to(device),
            )
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("error")
            optimiser.zero_grad()
            functional.binary_cross_entropy_with_logits(model(ids, dense), (dense > 0).float()).backward()
            optimiser.step()
            torch.cuda.set_sync_debug_mode("default")
        models.append({name: value.cpu() for name, value in model.state_dict().items()})
    for name, value in models[0].items():
        torch.testing.assert_close(models[1][name], value, rtol=1e-3, atol=1e-4)

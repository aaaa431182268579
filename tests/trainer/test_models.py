"""Each network against a slow version that loops over experts and heads, with plain indexing for look-ups."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from headrace.config import load_config
from headrace.config.training import TrainConfig
from trainer.models import Mmoe, Ple, Shape, SharedBottom, ThreeTower, TwoTower, build_model
from trainer.models.parts import Parallel
from trainer.models.sides import SideTower

KINDS = {"shared_bottom": SharedBottom, "mmoe": Mmoe, "ple": Ple, "two_tower": TwoTower, "three_tower": ThreeTower}
SHAPE = Shape(30, 4, 5, ("user", "item", "cross", "item"), ("user", "user", "item", "cross", "cross"))
SMALL = load_config(
    settings=[f"train.{s}" for s in ("embedding_dim=3", "experts=3", "expert_layers=[6, 5]", "tower_layers=[4]")]
).train


def _config(**changes: object) -> TrainConfig:
    return SMALL.model_copy(update=changes)


def _model(kind: str, *, heads: int = 3, shape: Shape = SHAPE, **changes: Any) -> Any:
    torch.manual_seed(3)
    model: Any = build_model(shape, heads=heads, config=_config(model=kind, **changes)).double()
    with torch.no_grad():
        model.embedding.weight.normal_()  # large enough that all experts and gates differ
    return model


def _inputs(rows: int = 11) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(30, (rows, 4), generator=generator), torch.randn(rows, 5, generator=generator).double()


def _raw(model: Any, ids: Tensor, dense: Tensor) -> Tensor:
    return torch.cat([model.embedding.weight[ids].flatten(1), dense], dim=1)


def _linear(x: Tensor, block: Tensor) -> Tensor:
    """A first layer (out, X) on plain inputs: the column after theirs is the bias."""
    n = x.shape[1]
    return functional.linear(x, block[:, :n], block[:, n])


def _chain(x: Tensor, chain: Parallel, group: int) -> Tensor:
    for i, (weight, bias) in enumerate(zip(chain.weights, chain.biases, strict=True)):
        x = functional.linear(x, weight[group].T, bias[group, 0])
        if chain.last_relu or i + 1 < len(chain.weights):
            x = x.relu()
    return x


def _slow_shared_bottom(model: SharedBottom, ids: Tensor, dense: Tensor) -> Tensor:
    first, *rest = [layer for layer in model.bottom if isinstance(layer, nn.Linear)]
    x = _linear(_raw(model, ids, dense), first.weight).relu()
    for layer in rest:
        x = layer(x).relu()
    return torch.cat([_chain(x, model.towers, t) for t in range(model.heads)], dim=1)


def _slow_mmoe(model: Mmoe, ids: Tensor, dense: Tensor) -> Tensor:
    x, weight, width = _raw(model, ids, dense), model.first.weight, model.hidden
    experts = [_chain(_linear(x, weight[e * width :][:width]).relu(), model.experts, e) for e in range(model.count)]
    logits = []
    for t in range(model.heads):
        gate = _linear(x, weight[model.count * width + t * model.count :][: model.count]).softmax(dim=1)
        mixed = torch.stack([gate[:, [e]] * expert for e, expert in enumerate(experts)]).sum(dim=0)
        logits.append(_chain(mixed, model.towers, t))
    return torch.cat(logits, dim=1)


def _slow_ple(model: Any, ids: Tensor, dense: Tensor) -> Tensor:
    groups, x = model.groups, _raw(model, ids, dense)
    firsts = [_linear(x, block) for block in model.first.weight.chunk(groups)]
    for number, level in enumerate(model.levels):
        count, width, experts, mixed = level.count, level.hidden, {}, []
        for g in range(groups):
            for e in range(count):
                hidden = firsts[g][:, e * width : (e + 1) * width].relu()
                experts[g, e] = _chain(hidden, level.experts, g * count + e)
        last = number + 1 == len(model.levels)
        for g in range(groups - 1 if last else groups):
            shared = groups - 1
            seen = [(h, e) for h, e in experts if g == shared or h in (g, shared)]
            gate = firsts[g][:, count * width :][:, [h * count + e for h, e in seen]].softmax(dim=1)
            mixed.append(torch.stack([gate[:, [i]] * experts[place] for i, place in enumerate(seen)]).sum(dim=0))
        if not last:
            firsts = [_chain(mixed[g], model.between[number], g) for g in range(groups)]
    return torch.cat([_chain(mixed[t], model.towers, t) for t in range(groups - 1)], dim=1)


def _slow_side(model: nn.Module, name: str, ids: Tensor, dense: Tensor) -> Tensor:
    """What a tower puts out before its last layer."""
    tower: SideTower = getattr(model, name)
    fields, numbers = SHAPE.of_side(name)  # type: ignore[arg-type]
    first, *rest = [layer for layer in tower.hidden if isinstance(layer, nn.Linear)]
    x = _linear(_raw(model, ids[:, fields], dense[:, numbers]), first.weight).relu()
    for layer in rest:
        x = layer(x).relu()
    return x


def _slow_two_tower(model: TwoTower, ids: Tensor, dense: Tensor) -> Tensor:
    users, items = (
        _slow_side(model, side, ids, dense) @ getattr(model, side).out.weight.T for side in ("user", "item")
    )
    width = items.shape[1]
    rows = []
    for user, item in zip(users, items, strict=True):
        rows.append([user[t * width : (t + 1) * width] @ item / width**0.5 for t in range(model.heads)])
    return torch.stack([torch.stack(row) for row in rows]) + model.bias


def _slow_three_tower(model: ThreeTower, ids: Tensor, dense: Tensor) -> Tensor:
    """As the paper draws it: the three outputs are joined, and layers of the top follow."""
    sides = ("user", "item", "cross")
    joined = torch.cat([_slow_side(model, side, ids, dense) for side in sides], dim=1)
    weight = torch.cat([getattr(model, side).out.weight for side in sides], dim=1)  # (T U, all)
    first = [block.squeeze(0) for block in weight.unflatten(0, (model.heads, -1)).split(1)]
    hidden = [functional.linear(joined, block, model.bias[t, 0]) for t, block in enumerate(first)]
    if len(model.top.weights):
        hidden = [_chain(x.relu(), model.top, t) for t, x in enumerate(hidden)]
    return torch.cat(hidden, dim=1)


SLOW: dict[str, Callable[..., Tensor]] = {
    "shared_bottom": _slow_shared_bottom,
    "mmoe": _slow_mmoe,
    "ple": _slow_ple,
    "two_tower": _slow_two_tower,
    "three_tower": _slow_three_tower,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("heads", "changes"),
    [(3, {}), (1, {"experts": 1}), (2, {"expert_layers": (7,), "tower_layers": ()}), (2, {"tower_layers": (5, 4)})],
)
def test_logits_and_gradients_equal_the_slow_version(kind: str, heads: int, changes: dict[str, Any]) -> None:
    model, (ids, dense) = _model(kind, heads=heads, **changes).eval(), _inputs()
    factors = torch.randn(11, heads, generator=torch.Generator().manual_seed(2)).double()
    fast = model(ids, dense)
    (fast.sigmoid() * factors).sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    table = torch.zeros_like(model.embedding.weight)
    for seen, gradient in model.embedding.gradients:
        table.index_add_(0, seen.flatten(), gradient.reshape(-1, 3))
    model.zero_grad()
    slow = SLOW[kind](model, ids, dense)
    (slow.sigmoid() * factors).sum().backward()
    torch.testing.assert_close(fast, slow)
    wanted = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    torch.testing.assert_close(table, wanted.pop("embedding.weight"))
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name])


@pytest.mark.parametrize("kind", KINDS)
def test_the_configuration_names_the_network(kind: str) -> None:
    assert type(_model(kind)) is KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_heads_start_where_they_are_told(kind: str) -> None:
    """Exactly so where the last layer's input is nothing."""
    model = _model(kind).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.start_at(torch.tensor([-4.0, 0.5, 2.0]))
    assert model(*_inputs()).tolist() == [[-4.0, 0.5, 2.0]] * 11


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_without_fields_or_without_numbers_still_scores(kind: str) -> None:
    ids, dense = _inputs()
    no_fields = _model(kind, shape=Shape(1, 0, 5, (), SHAPE.dense_sides))
    assert no_fields(ids[:, :0], dense).shape == (11, 3)
    no_numbers = _model(kind, shape=Shape(30, 4, 0, SHAPE.field_sides, ()))
    assert no_numbers(ids, dense[:, :0]).shape == (11, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_have_no_logits(kind: str) -> None:
    ids, dense = _inputs()
    assert _model(kind)(ids[:0], dense[:0]).shape == (0, 3)


def test_no_head_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="0 heads"):
        build_model(SHAPE, heads=0, config=SMALL)


@pytest.mark.parametrize("kind", ["mmoe", "ple"])
def test_gates_are_whole_when_not_training_and_dropped_when_training(kind: str) -> None:
    model, inputs = _model(kind, gate_dropout=0.6), _inputs()
    assert torch.equal(model.eval()(*inputs), model.eval()(*inputs))
    whole = model.gate_weights(*inputs)
    torch.testing.assert_close(whole.sum(dim=2), torch.ones(11, 3).double())
    assert not torch.equal(model.train()(*inputs), model.train()(*inputs))
    without = _model(kind, gate_dropout=0.0)
    assert torch.equal(without.train()(*inputs), without.eval()(*inputs))


def test_gates_of_ple_see_a_heads_own_experts_and_the_shared_ones() -> None:
    weights = _model("ple", heads=2).gate_weights(*_inputs())
    seen = (weights > 0).all(dim=0)
    assert seen.tolist() == [[True] * 3 + [False] * 3 + [True] * 3, [False] * 3 + [True] * 6]
    assert bool((weights[:, ~seen] == 0).all())


@pytest.mark.parametrize("kind", ["two_tower", "three_tower"])
def test_a_cached_item_and_one_user_for_a_request_score_as_the_whole_model(kind: str) -> None:
    """The user's tower runs once for eleven candidates; the items' vectors come from another request."""
    model, (ids, dense) = _model(kind).eval(), _inputs()
    fields, numbers = SHAPE.of_side("user")
    ids[:, fields], dense[:, numbers] = ids[:1, fields], dense[:1, numbers]
    cross = (ids, dense) if kind == "three_tower" else ()
    whole = model(ids, dense)
    assert torch.equal(model.score(model.user_vector(ids, dense), model.item_vector(ids, dense), *cross), whole)
    other_ids, other_dense = ids.clone(), dense.clone()
    other_ids[:, fields], other_dense[:, numbers] = 0, 9.0
    cached = model.item_vector(other_ids, other_dense)
    torch.testing.assert_close(model.score(model.user_vector(ids[:1], dense[:1]), cached, *cross), whole)


@pytest.mark.parametrize(("kind", "matters"), [("two_tower", False), ("three_tower", True)])
def test_what_is_of_both_sides_matters_to_three_towers_only(kind: str, matters: bool) -> None:
    model, (ids, dense) = _model(kind).eval(), _inputs()
    before = model(ids, dense)
    dense[:, SHAPE.of_side("cross")[1]] += 1
    assert torch.equal(model(ids, dense), before) is not matters


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_dict_brings_back_the_same_scores(kind: str) -> None:
    model, inputs = _model(kind).eval(), _inputs()
    other = build_model(SHAPE, heads=3, config=_config(model=kind)).double().eval()
    assert not torch.equal(other(*inputs), model(*inputs))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(*inputs), model(*inputs))


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_for_training_only(kind: str) -> None:
    model, inputs = _model(kind, dropout=0.5, gate_dropout=0.0), _inputs()
    assert torch.equal(model.eval()(*inputs), model.eval()(*inputs))
    assert not torch.equal(model.train()(*inputs), model.train()(*inputs))

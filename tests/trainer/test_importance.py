"""Permutation importance of groups of features, beside the same by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from headrace.errors import ConfigError, InputError
from tests.trainer.world import CONFIG, FIRST, LABELS, make_day, publish, write_day
from trainer.after import After
from trainer.checkpoint import Checkpoint, day_facts
from trainer.facts import Facts
from trainer.fitting import fit_days, training_pieces
from trainer.heads import Head
from trainer.importance import dealt, default_groups, permutation_importance
from trainer.inputs import Inputs, orders_of
from trainer.published import find_days
from trainer.tasks import Plan

RATE = 0.1
PLAN = Plan(
    ("click",), (Head("click", "binary", "label_click"), Head("any_positive", "binary", "any")),
    "any_positive", RATE, 1.0, ("click", "follow"), {},
)  # fmt: skip


class Known(nn.Module):
    """Logits of click from one dense input, and of any positive above them; nothing else is looked at."""

    def __init__(self, first: int, second: int = 0) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.slope = nn.Parameter(torch.tensor(1.2))

    def forward(self, ids: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        click = self.slope * dense[:, self.first]
        return torch.stack([click - 1, click], dim=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One day in several row groups, with an encoder fitted on it."""
    folder = tmp_path_factory.mktemp("importance")
    rows = make_day(FIRST, rows=6000)
    for part in (rows.slice(0, 700), rows.slice(700)):
        version = write_day(folder, part)
    publish(folder, FIRST, version=version)
    days = find_days(str(folder), [FIRST])
    pieces = training_pieces(str(folder), days)
    encoder = fit_days(str(folder), days, pieces=pieces, config=CONFIG, progress=lambda rows: None).encoder
    return {"root": str(folder), "days": days, "pieces": pieces, "encoder": encoder}


def _checkpoint(world: dict[str, Any], looked_at: str) -> Checkpoint:
    encoder = world["encoder"]
    model = Known(encoder.dense.index(looked_at))
    return Checkpoint(model, encoder, PLAN, CONFIG, dict(LABELS), Facts(), day_facts(world["days"]), After(), {})


def _found(checkpoint: Checkpoint, world: dict[str, Any], **options: Any) -> Any:
    where = {name: world[name] for name in ("root", "days", "pieces")}
    return {one.group: one for one in permutation_importance(checkpoint, **where, **options)}


def test_ids_stand_apart_and_features_stand_by_their_source(world: dict[str, Any]) -> None:
    groups = default_groups(_checkpoint(world, "item_quality"), world["days"])
    assert groups["ids"] == ["user_id", "item_id", "author_id"]
    assert groups["context"] == ["context_hour", "scene"]
    assert groups["profile:user"] == ["user_age", "is_new"]
    assert "item_quality" in groups["profile:item"]
    named = [name for names in groups.values() for name in names]
    encoder = world["encoder"]
    assert sorted(named) == sorted([*encoder.fields, *(number.name for number in encoder.numbers)])


def test_only_the_group_that_the_model_looks_at_is_missed(world: dict[str, Any]) -> None:
    found = _found(_checkpoint(world, "item_quality"), world)
    missed = found.pop("profile:item")
    assert missed.auc["click"].value > 0.1
    assert missed.log_loss["click"].value > 10 * missed.log_loss["click"].error > 0
    assert {(one.auc["click"].value, one.log_loss["click"].error) for one in found.values()} == {(0.0, 0.0)}


def test_losses_equal_those_counted_by_hand(world: dict[str, Any]) -> None:
    checkpoint = _checkpoint(world, "item_quality")
    one = _found(checkpoint, world, seed=5, repeats=2)["profile:item"]
    inputs = Inputs(world["root"], orders_of(world["days"]), world["encoder"], PLAN)
    blocks = [rows for _, rows in inputs.stream(world["pieces"])]
    at = world["encoder"].dense.index("item_quality")
    quality = np.concatenate([rows["dense"][:, at] for rows in blocks]).astype(float)
    y = np.concatenate([rows["labels"][:, 0] for rows in blocks])
    w = np.concatenate([rows["weight"] for rows in blocks])
    whole = _by_hand(quality, y, w)
    parts = [_by_hand(quality[dealt(w, np.random.default_rng([5, i]))], y, w) for i in range(2)]
    assert one.rows == len(y)
    assert one.log_loss["click"].value == pytest.approx(np.mean([p[0] for p in parts]) - whole[0], rel=1e-5)
    assert one.auc["click"].value == pytest.approx(whole[1] - np.mean([p[1] for p in parts]), rel=1e-5)
    assert one.auc["click"].error == pytest.approx(abs(parts[0][1] - parts[1][1]) / 2, rel=1e-3)


def _by_hand(quality: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """(log loss, AUC) of click, corrected for the rates, by weighted pairs."""
    click, shared = (1 / (1 + np.exp(-(1.2 * quality - k))) for k in (1, 0))
    p = RATE * click / (1 - shared + RATE * shared)
    losses = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    up, down = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    wins = (p[up][:, None] > p[down][None, :]) + 0.5 * (p[up][:, None] == p[down][None, :])
    pairs = w[up][:, None] * w[down][None, :]
    return float(np.average(losses, weights=w)), float((pairs * wins).sum() / pairs.sum())


class Product(Known):
    """Logits from |first| x second, which is 0 in every row whose second input says that the first is missing."""

    def forward(self, ids: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        product = self.slope * 50 * dense[:, self.first].abs() * dense[:, self.second]
        return torch.stack([product - 1, product], dim=1)


def test_a_number_goes_to_other_rows_together_with_its_missing_bit(world: dict[str, Any]) -> None:
    checkpoint = _checkpoint(world, "user_age")
    places = [world["encoder"].dense.index(name) for name in ("user_age", "user_age?missing")]
    found = _found(replace(checkpoint, model=Product(*places)), world, groups={"age": ["user_age"]})
    assert found["age"].log_loss["click"].value == found["age"].auc["click"].value == 0.0


def test_rows_of_one_weight_are_permuted_and_heavy_rows_give_more_often() -> None:
    assert sorted(dealt(np.full(1000, 0.1), np.random.default_rng(1))) == list(range(1000))
    weight = np.where(np.arange(900) % 3 == 0, 1.0, 10.0)
    times = np.bincount(dealt(weight, np.random.default_rng(2)), minlength=900)
    share = 900 * weight / weight.sum()
    assert np.all((times >= np.floor(share)) & (times <= np.ceil(share)))


def test_the_cells_are_dealt_in_the_proportions_of_the_traffic() -> None:
    rng = np.random.default_rng(3)
    y = rng.random(20_000) < 0.5
    weight, x = np.where(y, 1.0, 9.0), y + rng.normal(0, 0.1, 20_000)
    dealt_x = x[dealt(weight, rng)]
    assert np.average(dealt_x, weights=weight) == pytest.approx(np.average(x, weights=weight), abs=0.01)


def test_no_more_rows_than_asked_for_and_the_same_ones_for_the_same_seed(world: dict[str, Any]) -> None:
    checkpoint = _checkpoint(world, "item_quality")
    asked = [_found(checkpoint, world, rows=300, seed=seed)["profile:item"] for seed in (1, 1, 2)]
    assert {one.rows for one in asked} == {300}
    assert asked[0] == asked[1] != asked[2]


def test_the_sample_stands_for_all_rows(world: dict[str, Any]) -> None:
    checkpoint = _checkpoint(world, "item_quality")
    whole, part = (_found(checkpoint, world, rows=rows, seed=4)["profile:item"].auc["click"] for rows in (9999, 700))
    assert part.value == pytest.approx(whole.value, abs=0.08)


def test_a_group_is_named_by_patterns_and_one_that_fits_nothing_is_refused(world: dict[str, Any]) -> None:
    checkpoint = _checkpoint(world, "item_quality")
    found = _found(checkpoint, world, rows=200, groups={"some": ["item_?uality", "item_cl*"], "age": ["user_age"]})
    assert found["some"].features == ("item_click_count_7d", "item_quality")
    with pytest.raises(ConfigError, match=r"age: 'user_ages'"):
        _found(checkpoint, world, groups={"age": ["user_age", "user_ages"]})


def test_nothing_to_look_at_is_refused(world: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="two at least"):
        permutation_importance(_checkpoint(world, "item_quality"), root=world["root"], days=world["days"], pieces=[])


def test_progress_is_told_group_by_group(world: dict[str, Any]) -> None:
    told: list[tuple[str, int, int, str]] = []
    _found(_checkpoint(world, "item_quality"), world, rows=100, progress=lambda *said: told.append(said))
    assert told[0] == ("importance", 0, 5, "ids")
    assert [done for _, done, _, _ in told] == list(range(5))

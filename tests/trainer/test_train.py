"""Training from published days to a judged checkpoint."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from rich.console import Console

from headrace.config.fusion import Fusion, FusionInput, TuneConfig
from headrace.errors import ConfigError, InputError
from tests.trainer.conftest import Trained
from tests.trainer.world import CONFIG, FEATURES, FIRST, LABELS, make_day, publish, world, write_day
from trainer.checkpoint import load_checkpoint
from trainer.evaluate import Evaluation, evaluate
from trainer.render import render_evaluation, render_training
from trainer.reporting import TaskReport
from trainer.tasks import ANY
from trainer.train import TrainResult, train

SMALL = CONFIG.model_copy(update={"epochs": 1})


def _train(root: Path | str, days: list[date], *, out: Path, **options: object) -> TrainResult:
    return train(str(root), days=days, valid_day=None, config=SMALL, out=out, **options)  # type: ignore[arg-type]


def _judged(trained: Trained) -> Evaluation:
    return evaluate(trained.out, root=trained.root, days=trained.days[2:], truth=Path(trained.root) / "truth")


def _actions(found: Evaluation) -> list[TaskReport]:
    """The reports of actions, whose scores the rates correct."""
    return [task for task in found.tasks if task.task in found.plan.tasks]


def _one_day(root: Path, rows: pa.Table, **options: object) -> None:
    publish(root, FIRST, version=write_day(root, rows), **options)  # type: ignore[arg-type]


def test_calibration_brings_predicted_over_actual_from_far_off_to_near_one(trained: Trained) -> None:
    for task in _actions(_judged(trained)):
        assert task.raw_traffic.pcoc > 2.5
        assert task.calibrated_traffic.pcoc == pytest.approx(1, abs=0.15)


def test_model_ranks_nearly_as_well_as_the_true_probabilities(trained: Trained) -> None:
    for task in _actions(_judged(trained)):
        assert task.truth is not None
        assert task.calibrated_traffic.auc > 0.7
        assert task.truth.auc_bound + 0.01 > task.truth.auc_model > task.truth.auc_bound - 0.05


def test_calibrated_scores_are_near_the_true_probabilities(trained: Trained) -> None:
    for task in _actions(_judged(trained)):
        assert task.truth is not None and task.truth.rows == task.rows
        assert task.truth.correlation > 0.85 and task.truth.mean_ratio == pytest.approx(1, abs=0.12)
        assert -0.002 < task.truth.log_loss_gap < 0.03


def test_union_of_positives_has_a_head_because_a_follow_needs_no_click(trained: Trained) -> None:
    assert trained.result.plan.names == ("click", "like", ANY, "completed", "completion", "watch")


def test_kept_epoch_is_the_best_on_the_validation_day(trained: Trained) -> None:
    losses = [epoch["valid_loss"] for epoch in trained.result.epochs]
    assert trained.result.kept_epoch == int(np.argmin(losses)) + 1
    again = [t.calibrated_traffic.log_loss for t in _actions(_judged(trained))]
    assert np.mean(again) == pytest.approx(min(losses), rel=1e-12)


def test_weighted_model_is_calibrated_already(trained: Trained, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 4, "weighted": True})
    train(trained.root, days=trained.days[:2], valid_day=None, config=config, out=tmp_path / "m")
    for task in _actions(evaluate(tmp_path / "m", root=trained.root, days=trained.days[2:])):
        assert task.raw_traffic == task.calibrated_traffic
        assert task.calibrated_traffic.pcoc == pytest.approx(1, abs=0.2)


def test_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    root, days = world(tmp_path / "t", days=2, rows=1500)
    models: list[dict[str, torch.Tensor]] = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        torch.rand(len(models) + 1)  # the caller's own draws must not matter
        config = SMALL.model_copy(update={"seed": seed})
        train(root, days=days, valid_day=None, config=config, out=tmp_path / name)
        models.append(load_checkpoint(tmp_path / name).model.state_dict())
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())
    assert not torch.equal(models[0]["first.weight"], models[2]["first.weight"])


def test_training_leaves_the_callers_random_state_alone(tmp_path: Path) -> None:
    root, days = world(tmp_path / "t", days=1, rows=1000)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    _train(root, days, out=tmp_path / "m")
    assert torch.equal(torch.rand(3), expected)


def test_progress_reaches_the_whole_in_every_stage(tmp_path: Path) -> None:
    root, days = world(tmp_path / "t", days=1, rows=1000)
    seen: dict[str, tuple[int, int]] = {}
    _train(root, days, out=tmp_path / "m", progress=lambda stage, done, total, _: seen.update({stage: (done, total)}))
    assert set(seen) == {"fit", "train 1/1"} and all(done == total > 0 for done, total in seen.values())


def _with_broken_cells(root: Path) -> None:
    rows = make_day(FIRST, rows=1500)
    quality = rows["item_quality"].to_numpy().copy()
    quality[:3], quality[3:5] = np.nan, np.inf
    _one_day(root, rows.set_column(rows.column_names.index("item_quality"), "item_quality", pa.array(quality)))


def test_nan_and_infinite_cells_are_refused_before_the_first_batch(tmp_path: Path) -> None:
    _with_broken_cells(tmp_path)
    with pytest.raises(InputError, match="5 NaN or infinite cells in 1 columns: item_quality 5"):
        _train(tmp_path, [FIRST], out=tmp_path / "m")


def test_broken_cells_may_be_taken_for_missing_and_are_then_counted(tmp_path: Path) -> None:
    _with_broken_cells(tmp_path)
    config = SMALL.model_copy(update={"broken": "missing"})
    result = train(str(tmp_path), days=[FIRST], valid_day=None, config=config, out=tmp_path / "m")
    assert result.facts.broken["item_quality"] == 5
    assert all(np.isfinite(loss) for loss in result.epochs[0]["losses"].values())


def test_a_negative_watch_time_is_refused(tmp_path: Path) -> None:
    rows = make_day(FIRST, rows=600)
    watched = rows["label_watch_s"].to_numpy().copy()
    watched[np.flatnonzero(~np.isnan(watched))[:2]] = -1.0
    cells = pa.array(watched, from_pandas=True)
    _one_day(tmp_path, rows.set_column(rows.column_names.index("label_watch_s"), "label_watch_s", cells))
    with pytest.raises(InputError, match="2 cells that are NaN, infinite or negative"):
        _train(tmp_path, [FIRST], out=tmp_path / "m")


def test_label_of_one_class_is_dropped_and_said(tmp_path: Path) -> None:
    rows = make_day(FIRST, rows=1500)
    none = pa.array(np.zeros(len(rows), dtype=np.int32))
    _one_day(tmp_path, rows.set_column(rows.column_names.index("label_like"), "label_like", none))
    result = _train(tmp_path, [FIRST], out=tmp_path / "m")
    assert result.plan.tasks == ("click",) and "one class" in result.plan.dropped["like"]


def test_day_without_negatives_is_refused(tmp_path: Path) -> None:
    rows = make_day(FIRST, rows=1500)
    _one_day(tmp_path, rows.filter(pa.array(rows["sampling_rate"].to_numpy() == 1.0)))
    with pytest.raises(InputError, match="both classes"):
        _train(tmp_path, [FIRST], out=tmp_path / "m")


def test_published_day_without_rows_is_refused(tmp_path: Path) -> None:
    write_day(tmp_path, make_day(date(2024, 5, 2), rows=300))
    publish(tmp_path, FIRST, version=0)
    with pytest.raises(InputError, match="without rows"):
        _train(tmp_path, [FIRST], out=tmp_path / "m")


def test_days_sampled_at_different_rates_are_learnt_with_weights(tmp_path: Path) -> None:
    days = [FIRST, date(2024, 5, 2)]
    for ds, rate in zip(days, (0.1, 0.3), strict=True):
        publish(tmp_path, ds, version=write_day(tmp_path, make_day(ds, rows=1500, negative_rate=rate)))
    assert _train(tmp_path, days, out=tmp_path / "m").plan.denominator is None
    config = SMALL.model_copy(update={"weighted": False})
    with pytest.raises(InputError, match=r"negatives at 0\.1 to 0\.3"):
        train(str(tmp_path), days=days, valid_day=None, config=config, out=tmp_path / "n")


def test_weight_that_is_not_one_over_the_rate_is_refused(tmp_path: Path) -> None:
    rows = make_day(FIRST, rows=600)
    ones = pa.array(np.ones(len(rows)))
    _one_day(tmp_path, rows.set_column(rows.column_names.index("sample_weight"), "sample_weight", ones))
    with pytest.raises(InputError, match="a weight of 1 / rate"):
        _train(tmp_path, [FIRST], out=tmp_path / "m")


def test_days_of_different_features_are_refused(tmp_path: Path) -> None:
    days = [FIRST, date(2024, 5, 2)]
    for ds, features in zip(days, (FEATURES, FEATURES[1:]), strict=True):
        publish(tmp_path, ds, version=write_day(tmp_path, make_day(ds, rows=300)), features=features)
    with pytest.raises(InputError, match="context_hour"):
        _train(tmp_path, days, out=tmp_path / "m")


def test_validation_day_among_the_training_days_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2024-05-01 named twice"):
        train(str(tmp_path), days=[FIRST], valid_day=FIRST, config=SMALL, out=tmp_path / "m")


def test_root_without_an_author_column_trains(tmp_path: Path) -> None:
    _one_day(tmp_path, make_day(FIRST, rows=1000).drop_columns(["author_id"]))
    _train(tmp_path, [FIRST], out=tmp_path / "m")
    assert load_checkpoint(tmp_path / "m").encoder.fields[:3] == ["user_id", "item_id", "context_hour"]


def test_click_is_the_denominator_where_labels_say_so(tmp_path: Path) -> None:
    rows = make_day(FIRST, rows=1500)
    clicked = (rows["label_follow"].to_numpy() | rows["label_click"].to_numpy()).astype(np.int32)
    rows = rows.set_column(rows.column_names.index("label_click"), "label_click", pa.array(clicked))
    _one_day(tmp_path, rows, labels=dict(LABELS) | {"implies": {"like": "click", "follow": "click"}})
    assert _train(tmp_path, [FIRST], out=tmp_path / "m").plan.denominator == "click"


def test_results_render_as_tables_with_before_and_after(trained: Trained) -> None:
    console = Console(width=200, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(render_training(trained.result))
    console.print(render_evaluation(_judged(trained)))
    text = console.export_text()
    for words in (
        "hash-2024-05-01-1",
        "sampled rows",
        "calibrated",
        "AUC of the truth",
        "of one class skipped",
        "NDCG@3",
        "Watch time",
    ):
        assert words in text


def test_filled_in_defaults_do_not_move_the_mean_that_numbers_are_standardised_by(tmp_path: Path) -> None:
    rows = make_day(FIRST, rows=1000)
    states = [s[:4] + bytes([2 if i % 2 else 0]) + s[5:] for i, s in enumerate(rows["feature_states"].to_pylist())]
    counts = [0 if i % 2 else 20 for i in range(len(rows))]
    for name, cells in (("feature_states", pa.array(states, pa.binary())), ("item_click_count_7d", pa.array(counts))):
        rows = rows.set_column(rows.column_names.index(name), name, cells)
    _one_day(tmp_path, rows)
    _train(tmp_path, [FIRST], out=tmp_path / "m")
    number = next(n for n in load_checkpoint(tmp_path / "m").encoder.numbers if n.name == "item_click_count_7d")
    assert (number.mean, number.std) == (pytest.approx(np.log1p(20)), 1.0)


def test_order_of_a_days_features_may_differ_from_day_to_day(tmp_path: Path) -> None:
    made = []
    for name, turn in (("same", 1), ("turned", -1)):
        root, day = tmp_path / name, make_day(date(2024, 5, 2), rows=900)
        _one_day(root, make_day(FIRST, rows=900))
        turned = pa.array([s[::turn] for s in day["feature_states"].to_pylist()], pa.binary())
        day = day.set_column(day.column_names.index("feature_states"), "feature_states", turned)
        publish(root, date(2024, 5, 2), version=write_day(root, day), features=FEATURES[::turn])
        _train(root, [FIRST, date(2024, 5, 2)], out=tmp_path / f"{name}-model")
        made.append(load_checkpoint(tmp_path / f"{name}-model").model.state_dict())
    assert all(torch.equal(value, made[1][name]) for name, value in made[0].items())


def test_what_cannot_be_watched_costs_the_watch_heads_nothing(trained: Trained) -> None:
    watch = _judged(trained).watch
    assert watch is not None and watch.traffic.missing > 0.2 * watch.traffic.rows
    assert watch.traffic.mean_ratio == pytest.approx(1, abs=0.6) and watch.traffic.xauc > 0.7


def test_a_run_without_a_validation_day_keeps_the_last_epoch(tmp_path: Path) -> None:
    root, days = world(tmp_path / "t", days=1, rows=1000)
    result = train(root, days=days, valid_day=None, config=CONFIG, out=tmp_path / "m")
    assert (result.kept_epoch, result.valid) == (3, None)


def test_training_stops_when_nothing_gets_better(trained: Trained, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 40, "patience": 1, "embedding_learning_rate": 1.0})
    result = train(trained.root, days=trained.days[:1], valid_day=trained.days[2], config=config, out=tmp_path / "m")
    assert len(result.epochs) < 40 and result.kept_epoch == len(result.epochs) - 1


def test_without_a_validation_day_nothing_is_fitted_on_top_and_that_is_said(tmp_path: Path) -> None:
    root, days = world(tmp_path / "t", days=1, rows=600)
    config = SMALL.model_copy(update={"on_top": "platt"})
    result = train(root, days=days, valid_day=None, config=config, out=tmp_path / "m")
    assert result.checkpoint.after.on_top == {} and "nothing to validate on" in result.checkpoint.history["on_top"]


def test_a_search_for_the_fusions_numbers_needs_a_validation_day(tmp_path: Path) -> None:
    root, days = world(tmp_path / "t", days=1, rows=600)
    config = SMALL.model_copy(update={"tune": TuneConfig(utility={"click": 1.0}, top=2, trials=8)})
    with pytest.raises(ConfigError, match=r"train\.tune"):
        train(root, days=days, valid_day=None, config=config, out=tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "cell", "complaint"),
    [
        ("label_click", 2, r"label_click[\s\S]*1 cells such as 2\.0"),
        ("label_completed", 3, "label_completed"),
        ("sample_weight", 7.0, "weight of 1 / rate"),
        ("label_watch_s", -1.0, "negative"),
    ],
)
def test_rows_that_validate_are_checked_before_the_first_batch(
    tmp_path: Path, name: str, cell: float, complaint: str
) -> None:
    good, bad = make_day(FIRST, rows=600), make_day(date(2024, 5, 2), rows=600)
    cells = bad[name].to_pylist()
    cells[next(i for i, value in enumerate(cells) if value is not None)] = cell
    spoilt = bad.set_column(bad.column_names.index(name), name, pa.array(cells, bad[name].type))
    _one_day(tmp_path, good)
    publish(tmp_path, date(2024, 5, 2), version=write_day(tmp_path, spoilt))
    seen: list[str] = []
    with pytest.raises(InputError, match=complaint):
        train(
            str(tmp_path),
            days=[FIRST],
            valid_day=date(2024, 5, 2),
            config=SMALL,
            out=tmp_path / "m",
            progress=lambda stage, *_: seen.append(stage),
        )
    assert set(seen) == {"fit"}


def test_an_id_that_became_text_is_refused(trained: Trained, tmp_path: Path) -> None:
    rows = make_day(FIRST, rows=600)
    text = pa.array([str(user) for user in rows["user_id"].to_pylist()])
    _one_day(tmp_path, rows.set_column(rows.column_names.index("user_id"), "user_id", text))
    with pytest.raises(InputError, match=r"user_id[\s\S]*whole numbers"):
        _train(tmp_path, [FIRST], out=tmp_path / "m")


def test_weights_that_run_away_end_the_run_with_a_remedy(trained: Trained, tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"learning_rate": 1e30, "decay": False})
    with pytest.raises(ConfigError, match="run away"):
        train(trained.root, days=trained.days[:1], valid_day=None, config=config, out=tmp_path / "m")


@pytest.mark.parametrize("name", ["label_click", "scene", "feature_states", "nowhere"])
def test_a_fusion_of_what_is_no_head_and_no_number_is_refused_before_the_first_batch(
    trained: Trained, tmp_path: Path, name: str
) -> None:
    fusion = Fusion(form="sum", inputs={"click": FusionInput(weight=1.0), name: FusionInput(weight=1.0)})
    config = SMALL.model_copy(update={"fusion": fusion})
    with pytest.raises(ConfigError, match=name):
        train(trained.root, days=trained.days[:1], valid_day=None, config=config, out=tmp_path / "m")


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_a_correction_on_top_makes_the_validation_day_add_up(trained: Trained, tmp_path: Path, kind: str) -> None:
    config = SMALL.model_copy(update={"on_top": kind})
    result = train(trained.root, days=trained.days[:2], valid_day=trained.days[2], config=config, out=tmp_path / "m")
    assert result.valid is not None
    for task in _actions(result.valid):
        assert task.calibrated_traffic.pcoc == pytest.approx(1, abs=0.01)


def test_the_fusions_numbers_are_found_on_the_validation_day(trained: Trained, tmp_path: Path) -> None:
    tune = TuneConfig(utility={"click": 1.0, "like": 3.0}, top=2, trials=8)
    config = SMALL.model_copy(update={"tune": tune})
    result = train(trained.root, days=trained.days[:2], valid_day=trained.days[2], config=config, out=tmp_path / "m")
    after = load_checkpoint(tmp_path / "m").after
    assert after.tuning is not None and len(after.tuning["trials"]) == 8 and after.fusion is not None
    assert result.valid is not None and result.valid.fused is not None and result.valid.fused.top == 2


@pytest.mark.parametrize("model", ["shared_bottom", "ple", "two_tower", "three_tower"])
def test_every_model_trains_and_comes_back(tmp_path: Path, model: str) -> None:
    root, days = world(tmp_path / "t", days=2, rows=1000)
    config = SMALL.model_copy(update={"model": model, "heads": SMALL.heads.model_copy(update={"uncertainty": True})})
    result = train(root, days=days[:1], valid_day=days[1], config=config, out=tmp_path / "m")
    again = evaluate(tmp_path / "m", root=root, days=days[1:])
    assert result.valid is not None and again.tasks[0].raw_sample == result.valid.tasks[0].raw_sample

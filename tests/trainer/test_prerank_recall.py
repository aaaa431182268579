"""What of a ranker's top a pre-ranker keeps, among what was shown and in pools; the commands and the benchmark."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.prerank import bench
from headrace.cli_prerank import add_prerank_commands
from headrace.errors import ConfigError, InputError
from tests.trainer.conftest import Trained
from tests.trainer.towers import day_rows, random_towers, spliced
from trainer.after import After, corrected
from trainer.checkpoint import load_checkpoint
from trainer.encode import Encoder, encode
from trainer.prerank import pools as pools_module
from trainer.prerank import (
    recall_in_pools,
    recall_of,
    recall_shown,
)
from trainer.prerank.recall import top_shares
from trainer.prerank.streams import Rows, Stream
from trainer.scoring import score_batch


@pytest.fixture(scope="module")
def towers(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return random_towers(trained.out, tmp_path_factory.mktemp("towers"))


def test_shares_of_the_top_are_what_random_orders_of_ties_bring() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        scores, top = rng.integers(0, 3, 5).astype(float), int(rng.integers(1, 5))
        wanted = np.zeros(5)
        orders = [
            o for o in itertools.permutations(range(5)) if all(scores[a] >= scores[b] for a, b in itertools.pairwise(o))
        ]
        for order in orders:
            wanted[list(order[:top])] += 1 / len(orders)
        twice = top_shares(np.tile(scores, 2), requests=np.repeat([4, 2], 5), top=top)
        np.testing.assert_allclose(twice, np.tile(wanted, 2), atol=1e-12)


def test_recall_is_the_mean_share_of_the_top_that_is_kept() -> None:
    rng = np.random.default_rng(2)
    requests = np.repeat(np.arange(40), 12)[rng.permutation(480)]
    ranker, preranker = rng.normal(size=480), rng.normal(size=480)
    found = recall_of(ranker, preranker, requests=requests, top=3, keep=[6, 3])
    for kept in found.kept:
        each = []
        for r in range(40):
            rows = np.flatnonzero(requests == r)
            best = set(rows[np.argsort(-ranker[rows])[:3]].tolist())
            each.append(len(best & set(rows[np.argsort(-preranker[rows])[: kept.keep]].tolist())) / 3)
        half = 1.959964 * np.std(each, ddof=1) / 40**0.5
        assert kept.mean == pytest.approx(np.mean(each)) and kept.chance == pytest.approx(kept.keep / 12)
        assert (kept.low, kept.high) == pytest.approx((np.mean(each) - half, np.mean(each) + half))
    assert [kept.keep for kept in found.kept] == [3, 6] and (found.requests, found.candidates) == (40, 12.0)


def test_requests_that_keep_everything_are_left_out_and_counted() -> None:
    requests, scores = np.array([1, 1, 1, 2, 2]), np.arange(5.0)
    found = recall_of(scores, -scores, requests=requests, top=1, keep=[2])
    assert (found.requests, found.skipped, found.kept[0].mean) == (1, 1, 0.0)
    with pytest.raises(InputError, match="at most 3 in each of 2 requests"):
        recall_of(scores, scores, requests=requests, top=1, keep=[3])
    with pytest.raises(ConfigError, match="at least as many"):
        recall_of(scores, scores, requests=requests, top=3, keep=[2])


def test_a_constant_preranker_is_no_better_than_chance() -> None:
    scores = np.tile(np.arange(10.0), 3)
    found = recall_of(scores, np.zeros(30), requests=np.repeat([0, 1, 2], 10), top=2, keep=[5])
    assert found.kept[0].mean == pytest.approx(found.kept[0].chance) == pytest.approx(0.5)


def test_a_model_keeps_all_of_its_own_top(trained: Trained, towers: dict[str, Path]) -> None:
    own = recall_in_pools(
        trained.out, trained.out, root=trained.root, ds=trained.days[2], top=5, keep=[5], pool=60, requests=20
    )
    assert own.kept[0].mean == 1.0 and (own.requests, own.candidates, own.by) == (20, 60.0, "fused")
    other = recall_in_pools(
        trained.out,
        towers["two_tower"],
        root=trained.root,
        ds=trained.days[2],
        top=5,
        keep=[5, 30],
        pool=60,
        requests=20,
        by="click",
    )
    assert other.kept[0].mean < other.kept[1].mean < 1.0
    shown = recall_shown(trained.out, trained.out, root=trained.root, days=trained.days[2:], top=1, keep=[1])
    assert shown.kept[0].mean == 1.0 and shown.requests > 50


def test_pools_are_scored_with_the_items_latest_columns_and_all_else_of_the_request(trained: Trained) -> None:
    loaded = load_checkpoint(trained.out)
    rows = day_rows(trained.days[2])
    requests, items = rows.slice(0, 3), rows.slice(100, 40)
    pools = np.array([[1, 5, 39], [0, 2, 3], [7, 8, 9]])
    drawn = pools_module._Drawn(requests, items, loaded.history["state_order"])
    found = pools_module._pool_scores(loaded, drawn, pools=pools, by="click")
    chosen = spliced(requests.take(pa.array(np.repeat([0, 1, 2], 3))), items.take(pa.array(pools.reshape(-1))))
    ids, dense = encode(loaded.encoder, chosen, state_order=loaded.history["state_order"])
    _, wanted = corrected(loaded.plan, loaded.after, logits=score_batch(loaded, {"ids": ids, "dense": dense}))
    np.testing.assert_allclose(found, wanted["click"], rtol=1e-6)


def test_requests_are_drawn_by_sample_weight_and_one_of_a_user(trained: Trained) -> None:
    loaded = load_checkpoint(trained.out)
    rows = pa.table(
        {
            "user_id": np.repeat(np.arange(40), 5),
            "item_id": np.arange(200) % 7,
            "sample_weight": np.where(np.arange(200) < 100, 1e6, 1e-6),  # of the first 20 users
            "feature_states": pa.array([b"x"] * 200, pa.binary()),
        }
    )
    stream = Stream("rows", frozenset(rows.column_names), 200, lambda columns: iter([Rows(rows, [], None)]))
    blank = replace(loaded, encoder=Encoder((), (), ()), after=After())
    drawn = pools_module._drawn(stream, [blank], requests=20, rng=np.random.default_rng(0))
    assert sorted(drawn.requests["user_id"].to_pylist()) == list(range(20)) and drawn.items.num_rows == 7


def test_recall_needs_something_that_both_are_ordered_by_and_enough_items(trained: Trained) -> None:
    day = trained.days[2]
    with pytest.raises(ConfigError, match="one of fused, click"):
        recall_in_pools(trained.out, trained.out, root=trained.root, ds=day, top=1, keep=[1], pool=9, by="smile")
    with pytest.raises(InputError, match="at least 5000"):
        recall_in_pools(trained.out, trained.out, root=trained.root, ds=day, top=1, keep=[1], pool=5000)


def test_a_pool_that_is_kept_whole_is_refused(trained: Trained) -> None:
    with pytest.raises(ConfigError, match="9 kept of a pool of 9"):
        recall_in_pools(trained.out, trained.out, root=trained.root, ds=trained.days[2], top=1, keep=[9], pool=9)


def test_the_commands_export_rank_and_compare(trained: Trained, towers: dict[str, Path], tmp_path: Path) -> None:
    app, at = typer.Typer(), ["--set", f"root={trained.root}"]
    add_prerank_commands(app)
    pq.write_table(day_rows(trained.days[2]), tmp_path / "in.parquet")
    model, day = str(towers["three_tower"]), str(trained.days[2])
    items, out = str(tmp_path / "items"), str(tmp_path / "out.parquet")
    said = [
        CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)
        for command in (
            ["export", model, "--ds", day, "--days", 2, "--out", items, *at],
            ["rank", model, "--items", items, "--in", tmp_path / "in.parquet", "--out", out],
            ["recall", trained.out, model, "--ds", day, "--top", 2, "--pool", 40, "--requests", 9, *at],
        )
    ]
    assert [found.exit_code for found in said] == [0, 0, 0]
    assert "vectors of" in said[0].output and "rows scored into" in said[1].output
    assert [line.split()[1] for line in said[2].output.splitlines() if line.startswith("│")] == ["2", "4", "10"]
    assert pq.read_table(out).num_rows == len(day_rows(trained.days[2]))


def test_export_takes_days_or_rows_and_not_both(trained: Trained, tmp_path: Path) -> None:
    app = typer.Typer()
    add_prerank_commands(app)
    for given in ([], ["--ds", "2024-05-01", "--in", "x"]):
        with pytest.raises(ConfigError, match="one of them"):
            CliRunner().invoke(app, ["export", str(trained.out), "--out", "x", *given], catch_exceptions=False)


def test_the_benchmark_runs_and_finds_vectors_equal_to_thewhole_model(tmp_path: Path) -> None:
    out = tmp_path / "prerank.json"
    assert bench(["--scale", "tiny", "--rounds", "1", "--work", str(tmp_path), "--out", str(out)])
    found = json.loads(out.read_text())["ratios"]
    assert found["two_tower, multiply-adds per candidate"] == 8 * 64  # heads x width of a vector
    assert found["mmoe / three_tower, multiply-adds"] > 10

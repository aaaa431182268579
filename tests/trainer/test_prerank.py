"""Pre-ranking: cached vectors say what the whole model says, and recall counts what of a ranker's top is kept."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from deltalake import DeltaTable, write_deltalake

from headrace.errors import ConfigError, InputError
from tests.trainer.conftest import Trained
from tests.trainer.world import make_day
from trainer.after import After, corrected
from trainer.checkpoint import fresh_model, load_checkpoint, write_checkpoint
from trainer.encode import Encoder, encode
from trainer.predict import predict
from trainer.prerank import (
    Counts,
    export_items,
    load_items,
    open_towers,
    prerank,
    prerank_rows,
    recall_in_pools,
    recall_of,
    recall_shown,
)
from trainer.prerank import pools as pools_module
from trainer.prerank.latest import Latest
from trainer.prerank.recall import top_shares
from trainer.prerank.sides import encode_part, part_of
from trainer.prerank.streams import Rows, Stream
from trainer.scoring import score_batch

MODELS = ("two_tower", "three_tower")
ITEM_COLUMNS = ("item_id", "author_id", "item_click_count_7d", "item_quality", "item_recency_s", "item_duration_s")
ITEM_STATES = (4, 5, 6, 7)  # places of the item's features among world.FEATURES


@pytest.fixture(scope="module")
def towers(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each kind with random weights, large enough that every input tells."""
    folder = tmp_path_factory.mktemp("towers")
    loaded = load_checkpoint(trained.out)
    for seed, kind in enumerate((*MODELS, "mmoe")):
        config = loaded.config.model_copy(update={"model": kind})
        torch.manual_seed(seed)
        model = fresh_model(loaded.encoder, loaded.plan, config=config).eval()
        with torch.no_grad():
            model.embedding.weight.normal_(std=0.5)  # type: ignore[union-attr]
            model.start_at(torch.linspace(-2, -1, len(loaded.plan.heads)))  # type: ignore[operator]
        write_checkpoint(replace(loaded, model=model, config=config), folder / kind)
    return {path.name: path for path in folder.iterdir()}


def _day(ds: date, rows: int = 700) -> pa.Table:
    return make_day(ds, rows=rows).drop_columns(["p_click", "p_like"])


def _with_latest_items(rows: pa.Table) -> pa.Table:
    """Every row with the item's columns, and their states, of the item's row with the largest impression_id."""
    latest: dict[int, int] = {}
    for place, (item, shown) in enumerate(
        zip(rows["item_id"].to_pylist(), rows["impression_id"].to_pylist(), strict=True)
    ):
        if item not in latest or shown > rows["impression_id"][latest[item]].as_py():
            latest[item] = place
    return _spliced(rows, rows.take(pa.array([latest[item] for item in rows["item_id"].to_pylist()])))


def _spliced(rows: pa.Table, items: pa.Table) -> pa.Table:
    """The rows with the columns of the side "item", and their states, of other rows."""
    states = []
    for own, other in zip(rows["feature_states"].to_pylist(), items["feature_states"].to_pylist(), strict=True):
        states.append(bytes(other[i] if i in ITEM_STATES else own[i] for i in range(len(own))))
    for name in ITEM_COLUMNS:
        rows = rows.set_column(rows.column_names.index(name), name, items[name])
    place = rows.column_names.index("feature_states")
    return rows.set_column(place, "feature_states", pa.array(states, pa.binary()))


def _whole_model(path: Path, rows: pa.Table) -> np.ndarray:
    loaded = load_checkpoint(path)
    ids, dense = encode(loaded.encoder, rows, state_order=loaded.history["state_order"])
    return score_batch(loaded, {"ids": ids, "dense": dense})


def _ready(path: Path, source: str, folder: Path):  # type: ignore[no-untyped-def]
    """Towers, the vectors of a source's items, and the order of its states."""
    export_items(path, out=str(folder / "vectors.parquet"), source=source)
    opened = open_towers(path)
    vectors = load_items(str(folder / "vectors.parquet"), towers=opened)
    return opened, vectors, opened.checkpoint.history["state_order"]


@pytest.mark.parametrize("kind", MODELS)
def test_scores_from_vectors_are_those_of_the_whole_model(
    kind: str, towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    rows = _day(trained.days[2])
    pq.write_table(rows, tmp_path / "in.parquet")
    opened, vectors, order = _ready(towers[kind], str(tmp_path / "in.parquet"), tmp_path)
    counts = Counts()
    found = prerank_rows(opened, vectors, rows=rows, state_order=order, counts=counts)
    wanted = _whole_model(towers[kind], _with_latest_items(rows))
    np.testing.assert_allclose(found, wanted, atol=1e-6, rtol=1e-6)
    assert np.abs(wanted - _whole_model(towers[kind], rows)).max() > 0.01  # the items' own rows do differ
    assert (counts.rows, counts.computed) == (len(rows), 0)


@pytest.mark.parametrize("kind", MODELS)
def test_a_file_gets_the_columns_that_predict_writes(
    kind: str, towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    rows = _with_latest_items(_day(trained.days[2]))
    pq.write_table(rows, tmp_path / "in.parquet")
    pq.write_table(rows.drop_columns(["author_id", "item_quality"]), tmp_path / "narrow.parquet")
    export_items(towers[kind], out=str(tmp_path / "items"), source=str(tmp_path / "in.parquet"))
    predict(towers[kind], source=str(tmp_path / "in.parquet"), out=str(tmp_path / "whole.parquet"))
    found = prerank(
        towers[kind],
        items=str(tmp_path / "items"),
        source=str(tmp_path / "narrow.parquet"),
        out=str(tmp_path / "out.parquet"),
    )
    ours, theirs = pq.read_table(tmp_path / "out.parquet"), pq.read_table(tmp_path / "whole.parquet")
    assert ours.schema.equals(theirs.schema) and found.columns[-1] == "fused" and found.states
    for name in theirs.column_names:
        np.testing.assert_allclose(
            ours[name].cast(pa.string()).to_pylist() == theirs[name].cast(pa.string()).to_pylist()
            if name == "ds"
            else ours[name].to_numpy().astype(float),
            True if name == "ds" else theirs[name].to_numpy().astype(float),
            rtol=1e-6,
        )


def test_a_request_runs_the_users_tower_once_unless_its_rows_disagree(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    rows = _day(trained.days[2])
    pq.write_table(rows, tmp_path / "in.parquet")
    opened, vectors, order = _ready(towers["three_tower"], str(tmp_path / "in.parquet"), tmp_path)
    one = rows.slice(0, 1).select(["request_id", "user_id", "user_age", "is_new"])
    same = pa.concat_tables([one] * len(rows))
    states = pa.array([b"\0\0\0\0" + s[4:] for s in rows["feature_states"].to_pylist()], pa.binary())
    for name in same.column_names:
        rows = rows.set_column(rows.column_names.index(name), name, same[name])
    rows = rows.set_column(rows.column_names.index("feature_states"), "feature_states", states)
    agreed, odd = Counts(), Counts()
    prerank_rows(opened, vectors, rows=rows, state_order=order, counts=agreed)
    ages = rows["user_age"].to_pylist()
    ages[5] = 12
    rows = rows.set_column(rows.column_names.index("user_age"), "user_age", pa.array(ages, pa.int32()))
    found = prerank_rows(opened, vectors, rows=rows, state_order=order, counts=odd)
    assert (agreed.users, odd.users) == (1, 2)
    np.testing.assert_allclose(
        found, _whole_model(towers["three_tower"], _with_latest_items(rows)), atol=1e-6, rtol=1e-6
    )


def test_an_item_without_a_vector_gets_one_from_its_row_or_is_refused(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    rows = _with_latest_items(_day(trained.days[2]))
    known = rows.filter(pc.greater(rows["item_id"], 30))
    pq.write_table(known, tmp_path / "known.parquet")
    opened, vectors, order = _ready(towers["two_tower"], str(tmp_path / "known.parquet"), tmp_path)
    counts = Counts()
    found = prerank_rows(opened, vectors, rows=rows, state_order=order, counts=counts)
    np.testing.assert_allclose(found, _whole_model(towers["two_tower"], rows), atol=1e-6, rtol=1e-6)
    assert counts.computed == len(rows) - len(known) > 0
    pq.write_table(rows.drop_columns(["item_quality"]), tmp_path / "narrow.parquet")
    with pytest.raises(InputError, match=rf"(?s){counts.computed} rows of items without a vector.*item_quality"):
        prerank(
            towers["two_tower"],
            items=str(tmp_path / "vectors.parquet"),
            source=str(tmp_path / "narrow.parquet"),
            out=str(tmp_path / "out.parquet"),
        )
    assert not (tmp_path / "out.parquet").exists()


def test_no_candidates_are_scored_to_no_rows(towers: dict[str, Path], trained: Trained, tmp_path: Path) -> None:
    rows = _day(trained.days[2])
    pq.write_table(rows, tmp_path / "in.parquet")
    pq.write_table(rows.slice(0, 0), tmp_path / "none.parquet")
    export_items(towers["two_tower"], out=str(tmp_path / "items"), source=str(tmp_path / "in.parquet"))
    out = str(tmp_path / "out.parquet")
    found = prerank(towers["two_tower"], items=str(tmp_path / "items"), source=str(tmp_path / "none.parquet"), out=out)
    assert (found.counts.rows, pq.read_table(out).num_rows) == (0, 0)


def test_published_days_give_every_item_once_with_the_day_of_its_latest_row(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    out = str(tmp_path / "items")
    days = trained.days[1:]
    found = export_items(towers["three_tower"], out=out, root=trained.root, days=days)
    table = DeltaTable(out).to_pyarrow_table()
    shown = [set(make_day(ds)["item_id"].to_pylist()) for ds in days]
    latest = {item: days[1] if item in shown[1] else days[0] for item in shown[0] | shown[1]}
    assert dict(zip(table["item_id"].to_pylist(), table["ds"].to_pylist(), strict=True)) == latest
    sha = json.loads((towers["three_tower"] / "checkpoint.json").read_text())["weights_sha256"]
    assert set(table["version"].to_pylist()) == {sha} and found.items == table.num_rows == len(latest)
    assert {len(vector) for vector in table["vector"].to_pylist()} == {found.width}


def test_request_time_decides_before_the_number_of_the_impression(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    rows = _day(trained.days[2]).slice(0, 3)
    rows = rows.set_column(rows.column_names.index("item_id"), "item_id", pa.array([1, 1, 1]))
    late = [datetime(2024, 5, 3, hour, tzinfo=UTC) for hour in (8, 9, 9)]
    rows = rows.append_column("request_ts", pa.array(late, pa.timestamp("us", "UTC")))
    rows = rows.set_column(rows.column_names.index("impression_id"), "impression_id", pa.array([9, 8, 7]))
    pq.write_table(rows, tmp_path / "in.parquet")
    opened, vectors, order = _ready(towers["two_tower"], str(tmp_path / "in.parquet"), tmp_path)
    chosen = pa.concat_tables([rows.slice(1, 1)])
    np.testing.assert_allclose(
        prerank_rows(opened, vectors, rows=chosen, state_order=order),
        _whole_model(towers["two_tower"], chosen),
        atol=1e-6,
    )
    assert len(vectors.ids) == 1


def test_a_table_keeps_versions_apart_and_replaces_its_own(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    out = str(tmp_path / "items")
    pq.write_table(_day(trained.days[2]), tmp_path / "in.parquet")
    one, two = (export_items(towers[k], out=out, source=str(tmp_path / "in.parquet")) for k in MODELS)
    pq.write_table(_day(trained.days[2]).slice(0, 1), tmp_path / "less.parquet")
    less = export_items(towers["two_tower"], out=out, source=str(tmp_path / "less.parquet"))
    versions = DeltaTable(out).to_pyarrow_table()["version"].to_pylist()
    assert {v: versions.count(v) for v in set(versions)} == {less.version: 1, two.version: two.items}
    assert one.version == less.version and one.items > 1


def test_vectors_of_another_checkpoint_are_refused(towers: dict[str, Path], trained: Trained, tmp_path: Path) -> None:
    pq.write_table(_day(trained.days[2]), tmp_path / "in.parquet")
    export_items(towers["two_tower"], out=str(tmp_path / "items"), source=str(tmp_path / "in.parquet"))
    with pytest.raises(InputError, match=r"(?s)vectors of \w{12}, none of \w{12}.*headrace export"):
        load_items(str(tmp_path / "items"), towers=open_towers(towers["three_tower"]))


def test_a_damaged_table_of_vectors_is_refused(towers: dict[str, Path], trained: Trained, tmp_path: Path) -> None:
    pq.write_table(_day(trained.days[2]), tmp_path / "in.parquet")
    opened, _, _ = _ready(towers["two_tower"], str(tmp_path / "in.parquet"), tmp_path)
    good = pq.read_table(tmp_path / "vectors.parquet")
    broken = {
        "twice": (pa.concat_tables([good, good.slice(0, 1)]), "twice in one version"),
        "short": (good.set_column(3, "vector", pa.array([[1.0]] * len(good), pa.list_(pa.float32()))), "numbers wide"),
        "none": (good.drop_columns(["version"]), "no column version"),
    }
    for name, (table, said) in broken.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
        with pytest.raises(InputError, match=said):
            load_items(str(tmp_path / f"{name}.parquet"), towers=opened)


def test_a_model_without_an_item_tower_is_refused(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)kind mmoe, which has no item tower.*train.model=three_tower"):
        export_items(trained.out, out=str(tmp_path / "items"), root=trained.root, days=trained.days)


def test_what_is_no_table_of_vectors_is_not_written_to(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    write_deltalake(str(tmp_path / "mine"), pa.table({"a": [1]}))
    (tmp_path / "there.parquet").write_text("mine")
    for name in ("mine", "there.parquet"):
        with pytest.raises(ConfigError, match="found"):
            export_items(towers["two_tower"], out=str(tmp_path / name), root=trained.root, days=trained.days)


def test_rows_without_a_whole_item_id_or_an_items_column_are_refused(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    rows = _day(trained.days[2])
    nulls = rows.set_column(rows.column_names.index("item_id"), "item_id", pa.array([None] * len(rows), pa.int64()))
    cases = {"null": (nulls, "nulls"), "narrow": (rows.drop_columns(["item_quality"]), "no column item_quality")}
    for name, (table, said) in cases.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
        with pytest.raises(InputError, match=said):
            export_items(towers["two_tower"], out=str(tmp_path / "items"), source=str(tmp_path / f"{name}.parquet"))


def test_a_part_encodes_its_own_columns_as_the_whole_does(trained: Trained) -> None:
    loaded = load_checkpoint(trained.out)
    rows, order = _day(trained.days[2]), loaded.history["state_order"]
    ids, dense = encode(loaded.encoder, rows, state_order=order)
    seen_ids, seen_dense = np.zeros_like(ids), np.zeros_like(dense)
    for side in ("user", "item", "cross"):
        part = part_of(loaded.encoder, side)  # type: ignore[arg-type]
        own = encode_part(part, rows.select(part.encoder.columns), state_order=order)
        seen_ids += own[0]
        seen_dense += own[1]
    assert (seen_ids == ids).all() and (seen_dense == dense).all()


def test_latest_keeps_the_greatest_of_each_key_and_the_last_of_equal_ones() -> None:
    rng = np.random.default_rng(0)
    keys, first, second = rng.integers(0, 9, 200), rng.integers(0, 4, 200), rng.integers(0, 3, 200)
    latest = Latest(orders=2)
    for part in np.array_split(np.arange(200), 7):
        latest.add(keys[part], first[part], second[part])
        latest._compare()
    wanted = {
        int(k): max((a, b, i) for i, (c, a, b) in enumerate(zip(keys, first, second, strict=True)) if c == k)[2]
        for k in keys
    }
    assert dict(zip(*(found.tolist() for found in latest.finish()), strict=True)) == wanted


def test_latest_of_a_few_keeps_those_with_the_greatest_order() -> None:
    latest = Latest(orders=1, most=2)
    for keys, order in (([1, 2, 3], [5.0, 1.0, 4.0]), ([2, 3], [9.0, 0.0])):
        latest.add(np.array(keys), np.array(order))
        latest._compare()
    assert sorted(latest.finish()[0].tolist()) == [1, 2]


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
    rows = _day(trained.days[2])
    requests, items = rows.slice(0, 3), rows.slice(100, 40)
    pools = np.array([[1, 5, 39], [0, 2, 3], [7, 8, 9]])
    drawn = pools_module._Drawn(requests, items, loaded.history["state_order"])
    found = pools_module._pool_scores(loaded, drawn, pools, by="click")
    chosen = _spliced(requests.take(pa.array(np.repeat([0, 1, 2], 3))), items.take(pa.array(pools.reshape(-1))))
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

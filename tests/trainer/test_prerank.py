"""Pre-ranking: scores from cached vectors are those of the whole model."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace.config.fusion import Fusion, FusionInput
from headrace.delta import read_days
from headrace.errors import ConfigError, InputError
from tests.trainer.conftest import Trained
from tests.trainer.towers import MODELS, day_rows, random_towers, whole_model, with_latest_items
from trainer.checkpoint import Checkpoint, load_checkpoint, write_checkpoint
from trainer.encode import encode
from trainer.predict import predict
from trainer.prerank import (
    Counts,
    export_items,
    load_items,
    open_towers,
    prerank,
    prerank_rows,
)
from trainer.prerank.latest import Latest
from trainer.prerank.sides import encode_part, part_of


@pytest.fixture(scope="module")
def towers(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return random_towers(trained.out, tmp_path_factory.mktemp("towers"))


@pytest.fixture(autouse=True)
def _many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little at a time that every loop goes round more than once."""
    monkeypatch.setattr("trainer.prerank.towers._BLOCK", 16)
    monkeypatch.setattr("trainer.prerank.streams._BATCH", 50)
    monkeypatch.setattr("trainer.prerank.latest._PENDING", 30)
    monkeypatch.setattr("trainer.prerank.scoring._TOGETHER", 70)


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
    rows = day_rows(trained.days[2])
    pq.write_table(rows, tmp_path / "in.parquet")
    opened, vectors, order = _ready(towers[kind], str(tmp_path / "in.parquet"), tmp_path)
    counts = Counts()
    found = prerank_rows(opened, vectors, rows=rows, state_order=order, counts=counts)
    wanted = whole_model(towers[kind], with_latest_items(rows))
    np.testing.assert_allclose(found, wanted, atol=1e-6, rtol=1e-6)
    assert np.abs(wanted - whole_model(towers[kind], rows)).max() > 0.01  # the items' own rows do differ
    assert (counts.rows, counts.computed) == (len(rows), 0)


@pytest.mark.parametrize("kind", MODELS)
def test_a_file_gets_the_columns_that_predict_writes(
    kind: str, towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    rows = with_latest_items(day_rows(trained.days[2]))
    pq.write_table(rows, tmp_path / "in.parquet")
    unread = ["author_id", "item_quality", *(["scene", "context_hour"] if kind == "two_tower" else [])]
    pq.write_table(rows.drop_columns(unread), tmp_path / "narrow.parquet")
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
    assert ours["ds"].equals(theirs["ds"])
    for name in set(theirs.column_names) - {"ds"}:
        left, right = (table[name].to_numpy().astype(float) for table in (ours, theirs))
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-6)


def test_a_request_runs_the_users_tower_once_unless_its_rows_disagree(
    towers: dict[str, Path], trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = day_rows(trained.days[2])
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
    pq.write_table(rows, tmp_path / "odd.parquet")
    monkeypatch.setattr("trainer.prerank.scoring._TOGETHER", 10_000)  # batches of 50 rows are put together
    vectors_at, source, out = (str(tmp_path / f"{name}.parquet") for name in ("vectors", "odd", "out"))
    said = prerank(towers["three_tower"], items=vectors_at, source=source, out=out)
    assert said.counts.users == 2
    np.testing.assert_allclose(found, whole_model(towers["three_tower"], with_latest_items(rows)), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("out", ["out.parquet", "out"])
def test_an_item_without_a_vector_gets_one_from_its_row_or_is_refused(
    out: str, towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    rows = with_latest_items(day_rows(trained.days[2]))
    known = rows.filter(pc.greater(rows["item_id"], 30))
    pq.write_table(known, tmp_path / "known.parquet")
    opened, vectors, order = _ready(towers["two_tower"], str(tmp_path / "known.parquet"), tmp_path)
    counts, items = Counts(), str(tmp_path / "vectors.parquet")
    found = prerank_rows(opened, vectors, rows=rows, state_order=order, counts=counts)
    np.testing.assert_allclose(found, whole_model(towers["two_tower"], rows), atol=1e-6, rtol=1e-6)
    assert counts.computed == len(rows) - len(known) > 0
    pq.write_table(rows.drop_columns(["item_quality"]), tmp_path / "narrow.parquet")
    with pytest.raises(InputError, match=r"(?s)items without a vector, such as \d.*the columns author_id"):
        prerank(towers["two_tower"], items=items, source=str(tmp_path / "narrow.parquet"), out=str(tmp_path / out))
    assert not (tmp_path / out).exists()


def test_no_candidates_are_scored_to_no_rows(towers: dict[str, Path], trained: Trained, tmp_path: Path) -> None:
    rows = day_rows(trained.days[2])
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
    shown = [set(day_rows(ds, 8000)["item_id"].to_pylist()) for ds in days]
    latest = {item: days[1] if item in shown[1] else days[0] for item in shown[0] | shown[1]}
    assert dict(zip(table["item_id"].to_pylist(), table["ds"].to_pylist(), strict=True)) == latest
    sha = json.loads((towers["three_tower"] / "checkpoint.json").read_text())["weights_sha256"]
    assert set(table["version"].to_pylist()) == {sha} and found.items == table.num_rows == len(latest)
    assert {len(vector) for vector in table["vector"].to_pylist()} == {found.width}


def test_a_fusion_of_ranks_sees_all_rows_of_a_request_and_needs_the_duration_it_divides_by(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    loaded = load_checkpoint(towers["three_tower"])
    inputs = {name: FusionInput(weight=1.0, offset=3.0) for name in ("click", "completion")}
    fusion = Fusion(form="rank", inputs=inputs)
    assert "completion" in loaded.after.durations
    write_checkpoint(replace(loaded, after=replace(loaded.after, fusion=fusion)), tmp_path / "model")
    rows = with_latest_items(day_rows(trained.days[2]))
    pq.write_table(rows, tmp_path / "in.parquet")
    pq.write_table(rows.drop_columns(["item_duration_s"]), tmp_path / "narrow.parquet")
    items = str(tmp_path / "items")
    export_items(tmp_path / "model", out=items, source=str(tmp_path / "in.parquet"))
    whole, ours = str(tmp_path / "whole.parquet"), str(tmp_path / "ours.parquet")
    predict(tmp_path / "model", source=str(tmp_path / "in.parquet"), out=whole)
    prerank(tmp_path / "model", items=items, source=str(tmp_path / "in.parquet"), out=ours)
    np.testing.assert_allclose(pq.read_table(ours)["fused"], pq.read_table(whole)["fused"], rtol=1e-6)
    with pytest.raises(InputError, match="no column item_duration_s"):
        prerank(
            tmp_path / "model", items=items, source=str(tmp_path / "narrow.parquet"), out=str(tmp_path / "x.parquet")
        )


def test_published_days_and_their_rows_give_the_same_vectors(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    day = trained.days[1]
    rows = read_days(f"{trained.root}/training_set", days=[day])
    pq.write_table(rows, tmp_path / "in.parquet")
    for name, given in (
        ("days", {"root": trained.root, "days": [day]}),
        ("rows", {"source": str(tmp_path / "in.parquet")}),
    ):
        export_items(towers["three_tower"], out=str(tmp_path / f"{name}.parquet"), **given)  # type: ignore[arg-type]
    one, other = (pq.read_table(tmp_path / f"{name}.parquet").sort_by("item_id") for name in ("days", "rows"))
    assert one.equals(other) and one["ds"].to_pylist() == [day] * one.num_rows


def test_request_time_decides_before_the_number_of_the_impression(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    rows = day_rows(trained.days[2]).slice(0, 3)
    rows = rows.set_column(rows.column_names.index("item_id"), "item_id", pa.array([1, 1, 1]))
    late = [datetime(2024, 5, 3, hour, tzinfo=UTC) for hour in (8, 9, 9)]
    rows = rows.append_column("request_ts", pa.array(late, pa.timestamp("us", "UTC")))
    rows = rows.set_column(rows.column_names.index("impression_id"), "impression_id", pa.array([9, 8, 7]))
    pq.write_table(rows, tmp_path / "in.parquet")
    opened, vectors, order = _ready(towers["two_tower"], str(tmp_path / "in.parquet"), tmp_path)
    chosen = pa.concat_tables([rows.slice(1, 1)])
    np.testing.assert_allclose(
        prerank_rows(opened, vectors, rows=chosen, state_order=order),
        whole_model(towers["two_tower"], chosen),
        atol=1e-6,
    )
    assert len(vectors.ids) == 1


def test_a_table_keeps_versions_apart_and_replaces_its_own(
    towers: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    out = str(tmp_path / "items")
    pq.write_table(day_rows(trained.days[2]), tmp_path / "in.parquet")
    one, two = (export_items(towers[k], out=out, source=str(tmp_path / "in.parquet")) for k in MODELS)
    pq.write_table(day_rows(trained.days[2]).slice(0, 1), tmp_path / "less.parquet")
    less = export_items(towers["two_tower"], out=out, source=str(tmp_path / "less.parquet"))
    versions = DeltaTable(out).to_pyarrow_table()["version"].to_pylist()
    assert {v: versions.count(v) for v in set(versions)} == {less.version: 1, two.version: two.items}
    assert one.version == less.version and one.items > 1


def test_vectors_of_another_checkpoint_are_refused(towers: dict[str, Path], trained: Trained, tmp_path: Path) -> None:
    pq.write_table(day_rows(trained.days[2]), tmp_path / "in.parquet")
    export_items(towers["two_tower"], out=str(tmp_path / "items"), source=str(tmp_path / "in.parquet"))
    with pytest.raises(InputError, match=r"(?s)vectors of \w{12}, none of \w{12}.*headrace export"):
        load_items(str(tmp_path / "items"), towers=open_towers(towers["three_tower"]))


def test_a_damaged_table_of_vectors_is_refused(towers: dict[str, Path], trained: Trained, tmp_path: Path) -> None:
    pq.write_table(day_rows(trained.days[2]), tmp_path / "in.parquet")
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


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_refused(
    towers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(towers["two_tower"], tmp_path / "model")

    def replaced(path: Path) -> Checkpoint:
        shutil.copytree(towers["three_tower"], path, dirs_exist_ok=True)
        return load_checkpoint(path)

    monkeypatch.setattr("trainer.prerank.towers.load_checkpoint", replaced)
    with pytest.raises(InputError, match="another one than a moment ago"):
        open_towers(tmp_path / "model")


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
    rows = day_rows(trained.days[2])
    nulls = rows.set_column(rows.column_names.index("item_id"), "item_id", pa.array([None] * len(rows), pa.int64()))
    cases = {"null": (nulls, "nulls"), "narrow": (rows.drop_columns(["item_quality"]), "no column item_quality")}
    for name, (table, said) in cases.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
        with pytest.raises(InputError, match=said):
            export_items(towers["two_tower"], out=str(tmp_path / "items"), source=str(tmp_path / f"{name}.parquet"))


def test_a_part_encodes_its_own_columns_as_the_whole_does(trained: Trained) -> None:
    loaded = load_checkpoint(trained.out)
    rows, order = day_rows(trained.days[2]), loaded.history["state_order"]
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

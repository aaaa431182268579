"""Scores of rows in tables and files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from headrace.delta import read_days
from headrace.errors import ConfigError, InputError
from tests.trainer.conftest import Trained
from tests.trainer.world import make_day
from trainer.checkpoint import load_checkpoint
from trainer.fitting import training_pieces
from trainer.predict import predict
from trainer.published import find_days
from trainer.scoring import score_days


def test_scores_of_a_table_are_those_of_the_evaluation(trained: Trained, tmp_path: Path) -> None:
    predict(trained.out, source=f"{trained.root}/training_set", out=str(tmp_path / "scores"))
    found = pa.concat_tables(
        pq.ParquetFile(tmp_path / "scores" / path).read()
        for path in pa.table(DeltaTable(str(tmp_path / "scores")).get_add_actions())["path"].to_pylist()
    )
    day = find_days(trained.root, trained.days[2:])
    loaded = load_checkpoint(trained.out)
    scored = score_days(loaded, root=trained.root, days=day, pieces=training_pieces(trained.root, day))
    click = 1 / (1 + np.exp(-scored.logits[:, 0].astype(np.float64)))
    ours = np.sort(found.filter(pc.equal(found["ds"].cast(pa.string()), str(trained.days[2])))["click_raw"].to_numpy())
    np.testing.assert_allclose(ours, np.sort(click), atol=1e-6)
    assert found.num_rows == sum(len(read_days(f"{trained.root}/training_set", days=[d])) for d in trained.days)


def test_a_file_gets_raw_calibrated_and_fused_columns_in_its_own_order(trained: Trained, tmp_path: Path) -> None:
    rows = make_day(trained.days[2], rows=700)
    pq.write_table(rows.drop_columns(["p_click", "p_like"]), tmp_path / "in.parquet")
    found = predict(trained.out, source=str(tmp_path / "in.parquet"), out=str(tmp_path / "out.parquet"))
    scores = pq.read_table(tmp_path / "out.parquet")
    assert scores["impression_id"].to_pylist() == rows["impression_id"].to_pylist()
    heads = ("click", "like", "completed", "completion", "watch")
    assert found.columns == [*(name for head in heads for name in (f"{head}_raw", head)), "fused"]
    assert found.rows == len(rows) and (scores["click"].to_numpy() < scores["click_raw"].to_numpy()).all()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["in.parquet", "out.parquet"]


def test_without_cell_states_a_null_is_missing_and_the_rest_is_measured(trained: Trained, tmp_path: Path) -> None:
    rows = make_day(trained.days[2], rows=700).drop_columns(["p_click", "p_like"])
    pq.write_table(rows, tmp_path / "with.parquet")
    pq.write_table(rows.drop_columns(["feature_states"]), tmp_path / "without.parquet")
    said = [
        predict(trained.out, source=str(tmp_path / f"{name}.parquet"), out=str(tmp_path / f"{name}-out.parquet"))
        for name in ("with", "without")
    ]
    assert [found.states for found in said] == [True, False]
    left, right = (pq.read_table(tmp_path / f"{name}-out.parquet") for name in ("with", "without"))
    assert left.equals(right)  # this world's missing cells are all null


def test_no_rows_are_scored_to_no_rows(trained: Trained, tmp_path: Path) -> None:
    pq.write_table(make_day(trained.days[2], rows=700).slice(0, 0), tmp_path / "in.parquet")
    assert predict(trained.out, source=str(tmp_path / "in.parquet"), out=str(tmp_path / "out.parquet")).rows == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


def test_a_missing_column_is_refused_and_nothing_is_left_behind(trained: Trained, tmp_path: Path) -> None:
    pq.write_table(make_day(trained.days[2], rows=300).drop_columns(["scene"]), tmp_path / "in.parquet")
    with pytest.raises(InputError, match="no column scene"):
        predict(trained.out, source=str(tmp_path / "in.parquet"), out=str(tmp_path / "out.parquet"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_what_is_there_already_is_not_overwritten(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "out.parquet").write_text("mine")
    with pytest.raises(ConfigError, match="something of that name"):
        predict(trained.out, source=f"{trained.root}/training_set", out=str(tmp_path / "out.parquet"))


def test_a_source_that_is_no_table_is_refused(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check --in"):
        predict(trained.out, source=str(tmp_path / "nowhere"), out=str(tmp_path / "out"))

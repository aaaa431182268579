"""Rows that stand in a declared split are learnt from, validated on and judged by it."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headrace.errors import InputError
from tests.trainer.world import CONFIG, FIRST, make_day, publish, write_day
from trainer.evaluate import evaluate
from trainer.fitting import training_pieces
from trainer.published import find_days
from trainer.rows import read_piece, read_whole, split_pieces
from trainer.train import train

SMALL = CONFIG.model_copy(update={"epochs": 1})


def _split_world(root: Path, names: list[str | None], *, days: int = 2) -> list[date]:
    """Days whose rows stand in the splits `names`, by user."""
    made = [FIRST + timedelta(days=k) for k in range(days)]
    for ds in made:
        rows = make_day(ds, rows=2000)
        words = np.array(names, dtype=object)[rows["user_id"].to_numpy() % len(names)]
        publish(root, ds, version=write_day(root, rows.append_column("split", pa.array(words, pa.string()))))
    return made


def test_pieces_of_a_split_hold_its_rows_and_no_other(tmp_path: Path) -> None:
    days = find_days(str(tmp_path), _split_world(tmp_path, ["train", "train", "validation", "test", None]))
    pieces = training_pieces(str(tmp_path), days)
    splits = split_pieces(str(tmp_path), pieces)
    assert sorted(splits) == ["test", "train", "validation"]
    for number, (name, parts) in {2: ("validation", splits["validation"]), 3: ("test", splits["test"])}.items():
        for piece in parts:
            whole = read_whole(str(tmp_path), piece, columns=["user_id"])
            streamed = pa.Table.from_batches(read_piece(str(tmp_path), piece, columns=["user_id"], batch_rows=64))
            assert len(whole) == piece.rows > 0 and piece.split == name and whole.equals(streamed.combine_chunks())
            assert set(whole["user_id"].to_numpy() % 5) == {number}


def test_a_model_learns_from_train_and_is_validated_on_validation(tmp_path: Path) -> None:
    days = _split_world(tmp_path, ["train", "train", "validation", "test"])
    result = train(str(tmp_path), days=days, valid_day=None, config=SMALL, out=tmp_path / "m")
    splits = split_pieces(str(tmp_path), training_pieces(str(tmp_path), find_days(str(tmp_path), days)))
    assert result.facts.rows == sum(piece.rows for piece in splits["train"])
    assert result.valid is not None and result.valid.tasks[0].rows == sum(piece.rows for piece in splits["validation"])
    judged = evaluate(tmp_path / "m", root=str(tmp_path), days=days, split="test")
    assert judged.tasks[0].rows == sum(piece.rows for piece in splits["test"]) and judged.seen_in_training == []


def test_days_without_rows_to_learn_from_are_refused(tmp_path: Path) -> None:
    days = _split_world(tmp_path, ["test", "validation"], days=1)
    with pytest.raises(InputError, match="rows of test, validation only"):
        train(str(tmp_path), days=days, valid_day=None, config=SMALL, out=tmp_path / "m")


def test_a_split_that_no_row_stands_in_is_refused(tmp_path: Path) -> None:
    days = _split_world(tmp_path, ["train", "validation"], days=1)
    train(str(tmp_path), days=days, valid_day=None, config=SMALL, out=tmp_path / "m")
    with pytest.raises(InputError, match="rows of the split test"):
        evaluate(tmp_path / "m", root=str(tmp_path), days=days, split="test")

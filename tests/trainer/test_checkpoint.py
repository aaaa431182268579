"""The checkpoint folder: whole or not at all, and only for days that still fit it."""

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
import torch

from headrace.errors import ConfigError, InputError
from tests.trainer.conftest import Trained
from tests.trainer.world import FEATURES, make_day, publish, write_day
from trainer import checkpoint as module
from trainer.checkpoint import load_checkpoint, recover_folder, write_checkpoint
from trainer.evaluate import evaluate

LATER = date(2024, 5, 20)


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(trained.out, tmp_path / "copy"))


def _evaluate_later(trained: Trained, root: Path, *, features: list, drop: str = "") -> None:
    rows = make_day(LATER, rows=300)
    publish(root, LATER, version=write_day(root, rows.drop_columns([drop] if drop else [])), features=features)
    evaluate(trained.out, root=str(root), days=[LATER])


def test_checkpoint_says_what_it_was_trained_on(trained: Trained) -> None:
    said = json.loads((trained.out / "checkpoint.json").read_text())
    assert said["days"] == [
        {"ds": str(ds), "version": k, "content_hash": f"hash-{ds}-1", "manifest": f"manifest-{ds}"}
        for k, ds in enumerate(trained.days[:2])
    ]
    assert said["plan"]["negative_rate"] == 0.1 and said["calibration"] == "closed form of the rates"
    assert {"torch", "headrace", "config", "labels", "encoder"} <= set(said)


def test_folder_holds_two_files_and_nothing_is_left_beside_it(trained: Trained) -> None:
    assert sorted(p.name for p in trained.out.iterdir()) == ["checkpoint.json", "weights.pt"]
    assert sorted(p.name for p in trained.out.parent.iterdir()) == ["model", "tables"]


def test_loading_gives_back_the_same_plan_and_encoder(trained: Trained) -> None:
    loaded = load_checkpoint(trained.out)
    assert loaded.plan == trained.result.plan and not loaded.model.training


def test_older_checkpoint_is_replaced(trained: Trained, copied: Path) -> None:
    (copied / "weights.pt").write_bytes(b"old")
    write_checkpoint(load_checkpoint(trained.out), copied)
    assert load_checkpoint(copied).plan == trained.result.plan
    assert [p.name for p in copied.parent.iterdir()] == ["copy"]


def test_failed_write_leaves_the_older_checkpoint(
    trained: Trained, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError("no space left on device")

    loaded = load_checkpoint(trained.out)
    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(OSError, match="no space"):
        write_checkpoint(loaded, copied)
    assert load_checkpoint(copied).plan == loaded.plan and [p.name for p in copied.parent.iterdir()] == ["copy"]


def test_rename_that_fails_puts_the_older_checkpoint_back(
    trained: Trained, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def busy(self: Path, target: Path) -> Path:
        if target == copied and not self.name.endswith("-old"):
            raise OSError("device or resource busy")
        return rename(self, target)

    loaded = load_checkpoint(trained.out)
    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(OSError, match="busy"):
        write_checkpoint(loaded, copied)
    assert load_checkpoint(copied).plan == loaded.plan and [p.name for p in copied.parent.iterdir()] == ["copy"]


def test_weights_of_another_model_are_refused(trained: Trained, copied: Path) -> None:
    other = load_checkpoint(trained.out)
    other.model.start_at(torch.zeros(len(other.plan.heads)))  # type: ignore[operator]
    torch.save(other.model.state_dict(), copied / "weights.pt")
    with pytest.raises(InputError, match="not the file that"):
        load_checkpoint(copied)


def test_folder_of_something_else_is_never_replaced(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not a checkpoint"):
        write_checkpoint(load_checkpoint(trained.out), tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["weights.pt", "checkpoint.json"])
def test_damaged_or_missing_file_is_refused(copied: Path, name: str) -> None:
    (copied / name).write_bytes((copied / name).read_bytes()[:-9])
    with pytest.raises(InputError, match="checkpoint"):
        load_checkpoint(copied)
    (copied / name).unlink()
    with pytest.raises(InputError, match="checkpoint"):
        load_checkpoint(copied)


def test_missing_feature_is_refused_before_any_row_is_read(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.inputs.read_piece", lambda *_, **__: pytest.fail("read a row"))
    with pytest.raises(InputError, match="scene is gone"):
        _evaluate_later(trained, tmp_path, features=[f for f in FEATURES if f["name"] != "scene"])


def test_feature_of_another_type_or_unit_is_refused(trained: Trained, tmp_path: Path) -> None:
    changed = [f | {"type": "bigint"} if f["name"] == "user_age" else f for f in FEATURES]
    with pytest.raises(InputError, match="user_age is bigint, was int"):
        _evaluate_later(trained, tmp_path, features=changed)


def test_label_column_that_is_gone_is_refused(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label_follow is no column"):
        _evaluate_later(trained, tmp_path, features=list(FEATURES), drop="label_follow")


def test_day_that_was_trained_on_is_said(trained: Trained) -> None:
    found = evaluate(trained.out, root=trained.root, days=[trained.days[0], trained.days[2]])
    assert found.seen_in_training == [str(trained.days[0])]


def test_missing_truth_is_refused(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ds=2024-05-03"):
        evaluate(trained.out, root=trained.root, days=trained.days[2:], truth=tmp_path)


def test_what_a_killed_process_left_is_put_right(trained: Trained, copied: Path) -> None:
    aside = copied.with_name(f".{copied.name}-abcd1234-old")
    half = copied.with_name(f".{copied.name}-efgh5678")
    other = copied.with_name(f".{copied.name}-somebody")
    copied.rename(aside)
    half.mkdir()
    (half / "weights.pt").write_bytes(b"half")
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    recover_folder(copied)
    assert load_checkpoint(copied).plan == trained.result.plan
    assert not aside.exists() and not half.exists() and (other / "notes.txt").is_file()


def test_a_file_of_noise_is_refused(copied: Path) -> None:
    (copied / "weights.pt").write_bytes(b"")
    with pytest.raises(InputError, match="checkpoint"):
        load_checkpoint(copied)

"""A run that is cut off and goes on ends where the uninterrupted one does."""

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import torch

from headrace.errors import ConfigError, InputError
from tests.trainer.world import CONFIG, world
from trainer.checkpoint import load_checkpoint
from trainer.resume import resume_folder
from trainer.run import Log
from trainer.train import TrainResult, train

BUSY = CONFIG.model_copy(update={"checkpoint_batches": 3, "window_rows": 1024, "dropout": 0.1})


class Cut(Exception):
    """Stands for whatever ends a run."""


def _train(root: str, days: list[date], out: Path, *, resume: bool = False, **changes: object) -> TrainResult:
    config = BUSY.model_copy(update=changes)
    return train(root, days=days[:2], valid_day=days[2], config=config, out=out, resume=resume)


def _cut(root: str, days: list[date], out: Path, *, saves: int, resume: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends right after its n-th save."""
    import trainer.run as module

    done = 0
    write = module.write_checkpoint

    def counted(*args: object, **options: object) -> None:
        nonlocal done
        write(*args, **options)  # type: ignore[arg-type]
        done += 1
        if done == saves:
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_checkpoint", counted)
        with pytest.raises(Cut):
            _train(root, days, out, resume=resume)


def _same(one: Path, other: Path) -> bool:
    left, right = load_checkpoint(one), load_checkpoint(other)
    weights = [checkpoint.model.state_dict() for checkpoint in (left, right)]
    assert left.history["kept_epoch"] == right.history["kept_epoch"]
    return all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[date], Path]:
    """A root, its days, and the model of a run that nothing cut off."""
    folder = tmp_path_factory.mktemp("resume")
    root, days = world(folder / "tables", days=3, rows=4000)
    _train(root, days, folder / "whole")
    return root, days, folder / "whole"


def test_a_run_cut_off_twice_gives_the_weights_of_the_whole_run(
    whole: tuple[str, list[date], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, days, expected = whole
    _cut(root, days, tmp_path / "m", saves=2, resume=False, monkeypatch=monkeypatch)
    _cut(root, days, tmp_path / "m", saves=3, resume=True, monkeypatch=monkeypatch)
    _train(root, days, tmp_path / "m", resume=True, workers=2)
    assert _same(tmp_path / "m", expected)
    assert not resume_folder(tmp_path / "m").exists()


_CHILD = """
import sys, torch
from datetime import date
from pathlib import Path
torch.set_num_threads(1)
from tests.trainer.test_resume import _train
root, out, days = sys.argv[1], Path(sys.argv[2]), [date.fromisoformat(d) for d in sys.argv[3:]]
import trainer.run as module
write = module.write_checkpoint
def told(*args, **options):
    write(*args, **options)
    print("saved", flush=True)
module.write_checkpoint = told
_train(root, days, out, resume=True)
"""


def test_a_killed_process_goes_on_from_its_last_save(whole: tuple[str, list[date], Path], tmp_path: Path) -> None:
    root, days, expected = whole
    command = [sys.executable, "-c", _CHILD, root, str(tmp_path / "m"), *map(str, days)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "saved\n"
        os.kill(child.pid, signal.SIGKILL)
    assert resume_folder(tmp_path / "m").exists() and not (tmp_path / "m").exists()
    _train(root, days, tmp_path / "m", resume=True)
    assert _same(tmp_path / "m", expected)


def test_without_a_saved_state_resume_begins_at_the_start(whole: tuple[str, list[date], Path], tmp_path: Path) -> None:
    root, days, expected = whole
    _train(root, days, tmp_path / "m", resume=True)
    assert _same(tmp_path / "m", expected)


def test_the_state_of_other_settings_or_days_is_refused(
    whole: tuple[str, list[date], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, days, _ = whole
    _cut(root, days, tmp_path / "m", saves=1, resume=False, monkeypatch=monkeypatch)
    with pytest.raises(ConfigError, match="other days or settings"):
        _train(root, days, tmp_path / "m", resume=True, learning_rate=0.1)
    with pytest.raises(ConfigError, match="other days or settings"):
        _train(root, days[1:] + days[:1], tmp_path / "m", resume=True)


def test_a_damaged_state_is_refused(
    whole: tuple[str, list[date], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, days, _ = whole
    _cut(root, days, tmp_path / "m", saves=1, resume=False, monkeypatch=monkeypatch)
    state = resume_folder(tmp_path / "m") / "state.pt"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(InputError, match="state of a training run"):
        _train(root, days, tmp_path / "m", resume=True)


def test_the_log_tells_of_the_start_each_epoch_and_the_end(whole: tuple[str, list[date], Path], tmp_path: Path) -> None:
    root, days, _ = whole
    told: list[dict] = []
    log: Log = told.append
    train(
        root, days=days[:1], valid_day=None, config=BUSY.model_copy(update={"epochs": 2}), out=tmp_path / "m", log=log
    )
    assert [entry["event"] for entry in told] == ["start", "epoch", "epoch", "done"]
    assert told[1]["rows"] == told[0]["rows"] > 0 and told[1]["valid_loss"] is None

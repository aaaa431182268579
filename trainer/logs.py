"""What a run tells as it goes: one line of JSON an event, and curves for TensorBoard where that is installed."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from headrace.errors import ConfigError
from trainer.run import Log

__all__ = ["open_log"]


@contextmanager
def open_log(path: Path | None, *, tensorboard: Path | None = None) -> Iterator[Log]:
    """A log that appends to `path` (a line an event, whole lines only) and writes curves under `tensorboard`.

    Raises
    ------
    ConfigError
        TensorBoard is asked for and not installed.
    """
    with ExitStack() as stack:
        lines = stack.enter_context(_opened(path)) if path else None
        writer = stack.enter_context(_writer(tensorboard)) if tensorboard else None

        def log(entry: dict[str, Any]) -> None:
            if lines is not None:
                lines.write(json.dumps({"at": round(time.time(), 3)} | entry, default=str) + "\n")
                lines.flush()
            if writer is not None and entry["event"] == "epoch":
                _add_epoch(writer, entry)

        yield log


def _opened(path: Path) -> TextIO:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            str(path), found=f"no place to write ({error.strerror})", wanted="a file to add to", remedy="check --log"
        ) from None


def _writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError(
            "--tensorboard",
            found="no TensorBoard",
            wanted="the package tensorboard beside torch",
            remedy="install it (pip install tensorboard), or leave --tensorboard out: the JSON log has the same",
        ) from None
    return SummaryWriter(str(folder))


def _add_epoch(writer: Any, entry: dict[str, Any]) -> None:
    step = entry["epoch"]
    for head, loss in entry["losses"].items():
        writer.add_scalar(f"loss/{head}", loss, step)
    if entry["valid_loss"] is not None:
        writer.add_scalar("validation/log loss", entry["valid_loss"], step)
    writer.add_scalar("speed/rows per second", entry["rows_per_s"], step)

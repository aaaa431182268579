"""Score rows of a Delta table or of Parquet files: what the network says, what it is on the traffic, and the fused score.

One row of the output is one row of the input, in the input's order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from headrace.errors import InputError
from trainer.after import columns_of
from trainer.checkpoint import Checkpoint, load_checkpoint
from trainer.device import device_of
from trainer.encode import encode
from trainer.scoretables import KEYS, check_free, open_rows, score_table, with_states, write_batches
from trainer.scoring import score_batch

__all__ = ["Predicted", "predict"]

_BATCH = 16384


@dataclass(frozen=True)
class Predicted:
    """What was written: rows, the columns of scores, and whether cell states were there to be read."""

    out: str
    rows: int
    columns: list[str]
    states: bool


def predict(
    checkpoint: Path, *, source: str, out: str, progress: Callable[[int, int], None] | None = None
) -> Predicted:
    """Score every row of `source` and write scores to `out`.

    Parameters
    ----------
    checkpoint : Path
        Folder that `train` wrote.
    source : str
        Delta table, Parquet file, or folder of Parquet files, with the columns that the encoder reads.
        Without `feature_states` a null is a missing cell and every other one is taken as measured.
    out : str
        `*.parquet` is written as one file, anything else as a Delta table; neither may be there already.
    progress : callable (rows done, rows in all), optional

    Returns
    -------
    Predicted. Columns: the keys that the input has, then for each head `<head>_raw` and `<head>`, then `fused`.

    Raises
    ------
    InputError
        The checkpoint is damaged, the source is no table, or a column is missing or of another type.
    ConfigError
        `out` is there already.
    """
    check_free(out)
    loaded = load_checkpoint(Path(checkpoint))
    loaded.model.to(device_of(loaded.config))
    data = open_rows(source)
    read, states = _columns(loaded, data.schema, source=source)
    scanner = data.scanner(columns=read, batch_size=_BATCH, use_threads=False)
    total = data.count_rows()
    whole = loaded.after.fusion is not None and loaded.after.fusion.form == "rank"
    done = 0

    def scored() -> Iterator[pa.RecordBatch]:
        nonlocal done
        batches = [scanner.to_table()] if whole else scanner.to_batches()  # ranks need a request's rows at once
        for rows in batches:
            for batch in _scores(loaded, pa.table(rows) if whole else pa.Table.from_batches([rows])).to_batches():
                done += batch.num_rows
                yield batch
                if progress:
                    progress(done, total)

    schema = _scores(loaded, data.schema.empty_table().select(read)).schema
    write_batches(scored(), out, schema=schema)
    return Predicted(out, done, [name for name in schema.names if name not in KEYS], states)


def _columns(checkpoint: Checkpoint, schema: pa.Schema, *, source: str) -> tuple[list[str], bool]:
    """Columns to read, and whether cell states are among them."""
    there = set(schema.names)
    states = "feature_states" in there
    extra = columns_of(checkpoint.plan, checkpoint.after, present=schema.names)
    needed = [name for name in checkpoint.encoder.columns if name != "feature_states" or states]
    missing = [name for name in dict.fromkeys([*needed, *extra]) if name not in there]
    if missing:
        raise InputError(
            source,
            found=f"no column {', '.join(missing[:5])}" + (f" ({len(missing) - 5} more)" if len(missing) > 5 else ""),
            wanted="the columns that the model was trained on",
            remedy="build the rows with the configuration of the training days",
        )
    return list(dict.fromkeys([*(k for k in KEYS if k in there), *needed, *extra])), states


def _scores(checkpoint: Checkpoint, rows: pa.Table) -> pa.Table:
    """Scores of some rows, with their keys."""
    rows, order = with_states(checkpoint, rows)
    ids, dense = encode(checkpoint.encoder, rows, state_order=order)
    return score_table(checkpoint, rows, logits=score_batch(checkpoint, {"ids": ids, "dense": dense}))

"""Score rows of a Delta table or of Parquet files: what the network says, what it is on the traffic, and the fused score.

One row of the output is one row of the input, in the input's order.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from headrace.errors import ConfigError, InputError
from trainer.after import columns_of, corrected, fused_score
from trainer.checkpoint import Checkpoint, load_checkpoint
from trainer.columns import integers
from trainer.device import device_of
from trainer.encode import encode
from trainer.scoring import score_batch

__all__ = ["Predicted", "predict"]

_KEYS = ("impression_id", "request_id", "user_id", "item_id", "ds")  # carried along where the input has them
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
    _check_free(out)
    loaded = load_checkpoint(Path(checkpoint))
    loaded.model.to(device_of(loaded.config))
    data = _dataset(source)
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
    _write(scored(), out, schema=schema)
    return Predicted(out, done, [name for name in schema.names if name not in _KEYS], states)


def _check_free(out: str) -> None:
    if "://" not in out and Path(out).exists():
        raise ConfigError(
            out, found="something of that name", wanted="a new file or table", remedy="name another, or move it away"
        )


def _dataset(source: str) -> pads.Dataset:
    try:
        if not source.endswith(".parquet") and DeltaTable.is_deltatable(source):
            return DeltaTable(source).to_pyarrow_dataset()
        return pads.dataset(source, format="parquet", partitioning="hive")
    except (OSError, ValueError, pa.ArrowException, DeltaError) as error:
        raise InputError(
            source,
            found=" ".join(str(error).split())[:300],
            wanted="a Delta table, a Parquet file, or a folder of Parquet files",
            remedy="check --in",
        ) from None


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
    return list(dict.fromkeys([*(k for k in _KEYS if k in there), *needed, *extra])), states


def _scores(checkpoint: Checkpoint, rows: pa.Table) -> pa.Table:
    """Scores of some rows, with their keys."""
    rows, order = _with_states(checkpoint, rows)
    ids, dense = encode(checkpoint.encoder, rows, state_order=order)
    logits = score_batch(checkpoint, {"ids": ids, "dense": dense})
    raw, final = corrected(checkpoint.plan, checkpoint.after, logits=logits)
    made = {name: rows[name] for name in _KEYS if name in rows.column_names}
    for name in raw:
        made |= {f"{name}_raw": pa.array(raw[name]), name: pa.array(final[name])}
    if checkpoint.after.fusion is not None:
        extra = columns_of(checkpoint.plan, checkpoint.after, present=rows.column_names)
        columns = {name: rows[name].cast(pa.float64()).to_numpy() for name in extra}
        requests = integers(rows, "request_id") if "request_id" in rows.column_names else None
        made["fused"] = pa.array(fused_score(checkpoint.after, final, columns=columns, requests=requests, weights=None))
    return pa.table(made)


def _with_states(checkpoint: Checkpoint, rows: pa.Table) -> tuple[pa.Table, list[str]]:
    """The rows with cell states, and the features that those are of; all measured where the input does not say."""
    if "feature_states" in rows.column_names:
        return rows, checkpoint.history["state_order"]
    order = [name for name, _, _ in checkpoint.encoder.features]
    states = pa.array([bytes(len(order))] * rows.num_rows, type=pa.binary())
    return rows.append_column("feature_states", states), order


def _write(batches: Iterator[pa.RecordBatch], out: str, *, schema: pa.Schema) -> None:
    """All rows or none: a file is renamed into its place, a Delta table is one commit."""
    if not out.endswith(".parquet"):
        write_deltalake(out, pa.RecordBatchReader.from_batches(schema, batches))
        return
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with pq.ParquetWriter(folder / target.name, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        (folder / target.name).rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

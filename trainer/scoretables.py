"""Tables and files that are scored, and those that scores are written to; what predicting and pre-ranking share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from headrace.errors import ConfigError, HeadraceError, InputError
from trainer.after import columns_of, corrected, fused_score
from trainer.checkpoint import Checkpoint
from trainer.columns import column, floats, integers
from trainer.inputs import request_keys

__all__ = ["KEYS", "check_free", "open_rows", "score_table", "with_states", "write_batches"]

KEYS = ("impression_id", "request_id", "user_id", "item_id", "ds")  # carried along where the input has them


def check_free(out: str) -> None:
    """Raise ConfigError where something lies at `out`; of an address of another system nothing is known."""
    if "://" in out:
        return
    if Path(out).exists():
        raise ConfigError(
            out, found="something of that name", wanted="a new file or table", remedy="name another, or move it away"
        )
    try:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=Path(out).parent).close()
    except OSError as error:
        raise ConfigError(
            out,
            found=f"a place that cannot be written ({error.strerror})",
            wanted="a new file or table",
            remedy="name another",
        ) from None


def open_rows(source: str) -> pads.Dataset:
    """A Delta table, a Parquet file, or a folder of Parquet files; raises InputError where it is none of these."""
    try:
        if not source.endswith(".parquet") and DeltaTable.is_deltatable(source):
            return DeltaTable(source).to_pyarrow_dataset()
        return _same_columns(pads.dataset(source, format="parquet", partitioning="hive"), source=source)
    except (OSError, ValueError, pa.ArrowException, DeltaError) as error:
        raise InputError(
            source,
            found=" ".join(str(error).split())[:300],
            wanted="a Delta table, a Parquet file, or a folder of Parquet files",
            remedy="check --in",
        ) from None


def _same_columns(data: pads.Dataset, *, source: str) -> pads.Dataset:
    """The files, if all have the columns of the first: one that lacks some would be read as null."""
    first: set[str] | None = None
    for file in data.get_fragments():
        names = set(file.physical_schema.names)
        first = names if first is None else first
        if missing := sorted(first - names):
            raise InputError(
                source,
                found=f"{file.path} without {', '.join(missing[:5])}, which other files have",
                wanted="files of the same columns",
                remedy="score them apart, or mend the file",
            )
    return data


def with_states(checkpoint: Checkpoint, rows: pa.Table) -> tuple[pa.Table, list[str]]:
    """The rows with cell states, and the features that those are of; all measured where the input does not say."""
    if "feature_states" in rows.column_names:
        return rows, checkpoint.history["state_order"]
    order = [name for name, _, _ in checkpoint.encoder.features]
    states = pa.array([bytes(len(order))] * rows.num_rows, type=pa.binary())
    return rows.append_column("feature_states", states), order


def score_table(checkpoint: Checkpoint, rows: pa.Table, *, logits: npt.NDArray) -> pa.Table:
    """Keys that the rows have, then for each head `<head>_raw` and `<head>`, then `fused` where there is a fusion.

    Parameters
    ----------
    rows : B rows with the columns of `columns_of`
    logits : (B, T)
    """
    raw, final = corrected(checkpoint.plan, checkpoint.after, logits=logits)
    made = {name: rows[name] for name in KEYS if name in rows.column_names}
    for name in raw:
        made |= {f"{name}_raw": pa.array(raw[name]), name: pa.array(final[name])}
    if checkpoint.after.fusion is not None:
        extra = columns_of(checkpoint.plan, checkpoint.after, present=rows.column_names)
        columns = {name: floats(column(rows, name), name=name) for name in extra}
        both = {"request_id", "impression_id"} <= set(rows.column_names)  # a row without a request is one of its own
        requests = (
            request_keys(rows) if both else integers(rows, "request_id") if "request_id" in rows.column_names else None
        )
        made["fused"] = pa.array(fused_score(checkpoint.after, final, columns=columns, requests=requests, weights=None))
    return pa.table(made)


def write_batches(
    batches: Iterator[pa.RecordBatch],
    out: str,
    *,
    schema: pa.Schema,
    partition: str | None = None,
    only: str | None = None,
) -> None:
    """All rows or none: a file is renamed into its place, a Delta table is one commit.

    Parameters
    ----------
    out : str
        `*.parquet` is written as one file, anything else as a Delta table.
    schema : of the batches
    partition : column that the Delta table is partitioned by, if any
    only : predicate of the rows of an older Delta table that these replace; without it the table must be a new one

    Raises
    ------
    HeadraceError
        What the batches raise while they are made, which deltalake would turn into an error of its own. A new table's
        folder is then removed.
    """
    raised: list[HeadraceError] = []
    if out.endswith(".parquet"):
        try:
            _write_file(_noted(batches, raised), Path(out), schema=schema)
        except (OSError, pa.ArrowException):
            if raised:
                raise raised[0] from None
            raise
        return
    reader = pa.RecordBatchReader.from_batches(schema, _noted(batches, raised))
    fresh = "://" not in out and not Path(out).exists()
    given = {"partition_by": [partition]} if partition else {}
    try:
        write_deltalake(out, reader, mode="overwrite" if only else "error", predicate=only, **given)  # type: ignore[call-overload]
    except Exception as error:
        if fresh and not DeltaTable.is_deltatable(out):  # no other writer was there meanwhile
            shutil.rmtree(out, ignore_errors=True)
        if raised:
            raise raised[0] from None
        if isinstance(error, OSError | DeltaError):
            raise ConfigError(
                out,
                found=" ".join(str(error).split())[:300],
                wanted="a place for a Delta table",
                remedy="check --out, and what the address needs to be written to",
            ) from None
        raise


def _noted(batches: Iterator[pa.RecordBatch], raised: list[HeadraceError]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except HeadraceError as error:
        raised.append(error)
        raise
    except (OSError, pa.ArrowException) as error:
        raised.append(_unreadable(error))
        raise


def _unreadable(error: Exception) -> InputError:
    return InputError(
        "rows to score",
        found=" ".join(str(error).split())[:300],
        wanted="whole files, and numbers where numbers are needed",
        remedy="mend the file that --in names",
    )


def _write_file(batches: Iterator[pa.RecordBatch], target: Path, *, schema: pa.Schema) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with pq.ParquetWriter(folder / target.name, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        (folder / target.name).rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

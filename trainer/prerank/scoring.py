"""Score candidates with a tower model: the user's tower once a request, items' vectors from a table.

Legend: B rows, G users of a batch, F looked-up fields, N dense inputs, K width of an item's vector, T heads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import InputError
from trainer.after import DURATION, columns_of
from trainer.checkpoint import Checkpoint
from trainer.columns import integers
from trainer.prerank.items import ItemVectors, load_items
from trainer.prerank.sides import encode_part
from trainer.prerank.streams import Stream, item_ids, refuse_missing, table_stream
from trainer.prerank.towers import Towers, item_vectors, open_towers, tower_logits
from trainer.scoretables import KEYS, check_free, score_table, write_batches

__all__ = ["Counts", "Preranked", "prerank", "prerank_rows"]

_TOGETHER = 8192  # rows at least: a request that is spread over small files still is one


@dataclass
class Counts:
    """Rows scored, those whose item had no vector in the table, and how often the user's tower was run."""

    rows: int = 0
    computed: int = 0
    users: int = 0


@dataclass(frozen=True)
class Preranked:
    """What was written: its columns of scores, whether cell states were there to be read, and what it took."""

    out: str
    columns: list[str]
    states: bool
    counts: Counts


def prerank(
    checkpoint: Path, *, items: str, source: str, out: str, progress: Callable[[int, int], None] | None = None
) -> Preranked:
    """Score every row of `source` as `trainer.predict.predict` does, from the items' vectors.

    An item without a vector gets one from its row, where that has the columns of the item's side. Where a vector is, the
    row's own columns of that side are not looked at and need not be there.

    Parameters
    ----------
    checkpoint : Path
        Folder that `train` wrote, of a two- or three-tower model.
    items : str
        What `export_items` wrote with the same checkpoint.
    source : str
        Delta table, Parquet file, or folder of Parquet files: item_id, and the columns of the user and of the request.
    out : str
        `*.parquet` is written as one file, anything else as a Delta table; neither may be there already.
    progress : callable (rows done, rows in all), optional

    Returns
    -------
    Preranked. The columns are those of `predict`, to 1e-6 what it would say of rows with the exported item columns.

    Raises
    ------
    ConfigError
        The model has no item tower, or `out` is there already.
    InputError
        The vectors are not of this checkpoint, a column is missing or of another type, or an item has no vector and its
        row not the columns to make one. Nothing is written then.
    """
    check_free(out)
    towers = open_towers(Path(checkpoint))
    vectors = load_items(items, towers=towers)
    stream = table_stream(source, checkpoint=towers.checkpoint)
    columns = _columns(towers, stream)
    counts = Counts()

    def scored() -> Iterator[pa.RecordBatch]:
        for rows, order in _pieces(towers.checkpoint, stream, columns=columns):
            logits = prerank_rows(towers, vectors, rows=rows, state_order=order, counts=counts)
            yield from score_table(towers.checkpoint, rows, logits=logits).to_batches()
            if progress:
                progress(counts.rows, stream.rows)

    assert stream.empty is not None
    schema = score_table(
        towers.checkpoint, stream.empty, logits=np.empty((0, len(towers.checkpoint.plan.heads)))
    ).schema
    write_batches(scored(), out, schema=schema)
    names = [name for name in schema.names if name not in KEYS]
    return Preranked(out, names, "feature_states" in stream.present, counts)


def _columns(towers: Towers, stream: Stream) -> list[str]:
    """Columns to read: keys, the request's side, what fusion needs, and the item's side where all of it is there."""
    after = towers.checkpoint.after
    divided = after.fusion is not None and set(after.fusion.inputs) & set(after.durations)
    extra = columns_of(towers.checkpoint.plan, after, present=[*stream.present, *([DURATION] if divided else [])])
    needed = ["item_id", *towers.request.encoder.columns, *extra]
    refuse_missing(stream, needed, wanted="item_id, and the columns of the user, of the request and of the fusion")
    own = towers.item.encoder.columns if stream.present.issuperset(_measured(towers)) else []
    return list(dict.fromkeys([*(key for key in KEYS if key in stream.present), *needed, *own]))


def _measured(towers: Towers) -> list[str]:
    """Columns that an item's vector is made of, cell states aside."""
    return [name for name in towers.item.encoder.columns if name != "feature_states"]


def _pieces(checkpoint: Checkpoint, stream: Stream, *, columns: Sequence[str]) -> Iterator[tuple[pa.Table, list[str]]]:
    """Rows of small files put together; all rows at once where the fusion ranks those of a request among each other."""
    whole = checkpoint.after.fusion is not None and checkpoint.after.fusion.form == "rank"
    parts: list[pa.Table] = []
    order: list[str] = []
    for rows, order, _ in stream.read(columns):
        parts.append(rows)
        if not whole and sum(map(len, parts)) >= _TOGETHER:
            yield pa.concat_tables(parts).combine_chunks(), order
            parts = []
    if sum(map(len, parts)):
        yield pa.concat_tables(parts).combine_chunks(), order


def prerank_rows(
    towers: Towers, vectors: ItemVectors, *, rows: pa.Table, state_order: Sequence[str], counts: Counts | None = None
) -> npt.NDArray[np.float32]:
    """Logits (B, T) of rows of any number of requests.

    The user's tower is run once for each (request_id, user_id), on the first of its rows. Features are read when the
    request is made, so that its rows agree; one that does not agree with the first gets a run of its own.

    Parameters
    ----------
    towers, vectors : of one version, see `open_towers` and `load_items`
    rows : B rows with item_id, feature_states and the columns of the request's side
    state_order : names
        What the bytes of `feature_states` are of.
    counts : Counts, optional
        Added to.

    Raises
    ------
    InputError
        An item has no vector and `rows` lacks a column of the item's side; a column is of another type.
    """
    if vectors.version != towers.version:
        raise ValueError(f"vectors of {vectors.version}, wanted {towers.version}")
    ids, dense = encode_part(towers.request, rows, state_order=state_order)
    first, user_of = _users(towers, rows, ids=ids, dense=dense)
    asked = item_ids(rows, name="candidates")
    places = vectors.places(asked)
    lost = np.flatnonzero(places < 0)
    made = np.empty((0, towers.width), dtype=np.float32)
    if len(lost):
        own = rows.take(pa.array(lost))
        _refuse_lost(towers, own, lost=asked[lost])
        made = item_vectors(towers, encode_part(towers.item, own, state_order=state_order))

    def items(part: slice) -> npt.NDArray[np.float32]:
        found = vectors.take(places[part])  # (b, K)
        if len(made):
            low, high = np.searchsorted(lost, [part.start, part.stop])
            found[lost[low:high] - part.start] = made[low:high]
        return found

    if counts is not None:
        counts.rows += len(asked)
        counts.computed += len(lost)
        counts.users += len(first)
    return tower_logits(towers, (ids, dense), items=items, first=first, user_of=user_of)


def _users(
    towers: Towers, rows: pa.Table, *, ids: npt.NDArray[np.int64], dense: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A row of each user that has to be run, (G,), and for each row its place among them, (B,)."""
    code = np.zeros(len(ids), dtype=np.int64)
    for name in ("request_id", "user_id"):
        if name in rows.column_names:
            _, own = np.unique(integers(rows, name), return_inverse=True)
            code = code * (own.max(initial=0) + 1) + own
    _, first, code = np.unique(code, return_index=True, return_inverse=True)
    agrees = np.ones(len(ids), dtype=bool)
    for inputs, places in ((ids, towers.user.fields), (dense, towers.user.dense)):
        mine = inputs[:, places]
        agrees &= (mine == mine[first][code]).all(axis=1)
    alone = np.flatnonzero(~agrees)
    code[alone] = len(first) + np.arange(len(alone))
    return np.concatenate([first, alone]), code


def _refuse_lost(towers: Towers, rows: pa.Table, *, lost: npt.NDArray[np.int64]) -> None:
    needed = [name for name in _measured(towers) if name != "item_id"]
    if not set(needed) <= set(rows.column_names):
        named = ", ".join(map(str, np.unique(lost)[:5].tolist()))
        more = f" and {len(needed) - 3} more" if len(needed) > 3 else ""
        raise InputError(
            "candidates",
            found=f"items without a vector, such as {named}, and not all columns to make one",
            wanted=f"a vector for each item, or the columns {', '.join(needed[:3])}{more}",
            remedy="write vectors that cover them (headrace export), leave these rows out, or add the columns",
        )

"""Recall of a ranker's top on published days: among what was shown, and among pools of several hundred items.

What was shown is few candidates a request, and downsampled; a pre-ranker meets hundreds. So rows stand for requests, and
each gets a pool of items drawn from those shown that day. What a column says of the item comes from the item's latest
row, all else from the request's. Legend: R requests, P items of a pool, I items, F looked-up fields, N dense inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import ConfigError, InputError
from trainer.after import Outputs, columns_of, corrected, fused_score
from trainer.checkpoint import Checkpoint, load_checkpoint
from trainer.columns import column, floats, integers
from trainer.device import device_of
from trainer.encode import encode
from trainer.evaluate import check_schema
from trainer.fitting import training_pieces
from trainer.prerank.items import latest_items
from trainer.prerank.latest import Latest
from trainer.prerank.recall import Recall, checked_keep, recall_of
from trainer.prerank.streams import Stream, picked, published_stream
from trainer.published import find_days
from trainer.scoring import Progress, score_batch, score_days

__all__ = ["recall_in_pools", "recall_shown"]

FUSED = "fused"
_STAGES = ("ranker", "pre-ranker")
_CHUNK = 32  # requests that are scored at once


def recall_shown(
    ranker: Path,
    preranker: Path,
    *,
    root: str,
    days: Sequence[date],
    top: int,
    keep: Sequence[int],
    by: str | None = None,
    progress: Progress | None = None,
) -> Recall:
    """Recall among the rows of each request of published days, both models on the rows as they are.

    Parameters
    ----------
    ranker, preranker : Path
        Folders that `train` wrote, of any model.
    root : str
    days : published days
    top, keep : k, and the ms
    by : what to order by: fused or a head. None: fused where both have a fusion, else the first task that both have
    progress : callable (stage, rows or requests done, in all, text), optional

    Raises
    ------
    ConfigError
        A model cannot be ordered so, or an m is less than k.
    InputError
        A day or a checkpoint cannot be used, or no request has more rows than the largest m.
    """
    checked_keep(top, keep)
    models = [_loaded(path) for path in (ranker, preranker)]
    orders = _orders(models, by)
    chosen = find_days(root, list(dict.fromkeys(days)))
    for model in models:
        for day in chosen:
            check_schema(model, day, root=root)
    pieces = training_pieces(root, chosen)
    found, requests = [], np.empty(0, dtype=np.int64)
    for model, stage in zip(models, _STAGES, strict=True):
        scored = score_days(model, root=root, days=chosen, pieces=pieces, progress=progress, stage=stage)
        requests = scored.requests
        _, final = corrected(model.plan, model.after, logits=scored.logits)
        found.append(
            _ordered(model, final, by=orders, columns=scored.columns, requests=requests, weights=scored.weight)
        )
    return recall_of(found[0], found[1], requests=requests, top=top, keep=keep, by=orders)


def recall_in_pools(
    ranker: Path,
    preranker: Path,
    *,
    root: str,
    ds: date,
    top: int,
    keep: Sequence[int],
    pool: int = 500,
    requests: int = 200,
    by: str | None = None,
    seed: int = 7,
    progress: Progress | None = None,
) -> Recall:
    """Recall among `pool` items that are drawn anew for each of `requests` rows of a published day.

    Rows are drawn in proportion to their sample weights, one of a user at most, so that they are requests of the traffic;
    items evenly among those shown that day. The draw is the same for the same rows and seed.

    Parameters
    ----------
    ranker, preranker, root, top, keep, by, progress
        As of `recall_shown`.
    pool, requests : int
        P and R; fewer requests where the day has fewer users.

    Raises
    ------
    ConfigError
        A model cannot be ordered so, an m is less than k, or one is all of a pool.
    InputError
        The day or a checkpoint cannot be used, or the day has fewer items than P.
    """
    _check_pool(pool, checked_keep(top, keep)[-1])
    models = [_loaded(path) for path in (ranker, preranker)]
    orders = _orders(models, by)
    rng = np.random.default_rng(seed)
    drawn = _drawn(published_stream(root, [ds], checkpoints=models), models, requests=requests, rng=rng)
    pools = _pools(drawn, pool, rng=rng)
    found = []
    for model, stage in zip(models, _STAGES, strict=True):
        found.append(_pool_scores(model, drawn, pools=pools, by=orders))
        if progress:
            progress(stage, len(pools), len(pools), "")
    codes = np.repeat(np.arange(len(pools)), pool)
    return recall_of(found[0], found[1], requests=codes, top=top, keep=keep, by=orders)


def _check_pool(pool: int, largest: int) -> None:
    if pool <= largest:
        raise ConfigError(
            "recall",
            found=f"{largest} kept of a pool of {pool}",
            wanted="fewer than all",
            remedy="change --keep or --pool",
        )


def _loaded(path: Path) -> Checkpoint:
    loaded = load_checkpoint(Path(path))
    loaded.model.to(device_of(loaded.config))
    return loaded


def _orders(models: Sequence[Checkpoint], by: str | None) -> str:
    """The name that both are ordered by."""
    able = [[*([FUSED] if model.after.fusion else []), *model.plan.outputs] for model in models]
    both = [name for name in able[0] if name in able[1]]
    if (by is None and not both) or (by is not None and by not in both):
        raise ConfigError(
            "recall: what to order by",
            found=by or "nothing that both have",
            wanted=f"one of {', '.join(both) or 'none'}",
            remedy="name one of these (--by), or train both models with the same heads and fusion",
        )
    return by or both[0]


def _ordered(
    model: Checkpoint,
    final: Outputs,
    *,
    by: str,
    columns: dict[str, npt.NDArray[np.float64]],
    requests: npt.NDArray,
    weights: npt.NDArray | None = None,
) -> npt.NDArray[np.float64]:
    if by != FUSED:
        return final[by]
    return fused_score(model.after, final, columns=columns, requests=requests, weights=weights)


@dataclass(frozen=True)
class _Drawn:
    """Rows of R requests and of I items, and what their `feature_states` are of."""

    requests: pa.Table
    items: pa.Table
    state_order: list[str]


def _drawn(stream: Stream, models: Sequence[Checkpoint], *, requests: int, rng: np.random.Generator) -> _Drawn:
    """The stream is read three times: for the items, for the requests, and for the rows of both."""
    users = Latest(orders=1, most=requests)
    for rows, _, _ in stream.read(["user_id", "sample_weight"]):
        weight = floats(column(rows, "sample_weight"), name="sample_weight")
        # The greatest of these keys are a sample without replacement by weight (Efraimidis and Spirakis 2006).
        users.add(integers(rows, "user_id"), -rng.exponential(size=len(weight)) / weight)
    numbers = [columns_of(m.plan, m.after, present=sorted(stream.present)) for m in models]
    columns = list(
        dict.fromkeys(name for m, n in zip(models, numbers, strict=True) for name in (*m.encoder.columns, *n))
    )
    found, order = [], []
    for places in (users.finish()[1], latest_items(stream)[1]):
        parts = list(picked(stream, places, columns=columns))
        found.append(pa.concat_tables([part.rows for part in parts]).combine_chunks())
        order = parts[0].state_order
    return _Drawn(found[0], found[1], order)


def _pools(drawn: _Drawn, pool: int, *, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Places of each request's items, (R, P)."""
    items = drawn.items.num_rows
    if items < pool:
        raise InputError(
            "items of the day",
            found=f"{items}",
            wanted=f"at least {pool}, a pool",
            remedy="name another day, or --pool",
        )
    return np.stack([rng.choice(items, pool, replace=False) for _ in range(drawn.requests.num_rows)])


def _pool_scores(model: Checkpoint, drawn: _Drawn, *, pools: npt.NDArray[np.int64], by: str) -> npt.NDArray[np.float64]:
    """Scores (R P,) of each request's pool."""
    encoder = model.encoder
    of_request, of_item = (
        encode(encoder, rows, state_order=drawn.state_order) for rows in (drawn.requests, drawn.items)
    )
    fields, dense = (
        [_of_item(name, encoder.sides[name]) for name in names] for names in (encoder.fields, encoder.dense)
    )
    logits = []
    for start in range(0, len(pools), _CHUNK):
        part = pools[start : start + _CHUNK]  # (r, P)
        rows = np.repeat(np.arange(start, start + len(part)), part.shape[1])
        ids = np.where(fields, of_item[0][part.reshape(-1)], of_request[0][rows])  # (r P, F)
        numbers = np.where(dense, of_item[1][part.reshape(-1)], of_request[1][rows])  # (r P, N)
        logits.append(score_batch(model, {"ids": ids, "dense": numbers}))
    _, final = corrected(model.plan, model.after, logits=np.concatenate(logits))
    rows = np.repeat(np.arange(len(pools)), pools.shape[1])
    columns = {}
    for name in columns_of(model.plan, model.after, present=drawn.items.column_names):
        whose, at = (
            (drawn.items, pools.reshape(-1)) if _of_item(name, encoder.sides.get(name)) else (drawn.requests, rows)
        )
        columns[name] = floats(column(whose, name), name=name)[at]
    return _ordered(model, final, by=by, columns=columns, requests=rows)


def _of_item(name: str, side: str | None) -> bool:
    """Whether a column speaks of the item, alone or within a segment."""
    return side == "item" or name.startswith(("item_", "author_"))

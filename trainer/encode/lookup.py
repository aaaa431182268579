"""Looked-up columns to rows of the shared embedding table. B rows, F looked-up columns, S features of the day."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trainer.columns import column, floats, is_text, plain, unmeasured, whole, wrong_type
from trainer.encode.fields import Buckets, Category, Encoder, Hash, Vocabulary
from trainer.encode.hashing import Hashed, hash_numbers, hash_words

__all__ = ["look_up"]

Mask = npt.NDArray[np.bool_] | None
_IDS = ("user_id", "item_id", "author_id")  # whole numbers wherever they are; the others are declared


def look_up(
    encoder: Encoder,
    batch: pa.RecordBatch,
    *,
    states: npt.NDArray[np.uint8],
    places: Mapping[str, int],
    out: npt.NDArray[np.int64],
) -> None:
    """Write rows of the embedding table.

    Parameters
    ----------
    encoder : Encoder
    batch : RecordBatch of B rows
    states : (B, S) uint8, `feature_states` of the day
    places : column of `states` by feature
    out : (B, F) int64

    Raises
    ------
    InputError
        A column holds something else than its encoding is for.
    """
    filled = _filled(encoder, states, places=places)
    hashed: dict[int, list[Hashed]] = defaultdict(list)  # by number of buckets
    declared = dict.fromkeys(_IDS, "bigint") | {name: kind for name, kind, _ in encoder.features}
    for f, (category, offset) in enumerate(zip(encoder.categories, encoder.offsets.tolist(), strict=True)):
        cells = column(batch, category.name)
        words = is_text(cells.type)
        kind = declared.get(category.name)
        other = kind is not None and words != (kind == "string") and not pa.types.is_null(cells.type)
        if isinstance(category, Hash) and other:  # the same digits hash differently as a text
            raise wrong_type(category.name, cells.type, wanted="whole numbers" if words else "words")
        if isinstance(category, Hash) and not words:
            values, nulls = whole(cells, name=category.name)
            hashed[category.buckets].append(Hashed(values, _either(nulls, filled.get(f)), offset, f))
            continue
        rows, nulls = _word_rows(category, cells) if words else _number_rows(category, cells)
        missing = _either(nulls, filled.get(f))
        np.add(rows if missing is None else np.where(missing, 0, rows), offset, out=out[:, f])
    for buckets, columns in hashed.items():
        hash_numbers(columns, buckets=buckets, out=out)


def _filled(
    encoder: Encoder, states: npt.NDArray[np.uint8], *, places: Mapping[str, int]
) -> dict[int, npt.NDArray[np.bool_]]:
    """Cells that were filled in, (B,), by looked-up column; only columns with any. Ids have no state."""
    named = [(f, places[name]) for f, name in enumerate(encoder.fields) if name in places]
    masks = unmeasured(states[:, [place for _, place in named]])
    return {named[k][0]: masks[:, k] for k in np.flatnonzero(masks.any(axis=0)).tolist()}


def _either(one: Mask, other: Mask) -> Mask:
    return other if one is None else one if other is None else one | other


def _number_rows(category: Category, cells: pa.Array) -> tuple[npt.NDArray[np.int64], Mask]:
    """Rows within the column's part of the table, (B,), for numbers; and where they are missing."""
    if isinstance(category, Buckets):
        values = floats(cells, name=category.name)
        return np.searchsorted(np.array(category.edges), values, side="right") + 1, ~np.isfinite(values)
    values, nulls = whole(cells, name=category.name)
    return _known(category, values.astype(np.int64)), nulls


def _word_rows(category: Category, cells: pa.Array) -> tuple[npt.NDArray[np.int64], Mask]:
    """The same for words, each different word looked up once."""
    coded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
    indices, nulls = plain(coded.indices, name=category.name)
    words = coded.dictionary.cast(pa.string()).fill_null("").to_pylist()
    if isinstance(category, Hash):
        of_word = hash_words(words, buckets=category.buckets)
    else:
        of_word = _known(category, np.array(words, dtype=object))
    if coded.dictionary.null_count:
        of_word[coded.dictionary.is_null().to_numpy(zero_copy_only=False)] = 0
    if nulls is not None:  # what stands there may be no place of any word
        of_word, indices = np.append(of_word, 0), np.where(nulls, len(words), indices)
    return of_word[indices], None


def _known(category: Category, values: npt.NDArray) -> npt.NDArray[np.int64]:
    """Rows of values that a vocabulary may hold: 1 for those that it does not."""
    words = values.dtype == object
    if not isinstance(category, Vocabulary) or (category.values and category.words != words):
        raise wrong_type(category.name, "words" if words else "whole numbers", wanted="what the encoder was fitted on")
    if not category.values:
        return np.ones(len(values), dtype=np.int64)
    return category.index.get_indexer(values) + 2

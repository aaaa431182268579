"""Encoders: hashing that stays the same, moments that equal numpy's, and cells that are missing."""

import json

import numpy as np
import pyarrow as pa
import pytest

from headrace.errors import InputError
from trainer.columns import number_matrix, state_matrix
from trainer.encoders import (
    CLIP,
    Category,
    Encoder,
    Number,
    encode,
    encoder_from_dict,
    encoder_to_dict,
    hash_bucket,
    input_fields,
    squash,
)
from trainer.fitting import Moments
from trainer.published import FeatureSpec

ENCODER = Encoder(
    (Category("user_id", 10, 0), Category("scene", 5, 10)),
    (Number("count", log=True, mean=1.0, std=0.5), Number("score", log=False, mean=2.0, std=4.0)),
    (("scene", "string", ""), ("count", "bigint", "events"), ("score", "double", "")),
)
ORDER = ["score", "scene", "count"]  # not that of the encoder: each day says its own


def _batch(counts: list, scores: list, *, states: list[bytes]) -> pa.RecordBatch:
    n = len(counts)
    return pa.RecordBatch.from_pydict(
        {
            "user_id": pa.array([7] * n),
            "scene": pa.array([None, *["feed"] * (n - 1)], pa.string()),
            "count": pa.array(counts, pa.int64()),
            "score": pa.array(scores, pa.float64()),
            "feature_states": pa.array(states, pa.binary()),
        }
    )


def test_hashes_of_ids_and_words_are_pinned() -> None:
    # A saved model must find its rows again: another hash would be another model.
    assert hash_bucket(pa.array([0, 1, -1, 2**62]), buckets=200_000).tolist() == [48076, 186, 39247, 142458]
    assert hash_bucket(pa.array(["feed", "", "Zürich"]), buckets=4096).tolist() == [3301, 980, 3843]


def test_null_has_bucket_zero_of_its_own() -> None:
    found = hash_bucket(pa.array([None, *range(1000)]), buckets=8)
    assert found[0] == 0 and found[1:].min() >= 1 and found.max() <= 7


def test_neighbouring_ids_spread_evenly_over_buckets() -> None:
    counts = np.bincount(hash_bucket(pa.array(np.arange(100_000)), buckets=101), minlength=101)[1:]
    assert np.abs(counts - 1000).max() < 6 * np.sqrt(1000)


def test_words_hash_alike_whatever_else_is_in_the_batch_and_however_it_is_stored() -> None:
    alone = hash_bucket(pa.array(["feed"]), buckets=4096)[0]
    assert hash_bucket(pa.array(["x", "feed", None]), buckets=4096)[1] == alone
    assert hash_bucket(pa.array(["x", "feed"]).dictionary_encode(), buckets=4096)[1] == alone


def test_numbers_are_squashed_standardised_and_clipped() -> None:
    _, dense = encode(ENCODER, _batch([9, 10**12], [6.0, -2.0], states=[b"\0\0\0"] * 2), state_order=ORDER)
    np.testing.assert_allclose(dense[0, :2], [(np.log1p(9) - 1) / 0.5, 1.0], rtol=1e-6)
    assert dense[1, 0] == CLIP and dense[1, 1] == -1.0


def test_null_nan_and_infinite_cells_are_zero_and_marked_missing() -> None:
    batch = _batch([None, 1, 1, 1], [1.0, None, float("nan"), float("inf")], states=[b"\0\0\0"] * 4)
    _, dense = encode(ENCODER, batch, state_order=ORDER)
    assert dense[0, 0] == 0 and (dense[1:, 1] == 0).all()
    assert dense[:, 2].tolist() == [1, 0, 0, 0] and dense[:, 3].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(("state", "missing"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (5, 1)])
def test_missing_bit_follows_the_state_of_the_days_own_order(state: int, missing: int) -> None:
    _, dense = encode(ENCODER, _batch([3], [1.0], states=[bytes([0, 0, state])]), state_order=ORDER)
    assert dense[0, 2:].tolist() == [missing, 0]


def test_stale_and_default_filled_values_are_left_in_place() -> None:
    _, plain = encode(ENCODER, _batch([3], [1.0], states=[bytes([0, 0, 0])]), state_order=ORDER)
    _, stale = encode(ENCODER, _batch([3], [1.0], states=[bytes([4, 0, 2])]), state_order=ORDER)
    assert stale[0, :2].tolist() == plain[0, :2].tolist()


def test_states_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match="wanted: 3 bytes"):
        state_matrix(_batch([1], [1.0], states=[b"\0\0"]), ORDER, names=["score"])


def test_states_of_a_slice_are_those_of_its_rows() -> None:
    batch = _batch([1] * 4, [1.0] * 4, states=[bytes([i, 0, 9 - i]) for i in range(4)]).slice(2, 2)
    assert state_matrix(batch, ORDER, names=["count", "score"]).tolist() == [[7, 2], [6, 3]]


def test_broken_cells_are_counted_apart_from_nulls() -> None:
    _, broken = number_matrix(
        _batch([1] * 4, [None, float("nan"), float("-inf"), 0.0], states=[b"\0\0\0"] * 4), ["score"]
    )
    assert broken.tolist() == [2]


def test_moments_merged_batch_by_batch_equal_numpys() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(1e6, 1.0, (1000, 3))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 2] = np.nan
    moments = Moments.empty(3)
    for part in np.array_split(values, [1, 10, 500]):
        moments.add(part)
    np.testing.assert_allclose(moments.mean[:2], np.nanmean(values[:, :2], axis=0), rtol=1e-13)
    np.testing.assert_allclose(moments.std()[:2], np.nanstd(values[:, :2], axis=0), rtol=1e-9)
    assert moments.std()[2] == 1.0


def test_column_that_does_not_vary_is_not_divided_by_its_rounding_error() -> None:
    moments = Moments.empty(1)
    moments.add(np.full((1000, 1), 0.1))
    moments.add(np.full((77, 1), 0.1))
    assert moments.std().tolist() == [1.0]


def test_squash_keeps_the_sign_and_leaves_other_columns() -> None:
    made = squash(np.array([[-1.0, -1.0], [3.0, 3.0]]), np.array([True, False]))
    np.testing.assert_allclose(made, [[-np.log(2), -1.0], [np.log(4), 3.0]])


def test_counts_and_seconds_take_logs_and_words_and_context_are_looked_up() -> None:
    kinds = [("clicks", "bigint", "events", "group:item"), ("age_s", "double", "s", "profile:user"),
             ("rate", "double", "ratio", "group:item"), ("age", "int", "", "profile:user"),
             ("hour", "int", "", "context"), ("city", "string", "", "context"), ("new", "boolean", "", "context")]  # fmt: skip
    features = [FeatureSpec(*kind) for kind in kinds]
    categories, numbers = input_fields(features, present={"user_id", "item_id"}, hash_buckets=9000)
    assert [(c.name, c.buckets, c.offset) for c in categories] == [
        ("user_id", 9000, 0), ("item_id", 9000, 9000), ("hour", 4096, 18000), ("city", 4096, 22096),
    ]  # fmt: skip
    assert [n.name for n in numbers if n.log] == ["clicks", "age_s"]
    assert [n.name for n in numbers if not n.log] == ["rate", "age", "new"]


def test_encoder_survives_json_exactly() -> None:
    odd = Encoder(ENCODER.categories, (Number("x", log=True, mean=0.1 + 0.2, std=1e-17),), ENCODER.features)
    assert encoder_from_dict(json.loads(json.dumps(encoder_to_dict(odd)))) == odd

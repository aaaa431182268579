"""Which column becomes what: by its declared type, or by an exception of the configuration."""

from typing import Any

import pytest

from headrace.config.training import Encoding
from headrace.errors import ConfigError
from trainer.encode import Buckets, Encoder, Fitter, Hash, Number, Vocabulary, choose_fields
from trainer.published import FeatureSpec

FEATURES = [
    FeatureSpec("hour", "int", "", "context"),
    FeatureSpec("city", "string", "", "context"),
    FeatureSpec("new", "boolean", "", "context"),
    FeatureSpec("user_age", "int", "", "profile:user"),
    FeatureSpec("item_publish_age_s", "double", "s", "profile:item"),
    FeatureSpec("user_click_count_7d", "bigint", "events", "group:readers"),
    FeatureSpec("user_by_category_click_rate_7d", "double", "ratio", "group:tastes"),
    FeatureSpec("item_by_gender_click_rate_7d", "double", "ratio", "group:item_by_gender"),
    FeatureSpec("author_click_rate_7d", "double", "ratio", "group:author"),
    FeatureSpec("user_last_items", "array<bigint>", "", "group:readers"),
    FeatureSpec("user_since", "timestamp", "", "profile:user"),
    FeatureSpec("item_price", "decimal(10,2)", "", "profile:item"),
]
IDS = {"user_id", "item_id"}


def _rule(kind: str, *features: str, **options: Any) -> Encoding:
    return Encoding.model_validate({"features": features, "as": kind, **options})


def _chosen(*rules: Encoding, present: set[str] = IDS) -> Encoder:
    return Encoder(*choose_fields(FEATURES, present=present, rules=rules, hash_buckets=9000), features=())


def _field(encoder: Encoder, name: str) -> Any:
    return next(field for field in (*encoder.categories, *encoder.numbers) if field.name == name)


def test_declared_types_say_what_a_column_becomes_where_no_exception_does() -> None:
    made = _chosen()
    assert made.categories == (
        Hash("user_id", 9000, side="user"), Hash("item_id", 9000, side="item"), Hash("hour", 4096), Hash("city", 4096),
    )  # fmt: skip
    assert [(n.name, n.log, n.clip, n.missing) for n in made.numbers] == [
        ("new", False, 6.0, True),
        ("user_age", False, 6.0, True),
        ("item_publish_age_s", True, 6.0, True),
        ("user_click_count_7d", True, 6.0, True),
        ("user_by_category_click_rate_7d", False, 6.0, True),
        ("item_by_gender_click_rate_7d", False, 6.0, True),
        ("author_click_rate_7d", False, 6.0, True),
        ("item_price", False, 6.0, True),
    ]


def test_words_have_no_more_buckets_than_ids() -> None:
    categories, _ = choose_fields(FEATURES, present=IDS, hash_buckets=100)
    assert {category.rows for category in categories} == {100}


def test_sides_follow_the_source_and_the_generated_names() -> None:
    sides = _chosen(present={*IDS, "author_id"}).sides
    assert {name for name, side in sides.items() if side == "user" and "?" not in name} == {
        "user_id", "user_age", "user_click_count_7d",
    }  # fmt: skip
    assert {name for name, side in sides.items() if side == "item" and "?" not in name} == {
        "item_id", "author_id", "item_publish_age_s", "author_click_rate_7d", "item_price",
    }  # fmt: skip
    assert sides["user_age?missing"] == "user" and sides["user_by_category_click_rate_7d?missing"] == "cross"


def test_first_exception_that_fits_a_name_holds() -> None:
    made = _chosen(
        _rule("buckets", "user_age", buckets=4),
        _rule("drop", "user_*", "item_id"),
        _rule("number", "*_rate_7d", log=True, standardise=False, clip=None, missing=False),
        _rule("vocabulary", "hour", "new", min_count=3),
        _rule("hash", "city", buckets=50),
    )
    assert _field(made, "user_age") == Buckets("user_age", 4, side="user")
    assert _field(made, "hour") == Vocabulary("hour", min_count=3)
    assert _field(made, "city") == Hash("city", 50)
    number = Number("author_click_rate_7d", log=True, standardise=False, clip=None, missing=False, side="item")
    assert _field(made, "author_click_rate_7d") == number
    assert set(made.fields) == {"hour", "city", "user_age", "new"}
    assert not {"user_id", "item_id", "user_click_count_7d"} & {*made.fields, *made.dense}


def test_pattern_that_fits_nothing_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'user_agee', 'x\\*': fits none of 14 columns"):
        _chosen(_rule("drop", "user_agee", "user_age"), _rule("drop", "x*"))


@pytest.mark.parametrize(
    ("kind", "name", "found", "wanted"),
    [
        ("number", "city", "string", "hash or vocabulary or drop"),
        ("buckets", "user_id", "an id", "hash or vocabulary or drop"),
        ("hash", "author_click_rate_7d", "double", "buckets or number or drop"),
        ("vocabulary", "item_price", r"decimal\(10,2\)", "buckets or number or drop"),
        ("number", "user_last_items", "array<bigint>", "drop"),
        ("number", "user_since", "timestamp", "drop"),
    ],
)
def test_exception_that_does_not_suit_the_type_is_refused(kind: str, name: str, found: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} \({found}\) as {kind}\n  wanted: {wanted}\n"):
        _chosen(_rule(kind, name))


def test_encoder_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="all are dropped"):
        _chosen(_rule("drop", "*"))


def test_features_that_are_dropped_are_neither_read_nor_declared() -> None:
    fitter = Fitter(FEATURES, present=IDS, rules=[_rule("drop", "city")], hash_buckets=10)
    assert not {"city", "user_since", "user_last_items"} & set(fitter.columns)
    assert {"user_id", "hour", "feature_states"} <= set(fitter.columns)
    assert [name for name, _, _ in fitter.finish().features] == [
        n for n in fitter.columns if n in {f.name for f in FEATURES}
    ]

"""Strata, solved rates, splits: what is drawn, at which rate, and what the weights give back."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import functions as F

from headrace.config import load_config
from headrace.config.sampling import SamplingConfig, SplitConfig, Stratum
from headrace.errors import ConfigError
from sampling.downsample import count_strata, draw, keep, rate_rows
from sampling.splits import split_of
from sampling.strata import PlanRow, solve, with_stratum

DAY = date(2024, 5, 1)
TINY = Path(__file__).parent / "data" / "tiny.yaml"


def sampling(*strata: dict, **rates: float) -> SamplingConfig:
    given = {"salt": "s", "negative_rate": 0.1, "positive_rate": 1.0, "min_rate": 0.0001} | rates
    return SamplingConfig.model_validate({**given, "strata": list(strata)})


def solved(config: SamplingConfig, **counts: tuple[int, int]) -> dict[str, float]:
    plan = solve({(DAY, name): pair for name, pair in counts.items()}, config, days=[DAY])
    return {row.stratum: row.nominal_rate for row in plan}


def test_a_fixed_rate_stands_whatever_the_counts():
    assert solved(sampling(), positive=(10, 10), negative=(1000, 0)) == {"positive": 1.0, "negative": 0.1}


def test_a_row_budget_is_met_as_expected_and_never_above_one():
    config = sampling({"name": "feed", "where": ["scene = feed"], "rows": 50})
    assert solved(config, feed=(200, 5))["feed"] == 0.25
    assert solved(config, feed=(20, 5))["feed"] == 1.0


def test_negatives_per_positive_count_the_positives_that_other_strata_keep():
    config = sampling({"name": "background", "per_positive": 4}, positive_rate=0.5)
    rates = solved(config, background=(10_000, 0), positive=(100, 100))
    assert rates["background"] == 4 * 100 * 0.5 / 10_000


def test_a_day_without_positives_keeps_the_least_rate():
    config = sampling({"name": "background", "per_positive": 4}, min_rate=0.01)
    assert solved(config, background=(10_000, 0))["background"] == 0.01


def test_a_stratum_that_saw_nothing_has_a_rate_all_the_same():
    rates = solved(sampling({"name": "feed", "where": ["scene = feed"], "rows": 50}))
    assert rates == {"feed": 1.0, "positive": 1.0, "negative": 0.1}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("sampling.strata=[{name: a, rate: 0.1, rows: 3}]", "exactly one of rate, per_positive, rows"),
        ("sampling.strata=[{name: a}]", "exactly one of"),
        ("sampling.strata=[{name: negative, rate: 0.1}]", "other than positive and negative"),
        ("sampling.strata=[{name: a, rate: 0.1}, {name: a, rate: 0.2}]", "names that differ"),
        ("sampling.strata=[{name: a, rate: 0}]", "greater than 0"),
        ("sampling.strata=[{name: a, rate: 0.1, where: ['colour = red']}]", "one of .*positive"),
        ("sampling.strata=[{name: a, rate: 0.1, where: ['scene = 3']}]", "a text"),
        ("sampling.strata=[{name: a, rate: 0.1, where: ['scene']}]", "<column> <operator> <value>"),
        ("split={by: user, train: 0.8}", "sum to 1"),
        ("split={by: user, train: [2024-05-01, 2024-05-02]}", "a share such as"),
        ("split={by: time, train: 0.5, test: 0.5}", "first day, last day"),
        ("split={by: time, train: [2024-05-03, 2024-05-01]}", "before the first"),
        ("split={by: time, train: [2024-05-01, 2024-05-03], test: [2024-05-04, 2024-05-05]}", "1 day\\(s\\) between"),
        ("split={by: time, train: [2024-05-01, 2024-05-03], gap_days: 0}", "greater than or equal to 1"),
    ],
)
def test_declarations_that_make_no_sense_are_refused_with_what_was_wanted(setting, words):
    with pytest.raises(ConfigError, match=words):
        load_config(TINY, settings=[setting])


@pytest.fixture(scope="module")
def rows(spark):
    """20,000 labelled rows: likes are clicks, clicks are common in feed, scene is null now and then."""
    ids = spark.range(20_000).withColumnRenamed("id", "impression_id")
    dice = {n: F.pmod(F.xxhash64("impression_id", F.lit(n)), F.lit(1000)) for n in ("scene", "click", "like", "place")}
    scene = F.when(dice["scene"] < 600, "feed").when(dice["scene"] < 950, "search")
    clicks = dice["click"] < F.when(scene == "feed", 200).otherwise(50)
    made = ids.select(
        "impression_id",
        (F.col("impression_id") % 700).alias("user_id"),
        scene.alias("scene"),
        (dice["place"] % 20).cast("int").alias("position"),
        clicks.cast("int").alias("label_click"),
        (clicks & (dice["like"] < 300)).cast("int").alias("label_like"),
        *[F.lit(0).alias(f"label_{a}") for a in ("collect", "share", "follow", "comment")],
        F.lit(DAY).alias("ds"),
    )
    return made.localCheckpoint()


def config_of(*settings: str):
    return load_config(TINY, settings=settings)


def drawn(rows, config):
    with_names = with_stratum(rows, labels=config.labels, sampling=config.sampling)
    seen = count_strata(with_names, config)
    pairs = {(ds, name): (n, seen[ds, name, "positive"]) for (ds, name, label), n in seen.items() if label == "all"}
    plan = solve(pairs, config.sampling, days=[DAY])
    return plan, draw(rows, config, plan)


def test_a_row_stands_in_the_first_stratum_that_fits_and_null_fits_none(rows):
    strata = "[{name: deep, where: ['position >= 10', 'positive = 0'], rate: 0.2}, {name: found, where: ['scene in [search]'], rate: 0.5}]"
    config = config_of(f"sampling.strata={strata}")
    found = with_stratum(rows, labels=config.labels, sampling=config.sampling).collect()
    for row in found:
        deep = row["position"] >= 10 and not row["label_click"]
        other = "found" if row["scene"] == "search" else "positive" if row["label_click"] else "negative"
        assert row["sampling_stratum"] == ("deep" if deep else other)


def test_every_row_kept_has_the_rate_of_its_stratum_and_one_over_it_as_weight(rows):
    config = config_of("sampling.strata=[{name: feed, where: ['scene = feed', 'positive = 0'], rows: 1000}]")
    plan, kept = drawn(rows, config)
    rates = {row.stratum: row.nominal_rate for row in plan}
    for row in kept.collect():
        assert row["sampling_rate"] == rates[row["sampling_stratum"]]
        assert row["sample_weight"] == 1 / row["sampling_rate"] >= 1
    assert abs(kept.where("sampling_stratum = 'feed'").count() - 1000) < 4 * 1000**0.5


def test_a_higher_rate_keeps_all_rows_that_a_lower_one_kept_and_another_salt_draws_independently(rows):
    def ids(rate: float, salt: str = "s") -> set[int]:
        kept = rows.where(keep(F.col("impression_id"), salt=salt, rate=F.lit(rate)))
        return {row["impression_id"] for row in kept.select("impression_id").collect()}

    low, high, other = ids(0.1), ids(0.2), ids(0.1, "t")
    assert low < high
    both, n = len(low & other), 20_000
    assert abs(both - n * 0.01) < 4 * (n * 0.01) ** 0.5


def test_the_plan_is_the_same_at_any_number_of_partitions(rows):
    config = config_of("sampling.strata=[{name: background, per_positive: 2.5}]")
    plans = [drawn(rows.repartition(n), config)[0] for n in (1, 5)]
    assert plans[0] == plans[1]


def test_seen_and_kept_stand_side_by_side_with_an_interval_around_the_realised_rate(rows):
    config = config_of("sampling.negative_rate=0.3")
    plan, kept = drawn(rows, config)
    seen = count_strata(with_stratum(rows, labels=config.labels, sampling=config.sampling), config)
    made = {(r.stratum, r.label): r for r in rate_rows(seen, count_strata(kept, config), plan)}
    whole = made["negative", "all"]
    assert whole.seen + made["positive", "all"].seen == 20_000
    assert whole.realised_rate == whole.kept / whole.seen and whole.p_value > 1e-6
    assert (whole.rate_low or 1) < whole.realised_rate < (whole.rate_high or 0)
    assert made["negative", "positive"].seen == 0 and made["negative", "positive"].realised_rate is None
    assert made["positive", "positive"].kept == made["positive", "all"].seen


def test_a_rate_that_was_not_the_one_drawn_by_is_outside_its_bounds():
    plan = [PlanRow("negative", "rate 0.1", 10_000, 0, 0.1, DAY)]
    key = (DAY, "negative", "all")
    assert rate_rows({key: 10_000}, {key: 1_000}, plan)[0].p_value > 0.5
    assert rate_rows({key: 10_000}, {key: 1_300}, plan)[0].p_value < 1e-6


def test_the_interval_is_that_of_clopper_and_pearson():
    from scipy.stats import binomtest

    plan = [PlanRow("negative", "rate 0.1", 40, 0, 0.1, DAY)]
    key = (DAY, "negative", "all")
    for kept in (0, 3, 40):
        made = rate_rows({key: 40}, {key: kept}, plan)[0]
        wanted = binomtest(kept, 40).proportion_ci(confidence_level=0.95, method="exact")
        assert (made.rate_low, made.rate_high) == pytest.approx((wanted.low, wanted.high))


def test_weights_give_back_the_traffic_of_every_label_in_every_segment(spark):
    """1M rows: for each label and scene the weighted count is within 4 standard errors of the full one."""
    n, rng = 1_000_000, np.random.default_rng(11)
    config = config_of(
        "sampling.strata=[{name: deep, where: ['position >= 12', 'positive = 0'], rate: 0.02}, {name: rest, per_positive: 3}]",
        "sampling.positive_rate=0.5",
    )
    dice = {name: F.pmod(F.xxhash64("id", F.lit(int(rng.integers(1 << 40)))), F.lit(10_000)) for name in "abcd"}
    rows = spark.range(n, numPartitions=2).select(
        F.col("id").alias("impression_id"),
        F.when(dice["a"] < 7000, "feed").otherwise("search").alias("scene"),
        (dice["b"] % 20).cast("int").alias("position"),
        (dice["c"] < 300).cast("int").alias("label_click"),
        ((dice["c"] < 300) & (dice["d"] < 2500)).cast("int").alias("label_like"),
        *[F.lit(0).alias(f"label_{a}") for a in ("collect", "share", "follow", "comment")],
        F.lit(DAY).alias("ds"),
    )
    _, kept = drawn(rows, config)
    labels = {"all": F.lit(1), "click": F.col("label_click"), "like": F.col("label_like")}
    full = rows.groupBy("scene").agg(*[F.sum(c).alias(name) for name, c in labels.items()]).collect()
    weight = F.col("sample_weight")
    sums = [F.sum(c * weight).alias(name) for name, c in labels.items()]
    spread = [F.sum(c * weight * (weight - 1)).alias(f"{name}_variance") for name, c in labels.items()]
    sample = {row["scene"]: row for row in kept.groupBy("scene").agg(*sums, *spread).collect()}
    for row in full:
        for name in labels:
            error = sample[row["scene"]][f"{name}_variance"] ** 0.5
            assert abs(sample[row["scene"]][name] - row[name]) <= 4 * error, (row["scene"], name)
            assert 0 < error < 0.2 * row[name]


def split_rows(spark, split: dict, rows: list[tuple[int, int, datetime]], timezone: str = "UTC") -> list[str | None]:
    frame = spark.createDataFrame(rows, "user_id bigint, request_id bigint, request_ts timestamp")
    column = split_of(SplitConfig.model_validate(split), timezone=timezone)
    return [row["s"] for row in frame.select("request_id", column.alias("s")).orderBy("request_id").collect()]


def test_days_make_splits_by_the_business_day_and_gaps_stand_in_none(spark):
    split = {"by": "time", "train": ["2024-05-01", "2024-05-02"], "test": ["2024-05-04", "2024-05-04"]}
    moments = [datetime(2024, 4, 30, 22, tzinfo=UTC) + timedelta(hours=h) for h in (-1, 0, 47, 48, 72, 96)]
    rows = [(1, n, at) for n, at in enumerate(moments)]
    assert split_rows(spark, split, rows, "Europe/Berlin") == [None, "train", "train", None, "test", None]


def test_all_rows_of_a_user_stand_in_one_split_of_about_its_share(spark):
    split = {"by": "user", "train": 0.7, "validation": 0.1, "test": 0.2}
    at = datetime(2024, 5, 1, tzinfo=UTC)
    found = split_rows(spark, split, [(n // 2, n, at) for n in range(8000)])
    assert all(a == b for a, b in zip(found[::2], found[1::2], strict=True))
    for name, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert abs(found[::2].count(name) / 4000 - share) < 4 * (share * (1 - share) / 4000) ** 0.5


def test_strata_say_their_rule_in_words():
    assert [Stratum(name="a", **rule).rule for rule in ({"rate": 0.1}, {"rows": 7}, {"per_positive": 2.5})] == [
        "rate 0.1",
        "7 rows",
        "2.5 per positive",
    ]

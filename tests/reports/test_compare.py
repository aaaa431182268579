"""Two sides compared: days, configurations and snapshots; the page as a parser sees it."""

import base64
import hashlib
import re
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from headrace.config import Config
from headrace.errors import ConfigError, InputError
from reports.bins import bin_codes
from reports.compare import Comparison, compare, compare_report, read_side
from reports.drift import difference_interval
from reports.measured import Measured, difference
from reports.page_compare import compare_table, render_comparison
from tests.reports.coverage_tables import DAY, config_of, covered, day_before, write
from tests.reports.parse import parse

B, A = str(DAY), str(day_before(1))


def _numbers(values: list[float]) -> dict[str, Any]:
    """Columns of a number with these values, each of weight 1."""
    bins, weights = np.unique(bin_codes(np.array(values), bits=6), return_counts=True)
    quantiles = np.quantile(values, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99], method="inverted_cdf")
    named = dict(zip(("q01", "q05", "q25", "q50", "q75", "q95", "q99"), quantiles.tolist(), strict=True))
    return {"type": "double", "bins": bins.tolist(), "bin_weights": weights.astype(float).tolist(), **named}


def _found(config: Config, a: str = A, b: str = B) -> Comparison:
    return compare(read_side(a, config), read_side(b, config))


def _text(found: Comparison) -> str:
    output = StringIO()
    Console(file=output, width=250).print(compare_table(found))
    return output.getvalue()


@pytest.fixture
def two_days(tmp_path: Path) -> Config:
    """A day A and a day B: one feature that fell, one that did not, one of each side only, one of another type."""
    same = [1.0, 2.0, 3.0, 4.0] * 10
    rows = [covered("fell", real=0.9, ds=day_before(1), **_numbers(same)), covered("same", ds=day_before(1))]
    rows += [covered("old", ds=day_before(1)), covered("typed", ds=day_before(1), **_numbers(same))]
    rows += [covered("fell", real=0.6, **_numbers([100.0, 200.0] * 20)), covered("same", real=0.901), covered("new")]
    rows += [covered("typed", **(_numbers(same) | {"type": "bigint"}))]
    rows += [covered("fell", real=0.1, slice="scene", value="feed")]
    write(tmp_path, "coverage", rows)
    return config_of(tmp_path)


def test_the_change_is_b_less_a_with_the_interval_over_effective_rows(two_days: Config) -> None:
    found = _found(two_days)
    assert [one.feature for one in found.differences] == ["fell", "same", "typed"]
    fell, same, _ = found.differences
    assert (fell.change, fell.low, fell.high) == difference_interval(0.6, 1000.0, 0.9, 1000.0)
    assert fell.is_sure and not same.is_sure


def test_values_that_moved_are_told_by_psi_and_quantiles(two_days: Config) -> None:
    fell = _found(two_days).differences[0]
    assert fell.psi is not None and fell.psi > 5 and fell.js is not None and fell.js > 0.5
    assert (fell.a.quantiles[3], fell.b.quantiles[3]) == (2.0, 100.0)
    itself = _found(two_days, A, A).differences[0]
    assert (itself.change, itself.psi, itself.js) == (0, 0, 0)


def test_features_of_one_side_and_types_that_differ_are_named(two_days: Config) -> None:
    found = _found(two_days)
    assert (found.only_a, found.only_b, found.weighing) == (["old"], ["new"], "")
    typed = found.differences[-1]
    assert typed.is_retyped and typed.change == 0 and typed.psi is None


def test_rows_of_an_older_version_are_compared_over_their_rows(tmp_path: Path) -> None:
    old: dict[str, Any] = {"effective_rows": None, "rows": 50}
    write(tmp_path, "coverage", [covered("f", ds=day_before(1), **old), covered("f", real=0.8, **old)])
    (one,) = _found(config_of(tmp_path)).differences
    assert (one.low, one.psi, one.b.quantiles) == (difference_interval(0.8, 50, 0.9, 50)[1], None, ())


def test_texts_are_compared_by_the_weight_of_those_that_both_kept(tmp_path: Path) -> None:
    texts: dict[str, Any] = {"top_values": ["a", "b"], "top_weights": [4500.0, 4500.0]}
    moved: dict[str, Any] = {"top_values": ["b", "c"], "top_weights": [4500.0, 4500.0]}
    write(tmp_path, "coverage", [covered("t", ds=day_before(1), **texts), covered("t", **moved)])
    config = config_of(tmp_path)
    assert _found(config).differences[0].js == 0  # "a" and "c" are both among the others: not kept on both sides
    assert _found(config, A, A).differences[0].psi == 0
    write(tmp_path, "coverage", [covered("t", ds=day_before(2), **(texts | {"top_weights": [8000.0, 1000.0]}))])
    assert (_found(config, str(day_before(2)), A).differences[0].psi or 0) > 0.5


def test_a_side_may_name_another_configuration(tmp_path: Path) -> None:
    write(tmp_path / "one", "coverage", [covered("f", real=0.9)])
    write(tmp_path / "two", "coverage", [covered("f", real=0.5)])
    other = tmp_path / "at@home.yaml"
    other.write_text(f"extends: base.yaml\nroot: {tmp_path}/two\n")
    found = _found(config_of(tmp_path / "one"), B, f"{other}@{B}")
    assert found.differences[0].change == pytest.approx(-0.4)


@pytest.mark.parametrize("text", ["", "yesterday", "stats@", "2026-02-30", "conf.yaml", "@"])
def test_a_side_of_another_shape_is_a_config_error(two_days: Config, text: str) -> None:
    with pytest.raises(ConfigError, match="--compare"):
        read_side(text, two_days)


def test_a_day_without_coverage_or_snapshot_is_an_input_error(two_days: Config, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"coverage of 2026-03-13 \.\. 2026-03-14"):
        read_side("2026-01-01", two_days)
    with pytest.raises(InputError, match="headrace stats --ds 2026-03-14"):
        read_side(f"stats@{B}", two_days)
    with pytest.raises(InputError, match=r"found: +none"):
        read_side(B, config_of(tmp_path / "nowhere"))


def _snapshot(root: Path, ds: date, rows: list[tuple[int, str | None, int | None, float | None]]) -> None:
    """Rows of stats_item_by_gender: key, segment, impression count, recency; as_of is the end of the day."""
    end = datetime(ds.year, ds.month, ds.day, tzinfo=UTC) + timedelta(hours=23)  # Berlin's midnight in winter
    names = ["key", "segment", "item_by_gender_impression_count_1d", "item_by_gender_impression_recency_s"]
    types = (pa.int64(), pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", "UTC"), pa.date32())
    schema = pa.schema(list(zip([*names, "as_of", "ds"], types, strict=True)))
    made = [dict(zip(names, row, strict=True)) | {"as_of": end, "ds": ds} for row in rows]
    write(root, "stats_item_by_gender", made, schema=schema)


@pytest.fixture
def snapshot(tmp_path: Path) -> Config:
    """Three days of news: the newest row of every key and segment up to DAY counts."""
    _snapshot(tmp_path, day_before(-1), [(1, "f", 99, 99.0), (9, "f", 99, 99.0)])
    _snapshot(tmp_path, day_before(2), [(1, "f", 7, 10.0), (1, "m", 3, None), (2, None, 0, 60.0)])
    _snapshot(tmp_path, DAY, [(1, "f", 8, 20.0), (3, "m", None, None)])
    return config_of(tmp_path)


def test_a_snapshot_is_the_newest_row_of_every_key_and_segment(snapshot: Config) -> None:
    side = read_side(f"stats@{B}", snapshot)
    assert list(side.features) == ["item_by_gender_impression_count_1d", "item_by_gender_impression_recency_s"]
    count = side.features["item_by_gender_impression_count_1d"]
    assert (count.coverage, count.rows) == (0.75, 4)
    assert count.quantiles[0] == 0 and count.quantiles[3] == 3 and count.quantiles[-1] == 8
    assert (count.bins is not None and count.bins.tolist()) == bin_codes(np.array([0.0, 3.0, 8.0]), bits=6).tolist()


def test_recency_of_a_key_without_news_has_grown_to_the_day(snapshot: Config) -> None:
    recency = read_side(f"stats@{B}", snapshot).features["item_by_gender_impression_recency_s"]
    assert recency.coverage == 0.5
    assert (recency.quantiles[0], recency.quantiles[-1]) == (20.0, 60.0 + 2 * 86400)


def test_keys_against_training_rows_are_said_to_be_weighed_otherwise(snapshot: Config, tmp_path: Path) -> None:
    write(tmp_path, "coverage", [covered("item_by_gender_impression_count_1d"), covered("scene")])
    found = _found(snapshot, B, f"stats@{B}")
    assert found.weighing.startswith("B is a serve snapshot, in which every key counts once; A are training rows")
    assert (found.only_a, found.only_b) == (["scene"], ["item_by_gender_impression_recency_s"])
    assert found.weighing in " ".join(parse(render_comparison(found)).texts("p"))
    assert _found(snapshot, f"stats@{B}", f"stats@{B}").weighing == ""


def test_the_page_is_whole_strict_and_asks_the_network_for_nothing(two_days: Config) -> None:
    html = render_comparison(_found(two_days))
    page = parse(html)
    assert page.unbalanced == []
    style = re.search(r"<style>(.*?)</style>", html, re.S)
    assert style is not None
    wanted = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{wanted}'; base-uri 'none'" in html
    tags = {tag for tag, _, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?://|@import|url\((?!data:)", html)
    assert not [
        given
        for _, given, _ in page.elements
        if {name for name in given if name[:2] == "on"} | ({"style"} & given.keys())
    ]


def test_the_page_has_one_row_a_feature_and_names_what_is_on_one_side(two_days: Config) -> None:
    page = parse(render_comparison(_found(two_days)))
    assert page.texts("th", scope="row") == ["fell", "same", "typed"]
    cells = page.texts("td")
    assert {"90.0% 1,000", "60.0% 1,000", "-30.0 pp", "2 100", "double in A, bigint in B"} <= {*cells}
    assert page.texts("summary") == [f"1 only in A, {A}", f"1 only in B, {B}"]
    assert "the coverage of 1 differs by more than chance" in " ".join(page.texts("p"))


def test_hostile_names_stay_text(two_days: Config) -> None:
    evil = "</style><script>alert(1)</script>\u202e"
    found = compare(*[read_side(day, two_days) for day in (A, B)])
    one = Measured(evil, evil, 0.5, 10.0)
    html = render_comparison(Comparison(found.a, found.b, [difference(one, one)], [evil], []))
    assert "<script" not in html and "\u202e" not in html and html.count("</style>") == 1


def test_the_report_writes_the_page_and_prints_the_differences(two_days: Config, tmp_path: Path) -> None:
    output = StringIO()
    out = tmp_path / "sub" / "c.html"
    console = Console(file=output, width=250)
    assert compare_report(two_days, A, B, out=out, console=console) == out
    said = output.getvalue()
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    for text in (
        f"only in {A}: old",
        f"only in {B}: new",
        "typed: double in A, bigint in B",
        f"comparison: {out}",
        "-30.0 pp",
    ):
        assert text in said
    with pytest.raises(ConfigError):
        compare_report(two_days, A, B, out=tmp_path, console=console)


def test_sides_without_a_common_feature_say_so(tmp_path: Path) -> None:
    write(tmp_path, "coverage", [covered("a", ds=day_before(1)), covered("b")])
    found = _found(config_of(tmp_path))
    assert "no feature on both sides" in _text(found)
    assert "no feature on both sides" in render_comparison(found)


def test_a_feature_without_data_on_one_side_has_no_change(tmp_path: Path) -> None:
    empty: dict[str, Any] = {"coverage": None, "rows": 0, "effective_rows": None, "weight": 0.0}
    write(tmp_path, "coverage", [covered("a", ds=day_before(1), **empty), covered("a")])
    (one,) = _found(config_of(tmp_path)).differences
    assert (one.change, one.is_sure) == (None, False)
    assert "no data" in _text(_found(config_of(tmp_path)))

"""What the page unpacks: series, histograms and figures of every feature; and what is read for them."""

import base64
import json
import math
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from headrace.errors import InputError
from reports.page import write_report
from reports.page_bins import BARS, histogram
from reports.page_detail import coded, units_of
from reports.page_runs import late_arrivals
from reports.read import read_report_tables
from tests.reports.parse import parse
from tests.reports.tables import DAY, coverage_row, gate_row, numbers, receipt_row, write_rows


def _detail(root: Path, *, days: int = 2, facts: dict[str, Any] | None = None) -> dict[str, Any]:
    page = parse(write_report(str(root), last=DAY, days=days, out=root / "report.html", facts=facts).read_text())
    packed = page.texts("script", id="detail")[0]
    return dict(json.loads(zlib.decompress(base64.b64decode(packed))))


def _decoded(text: str) -> list[int | None]:
    """What static/core.js makes of `coded`."""
    found, last = list[int | None](), 0
    for character in text:
        if character == "!":
            found.append(None)
            continue
        folded = ord(character) - 35
        last += -(folded + 1) // 2 if folded % 2 else folded // 2
        found.append(last)
    return found


@pytest.mark.parametrize("values", [[], [0, 0], [5, 5, None, 4, -3], [-12000, 15000, -12000], [None], [57, 57 + 28, 0]])
def test_coded_numbers_come_back(values: list[int | None]) -> None:
    text = coded(np.array([np.nan if value is None else value for value in values], dtype=float))
    assert json.loads(json.dumps(text, ensure_ascii=False).encode()) == text
    assert _decoded(text) == values


def test_units_sum_to_all_and_a_trace_is_not_none() -> None:
    shares = np.array(
        [[0.99999, 1.0, 1 / 3], [0.00001, 0.0, 1 / 3], [0.0, 0.0, 1 / 3], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    )
    assert units_of(shares).T.tolist() == [[9999, 1, 0, 0, 0, 0], [10000, 0, 0, 0, 0, 0], [3334, 3333, 3333, 0, 0, 0]]


def test_few_values_have_a_bar_each_and_the_reference_is_merged() -> None:
    bars = histogram([numbers([0, 0, 1, 3])], [numbers([1, 2]), numbers([2, 2])])
    assert bars is not None
    assert (bars["kind"], bars["low"]) == ("each", [0.0, 1.0, 2.0, 3.0])
    assert (bars["now"], bars["reference"]) == ([0.5, 0.25, 0.0, 0.25], [0.0, 0.25, 0.75, 0.0])


def test_counts_have_no_bars_between_whole_numbers() -> None:
    counts = np.random.default_rng(3).negative_binomial(1, 0.01, 5000).astype(float)
    made = histogram([numbers(counts.tolist())], [numbers((-counts).tolist())])
    assert made is not None and made["kind"] == "log"
    edges = list(zip(made["low"], made["high"], strict=True))
    assert all(math.ceil(min(abs(a), abs(b))) < max(abs(a), abs(b)) for a, b in edges if (a, b) != (0, 0))
    assert sum(made["now"]) == pytest.approx(1, abs=0.01) and sum(made["reference"]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("spread", "kind"), [(0.15, "linear"), (3.0, "log")])
def test_bars_hold_the_weight_that_lies_between_their_edges(side: float, spread: float, kind: str) -> None:
    values = side * np.random.default_rng(5).lognormal(3, spread, 4000)
    bars = histogram([numbers(values.tolist())], [])
    assert bars is not None
    assert bars["kind"] == (kind if side > 0 else "log")
    assert len(bars["now"]) <= BARS
    assert sum(bars["now"]) == pytest.approx(1, abs=0.003)
    for low, high, share in zip(bars["low"], bars["high"], bars["now"], strict=True):
        assert share == pytest.approx(((values >= low) & (values < high)).mean(), abs=0.012)


def test_zero_has_a_bar_of_its_own_between_the_signs_and_infinity_has_none() -> None:
    random = np.random.default_rng(5)
    values = [*random.lognormal(0, 2, 500), *-random.lognormal(0, 2, 300), *[0.0] * 200, float("inf")]
    finite = numbers(values[:-1])
    finite |= {"bins": [*finite["bins"], 0x7FF << 6], "bin_weights": [*finite["bin_weights"], 10.0]}
    bars = histogram([finite], [])
    assert bars is not None
    at = bars["low"].index(0.0)
    assert (bars["high"][at], bars["now"][at]) == (0.0, 0.2)
    assert sum(bars["now"][:at]) == pytest.approx(0.3, abs=0.003)
    assert bars["reference"] is None


def test_no_weight_is_no_histogram() -> None:
    assert histogram([{"bins": None, "bin_weights": None}], [numbers([1.0])]) is None


def test_a_feature_has_its_days_its_slices_and_its_facts(tmp_path: Path) -> None:
    rows = [
        coverage_row("a", **numbers([1, 2], psi=0.3)),
        coverage_row("a", slice="s", value="x", **numbers([1])),
    ]
    write_rows(tmp_path, "coverage", rows)
    facts = {
        "a": {"definition": "clicks", "default": 0, "lineage": [{"table": "impressions", "kind": "log"}], "blame": None}
    }
    detail = _detail(tmp_path, facts=facts)
    feature = detail["features"][0]
    assert detail["slices"] == [["s", "x", 100, 1000]]
    assert [_decoded(text) for text in feature["days"]["states"]] == [[None, n] for n in (2000, 2000, 1000, 500, 500)]
    assert _decoded(feature["days"]["psi"]) == [None, 300]
    assert feature["days"]["quantiles"][3] == [None, 1.5]
    assert [_decoded(feature["slices"][key]) for key in ("change", "below", "above")] == [[-2000], [1000], [1000]]
    assert feature["now"]["states"][0] == [40, 400.0]
    assert feature["facts"] == {
        "blame": {},
        "default": "0",
        "definition": "clicks",
        "filled": {},
        "lineage": [["impressions", "log"]],
        "suggestion": {},
    }


def test_values_of_text_are_shares_of_the_cells_with_a_value(tmp_path: Path) -> None:
    for back, weights in ((0, [300.0, 60.0]), (1, [600.0, 0.0])):
        row = coverage_row("a", ds=DAY - timedelta(days=back), top_values=["feed", "a\x00"], top_weights=weights)
        write_rows(tmp_path, "coverage", [row])
    feature = _detail(tmp_path)["features"][0]
    assert feature["top"] == [["feed", 0.5, 1.0], ["a\\x00", 0.1, 0.0]]
    assert feature["bars"] is None


def test_a_table_from_before_the_new_columns_has_no_data_for_them(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    feature = _detail(tmp_path)["features"][0]
    assert (feature["bars"], feature["top"], feature["days"]["quantiles"], feature["now"]["reference"]) == (
        None,
        None,
        None,
        None,
    )


def test_days_from_before_the_new_columns_stand_beside_days_with_them(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a", ds=DAY - timedelta(days=1))])
    write_rows(tmp_path, "coverage", [coverage_row("a", **numbers([1.0]))])
    feature = _detail(tmp_path)["features"][0]
    assert feature["days"]["quantiles"][0] == [None, 1.0]
    assert feature["bars"]["reference"] is None


def test_bins_are_read_of_the_reference_days_that_the_table_names(tmp_path: Path) -> None:
    named = {"reference": f"{DAY - timedelta(days=9)}..{DAY - timedelta(days=9)} (1 day)"}
    write_rows(tmp_path, "coverage", [coverage_row("a", **numbers([1.0], **named))])
    write_rows(tmp_path, "coverage", [coverage_row("a", ds=DAY - timedelta(days=9), **numbers([2.0]))])
    feature = _detail(tmp_path, days=1)["features"][0]
    assert (feature["bars"]["low"], feature["bars"]["reference"]) == ([1.0, 2.0], [0.0, 1.0])


def test_receipts_before_the_last_week_are_packed(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    write_rows(tmp_path, "receipts", [receipt_row("ingest", ds=DAY - timedelta(days=back)) for back in (0, 6, 7)])
    assert [row["ds"] for row in _detail(tmp_path, days=10)["receipts"]] == ["2026-03-07"]


def test_a_receipt_that_ended_stands_before_its_start_and_one_that_lost_is_passed_over(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    rows = [receipt_row("ingest", status="started", revision=2), receipt_row("ingest", revision=2)]
    rows += [
        receipt_row("tiles"),
        receipt_row("tiles", status="started", revision=2),
        receipt_row("tiles", status="lost", revision=2),
    ]
    write_rows(tmp_path, "receipts", rows)
    found = read_report_tables(str(tmp_path), last=DAY, days=1).receipts
    assert [(row["job"], row["status"], row["revision"]) for row in found] == [
        ("ingest", "done", 2),
        ("tiles", "done", 1),
    ]


def test_late_rows_are_those_that_ingest_noted() -> None:
    notes = {
        "impressions.late_1d": "20",
        "impressions.rows_in": "1000",
        "impressions.late_text": "none",
        "labels.late": "x",
    }
    rows = [receipt_row("ingest", notes=notes), receipt_row("tiles", notes={"a.late": "3"})]
    found = late_arrivals(rows)
    assert [(row["table"], row["kind"], row["rows"], row["share"]) for row in found] == [
        ("impressions", "late_1d", 20, 0.02)
    ]


def test_tables_that_are_absent_are_named_and_the_others_read(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    write_rows(tmp_path, "gate_results", [gate_row("floor")])
    tables = read_report_tables(str(tmp_path), last=DAY, days=1)
    assert tables.versions == {
        "coverage": 0,
        "gate_results": 0,
        "sampling_rates": None,
        "receipts": None,
        "quarantine": None,
    }
    assert [row["rule"] for row in tables.gates] == ["floor"]


def test_a_coverage_table_without_a_needed_column_is_refused(tmp_path: Path) -> None:
    row = {key: [value] for key, value in coverage_row("a").items() if key != "weight_stale"}
    write_deltalake(str(tmp_path / "coverage"), pa.table(row), partition_by=["ds"])
    with pytest.raises(InputError, match="no column weight_stale"):
        read_report_tables(str(tmp_path), last=DAY, days=1)

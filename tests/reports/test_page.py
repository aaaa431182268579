"""The report as a reader of its HTML sees it; no browser."""

import base64
import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import ConfigError, InputError
from reports.page import write_report
from tests.reports.parse import Page, parse
from tests.reports.tables import DAY, coverage_row, receipt_row, write_rows

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "quo\"te's & <b>bold</b>",
    "fox 🦊",
    "שלום",
    "turn \u202e back",
    "nul\x00 esc\x1b[31m",
    "{{ 7 * 7 }}",
    "--><!--",
]


def _html(root: Path, *, days: int = 1, facts: dict[str, Any] | None = None) -> str:
    out = write_report(str(root), last=DAY, days=days, out=root / "report.html", facts=facts)
    return out.read_text(encoding="utf-8")


def _page(root: Path, *, days: int = 1, facts: dict[str, Any] | None = None) -> Page:
    return parse(_html(root, days=days, facts=facts))


def _rows(page: Page, heading: str) -> list[str]:
    """Text of the rows of the table in the region named `heading`."""
    inside, found = False, list[list[str]]()
    for tag, attributes, text in page.elements:
        if attributes.get("role") == "region":
            inside = attributes["aria-label"] == heading
        elif inside and tag == "tr":
            found.append(text)
    return [" ".join("".join(text).split()) for text in found[1:]]


def test_every_tag_of_the_page_is_closed_in_turn(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a"), coverage_row("b", slice="scene", value=None)])
    write_rows(tmp_path, "receipts", [receipt_row("publish", status="published", notes=[("late", "2")])])
    page = _page(tmp_path)
    assert page.unbalanced == []
    assert page.elements[0][0] == "html"


def test_the_page_names_no_address_to_load_from(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    html = _html(tmp_path)
    links = [a[k] for _, a, _ in parse(html).elements for k in ("src", "href", "action", "data", "srcset") if k in a]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "@import" not in html
    assert "url(" not in html
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import)\s*\(", html)


def test_the_policy_names_the_hash_of_every_inline_style_and_script(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    page = _page(tmp_path)
    policy = next(a["content"] for t, a, _ in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    code = [(t, "".join(text)) for t, a, text in page.elements if t in ("style", "script") and "type" not in a]
    assert policy.startswith("default-src 'none'; ")
    assert [tag for tag, _ in code] == ["style", "script"]
    for tag, text in code:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not [a for _, a, _ in page.elements if "style" in a or any(name.startswith("on") for name in a)]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_as_text(tmp_path: Path, name: str) -> None:
    write_rows(tmp_path, "coverage", [coverage_row(name), coverage_row("a", slice=name, value=name)])
    write_rows(tmp_path, "receipts", [receipt_row(name, notes=[(name, name)])])
    rate = {"stratum": name, "label": name, "seen": 1, "kept": 1, "nominal_rate": 1.0, "ds": DAY}
    write_rows(tmp_path, "sampling_rates", [rate, {**rate, "label": "all"}])
    write_rows(tmp_path, "quarantine", [{"table_name": name, "reason": name, "ds": DAY}])
    page = _page(tmp_path, facts={"a": {"source": name, "blame": {"text": name}}})
    plain = name.replace("\u202e", "\\u202e").replace("\x00", "\\x00").replace("\x1b", "\\x1b")
    assert page.texts("bdi").count(plain) >= 10
    assert plain in page.texts("option")
    assert page.unbalanced == []
    assert len([tag for tag, _, _ in page.elements if tag == "script"]) == 3
    assert not [tag for tag, _, _ in page.elements if tag in ("img", "b")]
    assert json.loads(page.texts("script", id="page-data")[0])["lines"]["labels"][0]["name"] == plain


def test_the_first_screen_says_what_the_highest_revision_of_publish_says(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    refused = receipt_row("publish", status="refused", revision=10)
    write_rows(tmp_path, "receipts", [refused, receipt_row("publish", status="published", revision=9)])
    page = _page(tmp_path)
    assert page.texts("h1") == ["2026-03-14 Refused"]
    assert "Revision 10 of publish" in page.texts("div", class_="verdict refused")[0]


def test_a_day_without_a_publish_receipt_is_not_published(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    write_rows(tmp_path, "receipts", [receipt_row("coverage"), receipt_row("publish", ds=DAY - timedelta(days=1))])
    page = _page(tmp_path, days=2)
    assert page.texts("h1") == ["2026-03-14 Not published"]
    assert "Done so far: coverage." in page.texts("div", class_="verdict unpublished")[0]


def test_coverage_of_the_traffic_is_weighted_over_the_cells_of_all_features(tmp_path: Path) -> None:
    heavy = coverage_row("heavy", weight=3000.0, weight_real=3000.0, weight_true_zero=0.0, coverage=1.0)
    write_rows(tmp_path, "coverage", [coverage_row("light"), heavy, coverage_row("light", slice="scene", value="x")])
    assert _page(tmp_path).texts("dd", class_="big")[0] == "90.0%"  # (600 + 3000) / (1000 + 3000)


def test_a_missing_day_is_no_data_in_the_line_and_in_the_heat_map(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a"), coverage_row("a", ds=DAY - timedelta(days=2))])
    page = _page(tmp_path, days=3)
    series = json.loads(page.texts("script", id="page-data")[0])["lines"]["coverage"][0]["values"]
    assert series == [0.6, None, 0.6]
    assert _rows(page, "Coverage of each feature by day") == ["a 60.0 \u2013 60.0"]
    assert _rows(page, "Coverage by day")[1].startswith("2026-03-13 no data 0 0 0")


@pytest.mark.parametrize("share", [None, float("nan")])
def test_a_feature_without_a_number_is_no_data_and_counted(tmp_path: Path, share: float | None) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a", coverage=share), coverage_row("b")])
    page = _page(tmp_path)
    assert "1 without data" in page.texts("dl", class_="figures")[0]
    assert _rows(page, "States of each feature")[0].startswith("a no data no data no data")


def test_a_day_of_no_rows_is_no_data(tmp_path: Path) -> None:
    empty: dict[str, Any] = {key: 0 for key in coverage_row("a") if key.startswith(("rows", "weight"))}
    write_rows(tmp_path, "coverage", [coverage_row("a", **empty, coverage=None)])
    page = _page(tmp_path)
    assert page.texts("dd", class_="big") == ["no data", "1", "0"]
    assert _rows(page, "States of each feature") == ["a no data"]


def test_an_empty_coverage_table_gives_a_page_that_says_so(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [])
    page = _page(tmp_path, days=2)
    assert "No data. The coverage table has no rows for 2026-03-14." in page.texts("p", class_="empty")[0]


def test_a_day_outside_the_table_names_the_days_that_it_holds(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a", ds=DAY - timedelta(days=n)) for n in (7, 9)])
    assert "It holds 2026-03-05 to 2026-03-07." in _page(tmp_path).texts("p", class_="empty")[0]


def test_without_a_coverage_table_the_error_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"headrace run .*--ds 2026-03-14") as caught:
        _html(tmp_path)
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


def test_no_days_is_a_wrong_argument(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="report: days"):
        _html(tmp_path, days=0)


def test_a_folder_is_no_place_to_write_the_page_to(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="change --out"):
        write_report(str(tmp_path), last=DAY, days=1, out=tmp_path / "coverage")
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_is_no_folder_to_write_the_page_into(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigError, match="change --out"):
        write_report(str(tmp_path), last=DAY, days=1, out=tmp_path / "file" / "report.html")
    assert (tmp_path / "file").read_text() == "kept"


def test_states_are_shown_as_shares_of_the_traffic(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a", weight_real=900.0, weight_true_zero=0.0)])
    page = _page(tmp_path)
    row = _rows(page, "States of each feature")[0]
    assert row == "a 60.0% no data no data 90.0% 0% 20.0% 10.0% 5.0% 5.0% no data"
    widths = [float(a["width"]) for t, a, _ in page.elements if t == "rect"]
    assert widths == [90.0, 20.0, 10.0, 5.0, 5.0]


def test_a_declared_feature_without_rows_is_shown_in_its_place(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("extra"), coverage_row("z")])
    page = _page(tmp_path, facts={"z": {"source": "context"}, "gone": {"source": "group:user"}})
    assert _rows(page, "Coverage of each feature by day") == ["z 60.0", "gone \u2013", "extra 60.0"]


def test_label_rates_are_over_all_strata_before_sampling(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    rate = {"kept": 1, "nominal_rate": 0.1, "realised_rate": 0.1, "p_value": 1e-9, "ds": DAY}
    seen = {("neg", "all"): 900, ("pos", "all"): 100, ("neg", "label_click"): 0, ("pos", "label_click"): 80}
    write_rows(
        tmp_path, "sampling_rates", [{**rate, "stratum": s, "label": n, "seen": c} for (s, n), c in seen.items()]
    )
    page = _page(tmp_path)
    assert _rows(page, "Label rates by day") == ["2026-03-14 1,000 8.00%"]
    assert [row.split()[:2] for row in _rows(page, "Rows kept by stratum")] == [["neg", "900"], ["pos", "100"]]
    assert _rows(page, "Sampling rates by day") == ["2026-03-14 10.00% 10.00%"]


def test_refused_rows_are_counted_by_day_table_and_reason(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    row = {"table_name": "impressions", "reason": "null user_id", "ds": DAY}
    write_rows(tmp_path, "quarantine", [row, row, {**row, "ds": DAY - timedelta(days=1)}])
    write_rows(tmp_path, "quarantine", [row, {**row, "reason": None}])
    page = _page(tmp_path, days=3)
    assert _rows(page, "Refused rows") == [
        "impressions null user_id 3 0 1 4 2",
        "impressions (null) 1 0 0 1 1",
    ]
    assert _rows(page, "Refused rows by day")[-1] == "2026-03-13 impressions null user_id 1"


def test_a_receipt_that_does_not_add_up_says_so(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    write_rows(tmp_path, "receipts", [receipt_row("ingest"), receipt_row("sample", rows_out=7)])
    rows = {row.split()[0]: row for row in _rows(_page(tmp_path), "Receipts of 2026-03-14")}
    assert "2 unaccounted" in rows["sample"]
    assert "unaccounted" not in rows["ingest"]
    assert " 90.0 " in rows["ingest"]


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row(name) for name in "cab"])
    assert _html(tmp_path) == _html(tmp_path)


def test_the_charts_library_travels_with_its_licence(tmp_path: Path) -> None:
    write_rows(tmp_path, "coverage", [coverage_row("a")])
    licence = parse(_html(tmp_path)).texts("pre")[0]
    assert "Permission is hereby granted" in licence
    assert "Leon Sorokin" in licence

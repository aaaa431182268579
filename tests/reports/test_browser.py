"""The report in a headless Chromium, under its own policy; what it asks of a network or says on the console fails a test."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reports.page import write_report
from tests.reports.tables import DAY, coverage_row, gate_row, numbers, receipt_row, write_rows

CLICK, LIKE, SCENE = "user_click_count_7d", "item_like_count_1d", "context_scene"
HOSTILE = "</script><script>alert(1)</script> \"'"
Open = Callable[..., Any]

LOST: dict[str, Any] = {"weight_real": 200.0, "weight_no_entity": 250.0, "coverage": 0.4}
"""What coverage_row needs to have lost 200 of 1000 impressions to no_entity."""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Three days of three features; on the last one CLICK has lost a fifth of its traffic, most of it in the slice of HOSTILE."""
    for back in (8, 3, 1, 0):
        rows = [
            coverage_row(name, ds=DAY - timedelta(days=back), **numbers([0, 1, 1, 2, 300])) for name in (LIKE, SCENE)
        ]
        lost = LOST if back == 0 else {}
        rows.append(coverage_row(CLICK, ds=DAY - timedelta(days=back), **numbers([0, 1, 1 + back]), **lost))
        rows += [
            coverage_row(CLICK, slice="scene", value=v, ds=DAY - timedelta(days=back), **numbers([1]))
            for v in ("feed", None)
        ]
        rows.append(
            coverage_row(CLICK, slice="scene", value=HOSTILE, ds=DAY - timedelta(days=back), **numbers([1]), **lost)
        )
        write_rows(tmp_path, "coverage", rows)
        write_rows(tmp_path, "receipts", [receipt_row("publish", status="published", ds=DAY - timedelta(days=back))])
    rate = {"stratum": "neg", "seen": 10, "kept": 1, "nominal_rate": 0.1, "realised_rate": 0.1, "ds": DAY}
    write_rows(tmp_path, "sampling_rates", [{**rate, "label": "all"}, {**rate, "label": HOSTILE, "seen": 2}])
    write_rows(tmp_path, "gate_results", [gate_row("floor", feature=CLICK)])
    facts: dict[str, Any] = {
        CLICK: {"source": "group:user", "entity": "user", "window": "7d", "default": 0, "blame": {"text": HOSTILE}},
        LIKE: {
            "source": "group:item",
            "entity": "item",
            "window": "1d",
            "lineage": [{"table": HOSTILE, "kind": "log"}],
        },
    }
    return write_report(str(tmp_path), last=DAY, days=10, out=tmp_path / "report.html", facts=facts)


def _shown(tab: Any, table: str) -> list[str]:
    """Names of the features that a table shows, in its order."""
    return list(tab.locator(f"#{table} tbody tr:visible th").all_text_contents())


def _choose(tab: Any, name: str, value: str) -> None:
    tab.locator(f"#filter-{name}").select_option(value)


def test_the_charts_are_drawn_and_nothing_is_asked_or_said(report: Path, opened: Open) -> None:
    tab = opened(report)
    tab.locator('[data-line="coverage"] canvas').wait_for()
    tab.locator("#sampling").scroll_into_view_if_needed()
    tab.locator('[data-line="labels"] canvas').wait_for()
    assert tab.evaluate("document.scripts.length") == 3


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("group", "group:item", [LIKE]),
        ("entity", "user", [CLICK]),
        ("window", "7d", [CLICK]),
        ("state", "5", [CLICK, LIKE, SCENE]),
    ],
)
def test_a_filter_narrows_both_lists_of_features(
    report: Path, opened: Open, name: str, value: str, left: list[str]
) -> None:
    tab = opened(report)
    _choose(tab, name, value)
    assert _shown(tab, "heat-table") == _shown(tab, "states-table") == left
    assert tab.locator("#filter-count").inner_text() == f"{len(left)} of 3 features"


def test_a_part_of_a_name_narrows_and_reset_shows_all_again(report: Path, opened: Open) -> None:
    tab = opened(report)
    tab.locator("#filter-text").fill("COUNT_1D")
    assert _shown(tab, "heat-table") == [LIKE]
    tab.get_by_role("button", name="Reset").click()
    tab.wait_for_function("document.getElementById('filter-count').textContent.startsWith('3 of 3')")


def test_features_sort_by_name_and_by_what_they_lost(report: Path, opened: Open) -> None:
    tab = opened(report)
    _choose(tab, "sort", "name")
    assert _shown(tab, "heat-table") == sorted([CLICK, LIKE, SCENE])
    _choose(tab, "sort", "lost")
    assert _shown(tab, "states-table")[0] == CLICK


def test_a_slice_shows_its_own_figures_and_the_whole_comes_back(report: Path, opened: Open) -> None:
    tab = opened(report)
    row = tab.locator("#states-table tbody tr").nth(0).locator("td")
    whole = row.all_text_contents()
    tab.locator("#filter-slice").focus()
    tab.locator("#filter-slice option", has_text="feed").wait_for(state="attached")
    _choose(tab, "slice", tab.locator("#filter-slice option", has_text="feed").get_attribute("value"))
    tab.wait_for_function("document.getElementById('states-of').textContent === ', scene = feed'")
    assert row.all_text_contents()[:3] == ["60.0%", "-20.0 pp", "-30.0 pp to -10.0 pp"]
    assert tab.locator("#states-table tbody tr").nth(1).locator("td").all_text_contents() == ["no data"]
    _choose(tab, "slice", "-1")
    tab.wait_for_function("document.getElementById('states-of').textContent === ''")
    assert row.all_text_contents() == whole


def test_an_address_opens_a_feature_at_a_slice_and_back_returns(report: Path, opened: Open) -> None:
    tab = opened(report, f"#feature={CLICK}&slice=scene&value=feed")
    tab.locator("#feature-title").wait_for()
    assert tab.locator("#feature-title").inner_text() == CLICK
    assert tab.title().startswith(CLICK)
    assert tab.locator("#feature a[aria-current]").inner_text() == "feed"
    assert not tab.locator("#top").is_visible()
    tab.get_by_role("link", name="← All features").click()
    tab.locator("#top").wait_for()
    assert not tab.locator("#feature").is_visible()


def test_the_page_of_a_feature_shows_its_states_quantiles_histogram_and_facts(report: Path, opened: Open) -> None:
    tab = opened(report, f"#feature={CLICK}")
    tab.locator("#feature canvas").first.wait_for()
    assert tab.locator("#feature rect.s-no_entity").count() >= 4
    assert tab.locator("#feature rect.now").count() == len({0, 1, 2, 4})  # 9 is of a day before the reference
    texts = tab.locator("#feature dl.facts").all_text_contents()
    assert "40.00%" in texts[0]
    assert "-20.0 pp (-30.0 pp to -10.0 pp)" in texts[0]
    assert "group:user" in texts[1]
    days = tab.locator("#feature table[data-csv=feature-by-day] tbody tr")
    assert days.nth(0).locator("th, td").all_text_contents()[:2] == ["2026-03-14", "40.00%"]
    assert days.nth(2).locator("td").all_text_contents()[0] == "no data"


def test_hostile_text_is_text_on_the_page_of_a_feature(report: Path, opened: Open) -> None:
    tab = opened(report, f"#feature={CLICK}")
    tab.locator("#feature-title").wait_for()
    assert tab.locator("#feature bdi", has_text="alert(1)").count() == 2  # its blame and a slice value
    assert tab.evaluate("document.scripts.length") == 3


def test_a_feature_that_is_not_there_says_so(report: Path, opened: Open) -> None:
    tab = opened(report, "#feature=%3Cb%3Egone")
    tab.locator("#feature-title").wait_for()
    assert tab.locator("#feature-title").inner_text() == "No such feature: <b>gone"


def test_a_feature_opens_from_the_keyboard_and_takes_the_focus(report: Path, opened: Open) -> None:
    tab = opened(report)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the report"
    tab.get_by_role("link", name=CLICK).first.focus()
    tab.keyboard.press("Enter")
    tab.locator("#feature-title").wait_for()
    tab.wait_for_function("document.activeElement.id === 'feature-title'")


def test_every_table_saves_what_it_shows_as_csv(report: Path, opened: Open) -> None:
    tab = opened(report)
    tables = tab.locator("table[data-csv]").count()
    assert (
        tab.get_by_role("button", name="Download as CSV").count() + tab.locator("details:not([open]) .csv").count()
        == tables
    )
    _choose(tab, "entity", "user")
    with tab.expect_download() as saved:
        tab.get_by_role("button", name="Download as CSV: Coverage of each feature by day").click()
    assert saved.value.suggested_filename == "coverage-2026-03-14-coverage-by-day.csv"
    rows = list(csv.reader(io.StringIO(Path(saved.value.path()).read_text(encoding="utf-8-sig"))))
    assert [row[0] for row in rows] == ["Feature", CLICK]
    assert rows[1][-4:] == ["60.0", "", "60.0", "40.0"]


def test_a_formula_is_not_saved_as_one(tmp_path: Path, opened: Open) -> None:
    write_rows(
        tmp_path, "coverage", [coverage_row("a"), coverage_row("a", slice="s", value='=1+"2",3', weight=2_000_000.0)]
    )
    tab = opened(write_report(str(tmp_path), last=DAY, days=1, out=tmp_path / "report.html"))
    text = tab.evaluate("Headrace.csv(document.querySelector('[data-csv=slices]'))")
    assert next(csv.reader(io.StringIO(text.splitlines()[1])))[:4] == ["s", '\'=1+"2",3', "100", "2000000"]


def test_a_heading_sorts_its_table_by_number(report: Path, opened: Open) -> None:
    tab = opened(report)
    table = tab.locator("table[data-csv=slices]")
    table.get_by_role("button", name="Coverage", exact=True).click()
    table.get_by_role("button", name="Coverage", exact=True).click()
    assert table.locator("tbody tr").nth(0).locator("td").nth(3).inner_text() == "40.0%"
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("fragment", ["", f"#feature={CLICK}"])
def test_axe_finds_nothing(report: Path, opened: Open, axe: str, scheme: str, fragment: str) -> None:
    tab = opened(report, fragment, color_scheme=scheme)
    tab.locator("canvas:visible").first.wait_for()
    tab.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    tab.evaluate("for (const part of document.querySelectorAll('section')) part.style.contentVisibility = 'visible'")
    tab.evaluate(axe)
    found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    assert len(found["passes"]) > 20


@pytest.mark.parametrize("fragment", ["", f"#feature={CLICK}"])
def test_at_four_times_the_size_nothing_is_wider_than_the_window(report: Path, opened: Open, fragment: str) -> None:
    tab = opened(report, fragment, width=320)
    tab.locator(".chart :is(canvas, svg):visible").first.wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") == 320


def test_without_scripts_the_first_screen_and_the_tables_stand(report: Path, opened: Open) -> None:
    tab = opened(report, java_script_enabled=False)
    assert tab.locator("h1").inner_text() == "2026-03-14 Published"
    assert _shown(tab, "heat-table") == [CLICK, LIKE, SCENE]
    assert not tab.locator("#filter").is_visible()
    assert tab.locator("noscript").inner_text().startswith("Without JavaScript")


def test_on_paper_tables_are_whole_and_controls_are_gone(report: Path, opened: Open) -> None:
    tab = opened(report, color_scheme="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    assert not tab.locator("#filter").is_visible()
    assert not tab.locator(".csv").first.is_visible()
    assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(26, 33, 41)"
    assert tab.evaluate("getComputedStyle(document.querySelector('.tall')).maxHeight") == "none"
    assert tab.pdf().startswith(b"%PDF")

"""The report in a headless Chromium: its script runs under its own policy and the charts are drawn."""

import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from reports.page import write_report
from tests.reports.parse import parse
from tests.reports.tables import DAY, coverage_row, write_rows

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path: apt-get install chromium")

FLAGS = [
    "--headless",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # the browser's own background calls stay on this machine too
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=3000",
    "--dump-dom",
]


def _dumped(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what it wrote to the console."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_draws_its_charts_and_writes_nothing_to_the_console(tmp_path: Path) -> None:
    days = [DAY - timedelta(days=back) for back in (0, 1, 3)]
    names = ["</script><script>alert(1)</script>", "fox 🦊", "user_click_count_7d"]
    write_rows(tmp_path, "coverage", [coverage_row(name, ds=day) for name in names for day in days])
    rate = {"stratum": "neg", "seen": 10, "kept": 1, "nominal_rate": 0.1, "ds": DAY}
    write_rows(tmp_path, "sampling_rates", [{**rate, "label": "all"}, {**rate, "label": "</script>", "seen": 2}])
    report = write_report(str(tmp_path), last=DAY, days=4, out=tmp_path / "report.html")
    dom, console = _dumped(report, tmp_path / "profile")
    page = parse(dom)
    assert console == []
    assert len([tag for tag, _, _ in page.elements if tag == "canvas"]) == 2
    assert page.texts("output", id="filter-count") == ["3 of 3 features"]
    assert len(page.texts("tr", data_name=names[0])) == 2


def test_the_filter_narrows_both_tables_of_features(tmp_path: Path) -> None:
    write_rows(
        tmp_path, "coverage", [coverage_row(name) for name in ("user_click_count_7d", "user_like_count_7d", "scene")]
    )
    report = write_report(str(tmp_path), last=DAY, days=1, out=tmp_path / "report.html")
    drive = "const t = document.getElementById('filter-text'); t.value = 'CLICK'; t.dispatchEvent(new Event('input', {bubbles: true}));"
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report.read_text(encoding="utf-8"))
    report.write_text(html.replace("</body>", f"<script>{drive}</script></body>"), encoding="utf-8")
    dom, console = _dumped(report, tmp_path / "profile")
    rows = [(a["data-name"], "hidden" in a) for tag, a, _ in parse(dom).elements if tag == "tr" and "data-name" in a]
    assert console == []
    assert parse(dom).texts("output", id="filter-count") == ["1 of 3 features"]
    assert sorted(rows) == sorted([("scene", True), ("user_click_count_7d", False), ("user_like_count_7d", True)] * 2)

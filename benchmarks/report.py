"""The coverage report at its largest: seconds and memory to make it, its size, and how fast Chromium shows and filters it.

Full: 90 days x 200 features x 300 slice values. Targets are those that docs/report.md promises.
"""

import shutil
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import Asked, alone, arguments, main, output_folder, run_rounds
from benchmarks.record import Target, finish, record
from benchmarks.reportworlds import REPORT_WORLDS, report_world
from headrace.errors import InputError

__all__ = ["bench"]

_OURS = "headrace_report"
_TIMES = 5
_TARGETS = (
    Target("seconds to make the page", limit=20),
    Target("peak RSS, MB", limit=1000),
    Target("page, MB", limit=3),
    Target("first screen, ms", limit=1000),
    Target("filter, ms (the slowest of them)", limit=100),
    Target("requests to a network", limit=0),
    Target("lines on the console", limit=0),
)

# From the start of the navigation to the frame after all of the first screen was there: verdict, line and tables.
_FIRST_SCREEN = """new Promise((done) => {
  const look = () => document.getElementById('filter')
    ? requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))
    : requestAnimationFrame(look);
  look();
})"""

# To the frame after the script has started: filters answer, and the line has its cursor.
_READY = """new Promise((done) => {
  const look = () => document.querySelector('[data-line="coverage"] canvas')
    ? requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))
    : requestAnimationFrame(look);
  look();
})"""

# From the change of an input to the frame after it is shown.
_CHANGE = """([id, value]) => new Promise((done) => {
  const input = document.getElementById(id);
  const begin = performance.now();
  input.value = value;
  input.dispatchEvent(new Event('input', {bubbles: true}));
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begin)));
})"""
_CHANGES = (
    ("filter-text", "click"),
    ("filter-text", ""),
    ("filter-group", "group:item"),
    ("filter-group", ""),
    ("filter-sort", "lost"),
    ("filter-state", "3"),
    ("filter-slice", "7"),
    ("filter-slice", "-1"),
    ("filter-state", ""),
    ("filter-sort", ""),
)


def bench(argv: list[str] | None = None) -> bool:
    """Run the benchmark; True where the page asked for nothing, said nothing, and showed what it was asked for.

    Raises
    ------
    InputError
        The contender failed, or there is no Chromium.
    """
    asked = arguments("report", contenders=lambda scale: [_OURS], known=(_OURS,), argv=argv)
    with alone(asked.work):
        return _run(asked)


def _run(asked: Asked) -> bool:
    world = report_world(asked.work, asked.scale)
    out = asked.work / f"report-{asked.scale}-out"
    contenders = run_rounds(asked.contenders, rounds=asked.rounds, world=world, out=out)
    page = output_folder(out, _OURS) / "report.html"
    ours = contenders[_OURS]
    made = {"seconds to make the page": ours["median"], "peak RSS, MB": ours["peak_rss_mb"]}
    seen = _seen(page)
    features = REPORT_WORLDS[asked.scale].features
    checks = {"all features listed again after every filter": seen.pop("features left") == features}
    checks["a slice is shown when it is chosen"] = bool(seen.pop("slice shown"))
    result = record(
        "report",
        asked,
        contenders=contenders,
        ratios=made | {"page, MB": round(page.stat().st_size / 1e6, 3)} | seen,
        targets=_TARGETS if asked.scale == "full" else (),
        checks=checks,
        work=REPORT_WORLDS[asked.scale].facts(),
    )
    finish(result, asked.out)
    return all(checks.values())


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise InputError(
            "benchmark report", found="no Chromium", wanted="one on the path", remedy="apt-get install chromium"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def _seen(page: Path) -> dict[str, float]:
    """Milliseconds of what a reader does, medians of five; requests and lines on the console, of all of them."""
    asked, said = list[str](), list[str]()
    rounds = []
    with _browser() as browser:
        for _ in range(_TIMES):
            tab = browser.new_page(viewport={"width": 1360, "height": 850})
            tab.on("request", lambda request: asked.append(request.url))
            tab.on("console", lambda message: said.append(message.text))
            tab.on("pageerror", lambda error: said.append(str(error)))
            tab.goto(page.as_uri(), wait_until="commit")
            rounds.append(_round(tab))
            tab.close()
    found = {name: round(statistics.median(one[name] for one in rounds), 1) for name in rounds[0]}
    others = [url for url in asked if url != page.as_uri()]
    return found | {"requests to a network": len(others), "lines on the console": len(said)}


def _round(tab: Any) -> dict[str, float]:
    found = {"first screen, ms": tab.evaluate(_FIRST_SCREEN), "filters ready, ms": tab.evaluate(_READY)}
    tab.evaluate("Headrace.listSlices()")
    tab.evaluate("document.getElementById('heat').scrollIntoView()")
    tab.wait_for_timeout(300)
    times, shown = [], ""
    for id, value in _CHANGES:
        times.append(tab.evaluate(_CHANGE, [id, value]))
        if (id, value) == ("filter-slice", "7"):
            shown = tab.locator("#states-of").inner_text()
    found["filter, ms (the slowest of them)"] = max(times)
    found["slice shown"] = float(" = " in shown)
    found["features left"] = float(tab.locator("#heat-table tbody tr:not([hidden])").count())
    opened = tab.evaluate(
        """() => new Promise((done) => {
          const begin = performance.now();
          addEventListener('hashchange', () => {
            const look = () => document.getElementById('feature-title') ? requestAnimationFrame(() => done(performance.now() - begin)) : requestAnimationFrame(look);
            look();
          }, {once: true});
          location.hash = document.querySelector('#heat-table tbody a').getAttribute('href');
        })"""
    )
    return found | {"page of a feature, ms": opened}


if __name__ == "__main__":
    main(bench)

"""The coverage report of all days of a made world, as `headrace report` writes it."""

import json

from benchmarks.contenders.common import Job, contend
from benchmarks.reportworlds import REPORT_WORLDS, report_facts

HOWS = ("only",)


def build(job: Job) -> dict[str, int]:
    """Read the tables, merge the days, write the page."""
    from reports.page import render_page
    from reports.page_view import page_view
    from reports.read import read_report_tables

    said = json.loads((job.world / "world.json").read_text())
    world = next(w for w in REPORT_WORLDS.values() if (w.days, w.features) == (said["days"], said["features"]))
    with job.clock.phase("read"):
        tables = read_report_tables(str(job.world), last=world.last, days=world.days)
    with job.clock.phase("merge"):
        view = page_view(tables, facts=report_facts(world))
    with job.clock.phase("write"):
        page = render_page(view)
        (job.out / "report.html").write_text(page, encoding="utf-8")
    return {"bytes": (job.out / "report.html").stat().st_size}


if __name__ == "__main__":
    contend(build, hows=HOWS)

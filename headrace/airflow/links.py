"""A link from the tasks that judge a day to its coverage page."""

from typing import Any

from airflow.sdk import BaseOperatorLink

from headrace.airflow.settings import settings

__all__ = ["CoverageReportLink", "report_name"]


def report_name(ds: str) -> str:
    """File of a day's coverage page, in HEADRACE_REPORTS."""
    return f"{ds}.html"


class CoverageReportLink(BaseOperatorLink):
    """The button "Coverage report" on a task's page.

    The worker works the address out when the task has ended, well or badly, and Airflow keeps it as an XCom; the
    server never imports this class, so nothing has to be registered in a plugin.
    """

    name = "Coverage report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Address of the page of `operator.ds`; empty, and then no button, where HEADRACE_REPORTS_URL is not set."""
        base = settings().text("REPORTS_URL")
        return f"{base.rstrip('/')}/{report_name(operator.ds)}" if base else ""

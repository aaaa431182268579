"""What is said when a task has failed for good: one line in its log, and a POST where HEADRACE_FAILURE_URL names one."""

import json
import logging
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from headrace.airflow.settings import settings

__all__ = ["failure_facts", "report_failure"]

_log = logging.getLogger(__name__)
_TIMEOUT_S = 10.0
_LONGEST_MESSAGE, _LONGEST_LINE = 4000, 600


def failure_facts(context: Any) -> dict[str, Any]:
    """What is posted: names, day, try and the message of the failure."""
    instance = context["ti"]
    return {
        "event": "task_failed",
        "dag_id": instance.dag_id,
        "task_id": instance.task_id,
        "map_index": instance.map_index,
        "run_id": instance.run_id,
        "ds": getattr(context.get("task"), "ds", None),
        "try": instance.try_number,
        "message": str(context.get("exception") or "")[:_LONGEST_MESSAGE],
        "log_url": getattr(instance, "log_url", None),
    }


def report_failure(context: Any) -> None:
    """Write one line and post the facts; what goes wrong here is a warning and nothing more."""
    facts = failure_facts(context)
    said = " | ".join(line.strip() for line in facts["message"].splitlines())
    said = said if len(said) <= _LONGEST_LINE else said[: _LONGEST_LINE - 1] + "…"
    _log.error("FAILED %(dag_id)s %(task_id)s, day %(ds)s, try %(try)s: %(said)s", {**facts, "said": said})
    address = settings().text("FAILURE_URL")
    if not address:
        return
    try:
        _post(address, facts)
    except Exception as error:
        # The address may hold a secret: only its host is said.
        _log.warning("the failure was not posted to %s: %s", urlsplit(address).hostname, type(error).__name__)


def _post(address: str, facts: dict[str, Any]) -> None:
    body = json.dumps(facts, default=str).encode()
    request = urllib.request.Request(address, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        answer.read()

"""Alerts on gates: a line of JSON in a file, a POST to a webhook. They never fail a job and never show an address.

The payload is described in docs/alerts.md; `version` changes when a key goes or changes its meaning.
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from math import isfinite
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rich.console import Console

from headrace.config import Config

if TYPE_CHECKING:
    from requests import Response

__all__ = ["LISTED", "alert_payload", "send_alerts"]

LISTED = 20
"""Failures that a payload lists; the others are counted in `more`."""

_VERSION = 1
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 8.0
Failure = Mapping[str, Any]


def send_alerts(config: Config, *, ds: date, verdict: str, failures: Sequence[Failure], console: Console) -> list[str]:
    """Tell whom `config.alerts` names that gates failed; print and return what became of it, in words.

    Parameters
    ----------
    verdict : refused, accepted or warning
    failures : rows of gate_results, one a cell that failed

    Returns
    -------
    list of str
        One message a target; empty where nothing failed at `alerts.severity`, or nobody is to be told.
    """
    told = config.alerts.severity == "warning" or any(one["severity"] == "critical" for one in failures)
    if not failures or not told:
        return []
    payload = alert_payload(config.root, ds=ds, verdict=verdict, failures=failures)
    messages = []
    if config.alerts.file is not None:
        messages.append(_append(Path(config.alerts.file), payload))
    if config.alerts.webhook_env is not None:
        messages.append(_post_in_time(config, payload))
    for message in messages:
        console.print(message, markup=False)
    return messages


def alert_payload(root: str, *, ds: date, verdict: str, failures: Sequence[Failure]) -> dict[str, Any]:
    """What file and webhook get, ready for JSON, critical failures first: numbers that are not finite are null."""
    critical = sum(one["severity"] == "critical" for one in failures)
    listed = [_listed(one) for one in sorted(failures, key=lambda one: one["severity"] != "critical")[:LISTED]]
    return {
        "version": _VERSION,
        "event": "gates_failed",
        "ds": ds.isoformat(),
        "root": root,
        "verdict": verdict,
        "critical": critical,
        "warnings": len(failures) - critical,
        "failures": listed,
        "more": len(failures) - len(listed),
        "text": _line(ds, verdict, listed, critical=critical, total=len(failures)),
    }


def _listed(one: Failure) -> dict[str, Any]:
    since = one.get("since")
    return {
        **{key: one.get(key) for key in ("rule", "severity", "feature", "slice", "value")},
        "observed": _finite(one.get("observed")),
        "wanted": _wanted(_finite(one.get("wanted_low")), _finite(one.get("wanted_high"))),
        "since": since.isoformat() if since else None,
    }


def _wanted(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:.6g} to {high:.6g}"
    return f">= {low:.6g}" if low is not None else f"<= {high:.6g}" if high is not None else ""


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _line(ds: date, verdict: str, listed: Sequence[Failure], *, critical: int, total: int) -> str:
    """One line for chat tools. It holds names of the configuration only: values of slices come from logs."""
    first = listed[0]
    where = f" of {first['feature']}" if first["feature"] else ""
    found = "nothing" if first["observed"] is None else f"{first['observed']:.6g}"
    since = f", since {first['since']}" if first["since"] else ""
    more = f"; {total - 1:,} more" if total > 1 else ""
    counts = f"{critical:,} critical, {total - critical:,} warnings"
    text = f"Headrace {ds} {verdict}: {counts}. {first['rule']}{where}: found {found}, wanted {first['wanted']}{since}{more}"
    return " ".join(text.split())


def _append(path: Path, payload: Mapping[str, Any]) -> str:
    """One write of one line, so that lines of several writers do not mix."""
    line = (json.dumps(payload, allow_nan=False) + "\n").encode("ascii")
    if path.is_fifo():  # opening one waits for a reader
        return f"alert: {path} is no file; nothing added"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(handle, line)
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        return f"alert: {path} could not be written: {getattr(error, 'strerror', None) or type(error).__name__}"
    return f"alert: added to {path}" if written == len(line) else f"alert: {path} took a part of the line only"


def _post_in_time(config: Config, payload: Mapping[str, Any]) -> str:
    """`_post`, left to itself where it takes longer than all its tries may: a server can drip an answer for ever."""
    said: list[str] = []
    posting = Thread(target=lambda: said.append(_post(config, payload)), daemon=True)
    posting.start()
    posting.join(config.alerts.tries * (config.alerts.timeout_s + _LONGEST_WAIT_S))
    return said[0] if said else "alert: the webhook did not answer in time; given up"


def _post(config: Config, payload: Mapping[str, Any]) -> str:
    name = str(config.alerts.webhook_env)
    url = os.environ.get(name, "").strip()
    host = _host(url)
    if not host:
        found = "is not an http or https address" if url else "is not set"
        return f"alert: the environment variable {name} {found}; nothing posted"
    with _unlogged():
        try:
            response = _tried(url, payload, tries=config.alerts.tries, timeout_s=config.alerts.timeout_s)
        except Exception as error:  # an alert never fails the job, and its texts may hold the address
            return f"alert: webhook at {host} not reached: {type(error).__name__}{_tries(config, error)}; given up"
    if response.ok and not response.is_redirect:
        return f"alert: posted to {host}"
    return f"alert: webhook at {host} answered {response.status_code}{_tries(config, response)}; given up"


def _host(url: str) -> str:
    """Host of an http(s) address, without user, path or query; empty where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.hostname or ""
    return host if parts.scheme in ("http", "https") and re.fullmatch(r"[\w.:-]+", host) else ""


def _tried(url: str, payload: Mapping[str, Any], *, tries: int, timeout_s: float) -> "Response":
    """The last answer; raises what the last try raised."""
    from tenacity import Retrying, retry_if_exception, retry_if_result, stop_after_attempt, wait_exponential

    retrying = Retrying(
        stop=stop_after_attempt(tries),
        wait=wait_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
        retry=retry_if_exception(_is_passing) | retry_if_result(_is_passing),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    return retrying(_once, url, payload, timeout_s)


def _once(url: str, payload: Mapping[str, Any], timeout_s: float) -> "Response":
    """One POST. The body of the answer is not read, and no redirect is followed: it would carry the payload elsewhere."""
    import requests

    with requests.post(url, json=payload, timeout=timeout_s, allow_redirects=False, stream=True) as response:
        return response


def _is_passing(outcome: "Response | BaseException") -> bool:
    """Whether trying again may help: no answer, the server's own failure, or too many requests."""
    import requests

    if isinstance(outcome, requests.Response):
        return outcome.status_code >= 500 or outcome.status_code == 429
    return isinstance(outcome, requests.ConnectionError | requests.Timeout)


def _tries(config: Config, outcome: "Response | BaseException") -> str:
    """How often it was tried, where it was tried again."""
    return f", {config.alerts.tries} tries" if _is_passing(outcome) and config.alerts.tries > 1 else ""


@contextmanager
def _unlogged() -> Iterator[None]:
    """urllib3 logs paths, which hold the secret of many webhooks."""
    logger = logging.getLogger("urllib3.connectionpool")

    def refuse(record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(refuse)
    try:
        yield
    finally:
        logger.removeFilter(refuse)

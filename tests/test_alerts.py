"""What an alert says, and alerts in files."""

import json
import os
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from headrace.alerts import alert_payload, send_alerts
from tests.alerting import DS, config_of, failure, sent


def test_the_payload_has_the_keys_that_the_docs_list(tmp_path: Path) -> None:
    found = alert_payload("r", ds=DS, verdict="refused", failures=[failure(severity="warning"), failure()])
    text = (Path(__file__).parents[1] / "docs" / "alerts.md").read_text(encoding="utf-8")
    documented = json.loads(text.split("```json\n")[1].split("```")[0])
    assert found.keys() == documented.keys()
    assert found["failures"][0].keys() == documented["failures"][0].keys()
    assert (found["version"], found["ds"], found["critical"], found["warnings"]) == (1, "2026-03-14", 1, 1)
    assert found["failures"][0] == {
        "rule": "coverage fell",
        "severity": "critical",
        "feature": "user_click_rate_7d",
        "slice": "all",
        "value": "all",
        "observed": 0.41,
        "wanted": ">= 0.9",
        "since": "2026-03-12",
    }


def test_the_first_twenty_failures_are_listed_and_the_others_counted() -> None:
    found = alert_payload("r", ds=DS, verdict="refused", failures=[failure(feature=f"f{n}") for n in range(23)])
    assert [one["feature"] for one in found["failures"]] == [f"f{n}" for n in range(20)]
    assert (found["more"], found["critical"]) == (3, 23)


def test_the_line_for_chat_holds_no_text_from_the_logs() -> None:
    found = alert_payload("r", ds=DS, verdict="refused", failures=[failure(slice="city", value="<!channel>\nx")])
    assert found["text"] == (
        "Headrace 2026-03-14 refused: 1 critical, 0 warnings. coverage fell of user_click_rate_7d: "
        "found 0.41, wanted >= 0.9, since 2026-03-12"
    )


def test_a_number_that_is_not_finite_is_null_in_strict_json(tmp_path: Path) -> None:
    config = config_of(tmp_path, f"alerts.file={tmp_path}/alerts.jsonl")
    sent(config, failure(observed=float("nan"), wanted_low=None, wanted_high=float("inf"), since=None))
    (line,) = (tmp_path / "alerts.jsonl").read_text().splitlines()
    (found,) = json.loads(line, parse_constant=lambda name: pytest.fail(name))["failures"]
    assert (found["observed"], found["wanted"], found["since"]) == (None, "", None)


def test_every_alert_is_one_line_more_in_the_file(tmp_path: Path) -> None:
    config = config_of(tmp_path, f"alerts.file={tmp_path}/sub/alerts.jsonl")
    messages, shown = sent(config, failure(value="a\nb\u2028c"))
    sent(config)
    lines = (tmp_path / "sub" / "alerts.jsonl").read_bytes().split(b"\n")
    assert [json.loads(line)["failures"][0]["value"] for line in lines[:-1]] == ["a\nb\u2028c", "all"]
    assert lines[-1] == b""
    assert messages == [f"alert: added to {tmp_path}/sub/alerts.jsonl"] and messages[0] in shown


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    messages, _ = sent(config_of(tmp_path, f"alerts.file={tmp_path}/pipe"))
    assert messages == [f"alert: {tmp_path}/pipe is no file; nothing added"]


def test_a_file_that_cannot_be_written_is_said_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    messages, _ = sent(config_of(tmp_path, f"alerts.file={tmp_path}/folder"))
    assert messages == [f"alert: {tmp_path}/folder could not be written: Is a directory"]


def test_warnings_alone_are_told_only_where_asked_for(tmp_path: Path) -> None:
    file = f"alerts.file={tmp_path}/a.jsonl"
    assert sent(config_of(tmp_path, file), failure(severity="warning"))[0] == []
    assert len(sent(config_of(tmp_path, file, "alerts.severity=warning"), failure(severity="warning"))[0]) == 1


def test_without_a_target_or_a_failure_nothing_happens(tmp_path: Path) -> None:
    assert sent(config_of(tmp_path)) == ([], "")
    config = config_of(tmp_path, f"alerts.file={tmp_path}/a.jsonl")
    assert send_alerts(config, ds=DS, verdict="refused", failures=[], console=Console(file=StringIO())) == []
    assert not (tmp_path / "a.jsonl").exists()

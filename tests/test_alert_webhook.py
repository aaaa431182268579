"""Alerts against a real server on the loopback."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headrace import alerts
from headrace.alerts import alert_payload
from tests.alerting import DS, config_of, failure, sent

SECRET = "s3cr3t-path"


class _Server(ThreadingHTTPServer):
    """Answers with the statuses of `answers` in turn, the last one for ever, and keeps what it got."""

    answers: tuple[int, ...] = (200,)
    wait_s: float = 0.0
    got: list[dict[str, Any]]

    @property
    def url(self) -> str:
        return f"http://user:pass@127.0.0.1:{self.server_port}/{SECRET}?token={SECRET}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.wait_s)
        self.server.got.append({"path": self.path, "type": self.headers["Content-Type"], "json": json.loads(body)})
        self.send_response(self.server.answers[min(len(self.server.got), len(self.server.answers)) - 1])
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    made = _Server(("127.0.0.1", 0), _Handler)
    made.got = []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOOK", made.url)
    monkeypatch.setattr(alerts, "_FIRST_WAIT_S", 0.01)
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_the_webhook_gets_the_payload_as_json(tmp_path: Path, server: _Server) -> None:
    messages, _ = sent(config_of(tmp_path, "alerts.webhook_env=HOOK"))
    assert messages == ["alert: posted to 127.0.0.1"]
    (got,) = server.got
    assert (got["path"], got["type"]) == (f"/{SECRET}?token={SECRET}", "application/json")
    assert got["json"] == alert_payload(f"{tmp_path}/tables", ds=DS, verdict="refused", failures=[failure()])


def test_a_passing_failure_is_tried_again(tmp_path: Path, server: _Server) -> None:
    server.answers = (500, 429, 204)
    assert sent(config_of(tmp_path, "alerts.webhook_env=HOOK"))[0] == ["alert: posted to 127.0.0.1"]
    assert len(server.got) == 3


def test_a_lasting_failure_is_given_up_after_the_tries(tmp_path: Path, server: _Server) -> None:
    server.answers = (503,)
    messages, _ = sent(config_of(tmp_path, "alerts.webhook_env=HOOK", "alerts.tries=2"))
    assert messages == ["alert: webhook at 127.0.0.1 answered 503, 2 tries; given up"]
    assert len(server.got) == 2


@pytest.mark.parametrize("status", [302, 307, 404])
def test_a_refusal_or_a_redirect_is_said_and_not_tried_again(tmp_path: Path, server: _Server, status: int) -> None:
    server.answers = (status,)
    messages, _ = sent(config_of(tmp_path, "alerts.webhook_env=HOOK"))
    assert messages == [f"alert: webhook at 127.0.0.1 answered {status}; given up"]
    assert len(server.got) == 1


def test_a_slow_webhook_is_left_after_the_timeout(tmp_path: Path, server: _Server) -> None:
    server.wait_s = 1.0
    begun = time.monotonic()
    messages, _ = sent(config_of(tmp_path, "alerts.webhook_env=HOOK", "alerts.tries=2", "alerts.timeout_s=0.1"))
    assert messages == ["alert: webhook at 127.0.0.1 not reached: ReadTimeout, 2 tries; given up"]
    assert time.monotonic() - begun < 1.0


def test_a_webhook_that_is_not_there_is_said(tmp_path: Path, server: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.shutdown()
    server.server_close()
    messages, _ = sent(config_of(tmp_path, "alerts.webhook_env=HOOK"))
    assert messages == ["alert: webhook at 127.0.0.1 not reached: ConnectionError, 3 tries; given up"]


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://host/{SECRET}",
        f"file:///etc/{SECRET}",
        f"http://[bad/{SECRET}",
        f"https://ho st/{SECRET}",
        f"http:///{SECRET}",
        SECRET,
        f"http://\x1b[31m/{SECRET}",
    ],
)
def test_what_is_no_web_address_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HOOK", url)
    messages, shown = sent(config_of(tmp_path, "alerts.webhook_env=HOOK"))
    assert messages == ["alert: the environment variable HOOK is not an http or https address; nothing posted"]
    assert SECRET not in shown


@pytest.mark.parametrize("url", [f"http://h:99999/{SECRET}", f"http://h:x/{SECRET}", f"http://.../{SECRET}"])
def test_an_address_that_cannot_be_used_is_given_up_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HOOK", url)
    messages, _ = sent(config_of(tmp_path, "alerts.webhook_env=HOOK"))
    assert len(messages) == 1 and messages[0].startswith("alert: webhook at ") and SECRET not in messages[0]


def test_an_unset_variable_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    messages, _ = sent(config_of(tmp_path, "alerts.webhook_env=HOOK"))
    assert messages == ["alert: the environment variable HOOK is not set; nothing posted"]


@pytest.mark.parametrize("status", [200, 500, 302])
def test_the_address_is_in_no_output_and_no_log(
    tmp_path: Path, server: _Server, capfd: pytest.CaptureFixture[str], status: int
) -> None:
    records: list[str] = []

    class _Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(self.format(record))

    server.answers, keep = (status,), _Keep()
    root = logging.getLogger()
    level = root.level
    root.addHandler(keep)
    root.setLevel(logging.DEBUG)
    try:
        messages, shown = sent(config_of(tmp_path, "alerts.webhook_env=HOOK", f"alerts.file={tmp_path}/a.jsonl"))
    finally:
        root.removeHandler(keep)
        root.setLevel(level)
    everything = [*messages, shown, *capfd.readouterr(), *records, (tmp_path / "a.jsonl").read_text()]
    assert not [text for text in everything if SECRET in text or "pass@" in text]
    assert logging.getLogger("urllib3.connectionpool").filters == []

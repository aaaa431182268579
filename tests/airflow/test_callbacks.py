"""A failure is one line in the log, and one POST where an address is set; the callback itself never fails."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("airflow", reason="needs Airflow: make test-airflow")

from headrace.airflow.callbacks import report_failure


class Instance:
    dag_id, task_id, run_id, map_index, try_number, log_url = "headrace_nightly", "gates", "run", -1, 1, "http://log"


class Task:
    ds = "2024-05-20"


CONTEXT = {"ti": Instance(), "task": Task(), "exception": ValueError("gates of 2024-05-20: exit code 3\nitem_a fell")}


@pytest.fixture
def posted():
    bodies, codes = [], [200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(codes[0])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/secret-token", bodies, codes
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_failure_is_one_line_that_names_task_day_and_message(caplog, monkeypatch):
    monkeypatch.delenv("HEADRACE_FAILURE_URL", raising=False)
    report_failure(CONTEXT)
    (line,) = [one.getMessage() for one in caplog.records]
    assert (
        line == "FAILED headrace_nightly gates, day 2024-05-20, try 1: gates of 2024-05-20: exit code 3 | item_a fell"
    )


def test_a_failure_is_posted_as_json_where_an_address_is_set(posted, monkeypatch):
    address, bodies, _ = posted
    monkeypatch.setenv("HEADRACE_FAILURE_URL", address)
    report_failure(CONTEXT)
    (body,) = bodies
    assert (body["event"], body["task_id"], body["ds"], body["try"]) == ("task_failed", "gates", "2024-05-20", 1)
    assert "item_a fell" in body["message"]


@pytest.mark.parametrize("wrong", ["answer", "nobody"])
def test_a_post_that_fails_is_a_warning_without_the_address(posted, monkeypatch, caplog, wrong):
    address, _, codes = posted
    codes[0] = 500
    monkeypatch.setenv("HEADRACE_FAILURE_URL", address if wrong == "answer" else "http://127.0.0.1:9/secret-token")
    with caplog.at_level(logging.WARNING):
        report_failure(CONTEXT)
    warned = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert ["127.0.0.1" in one and "secret" not in one for one in warned] == [True]

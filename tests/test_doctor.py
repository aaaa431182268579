"""`headrace doctor`: every check well and not well, what the whole says, and that it leaves nothing behind."""

import json
import os
import signal
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from headrace.cli import app
from headrace.config import Config
from headrace.days import spans
from headrace.doctor import as_json, examine, exit_code, machine, settings, show_checks, storage
from headrace.doctor.check import Check, fail, guarded, ok, said, warn
from headrace.doctor.landed import check_landing
from headrace.errors import ConfigError
from tests.conftest import config_of
from tests.doctoring import only, plain  # noqa: F401

D1, D2, D3, D4 = (date(2024, 5, 1) + timedelta(days=n) for n in range(4))
TINY = Path(__file__).parent / "data" / "tiny.yaml"
SECRET = "spark.hadoop.fs.s3a.secret.key"


def land(folder: Path, *days: date, tables: tuple[str, ...] = ("impressions", "engagements")) -> None:
    for table in tables:
        for day in days:
            (folder / "landing" / table / f"ds={day}").mkdir(parents=True)


def call(folder: Path, *more: str):
    where = ["--set", f"root={folder}/tables", "--set", f"landing={folder}/landing"]
    return CliRunner().invoke(app, ["doctor", "--config", str(TINY), *where, *more])


# configuration, timezone, secrets


def test_a_timezone_that_the_dags_do_not_share_is_a_warning(monkeypatch, tmp_path):
    config = config_of(tmp_path, "timezone=Europe/Berlin")
    assert only(settings.check_timezone(config)).state == "ok"
    monkeypatch.setenv("HEADRACE_TIMEZONE", "Europe/Berlin")
    assert only(settings.check_timezone(config)).state == "ok"
    monkeypatch.setenv("HEADRACE_TIMEZONE", "UTC")
    check = only(settings.check_timezone(config))
    assert check.state == "warn" and "HEADRACE_TIMEZONE=Europe/Berlin" in check.remedy


def test_a_timezone_that_this_machine_does_not_know_fails(tmp_path):
    config = config_of(tmp_path).model_copy(update={"timezone": "Mars/Base"})
    assert only(guarded("timezone", lambda: settings.check_timezone(config))).state == "fail"


def test_secrets_that_are_there_are_counted_and_those_that_are_not_are_named(monkeypatch, tmp_path):
    config = config_of(tmp_path, f"spark.conf={{{SECRET}: 'env:MY_KEY', spark.x.token: 'file:/no/such'}}")
    monkeypatch.setenv("MY_KEY", "hunter2secret")
    missing = only(settings.check_secrets(config))
    assert missing.state == "fail" and "spark.x.token: /no/such: FileNotFoundError" in missing.found
    check = only(settings.check_secrets(config_of(tmp_path, f"spark.conf={{{SECRET}: 'env:MY_KEY'}}")))
    assert (check.state, check.found) == ("ok", "1 in spark.conf, found")


def test_an_alert_that_nobody_would_get_is_a_warning(monkeypatch, tmp_path):
    config = config_of(tmp_path, "alerts.webhook_env=MY_HOOK")
    _, hook = settings.check_secrets(config)
    assert hook.state == "warn" and "no variable MY_HOOK" in hook.found
    monkeypatch.setenv("MY_HOOK", "https://example.org/x")
    assert only(settings.check_secrets(config)).state == "ok"


def test_a_secret_in_an_error_is_struck_out(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_KEY", "hunter2secret")
    monkeypatch.setenv("AZURE_STORAGE_KEY", "other-secret")

    def told(stamps, *_):
        raise OSError("GET https://store/?sig=other-secret as hunter2secret")

    monkeypatch.setattr(storage, "exercise", told)
    land(tmp_path, D1)
    shown = call(tmp_path, "--set", f"spark.conf={{{SECRET}: 'env:MY_KEY'}}", "--json")
    assert "sig=*** as ***" in shown.output
    assert "hunter2secret" not in shown.output and "other-secret" not in shown.output


def test_the_working_folder_is_no_password(monkeypatch):
    monkeypatch.setenv("PWD", "/some/folder")
    assert settings.without_secrets("at /some/folder/tables", None) == "at /some/folder/tables"


# landing


def found_in(config: Config) -> dict[str, Check]:
    return {check.name.removeprefix("landing "): check for check in check_landing(config)}


def test_landing_says_first_and_last_day(tmp_path):
    land(tmp_path, D1, D2)
    found = found_in(config_of(tmp_path))
    assert found["impressions"] == ok("landing impressions", "2 days, 2024-05-01 to 2024-05-02")
    assert found["user_profile"].state == "warn" and exit_code(list(found.values())) == 0


def test_gaps_are_a_warning_where_every_day_is_wanted(tmp_path):
    land(tmp_path, D1, D4, tables=("impressions", "engagements", "user_profile"))
    found = found_in(config_of(tmp_path))
    assert found["impressions"].state == "warn" and "none for 2024-05-02 to 2024-05-03" in found["impressions"].found
    assert found["user_profile"].state == "ok"


def test_gaps_before_history_begins_do_not_count(tmp_path):
    land(tmp_path, D1, D3, D4)
    assert found_in(config_of(tmp_path, f"start_ds={D3}"))["impressions"].state == "ok"


def test_a_missing_table_fails_and_what_is_there_is_named(tmp_path):
    land(tmp_path, D1, tables=("impressions", "clicks"))
    found = found_in(config_of(tmp_path))
    assert found["engagements"].state == "fail" and "holds clicks, impressions" in found["engagements"].found


@pytest.mark.parametrize(("name", "state"), [("ds=2024-5-2", "fail"), ("2024-05-02", "warn"), ("_tmp", "ok")])
def test_folders_that_are_no_day_are_told(tmp_path, name, state):
    land(tmp_path, D1)
    (tmp_path / "landing" / "impressions" / name).mkdir()
    check = found_in(config_of(tmp_path))["impressions"]
    assert check.state == state and (name in check.found) == (state != "ok")


def test_many_gaps_are_told_in_short():
    assert spans([D1, D2, D4]) == "2024-05-01 to 2024-05-02, 2024-05-04"
    assert spans([D1 + timedelta(days=2 * n) for n in range(7)], most=5).endswith("2024-05-09 and 2 more")


# the whole


def test_one_that_breaks_is_a_line_and_the_rest_is_made(monkeypatch, tmp_path):
    def broken():
        yield ok("Java", "so far")
        raise SystemExit("no Spark here")

    monkeypatch.setattr(machine, "check_java", broken)
    land(tmp_path, D1)
    checks = [check for check in examine(TINY, [f"root={tmp_path}/t", f"landing={tmp_path}/landing"])]
    assert [(c.state, c.found) for c in checks if c.name == "Java"] == [
        ("ok", "so far"),
        ("fail", "SystemExit: no Spark here"),
    ]
    assert checks[-1].name == "landing item_profile"


def test_a_missing_package_is_told_as_one():
    def look():
        import no_such_module  # noqa: F401

        yield ok("x", "")

    check = only(guarded("x", look))
    assert check.state == "fail" and "no_such_module" in check.found and "install" in check.remedy


def test_an_error_is_told_in_one_line():
    assert said(ValueError("a\n  b \x1b[31mred\x1b[0m")) == "ValueError: a b red"
    assert said(ValueError("x" * 1000)).endswith(" ...") and len(said(ValueError("x" * 1000))) < 330


@pytest.mark.parametrize(
    ("checks", "code"),
    [([ok("a", "")], 0), ([warn("a", "", "b")], 0), ([fail("a", "", "b")], 2), ([fail("landing x", "", "b")], 4),
     ([fail("landing x", "", "b"), fail("a", "", "b")], 2)],
)  # fmt: skip
def test_exit_codes(checks, code):
    assert exit_code(checks) == code
    assert json.loads(as_json(checks))["ok"] == (code == 0)


def test_a_machine_that_is_well_ends_with_0(tmp_path):
    land(tmp_path, D1)
    shown = call(tmp_path)
    assert shown.exit_code == 0, shown.output
    assert "0 failed" in shown.output and not (tmp_path / "tables").exists()


def test_one_that_is_ended_from_outside_leaves_nothing(monkeypatch, tmp_path):
    def ended(_):
        assert list(tmp_path.rglob("_doctor-*"))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    land(tmp_path, D1)
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(storage, "_commit_twice", ended)
    shown = call(tmp_path)
    assert shown.exit_code != 0 and not (tmp_path / "tables").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_landing_alone_ends_with_4_and_says_so_in_json(tmp_path):
    shown = call(tmp_path, "--json")
    assert shown.exit_code == 4
    told = json.loads(shown.stdout)
    assert told["ok"] is False and set(told["checks"][0]) == {"name", "state", "found", "remedy"}
    assert all(check["remedy"] for check in told["checks"] if check["state"] != "ok")


def test_a_broken_configuration_is_a_line_and_ends_with_2(tmp_path):
    (tmp_path / "my.yaml").write_text("extends: base.yaml\nrooot: x\n", encoding="utf-8")
    shown = CliRunner().invoke(app, ["doctor", "--config", str(tmp_path / "my.yaml"), "--json", "--spark"])
    checks = {check["name"]: check for check in json.loads(shown.stdout)["checks"]}
    assert shown.exit_code == 2
    assert checks["configuration"]["state"] == "fail" and "rooot" in checks["configuration"]["found"]
    assert checks["Python"]["state"] == "ok"
    assert all("skipped" in checks[name]["found"] for name in ("timezone", "storage", "landing", "Spark session"))


def test_a_file_that_is_no_yaml_or_not_there_is_a_line_too(tmp_path):
    (tmp_path / "my.yaml").write_text("a: [", encoding="utf-8")
    for name in ("my.yaml", "absent.yaml"):
        shown = CliRunner().invoke(app, ["doctor", "--config", str(tmp_path / name)])
        assert shown.exit_code == 2 and "configuration" in shown.output and "Traceback" not in shown.output


def test_brackets_in_what_was_found_are_shown(capsys):
    show_checks([warn("x", "found [bold]this[/bold]", "do [that]")], console=Console(width=100))
    assert "found [bold]this[/bold]" in capsys.readouterr().out


def test_the_help_shows_an_example():
    shown = CliRunner().invoke(app, ["doctor", "--help"])
    assert "headrace doctor --config my.yaml" in shown.output


def test_a_session_that_does_not_start_is_a_line(monkeypatch, tmp_path):
    def none(*_, **__):
        raise ConfigError("Spark", found="no session", wanted="a JVM", remedy="read the log")

    monkeypatch.setattr("headrace.doctor.started.spark_session", none)
    shown = call(tmp_path, "--json", "--spark")
    check = json.loads(shown.stdout)["checks"][-1]
    assert (check["name"], check["state"]) == ("Spark session", "fail") and shown.exit_code == 2

"""`headrace status --json`, and the steps beside the chain: the grid as a program reads it, from receipts alone."""

import json
import sys
from pathlib import Path

import pytest

from headrace.cli import main
from headrace.config import Config
from headrace.receipts import REFUSED, STARTED, Receipt, write_receipts
from headrace.status import status_facts
from headrace.steps import STEPS
from tests.conftest import config_of
from tests.runbook.night import DAY, built

TINY = Path(__file__).parent / "data" / "tiny.yaml"
CHAIN = [step.name for step in STEPS]


def steps_of(config: Config, day=DAY) -> dict[str, dict[str, str]]:
    ((only),) = status_facts(config, days=[day])["days"]
    return only["steps"]


def states(config: Config) -> dict[str, str]:
    return {step: cell["state"] for step, cell in steps_of(config).items()}


def asked(config: Config, monkeypatch, capsys, *more: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `headrace status`."""
    places = ["--config", str(TINY), "--set", f"root={config.root}", "--set", f"landing={config.landing}"]
    monkeypatch.setattr(sys, "argv", ["headrace", "status", *places, *more])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_json_is_one_object_with_days_steps_states_and_reasons_and_nothing_else(tmp_path, monkeypatch, capsys):
    config = config_of(tmp_path)
    built(config, "ingest")
    built(config, "labels", status=REFUSED, refused="odd")
    code, out, err = asked(config, monkeypatch, capsys, "--days", "2", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    told = json.loads(out)
    assert told["root"] == config.root
    assert [day["ds"] for day in told["days"]] == ["2024-05-01"]
    steps = told["days"][0]["steps"]
    assert list(steps) == CHAIN
    assert steps["ingest"] == {"state": "done", "reason": ""}
    assert steps["labels"] == {"state": "refused", "reason": "odd"}
    assert steps["publish"] == {"state": "-", "reason": ""}


def test_json_of_nothing_is_an_error_on_stderr_and_an_empty_stdout(tmp_path, monkeypatch, capsys):
    code, out, err = asked(config_of(tmp_path), monkeypatch, capsys, "--json")
    assert (code, out) == (4, "")
    assert "no day of impressions" in err


def test_json_tells_what_the_table_tells(tmp_path, monkeypatch, capsys):
    config = config_of(tmp_path)
    built(config, "ingest")
    _, out, _ = asked(config, monkeypatch, capsys)
    assert "publish" in out and "done" in out and "{" not in out


def test_a_build_that_has_no_end_says_since_when(tmp_path):
    config = config_of(tmp_path)
    built(config, "ingest", status=STARTED)
    assert steps_of(config)["ingest"] == {
        "state": "started",
        "reason": "since 2024-05-02 03:00 UTC; it runs, or was killed",
    }


def test_steps_beside_the_chain_are_left_out_where_no_day_has_them(tmp_path):
    config = config_of(tmp_path)
    built(config, "ingest")
    assert list(states(config)) == CHAIN


def test_steps_beside_the_chain_are_shown_where_a_day_has_them(tmp_path, monkeypatch, capsys):
    config = config_of(tmp_path)
    for job in ("ingest", "tiles", "state"):
        built(config, job)
    assert list(states(config)) == [*CHAIN, "state"]
    assert states(config)["state"] == "done"
    _, out, _ = asked(config, monkeypatch, capsys)
    assert "state" in out.splitlines()[2]


def test_a_step_beside_the_chain_that_is_stale_holds_nothing_up(tmp_path):
    config = config_of(tmp_path)
    built(config, "ingest")
    built(config, "tiles")
    before = states(config)
    write_receipts(config, [Receipt("state", DAY, config_hash="of another")])
    assert states(config) == before | {"state": "stale"}


def test_a_step_beside_the_chain_waits_where_its_tiles_are_to_be_built_again(tmp_path):
    config = config_of(tmp_path)
    for job in ("ingest", "tiles", "stats"):
        built(config, job)
    folder = Path(config.landing, "impressions", f"ds={DAY}")
    folder.mkdir(parents=True)
    assert states(config)["ingest"] == "stale"
    assert states(config)["stats"] == "waits"

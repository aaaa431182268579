"""Gates where they act: a refused day stays unpublished with its reasons, an accepted one is published with the reason."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.chain import run_step
from headrace.cli import main
from headrace.config import Config
from headrace.delta import read_days
from headrace.errors import GateError
from headrace.published import pinned_days
from headrace.receipts import latest_receipts
from headrace.steps import step_named
from tests.conftest import LAST, config_of

DAYS = [LAST - timedelta(days=1), LAST]
STRICT = "gates.floors=[{name: ages are there, feature: user_age, at_least: 0.2}]"


def _publish(config: Config, days=DAYS, accept: str | None = None, rebuild=()):
    return run_step(_no_spark, config, step_named("publish"), days=days, accept=accept, rebuild=rebuild)


def _no_spark():
    raise AssertionError("publishing starts no Spark")


def _strict(copied: Config, *settings: str) -> Config:
    return config_of(Path(copied.root).parent, f"landing={copied.landing}", STRICT, *settings)


def test_a_refused_day_stays_unpublished_and_the_others_are_published(copied: Config, tmp_path: Path) -> None:
    config = _strict(copied, f"alerts.file={tmp_path}/alerts.jsonl")
    assert _publish(config).built == []  # published days do not go stale with the rules
    with pytest.raises(GateError) as refused:
        _publish(config, rebuild=DAYS)
    assert refused.value.exit_code == 3
    assert refused.value.what == f"gates of {LAST}"
    assert "ages are there: coverage of user_age is 0.08065, wanted >= 0.2, since 2024-04-02" in refused.value.found
    assert '--accept "reason"' in refused.value.remedy
    latest = latest_receipts(config)
    assert [latest["publish", day].status for day in DAYS] == ["published", "refused"]
    assert "ages are there" in latest["publish", LAST].notes["refused"]
    assert LAST not in pinned_days(config.root) and DAYS[0] in pinned_days(config.root)
    alert = json.loads((tmp_path / "alerts.jsonl").read_text(encoding="utf-8"))
    assert (alert["ds"], alert["verdict"], alert["critical"]) == (str(LAST), "refused", 1)


def test_an_accepted_day_is_published_with_the_reason_on_receipt_and_results(copied: Config) -> None:
    config = _strict(copied)
    with pytest.raises(GateError):
        _publish(config, rebuild=DAYS)
    outcome = _publish(config, accept="the profile dump came late, known")
    assert (outcome.built, outcome.skipped) == ([LAST], [DAYS[0]])
    receipt = latest_receipts(config)["publish", LAST]
    assert receipt.status == "published"
    assert receipt.notes["accepted"] == "the profile dump came late, known"
    assert "ages are there" in receipt.notes["accepted_gates"]
    rows = read_days(f"{config.root}/gate_results", days=[LAST]).to_pylist()
    assert {r["accepted"] for r in rows if r["revision"] == receipt.revision} == {"the profile dump came late, known"}
    failed = [r for r in rows if r["revision"] == receipt.revision and r["feature"]]
    assert [(r["rule"], r["feature"], r["wanted_low"], r["severity"]) for r in failed] == [
        ("ages are there", "user_age", 0.2, "critical")
    ]
    assert _publish(config).built == []
    kept = json.loads((Path(config.root) / f"gates/ds={LAST}/revision-{receipt.revision}.json").read_text())
    assert kept["suite_name"] == "coverage gates" and kept["success"] is False


def test_a_published_day_that_is_published_again_and_refused_is_said_to_be_no_longer_read(copied: Config) -> None:
    assert LAST in pinned_days(copied.root)
    with pytest.raises(GateError, match="no longer read: revision 1 was published"):
        _publish(_strict(copied), days=[LAST], rebuild=[LAST])
    assert LAST not in pinned_days(copied.root)


def test_a_reason_is_not_noted_where_nothing_failed(copied: Config) -> None:
    config = _strict(copied)
    assert _publish(config, days=DAYS[:1], accept="just in case", rebuild=DAYS).built == DAYS[:1]
    assert "accepted" not in latest_receipts(config)["publish", DAYS[0]].notes


def test_the_command_judges_without_publishing(copied: Config, capsys, monkeypatch) -> None:
    before = len(read_days(f"{copied.root}/receipts"))
    where = ["--set", f"root={copied.root}", "--set", f"landing={copied.landing}", "--set", STRICT]
    config = ["--config", str(Path(__file__).parent / "data" / "tiny.yaml")]
    monkeypatch.setattr("sys.argv", ["headrace", "gates", "--ds", str(LAST), *config, *where])
    with pytest.raises(SystemExit) as left:
        main()
    shown = capsys.readouterr()
    assert left.value.code == 3
    assert "ages are there" in shown.out and "1 critical failure" in shown.err
    assert len(read_days(f"{copied.root}/receipts")) == before


def test_a_blank_reason_is_refused(copied: Config, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["headrace", "publish", "--ds", str(LAST), "--accept", " "])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "a blank one" in capsys.readouterr().err

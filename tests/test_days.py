"""Days and what stands behind them: status, reasons, provisional days, unpublishing, manifests, rebuilding."""

import io
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from headrace.chain import plan_run, run_step
from headrace.config import load_config
from headrace.errors import ConfigError, GateError, InputError
from headrace.joblog import JobLog
from headrace.manifest import differences, load_manifest, read_manifest
from headrace.publishing import publish_receipts
from headrace.rebuilding import rebuild_day
from headrace.receipts import STARTED, WITHDRAWN, latest_receipts, write_receipts
from headrace.run import publishable, run_chain
from headrace.status import show_status, status_grid
from headrace.steps import step_named
from headrace.withdraw import unpublish
from tests.conftest import DAYS, LAST, config_of
from trainer.published import published_days

SPAN = [LAST - timedelta(days=n) for n in reversed(range(DAYS))]


def states(config, day=LAST) -> dict[str, str]:
    return {step: cell.state for (ds, step), cell in status_grid(config, days=[day]).items() if ds == day}


def printed(show, *arguments, **named) -> str:
    text = io.StringIO()
    show(*arguments, **named, console=Console(file=text, width=160))
    return text.getvalue()


def test_a_finished_day_is_done_from_ingest_to_coverage_and_published(copied):
    steps = ("ingest", "tiles", "labels", "sample", "features", "coverage")
    assert states(copied) == dict.fromkeys(steps, "done") | {"publish": "published"}


def test_a_changed_setting_makes_its_step_and_what_follows_stale(copied):
    changed = config_of(Path(copied.root).parent, f"landing={copied.landing}", "sampling.negative_rate=0.3")
    found = states(changed)
    assert [found[s] for s in ("labels", "sample", "features", "publish")] == [
        "done",
        "stale",
        "stale",
        "published, stale",
    ]
    assert "configuration changed" in printed(show_status, changed, days=SPAN)


def test_a_killed_build_shows_as_started_and_an_unbuilt_day_as_empty(copied):
    write_receipts(copied, [replace(latest_receipts(copied)["labels", LAST], revision=0, status=STARTED)])
    assert states(copied)["labels"] == "started"
    assert set(states(copied, LAST + timedelta(days=30)).values()) == {"-"}


def test_a_build_says_which_input_changed(spark, copied):
    old = latest_receipts(copied)["labels", LAST]
    inputs = {k: v + "x" if k.startswith("engagements") else v for k, v in old.inputs.items()}
    write_receipts(copied, [replace(old, revision=0, inputs=inputs, fingerprint="other")])
    outcome = run_step(lambda: spark, copied, step_named("labels"), days=[LAST])
    assert outcome.reasons == {LAST: "engagements changed"}
    assert run_step(lambda: spark, copied, step_named("sample"), days=[LAST]).built == []  # same labels as before


def test_an_unpublished_day_is_gone_for_readers_left_alone_by_run_and_back_after_publish(spark, copied):
    unpublish(copied, days=[LAST], reason="clicks logged twice")
    assert LAST not in {day.ds for day in published_days(copied.root)}
    shown = printed(run_chain, copied, ds=LAST, days=1, rebuild=False)
    assert "left out: unpublished (clicks logged twice)" in shown
    assert latest_receipts(copied)["publish", LAST].status == WITHDRAWN and states(copied)["publish"] == WITHDRAWN
    with pytest.raises(InputError, match="not published"):
        unpublish(copied, days=[LAST], reason="again")
    run_step(lambda: spark, copied, step_named("publish"), days=[LAST])
    assert LAST in {day.ds for day in published_days(copied.root)}


def provisional_of(config):
    """The same root, with labels of days that are not mature."""
    settings = [f"root={config.root}", f"landing={config.landing}", "labels.provisional=true"]
    return load_config(Path(__file__).parent / "data" / "tiny.yaml", settings=settings)


def test_a_day_that_is_not_mature_is_refused_or_planned_provisionally(copied):
    landed = sorted(Path(copied.landing, "impressions").glob("ds=*"))
    young = type(LAST).fromisoformat(landed[-1].name.removeprefix("ds="))
    with pytest.raises(InputError, match="a day is final 1 day"):
        plan_run(copied, ds=young, days=1)
    plan = plan_run(provisional_of(copied), ds=young, days=1)
    assert plan.per_step["ingest"][-1] == plan.per_step["tiles"][-1] == young
    with pytest.raises(InputError, match="landing until"):
        plan_run(provisional_of(copied), ds=young + timedelta(days=1), days=1)


def _publishable(config, days, *, console):
    return publishable(config, days, log=JobLog(console))


def test_provisional_labels_say_so_and_are_never_published(spark, copied):
    day, provisional = LAST + timedelta(days=1), provisional_of(copied)  # ingested, but not the day after it
    with pytest.raises(InputError, match=r"1 day\(s\) of ingest"):
        run_step(lambda: spark, copied, step_named("labels"), days=[day])
    made = run_step(lambda: spark, provisional, step_named("labels"), days=[day]).receipts[0]
    assert (
        made.rows_out > 0 and made.notes["provisional"] == f"landed until {day}, mature on {LAST + timedelta(days=2)}"
    )
    assert states(provisional, day)["labels"] == "provisional"
    with pytest.raises(InputError, match="another configuration"):  # of a run that does not say --provisional
        run_step(lambda: spark, copied, step_named("sample"), days=[day])
    for job in ("sample", "features", "coverage"):
        write_receipts(provisional, [replace(latest_receipts(provisional)[job, LAST], revision=0, ds=day)])
    for config_now in (provisional, copied):
        with pytest.raises(InputError, match="provisional"):
            publish_receipts(config_now, days=[day])
    assert "left out: labels are provisional" in printed(_publishable, provisional, [LAST])


def test_a_manifest_is_kept_with_the_day_and_named_by_a_hash_of_what_it_says(copied, tmp_path):
    manifest = read_manifest(copied, LAST)
    latest = latest_receipts(copied)
    assert manifest["hash"] == latest["publish", LAST].notes["manifest"]
    assert manifest["outputs"]["features"]["training_set"] == latest["features", LAST].outputs["training_set"]
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(manifest))
    assert load_manifest(file) == manifest
    file.write_text(json.dumps(manifest).replace('"negative_rate": 0.5', '"negative_rate": 0.6'))
    with pytest.raises(InputError, match="not what its hash says"):
        load_manifest(file)


def test_a_day_that_was_never_published_has_no_manifest(copied):
    with pytest.raises(InputError, match="wanted: a published day"):
        read_manifest(copied, LAST + timedelta(days=1))


def rebuilt(copied, tmp_path, monkeypatch) -> str:
    """What `rebuild` says of a chain that gives what stands in `copied`."""
    monkeypatch.setattr("headrace.rebuilding.run_chain", lambda config, **_: shutil.copytree(copied.root, config.root))
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(read_manifest(copied, LAST)))
    return printed(rebuild_day, file, landing=copied.landing, root=str(tmp_path / "elsewhere"))


def test_a_rebuild_that_gives_the_same_says_so_and_wants_a_new_root(copied, tmp_path, monkeypatch):
    shown = rebuilt(copied, tmp_path, monkeypatch)
    assert "every content hash is that of manifest" in shown and "its hash is the same" in shown
    with pytest.raises(ConfigError, match="a new root"):
        rebuilt(copied, tmp_path, monkeypatch)


def test_a_rebuild_that_gives_other_rows_names_them(copied, tmp_path, monkeypatch):
    other = read_manifest(copied, LAST)
    other["history"]["ingest"][str(LAST)]["engagements"] = "1-2-3-4"
    monkeypatch.setattr("headrace.rebuilding.read_manifest", lambda config, day: other)
    with pytest.raises(GateError, match=rf"1 difference\(s\): history.ingest.{LAST}.engagements"):
        rebuilt(copied, tmp_path, monkeypatch)


def test_differences_name_the_table_and_the_day(copied):
    manifest = read_manifest(copied, LAST)
    other = json.loads(json.dumps(manifest))
    other["history"]["ingest"][str(LAST)]["engagements"] = "1-2-3-4"
    assert differences(manifest, other) == [f"history.ingest.{LAST}.engagements"]


def test_a_gate_that_refuses_leaves_a_receipt_that_says_so(spark, copied, monkeypatch):
    from sampling import assemble

    monkeypatch.setattr(assemble, "SIGNIFICANCE", 1.1)
    with pytest.raises(GateError, match="stratum"):
        run_step(lambda: spark, copied, step_named("sample"), days=[LAST], rebuild=[LAST])
    assert states(copied)["sample"] == "refused"
    assert "rows kept" in latest_receipts(copied)["sample", LAST].notes["refused"]
    with pytest.raises(InputError, match=r"1 day\(s\) of sample"):
        run_step(lambda: spark, copied, step_named("features"), days=[LAST])

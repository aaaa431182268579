"""Two runs at once, and runs that die: one wins, the other changes nothing, and the last good state stays."""

import shutil
from dataclasses import replace
from datetime import date, timedelta

import pytest

from headrace import tables, writing
from headrace.chain import run_step
from headrace.delta import read_days
from headrace.errors import ConflictError, InputError
from headrace.receipts import LOST, STARTED, all_latest, begun, latest_receipts, write_receipts
from headrace.status import status_grid
from headrace.steps import step_named
from jobs import sample
from schemas.tables import table
from tests.conftest import LAST
from trainer.published import find_days, open_day

OTHER = LAST - timedelta(days=1)


def rows(config, name: str, day: date) -> list[dict]:
    return sorted(read_days(f"{config.root}/{name}", days=[day]).to_pylist(), key=lambda row: row["impression_id"])


def racing(spark, config, monkeypatch, *, step: str, second: date, module: str, name: str):
    """Run `step` of LAST; after its rows are made and before they are committed, another run does `second` whole."""
    import importlib

    owner = importlib.import_module(module)
    original = getattr(owner, name)
    others: list = []

    def interrupted(*arguments, **named):
        if not others:
            others.append(None)
            others[0] = run_step(lambda: spark, config, step_named(step), days=[second], rebuild=[second])
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, interrupted)
    return others, lambda: run_step(lambda: spark, config, step_named(step), days=[LAST], rebuild=[LAST])


def test_of_two_runs_of_one_day_one_wins_and_the_other_says_so_and_changes_nothing(spark, copied, monkeypatch):
    before = rows(copied, "training_set", LAST)
    others, run = racing(
        spark, copied, monkeypatch, step="features", second=LAST, module="headrace.writing", name="parquet_sink"
    )
    with pytest.raises(ConflictError, match="nothing was changed by this run"):
        run()
    assert others[0].built == [LAST] and rows(copied, "training_set", LAST) == before
    standing = latest_receipts(copied)["features", LAST]
    assert standing.revision == others[0].receipts[0].revision and standing.status == "done"
    assert int(standing.versions["training_set"]) == tables.version_of(copied, "training_set")
    assert status_grid(copied, days=[LAST])[LAST, "features"].state == "done"


def test_two_runs_of_two_days_at_once_both_land(spark, copied, monkeypatch):
    wanted = {day: rows(copied, "training_set", day) for day in (LAST, OTHER)}
    others, run = racing(
        spark, copied, monkeypatch, step="features", second=OTHER, module="headrace.writing", name="parquet_sink"
    )
    assert run().built == [LAST] and others[0].built == [OTHER]
    assert {day: rows(copied, "training_set", day) for day in wanted} == wanted


def test_a_write_whose_revision_is_there_already_is_refused(spark, copied):
    made = table(copied, "labels")
    labels = tables.read(spark, copied, "labels", days=[LAST]).localCheckpoint()
    old = latest_receipts(copied)["labels", LAST]
    with begun(copied, [replace(old, revision=0)]) as run:
        writing.write_frame(labels, copied, made, days=[LAST])
        shutil.rmtree(f"{copied.root}/receipts")
    assert run.receipts[0].revision == old.revision + 1
    with pytest.raises(ConflictError), begun(copied, [replace(old, revision=0)]):
        writing.write_frame(labels.limit(1), copied, made, days=[LAST])
    assert len(rows(copied, "labels", LAST)) == labels.count()


def test_a_run_that_lost_leaves_the_receipt_of_the_winner_standing(copied):
    done = latest_receipts(copied)["labels", LAST]
    with pytest.raises(ConflictError), begun(copied, [replace(done, revision=0)]) as run:
        run.begin()
        assert all_latest(copied)["labels", LAST].status == STARTED
        raise ConflictError("labels", found="another run", wanted="one", remedy="wait")
    assert all_latest(copied)["labels", LAST] == done
    found = read_days(f"{copied.root}/receipts", days=[LAST]).to_pylist()
    later = [r["status"] for r in found if r["job"] == "labels" and r["revision"] > done.revision]
    assert sorted(later) == sorted([STARTED, LOST])


def test_of_two_runs_of_several_days_the_earlier_stops_before_it_writes_over_the_later(spark, copied, monkeypatch):
    days = [OTHER, LAST]
    salted = copied.model_copy(update={"sampling": copied.sampling.model_copy(update={"salt": "another"})})
    others: list = []
    original = sample.sampled

    def interrupted(*arguments, **named):
        if not others:
            others.append(None)
            others[0] = run_step(lambda: spark, salted, step_named("sample"), days=days)
        return original(*arguments, **named)

    monkeypatch.setattr(sample, "sampled", interrupted)
    with pytest.raises(ConflictError, match="began later"):
        run_step(lambda: spark, copied, step_named("sample"), days=days, rebuild=days)
    later = {r.ds: r for r in others[0].receipts}
    assert {d: latest_receipts(copied)["sample", d].revision for d in days} == {d: later[d].revision for d in days}
    assert {d: len(rows(copied, "spine", d)) for d in days} == {d: later[d].rows_out for d in days}


@pytest.mark.parametrize(
    ("step", "module", "name"),
    [
        ("labels", "jobs.labels", "label_receipts"),
        ("sample", "jobs.sample", "check_rates"),
        ("features", "jobs.features", "table_receipts"),
    ],
)
def test_a_build_that_dies_half_way_hides_nothing_published_and_running_again_is_enough(
    spark, copied, monkeypatch, step, module, name
):
    import importlib

    owner = importlib.import_module(module)
    published = find_days(copied.root, [LAST])[0]
    wanted = [b.to_pylist() for b in open_day(copied.root, published, columns=["impression_id", "label_click"])]
    before = latest_receipts(copied)[step, LAST].outputs

    def dies(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(owner, name, dies)
        run_step(lambda: spark, copied, step_named(step), days=[LAST], rebuild=[LAST])
    assert all_latest(copied)[step, LAST].status == STARTED
    still = find_days(copied.root, [LAST])[0]
    assert [b.to_pylist() for b in open_day(copied.root, still, columns=["impression_id", "label_click"])] == wanted
    with pytest.raises(InputError, match=r"not built|no receipt"):
        run_step(lambda: spark, copied, step_named("publish"), days=[LAST], rebuild=[LAST])
    again = run_step(lambda: spark, copied, step_named(step), days=[LAST])
    assert again.built == [LAST] and again.receipts[0].outputs == before


def test_receipts_keep_their_number_once_given(copied):
    (first,) = write_receipts(copied, [replace(latest_receipts(copied)["labels", LAST], revision=0)])
    assert write_receipts(copied, [first])[0].revision == first.revision

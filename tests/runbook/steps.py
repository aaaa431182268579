"""Causes among the steps and their receipts: what is missing, stale, provisional, killed or in each other's way."""

from dataclasses import replace

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from headrace.checks import check_horizon
from headrace.commits import check_alone, replace_files
from headrace.receipts import REFUSED, STARTED, Receipt, begun, write_receipts
from headrace.shares import Share
from tests.runbook.night import DAY, NEXT, Night, built

DONE = ("sample", "features", "coverage")


def step_before_missing(night: Night) -> None:
    night.headrace("sample", "--ds", DAY)


def made_by_another_configuration(night: Night) -> None:
    night.built("labels", settings=("labels.grace_days=1",))
    night.headrace("sample", "--ds", DAY)


def horizon_not_ingested(night: Night) -> None:
    night.landed(DAY, NEXT)
    check_horizon(night.config(), days=[NEXT])


def publish_of_stale_steps(night: Night) -> None:
    night.built(*DONE)
    night.headrace("publish", "--ds", DAY)


def provisional_not_published(night: Night) -> None:
    night.built("labels", *DONE, settings=("labels.provisional=true",))
    night.headrace("publish", "--ds", DAY, "--provisional")


def left_out_provisional(night: Night) -> None:
    night.landed()
    for job in ("ingest", "tiles", "labels", *DONE):
        built(night.config("labels.provisional=true"), job)
    night.headrace("run", "--ds", DAY, "--provisional")


def left_out_unpublished(night: Night) -> None:
    night.landed(DAY, NEXT)
    for day in (DAY, NEXT):
        night.built("ingest", day=day)
    for day in (DAY, NEXT):
        night.built("tiles", day=day)
    night.built("labels", *DONE)
    built(night.config(), "publish", status="published")
    night.headrace("unpublish", "--ds", DAY, "--reason", "clicks logged twice")
    night.headrace("run", "--ds", DAY)


def nothing_to_do(night: Night) -> None:
    night.landed()
    night.built("ingest")
    night.headrace("ingest", "--ds", DAY)


def killed_run(night: Night) -> None:
    built(night.config(), "ingest", status=STARTED)
    night.headrace("status")


def step_stale(night: Night) -> None:
    night.built("ingest")
    night.built("labels", settings=("labels.grace_days=1",))
    night.headrace("status")


def step_waits(night: Night) -> None:
    night.built("ingest", "tiles")
    night.landed()
    night.headrace("status")


def step_refused(night: Night) -> None:
    built(night.config(), "sample", status=REFUSED, refused="stratum all: 9 of 9 rows kept (1.000000), p = 0.0e+00")
    night.headrace("status")


def another_run_began(night: Night) -> None:
    config = night.config()
    with begun(config, [Receipt("labels", DAY)]) as run:
        run.begin()
        write_receipts(config, [Receipt("labels", DAY, status=STARTED)])
        run.check_newest()


def _committed(night: Night, *, revision: int) -> str:
    """A table with a file of the day, by a run of this revision."""
    uri = f"{night.config().root}/labels"
    rows = pa.table({"impression_id": [1], "ds": pa.array([DAY], pa.date32())})
    by = CommitProperties(app_transactions=[Transaction(f"labels/labels/{DAY}", revision)])
    write_deltalake(uri, rows, mode="append", partition_by=["ds"], commit_properties=by)
    return uri


def another_run_wrote(night: Night) -> None:
    uri, config = _committed(night, revision=2), night.config()
    with begun(config, [Receipt("labels", DAY)]) as run:
        run.begin()
        replace_files(uri, "labels", DeltaTable(uri), [], days=[DAY], ids=run.transactions("labels", [DAY]))


def both_runs_wrote(night: Night) -> None:
    check_alone(_committed(night, revision=1), "labels", days=[DAY], written=set())


def log_without_bounds(night: Night) -> None:
    uri = f"{night.config().root}/quarantine"
    rows = pa.table({"table_name": ["impressions"], "ds": pa.array([DAY], pa.date32())})
    unkept = {"delta.dataSkippingNumIndexedCols": "0"}
    write_deltalake(uri, rows, partition_by=["ds"], configuration=unkept)
    Share("table_name", "impressions").check_apart(uri, days=[DAY])


def rows_do_not_add_up(night: Night) -> None:
    write_receipts(night.config(), [replace(Receipt("ingest", DAY), rows_in=3, rows_out=2)])

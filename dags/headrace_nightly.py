"""The night: a day lands, its tables are built; its labels mature, and its training set is built, judged and published.

Every setting is an environment variable with a default: docs/airflow.md.
"""

import sys
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup, XComArg

if find_spec("headrace") is None:  # a bundle, or a checkout, beside an Airflow in which Headrace is not installed
    _home = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(_home / "headrace.zip"), str(_home)]

from headrace.airflow.days import DAY, business_day, day_param
from headrace.airflow.drawing import base_steps, defaults, draw_steps
from headrace.airflow.links import report_name
from headrace.airflow.operators import HeadraceCommand, JudgingCommand, PublishCommand
from headrace.airflow.sensors import LandedSensor
from headrace.airflow.settings import settings
from headrace.steps import STEPS


def draw_day() -> tuple[TaskGroup, XComArg, list]:
    """What a landed day is enough for. Returns the group, the feature groups, and what the training day waits for."""
    with TaskGroup("day", tooltip="Tables that need the day's files alone") as group:
        listed = HeadraceCommand(task_id="groups", command=["features", "groups", "--json"], read_json=True)
        # Steps beside the chain read the tiles of all history; days that stand are skipped.
        chain = [step for step in base_steps() if step in STEPS]
        scopes = {step.name: "history" for step in chain} | {"": "day"}
        drawn = draw_steps(base_steps(), scopes=scopes, groups=listed.output)
        drawn["ingest"][1] >> listed
    # A step beside the chain that fails makes the run fail, but no training set waits for it.
    ends = [drawn[step.name][1] for step in chain if not any(step.name in after.after for after in chain)]
    return group, listed.output, ends


def draw_training_day(groups: XComArg) -> TaskGroup:
    """What needs mature labels: the chain up to the published day, its coverage page, and the gates."""
    found = settings()
    with TaskGroup("training_day", tooltip="The training set, once labels are final") as group:
        drawn = draw_steps(STEPS, scopes={"": "publish"}, groups=groups, special={"publish": PublishCommand})
        reports, days = found.path("REPORTS"), found.text("REPORT_DAYS")
        report = JudgingCommand(
            task_id="report",
            command=["report", "--ds", DAY, "--days", days, "--out", str(reports / report_name(DAY))],
            folder=str(reports),
        )
        gates = JudgingCommand(task_id="gates", command=["gates", "--ds", DAY], retries=0)
        drawn["coverage"][1] >> [report, gates]
        gates >> drawn["publish"][0]
    return group


def draw_night() -> DAG:
    """The DAG."""
    found = settings()
    zone = found.text("TIMEZONE")
    with DAG(
        "headrace_nightly",
        description="A day's tables, then its training set, judged and published",
        doc_md=__doc__,
        schedule=CronDataIntervalTimetable(found.text("CRON"), timezone=zone),
        start_date=datetime.fromisoformat(found.text("START")).replace(tzinfo=ZoneInfo(zone)),
        catchup=False,
        max_active_runs=found.count("ACTIVE_DAYS"),
        default_args=defaults(),
        params={"ds": day_param("the day on which the data interval starts")},
        user_defined_macros={"business_day": business_day},
        tags=["headrace"],
    ) as night:
        landed = LandedSensor(task_id="landed", hours=found.number("LANDED_HOURS"))
        mature = LandedSensor(task_id="mature", mature=True, hours=found.number("MATURE_HOURS"))
        day, groups, ends = draw_day()
        landed >> day
        ends >> mature >> draw_training_day(groups)
    return night


draw_night()

"""A model of every published day: trains when the training set changes, then judges the model. No Spark.

Every setting is an environment variable with a default: docs/airflow.md.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from airflow.sdk import DAG

if find_spec("headrace") is None:  # a bundle, or a checkout, beside an Airflow in which Headrace is not installed
    _home = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(_home / "headrace.zip"), str(_home)]

from headrace.airflow.days import TRAINED_DAY, TRAINING_SET, day_param, published_day
from headrace.airflow.drawing import defaults
from headrace.airflow.operators import HeadraceCommand
from headrace.airflow.settings import settings


def draw_training() -> DAG:
    """The DAG."""
    models = settings().path("MODELS")
    checkpoint = str(models / TRAINED_DAY)
    with DAG(
        "headrace_train",
        description="A model of every published day",
        doc_md=__doc__,
        schedule=[TRAINING_SET],
        catchup=False,
        max_active_runs=1,
        default_args=defaults(),
        params={"ds": day_param("the newest that the asset's events name")},
        user_defined_macros={"published_day": published_day},
        tags=["headrace"],
    ) as training:
        train = HeadraceCommand(
            task_id="train",
            command=["train", "--ds", TRAINED_DAY, "--out", checkpoint],
            folder=str(models),
            ds=TRAINED_DAY,
        )
        judged = str(models / f"{TRAINED_DAY}.html")
        evaluate = HeadraceCommand(
            task_id="evaluate",
            command=["evaluate", checkpoint, "--ds", TRAINED_DAY, "--page", judged],
            ds=TRAINED_DAY,
        )
        train >> evaluate
    return training


draw_training()

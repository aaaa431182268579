"""Steps of the chain drawn as tasks: each a job, a grouped one a fan of jobs and their join, in the order of `Step.after`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, XComArg

from headrace.airflow.callbacks import report_failure
from headrace.airflow.days import DAY
from headrace.airflow.operators import HeadraceCommand, SparkStep
from headrace.airflow.settings import settings
from headrace.steps import SIDE_STEPS, STEPS, Step

__all__ = ["CHAIN_POOL", "GROUPS_POOL", "base_steps", "defaults", "draw_steps"]

CHAIN_POOL = "headrace_chain"
"""One slot: the steps that write shared tables, so that two days never write at once."""

GROUPS_POOL = "headrace_groups"
"""As many slots as the cluster bears applications: the mapped steps, one a feature group."""

_LONGEST_WAIT = timedelta(hours=1)
Drawn = dict[str, tuple[Any, Any]]


def defaults() -> dict[str, Any]:
    """Arguments of every task: retries with exponential back-off, a time limit, and word of failures."""
    found = settings()
    return {
        "owner": "headrace",
        "retries": found.count("RETRIES"),
        "retry_delay": timedelta(seconds=found.count("RETRY_S")),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": _LONGEST_WAIT,
        "execution_timeout": timedelta(hours=found.number("STEP_HOURS")),
        "on_failure_callback": report_failure,
    }


def base_steps() -> tuple[Step, ...]:
    """What is built as soon as a day has landed: the steps beside the chain, and all that they follow."""
    wanted = {step.name for step in SIDE_STEPS}
    for step in reversed(STEPS):
        if any(step.name in one.after for one in (*STEPS, *SIDE_STEPS) if one.name in wanted):
            wanted.add(step.name)
    return tuple(step for step in (*STEPS, *SIDE_STEPS) if step.name in wanted)


def draw_steps(
    steps: Iterable[Step],
    *,
    scopes: Mapping[str, str],
    groups: XComArg,
    special: Mapping[str, type[HeadraceCommand]] | None = None,
) -> Drawn:
    """Make the tasks of `steps` in the current task group, and their arrows.

    Parameters
    ----------
    scopes : mapping
        Scope of each step; "" is for those that it does not name.
    groups : XComArg
        The list of feature groups that grouped steps are mapped over.
    special : mapping
        Operator of a step that needs one of its own.

    Returns
    -------
    dict
        First and last task of each step.
    """
    drawn: Drawn = {}
    for step in steps:
        scope = scopes.get(step.name, scopes[""])
        if step.grouped:
            drawn[step.name] = _fan(step, scope, groups=groups)
        elif step.spark:
            task = SparkStep(task_id=step.name, step=step.name, scope=scope, pool=CHAIN_POOL)
            drawn[step.name] = task, task
        else:
            operator = (special or {}).get(step.name, HeadraceCommand)
            task = operator(task_id=step.name, command=[step.name, "--ds", DAY], pool=CHAIN_POOL)
            drawn[step.name] = task, task
        for before in step.after:
            if before in drawn:
                drawn[before][1] >> drawn[step.name][0]
    return drawn


def _fan(step: Step, scope: str, *, groups: XComArg) -> tuple[Any, BaseOperator]:
    """One application a feature group, then the command that joins their receipts into the day's."""
    mapped = SparkStep.partial(
        task_id=f"{step.name}_by_group",
        step=step.name,
        scope=scope,
        pool=GROUPS_POOL,
        map_index_template="{{ task.group }}",
    ).expand(group=groups)
    command: Sequence[str] = [step.name, "--ds", DAY, "--scope", scope]
    joined = HeadraceCommand(task_id=step.name, command=command, pool=CHAIN_POOL)
    mapped >> joined
    return mapped, joined

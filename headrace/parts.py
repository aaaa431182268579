"""One feature group built by an application of its own: receipts `tiles@user` beside `tiles`, and which of them stand.

A configuration of one group (`Config.for_group`) sees the receipts of that group as if they were the step's. The step's
own receipt and those of its groups speak of the same tables, so whichever is older stands only where the newer one says
the same of its table.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from headrace.config import Config
from headrace.digests import config_hashes
from headrace.receipt import STARTED, Receipt
from headrace.steps import SIDE_STEPS, STEPS

__all__ = ["conflicting", "own_job", "seen_by", "step_of"]

GROUPED = tuple(step.name for step in (*STEPS, *SIDE_STEPS) if step.grouped)
Latest = Mapping[tuple[str, date], Receipt]


def step_of(job: str) -> str:
    """The step that a receipt's job belongs to: `tiles` of `tiles@user`."""
    return job.partition("@")[0]


def own_job(config: Config, job: str) -> str:
    """What a receipt of this configuration calls its job."""
    return f"{job}@{config.group}" if config.group is not None and job in GROUPED else job


def conflicting(one: str, other: str) -> bool:
    """Whether two jobs write the same tables: a step and itself, a step and one of its groups."""
    return one == other or (step_of(one) == step_of(other) and "@" not in min(one, other, key=len))


def seen_by(config: Config, best: Latest) -> dict[tuple[str, date], Receipt]:
    """The receipts that a configuration goes by, under the names of the steps.

    Parameters
    ----------
    best : the highest revision of every job and day, by the job's name on the receipt
    """
    found = {key: r for key, r in best.items() if "@" not in key[0] and (config.group is None or key[0] not in GROUPED)}
    grouped = {(step_of(job), day) for job, day in best if step_of(job) in GROUPED}
    hashes = (
        _Hashes(config_hashes(config), config_hashes(config.whole)) if config.group is not None and grouped else None
    )
    for job, day in sorted(grouped):
        whole = best.get((job, day))
        groups = [r for (name, ds), r in best.items() if ds == day and name != job and step_of(name) == job]
        if hashes is None:
            seen = _unless_changed(whole, groups) if whole else next((r for r in groups if r.status == STARTED), None)
        else:
            seen = _of_group(best.get((f"{job}@{config.group}", day)), whole, hashes=hashes)
        if seen is not None:
            found[job, day] = replace(seen, job=job)
    return found


class _Hashes(NamedTuple):
    """Hashes of the parts of the configuration of one group, and of the whole one."""

    own: Mapping[str, str]
    whole: Mapping[str, str]


def _of_group(own: Receipt | None, whole: Receipt | None, *, hashes: _Hashes) -> Receipt | None:
    """The group's receipt; where there is none, or a newer one of the whole step changed the table, that of the step."""
    if own is not None:
        own = _unless_changed(own, [whole] if whole else [])
        if own.config_hash or own.status == STARTED:
            return own
    if whole is None or whole.status == STARTED or whole.config_hash != hashes.whole[whole.job]:
        return own
    return replace(whole, config_hash=hashes.own[whole.job], fingerprint="")


def _unless_changed(receipt: Receipt, others: list[Receipt]) -> Receipt:
    """The receipt as it is where no newer one says otherwise of a table; else one that is done with nothing."""
    newer = [other for other in others if other.revision >= receipt.revision]
    for other in newer:
        if other.status == STARTED:
            return other
        shared = receipt.outputs.keys() & other.outputs.keys()
        if any(receipt.outputs[table] != other.outputs[table] for table in shared):
            return replace(receipt, config_hash="", fingerprint="")
    return receipt

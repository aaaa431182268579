"""One feature group built by an application of its own: receipts `tiles@user` beside `tiles`, and which of them stand.

A configuration of one group (`Config.for_group`) sees the receipts of that group as if they were the step's. The step's
own receipts and those of its groups speak of the same tables. Of a table holds what the newest receipt that names it says;
an older one stands only where it says the same, and none does while a build is on its way, or was killed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from headrace import __version__
from headrace.config import Config
from headrace.digests import config_hashes
from headrace.receipt import STARTED, Receipt
from headrace.steps import SIDE_STEPS, STEPS

__all__ = ["conflicting", "own_job", "seen_by", "step_of"]

GROUPED = tuple(step.name for step in (*STEPS, *SIDE_STEPS) if step.grouped)
Seen = dict[tuple[str, date], Receipt]


def step_of(job: str) -> str:
    """The step that a receipt's job belongs to: `tiles` of `tiles@user`."""
    return job.partition("@")[0]


def own_job(config: Config, job: str) -> str:
    """What a receipt of this configuration calls its job."""
    return f"{job}@{config.group}" if config.group is not None and job in GROUPED else job


def conflicting(one: str, other: str) -> bool:
    """Whether two jobs write the same tables: a step and itself, a step and one of its groups."""
    return one == other or (step_of(one) == step_of(other) and "@" not in min(one, other, key=len))


def seen_by(config: Config, receipts: Iterable[Receipt]) -> Seen:
    """The receipts that a configuration goes by, under the names of the steps.

    Parameters
    ----------
    receipts : all that ended, and STARTED ones that have no end
    """
    families: dict[tuple[str, date], list[Receipt]] = {}
    for receipt in receipts:
        families.setdefault((step_of(receipt.job), receipt.ds), []).append(receipt)
    hashes = _Hashes(config_hashes(config), config_hashes(config.whole)) if config.group is not None else None
    found: Seen = {}
    for (step, day), family in families.items():
        if step not in GROUPED:
            seen: Receipt | None = _newest(family, step)
        elif hashes is None or config.group is None:
            seen = _of_step(step, family)
        else:
            seen = _of_group(step, config.group, family, hashes=hashes)
        if seen is not None:
            found[step, day] = replace(seen, job=step)
    return found


class _Hashes(NamedTuple):
    """Hashes of the parts of the configuration of one group, and of the whole one."""

    own: Mapping[str, str]
    whole: Mapping[str, str]


def _newest(family: Sequence[Receipt], job: str) -> Receipt | None:
    return max((r for r in family if r.job == job), key=lambda r: r.revision, default=None)


def _of_step(step: str, family: Sequence[Receipt]) -> Receipt | None:
    """The step's receipt; STARTED where a build of it or of a group has no end."""
    whole = _newest(family, step)
    if whole is None:
        return next((r for r in family if r.status == STARTED), None)
    last = {table: _last_word(whole, table, family) for table in whole.outputs}
    begun = next((r for r in last.values() if r.status == STARTED), None)
    changed = [table for table, r in last.items() if r.outputs.get(table) != whole.outputs[table]]
    return begun or (_outdated(whole, changed) if changed else whole)


def _of_group(step: str, group: str, family: Sequence[Receipt], *, hashes: _Hashes) -> Receipt | None:
    """The group's receipt, or that of the whole step where it is the one of now; STARTED where a build has no end."""
    own, whole = _newest(family, f"{step}@{group}"), _newest(family, step)
    changed: list[str] = []
    if own is not None:
        last = {table: _last_word(own, table, family) for table in own.outputs}
        begun = own if own.status == STARTED else next((r for r in last.values() if r.status == STARTED), None)
        if begun is not None:
            return begun
        changed = [table for table, r in last.items() if r.outputs.get(table) != own.outputs[table]]
        if not changed and _is_of_now(own, hashes.own[step]):
            return own
    if whole is not None and _is_of_now(whole, hashes.whole[step]):
        tables = {table: text for table, text in whole.outputs.items() if table in _tables(step, group)}
        if tables and all(_last_word(whole, t, family).outputs.get(t) == text for t, text in tables.items()):
            return replace(whole, config_hash=hashes.own[step], fingerprint="")
    return _outdated(own, changed) if own is not None and changed else own


def _is_of_now(receipt: Receipt, config_hash: str) -> bool:
    same = receipt.config_hash == config_hash and receipt.code_version == __version__
    return same and receipt.status != STARTED


def _tables(step: str, group: str) -> tuple[str, ...]:
    return f"{step}_{group}", f"priors_{group}"


def _last_word(receipt: Receipt, table: str, family: Sequence[Receipt]) -> Receipt:
    """The newest receipt about a table: `receipt` itself, or one that is as new or newer and wrote it, or began to."""
    later = [r for r in family if r is not receipt and r.revision >= receipt.revision and _touches(r, table)]
    return max(later, key=lambda r: (r.revision, r.status == STARTED), default=receipt)


def _touches(receipt: Receipt, table: str) -> bool:
    if receipt.status != STARTED:
        return table in receipt.outputs
    step, _, group = receipt.job.partition("@")
    return not group or table in _tables(step, group)


def _outdated(receipt: Receipt, changed: Sequence[str]) -> Receipt:
    """A receipt that is done with nothing, and made none of the tables that changed since."""
    made = json.loads(receipt.notes.get("made_of", "{}"))
    step = step_of(receipt.job)
    kept = {group: digest for group, digest in made.items() if f"{step}_{group}" not in changed}
    notes = receipt.notes | ({"made_of": json.dumps(kept)} if made else {})
    return replace(receipt, config_hash="", fingerprint="", notes=notes)

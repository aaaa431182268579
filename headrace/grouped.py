"""Days of a step whose groups were built each by an application of its own: put together without reading a row."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

from headrace.config import Config
from headrace.freshness import asked_receipt, done
from headrace.inputs import Known
from headrace.parts import seen_by
from headrace.receipt import STARTED, Receipt
from headrace.receipts import kept_receipts

__all__ = ["done_by_whole", "joined_receipts"]


def done_by_whole(config: Config, job: str, days: Iterable[date]) -> set[date]:
    """Days that stand by the receipt of the whole step, where the configuration is of one group: nothing is left to build."""
    if config.group is None:
        return set()
    known = _known(config.whole, kept_receipts(config))
    return {day for day in days if done(known, asked_receipt(known, job, day))}


def joined_receipts(
    config: Config, job: str, days: Iterable[date], *, own: Collection[tuple[date, int]] = ()
) -> dict[date, Receipt]:
    """The step's receipts of those days all of whose groups stand by receipts of their own.

    They say what a build of all groups at once would have said. `own` are days and revisions of the join itself,
    which has STARTED.
    """
    kept = [r for r in kept_receipts(config) if r.job != job or r.status != STARTED or (r.ds, r.revision) not in own]
    views = [_known(config.for_group(name), kept) for name in config.features.groups]
    found = {}
    for day in days:
        if all(done(known, asked_receipt(known, job, day)) for known in views):
            found[day] = _joined([known.receipts[job, day] for known in views], config)
    return found


def _known(config: Config, kept: Iterable[Receipt]) -> Known:
    return Known(config, {key: r for key, r in seen_by(config, kept).items() if r.status != STARTED})


def _joined(receipts: Sequence[Receipt], config: Config) -> Receipt:
    first = receipts[0]
    return Receipt(
        first.job,
        first.ds,
        rows_in=first.rows_in,
        rows_out=first.rows_out,
        outputs={name: text for receipt in receipts for name, text in receipt.outputs.items()},
        versions={name: text for receipt in receipts for name, text in receipt.versions.items()},
        notes=_notes(receipts, config),
    )


def _notes(receipts: Sequence[Receipt], config: Config) -> dict[str, str]:
    """Rows of every table as they are; what a note says of groups, for all of them."""
    notes = {key: text for r in receipts for key, text in r.notes.items() if key.endswith(".rows")}
    if any("made_of" in r.notes for r in receipts):
        made = [json.loads(r.notes.get("made_of", "{}")) for r in receipts]
        notes["made_of"] = json.dumps({name: digest for one in made for name, digest in one.items()})
    lacking = sorted({day for r in receipts for day in r.notes.get("days_lacking", "").split()})
    return notes | _named({"days_lacking": lacking, "metrics_without_events": _idle(receipts, config)})


def _named(lists: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {key: " ".join(listed) for key, listed in lists.items() if listed}


def _idle(receipts: Sequence[Receipt], config: Config) -> list[str]:
    """Metrics that met no event in any group that uses them."""
    used = [config.features.groups[name].metric_names for name in config.features.groups]
    idle = [set(r.notes.get("metrics_without_events", "").split()) for r in receipts]
    seen = {m for own, without in zip(used, idle, strict=True) for m in own if m not in without}
    return sorted({m for without in idle for m in without} - seen)

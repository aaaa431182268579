"""Whether a day of a step stands as it would be built now, and if not, why: from receipts alone, without Spark."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import date

from headrace import __version__
from headrace.inputs import INPUTS, Known
from headrace.receipts import REFUSED, Receipt

__all__ = ["asked_receipt", "done", "grouped", "why_not_done"]

_DONE = ("done", "published")


def asked_receipt(known: Known, job: str, day: date) -> Receipt:
    """What a receipt of the day would say now of inputs, configuration and code."""
    inputs = INPUTS[job](known, day)
    config_hash = known.hashes[job]
    text = json.dumps([job, str(day), inputs, config_hash, __version__], sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Receipt(job, day, fingerprint=fingerprint, inputs=inputs, config_hash=config_hash)


def done(known: Known, asked: Receipt) -> bool:
    """Whether the day was built from the same inputs, by the same configuration and code."""
    before = known.receipts.get((asked.job, asked.ds))
    return before is not None and before.status in _DONE and before.fingerprint == asked.fingerprint


def why_not_done(known: Known, asked: Receipt) -> str:
    """The reason to build a day, in words; the empty string where it is done."""
    before = known.receipts.get((asked.job, asked.ds))
    if done(known, asked):
        return ""
    if before is None:
        return "not built"
    if before.status == REFUSED:
        return f"refused: {before.notes.get('refused', 'by a gate')}"
    if before.status not in _DONE:
        return before.status
    reasons = [f"{name} {change}" for name, change in _changes(before.inputs, asked.inputs).items()]
    if before.config_hash != asked.config_hash:
        reasons.append("configuration changed")
    if before.code_version != asked.code_version:
        reasons.append(f"headrace {before.code_version} made it")
    return ", ".join(reasons)


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Inputs that differ, without their days: what changed is one thing, however many days it reaches."""
    found = {}
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            kind = "new" if name not in before else "gone" if name not in now else "changed"
            found[re.sub(r"/ds[=<].*", "", name)] = kind
    return found


def grouped(reasons: Mapping[date, str]) -> dict[str, list[date]]:
    """Days by reason, in the order in which reasons first appear."""
    found: dict[str, list[date]] = {}
    for day, reason in sorted(reasons.items()):
        found.setdefault(reason, []).append(day)
    return found

"""How the model report writes numbers, and what it says of a head in a word."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from reports.page_text import number
from trainer.reporting import TaskReport, WatchReport

__all__ = [
    "WITHIN",
    "WITHIN_WATCH",
    "entropy",
    "fixed",
    "head_word",
    "known",
    "signed",
    "slug",
    "told_interval",
    "watch_word",
]

WITHIN, WITHIN_WATCH = 0.02, 0.03
"""How far predicted / actual may be from 1, for probabilities and for seconds watched."""

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


def fixed(value: float | None, digits: int = 4) -> str:
    """A number with so many decimals; "no data" for None and NaN.

    >>> fixed(0.99951, 3), fixed(float("nan"))
    ('1.000', 'no data')
    """
    return "no data" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """A change to three digits with its sign; "no data" for None and NaN.

    >>> signed(0.00123456), signed(-2e-05), signed(0.0)
    ('+0.00123', '-0.00002', '0')
    """
    if value is None or not math.isfinite(value):
        return "no data"
    digits = min(max(2 - math.floor(math.log10(abs(value))), 0), 5) if value else 0
    text = f"{value:+.{digits}f}"
    return "0" if not float(text) else text


def told_interval(value: float, *, low: float, high: float) -> str:
    """A measured number with its 95 % interval."""
    return f"{number(value)} ({number(low)} to {number(high)})"


def known(write: Callable[..., str]) -> Callable[..., str]:
    """A way to write numbers that takes NaN and infinity for None."""

    @wraps(write)
    def _written(value: float | None, **options: Any) -> str:
        return write(value if value is None or math.isfinite(value) else None, **options)

    return _written


def slug(text: str) -> str:
    """A text as a part of a file's name or an id."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in text)[:40]


def entropy(rate: float) -> float | None:
    """Nats of a label that is 1 with this probability: the log loss of always saying the base rate; None where it is sure."""
    if not 0 < rate < 1:
        return None
    return -(rate * math.log(rate) + (1 - rate) * math.log1p(-rate))


def head_word(task: TaskReport) -> dict[str, Any]:
    """What there is to say of a probability in a word, and whether it is good, bad or neither ("wait").

    A head that is more than 2 % off is bad only where chance does not explain it: the error of the actual mean follows from
    the intervals of the deciles, which part the rows.
    """
    found = task.calibrated_traffic
    if not found.rows or math.isnan(found.pcoc):
        return {"word": "not judged: no positives", "state": "wait", "off": True}
    if found.normalised_entropy >= 1:
        return {"word": "no better than the base rate", "state": "bad", "off": True}
    if abs(found.pcoc - 1) <= WITHIN:
        return {"word": "calibrated", "state": "good", "off": False}
    if abs(found.pcoc - 1) * found.rate <= _Z * _error(task):
        return {"word": f"within chance, more than {WITHIN:.0%} off", "state": "wait", "off": False}
    return {"word": "predicts too much" if found.pcoc > 1 else "predicts too little", "state": "bad", "off": True}


def _error(task: TaskReport) -> float:
    """Standard error of the actual mean, from the 95 % intervals of the deciles."""
    total = sum(part.weight for part in task.bins)
    squares = ((part.weight / total * (part.high - part.low) / (2 * _Z)) ** 2 for part in task.bins if part.weight > 0)
    return math.sqrt(sum(squares)) if total > 0 else math.inf


def watch_word(watch: WatchReport, *, unweighted: bool) -> dict[str, Any]:
    """The same of seconds watched; the bias of the unweighted head is known, and said."""
    ratio = watch.traffic.mean_ratio
    if math.isnan(ratio):
        return {"word": "not judged: nothing watched", "state": "wait", "off": True}
    if abs(ratio - 1) <= WITHIN_WATCH:
        return {"word": "calibrated", "state": "good", "off": False}
    if unweighted and ratio < 1:
        return {"word": "too little, as an unweighted head does", "state": "wait", "off": True}
    return {"word": "predicts too much" if ratio > 1 else "predicts too little", "state": "bad", "off": True}

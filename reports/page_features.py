"""Features as the page lists them: who they are, how they stand on the last day, and their row of the heat map."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

from reports.page_delta import Row
from reports.page_text import cell_text, shown, texts_of
from reports.page_worse import ByDay, Change
from reports.read import STATES

__all__ = ["blame_texts", "choices", "feature_group", "feature_list", "heat_cell", "line_of", "link", "shares_of"]

Facts = Mapping[str, Mapping[str, Any]]

_EDGES = (0.99, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2)
_STATISTIC = re.compile(r"^(user|item|author)(_by)?_.*(_\d+[a-z]+|_recency_s)$")
_WINDOW = re.compile(r"_(\d+[smhdw]|lifetime)$")


def feature_group(feature: str) -> str:
    """Group guessed from a generated name, where the configuration is not at hand: a coarse one."""
    match = _STATISTIC.match(feature)
    if match:
        return f"{match[1]} by segment" if match[2] else f"{match[1]} statistics"
    prefix = feature.split("_")[0]
    return f"{prefix} profile" if prefix in ("user", "item") else "context"


def link(text: str) -> str:
    """Fragment that opens a feature's page; `text` is its text on the page."""
    return f"#feature={quote(text, safe='')}"


def blame_texts(facts: Facts) -> dict[str, str]:
    """Feature to the input that fell with it, in words, of those that have one."""
    blamed = {name: known.get("blame") or {} for name, known in facts.items()}
    found = {name: blame.get("text") for name, blame in blamed.items() if blame.get("input")}
    return {name: shown(str(text)) for name, text in found.items() if text}


def feature_list(
    days: ByDay, changes: Mapping[str, Change], *, last: date, facts: Facts, others: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Every feature that is declared or has rows, declared ones first and in their order, the others by name.

    Parameters
    ----------
    facts : feature to what is known of it (reports/facts.py); what is missing is guessed from the name
    others : features that have rows elsewhere only

    Returns
    -------
    dicts of name (as the table has it), text (to show, unique), href, group, entity, window, change (Change), row (of the last
    day or None), shares (by state, or None)
    """
    seen = {name for rows in days.values() for name in rows} | set(others)
    names = [*facts, *sorted(seen - facts.keys())]
    rows = days.get(last, {})
    return [
        {"name": name, "text": text, "href": link(text), "change": changes[name], "row": rows.get(name)}
        | _belongs(name, facts.get(name, {}))
        | {"shares": shares_of(rows.get(name))}
        for name, text in zip(names, texts_of(names), strict=True)
    ]


def _belongs(name: str, known: Mapping[str, Any]) -> dict[str, str]:
    """Group, entity and window: as declared, else guessed; "none" where there is none."""
    match, window = _STATISTIC.match(name), _WINDOW.search(name)
    guessed = {"entity": match[1] if match else None, "window": window[1] if window else None}
    if known:
        guessed = {key: known.get(key, value) for key, value in guessed.items()}
    group = known.get("source") or known.get("group") or feature_group(name)
    return {"group": shown(str(group))} | {key: shown(str(value or "none")) for key, value in guessed.items()}


def shares_of(row: Row | None) -> dict[str, float] | None:
    """State to its share of the traffic; None without data."""
    if row is None or not row["weight"]:
        return None
    return {state: float(row[f"weight_{state}"] or 0.0) / float(row["weight"]) for state in STATES}


def heat_cell(row: Row | None) -> tuple[str, str]:
    """Level ("0" is 99 to 100 %, "7" below 20, "n" no data) and text of a cell of the heat map."""
    share = row["coverage"] if row else None
    return "n" if share is None else str(sum(share < edge for edge in _EDGES)), cell_text(share)


def line_of(shares: Sequence[float | None]) -> dict[str, Any] | None:
    """A line over a box of 100 x 100, which stands until the script draws the chart; None where no day has a share.

    Returns
    -------
    path: of an SVG, with a gap for each day without a share and a stub for a day alone; low, high: least and greatest share
    """
    known = [share for share in shares if share is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    step, height = 100 / max(len(shares), 1), (high - low) or 1.0
    parts = []
    for i, share in enumerate(shares):
        if share is not None:
            begins = i == 0 or shares[i - 1] is None
            parts.append(
                f"{'M' if begins else 'L'}{(i + 0.5) * step:.2f} {95 - 90 * (share - low) / height:.2f}"
                + "h.01" * begins
            )
    return {"path": "".join(parts), "low": low, "high": high}


def choices(features: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """Different values of group, entity or window, windows by their length."""
    return sorted({feature[key] for feature in features}, key=_length if key == "window" else None)


def _length(window: str) -> tuple[float, str]:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    match = re.fullmatch(r"(\d+)([smhdw])", window)
    return (int(match[1]) * units[match[2]] if match else float("inf"), window)

"""What users did: engagements drawn from the true probabilities, and the truth kept beside them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from simulation.behaviour import EXTRA_PLAYS, WATCH_SIGMA, Odds
from simulation.clock import HOUR_US, SECOND_US
from simulation.tables import ACTIONS, TRUTH
from simulation.traffic import Shown

__all__ = ["Engaged", "Responses", "draw_responses", "truth_rows"]

_SECOND_CLICK = 0.02  # share of clicks that are made again: statistics count them once (S19)
_HOURS_LATER = 0.05  # share of likes, collects and shares that come hours after the click


@dataclass(frozen=True)
class Engaged:
    """M engagements in the order of time: `row` numbers the impression in its chunk, `action` tables.ACTIONS."""

    row: np.ndarray
    action: np.ndarray
    value: np.ndarray
    event_us: np.ndarray


@dataclass(frozen=True)
class Responses:
    """What came of N impressions, each (N,): booleans, and `watch_s` with NaN for notes."""

    clicked: np.ndarray
    liked: np.ndarray
    collected: np.ndarray
    shared: np.ndarray
    watch_s: np.ndarray


def draw_responses(shown: Shown, true: Odds, *, rng: np.random.Generator) -> tuple[Responses, Engaged]:
    """Draw who clicks, then who likes, collects, shares and watches what was clicked."""
    n = len(shown.event_us)
    draws = rng.random((4, n))
    clicked = draws[0] < true.click
    given = {"like": true.like, "collect": true.collect, "share": true.share}
    done = {name: clicked & (draws[k] < given[name]) for k, name in enumerate(given, start=1)}
    rows = np.flatnonzero(clicked)
    click_us = np.zeros(n, dtype=np.int64)
    click_us[rows] = shown.event_us[rows] + (SECOND_US * (0.5 + rng.lognormal(1.2, 0.8, len(rows)))).astype(np.int64)
    again = rows[rng.random(len(rows)) < _SECOND_CLICK]
    later_us = click_us[again] + rng.integers(60 * SECOND_US, HOUR_US // 2, len(again))
    parts = [_part("click", rows, event_us=click_us[rows]), _part("click", again, event_us=later_us)]
    for name, flags in done.items():
        chosen = np.flatnonzero(flags)
        parts.append(_part(name, chosen, event_us=click_us[chosen] + _afterthought(rng, len(chosen))))
    plays = _plays(rows[~np.isnan(true.play_s[rows])], true.play_s, click_us=click_us, rng=rng)
    parts.append(plays)
    watch_s = np.where(np.isnan(true.play_s), np.nan, np.bincount(plays.row, plays.value, minlength=n))
    return Responses(clicked, done["like"], done["collect"], done["share"], watch_s), _in_time_order(parts)


def _part(name: str, row: np.ndarray, *, event_us: np.ndarray) -> Engaged:
    return Engaged(row, np.full(len(row), ACTIONS.index(name), np.int8), np.full(len(row), np.nan), event_us)


def _in_time_order(parts: list[Engaged]) -> Engaged:
    event_us = np.concatenate([part.event_us for part in parts])
    order = np.argsort(event_us, kind="stable")
    row, action, value = (
        np.concatenate([getattr(part, name) for part in parts])[order] for name in ("row", "action", "value")
    )
    return Engaged(row, action, value, event_us[order])


def _afterthought(rng: np.random.Generator, count: int) -> np.ndarray:
    """Microseconds from a click to a like: mostly seconds, a few hours, never a day."""
    soon = np.minimum(rng.lognormal(3.0, 1.0, count), 3600.0)
    hours = rng.uniform(3600.0, 12 * 3600.0, count)
    seconds = np.where(rng.random(count) < _HOURS_LATER, hours, soon)
    return (seconds * SECOND_US).astype(np.int64) + 1


def _plays(videos: np.ndarray, play_s: np.ndarray, *, click_us: np.ndarray, rng: np.random.Generator) -> Engaged:
    """1 + Poisson plays of each clicked video, lognormal with mean `play_s`; each is logged when it ends."""
    count = 1 + rng.poisson(EXTRA_PLAYS, len(videos))
    row = np.repeat(videos, count)
    spread = np.exp(WATCH_SIGMA * rng.standard_normal(len(row)) - WATCH_SIGMA**2 / 2)
    value = np.maximum(np.round(play_s[row] * spread, 3), 0.001)  # players log milliseconds
    ends = np.cumsum((value * SECOND_US).astype(np.int64) + rng.integers(SECOND_US, 20 * SECOND_US, len(row)))
    first = np.cumsum(count) - count
    before = np.append(0, ends)[first]  # time used up by the videos that stand earlier in the array
    event_us = click_us[row] + ends - np.repeat(before, count)
    return Engaged(row, np.full(len(row), ACTIONS.index("watch"), np.int8), value, event_us)


def truth_rows(shown: Shown, true: Odds, *, happened: Responses) -> pa.Table:
    """One row per impression: unconditional probabilities, expected seconds, and what happened."""
    notes = np.isnan(true.play_s)
    columns = {
        "impression_id": shown.impression_id,
        "user_id": shown.user.astype(np.int64) + 1,
        "item_id": shown.item.astype(np.int64) + 1,
        "event_ts": pa.array(shown.event_us).cast(TRUTH.field("event_ts").type),
        "p_click": true.click,
        "p_like": true.click * true.like,
        "p_collect": true.click * true.collect,
        "p_share": true.click * true.share,
        "expected_watch_s": pa.array(true.click * true.play_s * (1 + EXTRA_PLAYS), mask=notes),
        "clicked": happened.clicked,
        "liked": happened.liked,
        "collected": happened.collected,
        "shared": happened.shared,
        "watch_s": pa.array(happened.watch_s, mask=notes),
    }
    return pa.Table.from_pydict(columns, schema=TRUTH)

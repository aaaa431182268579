"""Business days on the UTC clock, the daily and weekly rhythm in local time, and random generators by purpose."""

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from headrace.days import day_start, epoch_micros
from simulation.spec import WorldSpec

__all__ = [
    "DAY_US",
    "HOUR_US",
    "SECOND_US",
    "Clock",
    "DayShape",
    "day_shape",
    "generator",
    "landing_index",
    "make_clock",
]

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
_BIN_US = HOUR_US // 4  # every offset in use today is a multiple of a quarter of an hour

# Relative traffic per local hour 0..23: a trough before dawn, peaks at lunch and in the evening.
_HOURS = (34, 20, 12, 8, 7, 10, 20, 38, 52, 55, 56, 62, 74, 68, 58, 56, 60, 68, 80, 94, 108, 112, 94, 60)
_WEEKDAYS = (0.95, 0.93, 0.95, 0.98, 1.05, 1.10, 1.04)  # Monday first; the mean is 1


@dataclass(frozen=True)
class Clock:
    """Edges of the business days.

    Attributes
    ----------
    starts : int64 (days + 1,)
        UTC microseconds since 1970 of the first instant of each day, and of the one after the last.
    """

    starts: np.ndarray


@dataclass(frozen=True)
class DayShape:
    """Where the traffic of one day falls.

    Attributes
    ----------
    edges : int64 (B + 1,)
        UTC microseconds; quarters of an hour.
    cumulative : float64 (B + 1,)
        Share of the day's traffic before each edge.
    hours : int64 (B,)
        Local hour of each quarter.
    requests : int
        Requests on this day.
    """

    edges: np.ndarray
    cumulative: np.ndarray
    hours: np.ndarray
    requests: int


def generator(spec: WorldSpec, purpose: str, *at: int) -> np.random.Generator:
    """A stream of its own per seed, purpose and place (day, chunk), so that no draw shifts another."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([spec.seed, zlib.crc32(purpose.encode()), *at])))


def make_clock(spec: WorldSpec) -> Clock:
    """Edges of the spec's days in its timezone."""
    days = [spec.first_day + timedelta(days=n) for n in range(spec.days + 1)]
    return Clock(np.array([epoch_micros(day_start(day, spec.timezone)) for day in days], dtype=np.int64))


def day_shape(spec: WorldSpec, clock: Clock, *, day: int) -> DayShape:
    """Traffic of day number `day`, right also where the clocks change."""
    start, end = int(clock.starts[day]), int(clock.starts[day + 1])
    edges = np.append(np.arange(start, end, _BIN_US, dtype=np.int64), end)
    zone = ZoneInfo(spec.timezone)
    middles = (edges[:-1] + edges[1:]) // (2 * SECOND_US)
    hours = np.array([datetime.fromtimestamp(int(second), tz=zone).hour for second in middles])
    weights = np.array(_HOURS, dtype=np.float64)[hours] * np.diff(edges)
    cumulative = np.append(0.0, np.cumsum(weights) / weights.sum())
    weekday = (spec.first_day + timedelta(days=day)).weekday()
    requests = max(1, round(spec.impressions_per_day * _WEEKDAYS[weekday] / spec.request_size))
    return DayShape(edges, cumulative, hours, requests)


def landing_index(clock: Clock, arrival_us: np.ndarray) -> np.ndarray:
    """Number of the day in which each arrival lands, int16; the number of days where it is after the last."""
    return (np.searchsorted(clock.starts, arrival_us, side="right") - 1).astype(np.int16)

"""Who is shown what, and when: requests drawn from the rhythm of the day, items by fame, freshness and taste."""

from dataclasses import dataclass

import numpy as np

from simulation.clock import DAY_US, SECOND_US, DayShape
from simulation.population import Population
from simulation.spec import WorldSpec

__all__ = ["DayMarket", "Shown", "day_market", "draw_shown"]

_ID_STRIDE = 1_000_000_000  # ids a day: a day's ids depend on no other day
_TASTE_SLOTS = 0.5  # share of slots filled by the user's favourite categories, the rest by popularity alone
_REDRAWS = 24


@dataclass(frozen=True)
class Shown:
    """N impressions; `user`, `item` number entities, not ids; `hour` is local; times are UTC microseconds."""

    impression_id: np.ndarray
    request_id: np.ndarray
    request_us: np.ndarray
    event_us: np.ndarray
    user: np.ndarray
    item: np.ndarray
    position: np.ndarray
    scene: np.ndarray
    network: np.ndarray
    city: np.ndarray
    hour: np.ndarray


@dataclass(frozen=True)
class DayMarket:
    """Cumulative weights from which one day draws.

    `users` (U,) over users; `settled` how many of them, from the first, had registered before the day;
    `order` (I,) items sorted by category; `items` (I,) cumulative weight in that order; `bounds` (C + 1,) the
    cumulative weight at each category's edge.
    """

    users: np.ndarray
    settled: int
    order: np.ndarray
    items: np.ndarray
    bounds: np.ndarray


def day_market(world: Population, shape: DayShape, *, category: np.ndarray) -> DayMarket:
    """Weights of the day: users who exist by its end; items by fame x freshness at its middle."""
    start, end = int(shape.edges[0]), int(shape.edges[-1])
    users, items = world.users, world.items
    activity = np.where(users.registered_us < end, users.activity, 0.0)
    age_days = np.maximum((start + end) / 2 - items.publish_us, 0) / DAY_US
    weight = items.fame * (0.1 + np.exp(-age_days / 6.0)) * (items.publish_us < end)
    order = np.argsort(category, kind="stable")
    cumulative = np.cumsum(weight[order])
    edges = np.searchsorted(category[order], np.arange(world.users.taste.shape[1] + 1))
    return DayMarket(
        users=np.cumsum(activity),
        settled=int(np.count_nonzero(users.registered_us < start)),
        order=order,
        items=cumulative,
        bounds=np.append(0.0, cumulative)[edges],
    )


def draw_shown(
    spec: WorldSpec,
    world: Population,
    *,
    market: DayMarket,
    shape: DayShape,
    day: int,
    rows: tuple[int, int],
    rng: np.random.Generator,
) -> Shown:
    """Requests number rows[0] to rows[1] of the day, in the order of time, and what they showed."""
    (low, high), size = rows, spec.request_size
    count = high - low
    share = np.sort(low + rng.random(high - low) * (high - low)) / shape.requests
    request_us = np.interp(share, shape.cumulative, shape.edges.astype(np.float64)).astype(np.int64)
    request_us = np.clip(request_us, shape.edges[0], shape.edges[-1] - 1)
    hour = shape.hours[np.searchsorted(shape.edges, request_us, side="right") - 1]
    user = _draw_users(world, market, request_us=request_us, rng=rng)
    item = _draw_items(world, market, user=user, request_us=request_us, size=size, rng=rng)
    seconds = 0.3 + np.cumsum(rng.gamma(2.0, 0.9, (count, size)), axis=1)  # the page loads, then is scrolled
    number = np.arange(low, high, dtype=np.int64) + (day + 1) * _ID_STRIDE
    ids = (day + 1) * _ID_STRIDE + np.arange(low * size, high * size, dtype=np.int64)
    return Shown(
        impression_id=ids,
        request_id=np.repeat(number, size),
        request_us=np.repeat(request_us, size),
        event_us=(request_us[:, None] + (seconds * SECOND_US).astype(np.int64)).ravel(),
        user=np.repeat(user, size),
        item=item.ravel(),
        position=np.tile(np.arange(size, dtype=np.int32), count),
        scene=np.repeat(rng.choice(4, count, p=[0.7, 0.12, 0.1, 0.08]).astype(np.int8), size),
        network=np.repeat(_networks(hour, rng), size),
        city=np.repeat(np.where(rng.random(count) < 0.02, -1, world.users.city[user]), size),
        hour=np.repeat(hour, size),
    )


def _networks(hour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Wi-Fi at home, mobile by day: code per request, see tables.NETWORKS."""
    wifi = np.where((hour >= 8) & (hour < 19), 0.45, 0.75)
    draw = rng.random(len(hour))
    return np.where(draw < wifi, 0, np.where(draw < wifi + (1 - wifi) * 0.6, 1, 2)).astype(np.int8)


def _draw_users(
    world: Population, market: DayMarket, *, request_us: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """By activity; a request before its user registered goes to one who was there before the day."""
    draw = rng.random((2, len(request_us)))
    user = np.searchsorted(market.users, draw[0] * market.users[-1], side="right")
    early = world.users.registered_us[user] > request_us
    older = np.searchsorted(market.users, draw[1] * market.users[market.settled - 1], side="right")
    return np.where(early, np.minimum(older, market.settled - 1), user).astype(np.int32)


def _draw_items(
    world: Population,
    market: DayMarket,
    *,
    user: np.ndarray,
    request_us: np.ndarray,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Item numbers (R, S), none twice in a row and none before it was published."""
    shown = np.repeat(user, size).reshape(-1, size)
    item = _pick(world, market, user=shown.ravel(), rng=rng).reshape(shown.shape)
    for _ in range(_REDRAWS):
        rows = np.flatnonzero(_wrong(world, item, request_us=request_us).any(axis=1))
        if not len(rows):
            return item
        part = item[rows]
        wrong = _wrong(world, part, request_us=request_us[rows])
        part[wrong] = _pick(world, market, user=shown[rows][wrong], rng=rng)
        item[rows] = part
    for row in np.flatnonzero(
        _wrong(world, item, request_us=request_us).any(axis=1)
    ):  # few items, one of them very famous
        item[row] = rng.choice(np.flatnonzero(world.items.publish_us <= request_us[row]), size, replace=False)
    return item


def _pick(world: Population, market: DayMarket, *, user: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One item per entry of `user`: from a favourite category, or from all, by the day's weights."""
    draw = rng.random((3, len(user)))
    category = (world.users.favour[user] < draw[1][:, None]).sum(axis=1).clip(max=len(market.bounds) - 2)
    by_taste = draw[0] < _TASTE_SLOTS
    low = np.where(by_taste, market.bounds[category], 0.0)
    high = np.where(by_taste, market.bounds[category + 1], market.items[-1])
    at = np.searchsorted(market.items, low + draw[2] * (high - low), side="right")
    return market.order[np.minimum(at, len(market.order) - 1)].astype(np.int32)


def _wrong(world: Population, item: np.ndarray, *, request_us: np.ndarray) -> np.ndarray:
    """True (R, S) where an item repeats an earlier one of its row, or was not yet published."""
    order = np.argsort(item, axis=1, kind="stable")
    ordered = np.take_along_axis(item, order, axis=1)
    repeated = np.zeros(item.shape, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeated | (world.items.publish_us[item] > request_us[:, None])

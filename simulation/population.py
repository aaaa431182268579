"""Who lives in the world and what they like: users, items, authors, and the effects that join them.

Everything here is drawn once from the seed and never changes; what changes over time is in simulation.edits and,
for the quality of items, a function of time (simulation.behaviour). Memory grows with users and items, not with days.
"""

from dataclasses import dataclass

import numpy as np

from simulation.clock import DAY_US, Clock, generator
from simulation.spec import WorldSpec
from simulation.tables import AGE_BANDS, AGE_EDGES, CITIES

__all__ = ["Effects", "Items", "Population", "Users", "age_band", "make_population"]

LATENT = 6
_YEAR_US = 365 * DAY_US


@dataclass(frozen=True)
class Users:
    """U users, in the order of their ids; user number n has id 1 + n.

    `activity` is a relative number of requests; `registered_us` UTC microseconds; `gender` a code, -1 unknown;
    `taste` (U, C) the affinity per category; `favour` (U, C) the cumulative share of the categories a recommender
    would show; `latent` (U, K).
    """

    activity: np.ndarray
    registered_us: np.ndarray
    gender: np.ndarray
    age: np.ndarray
    device: np.ndarray
    os: np.ndarray
    city: np.ndarray
    taste: np.ndarray
    favour: np.ndarray
    latent: np.ndarray
    has_profile: np.ndarray


@dataclass(frozen=True)
class Items:
    """I items, in the order of their ids; item number n has id 1 + n.

    `fame` is the Zipf weight; `publish_us` UTC microseconds; `duration_s` NaN for notes; `quality` the lasting part
    of the quality, `swing`, `period_us`, `phase` (I, 2) its slow waves; `latent` (I, K).
    """

    fame: np.ndarray
    publish_us: np.ndarray
    author: np.ndarray
    category: np.ndarray
    video: np.ndarray
    duration_s: np.ndarray
    quality: np.ndarray
    swing: np.ndarray
    period_us: np.ndarray
    phase: np.ndarray
    latent: np.ndarray
    has_profile: np.ndarray


@dataclass(frozen=True)
class Effects:
    """Log-odds that belong to no single user or item: author (A,), gender x category (3, C), age band x category."""

    author: np.ndarray
    gender: np.ndarray
    age: np.ndarray


@dataclass(frozen=True)
class Population:
    """Users, items and effects of one world."""

    users: Users
    items: Items
    effects: Effects


def age_band(age: np.ndarray) -> np.ndarray:
    """Code of the band of each age in years, see tables.AGE_BANDS."""
    return np.searchsorted(np.array(AGE_EDGES), age, side="right").astype(np.int8)


def make_population(spec: WorldSpec, clock: Clock) -> Population:
    """Draw users, items and effects from the seed."""
    rng = generator(spec, "effects")
    effects = Effects(
        author=rng.normal(0, 1, spec.authors).astype(np.float32),
        # The last row is the unknown gender: it has no effect.
        gender=np.vstack([rng.normal(0, 0.4, (2, spec.categories)), np.zeros((1, spec.categories))]).astype(np.float32),
        age=rng.normal(0, 0.25, (len(AGE_BANDS), spec.categories)).astype(np.float32),
    )
    return Population(_users(spec, clock), _items(spec, clock), effects)


def _births(rng: np.random.Generator, clock: Clock, *, count: int, new: int, old_age_us: np.ndarray) -> np.ndarray:
    """Moments of birth: `new` of them, at the end of the numbering, spread over the days, the others before."""
    first, last = int(clock.starts[0]), int(clock.starts[-1])
    old = first - DAY_US // 24 - old_age_us[: count - new].astype(np.int64)
    fresh = np.sort(rng.integers(first, last, new))
    return np.concatenate([old, fresh])


def _users(spec: WorldSpec, clock: Clock) -> Users:
    rng = generator(spec, "users")
    n, new = spec.users, int(spec.users * spec.new_user_share)
    taste = rng.standard_normal((n, spec.categories), dtype=np.float32)
    liking = np.cumsum(np.exp(taste), axis=1)
    device = rng.choice(3, n, p=[0.8, 0.08, 0.12]).astype(np.int8)
    mobile_os = (rng.random(n) < 0.4).astype(np.int8)
    return Users(
        activity=rng.lognormal(0, 1.1, n),
        registered_us=_births(rng, clock, count=n, new=new, old_age_us=rng.random(n) * 2 * _YEAR_US),
        gender=rng.choice([0, 1, -1], n, p=[0.5, 0.42, 0.08]).astype(np.int8),
        age=np.clip(rng.gamma(9.0, 3.6, n), 13, 90).astype(np.int32),
        device=device,
        os=np.where(device == 2, 2, mobile_os).astype(np.int8),
        city=np.minimum(rng.geometric(0.18, n) - 1, len(CITIES) - 1).astype(np.int8),
        taste=taste,
        favour=liking / liking[:, -1:],
        latent=rng.standard_normal((n, LATENT), dtype=np.float32),
        has_profile=rng.random(n) >= spec.no_profile_share,
    )


def _items(spec: WorldSpec, clock: Clock) -> Items:
    rng = generator(spec, "items")
    n, new = spec.items, int(spec.items * spec.new_item_share)
    author = np.minimum((rng.random(n) ** 2 * spec.authors).astype(np.int32), spec.authors - 1)
    specialty = rng.integers(0, spec.categories, spec.authors)
    category = np.where(rng.random(n) < 0.7, specialty[author], rng.integers(0, spec.categories, n))
    video = rng.random(n) < spec.video_share
    duration = np.round(np.clip(rng.lognormal(3.5, 0.8, n), 3, 900), 1)
    return Items(
        fame=1.0 / (1.0 + rng.permutation(n)) ** 0.75,
        publish_us=_births(rng, clock, count=n, new=new, old_age_us=rng.exponential(15 * DAY_US, n)),
        author=author,
        category=category.astype(np.int32),
        video=video,
        duration_s=np.where(video, duration, np.nan),
        quality=rng.normal(0, 0.5, n).astype(np.float32),
        swing=rng.gamma(2.0, 0.15, (n, 2)).astype(np.float32),
        period_us=rng.uniform(4, 20, (n, 2)) * DAY_US,
        phase=rng.uniform(0, 2 * np.pi, (n, 2)),
        latent=rng.standard_normal((n, LATENT), dtype=np.float32),
        has_profile=rng.random(n) >= spec.no_profile_share,
    )

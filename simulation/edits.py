"""What changes from day to day: the age bands of some users, the categories of some items, scores measured anew.

A change takes effect at a moment of its own within the day; the truth follows it at once, and the new profile version
lands on the same day (simulation.profiles).
"""

from dataclasses import dataclass

import numpy as np

from simulation.clock import Clock, generator
from simulation.population import Population, age_band
from simulation.spec import WorldSpec

__all__ = ["Changing", "DayState", "first_state", "next_state"]

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Changing:
    """An attribute of N entities over one day: `before` until `since_us` (UTC microseconds, exclusive), `after` from then on."""

    before: np.ndarray
    after: np.ndarray
    since_us: np.ndarray

    def at(self, index: np.ndarray, when_us: np.ndarray) -> np.ndarray:
        """Value of the entities `index` at the moments `when_us`."""
        return np.where(when_us >= self.since_us[index], self.after[index], self.before[index])


@dataclass(frozen=True)
class DayState:
    """One day of all that changes; `age` is in years and moves with `age_band`; an unedited entity has since = never."""

    age: Changing
    age_band: Changing
    category: Changing

    @property
    def edited_users(self) -> np.ndarray:
        """Numbers of the users that get a new version today."""
        return np.flatnonzero(self.age.since_us != _NEVER)

    @property
    def edited_items(self) -> np.ndarray:
        """Numbers of the items that get a new version today."""
        return np.flatnonzero(self.category.since_us != _NEVER)


def first_state(world: Population) -> DayState:
    """The first day: nothing is edited, since the first versions land on it."""
    age, category = world.users.age, world.items.category
    return _state((age, age), (category, category), since=_idle(world))


def _idle(world: Population) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.full(len(world.users.age), _NEVER, dtype=np.int64),
        np.full(len(world.items.category), _NEVER, dtype=np.int64),
    )


def _state(
    age: tuple[np.ndarray, np.ndarray], category: tuple[np.ndarray, np.ndarray], *, since: tuple[np.ndarray, np.ndarray]
) -> DayState:
    """From (before, after) of both attributes and the moments of change of users and of items."""
    return DayState(
        age=Changing(*age, since[0]),
        age_band=Changing(age_band(age[0]), age_band(age[1]), since[0]),
        category=Changing(*category, since[1]),
    )


def next_state(spec: WorldSpec, world: Population, *, clock: Clock, day: int, last: DayState) -> DayState:
    """Edits of day number `day` upon yesterday's outcome; who is born today is not edited today."""
    rng = generator(spec, "edits", day)
    start, end = int(clock.starts[day]), int(clock.starts[day + 1])
    since_user, since_item = _idle(world)
    age, category = last.age.after, last.category.after
    new_age, new_category = age.copy(), category.copy()
    users = np.flatnonzero((rng.random(len(age)) < spec.user_edit_share) & (world.users.registered_us < start))
    since_user[users] = rng.integers(start, end, len(users))
    # Half have a birthday; the others correct what they once said.
    corrected = np.clip(rng.gamma(9.0, 3.6, len(users)), 13, 90).astype(np.int32)
    new_age[users] = np.where(rng.random(len(users)) < 0.5, age[users] + 1, corrected)
    items = np.flatnonzero((rng.random(len(category)) < spec.item_edit_share) & (world.items.publish_us < start))
    since_item[items] = rng.integers(start, end, len(items))
    # A fifth change their category; all are scored again.
    moved = rng.integers(0, spec.categories, len(items)).astype(category.dtype)
    new_category[items] = np.where(rng.random(len(items)) < 0.2, moved, category[items])
    return _state((age, new_age), (category, new_category), since=(since_user, since_item))

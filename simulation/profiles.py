"""Profile versions as they land: one row per key x valid_from, and now and then a repeat that sets valid_to.

The first versions of everyone who exists land on the first day; those of users and items born later, and new versions
of edited ones, on the day on which they become valid. Of an edited version half are closed by a repeat of their row
with valid_to set; the others stay open and are simply overtaken (S15).
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from simulation.behaviour import quality_at
from simulation.clock import Clock, generator
from simulation.edits import DayState
from simulation.population import Population, age_band
from simulation.spec import WorldSpec
from simulation.tables import AGE_BANDS, FORMATS, GENDERS, SCHEMAS, TAGS, words

__all__ = ["Standing", "first_standing", "profile_rows"]

_CLOSED = 0.5
_NO_SCORE, _NAN_SCORE = 0.03, 0.02  # shares of versions whose quality_score is null, or NaN


@dataclass
class Standing:
    """The latest version of each profile, changed in place day by day: when it began, and the score it carries.

    `score_kind` is 0 for a number, 1 for null, 2 for NaN.
    """

    user_from: np.ndarray
    item_from: np.ndarray
    score: np.ndarray
    score_kind: np.ndarray


def first_standing(spec: WorldSpec, world: Population, *, clock: Clock) -> Standing:
    """First versions: valid from registration or publication, items scored then or as the world begins."""
    when = np.maximum(world.items.publish_us, clock.starts[0])
    score, kind = _scores(world, np.arange(len(when)), when_us=when, rng=generator(spec, "scores"))
    return Standing(world.users.registered_us.copy(), world.items.publish_us.copy(), score, kind)


def _scores(
    world: Population, item: np.ndarray, *, when_us: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A noisy measurement of the quality of the moment, and whether it is there at all."""
    score = np.round(quality_at(world.items, item, when_us=when_us) + rng.normal(0, 0.3, len(item)), 4)
    draw = rng.random(len(item))
    kind = np.where(draw < _NO_SCORE, 1, np.where(draw < _NO_SCORE + _NAN_SCORE, 2, 0)).astype(np.int8)
    return score, kind


def profile_rows(
    spec: WorldSpec, world: Population, *, standing: Standing, clock: Clock, state: DayState, day: int
) -> dict[str, pa.Table]:
    """Rows of both profile tables that land on day number `day`; `standing` moves on."""
    rng = generator(spec, "profiles", day)
    users = _user_versions(world, standing, clock=clock, state=state, day=day, rng=rng)
    items = _item_versions(world, standing, clock=clock, state=state, day=day, rng=rng)
    return {"user_profile": users, "item_profile": items}


def _born(born_us: np.ndarray, has_profile: np.ndarray, *, clock: Clock, day: int) -> np.ndarray:
    low = clock.starts[day] if day else np.iinfo(np.int64).min
    return np.flatnonzero((born_us >= low) & (born_us < clock.starts[day + 1]) & has_profile)


def _closings(edited: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return edited[rng.random(len(edited)) < _CLOSED]


def _user_versions(
    world: Population, standing: Standing, *, clock: Clock, state: DayState, day: int, rng: np.random.Generator
) -> pa.Table:
    users = world.users
    edited = state.edited_users[users.has_profile[state.edited_users]]
    closed = _closings(edited, rng)
    closing = _user_rows(world, closed, start=standing.user_from, end=state.age.since_us, age=state.age.before)
    standing.user_from[edited] = state.age.since_us[edited]
    fresh = np.concatenate([_born(users.registered_us, users.has_profile, clock=clock, day=day), edited])
    versions = _user_rows(world, fresh, start=standing.user_from, end=None, age=state.age.after)
    return pa.concat_tables([versions, closing])


def _item_versions(
    world: Population, standing: Standing, *, clock: Clock, state: DayState, day: int, rng: np.random.Generator
) -> pa.Table:
    items, since = world.items, state.category.since_us
    edited = state.edited_items[items.has_profile[state.edited_items]]
    closed = _closings(edited, rng)
    closing = _item_rows(world, closed, standing=standing, end=since, category=state.category.before)
    standing.item_from[edited] = since[edited]
    score, kind = _scores(world, edited, when_us=since[edited], rng=rng)
    standing.score[edited], standing.score_kind[edited] = score, kind
    fresh = np.concatenate([_born(items.publish_us, items.has_profile, clock=clock, day=day), edited])
    versions = _item_rows(world, fresh, standing=standing, end=None, category=state.category.after)
    return pa.concat_tables([versions, closing])


def _table(name: str, columns: dict[str, object], *, closing: bool) -> pa.Table:
    schema = SCHEMAS[name]
    table = pa.table([pa.array(columns[f.name]).cast(f.type) for f in schema], schema=schema)
    tag = TAGS.index("closing" if closing else "good")
    return table.append_column("_tag", pa.array(np.full(table.num_rows, tag, dtype=np.int8)))


def _span(key: np.ndarray, start: np.ndarray, *, end: np.ndarray | None) -> dict[str, object]:
    valid_to = pa.nulls(len(key), pa.int64()) if end is None else pa.array(end[key])
    return {"valid_from": start[key], "valid_to": valid_to}


def _user_rows(
    world: Population, key: np.ndarray, *, start: np.ndarray, end: np.ndarray | None, age: np.ndarray
) -> pa.Table:
    columns = {
        "user_id": key.astype(np.int64) + 1,
        **_span(key, start, end=end),
        "gender": words(world.users.gender[key], GENDERS),
        "age": age[key],
        "age_band": words(age_band(age[key]), AGE_BANDS),
        "registered_ts": world.users.registered_us[key],
    }
    return _table("user_profile", columns, closing=end is not None)


def _item_rows(
    world: Population, key: np.ndarray, *, standing: Standing, end: np.ndarray | None, category: np.ndarray
) -> pa.Table:
    items, kind = world.items, standing.score_kind[key]
    score = np.where(kind == 2, np.nan, standing.score[key])
    columns = {
        "item_id": key.astype(np.int64) + 1,
        **_span(key, standing.item_from, end=end),
        "author_id": items.author[key].astype(np.int64) + 1,
        "category": words(category[key], tuple(f"category_{n:02d}" for n in range(world.effects.gender.shape[1]))),
        "format": words(items.video[key], FORMATS),
        "duration_s": pa.array(items.duration_s[key], mask=~items.video[key]),
        "publish_ts": items.publish_us[key],
        "quality_score": pa.array(score, mask=kind == 1),
    }
    return _table("item_profile", columns, closing=end is not None)

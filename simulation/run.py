"""simulate(): draws a world day by day, lands it, and keeps the truth beside it."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.errors import InputError
from simulation.behaviour import Intercepts, drivers, fit_intercepts, odds
from simulation.clock import Clock, day_shape, generator, make_clock
from simulation.dirt import draw_arrivals, soil
from simulation.edits import DayState, first_state, next_state
from simulation.files import FolderWriter, text_ids
from simulation.landing import LandingZone, day_name
from simulation.population import Population, make_population
from simulation.profiles import first_standing, profile_rows
from simulation.responses import Engaged, draw_responses, truth_rows
from simulation.spec import WorldSpec, WorldSummary
from simulation.tables import ACTIONS, CITIES, DEVICES, NETWORKS, OSES, PROFILES, SCENES, SCHEMAS, TRUTH, words
from simulation.tally import Tally
from simulation.traffic import Shown, day_market, draw_shown

__all__ = ["Progress", "simulate"]

Progress = Callable[[date, int, int, int], None]
CHUNK_IMPRESSIONS = 262_144  # about: a chunk is a whole number of requests; part of what decides the bytes


@dataclass(frozen=True)
class _World:
    """What every chunk needs and no chunk changes."""

    spec: WorldSpec
    clock: Clock
    people: Population
    fitted: Intercepts


def simulate(out: Path, *, spec: WorldSpec, progress: Progress | None = None, overwrite: bool = False) -> WorldSummary:
    """Build a synthetic world: <out>/landing, <out>/truth and <out>/world.json.

    The files appear all at once or not at all. The same spec gives the same bytes (on one build of numpy and pyarrow).

    Parameters
    ----------
    out : Path
        A folder that is absent or empty.
    progress : callable(day, done_days, total_days, rows), optional
        Called after each chunk; `done_days` counts finished days, `rows` the impressions drawn so far.
    overwrite : bool, default False
        Replace what is in `out`.

    Raises
    ------
    InputError
        `out` is not an empty folder and `overwrite` is not set.
    """
    out = Path(out)
    if not overwrite and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            str(out), found="a folder or file with content", wanted="an absent or empty folder",
            remedy="choose another folder, or pass overwrite",
        )  # fmt: skip
    partial = out.absolute().with_name(f".{out.absolute().name}.partial")
    _remove(partial)
    partial.mkdir(parents=True)
    try:
        summary = _build(partial, spec, progress=progress)
        (partial / "world.json").write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")
        _replace(partial, out.absolute())
    finally:
        _remove(partial)
    return summary


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _replace(new: Path, out: Path) -> None:
    """Move aside, rename, remove: a reader never sees a half-written folder."""
    old = out.with_name(f".{out.name}.replaced")
    _remove(old)
    if out.exists():
        out.rename(old)
    new.rename(out)
    _remove(old)


def _build(base: Path, spec: WorldSpec, *, progress: Progress | None) -> WorldSummary:
    clock = make_clock(spec)
    people = make_population(spec, clock)
    world = _World(spec, clock, people, _fit(spec, clock=clock, people=people))
    standing, state = first_standing(spec, people, clock=clock), first_state(people)
    zones = {name: LandingZone(spec, clock, table=name, base=base / "landing") for name in SCHEMAS}
    tally = Tally()
    for day in range(spec.days):
        state = next_state(spec, people, clock=clock, day=day, last=state) if day else state
        for zone in zones.values():
            zone.open_day(day)
        profiles = profile_rows(spec, people, standing=standing, clock=clock, state=state, day=day)
        for name in PROFILES:
            zones[name].add(soil(spec, profiles[name], table=name, rng=generator(spec, f"dirt {name}", day)))
        for last in _day(
            world, day, state=state, zones=zones, folder=base / "truth" / day_name(spec, day), tally=tally
        ):
            if progress is not None:
                progress(spec.first_day + timedelta(days=day), day + last, spec.days, tally.rows)
        for zone in zones.values():
            zone.close_day()
    return tally.summary(spec, {name: zone.summary() for name, zone in zones.items()})


def _fit(spec: WorldSpec, *, clock: Clock, people: Population) -> Intercepts:
    """Intercepts from a sample of the traffic of the middle day."""
    day, state = spec.days // 2, first_state(people)
    shape = day_shape(spec, clock, day=day)
    market = day_market(people, shape, category=state.category.before)
    sample = -(-40_000 // spec.request_size)
    wide = type(shape)(shape.edges, shape.cumulative, shape.hours, sample)
    shown = draw_shown(
        spec, people, market=market, shape=wide, day=day, rows=(0, sample), rng=generator(spec, "fit")
    )  # fmt: skip
    return fit_intercepts(drivers(people, shown, state=state))


def _day(
    world: _World, day: int, *, state: DayState, zones: dict[str, LandingZone], folder: Path, tally: Tally
) -> Iterator[bool]:
    """Draw one day in chunks of whole requests; yield after each whether it was the day's last."""
    spec = world.spec
    shape = day_shape(spec, world.clock, day=day)
    market = day_market(world.people, shape, category=state.category.before)
    step = max(1, CHUNK_IMPRESSIONS // spec.request_size)
    schema = text_ids(TRUTH.empty_table()).schema if spec.id_kind == "string" else TRUTH
    writer = FolderWriter(folder, schema, format="parquet", file_rows=spec.file_rows)
    for chunk, low in enumerate(range(0, shape.requests, step)):
        rows = (low, min(low + step, shape.requests))
        shown = draw_shown(
            spec, world.people, market=market, shape=shape, day=day, rows=rows,
            rng=generator(spec, "traffic", day, chunk),
        )  # fmt: skip
        truth = _chunk(world, shown, state=state, zones=zones, at=(day, chunk))
        tally.add(truth)
        writer.write(text_ids(truth) if spec.id_kind == "string" else truth)
        yield rows[1] == shape.requests
    writer.close()


def _chunk(
    world: _World, shown: Shown, *, state: DayState, zones: dict[str, LandingZone], at: tuple[int, int]
) -> pa.Table:
    """Land one chunk; return its truth."""
    spec = world.spec
    true = odds(drivers(world.people, shown, state=state), world.fitted)
    happened, engaged = draw_responses(shown, true, rng=generator(spec, "responses", *at))
    tables = {
        "impressions": _impressions(world, shown, at=at),
        "engagements": _engagements(world, shown, engaged=engaged, at=at),
    }
    for name, rows in tables.items():
        zones[name].add(soil(spec, rows, table=name, rng=generator(spec, f"dirt {name}", *at)))
    return truth_rows(shown, true, happened=happened)


def _landed(name: str, columns: dict[str, object], *, tag: np.ndarray) -> pa.Table:
    schema = SCHEMAS[name]
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in schema]
    return pa.table(arrays, schema=schema).append_column("_tag", pa.array(tag))


def _impressions(world: _World, shown: Shown, *, at: tuple[int, int]) -> pa.Table:
    users = world.people.users
    rng = generator(world.spec, "arrival impressions", *at)
    arrival_us, tag = draw_arrivals(world.spec, shown.event_us, rng=rng)
    columns = {
        "impression_id": shown.impression_id,
        "request_id": shown.request_id,
        "request_ts": shown.request_us,
        "user_id": shown.user.astype(np.int64) + 1,
        "item_id": shown.item.astype(np.int64) + 1,
        "event_ts": shown.event_us,
        "arrival_ts": arrival_us,
        "position": shown.position,
        "scene": words(shown.scene, SCENES),
        "device": words(users.device[shown.user], DEVICES),
        "os": words(users.os[shown.user], OSES),
        "network": words(shown.network, NETWORKS),
        "city": words(shown.city, CITIES),
    }
    return _landed("impressions", columns, tag=tag)


def _engagements(world: _World, shown: Shown, *, engaged: Engaged, at: tuple[int, int]) -> pa.Table:
    rng = generator(world.spec, "arrival engagements", *at)
    arrival_us, tag = draw_arrivals(world.spec, engaged.event_us, rng=rng)
    columns = {
        "impression_id": shown.impression_id[engaged.row],
        "user_id": shown.user[engaged.row].astype(np.int64) + 1,
        "item_id": shown.item[engaged.row].astype(np.int64) + 1,
        "action": words(engaged.action, ACTIONS),
        "value": pa.array(engaged.value, mask=np.isnan(engaged.value)),
        "event_ts": engaged.event_us,
        "arrival_ts": arrival_us,
    }
    return _landed("engagements", columns, tag=tag)

"""What of a day stands although the configuration changed: groups whose own declaration and input are as they were.

Receipts of `tiles` and `features` note what each group was made of, so that a group added later is built alone.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from headrace import __version__
from headrace.chain import inputs_of
from headrace.config import Config
from headrace.receipts import Receipt, latest_receipts

__all__ = ["MADE_OF", "kept_features", "kept_tiles", "made_of_features", "made_of_tiles"]

MADE_OF = "made_of"
_REST = "rest"


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def made_of_tiles(config: Config) -> dict[str, str]:
    """Group -> digest of all that its tiles depend on, input aside."""
    features, found = config.features, {}
    shared = [str(features.tile), config.timezone, config.profiles.model_dump(mode="json")]
    for name, group in features.groups.items():
        metrics = {m: features.metrics[m].model_dump(mode="json") for m in group.metric_names}
        own = group.model_dump(mode="json", exclude={"defaults", "tolerance"})
        found[name] = _digest([shared, metrics, own])
    return found


def made_of_features(config: Config) -> dict[str, str]:
    """Group, and "rest" for profiles and context -> digest of all that the columns depend on, input aside."""
    rest = config.model_dump(mode="json", include={"timezone", "country", "profiles", "context"})
    found = {_REST: _digest(rest)}
    for name, digest in made_of_tiles(config).items():
        group = config.features.groups[name]
        own = group.model_dump(mode="json", include={"defaults", "tolerance"})
        found[name] = _digest([digest, own, config.features.model_dump(mode="json", include={"defaults"})])
    return found


def kept_tiles(config: Config, days: Sequence[date]) -> set[str]:
    """Groups whose tiles of all these days are what a build would make."""
    wanted = made_of_tiles(config)
    return _kept(config, "tiles", days, wanted, _any_input)


def kept_features(config: Config, days: Sequence[date]) -> set[str]:
    """Groups whose columns of all these days are what a build would make; none where profiles or context changed too."""
    wanted = made_of_features(config)

    def concerns(name: str, table: str) -> bool:
        return not table.startswith("tiles_") or table.startswith(f"tiles_{name}/")

    kept = _kept(config, "features", days, wanted, concerns)
    return kept - {_REST} if _REST in kept else set()


def _any_input(_name: str, _table: str) -> bool:
    return True


def _kept(
    config: Config, job: str, days: Sequence[date], wanted: Mapping[str, str], concerns: Callable[[str, str], bool]
) -> set[str]:
    latest, now = latest_receipts(config), inputs_of(config, job, days)
    kept = set(wanted)
    for day in days:
        receipt = latest.get((job, day))
        if receipt is None or receipt.code_version != __version__:
            return set()
        noted = _noted(receipt)
        kept = {
            name
            for name in kept
            if noted.get(name) == wanted[name]
            and all(receipt.inputs.get(t) == h for t, h in now[day].items() if concerns(name, t))
        }
    return kept


def _noted(receipt: Receipt) -> dict[str, str]:
    return dict(json.loads(receipt.notes.get(MADE_OF, "{}")))

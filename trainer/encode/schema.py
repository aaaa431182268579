"""Whether a day's columns still are those that an encoder was fitted on."""

from collections.abc import Collection, Sequence

from trainer.encode.fields import Encoder
from trainer.published import FeatureSpec

__all__ = ["schema_changes"]


def schema_changes(encoder: Encoder, features: Sequence[FeatureSpec], *, present: Collection[str]) -> list[str]:
    """What stands in the way of encoding a day, in words; empty where nothing does.

    Parameters
    ----------
    encoder : Encoder
    features : declared features of the day
        Those that came later are no harm: the encoder does not look at them.
    present : names
        Columns of the day's table.
    """
    now = {f.name: (f.type, f.unit) for f in features}
    changed = [
        f"{name} is gone" if name not in now else f"{name} is {_said(*now[name])}, was {_said(kind, unit)}"
        for name, kind, unit in encoder.features
        if now.get(name) != (kind, unit)
    ]
    return changed + [f"{name} is no column" for name in encoder.columns if name not in present]


def _said(kind: str, unit: str) -> str:
    return f"{kind} [{unit}]" if unit else kind

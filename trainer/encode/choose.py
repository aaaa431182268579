"""Which column becomes what: by the exceptions of conf/model.yaml, and otherwise by the feature's declared type.

| column | becomes |
|---|---|
| user_id, item_id, author_id where there is one | hash |
| text; ints of the context (hour, weekday, position) | hash, at most 4096 buckets |
| BIGINT (counts), DOUBLE with unit s | number, of the logarithm |
| other numbers, booleans | number |
| lists, timestamps, dates, anything else | dropped |
"""

from collections.abc import Collection, Sequence

from headrace.config.coverage import matches
from headrace.config.training import Encoding
from headrace.errors import ConfigError
from trainer.encode.fields import Buckets, Category, Hash, Number, Side, Vocabulary
from trainer.published import FeatureSpec

__all__ = ["choose_fields"]

_WORD_BUCKETS = 4096  # words are few: categories, scenes, cities
_QUANTILES = 16  # buckets of a number, where the exception does not say how many
_IDS = {"user_id": "profile:user", "item_id": "profile:item", "author_id": "profile:item"}
_WHOLE = ("tinyint", "smallint", "int", "bigint")
_NUMBERS = ("float", "double", "boolean", *_WHOLE)  # and decimal(p,s)
_DEFAULTS = {kind: Encoding.model_validate({"features": ["*"], "as": kind}) for kind in ("hash", "number", "drop")}


def choose_fields(
    features: Sequence[FeatureSpec],
    *,
    present: Collection[str],
    rules: Sequence[Encoding] = (),
    hash_buckets: int,
) -> tuple[tuple[Category, ...], tuple[Number, ...]]:
    """Columns that are looked up and columns that are numbers, not fitted yet.

    Parameters
    ----------
    features : declared features of the day
    present : names
        Columns of the table: an id is used only where it is one of them.
    rules : exceptions; the first that fits a column's name holds
    hash_buckets : int >= 2
        Buckets of an id; other hashed columns get 4096 of them at most.

    Raises
    ------
    ConfigError
        A pattern fits no column, a column cannot be encoded as its rule says, or nothing is left to learn from.
    """
    ids = [FeatureSpec(name, "bigint", "", source) for name, source in _IDS.items() if name in present]
    columns = [*ids, *(f for f in features if f.name not in _IDS)]
    _refuse_idle([f.name for f in columns], rules)
    categories: list[Category] = []
    numbers: list[Number] = []
    for feature in columns:
        field = _field(feature, _rule(feature, rules), hash_buckets=hash_buckets)
        if isinstance(field, Number):
            numbers.append(field)
        elif field is not None:
            categories.append(field)
    if not categories and not numbers:
        raise _nothing(len(columns))
    return tuple(categories), tuple(numbers)


def _nothing(columns: int) -> ConfigError:
    return ConfigError(
        "train.encoders",
        found=f"none of {columns} columns is encoded: all are dropped",
        wanted="at least one that a model can learn from",
        remedy="drop fewer: narrow the patterns of the encoders with as: drop",
    )


def _refuse_idle(names: Sequence[str], rules: Sequence[Encoding]) -> None:
    """A pattern that fits nothing is a slip of the pen, or speaks of a feature that is no more."""
    idle = [p for rule in rules for p in rule.features if not any(matches(name, p) for name in names)]
    if idle:
        raise ConfigError(
            "train.encoders",
            found=f"{', '.join(map(repr, idle))}: fits none of {len(names)} columns",
            wanted="patterns that fit a feature or an id, such as " + ", ".join(names[:3]),
            remedy="mend or remove the pattern; the names are listed by: headrace features list",
        )


def _rule(feature: FeatureSpec, rules: Sequence[Encoding]) -> Encoding:
    for rule in rules:
        if any(matches(feature.name, pattern) for pattern in rule.features):
            _refuse_unfit(feature, rule.as_)
            return rule
    return _DEFAULTS[_default(feature)]


def _default(feature: FeatureSpec) -> str:
    if feature.name in _IDS or feature.type == "string" or (feature.type == "int" and feature.source == "context"):
        return "hash"
    return "number" if _is_number(feature) else "drop"


def _is_number(feature: FeatureSpec) -> bool:
    return feature.type in _NUMBERS or feature.type.startswith("decimal")


def _refuse_unfit(feature: FeatureSpec, kind: str) -> None:
    named = feature.type in (*_WHOLE, "boolean", "string")
    able = ["hash", "vocabulary"] * named
    able += ["buckets", "number"] * (_is_number(feature) and feature.name not in _IDS)
    if kind not in (*able, "drop"):
        raise ConfigError(
            "train.encoders",
            found=f"{feature.name} ({'an id' if feature.name in _IDS else feature.type}) as {kind}",
            wanted=" or ".join([*able, "drop"]),
            remedy="narrow the pattern, or put another encoding of this column before it",
        )


def _field(feature: FeatureSpec, rule: Encoding, *, hash_buckets: int) -> Category | Number | None:
    name, side = feature.name, _side(feature)
    if rule.as_ == "hash":
        usual = hash_buckets if name in _IDS else min(hash_buckets, _WORD_BUCKETS)
        return Hash(name, rule.buckets or usual, side=side)
    if rule.as_ == "vocabulary":
        return Vocabulary(name, min_count=rule.min_count, side=side)
    if rule.as_ == "buckets":
        return Buckets(name, rule.buckets or _QUANTILES, side=side)
    if rule.as_ == "drop":
        return None
    by_type = feature.type == "bigint" or (feature.type == "double" and feature.unit == "s")
    log = by_type if rule.log is None else rule.log
    return Number(name, log=log, standardise=rule.standardise, clip=rule.clip, missing=rule.missing, side=side)


def _side(feature: FeatureSpec) -> Side:
    """Whom a column is about. Statistics carry the entity, and the segment if any, in their generated names."""
    if feature.source == "profile:user":
        return "user"
    if feature.source == "profile:item":
        return "item"
    entity, _, rest = feature.name.partition("_")
    if not feature.source.startswith("group:") or rest.startswith("by_"):
        return "cross"
    sides: dict[str, Side] = {"user": "user", "item": "item", "author": "item"}
    return sides.get(entity, "cross")

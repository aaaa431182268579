"""The shape of conf/model.yaml: what a model learns, from which columns, and how its scores are put together."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from headrace.config.fusion import Fusion, TuneConfig

__all__ = ["Encoding", "HeadsConfig", "TrainConfig"]

Share = Annotated[float, Field(ge=0, lt=1)]
Above = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=2**30)]
Width = Annotated[int, Field(ge=1, le=2**14)]
Layers = tuple[Width, ...]
Segments = tuple[str, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Encoding(_Strict):
    """How the features that fit a pattern enter the model; what is left out follows from the declared type.

    Attributes
    ----------
    features : patterns with * and ?; the first encoding that fits a name holds
    as_ : hash, vocabulary, buckets, number, or drop
    buckets : of a hash, or quantile buckets of a number
    min_count : times a value must be met in the training days to get a row of its own in the vocabulary
    log, standardise : of a number; None: by its type
    clip : standard deviations (the value itself where it is not standardised); None: not cut
    missing : whether a number brings a second input that says that it is missing
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)

    features: Annotated[tuple[str, ...], Field(min_length=1)]
    as_: Annotated[Literal["hash", "vocabulary", "buckets", "number", "drop"], Field(alias="as")]
    buckets: Annotated[int, Field(ge=2)] | None = None
    min_count: Count = 1
    log: bool | None = None
    standardise: bool = True
    clip: Above | None = 6.0
    missing: bool = True


class HeadsConfig(_Strict):
    """What is predicted beside the actions that the days hold."""

    tasks: tuple[str, ...]
    watch: Literal["weighted", "unweighted"] | None
    completion: tuple[Literal["ratio", "completed"], ...]
    weights: dict[str, Above]
    uncertainty: bool


class TrainConfig(_Strict):
    """Everything the trainer takes from a configuration; conf/model.yaml documents each key."""

    days: Count
    epochs: Count
    batch_size: Annotated[int, Field(ge=2, le=2**24)]
    window_rows: Count
    workers: Annotated[int, Field(ge=1, le=256)]
    worker_kind: Literal["auto", "thread", "process"]
    model: Literal["shared_bottom", "mmoe", "ple", "two_tower", "three_tower"]
    embedding_dim: Width
    hash_buckets: Annotated[int, Field(ge=2, le=2**30)]
    experts: Annotated[int, Field(ge=1, le=256)]
    expert_layers: Annotated[Layers, Field(min_length=1)]
    tower_layers: Layers
    gate_dropout: Share
    dropout: Share
    learning_rate: Rate
    embedding_learning_rate: Rate
    embedding_optimiser: Literal["rowwise_adagrad", "adam"]
    weight_decay: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
    warmup_steps: Annotated[int, Field(ge=0)]
    decay: bool
    clip_norm: Above | None
    patience: Count | None
    weighted: bool | Literal["auto"]
    broken: Literal["refuse", "missing"]
    heads: HeadsConfig
    encoders: tuple[Encoding, ...]
    on_top: Literal["platt", "isotonic"] | None
    segments: Segments
    fusion: Fusion | None
    tune: TuneConfig | None
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    compile: bool
    checkpoint_batches: Count | None
    seed: int

    @model_validator(mode="after")
    def _parts_agree(self) -> "TrainConfig":
        if self.tune is not None and self.fusion is None:
            raise ValueError("tune: found a utility, wanted also a fusion whose weights are to be found")
        named = {*self.heads.tasks, "any_positive", "completed", "completion", "watch"}
        unknown = sorted(set(self.heads.weights) - named)
        if unknown:
            raise ValueError(f"heads.weights: found {unknown}, wanted some of {', '.join(sorted(named))}")
        twice = sorted({t for t in self.heads.tasks if self.heads.tasks.count(t) > 1})
        if twice or not self.heads.tasks:
            raise ValueError(f"heads.tasks: found {twice or 'none'}, wanted each action once, at least one")
        return self

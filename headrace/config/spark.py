"""Settings of the Spark session; secrets among them are references."""

from typing import Annotated

from pydantic import Field, model_validator

from headrace.config.strict import Strict
from headrace.secrets import is_reference, is_secret

__all__ = ["SparkConfig"]


class SparkConfig(Strict):
    """Session settings."""

    master: str | None
    partitions: Annotated[int, Field(ge=0)]
    shuffle_partitions: Annotated[int, Field(ge=1)]
    driver_memory: str
    measure: bool
    conf: dict[str, str]

    @model_validator(mode="after")
    def _no_secret_stands_open(self) -> "SparkConfig":
        open_ones = [key for key, value in self.conf.items() if is_secret(key) and not is_reference(key, value)]
        if open_ones:
            raise ValueError(
                f"conf: found the value of {open_ones[0]} written out, wanted env:NAME or file:PATH, which is looked up when Spark starts"
            )
        misspelt = [
            key for key, value in self.conf.items() if value.startswith("env:") and not is_reference(key, value)
        ]
        if misspelt:
            raise ValueError(f"conf: found no name of a variable right after env: in {misspelt[0]}, wanted env:NAME")
        return self

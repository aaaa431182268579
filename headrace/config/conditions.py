"""Conditions of a metric's `where`, read as data: `item.format = video`, `value > 10`, `impression.scene in [feed, search]`."""

import re
from dataclasses import dataclass
from typing import Literal

import yaml

__all__ = ["Condition", "parse_comparison", "parse_condition"]

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "in"]
Literal_ = str | int | float | bool
_OPERATOR = r"\s*(=|!=|<=|>=|<|>|\bin\b)\s*(\S.*)$"
_OF_EVENT = re.compile(r"^(value|(?:impression|user|item)\.[a-z][a-z0-9_]*)" + _OPERATOR)
_OF_ROW = re.compile(r"^([a-z][a-z0-9_]*)" + _OPERATOR)


@dataclass(frozen=True)
class Condition:
    """One comparison; a null on its left is never true, also of `!=`.

    Attributes
    ----------
    column : str
        `value`, or `<source>.<column>` with source impression, user or item.
    literals : tuple
        One value, or those of `in`.
    """

    column: str
    operator: Operator
    literals: tuple[Literal_, ...]

    @property
    def source(self) -> str:
        """`engagement` for the value, else impression, user or item."""
        return "engagement" if self.column == "value" else self.column.split(".")[0]

    @property
    def words(self) -> str:
        """The condition as a person would write it."""
        shown = str(list(self.literals)) if self.operator == "in" else repr(self.literals[0])
        return f"{self.column} {self.operator} {shown}"


def parse_condition(text: str | Condition) -> Condition:
    """Read one condition of a metric.

    Raises
    ------
    ValueError
        It has another shape, or its literal is neither a number nor a text, nor (for `in`) a list of them.
    """
    shapes = "'item.format = video', 'value > 10' or 'impression.scene in [feed, search]'"
    return text if isinstance(text, Condition) else _parse(text, shape=_OF_EVENT, examples=shapes)


def parse_comparison(text: str | Condition) -> Condition:
    """Read one condition on a column of a labelled row, such as `scene in [feed, search]`; raises as `parse_condition`."""
    shapes = "'positive = 0', 'position >= 10' or 'scene in [feed, search]'"
    return text if isinstance(text, Condition) else _parse(text, shape=_OF_ROW, examples=shapes)


def _parse(text: str, *, shape: re.Pattern[str], examples: str) -> Condition:
    match = shape.match(str(text).strip())
    if match is None:
        raise ValueError(f"found {text!r}, wanted <column> <operator> <value> such as {examples}")
    column, operator, written = match.groups()
    try:
        value = yaml.safe_load(written)
    except yaml.YAMLError:
        value = None
    values = tuple(value) if operator == "in" and isinstance(value, list) else (value,)
    if (operator == "in") != isinstance(value, list) or not values:
        raise ValueError(f"found {text!r}, wanted a list after `in`, and one value after any other operator")
    if not all(isinstance(v, str | int | float) for v in values):
        raise ValueError(f"found {text!r}, wanted numbers or texts to compare with")
    return Condition(column, operator, values)  # type: ignore[arg-type]

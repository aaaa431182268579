"""How the report writes names, shares and numbers for people, in the page and in the terminal."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

__all__ = ["brief", "cell_text", "count", "number", "percent", "points", "shown", "texts_of", "wrapping"]


def shown(value: str | None) -> str:
    """Text for people: null and the empty string become visible, control and direction characters too.

    >>> shown(None), shown(""), shown("a\\x00b")
    ('(null)', '(empty)', 'a\\\\x00b')
    """
    if value is None:
        return "(null)"
    if value and value.isprintable():  # most are: no need to look at every character
        return value
    return "".join(_visible(character) for character in value) or "(empty)"


def texts_of(values: Iterable[str | None]) -> list[str]:
    """`shown` of every value, different ones told apart: the page and its links know things by their text.

    >>> texts_of([None, "(null)", "a"])
    ['(null)', '(null) (2)', 'a']
    """
    seen: Counter[str] = Counter()
    texts = []
    for text in map(shown, values):
        seen[text] += 1
        texts.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
    return texts


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20 or 0x7F <= code < 0xA0:
        return f"\\x{code:02x}"
    if code in (0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF) or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
        return f"\\u{code:04x}"
    return character


def percent(share: float | None, *, digits: int = 1) -> str:
    """A share of 1 as a percentage that never rounds a gap away: 0.9999 is 99.9, not 100; null is "no data".

    >>> percent(0.9999), percent(1.0), percent(0.0001), percent(0.0), percent(None)
    ('99.9%', '100%', '<0.1%', '0%', 'no data')
    """
    if share is None:
        return "no data"
    if share in (0, 1):
        return f"{share:.0%}"
    least = 10.0**-digits
    if 0 < share * 100 < least:
        return f"<{least:g}%"
    rounded = round(share * 100, digits)
    return f"{100 - least if share < 1 and rounded >= 100 else rounded:.{digits}f}%"


def cell_text(share: float | None) -> str:
    """`percent` for a narrow cell: without the sign, a dash for no data."""
    return "\u2013" if share is None else percent(share).rstrip("%")


def points(change: float | None) -> str:
    """A change of a share in percentage points.

    >>> points(-0.0213), points(0.00001), points(None)
    ('-2.1 pp', '±0 pp', 'no data')
    """
    if change is None:
        return "no data"
    rounded = round(change * 100, 1)
    return f"{rounded:+.1f} pp" if rounded else "±0 pp"


def count(value: float | None) -> str:
    """A whole number with its thousands apart; null is "no data"."""
    return "no data" if value is None else f"{value:,.0f}"


def number(value: float | None) -> str:
    """A measured number to four digits; null is "no data".

    >>> number(1234567.0), number(0.25), number(None)
    ('1.235e+06', '0.25', 'no data')
    """
    return "no data" if value is None else f"{value:.4g}"


def brief(text: str, limit: int = 300) -> str:
    """Long notes cut, saying so."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters)"


def wrapping(text: str) -> Any:
    """Escaped text that may wrap after an underscore."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in text.split("_"))

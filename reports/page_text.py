"""How the report writes names and shares for people, in the page and in the terminal."""

__all__ = ["cell_text", "percent", "shown"]


def shown(value: str | None) -> str:
    """Text for people: null and the empty string become visible, control and direction characters too.

    >>> shown(None), shown(""), shown("a\\x00b")
    ('(null)', '(empty)', 'a\\\\x00b')
    """
    if value is None:
        return "(null)"
    return "".join(_visible(character) for character in value) or "(empty)"


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

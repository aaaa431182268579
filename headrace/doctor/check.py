"""One line of `headrace doctor`: what was looked at, how it stands, what was found and what to do."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from headrace.errors import HeadraceError

__all__ = ["Check", "fail", "guarded", "ok", "said", "unknown", "warn"]

_LONGEST = 300  # characters of an error that the table still shows well


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes
    ----------
    name : what was looked at
    state : ok; warn where work goes on but may disappoint; fail where it does not
    found : what was there
    remedy : what to do; empty where all is well
    """

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name, "ok", found)


def warn(name: str, found: str, remedy: str) -> Check:
    """Work goes on, but may disappoint."""
    return Check(name, "warn", found, remedy)


def fail(name: str, found: str, remedy: str) -> Check:
    """Work stops here."""
    return Check(name, "fail", found, remedy)


def unknown(name: str) -> Check:
    """What cannot be looked at without a configuration, which has a line of its own."""
    return warn(name, "skipped: no configuration to look with", "mend the configuration, then run doctor again")


def said(error: BaseException) -> str:
    """An error in one line, of a length that a table bears, without colours of its own."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split()) or "no message"
    return f"{type(error).__name__}: {text[:_LONGEST]}{' ...' if len(text) > _LONGEST else ''}"


def guarded(name: str, look: Callable[[], Iterable[Check]]) -> list[Check]:
    """The checks of `look`; one that breaks off becomes a failure of this name, and those before it stay."""
    made: list[Check] = []
    try:
        for check in look():
            made.append(check)
    except KeyboardInterrupt:
        raise
    except HeadraceError as error:
        made.append(fail(name, f"{error.what}: {error.found}", f"wanted {error.wanted}: {error.remedy}"))
    except ImportError as error:
        made.append(fail(name, said(error), "install Headrace's packages again: make setup, or pip install"))
    except OSError as error:  # also what pyarrow and deltalake say of a store
        made.append(
            fail(name, said(error), "see that it is there, and who may read it (a store: docs/deploy.md, Storage)")
        )
    except BaseException as error:  # pyspark ends the process where it is broken, and so may a library in Rust
        made.append(fail(name, said(error), "look at what it names; where that is well, report it as a bug"))
    return made

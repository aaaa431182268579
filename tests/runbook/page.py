"""docs/runbook.md as data: entries with slug, exit code and message pattern, and the commands that it names."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from headrace.cli import app

__all__ = ["COMMANDS", "ENTRIES", "Entry", "complaint"]

_PAGE = Path(__file__).parents[2] / "docs" / "runbook.md"
_ENTRY = re.compile(r"^### (\S+)\n```\nexit (\d)\n(.*?)\n```\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"`(headrace [^`]+)`|^    (headrace [^#\n]+)", re.MULTILINE)
_NAMES_ONLY = {"headrace unpublish", "headrace status", "headrace prune"}  # named in prose, not to be typed


@dataclass(frozen=True)
class Entry:
    """One message: `section` is the exit code of the heading that it stands under."""

    slug: str
    section: int
    exit_code: int
    pattern: str
    advice: str

    def fits(self, text: str) -> bool:
        """Whether a line of `text`, and those after it, are the pattern's."""
        lines = (".*".join(map(re.escape, line.split("…"))) for line in self.pattern.splitlines())
        return re.search("^" + r".*\n".join(lines), text, re.MULTILINE) is not None


def _entries(text: str) -> list[Entry]:
    found = []
    for section in re.split(r"^## Exit (?=\d$)", text, flags=re.MULTILINE)[1:]:
        for slug, code, pattern, advice in _ENTRY.findall(section):
            found.append(Entry(slug, int(section[0]), int(code), pattern, advice))
    return found


def complaint(command: str) -> str:
    """What is wrong with a command as it stands on the page: not there, no such option, one missing; empty if nothing."""
    words = shlex.split(command)[1:]
    found: Any = typer.main.get_command(app)
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]
    if words and getattr(found, "commands", None) is not None:
        return f"no command {words[0]}"
    given = {word for word in words if word.startswith("--")}
    known = {name: option for option in found.params for name in option.opts}
    lacking = [o.opts[0] for o in found.params if o.required and o.opts[0].startswith("--") and not given & {*o.opts}]
    lacking += ["--config"] if "--config" in known and "--config" not in given else []
    odd = sorted(given - known.keys())
    return f"no option {odd[0]}" if odd else f"without {lacking[0]}" if lacking else ""


_TEXT = _PAGE.read_text(encoding="utf-8")
ENTRIES = {entry.slug: entry for entry in _entries(_TEXT)}
_FOUND = {
    (quoted or line).strip() for quoted, line in _COMMAND.findall(re.sub(r"^```.*?^```", "", _TEXT, flags=re.M | re.S))
}
COMMANDS = sorted(_FOUND - _NAMES_ONLY)

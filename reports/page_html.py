"""What every page is made with: templates, inlined files and their hashes, and a write that is whole or not at all."""

import base64
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from headrace.errors import ConfigError
from headrace.shipped import shipped_folder
from reports.page_text import count, number, percent, points, shown, wrapping

__all__ = ["environment", "source_hash", "static_text", "written_beside"]

_HERE = shipped_folder("reports")


def environment() -> Any:
    """Jinja2 with autoescape, strict names and the page's filters; ConfigError where it is not installed."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise ConfigError(
            "report",
            found="Jinja2 is not installed",
            wanted="the extra `report`",
            remedy="pip install 'headrace[report]'",
        ) from None
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "sort_keys": True, "separators": (",", ":")}
    kept = (shown, percent, points, count, number, wrapping)
    environment.filters |= {function.__name__: function for function in kept}
    return environment


def static_text(name: str) -> str:
    """A file to place between tags as it stands, hence with the line ends that a browser hashes."""
    return (_HERE / "static" / name).read_text(encoding="utf-8").replace("\r\n", "\n").rstrip("\n") + "\n"


def source_hash(text: str) -> str:
    """CSP source of an inline element: base64 of SHA-256 over its content (CSP level 3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


@contextmanager
def written_beside(out: Path) -> Iterator[Path]:
    """A path beside `out` to write to, which takes its place where all went well and is gone otherwise."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(out)
    except OSError as error:
        found = error.strerror or str(error)
        raise ConfigError(str(out), found=found, wanted="a file that can be written", remedy="change --out") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)

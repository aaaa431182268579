"""One headless browser for the report's tests; without one they are skipped, and say what is missing."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright, whose own downloads are not needed."""
    driver = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'headrace[dev]'")
    if CHROMIUM is None:
        pytest.skip("no chromium on the path: apt-get install chromium")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; at the end, whatever the test did, nothing was asked of a network or written to the console."""
    contexts, found = [], list[str]()

    def _open(page: Path, fragment: str = "", *, width: int = 1300, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on(
            "request",
            lambda request: found.append(request.url) if not request.url.startswith(("file:", "blob:")) else None,
        )
        tab.on("console", lambda message: found.append(message.text))
        tab.on("pageerror", lambda error: found.append(str(error)))
        tab.goto(page.as_uri() + fragment)
        return tab

    yield _open
    for context in contexts:
        context.close()
    assert found == []


@pytest.fixture(scope="session")
def axe() -> str:
    """Source of axe-core, which runs in the page."""
    package = pytest.importorskip("axe_playwright_python", reason="no axe-core: pip install 'headrace[dev]'")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")

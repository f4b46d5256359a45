"""A headless Chromium for pages, and the findings that unit tests are made with."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")  # its event loop would be in the way of other tests
def browser() -> "Iterator[Browser]":
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra [dev])")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: `apt-get install chromium` brings it")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )  # root has no sandbox; the page is ours
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser: "Browser", tmp_path: Path) -> "Iterator[Callable[..., Page]]":
    """Opens a page of its own; at the end nothing may have been complained of, or asked of anybody."""
    complaints: list[str] = []
    requests: list[str] = []
    pages: list[Page] = []

    def shown(html: str, *, width: int = 1280, **options: Any) -> "Page":
        file = tmp_path / f"report {len(pages)}.html"
        file.write_text(html, encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900}, reduced_motion="reduce", **options)
        pages.append(page)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        return page

    yield shown
    for page in pages:
        page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("data:image/png", "file:"))] == []
    assert sum(url.startswith("file:") for url in requests) == len(pages)

"""A headless Chromium of this machine, driven by Playwright; nothing is downloaded."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
WORDS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def executable() -> str | None:
    """The browser that TRILEMMA_CHROMIUM names, or the first of the usual ones that is there."""
    named = os.environ.get("TRILEMMA_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A running browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=executable(), args=list(WORDS))
        try:
            yield running
        finally:
            running.close()


def window(running: Any) -> Any:
    """A window of a browser, which takes a second where another tab takes a third of one."""
    return running.new_context(accept_downloads=True)


def opened(running: Any, path: Path, hash: str = "") -> Any:
    """A page from disk in a window of its own."""
    return tab(window(running), path, hash)


def tab(
    context: Any, path: Path, hash: str = "", *, width: int = 1280, height: int = 800, scheme: str = "light"
) -> Any:
    """A page from disk in a window; its ``complaints`` are all that its console and its requests say."""
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (page.complaints.append(dialog.message), dialog.dismiss()))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:", "blob:")) else page.complaints.append(request.url)
        ),
    )
    page.goto(f"{path.resolve().as_uri()}{hash}")
    return page

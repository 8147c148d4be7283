"""A real headless Chromium, with its console and its network looked at."""

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="no chromium with a chromedriver: apt-get install chromium-driver"
)
Page = webdriver.Chrome


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A Chromium with an empty profile in the folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    page = webdriver.Chrome(options, Service(DRIVER))
    try:
        yield page
    finally:
        page.quit()


def opened(page: Page, file: Path, *, width: int = 1280, dark: bool = False, drawn: bool = True) -> None:
    """Open a file at this width of the viewport, in light or dark; wait for all charts if ``drawn``."""
    look(page, width=width, dark=dark)
    page.get(file.as_uri())
    if drawn:
        until(lambda: value(page, "document.documentElement.classList.contains('all-drawn')"))


def look(page: Page, *, width: int = 1280, height: int = 900, dark: bool = False, media: str = "screen") -> None:
    """Size of the viewport, colour scheme and medium."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})


def value(page: Page, expression: str, *arguments: object) -> Any:
    """What a JavaScript expression gives."""
    return page.execute_script(f"return ({expression})", *arguments)


def until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What ``holds`` gives once it is true; fails after some time."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "the page did not come to this"
        time.sleep(0.02)
    return found


def complaints(page: Page, *levels: str) -> list[str]:
    """What the console says since the last call: errors (SEVERE), and warnings too if no levels are named."""
    return [entry["message"] for entry in _log(page, "browser") if entry["level"] in (levels or ("WARNING", "SEVERE"))]


def requests(page: Page) -> list[str]:
    """The addresses asked for since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in _log(page, "performance")]
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


def _log(page: Page, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.get_log(name)  # type: ignore[no-untyped-call]
    return found


def picture(page: Page, file: Path) -> None:
    """The whole page as PNG."""
    shot = page.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
    file.write_bytes(base64.b64decode(shot["data"]))

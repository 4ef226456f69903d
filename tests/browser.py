"""Chromium for the tests of pages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium or its driver is not on this machine")

SECONDS = 120  # that a busy machine may take
FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync --window-size=1280,1000"""
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}

Value = TypeVar("Value")


@contextmanager
def chromium(profile: Path, *flags: str, logs: Iterable[str] = ()) -> Iterator[Chrome]:
    """Yield a browser with a folder for its profile. It keeps the log of its console, and others by their names."""
    options = ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={profile}", *flags]:
        options.add_argument(flag)
    options.binary_location = CHROMIUM or ""
    options.set_capability("goog:loggingPrefs", dict.fromkeys(("browser", *logs), "ALL"))
    driver = Chrome(options, Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page in a browser."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self.url = ""
        self.fails_on_purpose = False  # so that the browser may log requests that failed

    def open(self, url: str) -> None:
        """Open the page as for the first time."""
        self.url = url
        self.driver.get(url)
        self.run("localStorage.clear()")
        self.reload()

    def reload(self) -> None:
        """Load the page again."""
        self.driver.get(self.url)
        self.wait(lambda: self.find("#source-language").get_attribute("value"))

    def run(self, script: str, *values: object) -> Any:  # noqa: ANN401 (a value of JavaScript)
        """Run a script, and return what it returns or what its promise resolves to."""
        return self.driver.execute_script(f"return (async () => {{ {script} }})()", *values)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """Return the text that a person sees."""
        return self.find(selector).text

    def texts(self, selector: str) -> list[str]:
        """Return the texts of elements, seen or not."""
        found: list[str] = self.run(
            f"return [...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)"
        )
        return found

    def wait(self, condition: Callable[[], Value]) -> Value:
        """Wait until a condition is true, and return its value."""
        wait = WebDriverWait(self.driver, SECONDS, ignored_exceptions=[StaleElementReferenceException])
        return wait.until(lambda _: condition())

    def wait_for(self, selector: str, text: str) -> None:
        """Wait until an element shows a text."""
        self.wait(lambda: self.text(selector) == text)

    def type(self, text: str) -> None:
        self.find("#source").send_keys(text)

    def languages(self, source: str, target: str) -> None:
        """Choose languages by their codes."""
        for name, code in (("source", source), ("target", target)):
            Select(self.find(f"#{name}-language")).select_by_value(code)

    def options(self, name: str) -> list[str]:
        """Return the codes that a select element offers."""
        found = Select(self.find(f"#{name}-language")).options
        return [str(option.get_attribute("value")) for option in found]

    def press(self, *keys: str) -> None:
        """Press keys at once, wherever the focus is."""
        chain = ActionChains(self.driver)
        for key in keys:
            chain.key_down(key)
        for key in reversed(keys):
            chain.key_up(key)
        chain.perform()

    def hover(self, element: WebElement, x: int = 0, y: int = 0) -> None:
        """Move the pointer to an element: to its centre, or to an offset from it."""
        ActionChains(self.driver).move_to_element_with_offset(element, x, y).perform()

    def lit(self, box: str) -> list[int]:
        """Return the numbers of the words that are lit in a box."""
        script = "return [...document.querySelectorAll(`${arguments[0]} .word`)].map((word) => word.matches('.lit'))"
        return [i for i, is_lit in enumerate(self.run(script, box)) if is_lit]

    @contextmanager
    def on_phone(self) -> Iterator[None]:
        """Give the window the size of a phone's."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

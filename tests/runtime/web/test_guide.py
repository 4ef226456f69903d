"""The programs of docs/browser.md, which use the npm package."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

import browser
from copying import METADATA, file_of
from hosting import hosting
from tiny import ROOT

PACKAGE = ROOT / "runtime" / "web"
NODE_MODULES = ROOT / "tests" / "web" / "node_modules"
PAGE = (ROOT / "docs" / "browser.md").read_text("utf-8")
TEXT = "Open the file."  # which all programs translate

pytestmark = pytest.mark.skipif(
    not (NODE_MODULES / "onnxruntime-web").exists(),
    reason="onnxruntime-web is not installed; run make tests/web/node_modules/.installed",
)


def blocks(heading: str, language: str) -> list[str]:
    """Return the code blocks in one language under a heading."""
    (section,) = [part for part in re.split(r"^### ", PAGE, flags=re.MULTILINE) if part.startswith(f"{heading}\n")]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the model that the programs use. It copies its source."""
    file_of(tmp_path / "en-de.onnx", replace(METADATA, target_language="de"))
    return tmp_path


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Return a browser."""
    with browser.chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
def test_the_program_for_node(folder: Path) -> None:
    program, _ = blocks("In Node", "js")
    (folder / "program.mjs").write_text(program, "utf-8")
    shutil.copytree(PACKAGE, folder / "node_modules" / "dragoman")
    (folder / "node_modules" / "onnxruntime-web").symlink_to(NODE_MODULES / "onnxruntime-web")
    done = subprocess.run(["node", "program.mjs"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(TEXT)
    assert done.stdout.count(TEXT) == 2  # and once among the best translations


@browser.needs_chromium
def test_the_pages_without_a_bundler(folder: Path, driver: Chrome) -> None:
    shutil.copytree(PACKAGE, folder / "dragoman")
    (folder / "onnxruntime").symlink_to(NODE_MODULES / "onnxruntime-web" / "dist")
    (with_map,) = blocks("In a page, without a bundler", "html")
    worker, with_worker = blocks("In a page, without a bundler", "js")
    start = "<!doctype html><link rel=icon href=data:,><body>"
    (folder / "map.html").write_text(start + with_map, "utf-8")
    (folder / "translator-worker.js").write_text(worker, "utf-8")
    (folder / "worker.html").write_text(f'{start}<script type="module">{with_worker}</script>', "utf-8")
    page = browser.Page(driver)
    with hosting(folder) as host:
        for name in ("map.html", "worker.html"):
            driver.get(f"{host.url}/{name}")
            page.wait_for("body", TEXT)
    assert driver.get_log("browser") == []  # type: ignore[no-untyped-call]

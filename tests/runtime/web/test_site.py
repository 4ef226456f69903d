"""The site of `dragoman web`, in Chromium."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

import browser
import dragoman
from copying import METADATA, file_of
from dragoman.cli import main
from dragoman.runtime.site.command import POLICY
from hosting import Host, hosting
from tiny import ROOT

ONNXRUNTIME = ROOT / "tests" / "web" / "node_modules" / "onnxruntime-web"
pytestmark = [
    browser.needs_chromium,
    pytest.mark.skipif(
        not ONNXRUNTIME.exists(),
        reason="onnxruntime-web is not installed; run make tests/web/node_modules/.installed",
    ),
]
INSECURE = "insecure.test"  # a name of the host that browsers do not trust as they trust the loopback interface
OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
ONLINE = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}


class Page(browser.Page):
    """The page of a site."""

    def visit(self, host: Host) -> None:
        """Open the page of a host that the browser has not seen."""
        self.url = f"{host.url}/"
        self.reload()

    def wait_until_kept(self) -> None:
        """Wait until the service worker has all files."""
        self.run("await navigator.serviceWorker.ready")

    def leave_until(self, title: str) -> None:
        """Leave the page, and come back when the browser has ended the old version, until the page has a title."""

        def comes_back() -> bool:
            self.driver.get("about:blank")
            time.sleep(1)
            self.reload()
            return self.text("h1") == title

        self.wait(comes_back)

    def translate(self, text: str, expected: str) -> None:
        """Type a text in place of another one, and wait for its translation."""
        self.find("#source").clear()
        self.type(text)
        self.wait_for("#target", expected)

    @property
    def is_loading(self) -> bool:
        """True if the page shows that a model is being loaded."""
        return self.find("#loading").is_displayed()


Translated = Callable[[str], dragoman.Translation]


def build(folder: Path, *arguments: str | Path) -> Path:
    """Write a site and return its folder."""
    words = ["web", *arguments, "--out", folder, "--onnxruntime", ONNXRUNTIME]
    assert main([str(word) for word in words]) == 0
    return folder


def files_of_page(host: Host) -> Path:
    """Return the folder of scripts and the like on a host."""
    (folder,) = host.folder.glob("page-*")
    return folder


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return models that copy English to German and German to English."""
    folder = tmp_path_factory.mktemp("copying")
    return [
        file_of(folder / f"{source}.onnx", replace(METADATA, source_language=source, target_language=target))
        for source, target in (("en", "de"), ("de", "en"))
    ]


@pytest.fixture(scope="module")
def site(tiny_file: Path, copying: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a site of three models. The first one, `en-xx`, has learnt to translate numbers."""
    return build(tmp_path_factory.mktemp("site") / "site", tiny_file, *copying)


@pytest.fixture
def host(site: Path, tmp_path: Path) -> Iterator[Host]:
    """Return a host of a copy of the site."""
    with hosting(shutil.copytree(site, tmp_path / "site")) as host:
        yield host


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Return a browser."""
    flag = f"--host-resolver-rules=MAP {INSECURE} 127.0.0.1"
    with browser.chromium(tmp_path_factory.mktemp("chromium"), flag, logs=["performance"]) as driver:
        yield driver


@pytest.fixture
def page(driver: Chrome, host: Host) -> Iterator[Page]:
    """Return the page. After the test, check what holds at all times."""
    page = Page(driver)
    for log in ("browser", "performance"):
        driver.get_log(log)  # type: ignore[no-untyped-call]
    yield page
    sources = {"network"} if page.fails_on_purpose else set()
    logged = driver.get_log("browser")  # type: ignore[no-untyped-call]
    assert [entry for entry in logged if entry["source"] not in sources and entry["level"] != "DEBUG"] == []
    assert [url for url in requested_urls(driver) if not url.startswith(f"{host.url}/")] == []
    assert driver.get_cookies() == []
    driver.get("about:blank")


def requested_urls(driver: Chrome) -> list[str]:
    """Return the URLs of all requests since the log was read last."""
    entries = driver.get_log("performance")  # type: ignore[no-untyped-call]
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


@pytest.fixture
def translated(tiny_file: Path) -> Translated:
    """Return a function that translates numbers as the page does, but in Python."""
    translator = dragoman.Translator.load(tiny_file)

    def translate(text: str) -> dragoman.Translation:
        found = translator.translate(text, n_best=4, alignments=True)
        assert found.text  # one that a test can wait for
        return found

    return translate


def test_translates_while_typing_as_python_does(page: Page, host: Host, translated: Translated) -> None:
    page.visit(host)
    page.type("12")
    page.wait_for("#target", translated("12").text)
    page.type(" 345\n6")
    text = "12 345\n6"
    expected = translated(text)
    page.wait_for("#target", expected.text)
    assert page.text("#count") == "8 / 20,000"
    script = (
        "const api = new URL('api.js', document.querySelector('script[type=module]').src);"
        "return (await import(api)).translate(arguments[0], new AbortController().signal)"
    )
    found = page.run(script, {"q": text, "source": "en", "target": "xx"})
    assert found["translatedText"] == expected.text
    assert found["alternatives"] == [hypothesis.text for hypothesis in expected.hypotheses[1:]]
    assert [tuple(pair) for pair in found["details"]["alignment"]] == list(expected.alignment)
    assert found["details"]["complete"] == expected.complete
    assert found["details"]["untranslated"] == list(expected.untranslated)
    assert len(page.all("#alternatives button")) == len(expected.hypotheses) - 1
    words, sources = page.all("#target .word"), page.all("#mirror .word")
    for i, word in enumerate(words):
        page.hover(word)
        assert page.lit("#target") == [i]
        assert page.lit("#mirror") == sorted(s for s, t in expected.alignment if t == i)
    page.hover(sources[0])
    assert page.lit("#target") == sorted(t for s, t in expected.alignment if s == 0)
    page.find("#alternatives button").click()
    page.wait_for("#target", expected.hypotheses[1].text)


def test_languages_and_swap(page: Page, host: Host, translated: Translated) -> None:
    page.visit(host)
    assert page.options("source") == ["en", "de"]  # without detection
    assert page.options("target") == ["xx", "de"]
    assert page.find("#target-language").get_attribute("value") == "xx"  # of the first model
    page.languages("en", "de")
    page.translate("This is the text.", "This is the text.")
    page.find("#swap").click()
    assert [page.find(f"#{name}-language").get_attribute("value") for name in ("source", "target")] == ["de", "en"]
    page.translate("Das ist der Text.", "Das ist der Text.")
    page.languages("en", "xx")  # no longer in memory: two later models are
    page.translate("12", translated("12").text)
    assert sum(path.startswith("/models/en_xx.onnx") for path in host.requested) == 1  # the browser keeps it
    page.languages("de", "en")
    assert "/models/de_en.onnx" in {path.split("?")[0] for path in host.requested}
    page.reload()
    assert [page.find(f"#{name}-language").get_attribute("value") for name in ("source", "target")] == ["de", "en"]


def test_has_what_a_device_can_do(page: Page, host: Host) -> None:
    page.visit(host)
    for selector in ("#documents", "#key-form", "footer a", "footer .for-server"):
        assert not page.find(selector).is_displayed(), selector
    assert page.text("footer") == "Your texts and their history stay on this device. The model runs in your browser."
    for element in page.all("button, select, textarea, input, a"):
        if element.is_displayed():
            assert element.accessible_name, element.get_attribute("outerHTML")
    page.wait(lambda: not page.is_loading)


def test_shows_how_far_a_model_is_loaded(page: Page, host: Host, tiny_file: Path, translated: Translated) -> None:
    host.halves = {"/models/en_xx.onnx"}
    page.visit(host)
    size = tiny_file.stat().st_size
    some, all_of_it = (f"{n / 1e6:.1f}" for n in (size // 2, size))
    page.wait_for("#loading", f"Loading the model: {some} of {all_of_it} MB")
    bar = page.find("#loading-bar")
    assert (bar.get_attribute("value"), bar.get_attribute("max")) == (str(size // 2), str(size))
    assert bar.accessible_name == f"Loading the model: {some} of {all_of_it}\N{NO-BREAK SPACE}MB"
    page.type("12")  # the text waits for the model
    host.go_on.set()
    page.wait_for("#target", translated("12").text)
    assert not page.is_loading


def test_works_without_a_network(page: Page, host: Host, translated: Translated) -> None:
    page.fails_on_purpose = True
    page.visit(host)
    page.translate("12", translated("12").text)
    page.wait_until_kept()
    host.stop()
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE)
    try:
        page.translate("6", translated("6").text)
        page.reload()
        page.translate("67 8", translated("67 8").text)
        assert page.text("#error") == ""
        page.languages("en", "de")  # whose model was never used
        message = "The model from English to German cannot be used: the site does not answer."
        page.wait_for("#error", f"{message} The page tries again by itself.")
        page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", ONLINE)
        host.go_on.clear()
        host.start()
        page.press(Keys.CONTROL, Keys.ENTER)
        page.wait(lambda: not page.text("#error"))
        page.translate("A text", "A text")
    finally:
        page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", ONLINE)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("damaged", "it is damaged: its contents do not match its checksum; copy it again."),
        ("cut short", "it is damaged or cut short: the checksum at its end is missing; copy it again."),
        ("foreign", "it is a page, not a model; the server may not have the file."),
        ("another model", "the model on the site has changed; load the page again. The page tries again by itself."),
        ("missing", "the site answers with status 404 for /models/en_xx.onnx. The page tries again by itself."),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_used(page: Page, host: Host, kind: str, message: str) -> None:
    page.fails_on_purpose = True
    path = host.folder / "models" / "en_xx.onnx"
    right = path.read_bytes()
    wrong = {
        "damaged": right[:5000] + bytes(100) + right[5100:],
        "cut short": right[: len(right) // 2],
        "foreign": b"<html>No such page</html>" * 100,
        "another model": (host.folder / "models" / "en_de.onnx").read_bytes(),
    }
    if kind in wrong:
        path.write_bytes(wrong[kind])
    else:
        path.unlink()
    page.visit(host)
    page.wait_for("#error", f"The model from English to xx cannot be used: {message}")
    assert not page.is_loading
    page.languages("en", "de")  # the page lives on
    page.translate("A text", "A text")
    assert page.text("#error") == ""
    path.write_bytes(right)
    page.languages("en", "xx")
    page.wait(lambda: page.text("#target") and page.text("#target") != "A text")
    assert page.text("#error") == ""


def test_a_list_of_models_that_is_missing(page: Page, host: Host, translated: Translated) -> None:
    page.fails_on_purpose = True
    models = files_of_page(host) / "models.json"
    right = models.read_bytes()
    models.unlink()
    page.driver.get(host.url)
    page.wait_for("#error", "The list of models cannot be loaded. The page tries again by itself.")
    models.write_bytes(right)
    page.wait(lambda: not page.text("#error"))
    page.translate("12", translated("12").text)


def test_a_connection_that_breaks_off(page: Page, host: Host, translated: Translated) -> None:
    page.fails_on_purpose = True
    host.halves, host.breaks = {"/models/en_xx.onnx"}, True
    page.visit(host)
    page.type("12")
    page.wait(lambda: page.is_loading)
    host.go_on.set()
    page.wait(lambda: "/models/en_xx.onnx arrives damaged or incomplete" in page.text("#error"))
    host.halves = set()
    page.press(Keys.CONTROL, Keys.ENTER)
    page.wait_for("#target", translated("12").text)


def test_a_damaged_onnx_runtime(page: Page, host: Host) -> None:
    page.fails_on_purpose = True
    path = files_of_page(host) / "onnxruntime" / "ort.wasm.gzip"
    path.write_bytes(path.read_bytes()[:10_000])
    page.visit(host)
    page.wait(lambda: "/onnxruntime/ort.wasm.gzip arrives damaged or incomplete" in page.text("#error"))


def test_a_new_version_replaces_the_old_one(page: Page, host: Host, copying: list[Path]) -> None:
    page.visit(host)
    page.languages("en", "de")
    page.translate("A text", "A text")
    page.wait_until_kept()
    build(host.folder, copying[0], "--title", "Newer & better")
    n_models = sum(path.startswith("/models/en_de.onnx") for path in host.requested)
    page.reload()  # the old version, which loads the new one
    assert page.text("h1") == "Dragoman"
    page.wait(lambda: page.run("return !!(await navigator.serviceWorker.getRegistration()).waiting"))
    page.leave_until("Newer & better")
    assert page.options("target") == ["de"]
    page.translate("Another text", "Another text")
    assert n_models == sum(path.startswith("/models/en_de.onnx") for path in host.requested)  # it is the same
    keys = page.run(
        "await navigator.serviceWorker.ready;"
        "const names = await caches.keys(); const cache = await caches.open(names[0]);"
        "return [names.length, (await cache.keys()).map((each) => new URL(each.url).pathname)]"
    )
    files = {f"/{path.relative_to(host.folder).as_posix()}" for path in host.folder.rglob("*") if path.is_file()}
    assert keys[0] == 1
    assert sorted(keys[1]) == sorted(files - {"/sw.js"})  # once each


def test_a_new_version_waits_for_the_pages_of_the_old_one(page: Page, host: Host, copying: list[Path]) -> None:
    page.visit(host)
    page.languages("en", "de")
    page.translate("A text", "A text")
    page.wait_until_kept()
    page.reload()  # so that the page comes from what the browser keeps
    build(host.folder, *copying, "--title", "Newer")
    page.run("await (await navigator.serviceWorker.getRegistration()).update()")
    page.wait(lambda: page.run("return !!(await navigator.serviceWorker.getRegistration()).waiting"))
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    for _ in range(2):
        page.reload()
        page.translate("A text", "A text")
        assert page.text("h1") == "Dragoman"
    second = page.driver.current_window_handle
    page.driver.switch_to.window(first)
    page.languages("de", "en")  # its worker is that of the old version, which both pages show
    page.translate("Ein Text", "Ein Text")
    page.driver.switch_to.window(second)
    page.driver.close()
    page.driver.switch_to.window(first)
    page.leave_until("Newer")
    page.translate("Another text", "Another text")


def test_what_the_browser_keeps_has_the_headers_of_the_host(page: Page, host: Host, translated: Translated) -> None:
    host.headers |= {"Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'", "X-Frame-Options": "DENY"}
    page.visit(host)
    page.translate("12", translated("12").text)
    page.wait_until_kept()
    page.reload()
    page.translate("6", translated("6").text)
    for name in ("index.html", f"{files_of_page(host).name}/translator-worker.js"):
        script = "const { headers } = await fetch(arguments[0]); return arguments[1].map((name) => headers.get(name))"
        found = page.run(script, f"{host.url}/{name}", [*host.headers])
        assert found == [*host.headers.values()]


def test_a_file_that_was_repaired_is_used(page: Page, host: Host, translated: Translated) -> None:
    """The browser's own cache has the damaged one."""
    page.fails_on_purpose = True
    host.headers["Cache-Control"] = "public, max-age=31536000"
    path, wasm = host.folder / "models" / "en_xx.onnx", files_of_page(host) / "onnxruntime" / "ort.wasm.gzip"
    right = {each: each.read_bytes() for each in (path, wasm)}
    path.write_bytes(right[path][:5000] + bytes(100) + right[path][5100:])
    page.visit(host)
    page.wait(lambda: "it is damaged" in page.text("#error"))
    path.write_bytes(right[path])
    page.reload()
    page.translate("12", translated("12").text)
    assert page.text("#error") == ""


def test_a_script_that_is_missing(page: Page, host: Host, translated: Translated) -> None:
    page.fails_on_purpose = True
    path = files_of_page(host) / "words.js"
    right = path.read_bytes()
    path.unlink()
    page.driver.get(f"{host.url}/")
    page.wait_for("#error", "The page was not loaded completely. Load it again.")
    path.write_bytes(right)
    page.visit(host)
    page.translate("12", translated("12").text)


def test_half_a_version_is_not_kept(page: Page, host: Host) -> None:
    page.fails_on_purpose = True
    style = files_of_page(host) / "style.css"
    right = style.read_text("utf-8")
    style.write_text(right + "/* of another version */", "utf-8")
    page.visit(host)
    page.wait(lambda: not page.is_loading)
    state = "const found = await navigator.serviceWorker.getRegistration(); return !found || !found.installing"
    page.wait(lambda: "/sw.js" in host.requested and page.run(state))
    assert page.run("return !!(await navigator.serviceWorker.getRegistration())?.active") is False
    style.write_text(right, "utf-8")
    page.reload()
    page.wait_until_kept()


def test_everything_works_under_its_policy(page: Page, host: Host, translated: Translated) -> None:
    host.headers["Content-Security-Policy"] = POLICY  # so that it holds in the workers, too
    page.visit(host)
    policy = page.find("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy == POLICY
    page.run("window.broken = []; addEventListener('securitypolicyviolation', (e) => window.broken.push(e.blockedURI))")
    page.translate("12", translated("12").text)
    page.find("#theme").click()
    page.find("#theme").click()
    page.wait_until_kept()
    assert page.run("return window.broken") == []
    # The policy is in force: this is what it must not let pass.
    assert page.run("return fetch('http://localhost:9/').then(() => 'fetched', (error) => error.name)") == "TypeError"
    assert set(page.run("return window.broken")) == {"http://localhost:9/"}
    page.fails_on_purpose = True
    requested_urls(page.driver)
    logged = page.driver.get_log("browser")  # type: ignore[no-untyped-call]
    assert all("http://localhost:9/" in entry["message"] for entry in logged)


def test_works_over_plain_http(page: Page, host: Host, translated: Translated) -> None:
    host.url = host.url.replace("127.0.0.1", INSECURE)
    page.visit(host)
    assert page.run("return isSecureContext || 'caches' in window") is False  # so the browser keeps nothing
    page.translate("12", translated("12").text)
    page.reload()
    page.translate("67 8", translated("67 8").text)


def test_a_site_in_a_folder_of_its_host(page: Page, host: Host, site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, host.folder / "mt")
    page.url = f"{host.url}/mt/index.html"
    page.reload()
    page.languages("en", "de")
    page.translate("A text", "A text")
    page.wait_until_kept()
    assert {path for path in host.requested if not path.startswith("/mt/")} <= {"/favicon.ico"}
    manifest = page.run("return (await fetch(document.querySelector('link[rel=manifest]').href)).json()")
    assert (manifest["start_url"], manifest["display"]) == ("./", "standalone")


def test_phone(page: Page, host: Host) -> None:
    host.halves = {"/models/en_xx.onnx"}
    with page.on_phone():
        page.visit(host)
        page.type("1" * 200)
        page.wait(lambda: "MB" in page.text("#loading"))
        width = "return document.documentElement.scrollWidth"
        assert page.run(width) == 360
        host.go_on.set()
        page.wait(lambda: page.text("#target"))
        assert page.run(width) == 360

"""The page of the server, in Chromium."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

import browser
import dragoman
from browser import SECONDS
from dragoman.runtime.documents.files import translate_bytes
from dragoman.runtime.server import app

pytestmark = browser.needs_chromium

# Answers in place of the server's. `answers` has a function for each path, which takes the options of the request.
STUB = """
    const fetched = window.fetch;
    const json = (value, init) => new Response(JSON.stringify(value), init);
    window.calls = [];
    const answers = {%s};
    window.fetch = async (path, options) => {
        window.calls.push(options);
        return answers[path] ? answers[path](options) : fetched(path, options);
    };
"""


@contextmanager
def served(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield the process and the URL of a server with arguments of `dragoman serve`."""
    words = [sys.executable, "-m", "dragoman", "serve", *map(str, arguments), "--port", "0", "--workers", "1"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            lines = []
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"http://[\d.]+:\d+", line):
                    yield process, found[0]
                    break
            else:
                pytest.fail("".join(lines))
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def url(copying_files: list[Path], tiny_file: Path) -> Iterator[str]:
    """Return the URL of a server of four models. The last one, `en-xx`, has learnt to translate numbers."""
    with served(*copying_files, tiny_file) as (_, url):
        yield url


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Return a browser."""
    with browser.chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


class Page(browser.Page):
    """The page of a server, whose answers a test can replace."""

    def stub(self, **answers: str) -> None:
        """Answer the requests to some paths with functions in JavaScript."""
        self.run(f"{STUB % ', '.join(f'{path}: {answer}' for path, answer in answers.items())}")


@pytest.fixture
def page(driver: Chrome, url: str) -> Iterator[Page]:
    """Return the page. After the test, check what holds at all times."""
    page = Page(driver)
    page.open(url)
    driver.get_log("browser")  # type: ignore[no-untyped-call]
    yield page
    logged = driver.get_log("browser")  # type: ignore[no-untyped-call]
    sources = {"network"} if page.fails_on_purpose else set()
    assert [entry for entry in logged if entry["source"] not in sources and entry["level"] != "DEBUG"] == []
    requested = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [each for each in requested if not each.startswith(f"{page.url}/")] == []
    assert driver.get_cookies() == []


def post(url: str, q: str, source: str = "en", target: str = "xx") -> dict[str, Any]:
    """Return the server's answer to a request such as the page sends."""
    body = {"q": q, "source": source, "target": target, "alternatives": 3, "details": True}
    request = urllib.request.Request(
        f"{url}/translate", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


# Text


def test_translates_while_typing(page: Page) -> None:
    page.languages("en", "xx")
    page.type("12")
    page.wait_for("#target", post(page.url, "12")["translatedText"])
    page.type(" 345")
    page.wait_for("#target", post(page.url, "12 345")["translatedText"])
    assert page.text("#count") == "6 / 20,000"
    page.find("#clear").click()
    page.wait(lambda: page.texts("#target") == [""])
    assert page.run("return document.activeElement.id") == "source"


def test_late_answer_to_an_older_text_is_ignored(page: Page) -> None:
    page.languages("en", "xx")
    # The answer for "1" comes when the test says so, although its request was aborted.
    page.stub(
        translate="""async (options) => {
            if (JSON.parse(options.body).q !== "1") return fetched("translate", options);
            await new Promise((resolve) => { window.release = resolve; });
            return { ok: true, json: async () => { window.isRead = true; return { translatedText: "late" }; } };
        }"""
    )
    page.type("1")
    page.wait(lambda: page.run("return !!window.release"))
    page.type("2")
    expected = post(page.url, "12")["translatedText"]
    page.wait_for("#target", expected)
    assert page.run("return window.calls.map((options) => options.signal.aborted)") == [True, False]
    page.run("window.release()")
    page.wait(lambda: page.run("return window.isRead"))
    page.run("await new Promise((resolve) => setTimeout(resolve))")  # all promises of the answer are settled
    assert page.text("#target") == expected


def test_words_are_those_of_python(page: Page) -> None:
    spaces = [chr(i) for i in range(0x10000) if chr(i).isspace() or unicodedata.category(chr(i)) in ("Zs", "Cc", "Cf")]
    text = "".join(f"a{space}b" for space in spaces)
    words = page.run("return (await import('./words.js')).wordsOf(arguments[0])", text)
    assert words == text.split()


def test_words_light_up_with_their_sources(page: Page) -> None:
    page.languages("en", "xx")
    text = "12 345\n6"
    page.type(text)
    answer = post(page.url, text)
    page.wait_for("#target", answer["translatedText"])
    pairs = answer["details"]["alignment"]
    words, sources = page.all("#target .word"), page.all("#mirror .word")
    assert [word.text for word in words] == answer["translatedText"].split()
    assert [source.text for source in sources] == text.split()
    for i, word in enumerate(words):
        page.hover(word)
        assert page.lit("#target") == [i]
        assert page.lit("#mirror") == sorted(s for s, t in pairs if t == i)
    for i, source in enumerate(sources):
        page.hover(source)
        assert page.lit("#mirror") == [i]
        assert page.lit("#target") == sorted(t for s, t in pairs if s == i)
    page.hover(page.find("h1"))
    assert page.lit("#mirror") == page.lit("#target") == []
    page.find("#source").send_keys(Keys.HOME)  # the caret, too, stands in a word
    assert page.lit("#mirror") == [2]
    page.type("7")  # the words are out of date
    assert page.lit("#mirror") == []


def test_text_area_lies_exactly_on_its_mirror(page: Page) -> None:
    text = "A long text, with many words that wrap. " * 60 + "\n\n  indented\tand a " + "very" * 60 + "longword\n"
    page.run("document.getElementById('source').value = arguments[0]", text)
    page.type("\n")
    page.wait(lambda: len(page.texts("#mirror .word")) > 400)
    heights = (
        "const s = document.getElementById('source'); return [s.scrollHeight, s.clientHeight, mirror.clientHeight]"
    )
    scroll, client, mirror = page.run(f"const mirror = document.getElementById('mirror'); {heights}")
    assert scroll == client == mirror


def test_notes_unsure_words_and_alternatives(page: Page) -> None:
    page.stub(
        translate="""() => json({
            translatedText: "uno dos <b>tres</b>", alternatives: ["uno dos cuatro", "uno dos <b>tres</b>"],
            details: { alignment: [[0, 0]], confidence: [1, 0.31, 0.9], complete: false, untranslated: ["the rest"] },
        })"""
    )
    page.type("one two three")
    page.wait_for("#target", "uno dos <b>tres</b>")
    assert page.texts("#target .unsure") == ["dos"]
    assert page.find("#target .unsure").get_attribute("title") == "The model is 31 % sure of this word."
    assert page.find("#legend").is_displayed()
    assert page.texts("#notes p") == ["The end of the translation may be missing.", "Not translated: “the rest”"]
    assert page.texts("#alternatives b") == ["cuatro"]
    page.find("#alternatives button").click()
    page.wait_for("#target", "uno dos cuatro")
    assert not page.find("#legend").is_displayed()
    page.hover(page.find("#target .word"))
    assert page.lit("#target") == []
    page.find("#alternatives button").click()  # the first translation is an alternative now
    page.wait_for("#target", "uno dos <b>tres</b>")
    assert page.texts("#target .unsure") == ["dos"]


def test_words_light_up_without_confidence(page: Page) -> None:
    page.stub(
        translate="""() => json({
            translatedText: "uno dos", details: { alignment: [[0, 1], [1, 0]], complete: true, untranslated: [] },
        })"""
    )
    page.type("one two")
    page.wait_for("#target", "uno dos")
    page.hover(page.find("#target .word"))
    assert page.lit("#mirror") == [1]
    assert not page.find("#legend").is_displayed()


def test_details_of_other_words_are_ignored(page: Page) -> None:
    page.stub(
        translate="""() => json({
            translatedText: "uno dos", details: { alignment: [[0, 0], [7, 1]], confidence: [0.1, 1], untranslated: [] },
        })"""
    )
    page.type("one two")
    page.wait_for("#target", "uno dos")
    page.hover(page.find("#target .word"))
    assert page.lit("#target") == page.lit("#mirror") == []


def test_copy(page: Page) -> None:
    page.run(
        "window.copied = []; document.addEventListener('copy', () => window.copied.push(getSelection().toString()));"
        "navigator.clipboard.writeText = async (text) => { window.copied.push(`clipboard: ${text}`); }"
    )
    page.languages("en", "de")
    page.type("Same here.")
    page.wait_for("#target", "Same here.")
    page.find("#copy").click()
    page.wait_for("#copy", "Copied")
    page.run("navigator.clipboard.writeText = async () => { throw new Error('locked') }")
    page.find("#copy").click()
    assert page.wait(lambda: page.run("return window.copied.length === 2 && window.copied")) == [
        "clipboard: Same here.",
        "Same here.",
    ]


# Languages


def test_languages(page: Page) -> None:
    assert page.options("source") == ["auto", "en", "de"]
    assert page.options("target") == ["de", "pt-BR", "xx"]
    page.languages("de", "en")
    assert page.options("target") == ["en"]
    page.languages("en", "pt-BR")
    assert not page.find("#swap").is_enabled()  # no model goes the other way
    page.languages("en", "de")
    page.type("This is the text.")
    page.wait_for("#target", "This is the text.")
    assert [page.find(box).get_attribute("lang") for box in ("#source", "#target")] == ["en", "de"]
    page.stub(translate='() => json({ translatedText: "Das ist der Text.", details: null })')
    page.press(Keys.CONTROL, Keys.ENTER)
    page.wait_for("#target", "Das ist der Text.")
    page.find("#swap").click()
    assert page.find("#source").get_attribute("value") == "Das ist der Text."
    sent = page.wait(lambda: page.run("return window.calls.length === 2 && JSON.parse(window.calls[1].body)"))
    assert (sent["q"], sent["source"], sent["target"]) == ("Das ist der Text.", "de", "en")
    page.reload()
    assert [page.find(f"#{name}-language").get_attribute("value") for name in ("source", "target")] == ["de", "en"]


def test_detection(page: Page) -> None:
    page.languages("auto", "en")
    text = "Das ist ein deutscher Satz, der jetzt übersetzt wird."
    page.type(text)
    page.wait_for("#target", text)
    confidence = post(page.url, text, "auto", "en")["detectedLanguage"]["confidence"]
    assert page.text("#detected") == f"German, {confidence} % sure"
    assert page.find("#source").get_attribute("lang") == "de"
    page.find("#swap").click()
    assert [page.find(f"#{name}-language").get_attribute("value") for name in ("source", "target")] == ["en", "de"]
    page.wait(lambda: not page.texts("#detected")[0])
    assert page.texts("#history-list .pair") == ["de → en"]


def test_text_that_is_in_the_target_language(page: Page) -> None:
    page.languages("auto", "de")
    page.type("Das ist ein deutscher Satz, der jetzt übersetzt wird.")
    page.wait_for("#notes", "The text is in German already.")


def test_directions(page: Page) -> None:
    script = """
        const { setLanguage } = await import("./languages.js");
        return ["ar", "he", "fa-AF", "uz-Arab", "de", "pt-BR", ""].map((code) => {
            const element = document.createElement("p");
            setLanguage(element, code);
            return [element.lang, element.dir];
        });
    """
    assert page.run(script) == [
        ["ar", "rtl"], ["he", "rtl"], ["fa-AF", "rtl"], ["uz-Arab", "rtl"], ["de", "ltr"], ["pt-BR", "ltr"],
        ["", "auto"],
    ]  # fmt: skip


# Errors


def test_limits_of_the_server(page: Page, tiny_file: Path, tmp_path: Path) -> None:
    with served(tiny_file, "--char-limit", "10", "--file-limit", "1") as (_, url):
        page.open(url)
        page.stub()
        page.type("123456789🙂0")
        page.wait_for("#error", "The text has 11 characters, and at most 10 can be translated at once.")
        assert page.find("#error").get_attribute("role") == "alert"
        assert page.text("#count") == "11 / 10"
        assert page.run("return window.calls.length") == 0
        page.type(Keys.BACKSPACE)
        page.wait(lambda: page.text("#target"))
        assert page.text("#error") == ""
        (tmp_path / "long.txt").write_bytes(b"1" * (1 << 20) + b"2")
        page.find("#file").send_keys(str(tmp_path / "long.txt"))
        page.wait_for("#document-list .state", "The file has 1.0 MiB, and the server takes at most 1.0 MiB.")
        assert page.run("return window.calls.length") == 1


def test_page_lives_on_without_the_server(page: Page, tiny_file: Path) -> None:
    page.fails_on_purpose = True
    with served(tiny_file) as (process, url):
        page.open(url)
        page.type("12")
        page.wait(lambda: page.text("#target"))
        process.terminate()
        process.wait(SECONDS)
        page.type("3")
        page.wait_for("#error", "The server does not answer. The page tries again by itself.")
        page.stub(translate='() => json({ translatedText: "back", details: null })')
        page.press(Keys.CONTROL, Keys.ENTER)
        page.wait_for("#target", "back")
        assert page.text("#error") == ""
        assert page.find("#source").get_attribute("value") == "123"


@pytest.mark.parametrize("status", [429, 503])
def test_tries_again_after_the_time_that_the_server_names(page: Page, status: int) -> None:
    page.stub(
        translate=f"""() => window.calls.length === 1
            ? json({{ error: "too much to do" }}, {{ status: {status}, headers: {{ "Retry-After": "1" }} }})
            : json({{ translatedText: "now", details: null }})"""
    )
    page.type("12")
    page.wait_for("#error", "Too much to do. The page tries again by itself.")
    page.wait_for("#target", "now")
    assert page.text("#error") == ""


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('json({ error: "source is \'qq\'" }, { status: 400 })', "Source is 'qq'."),
        ("json({ error: \"a.md: too long\" }, { status: 400 })", "a.md: too long."),
        ('new Response("", { status: 504, statusText: "Timeout" })', "The server answers with status 504 Timeout."),
        ('new Response("<html>")', "The server's answer is incomplete, or no JSON."),
    ],
)  # fmt: skip
def test_errors_in_plain_words(page: Page, answer: str, message: str) -> None:
    page.stub(translate=f"() => {answer}")
    page.type("12")
    page.wait_for("#error", message)


def test_api_key(page: Page, tiny_file: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret 0 30000\n")
    assert not page.find("#key-form").is_displayed()
    page.fails_on_purpose = True
    with served(tiny_file, "--api-keys", tmp_path / "keys") as (_, url):
        page.open(url)
        page.type("12")
        page.wait_for("#error", "This server needs an API key. Type yours above.")
        assert page.find("#key").get_attribute("type") == "password"
        assert page.text("#count") == "2 / 20,000"
        page.find("#key").send_keys("wrong", Keys.ENTER)
        page.wait_for("#error", "The API key is unknown.")
        page.find("#key").clear()
        page.find("#key").send_keys("secret", Keys.ENTER)
        translation = page.wait(lambda: page.text("#target"))
        assert page.text("#error") == ""
        assert page.text("#count") == "2 / 30,000"
        page.reload()
        page.type("12")
        page.wait_for("#count", "2 / 30,000")
        page.wait_for("#target", translation)
        (tmp_path / "a.txt").write_text("12")
        page.find("#file").send_keys(str(tmp_path / "a.txt"))
        page.wait(lambda: page.find("#document-list .download").is_displayed())


# Documents


def test_document(page: Page, tiny_file: Path, tmp_path: Path) -> None:
    page.languages("en", "xx")
    data = "".join(f"# {i}\n\n" for i in range(100)).encode()
    (tmp_path / "some numbers.md").write_bytes(data)
    page.run(
        """window.states = [];
        const collect = (records) => {
            for (const record of records) window.states.push(...[...record.addedNodes].map((node) => node.textContent));
        };
        const list = document.getElementById("document-list");
        new MutationObserver(collect).observe(list, { childList: true, subtree: true });"""
    )
    assert ".md" in str(page.find("#file").get_attribute("accept")).split(",")
    page.find("#file").send_keys(str(tmp_path / "some numbers.md"))
    link = page.find("#document-list .download")
    page.wait(link.is_displayed)
    assert "100 of 100 segments" in page.run("return window.states")
    assert not page.find("#document-list progress").is_displayed()
    assert str(link.get_attribute("href")).startswith(f"{page.url}/download_file/")
    found = page.run("return (await fetch(document.querySelector('.download').href)).text()")
    expected = translate_bytes(dragoman.Translator.load(tiny_file), data, "markdown").data
    assert found == expected.decode()
    page.find("#document-list button").click()
    assert page.all("#document-list li") == []


def test_documents_are_dropped_anywhere(page: Page) -> None:
    script = """
        const data = new DataTransfer();
        data.items.add(new File(["12"], "a.txt"));
        data.items.add(new File(["12"], "b.pdf"));
        const dispatch = (name) => document.querySelector("footer").dispatchEvent(
            new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));
        return [dispatch("dragover"), document.body.className, dispatch("drop"), document.body.className];
    """
    page.languages("en", "xx")
    assert page.run(script) == [False, "dragging", False, ""]
    page.wait(lambda: page.find("#document-list li:last-child .download").is_displayed())
    assert page.texts("#document-list .name") == ["b.pdf", "a.txt"]
    assert (
        page.text("#document-list .state") == "This type of file is not supported. “File types” lists those that are."
    )


STREAM = """async (options) => {
    const line = (value) => new TextEncoder().encode(JSON.stringify(value) + "\\n");
    return new Response(new ReadableStream({ start(controller) {
        options.signal.addEventListener("abort", () => controller.error(options.signal.reason));
        controller.enqueue(line({ translated: 1, segments: 4 }));
        %s
    }}));
}"""


def upload(page: Page, folder: Path) -> None:
    (folder / "a.txt").write_text("12")
    page.find("#file").send_keys(str(folder / "a.txt"))


def test_document_is_cancelled(page: Page, tmp_path: Path) -> None:
    page.stub(translate_file=STREAM % "")
    upload(page, tmp_path)
    page.wait_for("#document-list .state", "1 of 4 segments")
    bar = page.find("#document-list progress")
    assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("1", "4")
    page.find("#document-list button").click()
    page.wait_for("#document-list .state", "Cancelled.")
    assert page.run("return window.calls[0].signal.aborted")


def test_document_with_segments_to_look_at(page: Page, tmp_path: Path) -> None:
    end = {
        "translatedFileUrl": "http://inside:1/x/download_file/a%20b.txt",
        "listed": [{"place": "line 1", "problems": ["p", "q"]}],
    }
    page.stub(translate_file=STREAM % f"controller.enqueue(line({json.dumps(end)})); controller.close();")
    upload(page, tmp_path)
    page.wait(lambda: page.find("#document-list .download").is_displayed())
    assert page.find("#document-list .download").get_attribute("href") == f"{page.url}/download_file/a%20b.txt"
    assert page.text("#document-list summary") == "1 segment to look at"
    assert page.texts("#document-list details li") == ["line 1: p; q"]


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ('controller.enqueue(line({ error: "the document is damaged" }))', "The document is damaged."),
        ("controller.close()", "The connection broke off before the document was complete."),
        ("controller.error(new TypeError())", "The connection broke off before the document was complete."),
    ],
)
def test_errors_of_documents(page: Page, tmp_path: Path, end: str, message: str) -> None:
    page.stub(translate_file=STREAM % end)
    upload(page, tmp_path)
    page.wait_for("#document-list .state", message)


def test_damaged_document(page: Page, tmp_path: Path) -> None:
    page.fails_on_purpose = True
    (tmp_path / "a.docx").write_text("no archive")
    page.find("#file").send_keys(str(tmp_path / "a.docx"))
    page.wait(lambda: page.text("#document-list .state").startswith("The document is no zip archive"))


# History


def test_history(page: Page) -> None:
    def add(text: str, *, clear: bool = True) -> None:
        if clear:
            page.find("#clear").click()
        page.type(text)
        page.wait(lambda: page.text("#target") == page.find("#source").get_attribute("value"))

    page.languages("en", "de")
    assert page.text("#history-note") == "Translations appear here."
    add("First", clear=False)
    assert page.wait(lambda: page.texts("#history-list .source")) == ["First"]
    add(" text", clear=False)  # the longer text takes the place of its beginning
    page.wait(lambda: page.texts("#history-list .source") == ["First text"])
    add("Second text")
    page.wait(lambda: page.texts("#history-list .source") == ["Second text", "First text"])
    assert page.texts("#history-list .pair") == ["en → de"] * 2
    page.reload()
    page.all("#history-list .restore")[1].click()
    page.wait_for("#target", "First text")
    assert page.find("#source").get_attribute("value") == "First text"
    page.wait(lambda: page.texts("#history-list .source") == ["First text", "Second text"])  # it is the newest now
    page.all("#history-list .remove")[1].click()
    assert page.texts("#history-list .source") == ["First text"]
    page.find("#history-on").click()
    add("Third text")
    page.find("#clear").click()
    assert page.texts("#history-list .source") == ["First text"]
    page.reload()
    assert not page.find("#history-on").is_selected()
    page.find("#history-clear").click()
    assert page.texts("#history-list .source") == []
    assert page.text("#history-note") == "Nothing is kept."
    assert page.run("return localStorage.getItem('dragoman.history')") == "[]"


def test_history_is_bounded(page: Page) -> None:
    script = """
        const { History } = await import("./history.js");
        const history = new History(() => {});
        const translation = "x".repeat(%d);
        for (let i = 0; i < 60; i++) history.add({ source: "en", target: "de", text: `${i}.`, translation });
        return history.entries.map((entry) => entry.text);
    """
    assert page.run(script % 1) == [f"{i}." for i in reversed(range(10, 60))]
    page.run("localStorage.clear()")
    kept = page.run(script % 300_000)  # more than a browser stores; the oldest make room
    assert 1 < len(kept) < 50
    assert kept == [f"{i}." for i in reversed(range(60 - len(kept), 60))]


def test_cleared_text_is_kept_at_once(page: Page) -> None:
    page.languages("en", "de")
    page.type("A text")
    page.wait_for("#target", "A text")
    page.find("#clear").click()
    assert page.texts("#history-list .source") == ["A text"]


# Appearance and access


def test_theme(page: Page) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    button = page.find("#theme")
    light = page.run(ground)
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    dark = page.run(ground)
    assert dark != light
    page.reload()
    assert page.run(ground) == dark
    assert page.find("#theme").get_attribute("aria-pressed") == "true"
    page.find("#theme").click()
    assert page.run(ground) == light
    assert page.run("return localStorage.getItem('dragoman.theme')") is None  # the system's theme again


def test_everything_works_by_keyboard(page: Page) -> None:
    def active() -> str:
        return str(page.run("const e = document.activeElement; return e.id || e.className"))

    def tab_to(name: str) -> None:
        for _ in range(40):
            if name in active().split():
                return
            page.press(Keys.TAB)
        pytest.fail(f"the Tab key does not reach {name}")

    page.wait(lambda: active() == "source")  # ready to type
    page.press("1")
    page.press(Keys.CONTROL, Keys.ENTER)
    page.wait(lambda: page.text("#target"))
    tab_to("clear")
    page.press(Keys.ENTER)
    assert active() == "source"
    page.type("12 345")
    page.wait(lambda: len(page.all("#target .word")) > 1)
    tab_to("word")
    assert page.lit("#target") == [0]
    page.press(Keys.ARROW_RIGHT)
    assert page.lit("#target") == [1]
    page.press(Keys.END)
    assert page.lit("#target") == [len(page.all("#target .word")) - 1]
    page.press(Keys.TAB)
    assert "word" not in active()  # the words are one stop of the Tab key
    tab_to("copy")
    tab_to("file")
    tab_to("history-on")
    page.press(Keys.SPACE)
    assert not page.find("#history-on").is_selected()
    tab_to("theme")
    page.press(Keys.ENTER)
    assert page.find("#theme").get_attribute("aria-pressed") == "true"
    tab_to("source-language")
    page.press("g")  # to German
    assert page.wait(lambda: page.options("target")) == ["en"]
    tab_to("swap")
    page.press(Keys.ENTER)
    page.wait(lambda: page.find("#source-language").get_attribute("value") == "en")


def test_controls_have_names(page: Page) -> None:
    for element in page.all("button, select, textarea, input, a"):
        if element.is_displayed():
            assert element.accessible_name, element.get_attribute("outerHTML")


@pytest.mark.parametrize("path", ["", "/docs"])
def test_phone(page: Page, tmp_path: Path, path: str) -> None:
    page.fails_on_purpose = bool(path)  # a browser asks for an icon that /docs does not name
    with page.on_phone():
        if path:
            page.driver.get(page.url + path)
        else:
            page.type("very" * 40 + "long " * 30)
            page.wait(lambda: page.text("#target"))
            name = "a-long-name-" * 8
            (tmp_path / f"{name}.pdf").write_text("")
            page.find("#file").send_keys(str(tmp_path / f"{name}.pdf"))
            page.wait(lambda: page.text("#document-list .state"))
        width = "return document.documentElement.scrollWidth"
        assert page.run(width) == 360


def test_page_asks_for_nothing_outside_its_folder() -> None:
    for path in app.PAGE.iterdir():
        text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|//\w+\.|url\(|data:|@import|\bstyle=|innerHTML|document\.cookie", text), (
            path.name
        )
        assert not re.search(r"""(?:href|src|action|from|fetch\(|import\()=?\s*["'`]/""", text), path.name

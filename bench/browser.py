"""Measure the site of `dragoman web` in headless Chromium, from loopback.

- time: milliseconds of one sentence in the page itself with one thread, against `Translator.translate` in this process,
  in turns; medians. Greedy search and beam 5.
- peer: the same against Marian in WebAssembly (npm's bergamot-translator), an int8 Transformer "tiny" with a lexical
  shortlist, the same number of subwords and ids, in a worker of the same page. `make bench/node_modules/.installed`
  installs it. Greedy search.
- visit: bytes and requests of a first visit, without the model's, and seconds from opening the page to a translation.
- memory: MiB of the browser's process of the page after 100 and after 1,000 sentences.
- parity: how many translations of the test set in the page are those of this process, and have a score within 1e-4;
  alone and in batches.

It measures a model of random weights with the shape of a configuration, 4,000 subwords and vocabulary selection, on
sentences of 14 invented words, 15 ids in and 15 out; or a given model on its corpus's test set.

Run it in the folder of the repository, with nothing else running: python -m bench.browser. It needs Chromium, its
driver and `make tests/web/node_modules/.installed`. It prints one JSON object per line. With --record the rows go to a
file, in place of this machine's older rows of the same figures.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from bench.invented import sentences
from bench.marian import OPTIONS
from bench.marian_model import build
from bench.server import RANDOM_MODEL, VOCABULARY, model_and_texts, parse
from bench.speed import Row, exit_status, quartiles
from dragoman.cli import main as dragoman
from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Translator

FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
SENTENCES = (100, 1000)  # of memory
FIGURES = ("time", "peer", "visit", "memory", "parity")
TOLERANCE = 1e-4  # of scores
PEER_OPTIONS = OPTIONS[OPTIONS.index("beam-size") :].format(length_factor=1)  # the files are given as bytes

# A translator of its own in the page, without a worker between it and the clock.
LOAD = """
const of = (path) => new URL(path, document.querySelector("script[type=module]").src);
const [{ Translator }, ort] = await Promise.all([import(of("dragoman/index.js")), import(of("onnxruntime/ort.js"))]);
const packed = await fetch(of("onnxruntime/ort.wasm.gzip"));
const wasm = new Response(packed.body.pipeThrough(new DecompressionStream("gzip")));
ort.env.wasm.wasmBinary = await wasm.arrayBuffer();
window.translator = await Translator.load(arguments[0], { onnxruntime: ort });
"""
TIME = """
const times = [];
for (const text of arguments[0]) {
  const start = performance.now();
  await translator.translate(text, { beam: arguments[1] });
  times.push(performance.now() - start);
}
return times;
"""
PARITY = """
const [texts, beam, isBatched] = arguments;
if (isBatched) return (await translator.translate(texts, { beam })).map(({ text, score }) => [text, score]);
const found = [];
for (const each of texts) {
  const { text, score } = await translator.translate(each, { beam });
  found.push([text, score]);
}
return found;
"""
PEER = """
const [options, texts] = arguments;
window.marian ??= new Worker("./bergamot/bergamot-worker.js");
const answer = new Promise((resolve, reject) => {
  marian.onmessage = ({ data }) => resolve(data);
  marian.onerror = ({ message }) => reject(new Error(message));
});
marian.postMessage({ options, texts });
const found = await answer;
if (found.error) throw new Error(found.error);
return found;
"""


class Host:
    """A static host on loopback that counts what it sends."""

    def __init__(self, folder: Path) -> None:
        host = self
        self.sent: dict[str, int] = {}

        class Handler(SimpleHTTPRequestHandler):
            def send_header(self, keyword: str, value: str) -> None:
                if keyword == "Content-Length":
                    host.sent[self.path] = host.sent.get(self.path, 0) + int(value)
                super().send_header(keyword, value)

            def log_message(self, format: str, *values: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """Yield a browser with an empty profile."""
    options = ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    driver.set_script_timeout(600)
    try:
        yield driver
    finally:
        driver.quit()


def run(driver: Chrome, script: str, *values: object) -> Any:  # noqa: ANN401 (a value of JavaScript)
    """Run a script in the page, and return its value."""
    return driver.execute_script(f"return (async function () {{ {script} }}).apply(null, arguments)", *values)


def compared(pairs: Sequence[tuple[float, float]], other: str) -> Row:
    """Return the medians of milliseconds in the page and elsewhere, and their ratio with its quartiles."""
    low, middle, high = quartiles([a / b for a, b in pairs])
    page, elsewhere = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "page_ms": round(page, 2), f"{other}_ms": round(elsewhere, 2),
        "ratio": round(middle, 3), "spread": [round(low, 3), round(high, 3)],
    }  # fmt: skip


def times(driver: Chrome, model: Translator, texts: Sequence[str], beam: int, turns: int) -> Row:
    """Return the time of a sentence in the page and in this process."""
    pairs = []
    for _ in range(turns + 1):
        page = statistics.median(run(driver, TIME, texts, beam))
        local = []
        for text in texts:
            start = time.perf_counter()
            model.translate(text, beam=beam)
            local.append(1000 * (time.perf_counter() - start))
        pairs.append((page, statistics.median(local)))
    return {"figure": "time", "beam": beam, "threads": 1, **compared(pairs[1:], "local")}


def add_peer(site: Path, package: Path, models: Path) -> tuple[str, list[str]]:
    """Write the files of Bergamot's worker into a site. Return its name, and words for it. Raises UserError."""
    folder = site / "bergamot"
    folder.mkdir()
    try:
        for path in (package / "worker").glob("bergamot-translator-worker.*"):
            shutil.copy(path, folder)
        manifest = json.loads((package / "package.json").read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{package}: {error.strerror}; run make bench/node_modules/.installed") from error
    if not (models / f"tiny{VOCABULARY}.bin").exists():
        build(models, VOCABULARY)
    for name, to in {"tiny{}.bin": "model", "vocab{}.spm": "vocabulary", "lex{}.bin": "shortlist"}.items():
        shutil.copy(models / name.format(VOCABULARY), folder / to)
    shutil.copy(Path(__file__).with_name("bergamot-worker.js"), folder)
    name = f"bergamot-translator {manifest['version']} int8 tiny, shortlist"
    return name, (models / f"vocab{VOCABULARY}.words").read_text("utf-8").split("\n")


def peer(driver: Chrome, name: str, texts: Sequence[str], words: Sequence[str], turns: int) -> Row:
    """Return the time of a sentence in the page, and with Bergamot in a worker of the page.

    Its translations have 15 ids, too: its model never ends one by itself, and OPTIONS limit them.
    """
    theirs = [*islice(sentences(words), len(texts))]
    run(driver, PEER, PEER_OPTIONS, theirs)
    pairs = []
    for _ in range(turns + 1):
        ours = statistics.median(run(driver, TIME, texts, 1))
        found = run(driver, PEER, None, theirs)
        pairs.append((ours, statistics.median(each["ms"] for each in found)))
    return {"figure": "peer", "peer": name, "beam": 1, "threads": 1, **compared(pairs[1:], "peer")}


def visit(host: Host, text: str, profile: Path) -> Row:
    """Return what a first visit loads, and the time to its first translation."""
    host.sent.clear()
    with chromium(profile) as driver:
        start = time.perf_counter()
        driver.get(host.url)
        driver.find_element("css selector", "#source").send_keys(text)
        while not driver.find_element("css selector", "#target").text:
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        time.sleep(5)  # the service worker keeps the site
    of_model = sum(size for path, size in host.sent.items() if path.startswith("/models/"))
    return {
        "figure": "visit", "requests": len(host.sent), "model_bytes": of_model,
        "other_bytes": sum(host.sent.values()) - of_model, "first_translation_s": round(seconds, 2),
    }  # fmt: skip


def resident_memory(driver: Chrome) -> float:
    """Return the resident memory of the largest process of the browser that shows pages, in MiB."""
    found = []
    driver_pid = driver.service.process.pid
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = (status.parent / "cmdline").read_text()
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        if "--type=renderer" in command and int(fields["Pid"]) > driver_pid:
            found.append(int(fields["VmRSS"].split()[0]) / 1024)
    return max(found)


def memory(driver: Chrome, texts: Sequence[str]) -> Row:
    """Return the memory of the page after some and after many sentences."""
    found = []
    n_done = 0
    for count in SENTENCES:
        run(driver, TIME, [texts[i % len(texts)] for i in range(n_done, count)], 5)
        n_done = count
        found.append(round(resident_memory(driver), 1))
    return {"figure": "memory", "sentences": SENTENCES, "memory_mib": found}


def parity(driver: Chrome, model: Translator, texts: Sequence[str], beam: int, *, batched: bool) -> Row:
    """Return how many translations in the page are those of this process."""
    expected = model.translate(texts, beam=beam)
    found = run(driver, PARITY, texts, beam, batched)
    same = [(a.score, score) for a, (text, score) in zip(expected, found, strict=True) if a.text == text]
    near = [pair for pair in same if math.isclose(*pair, rel_tol=0, abs_tol=TOLERANCE)]
    return {
        "figure": "parity", "beam": beam, "batched": batched, "texts": len(texts), "same_text": len(same),
        "same_score": len(near), "precision": model.metadata.precision,
    }  # fmt: skip


def measure(options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Yield the rows of the figures that are asked for. Raises UserError."""
    path, texts, lines = model_and_texts(options, folder)
    site = folder / "site"
    with redirect_stdout(sys.stderr):
        if dragoman(["web", path, "--out", str(site), "--onnxruntime", options.onnxruntime]):
            raise UserError("the site cannot be written")
    host = Host(site)
    model = Translator.load(path)
    about = {"model": options.model or RANDOM_MODEL, "file_bytes": Path(path).stat().st_size}
    if "visit" in options.figures:
        yield {**visit(host, texts[0], folder / "visit"), **about}
    with chromium(folder / "profile") as driver:
        driver.get(host.url)
        (url,) = (f"{host.url}{path.relative_to(site).as_posix()}" for path in site.glob("models/*"))
        run(driver, LOAD, url)
        for beam in (1, 5) if "time" in options.figures else ():
            yield {**times(driver, model, texts, beam, options.turns), **about}
        if "peer" in options.figures:
            name, words = add_peer(site, Path(options.bergamot), Path(options.marian_models))
            yield {**peer(driver, name, texts, words, options.turns), **about}
        if "memory" in options.figures:
            yield {**memory(driver, texts), **about}
        for beam in (1, 5) if "parity" in options.figures else ():
            for batched in (False, True):
                yield {**parity(driver, model, lines, beam, batched=batched), **about}


def main() -> int:
    """Measure, print the rows, and record them if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnxruntime", default="tests/web/node_modules/onnxruntime-web", metavar="FOLDER")
    parser.add_argument("--bergamot", default="bench/node_modules/@browsermt/bergamot-translator", metavar="FOLDER")
    parser.add_argument("--marian-models", default="runs/marian", help="folder of Marian's models, built if need be")
    return exit_status(measure, parse(parser, FIGURES, n_texts=100), ("machine", "figure", "model"))


if __name__ == "__main__":
    sys.exit(main())

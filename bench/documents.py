"""Time the translation of a document against that of its bare text, with the command line.

The document is HTML with a paragraph for each line of a corpus's test set. Every paragraph has a bold word, a link and
a line break within a sentence. Run it in the folder of the repository, with nothing else running:
python -m bench.documents MODEL.onnx --corpus data/libreoffice. It prints one JSON object: the median and the quartiles
of the turns' ratios of document to bare text, and the median seconds of both, with the time to load the model.
"""

from __future__ import annotations

import argparse
import html
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.folder import Corpus, check_model_languages


def document(lines: Sequence[str]) -> str:
    """Return an HTML document of lines as paragraphs, with inline tags around random words."""
    draw = random.Random(1)
    paragraphs = []
    for line in lines:
        words = [html.escape(word, quote=False) for word in line.split(" ")]
        for name in ("b", "a href='#'"):
            i = draw.randrange(len(words))
            words[i] = f"<{name}>{words[i]}</{name.split()[0]}>"
        words.insert(len(words) // 2, "\n ")
        paragraphs.append(f"<p>{' '.join(words)}</p>\n")
    return "".join(["<!doctype html>\n<title>Test</title>\n", *paragraphs])


def seconds(model: str, source: Path, target: Path) -> float:
    """Return the time of one command."""
    command = [sys.executable, "-m", "dragoman.runtime", "translate", model, "--in", str(source), "--out", str(target)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(model: str, lines: Sequence[str], turns: int) -> dict[str, object]:
    """Return the figures of several turns, in each of which both ways run once."""
    with tempfile.TemporaryDirectory() as folder:
        plain, marked = Path(folder) / "plain.txt", Path(folder) / "marked.html"
        plain.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        marked.write_text(document(lines), "utf-8")
        times = [
            tuple(seconds(model, source, source.with_name(f"out{source.suffix}")) for source in (plain, marked))
            for _ in range(turns)
        ]
    ratios = [in_document / bare for bare, in_document in times]
    low, _, high = statistics.quantiles(ratios, n=4)
    return {
        "ratio": round(statistics.median(ratios), 3),
        "quartiles": [round(low, 3), round(high, 3)],
        "plain_seconds": round(statistics.median(bare for bare, _ in times), 2),
        "document_seconds": round(statistics.median(marked for _, marked in times), 2),
    }


def main() -> int:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL.onnx", help="model file")
    parser.add_argument("--corpus", required=True, metavar="FOLDER", help="corpus folder, such as data/libreoffice")
    parser.add_argument(
        "--paragraphs", type=int, default=1000, metavar="N", help="lines of the test set (default: 1000)"
    )
    parser.add_argument("--turns", type=int, default=7, metavar="N", help="turns, at least 2 (default: 7)")
    options = parser.parse_args()
    if options.turns < 2:
        parser.error(f"--turns is {options.turns}; quartiles need at least 2")
    try:
        corpus = Corpus(options.corpus)
        check_model_languages(options.model, Translator.load(options.model), options.corpus, corpus.languages)
        lines = [pair.source for pair in islice(corpus.read("test"), options.paragraphs)]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    figures = measure(options.model, lines, options.turns)
    print(json.dumps({"paragraphs": len(lines), "turns": options.turns, **figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

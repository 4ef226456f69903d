"""Fuzz the commands that read what users have: random lines for `translate`, damaged files for `corpus files`.

`make fuzz` runs it at full length; a test runs a short version. It ends with exit status 1 at the first input that
gives a traceback, takes too long or loses a line, and keeps that input.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dragoman.cli import main as dragoman
from dragoman.runtime.metadata import append_checksum

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "tests" / "files" / "35c52c7" / "int8.onnx"
CHECKSUM_ENTRY = 85  # bytes
SECONDS_PER_FILE = 60  # far more than any file here needs on a busy machine

# Blocks of Unicode from which a line takes its characters, besides those that programs treat specially.
BLOCKS = [(0x20, 0x7F), (0x20, 0x7F), (0x30, 0x3A), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700),
          (0x900, 0xE00), (0xE00, 0x1000), (0x1100, 0x1200), (0x1800, 0x18B0), (0x2000, 0x2070), (0x2500, 0x2C00),
          (0x3000, 0x3100), (0x4E00, 0x5000), (0xAC00, 0xAD00), (0xE000, 0xE010), (0xFB50, 0xFE80), (0xFF00, 0x10000),
          (0x10000, 0x10100), (0x1F300, 0x1F700), (0xE0000, 0xE0080), (0x10FFF0, 0x110000)]  # fmt: skip
SPECIAL = [*"\x00\x01\t\x0b\x0c\x1c\x1e\x7f\x85\xa0\xad", "\u2028", "\u2029", "\u200b", "\u200c", "\u200d", "\ufeff",
           "\u2581", "\ufffd", "\ufffe", "</s>", "<unk>", "<0x0A>", ". ", "。", "...", "“", "”", "\r"]  # fmt: skip

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en" datatype="PlainText" segtype="sentence"/><body>
UNITS</body></tmx>
"""
TMX_UNIT = (
    '<tu tuid="NUMBER"><tuv xml:lang="en"><seg>SOURCE <bpt i="1">&lt;b&gt;</bpt>more<ept i="1">&lt;/b&gt;</ept></seg>'
    "</tuv>"
    '<tuv xml:lang="de-DE"><seg>TARGET<ph>&lt;br/&gt;</ph>mehr</seg></tuv></tu>\n'
)
XLIFF_1 = """<?xml version="1.0"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file source-language="en" target-language="de"
datatype="plaintext" original="a"><body>
UNITS</body></file></xliff>
"""
XLIFF_1_UNIT = (
    '<trans-unit id="NUMBER"><source>SOURCE</source><seg-source><mrk mtype="seg" mid="1">SOURCE</mrk></seg-source>'
    '<target><mrk mtype="seg" mid="1">TARGET<x id="1" ctype="lb"/>mehr</mrk></target></trans-unit>\n'
)
XLIFF_2 = """<?xml version="1.0" encoding="utf-8"?>
<xliff version="2.0" xmlns="urn:oasis:names:tc:xliff:document:2.0" srcLang="en" trgLang="de"><file id="f">
UNITS</file></xliff>
"""
XLIFF_2_UNIT = (
    '<unit id="NUMBER"><originalData><data id="d">&lt;br/&gt;</data></originalData><segment><source>SOURCE'
    '<ph id="1" dataRef="d"/>more</source><target>TARGET<pc id="2">mehr</pc></target></segment></unit>\n'
)
PO = """msgid ""
msgstr ""
"Language: de\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

UNITS"""
PO_UNIT = """#. note
#: a.c:NUMBER
#, c-format
msgctxt "NUMBER"
msgid "SOURCE %s\\n"
"more"
msgstr "TARGET %s\\n"
"mehr"

"""
FORMATS = {
    "tmx": (TMX, TMX_UNIT),
    "xlf": (XLIFF_1, XLIFF_1_UNIT),
    "xliff": (XLIFF_2, XLIFF_2_UNIT),
    "po": (PO, PO_UNIT),
}

# Pieces that a mutation inserts: syntax of the formats, encodings and limits.
PIECES = [
    *(b"<", b">", b"&", b"&amp;", b"&#0;", b"&#x1F;", b"&lol;", b"]]>", b"<!--", b"-->", b"<![CDATA[", b"<?x?>", b'"'),
    *(b"'", b"\\", b"\\x", b"\\400", b"\n\n", b"\r", b"\0", b"\x0b", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3"),
    *(b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xe2\x80\xae\xc2\xa0", b"A" * 70_000, b"<b>" * 3000),
    *(
        b"msgid",
        b"msgstr[1] ",
        b"#~ ",
        b"#, fuzzy\n",
        b"<seg/>",
        b"<tu>",
        b"</tu>",
        b"<source/>",
        b"<mrk>",
        b"</target>",
    ),
    b'xml:lang="pt-BR"',
]


class Failure(Exception):
    """An input that a command does not survive."""


def random_line(draw: random.Random) -> str:
    """Return a line of random Unicode, seldom very long. It holds no line feed."""
    length = draw.choice([0, 1, 3, 10, 10, 30, 30, 60, draw.randint(100, 2000) if draw.random() < 0.05 else 5])
    first, last = draw.choice(BLOCKS)
    characters = []
    for _ in range(length):
        if draw.random() < 0.1:
            first, last = draw.choice(BLOCKS)
        special = draw.random() < 0.15
        characters.append(
            draw.choice(SPECIAL) if special else " " if draw.random() < 0.15 else chr(draw.randrange(first, last))
        )
    return "".join(characters).replace("\n", " ")


def random_bytes(draw: random.Random) -> bytes:
    """Return a line in UTF-8, now and then with bytes that are not."""
    data = random_line(draw).encode("utf-8", "replace")
    if draw.random() < 0.1:
        position = draw.randint(0, len(data))
        data = data[:position] + bytes(draw.choices(range(11, 256), k=draw.randint(1, 4))) + data[position:]
    return data.replace(b"\n", b" ")


def newer(model: bytes) -> bytes:
    """Return a model file of an earlier version with the newest text normalisation in its metadata."""
    key, value = b"dragoman.normalisation", b"2"
    entry = bytes([10, len(key)]) + key + bytes([18, len(value)]) + value
    return append_checksum(model[:-CHECKSUM_ENTRY] + bytes([14 << 3 | 2, len(entry)]) + entry)


def fuzz_lines(count: int, seed: int, folder: Path, log: Callable[[str], None]) -> None:
    """Translate random lines, as a file and on standard input. Raise Failure unless each gets its line."""
    draw = random.Random(seed)
    model = folder / "model.onnx"
    model.write_bytes(newer(MODEL.read_bytes()))
    source, output = folder / "lines.txt", folder / "out.txt"
    for start in range(0, count, 10_000):
        size = min(10_000, count - start)
        lines = [random_bytes(draw) for _ in range(size)]
        lines[0] = b"A" + lines[0]  # a byte-order mark of UTF-16 or a compressed file would be another format
        source.write_bytes(b"\n".join(lines) + b"\n")
        command = [sys.executable, "-m", "dragoman", "translate", str(model), "--beam", "1"]
        if start % 20_000:
            done = subprocess.run(
                [*command, "--in", str(source), "--out", str(output)], capture_output=True, check=False
            )
            data = output.read_bytes() if output.exists() else b""
            output.unlink(missing_ok=True)
        else:
            done = subprocess.run(command, input=source.read_bytes(), capture_output=True, check=False)
            data = done.stdout
        errors = done.stderr.decode("utf-8", "replace")
        if done.returncode or "Traceback" in errors or data.count(b"\n") != size:
            raise Failure(
                f"{source}: exit status {done.returncode}, {data.count(10):,} lines for {size:,}: {errors[-500:]}"
            )
        data.decode("utf-8")
        log(f"translate: {start + size:,} of {count:,} lines")


def valid_file(draw: random.Random, suffix: str) -> bytes:
    """Return a file of some pairs in a format."""
    template, unit = FORMATS[suffix]
    units = []
    for number in range(draw.randint(20, 40)):
        word = "".join(draw.choices("abcdefgh", k=6))
        source, target = f"The {word} house is {number} years old", f"Das Haus {word} ist {number} Jahre alt"
        units.append(unit.replace("NUMBER", str(number)).replace("SOURCE", source).replace("TARGET", target))
    return template.replace("UNITS", "".join(units)).encode()


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Return data with a few random changes."""
    for _ in range(draw.choice([1, 1, 2, 5, 20])):
        i = draw.randint(0, len(data))
        j = min(len(data), i + draw.choice([1, 3, 30, 300]))
        change = draw.randrange(6)
        if change == 0:
            data = data[:i] + draw.choice(PIECES) + data[i:]
        elif change == 1:
            data = data[:i] + data[j:]
        elif change == 2:
            data = data[:i] + bytes(draw.choices(range(256), k=j - i)) + data[j:]
        elif change == 3:
            data = data[:j] + data[i:j] * draw.choice([1, 2, 50]) + data[j:]
        elif change == 4 and draw.random() < 0.2:
            data = data[:i]
        elif change == 5 and draw.random() < 0.1:
            encoding = draw.choice(["utf-16", "utf-16-le", "latin-1", "utf-32", "utf-7", "cp037"])
            data = data.decode("utf-8", "replace").encode(encoding, "replace")
    return data


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise Failure in the block when it takes longer."""

    def stop(_: int, __: FrameType | None) -> NoReturn:
        raise Failure(f"it takes more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz_files(count: int, seed: int, folder: Path, log: Callable[[str], None]) -> None:
    """Build corpora from mutated files. Raise Failure unless each ends with a corpus or one sentence."""
    statuses: Counter[tuple[str, int]] = Counter()
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        suffix = [*FORMATS][number % len(FORMATS)]
        path, out = folder / f"{number}.{suffix}", folder / f"corpus-{number}"
        path.write_bytes(mutate(valid_file(draw, suffix), draw))
        text = io.StringIO()
        try:
            with time_limit(SECONDS_PER_FILE), contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                status = dragoman(["corpus", "files", "--pair", "en-de", str(path), "--out", str(out)])
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise Failure(f"{path}: {''.join(traceback.format_exception(error))}") from None
        check(status, text.getvalue(), path, out)
        statuses[suffix, status] += 1
        path.unlink()
        if (number + 1) % 100 == 0:
            log(f"corpus files: {number + 1:,} of {count:,} files")
    for (suffix, status), files in sorted(statuses.items()):
        log(f".{suffix}: {files:,} {'read' if status == 0 else 'refused'}")


def check(status: int, text: str, path: Path, out: Path) -> None:
    """Raise Failure unless a command read all pairs and accounts for each, or refused the file in one line."""
    if status == 2 and not out.exists() and text.rstrip().rpartition("\n")[2].startswith("dragoman: "):
        return
    if status != 0 or not (out / "corpus.json").exists():
        raise Failure(f"{path}: exit status {status}: {text[-500:]}")
    card = json.loads((out / "corpus.json").read_text("utf-8"))
    kept, dropped = sum(card["pairs"].values()), sum(card["dropped"].values())
    if kept + dropped != card["read"]:
        raise Failure(f"{path}: {card['read']} pairs read, {kept} kept and {dropped} dropped")


def main(argv: list[str] | None = None) -> int:
    """Run the fuzzer and return its exit status."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--lines", type=int, default=100_000, help="lines to translate (default: 100,000)")
    p.add_argument("--files", type=int, default=2000, help="files to read (default: 2,000)")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="dragoman-fuzz-"))
    try:
        for fuzz, count in ((fuzz_files, a.files), (fuzz_lines, a.lines)):
            fuzz(count, a.seed, folder, lambda line: print(line, flush=True))
    except Failure as failure:
        print(f"FAILED with --seed {a.seed}: {failure}\nthe input is kept in {folder}", file=sys.stderr)
        return 1
    print(f"no traceback, no hang and no lost line: {a.files:,} files and {a.lines:,} lines, seed {a.seed}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

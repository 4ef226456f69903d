"""Detection of text in an older encoding than UTF-8."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dragoman.runtime.errors import UserError
from dragoman.runtime.languages import primary_subtag
from dragoman.translate.corpus.languages import script_of
from dragoman.translate.corpus.readers.lines import read_byte_lines
from dragoman.translate.corpus.readers.rows import TOLERATED_ERRORS

WESTERN = "Windows-1252"  # has a letter for almost every byte, so it is the last guess

# The usual older encodings of other languages and scripts, by names that iconv and Python know.
LANGUAGE_ENCODINGS = {
    **dict.fromkeys(("bs", "cs", "hr", "hu", "pl", "ro", "sk", "sl", "sq"), ("Windows-1250",)),
    **dict.fromkeys(("az", "tr"), ("Windows-1254",)),
    **dict.fromkeys(("et", "lt", "lv"), ("Windows-1257",)),
    "vi": ("Windows-1258",),
}
SCRIPT_ENCODINGS = {
    "Cyrl": ("Windows-1251",), "Grek": ("Windows-1253",), "Hebr": ("Windows-1255",), "Arab": ("Windows-1256",),
    "Thai": ("CP874",), "Jpan": ("EUC-JP", "CP932"), "Kore": ("CP949",), "Hans": ("GB18030",), "Hant": ("BIG5",),
}  # fmt: skip

EARLY = 1000  # lines that are not UTF-8: if they are the majority by then, the rest of a file is not read

SAMPLE_LINES = 100


def checked_lines(
    path: str | Path, languages: Sequence[str] = (), log: Callable[[str], None] = lambda _: None
) -> Iterator[bytes]:
    """Yield the lines of a file like `read_byte_lines`, and check that they are UTF-8.

    Raises UserError, with the encoding that text of these languages looks like, if most lines beyond ASCII are not. A
    minority is reported to `log`.
    """
    lines = beyond_ascii = bad = 0
    sample: list[bytes] = []

    def problem() -> str:
        return (
            f"{path}: {bad:,} of the first {beyond_ascii:,} lines with letters beyond ASCII are not UTF-8."
            f"{iconv_advice(path, sample, languages)}"
        )

    for line in read_byte_lines(path):
        lines += 1
        if not line.isascii():
            beyond_ascii += 1
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                bad += 1
                if len(sample) < SAMPLE_LINES:
                    sample.append(line)
                if bad >= EARLY and 2 * bad > beyond_ascii:
                    raise UserError(problem()) from None
        yield line
    if 2 * bad > beyond_ascii and (bad > TOLERATED_ERRORS or 10 * bad > lines):
        raise UserError(problem())
    if bad > TOLERATED_ERRORS:
        log(problem())


def iconv_advice(path: str | Path, lines: Sequence[bytes], languages: Sequence[str], looks: str = "They look") -> str:
    """Return a sentence with the encoding that lines look like, and with the command that converts their file."""
    encoding = guess_encoding(lines, languages)
    guess = f" {looks} like {encoding}: " if encoding else " Find out its encoding, here called X: "
    return f"{guess}convert the file with `iconv -f {encoding or 'X'} -t UTF-8 {shlex.quote(str(path))}`"


def guess_encoding(lines: Sequence[bytes], languages: Sequence[str]) -> str | None:
    """Return the first of the usual older encodings of some languages that can decode lines, or None."""
    candidates: list[str] = [
        encoding
        for language in languages
        for encoding in (
            *LANGUAGE_ENCODINGS.get(primary_subtag(language), ()),
            *SCRIPT_ENCODINGS.get(script_of(language) or "", ()),
        )
    ]
    text = b"\n".join(lines)
    for encoding in [*candidates, WESTERN]:
        try:
            text.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return None

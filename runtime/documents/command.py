"""`dragoman translate` with a document."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from dragoman.runtime.documents.files import (
    TranslatedDocument,
    check_ending,
    read_document,
    translate,
    translate_bytes,
)
from dragoman.runtime.documents.formats import FORMATS
from dragoman.runtime.documents.names import format_by_ending
from dragoman.runtime.documents.report import Report
from dragoman.runtime.errors import UserError
from dragoman.runtime.files import is_device, is_same_file, open_device, write_atomically
from dragoman.runtime.line_processing import MAX_WARNINGS, STANDARD_INPUT, check_files
from dragoman.runtime.progress import progress_line
from dragoman.runtime.translator import Translator
from dragoman.runtime.wording import counted

_REPORTS = (".json", ".html")
_OPTIONS_OF_FORMATS = {"keys": ("json",), "columns": ("csv", "tsv"), "fuzzy": ("po", "xliff")}


def translate_document(a: argparse.Namespace) -> int:
    """Run `dragoman translate` with a document and return its exit status."""
    check_files(a, is_text=False)
    _check_options(a)
    translator = Translator.load(a.model, threads=a.threads)
    form = a.format or format_by_ending(a.input)
    options = {
        "encoding": a.encoding or "", "keys": a.keys, "columns": a.columns, "fuzzy": a.fuzzy, "beam": a.beam,
        "length_penalty": a.length_penalty, "batch_size": a.batch_size, "drop_tags": a.drop_tags,
    }  # fmt: skip
    name = a.input or STANDARD_INPUT
    if a.input and a.out and not is_device(Path(a.out)):
        with progress_line(name, None) as line:
            report = translate(
                translator, a.input, a.out, format=form, processes=a.processes, resume=a.resume, progress=line,
                **options,
            )  # fmt: skip
    else:
        translated = _translate_stream(translator, a, form, name, options)
        _write(translated.data, a.out)
        report = translated.report
    _print_listed(report, bool(a.report))
    if a.report:
        text = report.to_html() if Path(a.report).suffix.lower() == ".html" else report.to_json()
        write_atomically(Path(a.report), text.encode("utf-8", "backslashreplace"))
    return 0


def _check_options(a: argparse.Namespace) -> None:
    """Raise UserError for options that make no sense for a document."""
    name = a.input or STANDARD_INPUT
    for option, value in (("--n-best", a.n_best > 1), ("--scores", a.scores), ("--alignments", a.alignments)):
        if value:
            raise UserError(f"{option}: {name} is a document, which has one translation; leave {option} out")
    if a.json:
        raise UserError(f"--json: {name} is a document, which keeps its format; a report is --report FILE.json")
    if a.resume and not a.input:
        raise UserError("--resume: a document on standard input cannot be continued; give it with --in")
    if a.text:
        raise UserError(f"--format {a.format}: give the document with --in, or on standard input, not as {a.text_name}")
    if a.report and Path(a.report).suffix.lower() not in _REPORTS:
        raise UserError(f"--report {a.report}: a report is a .json or a .html file; name it so")
    if a.report and not Path(a.report).absolute().parent.is_dir():
        raise UserError(f"--report {a.report}: there is no folder {Path(a.report).parent}; make it first")
    if a.report:
        for other in filter(None, (a.input, a.out, a.model)):
            if is_same_file(a.report, other):
                raise UserError(f"--report {a.report} would overwrite {other}; name another file")
    form = a.format or format_by_ending(a.input)
    if a.out and not is_device(Path(a.out)):
        check_ending(name, a.out, FORMATS[form])
    for option, forms in _OPTIONS_OF_FORMATS.items():
        if getattr(a, option) and form not in forms:
            titles = " and ".join(name.upper() for name in forms)
            raise UserError(f"--{option} is for {titles}, and {name} is {FORMATS[form].title}; leave --{option} out")


def _translate_stream(
    translator: Translator, a: argparse.Namespace, form: str, name: str, options: dict[str, Any]
) -> TranslatedDocument:
    """Translate a document that comes from standard input, or goes to standard output or a device."""
    data = read_document(a.input, FORMATS[form]) if a.input else sys.stdin.buffer.read(FORMATS[form].max_size + 1)
    return translate_bytes(translator, data, form, name=name, **options)


def _write(data: bytes, path: str | None) -> None:
    """Write a document to a file or a device, or for None to standard output."""
    if path and is_device(Path(path)):
        with open_device(Path(path)) as device:
            device.write(data)
        return
    if path:
        write_atomically(Path(path), data)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _print_listed(report: Report, has_file: bool) -> None:
    """Print the segments that a person should look at on stderr: some of each kind, and the number of the others."""
    counts: Counter[str] = Counter()
    for row in report.listed:
        for problem in row.problems:
            counts[problem.kind] += 1
            if counts[problem.kind] <= MAX_WARNINGS:
                print(f"dragoman: {report.document}, {row.place}: {problem.message}", file=sys.stderr)
    more = sum(max(count - MAX_WARNINGS, 0) for count in counts.values())
    if more:
        hint = "see the report" if has_file else "--report FILE.json lists them"
        print(f"dragoman: {report.document}: {counted(more, 'more finding')}; {hint}", file=sys.stderr)

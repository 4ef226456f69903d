"""Translation of whole documents: files and bytes."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import dragoman
from dragoman.runtime.arguments import whole_number
from dragoman.runtime.compression import without_compression
from dragoman.runtime.documents.formats import Document, Format, format_named, format_of
from dragoman.runtime.documents.journal import Entry, Journal
from dragoman.runtime.documents.names import ENDINGS, FORMAT_NAMES
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.report import Report, Row
from dragoman.runtime.documents.segments import Content
from dragoman.runtime.documents.translation import Problem, Result, Settings, TextTranslator, translate_contents
from dragoman.runtime.errors import Interrupted, UserError, about
from dragoman.runtime.files import is_same_file, write_atomically
from dragoman.runtime.line_processing import BATCHES_AT_ONCE
from dragoman.runtime.output import partial_paths
from dragoman.runtime.process_pool import ordered_map_of
from dragoman.runtime.translator import Translator
from dragoman.runtime.wording import counted

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TranslatedDocument:
    """A translated document and the report on it."""

    data: bytes
    report: Report


def translate(
    translator: Translator,
    source: str | Path,
    target: str | Path,
    *,
    format: str = "",
    encoding: str = "",
    keys: Iterable[str] = (),
    columns: Iterable[str] = (),
    fuzzy: bool = False,
    beam: int | None = None,
    length_penalty: float | None = None,
    batch_size: int = 32,
    drop_tags: bool = False,
    processes: int = 1,
    resume: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Translate a document in a file, and write it to another file.

    Only the text changes: everything else is copied byte for byte. The target is written beside its place and renamed.

    Args:
        translator: A translator.
        source: The document.
        target: The file to write. It must have the format of the source.
        format: The format's name, such as `html`. By default, the ending of `source` decides.
        encoding: Encoding of the document's text; by default the one that it declares, or UTF-8.
        keys: JSON: paths of the strings to translate, such as `menu.title` or `items.*.label`; by default all prose.
        columns: CSV and TSV: names or numbers of the columns to translate; by default all prose.
        fuzzy: PO and XLIFF: mark translations as drafts that a person must review.
        beam: Beam size; by default the model's own.
        length_penalty: Exponent of the length in the score; by default the model's own.
        batch_size: Largest number of texts to translate at once.
        drop_tags: Translate a segment without its inline tags if they cannot be placed. Otherwise its source is kept.
        processes: Number of processes that translate. Each loads the model.
        resume: Continue the FILE.partial that an interrupted call has left.
        progress: A function that takes the number of translated segments and the number of all segments.

    Returns:
        The report, with the segments that a person should look at.

    Raises:
        UserError: A file cannot be read or written, the document is damaged or in no known format, or an argument is
            out of range.
        Interrupted: Ctrl-C; the results so far are kept for `resume`.

    Example:
        >>> report = dragoman.documents.translate(translator, "report.html", "bericht.html")
        >>> [row.place for row in report.listed]
    """
    form = format_named(format) if format else _known_format(source)
    data = read_document(source, form)
    _check_target(source, target, form)
    options = _options(translator, keys, columns, fuzzy)
    settings = _settings(beam, length_penalty, batch_size, drop_tags)
    processes = whole_number("the number of processes", processes, 1)
    with about(source):
        document = Document(data, form, options, encoding)
    facts = {
        "version of Dragoman": dragoman.__version__,  # another one may find other segments
        "model": translator.checksum,
        "input": hashlib.sha256(data).hexdigest(),
        "options": repr([form.name, encoding, asdict(options), beam, length_penalty, drop_tags]),
    }
    journal = Journal(Path(target), facts, resume=resume)
    try:
        contents = [segment.content for segment in document.segments[len(journal.entries) :]]
        with translated(translator, contents, settings, processes) as results:
            for batch in results:
                first = len(journal.entries)
                journal.add([_entry(document, first + i, result) for i, result in enumerate(batch)])
                if progress:
                    progress(len(journal.entries), len(document.segments))
        write_atomically(Path(target), document.write([entry.replacement for entry in journal.entries]))
        journal.finish()
    except BaseException as error:
        if not journal.keep():
            raise
        note = f"repeat the command with --resume to go on after {counted(len(journal.entries), 'segment')}"
        if isinstance(error, UserError):
            raise UserError(f"{error}; {note}") from None
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"interrupted; {note}") from None
        raise
    return _report(str(source), document, translator, journal.entries)


def translate_bytes(
    translator: TextTranslator,
    data: bytes,
    format: str,
    *,
    name: str = "document",
    encoding: str = "",
    keys: Iterable[str] = (),
    columns: Iterable[str] = (),
    fuzzy: bool = False,
    beam: int | None = None,
    length_penalty: float | None = None,
    batch_size: int = 32,
    drop_tags: bool = False,
    progress: Progress | None = None,
) -> TranslatedDocument:
    """Translate a document in memory; see `translate`.

    Args:
        translator: A translator.
        data: The document.
        format: The format's name, such as `html`.
        name: The document's name for the report and for errors.
        encoding: See `translate`, like all further arguments.
        keys: See `translate`.
        columns: See `translate`.
        fuzzy: See `translate`.
        beam: See `translate`.
        length_penalty: See `translate`.
        batch_size: See `translate`.
        drop_tags: See `translate`.
        progress: See `translate`.

    Raises:
        UserError: The document is damaged, too large, or not in the format.
    """
    form = format_named(format)
    settings = _settings(beam, length_penalty, batch_size, drop_tags)
    _check_size(name, len(data), form)
    with about(name):
        document = Document(data, form, _options(translator, keys, columns, fuzzy), encoding)
    entries: list[Entry] = []
    with translated(translator, [segment.content for segment in document.segments], settings) as results:
        for batch in results:
            entries += [_entry(document, i, result) for i, result in enumerate(batch, len(entries))]
            if progress:
                progress(len(entries), len(document.segments))
    written = document.write([entry.replacement for entry in entries])
    return TranslatedDocument(written, _report(name, document, translator, entries))


def translate_fragments(
    translator: TextTranslator, fragments: Sequence[str], format: str, *, beam: int | None = None
) -> list[str]:
    """Translate short documents together, such as fragments of HTML in a request, by the rules of `translate`.

    Raises:
        UserError: A fragment is damaged or too large.
    """
    form = format_named(format)
    options, settings = _options(translator, (), (), fuzzy=False), _settings(beam, None, 32, drop_tags=False)
    documents = [Document(fragment.encode("utf-8"), form, options, "utf-8") for fragment in fragments]
    contents = [segment.content for document in documents for segment in document.segments]
    written = []
    with translated(translator, contents, settings) as batches:
        results = itertools.chain.from_iterable(batches)
        found = [[*itertools.islice(results, len(document.segments))] for document in documents]
    for document, own in zip(documents, found, strict=True):
        entries = [_entry(document, i, result) for i, result in enumerate(own)]
        written.append(document.write([entry.replacement for entry in entries]).decode("utf-8"))
    return written


@contextmanager
def translated(
    translator: TextTranslator, contents: Sequence[Sequence[Content]], settings: Settings, processes: int = 1
) -> Iterator[Iterator[list[Result]]]:
    """Yield an iterator over the results of contents, in batches and in order."""
    size = settings.batch_size * BATCHES_AT_ONCE
    batches = [contents[i : i + size] for i in range(0, len(contents), size)]
    with ordered_map_of(partial(_translate, translator, settings), max(1, min(processes, len(batches)))) as map_:
        yield map_(batches)


def _translate(translator: TextTranslator, settings: Settings, contents: Sequence[Sequence[Content]]) -> list[Result]:
    return translate_contents(translator, contents, settings)


def _entry(document: Document, number: int, result: Result) -> Entry:
    """Return a segment's result as the document spells it."""
    if result.content is None:
        return Entry(None, result.text, result.problems)
    segment = document.segments[number]
    replacement = document.fit(number, segment.write(result.content))
    if replacement is None:
        reason = f"the document's encoding, {document.encoding_of(number)}, lacks characters of its translation"
        return Entry(None, segment.text, (Problem("kept", f"{reason}, so it stays in the source language"),))
    return Entry(replacement, result.text, result.problems)


def _report(name: str, document: Document, translator: TextTranslator, entries: Sequence[Entry]) -> Report:
    languages = translator.metadata.source_language, translator.metadata.target_language
    rows = (
        Row(segment.place, segment.text, entry.text, entry.problems)
        for segment, entry in zip(document.segments, entries, strict=True)
    )
    return Report(name, document.format.name, languages, translator.checksum, tuple(rows))


def _options(translator: TextTranslator, keys: Iterable[str], columns: Iterable[str], fuzzy: bool) -> Options:
    metadata = translator.metadata
    chosen_keys, chosen_columns = ((each,) if isinstance(each, str) else tuple(each) for each in (keys, columns))
    return Options(metadata.source_language, metadata.target_language, chosen_keys, chosen_columns, fuzzy)


def _settings(beam: int | None, length_penalty: float | None, batch_size: int, drop_tags: bool) -> Settings:
    return Settings(beam, length_penalty, whole_number("the batch size", batch_size, 1), drop_tags)


def _known_format(path: str | Path) -> Format:
    if form := format_of(path):
        return form
    raise UserError(f"{path}: its ending is that of no known format; name the format: {', '.join(FORMAT_NAMES)}")


def read_document(path: str | Path, form: Format) -> bytes:
    """Return the bytes of a document. Raises UserError if it is too large for its format, or cannot be read."""
    try:
        with open(path, "rb") as file:
            _check_size(path, os.fstat(file.fileno()).st_size, form)
            data = file.read(form.max_size + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    _check_size(path, len(data), form)
    return data


def _check_size(name: str | Path, size: int, form: Format) -> None:
    if size > form.max_size:
        raise UserError(
            f"{name} has {size / (1 << 20):,.1f} MiB, and {form.title} is read as a whole, up to "
            f"{form.max_size >> 20} MiB; split it"
        )


def _check_target(source: str | Path, target: str | Path, form: Format) -> None:
    """Raise UserError for a target that would overwrite the source, has no folder, or has a wrong ending."""
    for used in (target, f"{target}.part", partial_paths(Path(target))[0]):  # files that are written
        if is_same_file(source, used):
            raise UserError(f"{target} would overwrite {source}; name another file")
    check_ending(source, target, form)
    folder = Path(target).absolute().parent
    if not folder.is_dir():
        raise UserError(f"cannot write {target}: there is no folder {folder}; make it first")


def check_ending(source: str | Path, target: str | Path, form: Format) -> None:
    """Raise UserError for a target whose ending is that of another format, or of a compressed file."""
    if (name := without_compression(str(target))) != str(target):
        raise UserError(f"{target}: documents are written without compression; name it {name}")
    other = format_of(target)
    if other and other.name not in (form.name, "text"):
        raise UserError(
            f"{target} would be {form.title}, as {source} is, and its ending says {other.title}; give it "
            f"the ending {ENDINGS[form.name][0]}"
        )

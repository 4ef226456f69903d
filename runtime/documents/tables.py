"""Tables: CSV and TSV. The text of each cell is translated on its own.

**Delimiter.** TSV has tabs. For CSV, a first line such as `sep=;` names the delimiter. Otherwise it is the one among
`,`, `;`, tab and `|` with which most of the first 100 rows have the same number of fields, and more than one. At a tie
it is the one with more fields, then the first one in this order.

**Header.** There is a header if the options name a column. Otherwise the first row is the header if another row follows
and its cells look like names: not empty, distinct, up to 40 characters long, not digits, and without the punctuation of
a sentence. A header is not translated.

**Cells.** Without columns in the options, all cells are translated that may hold prose: not numbers, dates, addresses,
paths, JSON, and words with digits or underscores. Formulas of spreadsheets are never translated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Literal, NamedTuple

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Content, Segment, Text
from dragoman.runtime.errors import UserError

DELIMITERS = ",;\t|"
SAMPLE_ROWS = 100  # rows by which the delimiter is guessed
MAX_NAME = 40  # characters in a cell of a header
MAX_LISTED = 20  # columns in an error message

_LINE_END = re.compile(r"\r\n|\n|\r")
_DECLARATION = re.compile(rf'"?sep=([{DELIMITERS}])"?(?=[\r\n]|\Z)', re.IGNORECASE)
_SENTENCE_PUNCTUATION = re.compile(r"[.!?…。！？](?:\s|\Z)")

# Spreadsheets take a cell that starts with such a character for a formula, which can run a program.
_FORMULA_STARTS = "=+-@＝＋－＠"
_FORMULA = re.compile(r"=(?!=)|[+@-][\w.]*\(")

# Each alternative can match in one way only, which bounds the time.
_NO_PROSE = re.compile(
    r"[a-z][a-z0-9+.-]*:(?://|[^\s/:@]+@)\S*|www\.\S+|[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+"  # a page or mail address
    r"|(?:[a-z]:|~|\.{1,2})?[/\\]\S*|[^\s/\\]+[/\\]\S*\.\w{1,5}|[^\s/\\.]+(?:\.[a-z0-9]{1,8})+"  # a path or a file name
    r"|(?=[^\s\d_]*[\d_])[!-~]+"  # an identifier, a number or a date
    r"|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.]*\s?(?:Z|UTC|GMT|[+-][0-9:]+)?",
    re.IGNORECASE,
)


def csv_segments(source: str, options: Options) -> list[Segment]:
    """Return the cells of a CSV document to translate. Raises UserError for an unknown column or an unclosed quote."""
    start = _start(source)
    declaration = _DECLARATION.match(source, start)
    return _segments(source, declaration[1] if declaration else _guess_delimiter(source, start), options)


def tsv_segments(source: str, options: Options) -> list[Segment]:
    """Return the cells of a TSV document to translate. Raises UserError for an unknown column or an unclosed quote."""
    return _segments(source, "\t", options)


class _Field(NamedTuple):
    """A field of a row.

    Attributes:
        start: Offset of its text, without a quote.
        end: Offset of the end of its text.
        kind: `plain` or `quoted`; `literal` for a field of TSV whose text starts with a quote; `broken` for a field of
            CSV with text after its closing quote.
        after: Offset of the delimiter or line end after the field.
    """

    start: int
    end: int
    kind: Literal["plain", "quoted", "literal", "broken"]
    after: int


def _start(source: str) -> int:
    return int(source.startswith("\ufeff"))


def _guess_delimiter(source: str, start: int) -> str:
    return max(DELIMITERS, key=lambda delimiter: _evenness(source, start, delimiter))


def _evenness(source: str, start: int, delimiter: str) -> tuple[float, int]:
    """Return the share of rows with the most frequent number of fields above one, and that number."""
    sizes = []
    try:
        for row in islice(_rows(source, start, delimiter), SAMPLE_ROWS):
            if not _is_empty(row):
                sizes.append(len(row))
    except UserError:
        pass  # the rows before the quote decide; the caller meets the quote again
    n_rows_of = Counter(size for size in sizes if size > 1)
    if not n_rows_of:
        return 0.0, 0
    size, n_rows = max(n_rows_of.items(), key=lambda item: (item[1], item[0]))
    return n_rows / len(sizes), size


def _rows(source: str, position: int, delimiter: str) -> Iterator[list[_Field]]:
    """Yield the rows of a table. An empty line is a row with one empty field."""
    plain = re.compile(rf"[^{re.escape(delimiter)}\r\n]*")
    row: list[_Field] = []
    while position < len(source):
        row.append(_field(source, position, plain, is_tsv=delimiter == "\t"))
        position = row[-1].after
        line_end = _LINE_END.match(source, position)
        if line_end or position == len(source):
            yield row
            row = []
        position = line_end.end() if line_end else position + 1
    if row:  # the document ends with a delimiter
        yield [*row, _Field(len(source), len(source), "plain", len(source))]


def _field(source: str, start: int, plain: re.Pattern[str], is_tsv: bool) -> _Field:
    quote = start
    while source.startswith(" ", quote):
        quote += 1
    if source.startswith('"', quote):
        end = _closing_quote(source, quote)
        after = _end(plain, source, end + 1)
        if not source[end + 1 : after].strip(" "):
            return _Field(quote + 1, end, "quoted", after)
        if not is_tsv:
            return _Field(start, after, "broken", after)
    after = _end(plain, source, start)
    return _Field(start, after, "literal" if source.startswith('"', quote) else "plain", after)


def _end(pattern: re.Pattern[str], source: str, position: int) -> int:
    match = pattern.match(source, position)
    assert match
    return match.end()


def _closing_quote(source: str, quote: int) -> int:
    """Return the offset of the quote that closes a field, where two quotes stand for one within it."""
    end = source.find('"', quote + 1)
    while end >= 0 and source.startswith('"', end + 1):
        end = source.find('"', end + 2)
    if end < 0:
        line = 1 + sum(1 for _ in _LINE_END.finditer(source, 0, quote))
        raise UserError(
            f"the quote in line {line:,} that opens a field is never closed; the field must end with a quote, and each "
            "quote within it must be doubled"
        )
    return end


def _is_empty(row: Sequence[_Field]) -> bool:
    return len(row) == 1 and row[0].kind == "plain" and row[0].start == row[0].end


def _text(source: str, field: _Field) -> str:
    text = source[field.start : field.end]
    return text.replace('""', '"') if field.kind == "quoted" else text


def _segments(source: str, delimiter: str, options: Options) -> list[Segment]:
    start = _start(source)
    every_row = enumerate(_rows(source, start, delimiter), start=1)
    rows = [(number, row) for number, row in every_row if not _is_empty(row)]
    if _DECLARATION.match(source, start):
        del rows[0]
    first_row = [" ".join(_text(source, field).split()) for field in rows[0][1]] if rows else []
    has_header = not all(map(_is_number, options.columns)) or (len(rows) > 1 and _is_header(first_row))
    header = first_row if has_header else []
    columns = _columns(options.columns, header, max((len(row) for _, row in rows), default=0))
    segments = []
    for number, row in rows[has_header:]:
        for column, field in enumerate(row):
            if column in columns or not options.columns:
                text = _text(source, field).strip()
                is_wanted = any(map(str.isalnum, text)) if options.columns else _is_prose(text)
                if is_wanted and field.kind != "broken" and not _FORMULA.match(text):
                    name = header[column] if column < len(header) and header[column] else column + 1
                    segments.append(_segment(source, field, delimiter, text, f"row {number:,}, column {name}"))
    return segments


def _is_number(column: str) -> bool:
    return column.isdecimal() and len(column) < 10


def _is_header(cells: Sequence[str]) -> bool:
    return len(set(cells)) == len(cells) and all(
        cell and len(cell) <= MAX_NAME and not cell.isdecimal() and not _SENTENCE_PUNCTUATION.search(cell)
        for cell in cells
    )


def _columns(wanted: Sequence[str], header: Sequence[str], width: int) -> set[int]:
    """Return the positions of columns, counted from 0. Several columns can have one name."""
    columns: set[int] = set()
    for column in wanted:
        if _is_number(column):
            found = {int(column) - 1} if 1 <= int(column) <= width else set()
        else:
            found = {i for i, name in enumerate(header) if name == " ".join(column.split())}
        if not found:
            raise UserError(f'the table has no column "{column}"; {_description(header, width)}')
        columns |= found
    return columns


def _description(header: Sequence[str], width: int) -> str:
    if not width:
        return "it is empty"
    if not header:
        return f"it has no header, and its columns have the numbers 1 to {width}"
    names = ", ".join(f'"{name if len(name) <= MAX_NAME else name[:MAX_NAME] + "…"}"' for name in header[:MAX_LISTED])
    rest = f" and {len(header) - MAX_LISTED} more" if len(header) > MAX_LISTED else ""
    return f"its columns are {names}{rest}"


def _is_prose(text: str) -> bool:
    if not any(map(str.isalpha, text)):
        return False
    is_json = text[0] + text[-1] in ("{}", "[]") and ('":' in text or text[:2] in ('["', "[{"))
    return not is_json and not _NO_PROSE.fullmatch(text)


def _segment(source: str, field: _Field, delimiter: str, text: str, place: str) -> Segment:
    start, end = field.start, field.end
    spelling = source[start:end]
    before, after = spelling[: len(spelling) - len(spelling.lstrip())], spelling[len(spelling.rstrip()) :]
    if field.kind == "quoted":  # else the quotes that a translation may need must enclose the spaces
        start, end = start + len(before), end - len(after)
    content = (Text(text),)
    write = partial(
        _write,
        original=content,
        spelling=source[start:end],
        kind=field.kind,
        delimiter=delimiter,
        spaces=(before, after),
    )
    return Segment(start, end, content, place, write)


def _write(
    content: Sequence[Content],
    original: tuple[Text],
    spelling: str,
    kind: str,
    delimiter: str,
    spaces: tuple[str, str],
) -> str:
    """Return the text of a field, with quotes if it needs some. See `Segment.write`."""
    if tuple(content) == original:
        return spelling
    text = "".join(item.text if isinstance(item, Text) else item.source for item in content)
    first = text.lstrip()[:1]
    if first and first in _FORMULA_STARTS and first != original[0].text[0]:
        text = re.sub(rf"\A[\s{re.escape(_FORMULA_STARTS)}]+", "", text)
    if kind == "quoted":
        return text.replace('"', '""')
    if delimiter == "\t":
        text = re.sub(r"[\t\r\n]+", " ", text)
        needs_quotes = text.lstrip(" ").startswith('"') and not (kind == "literal" and _is_literal(text))
    else:
        needs_quotes = not text or text != text.strip() or any(c in text for c in (delimiter, '"', "\r", "\n"))
    text = spaces[0] + text + spaces[1]
    return '"' + text.replace('"', '""') + '"' if needs_quotes else text


def _is_literal(text: str) -> bool:
    """Return whether a text that starts with a quote has its closing quote in the middle."""
    try:
        return _field(text, 0, re.compile("[^\t\r\n]*"), is_tsv=True).kind == "literal"
    except UserError:
        return False

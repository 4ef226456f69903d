"""CSV and TSV, as the standard library reads them before and after."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Segment, Text, replace_segments
from dragoman.runtime.documents.tables import csv_segments, tsv_segments
from dragoman.runtime.errors import UserError


def read(source: str, delimiter: str = ",") -> list[list[str]]:
    lines = io.StringIO(source.removeprefix("\ufeff"), newline="")
    return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))


def find(source: str, delimiter: str = ",", *columns: str) -> list[Segment]:
    return (tsv_segments if delimiter == "\t" else csv_segments)(source, Options(columns=columns))


def texts(source: str, delimiter: str = ",", *columns: str) -> list[str]:
    return [segment.text for segment in find(source, delimiter, *columns)]


def replaced(source: str, segments: list[Segment], change: Callable[[str], str]) -> str:
    assert replace_segments(source, [(s, s.write(s.content)) for s in segments]) == source
    return replace_segments(source, [(s, s.write([Text(change(s.text))])) for s in segments])


def first_written(source: str, text: str, delimiter: str = ",") -> str:
    segment = find(source, delimiter)[0]
    return replace_segments(source, [(segment, segment.write([Text(text)]))])


AS_FOUND = {
    "plain": ("id,text\n1,Hello you\n2,Bye\n", ["Hello you", "Bye"]),
    "carriage returns": ("id,text\r\n1,Hello you\r\n2,Bye\r\n", ["Hello you", "Bye"]),
    "old Mac": ("id,text\r1,Hello you\r2,Bye", ["Hello you", "Bye"]),
    "byte order mark": ('\ufeff"id",text\n1,Hello you\n', ["Hello you"]),
    "quoted": ('"id","text"\n"1","Hello, ""you"""\n', ['Hello, "you"']),
    "line breaks in quotes": ('id,text\n1,"Hello\nyou,\r\ntoo"\n2,Bye', ["Hello\nyou,\r\ntoo", "Bye"]),
    "spaces": ('id, text\n1, Hello you \n2, "Bye, bye"  \n3, "  All  "\n', ["Hello you", "Bye, bye", "All"]),
    "quote within": ('id,text\n1,a 5" pipe\n', ['a 5" pipe']),
    "empty quotes": ('id,text\n"",""\n"",Hello\n', ["Hello"]),
    "ragged": ("id,text\n1\n2,Hello,you\n3,Bye\n", ["Hello", "you", "Bye"]),
    "empty lines": ("\nid,text\n\n1,Hello\n\n\n2,Bye\n\n", ["Hello", "Bye"]),
    "one column": ("text\nHello\nBye", ["Hello", "Bye"]),
    "delimiter at the end": ("id,text\n1,Hello,", ["Hello"]),
    "text after a quote": ('id,text\n1,"Hello" you\n2,Bye\n', ["Bye"]),
    "backslash before a quote": ('id,text\n1,"a \\"b\\" c"\n2,Bye\n', ["Bye"]),
    "undecodable byte": ("id,text\n1,caf\udce9 noir\n", ["caf\udce9 noir"]),
    "empty": ("", []),
    "only a mark": ("\ufeff", []),
}  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(("source", "expected"), AS_FOUND.values(), ids=AS_FOUND)
def test_csv_as_found(source: str, expected: list[str], delimiter: str) -> None:
    """Each kind of table gives the texts, and another reader finds exactly these changed."""
    source = source.replace(",", delimiter)
    if delimiter == "\t" and '"Hello" you' in source:
        pytest.skip("in tables with tabs this is text with quotes")
    expected = [text.replace(",", delimiter) for text in expected]
    segments = [s for s in csv_segments(source, Options()) if "\\" not in s.text]
    assert [segment.text for segment in segments] == expected
    result = replaced(source, segments, lambda text: f'«"{text}{delimiter}»')
    before, after = read(source, delimiter), read(result, delimiter)
    assert [len(row) for row in before] == [len(row) for row in after]
    changes = [b for row, new in zip(before, after, strict=True) for a, b in zip(row, new, strict=True) if a != b]
    spaced = [change.strip().replace("\t", " ") for change in changes]  # without quotes, tabs become spaces
    assert spaced == [f'«"{text}{delimiter}»'.replace("\t", " ") for text in expected]


TSV = {
    "plain": ("id\ttext\n1\tHello, you\n", ["Hello, you"]),
    "quotes within": ('id\ttext\n1\tHe said "hello" to me\n', ['He said "hello" to me']),
    "quoted": ('id\ttext\n1\t"Hello\t""you"""\n', ['Hello\t"you"']),
    "quotation at the start": ('id\ttext\n1\t"Hello," he said.\n', ['"Hello," he said.']),
    "quotations in two rows": ('id\ttext\n1\t"Hello.\n2\t"Bye," he said.\n', ['"Hello.', '"Bye," he said.']),
}


@pytest.mark.parametrize(("source", "expected"), TSV.values(), ids=TSV)
def test_tsv_as_found(source: str, expected: list[str]) -> None:
    """TSV mostly has no quotes around fields; where it has, they count."""
    assert texts(source, "\t") == expected
    result = replaced(source, find(source, "\t"), str.swapcase)
    assert texts(result, "\t") == [text.swapcase() for text in expected]
    if len(expected) == 1:  # the oracle takes the quotes in two rows for those of one field
        assert [[c.swapcase() for c in row] for row in read(source, "\t")[1:]] == read(result, "\t")[1:]


def test_tsv_has_no_new_lines_or_columns() -> None:
    """Tabs and line breaks become spaces; a quote at the start of a field would open it."""
    assert first_written("id\ttext\n1\tHello\n", 'a\tb\r\nc "d"', "\t") == 'id\ttext\n1\ta b c "d"\n'
    assert first_written("id\ttext\n1\tHello\n", '"a\tb', "\t") == 'id\ttext\n1\t"""a b"\n'
    assert first_written('id\ttext\n1\t"A" b\n', '"C" d', "\t") == 'id\ttext\n1\t"C" d\n'
    assert first_written('id\ttext\n1\t"A" b\n', '"C d', "\t") == 'id\ttext\n1\t"""C d"\n'


cells = st.text(st.sampled_from('ab ,;|\t"\n\r=+-@.1') | st.characters(exclude_categories=["Cs"]), max_size=8)
FORMULAS = tuple("=+-@＝＋－＠")


@given(
    st.lists(st.lists(cells, min_size=3, max_size=4), min_size=1, max_size=4),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    cells,
)
def test_any_table(table: list[list[str]], delimiter: str, ending: str, quoting: int, text: str) -> None:
    """Any text in any cell is read back as it was, and no other cell changes."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=ending, quoting=quoting)  # type: ignore[arg-type]  # an int
    writer.writerows(table)
    source = f"sep={delimiter}{ending}{file.getvalue()}"
    before = read(source, delimiter)
    segments = csv_segments(source, Options(columns=("1", "3")))
    result = replaced(source, segments, lambda _: text)
    after = read(result, delimiter)
    places = {(int(s.place.split(",")[0][4:]) - 1, (s.place.rsplit(" ", 1)[-1])) for s in segments}
    assert len(places) == len(segments)
    expected = text if delimiter != "\t" else text.translate({9: " ", 10: " ", 13: " "})
    n_changed = 0
    for i, (row, new) in enumerate(zip(before, after, strict=True)):
        for a, b in zip(row, new, strict=True):
            if a != b:
                n_changed += 1
                assert i in {row for row, _ in places}
                assert bare(b) == bare(expected)
                assert not (b.startswith(FORMULAS) and not a.strip().startswith(b[0]))
    if bare(text) not in {"", *(bare(segment.text) for segment in segments)}:
        assert n_changed == len(segments)


def bare(text: str) -> str:
    """Return text without what the writer may drop or add: a formula's start, and white space."""
    return "".join(text.split()).lstrip("".join(FORMULAS)).replace("\x1c", "")


@given(cells, st.sampled_from(["=", "+", "-", "@", "＝", " =", "\t=", "=-", ""]), st.sampled_from([",", "\t"]))
@example("\x1f@a", "=", ",")
@example("cmd|' /C calc'!A0", "=", ",")
def test_no_new_formula(text: str, start: str, delimiter: str) -> None:
    """A translation starts a formula only where the source had the same character."""
    for cell in ("Hello", '"Hello"', " Hello"):
        cell_after = read(
            first_written(f"id{delimiter}text\n1{delimiter}{cell}\n", start + text, delimiter), delimiter
        )[1][1]
        assert not cell_after.strip().startswith(FORMULAS)
    written = first_written(f"id{delimiter}text\n1{delimiter}- Hello\n", "- x", delimiter)
    assert written.endswith(f"{delimiter}- x\n")


@pytest.mark.parametrize("text", ["", "a,b", 'a"b', "a\nb", "a\rb", " a", "a ", "a"])
def test_quotes_where_needed(text: str) -> None:
    """Quotes are added only where the text needs them, with the spaces of the field within."""
    quotes = '"' if text != "a" else ""
    doubled = text.replace('"', '""')
    assert first_written("id,text\n1, Hello ,x\n", text) == f"id,text\n1,{quotes} {doubled} {quotes},x\n"
    assert first_written('id,text\n1, " Hello " ,x\n', text) == f'id,text\n1, " {doubled} " ,x\n'


@pytest.mark.parametrize(("source", "delimiter"), [
    ("id;text\n1;Hello, you\n2;Bye, you\n", ";"),
    ("name;price\na;1,5\nb;2,5\n", ";"),
    ("a;1,5;c\nb;2,5;d\n", ";"),
    ("id\ttext\n1\tHello, you; bye\n", "\t"),
    ("id|text\n1|Hello, you\n", "|"),
    ('id,text\n1,"a;b"\n2,"c;d;e"\n', ","),
    ("Report; 2023\nid,text\n1,a\n2,b\n", ","),
    ("sep=;\na,b;c,d\n", ";"),
    ("SEP=|\r\na,b|c,d\r\n", "|"),
    ("text\nHello\n", ","),
    ('id;text\n1;a, "b\n2;c\n', ";"),
    ('id;text\n1;"Hello,\n""you"""\n', ";"),
    ("", ","),
])  # fmt: skip
def test_delimiter(source: str, delimiter: str) -> None:
    """The delimiter is the one that splits the rows evenly, also beside commas in text and in numbers."""
    result = replaced(source, csv_segments(source, Options(columns=("1",) if source else ())), lambda _: "x,y;z\tu|v")
    assert [len(row) for row in read(source, delimiter)] == [len(row) for row in read(result, delimiter)]
    assert all(row[0] in (old[0], "x,y;z\tu|v", "x,y;z u|v") for row, old in zip(
        read(result, delimiter), read(source, delimiter), strict=True))  # fmt: skip


@pytest.mark.parametrize(("first", "is_header"), [
    ("id,text", True), ("Name,Name of the product", True), ("id,", False), ("a,a", False), ("2019,2020", False),
    ("id," + "x" * 41, False), ("id," + "x" * 40, True), ("Hello.,you", False),
    ("Oh! No,you", False), ("Nr.2,v1.5", True),
])  # fmt: skip
def test_header(first: str, is_header: bool) -> None:
    """The first row is the header if its cells look like names and another row follows."""
    cells = [cell for cell in first.split(",") if any(map(str.isalnum, cell))]
    assert texts(f"{first}\nfoo,bar\n", ",", "1", "2") == [*(cells * (not is_header)), "foo", "bar"]
    assert texts(first, ",", "1", "2") == cells


def test_columns() -> None:
    """Columns are chosen by name or number; names mean that there is a header, whatever it looks like."""
    source = 'id,The text.,note,"The text."\n1,Hello,2020,Bye\n2\n3,See,v_1\n'
    assert texts(source, ",", "The text.") == ["Hello", "Bye", "See"]
    assert texts(source, ",", " The  text. ", "3") == ["Hello", "2020", "Bye", "See", "v_1"]
    assert texts(source, ",", "3") == ["note", "2020", "v_1"]
    assert [s.place for s in find(source, ",", "The text.", "1")] == [
        "row 2, column id", "row 2, column The text.", "row 2, column The text.", "row 3, column id",
        "row 4, column id", "row 4, column The text.",
    ]  # fmt: skip
    assert [s.place for s in find("1,foo\n\n3,bar\n")] == ["row 1, column 2", "row 3, column 2"]


@pytest.mark.parametrize(("source", "column", "message"), [
    ("id,text\n1,a\n", "titel", 'no column "titel"; its columns are "id", "text"$'),
    ("id,text\n1,a\n", "ID", 'no column "ID"'),
    ("id,text\n1,a\n", "3", 'no column "3"; its columns are "id", "text"$'),
    ("id,text\n1,a\n", "0", 'no column "0"'),
    ("1,a.\n2,b.\n", "3", 'no column "3"; it has no header, and its columns have the numbers 1 to 2$'),
    ("id,text\n", "9" * 5000, 'no column "9'),
    ("id,text\n", "", 'no column ""'),
    ("", "text", 'no column "text"; it is empty$'),
    (",".join(f"c{i}" for i in range(99)) + "\n", "x", '"c19" and 79 more$'),
    ('id,"two\nlines"\n', "x", '"two lines"$'),
])  # fmt: skip
def test_unknown_column(source: str, column: str, message: str) -> None:
    """The error names the column and lists those that there are, in one line."""
    with pytest.raises(UserError, match=message) as error:
        csv_segments(source, Options(columns=(column,)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("find_segments", [csv_segments, tsv_segments])
@pytest.mark.parametrize(("source", "line"), [
    ('"', 1), ('id\n1\n"a\nb\n', 3), ('id\r\n"a\r\nb"\r\n "c""\r\n', 4), ('id\r"a""\rb', 2),
])  # fmt: skip
def test_unclosed_quote(find_segments: Callable[[str, Options], list[Segment]], source: str, line: int) -> None:
    """The error names the line in which the quote opened."""
    with pytest.raises(UserError, match=f"quote in line {line} .* never closed"):
        find_segments(source, Options())


NO_PROSE = [
    "42", "3.14", "-7 %", "1e5", "$5.00", "2020-01-31", "2020-01-31T10:00:00Z", "2020-01-31 10:00 UTC", "12:30", "...",
    "https://example.com/a?b=c", "HTTP://X.ORG", "www.example.com", "mailto:me@example.com", "me@example.co.uk",
    "user_id", "abc123", "SKU-123-X", "A1", "__init__", "550e8400-e29b-41d4-a716-446655440000", "example.com",
    "abcdefab-abcd-abcd-abcd-abcdefabcdef", "/usr/share/doc", "C:\\Windows\\x.exe", "../a/b", "src/main.py",
    "photo.jpeg", '{"key": "some value"}', '["one value", "another"]', '[{"a": 1}]', "=SUM(A1:A3)",
    '=HYPERLINK("x","y")', "@SUM(A1)", "+cmd(x)",
]  # fmt: skip
PROSE = [
    "Hello", "Hello you", "An e-mail to me@example.com", "See https://example.com", "Version 2", "and/or", "Dr. No",
    "Größe", "我有3本书", "Note: this", "e-mail", "A.", "5 apples", "[door slams]", "10 km", "It's", "- item", "a = b",
    "== Title ==", "Что?",
]  # fmt: skip


def test_prose() -> None:
    """Without columns, only prose is translated; formulas never are."""
    source = "".join("x,{}\n".format('"' + cell.replace('"', '""') + '"') for cell in [*NO_PROSE, *PROSE])
    found = [segment.text for segment in csv_segments(source, Options()) if segment.place.endswith("2")]
    assert found == PROSE
    chosen = texts(source, ",", "2")
    assert [text for text in chosen if text.startswith(("=S", "=H", "@", "+"))] == []
    assert {"42", "user_id", "photo.jpeg"} <= {*chosen}


@given(st.text(st.sampled_from('a1 ,;\t|"\n\r=.')) | st.text(), st.sampled_from([csv_segments, tsv_segments]))
def test_any_source(source: str, find_segments: Callable[[str, Options], list[Segment]]) -> None:
    """No input makes a traceback, and untouched cells are written as they were."""
    try:
        segments = find_segments(source, Options())
    except UserError:
        assume(False)
    assert replace_segments(source, [(s, s.write(s.content)) for s in segments]) == source
    assert [s.start for s in segments] == sorted(s.start for s in segments)


N, FEW = 300_000, 10_000  # repetitions within a cell, and of cells
HOSTILE = {
    "commas": "," * FEW, "quotes": '"' * (2 * N), "pairs": '"a"\n' * FEW, "junk": '"a\n""b' * FEW,
    "odd": '"""a"\t\n' * FEW, "triple": '"a\n' + '""b\n' * FEW + '"c', "spaces": " " * N + "x",
    "spaces and a quote": (" " * 99 + '"a') * FEW + '"',
    "lines": "\n" * FEW, "returns": "\r" * FEW, "slashes": "a" + "/" * N + " b", "dots": "a." * N + " b",
    "at": "a@" * N + " b", "mail": "a:" + "@" * N + " b", "mails": "a@" + "b." * N + " c", "paths": "a/." * N + " b",
    "digits": "1" * N + "é b", "underscores": "_" * N + " b", "colons": '{a":' + '":' * N + "x",
    "letters": "a" * N + " 1", "hex": "abcdef-" * N + " x", "brackets": "[" * N + "a",
    "names": ",".join(f"name{i}" for i in range(FEW)) + "\na\n",
}  # fmt: skip


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("find_segments", [csv_segments, tsv_segments])
def test_hostile_input(find_segments: Callable[[str, Options], list[Segment]], source: str) -> None:
    """Long input takes linear time. With quadratic time this test would not end."""
    try:
        segments = find_segments(source, Options())
    except UserError:  # a quote that is never closed
        return
    for segment in segments[:2]:
        assert segment.write([Text(source)])


def real_files() -> list[Path]:
    roots = {Path(root) for root in (*sys.path, "/usr/share/distro-info") if root.endswith(("packages", "-info"))}
    found = (path for root in sorted(roots) for suffix in ("csv", "tsv") for path in root.rglob(f"*.{suffix}"))
    return [path for path in found if path.stat().st_size < 100_000]


def test_real_files() -> None:
    """Tables that other packages ship have exactly their texts changed."""
    n_texts = 0
    for path in real_files():
        with path.open(encoding="utf-8-sig", newline="") as file:
            source = file.read()
        delimiter = "\t" if path.suffix == ".tsv" else ","
        segments = find(source, delimiter)
        result = replaced(source, segments, lambda text: f'"{text}", ß')
        before, after = read(source, delimiter), read(result, delimiter)
        changes = [
            (a.strip(), b.strip())
            for row, new in zip(before, after, strict=True)
            for a, b in zip(row, new, strict=True)
            if a != b
        ]
        assert changes == [(s.text, f'"{s.text}", ß') for s in segments]
        n_texts += len(segments)
    if not n_texts:
        pytest.skip("no package on this machine ships tables with text")

"""Tests of tables: header rows, CSV, and text in older encodings."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.files import read_files
from dragoman.translate.corpus.readers.headers import find_header, other_languages
from dragoman.translate.corpus.readers.legacy_encodings import guess_encoding
from dragoman.translate.corpus.readers.lines import read_strict
from dragoman.translate.corpus.readers.rows import RawRow, UnreadableRow

EN_DE = ("en", "de")
BODY = [("a dog", "ein Hund"), ("a cat", "eine Katze"), ("a cow", "eine Kuh")]


def read(path: Path, content: str | bytes, languages: tuple[str, str] = EN_DE, **options: Any) -> list[RawRow]:  # noqa: ANN401 (options of read_files)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [*read_files([str(path)], languages, **options)]


def pairs_of(rows: list[RawRow]) -> list[tuple[str, str]]:
    pairs = [row for row in rows if not isinstance(row, UnreadableRow)]
    return [(source.decode(), target.decode()) for source, target in pairs]  # type: ignore[union-attr]  # tables yield bytes


def problems_of(rows: list[RawRow]) -> list[str]:
    return [row.problem for row in rows if isinstance(row, UnreadableRow)]


HEADERS = [
    ("source\ttarget", EN_DE, (1, 2)),
    ("Source\tTarget", EN_DE, (1, 2)),
    ("target\tsource", EN_DE, (2, 1)),
    ("en\tde", EN_DE, (1, 2)),
    ("de\ten", EN_DE, (2, 1)),
    ("EN\tDE", EN_DE, (1, 2)),
    ("English\tGerman", EN_DE, (1, 2)),
    ("German\tEnglish", EN_DE, (2, 1)),
    ("Deutsch\tEnglisch", EN_DE, (2, 1)),
    ("English\tDeutsch", EN_DE, (1, 2)),
    ("src\ttgt\tscore", EN_DE, (1, 2)),
    ("score\tsrc\ttrg", EN_DE, (2, 3)),
    ("id\tsource_text\ttranslation", EN_DE, (2, 3)),
    ("sentence_eng_Latn\tsentence_deu_Latn", EN_DE, (1, 2)),
    ("id\tEnglish sentence\tGerman sentence", EN_DE, (2, 3)),
    ("source_lang\ttarget_lang\tsource\ttarget", EN_DE, (3, 4)),
    ("source_de\ttarget_en", EN_DE, (2, 1)),
    ("en-GB\ten\tde-AT\tde", EN_DE, (2, 4)),
    ("en-US\tde-DE", EN_DE, (1, 2)),
    ("eng\tdeu", EN_DE, (1, 2)),
    ("fr\ten\tit\tde", EN_DE, (2, 4)),
    ("text_en\ttext_de", EN_DE, (1, 2)),
    ("Original\tReference", EN_DE, (1, 2)),
    ("Chinese (Simplified)\tEnglish", ("en", "zh"), (2, 1)),
    ("中文\tEnglish", ("en", "zh"), (2, 1)),
    ("pt_BR\ten", ("en", "pt_BR"), (2, 1)),
    ("Portuguese (Brazil)\tEnglish", ("en", "pt_BR"), (2, 1)),
    ("Brazilian Portuguese\tEnglish", ("en", "pt_BR"), (2, 1)),
    ("pt\ten", ("en", "pt_BR"), (2, 1)),
    ("no\tis", ("no", "is"), (1, 2)),
    ("id\ten", ("id", "en"), (1, 2)),
    ("id\tsource\ttarget", ("id", "en"), (2, 3)),
    ("id\ten\tIndonesian", ("id", "en"), (3, 2)),
]

# First pairs of real glossaries and phrase books, which look much like a header.
PAIRS = [
    ("source\tQuelle", EN_DE),
    ("Source\tSource", ("en", "fr")),
    ("translation\ttraduction", ("en", "fr")),
    ("original\toriginal", ("en", "es")),
    ("text\tText", EN_DE),
    ("score\tPunkte", EN_DE),
    ("English\tEnglisch", EN_DE),
    ("German\tDeutsch", EN_DE),
    ("French\tFranzösisch", EN_DE),
    ("language\tSprache", EN_DE),
    ("to\tzu", EN_DE),
    ("no\tnein", EN_DE),
    ("as\tals", EN_DE),
    ("is\tist", EN_DE),
    ("target\tZiel", EN_DE),
    ("The source is here.\tDie Quelle ist hier.", EN_DE),
    ("translate the source text into the target text now\tx", EN_DE),
    ("1\t2", EN_DE),
    ("en\tfr", EN_DE),
    ("source\ten", EN_DE),
    ("en_id\tde_id", EN_DE),
    ("\t", EN_DE),
]


@pytest.mark.parametrize(("header", "languages", "columns"), HEADERS)
@pytest.mark.parametrize("quoted", [False, True])
def test_headers_choose_the_columns(
    tmp_path: Path, header: str, languages: tuple[str, str], columns: tuple[int, int], quoted: bool
) -> None:
    width = header.count("\t") + 1
    rows = []
    for pair in BODY:
        fields = [f"other {i}" for i in range(width)]
        for column, side in zip(columns, pair, strict=True):
            fields[column - 1] = side
        rows.append("\t".join(fields))
    table = [header, *rows]
    if quoted:
        table = ['"' + line.replace("\t", '"\t"') + '"' for line in table]
    messages: list[str] = []
    result = read(tmp_path / "a.tsv", "\n".join(table) + "\n", languages, log=messages.append)
    assert pairs_of(result) == BODY
    assert problems_of(result) == ["header row"]
    assert len(messages) == (columns != (1, 2))
    if messages:
        assert f"source is column {columns[0]} (" in messages[0]
    with_columns = read(tmp_path / "a.tsv", "\n".join(table), languages, columns=columns)
    assert (pairs_of(with_columns), problems_of(with_columns)) == (BODY, ["header row"])


@pytest.mark.parametrize(("pair", "languages"), PAIRS)
def test_a_first_pair_is_no_header(tmp_path: Path, pair: str, languages: tuple[str, str]) -> None:
    assert find_header(pair.split("\t"), languages) is None
    if pair.strip():
        rows = read(tmp_path / "a.tsv", f"{pair}\na\tb\n", languages)
        assert pairs_of(rows)[0] == tuple(pair.split("\t"))


def test_no_language_name_and_its_translation_are_a_header() -> None:
    """A list of languages, such as CLDR's, begins with a pair whatever the pair of languages."""
    from babel import Locale

    codes = ["de", "fr", "es", "pl", "ru", "zh", "ja", "tr", "sw", "fi", "id"]
    for target in codes:
        english, translated = Locale("en").languages, Locale(target).languages
        for code, name in english.items():
            if code in translated:
                assert find_header([name, translated[code]], ("en", target)) is None
                assert not other_languages([name, translated[code]], 10)


@pytest.mark.parametrize("ending", [".tsv", ".csv"])
def test_a_header_of_other_languages_is_refused(tmp_path: Path, ending: str) -> None:
    separator = "," if ending == ".csv" else "\t"
    sentences = f"This is a sentence about a house.{separator}Wannan jumla ce game da gida.\n" * 5
    for header in ("en,hau", "eng_Latn,hau_Latn", "English,Hausa", "sentence_en,sentence_ha", "hau,fr", "id,en,fr"):
        width = header.count(",") - 1
        body = "".join(f"{separator.join('7' * width)}{separator * width}{line}\n" for line in sentences.splitlines())
        with pytest.raises(
            UserError, match=r"its header names .* and .*, not en-de; if this row is a pair, give --col"
        ):
            read(tmp_path / f"a{ending}", header.replace(",", separator) + "\n" + body)
        if ending == ".tsv":
            assert len(read(tmp_path / f"a{ending}", header.replace(",", separator) + "\n" + body, columns=(1, 2))) == 6
    with pytest.raises(UserError, match="its header names English and French, not en-de"):
        read(tmp_path / f"a{ending}", f"English{separator}French\none{separator}un\n")


def test_columns_of_the_user_win_over_the_header(tmp_path: Path) -> None:
    messages: list[str] = []
    rows = read(tmp_path / "a.tsv", "de\ten\na\tb\n", columns=(1, 2), log=messages.append)
    assert (pairs_of(rows), problems_of(rows)) == ([("a", "b")], ["header row"])
    assert messages == [
        f"{tmp_path}/a.tsv: --columns is kept, although the header names en in column 2 and de in column 1"
    ]


@pytest.mark.parametrize("ending", [".tsv", ".csv"])
def test_a_header_in_other_words_is_dropped_if_the_user_names_the_columns(tmp_path: Path, ending: str) -> None:
    for header, is_header in (
        (("sentence_id", "nepali_sentences", "translation_tamang"), True),
        (("ID", "text_a", "text_b"), True),
        (("1", "file_name", "nom_fichier"), False),
        (("menu.id", "file_name", "nom_fichier"), False),
        (("id", "name", "Name"), False),
    ):
        table = "\n".join(("," if ending == ".csv" else "\t").join(row) for row in (header, ("7", "one", "two")))
        rows = read(tmp_path / f"a{ending}", table, ("ne", "taj"), columns=(2, 3))
        assert pairs_of(rows) == [header[1:]] * (not is_header) + [("one", "two")]
        assert problems_of(rows) == ["header row"] * is_header


def test_a_header_is_dropped_once(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.tsv", "\n\nen\tde\nen\tde\na\tb\n")
    assert (pairs_of(rows), problems_of(rows)) == ([("en", "de"), ("a", "b")], ["header row"])


# CSV.


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(
    "encode", [str.encode, lambda text: text.encode("utf-8-sig"), lambda text: text.encode("utf-16")]
)
def test_csv_of_spreadsheets(
    tmp_path: Path, separator: str, quoting: Literal[0, 1], header: bool, encode: Callable[[str], bytes]
) -> None:
    pairs = [("Well, yes", "Nun, ja"), ('He said "no"', "a\nb"), ("x; y", "ü"), ("plain", "einfach"), ("1,5", "a;b")]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=quoting)
    writer.writerows([("en", "de")] * header + pairs)
    rows = read(tmp_path / "a.csv", encode(text.getvalue()))
    assert pairs_of(rows) == pairs
    assert problems_of(rows) == ["header row"] * header


cells = st.text("ab \"',;\t\n", min_size=1, max_size=12).filter(str.strip)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20), st.sampled_from(",;"))
def test_quoted_csv_keeps_its_fields(rows: list[tuple[str, str]], separator: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([("en", "de"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        assert pairs_of(read(Path(folder) / "a.csv", text.getvalue())) == rows


def test_columns_of_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert pairs_of(read(path, "id,German,English\n1,ein Hund,a dog\n2,eine Katze,a cat\n")) == BODY[:2]
    assert pairs_of(read(path, "sep=;\r\nen;de\r\na, b;c\r\n")) == [("a, b", "c")]
    table = "".join(f"{i},{a},{b}\n" for i, (a, b) in enumerate(BODY))
    assert pairs_of(read(path, table, columns=(2, 3))) == BODY
    with pytest.raises(UserError, match=r"a\.csv has 3 columns, and no header that names .* such as --columns 1,2"):
        read(path, table)
    with pytest.raises(UserError, match=r"a\.csv: no column 4; it has 3, between commas"):
        read(path, table, columns=(2, 4))


def test_csv_with_an_unquoted_separator_loses_no_word_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    table = "en,de\n" + "one,eins\n" * 20 + "Well, yes,Nun, ja\n" + '"open,x\ntwo,zwei\nthree,"drei"\nfour,vier\n'
    rows = read(path, table)
    assert pairs_of(rows) == [("one", "eins")] * 20 + [("four", "vier")]
    assert problems_of(rows) == [
        "header row",
        "not 2 columns; a field that holds the separator must be quoted",
        "not valid CSV, perhaps because of a quotation mark in the wrong place",
    ]
    assert rows[-2][1] == b'"open,x\ntwo,zwei\nthree,"drei"'  # for the list of dropped pairs
    with pytest.raises(UserError, match=r"line 3: not 2 columns; a field that holds the separator must be quoted"):
        read(path, "en,de\none,eins\n" + "Well, yes,ja\n" * 20)
    with pytest.raises(UserError, match=r"its rows have different numbers of columns, or one, between commas or semi"):
        read(path, "Well, yes,Nun, ja\nNo,Nein\nSo, then, now,Also, dann, jetzt\n")
    with pytest.raises(UserError, match="its columns may be between commas or semicolons"):
        read(path, "Well, yes;ja\n")
    with pytest.raises(UserError, match="different numbers of columns, or one"):
        read(path, "just\ntext\n")


# Older encodings.

TEXTS = {
    "de": ("Straße über Öl", "Windows-1252"), "fr": ("Été à l’œuvre", "Windows-1252"),
    "cs": ("Příliš žluťoučký kůň", "Windows-1250"), "pl": ("Zażółć gęślą jaźń", "Windows-1250"),
    "ru": ("Съешь ещё этих булок", "Windows-1251"), "el": ("Ξεσκεπάζω την ψυχή", "Windows-1253"),
    "tr": ("Pijamalı hasta yağız", "Windows-1254"), "he": ("דג סקרן שט בים", "Windows-1255"),
    "ar": ("نص حكيم له سر", "Windows-1256"), "lv": ("Glāžšķūņa rūķīši", "Windows-1257"),
    "ja": ("いろはにほへと", "CP932"), "ko": ("키스의 고유조건은", "CP949"), "th": ("เป็นมนุษย์สุด", "CP874"),
    "zh": ("视野无限广", "GB18030"), "zh_TW": ("視野無限廣", "BIG5"),
}  # fmt: skip


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("table", [True, False])
def test_text_in_an_older_encoding_is_an_error_with_a_remedy(tmp_path: Path, language: str, table: bool) -> None:
    text, encoding = TEXTS[language]
    lines = [text.encode(encoding)] * 30
    assert guess_encoding(lines, [language]) == encoding
    path = tmp_path / "a b.tsv"
    if table:
        paths = [path]
        path.write_bytes(b"".join(b"line\t" + line + b"\n" for line in lines))
    else:
        path = tmp_path / "a b"
        paths = [tmp_path / "en", path]
        paths[0].write_text("line\n" * 30)
        path.write_bytes(b"\n".join(lines))
    with pytest.raises(UserError) as error:
        list(read_files(map(str, paths), ("en", language)))
    assert str(error.value) == (
        f"{path}: 30 of the first 30 lines with letters beyond ASCII are not UTF-8. They look like {encoding}: "
        f"convert the file with `iconv -f {encoding} -t UTF-8 '{path}'`"
    )


def test_a_few_lines_that_are_not_utf8_are_dropped(tmp_path: Path) -> None:
    messages: list[str] = []
    good, bad = "über\tabove\n".encode(), "über\tabove\n".encode("latin-1")
    rows = read(tmp_path / "a.tsv", good * 20 + bad * 5, log=messages.append)
    assert (len(rows), messages) == (25, [])
    assert len(read(tmp_path / "a.tsv", b"x\ty\n" * 20 + bad, log=messages.append)) == 21
    assert not messages
    assert len(read(tmp_path / "a.tsv", good * 20 + bad * 15, log=messages.append)) == 35
    assert len(messages) == 1
    assert (
        "15 of the first 35 lines with letters beyond ASCII are not UTF-8. They look like Windows-1252" in messages[0]
    )
    for content in (bad, b"x\ty\n" * 5 + bad * 3, b"x\ty\n" * 5000 + bad * 11 + good):
        with pytest.raises(UserError, match="are not UTF-8"):
            read(tmp_path / "a.tsv", content)


def test_a_long_file_in_an_older_encoding_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("ü\n".encode("latin-1") * 5000)
    (tmp_path / "b").write_bytes(b"x\n" * 5000)
    rows = read_files([str(tmp_path / "a"), str(tmp_path / "b")], EN_DE)
    assert len([*islice(rows, 999)]) == 999
    with pytest.raises(UserError, match="1,000 of the first 1,000 lines"):
        next(rows)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_lines_of_unicode_encodings(tmp_path: Path, encoding: str) -> None:
    lines = ["ä\u2028b", "\u4e0a\u0a0a", "", "x\x85y\x0b", "\U0001f600"]  # U+0A0A holds the bytes of line feeds
    (tmp_path / "a").write_bytes("\r\n".join(lines).encode(encoding))
    assert read_strict(tmp_path / "a") == lines
    (tmp_path / "a").write_bytes(("\n".join(lines) + "\n").encode(encoding))
    assert read_strict(tmp_path / "a") == lines
    (tmp_path / "a").write_bytes("".encode(encoding))
    assert read_strict(tmp_path / "a") == []


def test_utf_32_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("ä\n".encode("utf-32"))
    with pytest.raises(UserError, match="a is UTF-32; save it as UTF-8"):
        read_strict(tmp_path / "a")

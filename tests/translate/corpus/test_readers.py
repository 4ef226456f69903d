"""Tests of the readers of parallel text: accepted formats, and errors for invalid files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.cleaning import usable_pairs
from dragoman.translate.corpus.readers.catalogues import FUZZY, OBSOLETE
from dragoman.translate.corpus.readers.filename_languages import check_direction
from dragoman.translate.corpus.readers.files import read_files
from dragoman.translate.corpus.readers.xliff import UNFINISHED_TEXT

EN_DE = ("en", "de")

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header srclang="en-US" segtype="sentence"/><body>
<tu><note>n</note><tuv xml:lang="en-US"><prop>p</prop>
<seg>Press <bpt i="1">&lt;b&gt;</bpt>Start<ept i="1">&lt;/b&gt;</ept> now &amp; go</seg></tuv>
<tuv xml:lang="de-DE"><seg>Jetzt <hi>Start</hi> drücken</seg></tuv></tu>
<tu><tuv xml:lang="fr"><seg>Bonjour</seg></tuv><tuv xml:lang="de"><seg>Guten Tag</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>One</seg></tuv><tuv xml:lang="de"><seg>Eins</seg></tuv></tu>
</body></tmx>
"""
XLIFF1 = """<?xml version="1.0"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file source-language="en" target-language="de-AT" original="x"><body>
<trans-unit id="1"><source>Hello <x id="1"/>world</source><target>Hallo <x id="1"/>Welt</target>
<alt-trans><source>no</source><target>nein</target></alt-trans></trans-unit>
<trans-unit id="2"><source>Open</source></trans-unit>
<trans-unit id="3"><source>Draft</source><target state="needs-translation">Draft</target></trans-unit>
<group><trans-unit id="4" translate="no"><source>Code</source><target>Code</target></trans-unit>
<trans-unit id="5"><source>Bye</source><target>Tschüss</target></trans-unit></group>
</body></file></xliff>
"""
XLIFF2 = """<xliff version="2.0" srcLang="en" trgLang="de" xmlns="urn:oasis:names:tc:xliff:document:2.0">
<file id="f"><unit id="1">
<segment><source>A <pc id="1">big</pc> dog</source><target>Ein <pc id="1">großer</pc> Hund</target></segment>
<segment><source>And more</source></segment></unit></file></xliff>
"""
PO = r"""
msgid ""
msgstr ""
"Language: de_DE\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=n != 1;\n"

msgctxt "menu"
msgid "Open"
msgstr "Öffnen"

#, fuzzy
msgid "Close"
msgstr "Schluss"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

msgid "Untranslated"
msgstr ""

#~ msgid "Old"
#~ msgstr "Alt"
"""


def read(path: Path, text: str | bytes, languages: tuple[str, str] = EN_DE) -> list[tuple[str, ...]]:
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    rows = read_files([str(path)], languages)
    return [tuple(s.decode() if isinstance(s, bytes) else s for s in row) for row in rows]


@pytest.mark.parametrize("end", ["", ".gz"])
def test_tmx(tmp_path: Path, end: str) -> None:
    rows = read(tmp_path / f"memory.tmx{end}", TMX)
    assert rows == [("Press Start now & go", "Jetzt Start drücken"), ("One", "Eins")]
    assert read(tmp_path / f"memory.tmx{end}", TMX, ("de", "fr")) == [("Guten Tag", "Bonjour")]
    with pytest.raises(UserError, match=r"no unit in en-it; it has .*de-fr"):
        read(tmp_path / f"memory.tmx{end}", TMX, ("en", "it"))


def test_xliff(tmp_path: Path) -> None:
    draft = (UNFINISHED_TEXT, "Draft", "Draft")
    assert read(tmp_path / "a.xlf", XLIFF1) == [("Hello world", "Hallo Welt"), draft, ("Bye", "Tschüss")]
    assert read(tmp_path / "a.xlf", XLIFF1, ("de", "en"))[2] == ("Tschüss", "Bye")
    assert read(tmp_path / "b.xliff", XLIFF2) == [("A big dog", "Ein großer Hund")]
    with pytest.raises(UserError, match="no translated unit in en-fr; it has en-de_AT"):
        read(tmp_path / "a.xlf", XLIFF1, ("en", "fr"))


def compiled_catalogue(messages: dict[str, str], encoding: str = "utf-8") -> bytes:
    """Return a catalogue in gettext's MO format."""
    sides = [[side.encode(encoding) + b"\0" for side in texts] for texts in zip(*sorted(messages.items()), strict=True)]
    offset, tables, count = 28 + 16 * len(messages), b"", len(messages)
    for text in sides[0] + sides[1]:
        tables += struct.pack("<2I", len(text) - 1, offset)
        offset += len(text)
    return struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0) + tables + b"".join(sides[0] + sides[1])


def test_gettext(tmp_path: Path) -> None:
    expected = [("Open", "Öffnen"), ("%d files", "%d Dateien"), ("%d file", "%d Datei")]
    for name in ("de.po", "de.po.gz"):
        rows = read(tmp_path / name, PO)
        assert [row for row in rows if len(row) == 2] == expected
        assert [row for row in rows if len(row) > 2] == [(FUZZY, "Close", ""), (OBSOLETE, "Old", "")]
    assert read(tmp_path / "de.po", PO, ("de", "en"))[0] == ("Öffnen", "Open")
    messages = {"": "Language: de\n", "menu\4Open": "Öffnen", "%d file\0%d files": "%d Datei\0%d Dateien"}
    (tmp_path / "de.mo").write_bytes(compiled_catalogue(messages))
    assert sorted(read_files([str(tmp_path / "de.mo")], EN_DE)) == sorted(expected)
    with pytest.raises(UserError, match="translates en into de_DE, not en-fr"):
        read(tmp_path / "de.po", PO, ("en", "fr"))


def test_json_lines_and_tables(tmp_path: Path) -> None:
    rows = [{"en": "a", "de": "b", "fr": "c"}, {"translation": {"de": "d", "en": "e"}}, {"source": "f", "target": "g"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert read(tmp_path / "x.jsonl", text + "\n") == [("a", "b"), ("e", "d"), ("f", "g")]
    assert read(tmp_path / "x.tsv", "\ufeffa\tb\tmore\r\nc\td\n".encode("utf-16")) == [("a", "b"), ("c", "d")]
    assert read(tmp_path / "x.tsv", b"\xef\xbb\xbfa\tb\n") == [("a", "b")]


def test_a_folder_of_several_formats(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.tmx").write_text(TMX, "utf-8")
    (tmp_path / "b.po").write_text(PO, "utf-8")
    (tmp_path / "README").write_text("not text to learn from")
    assert sum(len(row) == 2 for row in read_files([str(tmp_path)], EN_DE)) == 5
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty and the folders in it have no file in a supported format: \.tsv, "):
        list(read_files([str(tmp_path / "empty")], EN_DE))


def catalogue(path: Path, language: str, target: str, **headers: str) -> None:
    header = "".join(f"{key}: {value}\\n" for key, value in {"Language": language, **headers}.items())
    text = f'msgid ""\nmsgstr "{header}"\n\nmsgid "Colour"\nmsgstr "{target}"\n'
    path.write_bytes(text.encode("latin-1" if "Content-Type" in str(headers) else "utf-8"))


def test_catalogues_of_other_languages_are_skipped_and_reported(tmp_path: Path) -> None:
    for language, text in (("de", "Farbe"), ("fr", "Couleur"), ("en_GB", "Colour")):
        catalogue(tmp_path / f"{language}.po", language, text)
    messages: list[str] = []
    assert list(read_files([str(tmp_path)], EN_DE, messages.append)) == [("Colour", "Farbe")]
    assert [line.rpartition("/")[2] for line in messages] == [
        "en_GB.po translates en into en_GB, not en-de",
        "fr.po translates en into fr, not en-de",
    ]
    assert list(read_files([str(tmp_path)], ("de", "en"))) == [("Farbe", "Colour")]
    with pytest.raises(UserError, match=r"de\.po translates en into de, not en-it"):
        list(read_files([str(tmp_path)], ("en", "it")))


def test_catalogues_declare_their_encoding_and_source_language(tmp_path: Path) -> None:
    headers = {"Content-Type": "text/plain; charset=ISO-8859-1", "X-Source-Language": "fr"}
    catalogue(tmp_path / "a.po", "de", "Größe", **headers)
    assert list(read_files([str(tmp_path / "a.po")], ("fr", "de"))) == [("Colour", "Größe")]
    with pytest.raises(UserError, match="translates fr into de, not en-de"):
        list(read_files([str(tmp_path / "a.po")], EN_DE))
    header = "".join(f"{key}: {value}\n" for key, value in {"Language": "de", **headers}.items())
    compiled = compiled_catalogue({"": header, "Colour": "Größe"}, "iso-8859-1")
    (tmp_path / "b.mo.gz").write_bytes(gzip.compress(compiled))
    assert list(read_files([str(tmp_path / "b.mo.gz")], ("fr", "de"))) == [("Colour", "Größe")]


def test_catalogues_without_a_declared_language(tmp_path: Path) -> None:
    """The path tells the language, or the requested pair if the user names the file itself."""
    for name, text in (("de", "Farbe"), ("app-fr", "Couleur"), ("ja/LC_MESSAGES/app", "色"), ("app", "?")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        catalogue(tmp_path / f"{name}.po", "", text)
    messages: list[str] = []
    assert list(read_files([str(tmp_path)], EN_DE, messages.append)) == [("Colour", "Farbe")]
    assert [line.removeprefix(f"skipped: {tmp_path}/") for line in messages] == [
        "app-fr.po translates en into fr, not en-de",
        "app.po declares no language, neither in its header nor in its path; name the file itself, not its folder",
        "ja/LC_MESSAGES/app.po translates en into ja, not en-de",
    ]
    assert list(read_files([str(tmp_path / "app.po")], ("de", "en"))) == [("?", "Colour")]
    (tmp_path / "my").mkdir()  # a folder's name, not Burmese
    catalogue(tmp_path / "my" / "app.po", "", "Farbe")
    assert list(read_files([str(tmp_path / "my" / "app.po")], EN_DE)) == [("Colour", "Farbe")]


def test_an_undeclared_source_language_is_english(tmp_path: Path) -> None:
    catalogue(tmp_path / "fr.po", "fr", "Couleur")
    with pytest.raises(
        UserError, match="translates en into fr, not de-fr; if its source language is another, add X-Source-Language"
    ):
        list(read_files([str(tmp_path / "fr.po")], ("de", "fr")))


def test_xliff_2_skips_units_without_a_translation(tmp_path: Path) -> None:
    units = (
        '<unit id="2"><segment state="initial"><source>Draft</source><target>Entwurf</target></segment></unit>'
        '<group translate="no"><unit id="3"><segment><source>code</source><target>code</target></segment></unit>'
        "</group>"
        '<unit id="4" translate="yes"><segment state="final"><source>Ab<ph id="1" subType="xlf:lb"/>out</source>'
        '<target>Über<ph id="1" disp="&lt;br/&gt;"/>uns</target></segment></unit></file>'
    )
    rows = read(tmp_path / "b.xliff", XLIFF2.replace("</file>", units))
    draft = (UNFINISHED_TEXT, "Draft", "Entwurf")
    assert rows == [("A big dog", "Ein großer Hund"), draft, ("Ab out", "Über uns")]


def rows_of(path: Path, content: str | bytes, pair: tuple[str, str] = EN_DE, **options: Any) -> list[Any]:  # noqa: ANN401
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows = read_files([str(path)], pair, **options)
    return [tuple(side.decode() if isinstance(side, bytes) else side for side in row) for row in rows]


def test_only_tables_of_spreadsheets_are_unquoted(tmp_path: Path) -> None:
    quoted = 'one\teins\n"He said ""Hi"""\t"Er sagte ""Hi"""\n"two\nlines"\tzwei\n'
    expected = [("one", "eins"), ('He said "Hi"', 'Er sagte "Hi"'), ("two\nlines", "zwei")]
    assert rows_of(tmp_path / "a.tsv", quoted) == expected
    assert rows_of(tmp_path / "b.tsv", quoted.encode("utf-16")) == expected
    assert rows_of(tmp_path / "c.tsv", '"one"\t"eins"\n"two"\t"zwei"\n') == [("one", "eins"), ("two", "zwei")]
    for plain in (  # a quote over two lines; one within a line; a quoted field that is never closed
        '"I am here.\tIch bin hier.\nThat is it."\tDas ist es."\nx\ty\n',
        'He said "Hi".\tEr sagte "Hi".\n"two"\tzwei\n',
        '"one\teins\ntwo\tzwei\n',
        'He said ""Hi""\teins\n"He said ""Hi"""\t"zwei\ntwo\tdrei\n',
    ):
        assert rows_of(tmp_path / "d.tsv", plain) == [tuple(line.split("\t")) for line in plain.splitlines()]


def test_a_quoted_field_without_an_end_is_rejected(tmp_path: Path) -> None:
    good = '"He said ""Hi"""\t"Er sagte ""Hi"""\n' * 1000
    message = "a quoted field has no closing quotation mark, or is longer than 1 MiB (the file was read up to line "
    with pytest.raises(UserError, match=re.escape(message)):
        rows_of(tmp_path / "a.tsv", good + '"open\tx\n' + "line\tZeile\n" * 200_000)
    with pytest.raises(UserError, match=re.escape(f"{message}1,004)")):
        rows_of(tmp_path / "b.tsv", good + '"open\tx\n' + "line\tZeile\n" * 2)
    assert rows_of(tmp_path / "c.tsv", good + "end\tEnde\n\nend\tx\ry\nend\tEnde")[1000:] == [
        ("end", "Ende"), ("end", "x y"), ("end", "Ende"),
    ]  # fmt: skip


@given(st.lists(st.tuples(*[st.text("ab \"'\n,", min_size=1, max_size=20)] * 2), min_size=1, max_size=20))
def test_quoted_tables_keep_their_fields(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        assert rows_of(Path(folder) / "a.tsv", text.getvalue()) == rows


def test_columns_of_tables(tmp_path: Path) -> None:
    table = "".join(f"1.{i}\tsentence {chr(97 + i)}\tSatz {chr(97 + i)}\n" for i in range(20))
    with pytest.raises(UserError, match=r"no letters in 20 of the first 20 lines.*--columns 2,3"):
        rows_of(tmp_path / "a.tsv", table)
    assert rows_of(tmp_path / "a.tsv", table, columns=(2, 3))[0] == ("sentence a", "Satz a")
    assert rows_of(tmp_path / "a.tsv", table, columns=(3, 2))[0] == ("Satz a", "sentence a")
    with pytest.raises(UserError, match="no column 4"):
        rows_of(tmp_path / "a.tsv", table, columns=(2, 4))


def test_xliff_without_declared_languages(tmp_path: Path) -> None:
    xliff = (
        '<xliff version="1.2"><file original="x"{}><body><trans-unit id="1"><source{}>Hello</source>'
        "<target{}>Hallo</target></trans-unit></body></file></xliff>"
    )
    for attributes in ((' source-language="en"', "", ""), ("", ' xml:lang="en"', ' xml:lang="de"'), ("", "", "")):
        assert rows_of(tmp_path / "a.xlf", xliff.format(*attributes)) == [("Hello", "Hallo")]
    with pytest.raises(UserError, match="name the file itself"):
        [*read_files([str(tmp_path)], ("en", "de"))]
    with pytest.raises(UserError, match="it has en-fr"):
        rows_of(tmp_path / "a.xlf", xliff.format("", ' xml:lang="en"', ' xml:lang="fr"'))


def test_plural_forms_for_one_and_for_many(tmp_path: Path) -> None:
    formula = "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5);"
    forms = "".join(f'msgstr[{i}] "form{i}"\n' for i in range(6))
    catalogue = f'msgid ""\nmsgstr "Language: ar\\n"\n"{{}}"\n\nmsgid "One"\nmsgid_plural "%d"\n{forms}'
    for header, expected in (
        (f"Plural-Forms: {formula}\\n", [("%d", "form5"), ("One", "form1")]),
        ("Plural-Forms: nplurals=6; plural=n/0;\\n", [("%d", "form5"), ("One", "form0")]),
        ("", [("%d", "form5"), ("One", "form0")]),
    ):
        assert rows_of(tmp_path / "a.po", catalogue.format(header), ("en", "ar")) == expected


def test_catalogues_with_unicode_line_separators(tmp_path: Path) -> None:
    text = 'msgid ""\nmsgstr "Language: de\\n"\n\nmsgid "a\u2028b"\nmsgstr "c\u2028d"\n'
    assert rows_of(tmp_path / "a.po", text) == [("a\u2028b", "c\u2028d")]
    rows = read_files([str(tmp_path / "a.po")], EN_DE)
    assert [*usable_pairs(rows, lambda *_: None)] == [("a b", "c d")]


def test_deeply_nested_text_is_read(tmp_path: Path) -> None:
    inside = "<hi>" * 5000 + "x" + "</hi>" * 5000
    sides = f"<tuv xml:lang='en'><seg>{inside}</seg></tuv><tuv xml:lang='deu'><seg>y</seg></tuv>"
    tmx = f"<tmx><body><tu>{sides}</tu></body></tmx>"
    assert rows_of(tmp_path / "a.tmx", tmx) == [("x", "y")]


def test_unsupported_files_in_a_folder_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.TSV.GZ").write_bytes(gzip.compress(b"a\tb\n"))
    (tmp_path / "b.en").write_text("x\n")
    messages: list[str] = []
    assert [*read_files([str(tmp_path)], ("en", "de"), messages.append)] == [(b"a", b"b")]
    assert messages[0].startswith(f"skipped in {tmp_path}: 1 .en, such as b.en")


def test_line_break_codes_separate_words(tmp_path: Path) -> None:
    text = XLIFF1.replace('Hello <x id="1"/>world', 'Hello<x id="1" ctype="lb"/>world')
    assert read(tmp_path / "a.xlf", text)[0] == ("Hello world", "Hallo Welt")
    text = TMX.replace("<seg>One</seg>", "<seg>One<ph>&lt;br /&gt;</ph>two<ph>&lt;/b&gt;</ph>.</seg>")
    assert read(tmp_path / "a.tmx", text)[1] == ("One two.", "Eins")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.tmx", TMX[:400], r"a\.tmx, line 6, column 67: broken XML: it ends inside a tag, as if truncated"),
        (
            "a.tmx",
            TMX.encode().replace("ü".encode(), b"\xfc"),
            "a.tmx, line 5 is not UTF-8, the encoding of the file. It looks",
        ),
        ("a.xlf", "", "a.xlf, line 1, column 1: broken XML: it has no element, as if it were empty"),
        (
            "a.po",
            PO.replace('"\n', "\n", 1),
            r"a\.po is not a valid gettext catalogue: line 2 has no closing quotation mark$",
        ),
        ("a.po", PO + '\nmsgid "a"\nmsgstr b\n', r"line \d+ has text outside quotation marks"),
        ("a.po", PO + "\nnonsense\n", r"a\.po is not a valid gettext catalogue: .*line \d+"),
        ("a.po", b'msgid "x"\nmsgstr "\xff"\n', r"a\.po, line 2 is not utf-8, the encoding of the catalogue"),
        (
            "a.po",
            PO + '\nmsgid "cut"\n',
            r"a\.po is not a valid gettext catalogue: it ends after msgid in line \d+, without",
        ),
        ("a.po", "", r"a\.po has no messages"),
        ("a.mo", b"\xde\x12\x04\x95abc", r"a\.mo is not a valid gettext catalogue"),
        ("a.jsonl", '{"en": 1}\n{"en": "a", "de": "b"}\n[]\n', "line 1: each line needs an object with the texts 'en'"),
        ("a.tsv", "a\tb\n" + "no tab\n" * 20, "line 2: no tab; each line needs source, tab, target"),
        ("a.jsonl", "[1]\n", "line 1: each line needs an object"),
        ("a.jsonl", "{\n", "line 1: not JSON"),
        ("a.tmx.gz", b"\x1f\x8bgarbage", "cannot read .*a.tmx.gz"),
    ],
)
def test_invalid_files(tmp_path: Path, name: str, data: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(UserError, match=message):
        list(read_files([str(path)], EN_DE))


def test_entities_do_not_explode(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE t [<!ENTITY a "' + "x" * 1000 + '">' + "".join(
        f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(8)
    )  # fmt: skip
    (tmp_path / "a.tmx").write_text(f"{bomb}]><tmx><body><tu><tuv><seg>&i;</seg></tuv></tu></body></tmx>")
    with pytest.raises(UserError, match=r"line 1.*broken XML"):
        list(read_files([str(tmp_path / "a.tmx")], EN_DE))


def test_truncated_compiled_catalogues(tmp_path: Path) -> None:
    """A catalogue truncated anywhere is rejected, instead of read with shorter or fewer texts."""
    messages = {"": "Language: de\n"} | {f"number {n}": f"Zahl {n}" for n in range(20)}
    (tmp_path / "whole.mo").write_bytes(compiled_catalogue(messages))
    whole = (tmp_path / "whole.mo").read_bytes()
    assert len([*read_files([str(tmp_path / "whole.mo")], EN_DE)]) == 20
    for size in range(4, len(whole)):
        (tmp_path / "cut.mo").write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"cut\.mo is not a valid gettext catalogue: its"):
            list(read_files([str(tmp_path / "cut.mo")], EN_DE))


def test_file_names_that_contradict_the_pair() -> None:
    messages: list[str] = []
    for paths in (
        ["a.en", "a.de"], ["a.en.gz", "b.DE"], ["a.txt", "b.txt"], ["a.src", "b.tgt"], ["a.de.tsv"],
        ["a.en.txt", "b.txt"], ["de-en.src", "de-en.tgt"], ["en-1.txt", "de-1.txt"],
    ):  # fmt: skip
        check_direction(paths, ("en", "de_AT"), messages.append)
    assert not messages
    check_direction(["a.en", "a.fr"], EN_DE, messages.append)
    assert messages == ["a.en and a.fr are read as en-de, as --pair says, although their names differ"]
    for paths in (
        ["a.en-US", "a.de_DE"], ["a.en", "a.de-AT"], ["a.en.txt", "a.de.txt"], ["news-en.txt", "News_DE.txt.gz"],
    ):  # fmt: skip
        check_direction(paths, EN_DE, messages.append)
        with pytest.raises(UserError, match="but --pair says en-de"):
            check_direction(paths[::-1], EN_DE, messages.append)
    check_direction(["a.pt", "a.pt_BR"], ("pt_BR", "pt"), messages.append)  # both match in either order
    assert len(messages) == 1

"""Tests of the parsers of gettext's catalogues. Oracles: msgfmt, which compiles PO to MO, and Babel's reader of MO."""

from __future__ import annotations

import io
import re
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from babel.messages import Catalog
from babel.messages.mofile import read_mo, write_mo
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.catalogues import FUZZY, OBSOLETE, Catalogue, Message, read_catalogue
from dragoman.translate.corpus.readers.gettext import read_po
from dragoman.translate.corpus.readers.rows import UnreadableRow

EN_DE = ("en", "de")

HEADER = 'msgid ""\nmsgstr "Language: de\\nContent-Type: text/plain; charset=UTF-8\\n"\n\n'

needs_msgfmt = pytest.mark.skipif(not shutil.which("msgfmt"), reason="GNU gettext's msgfmt is the oracle")


def parse(data: bytes | str) -> Catalogue:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.po"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return read_catalogue(path)


def compiled(data: bytes) -> bytes | None:
    """Return a catalogue as msgfmt compiles it, or None if msgfmt rejects it or finds no translation."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.po", Path(folder) / "a.mo"
        source.write_bytes(data)
        result = subprocess.run(["msgfmt", "-o", str(target), str(source)], capture_output=True)
        return target.read_bytes() if result.returncode == 0 and target.exists() else None


def translated(catalogue: Catalogue) -> list[Message]:
    return sorted((message for message in catalogue.messages if message.translations), key=repr)


def message(source: str, *translations: str, context: str | None = None, plural: str | None = None) -> Message:
    return Message(context, source, plural, translations)


# Catalogues that msgfmt accepts, and their messages.
ACCEPTED = {
    "comments without a space": ('#note\n#.x\n#:a.c:3\n#|\n#~\n#\nmsgid "a"\nmsgstr "b"\n', [message("a", "b")]),
    "a comment after a message": ('msgid "a"\nmsgstr "b" # c\n#, x\n', [message("a", "b")]),
    "one line": ('msgid"a"msgstr"b""c" msgctxt "x"msgid "d" msgstr "e"', [message("a", "bc"),
                 message("d", "e", context="x")]),
    "escapes": (r'msgid "\x41\101\7\"\\" msgstr "\a\b\f\n\r\t\v"', [message('AA\x07"\\', "\a\b\f\n\r\t\v")]),
    "long escapes": (r'msgid "\x414243 \1018" msgstr "\xc3\xa4\xe2\x82" "\254\54"',
                     [message("C A8", "ä€,")]),
    "bytes over two strings": (r'msgid "a" msgstr "\xe2\x82" "\xac"', [message("a", "€")]),
    "joined lines": ('#, \\\nno-wrap\nmsg\\\nid "a\\\nb" msgstr "c\\\\\\\nd"', [message("ab", "c\\d")]),
    "a joined comment": ('# C:\\\nmsgid "x"\nmsgid "a" msgstr "b"', [message("a", "b")]),
    "continued": ('msgid ""\n"a"\n\n"b"\nmsgstr ""\n"c"\n', [message("ab", "c")]),
    "flags": ('#,c-format\nmsgid "a" msgstr "b"\n#, Fuzzy\nmsgid "c" msgstr "d"\n#, fuzzyx\nmsgid "e" msgstr "f"\n',
              [message("a", "b"), message("c", "d"), message("e", "f")]),
    "fuzzy": ('#,fuzzy\nmsgid "a" msgstr "b"\n#!fuzzy\nmsgid "c" msgstr "d"\n#, x\tfuzzy,y\nmsgid "e" msgstr "f"\n'
              '#~ #, fuzzy\nmsgid "g" msgstr "h"\n#, fuzzy\ndomain "x"\nmsgid "i" msgstr "j"', [message("i", "j")]),
    "two lines of flags": ('#, fuzzy\n#,x\nmsgid "a" msgstr "b"\n#,x\n#. fuzzy\n#, fuzzy\n# x\nmsgid "c" msgstr "d"',
                           [message("a", "b")]),
    "fuzzy and obsolete": ('#, fuzzy\n#~ msgid "a"\n#~ msgstr "b"\nmsgid "c"\nmsgstr "d"\n', [message("c", "d")]),
    "previous": ('#, fuzzy\n#| msgid "o"\n#| "p"\nmsgid "a" msgstr "b"\n#| msgid "q"\nmsgid "c" msgstr "d"\n#~|\n',
                 [message("c", "d")]),
    "plural forms": ('msgid "a" msgid_plural "b"\nmsgstr [ 0 ] "c" msgstr\n[1]\n"d"\nmsgid "e" msgid_plural "f"\n'
                     'msgstr[0] "" msgstr[1] "g"', [message("a", "c", "d", plural="b")]),
    "contexts": ('msgctxt "" msgid "a" msgstr "b" msgid "a" msgstr "c" msgctxt "x" msgid "" msgstr "d"',
                 [message("a", "b", context=""), message("a", "c"), message("", "d", context="x")]),
    "NUL": ('msgid "a\0b" "c" msgstr "d\\0e" "f"', [message("ac", "df")]),
    "CR and CRLF": ('msgid "a"\r\nmsgstr "b"\r\n"c\rd"\rmsgid "e"\rmsgstr "f"\r', [message("a", "bc\rd"),
                    message("e", "f")]),
    "separators": ('msgid "a\u2028\x1c\x85" \v\f msgstr "\u2029\v\f"', [message("a\u2028\x1c\x85", "\u2029\v\f")]),
    "domain": ('domain "x"\nmsgid "a" msgstr "b"', [message("a", "b")]),
    "untranslated": ('msgid "a" msgstr ""\nmsgid "b" msgstr "c"', [message("b", "c")]),
    "a header that goes on": ('"X-More: x\\n"\nmsgid "a" msgstr "b"', [message("a", "b")]),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_syntax(name: str) -> None:
    text, messages = ACCEPTED[name]
    assert translated(parse(HEADER + text)) == sorted(messages, key=repr)


@needs_msgfmt
@pytest.mark.parametrize("name", ACCEPTED)
def test_msgfmt_reads_the_same(name: str) -> None:
    text, messages = ACCEPTED[name]
    data = compiled((HEADER + text).encode())
    assert data is not None
    assert translated(parse(data)) == sorted(messages, key=repr)


ENCODINGS = ["ISO-8859-1", "ISO-8859-15", "KOI8-R", "CP1251", "EUC-JP", "SHIFT_JIS", "GBK", "GB18030", "BIG5", "EUC-KR"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("order", [1, -1])  # the header may be the last message
def test_encodings(encoding: str, order: int) -> None:
    letters = "".join(c for c in "äßжя表ソ能—한" if c.encode(encoding, "ignore").decode(encoding) == c)
    assert letters
    header = f'# {letters} x\nmsgid ""\nmsgstr ""\n"Content-Type: text/plain; "\n"charset={encoding}\\n"\n'
    text = "\n".join([header, f'msgid "a"\nmsgstr "{letters} x"\n'][::order])
    assert translated(parse(text.encode(encoding))) == [message("a", f"{letters} x")]
    escaped = "".join(f"\\x{byte:x}" for byte in letters.encode(encoding))
    assert translated(parse(text.replace(f'"{letters}', f'"{escaped}').encode(encoding))) == [
        message("a", f"{letters} x")
    ]
    if shutil.which("msgfmt") and order == 1:
        data = compiled(text.encode(encoding))
        assert data is not None
        assert translated(parse(data)) == [message("a", f"{letters} x")]


@pytest.mark.parametrize("charset", ["CHARSET", "", "no-such", "utf-16", "hex", "rot13", "UTF-7", "idna"])
def test_an_unknown_encoding_is_utf8(charset: str) -> None:
    text = f'msgid ""\nmsgstr "Content-Type: text/plain; charset={charset}\\n"\n\nmsgid "a"\nmsgstr "ä"\n'
    assert translated(parse(text)) == [message("a", "ä")]
    assert translated(parse("\ufeff" + text.replace("\n", "\r\n"))) == [message("a", "ä")]
    with pytest.raises(UserError, match=r"a\.po, line 5 is not utf-8, the encoding of the catalogue"):
        parse(text.encode("latin-1"))
    assert translated(parse(b"# \xff\n#~ \xff\n#| \xff\n" + text.encode())) == [message("a", "ä")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks(encoding: str) -> None:
    text = 'msgid "a"\r\nmsgstr "ä\\xe2\\x82\\xac"\r\n'
    if encoding == "utf-32":
        with pytest.raises(UserError, match=r"a\.po is not a valid gettext catalogue"):
            parse(text.encode(encoding))
        return
    assert translated(parse(text.encode(encoding))) == [message("a", "ä€")]
    with pytest.raises(UserError):
        parse(text.encode(encoding)[:-1] + b"\xd8" if encoding == "utf-16" else b"\xff")


def test_a_domain_without_quotation_marks() -> None:
    text = 'domain one\nmsgid "a"\nmsgstr "b"\ndomain two\nmsgid "domain x"\nmsgstr "c"\n'
    assert translated(parse(HEADER + text)) == [message("a", "b"), message("domain x", "c")]


def test_messages_that_are_not_certain_are_dropped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "de.po"
    path.write_text(
        HEADER
        + r"""
msgid "it\'s"
msgstr "x"

msgid "y"
msgstr "\xff"

msgid "good"
msgstr "gut"
"""
    )
    assert [*read_po(path, EN_DE)] == [
        UnreadableRow("an escape that gettext does not know: \\'", b"it\\'s"),
        UnreadableRow("escaped bytes that are not utf-8", b"y"),
        ("good", "gut"),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('msgid "a" msgid "b" msgstr "c"', "line 4 has msgid after msgid"),
        ('msgstr "a"', "line 4 has msgstr after msgstr"),
        ('msgid "a"\nmsgid_plural "b"\nmsgstr "c"', "line 6 has msgstr after msgid_plural"),
        ('msgid "a"\nmsgstr[0] "b"', r"line 5 has msgstr\[\] after msgid"),
        ('msgid "a"\nmsgstr\n', "line 5 has msgstr without a text in quotation marks"),
        ('msgid "a"\nmsgstr "b\nc"', "line 5 has no closing quotation mark"),
        ('msgid "a\nmsgstr "b"', "line 4 has no closing quotation mark"),
        ('msgid "a"\nmsgstr "b\\"\n', "line 5 has no closing quotation mark"),
        ('msgid "a"\n"b\nmsgstr "c"\n', "line 5 has no closing quotation mark"),
        ('msgid "a"\nmsgstr b"', "line 5 has text outside quotation marks"),
        ('msgid "a"\nmsgstr "b" [0]', "line 5 has text outside quotation marks"),
        ('msgidx "a"\nmsgstr "b"', "line 4 has text outside quotation marks"),
        ('msgid "a"\nmsgctxt', "line 5 has msgctxt without a text"),
        ('msgctxt "a"\n', "it ends after msgctxt in line 4, without a translation, as if truncated"),
    ],
)
def test_invalid_syntax(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=f"a.po is not a valid gettext catalogue: {problem}"):
        parse(HEADER + text)
    if shutil.which("msgfmt"):
        assert compiled((HEADER + text).encode()) is None


def test_fuzzy_and_obsolete_messages_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "de.po"
    path.write_text(
        HEADER
        + """
#, fuzzy
msgid "Close"
msgstr "Schluss"

#, fuzzy
msgid "not translated at all"
msgstr ""

#, fuzzy
msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

msgid "good"
msgstr "gut"

#~ msgctxt "menu"
#~ msgid "Old"
#~ msgstr "Alt"

#, fuzzy
#~| msgid "before"
#~ msgid ""
#~ "older "
#~ "\\"still\\""
#~ msgid_plural "x"
#~ msgstr[0] "noch älter"
#~msgid"oldest"
#~msgstr"am ältesten"

#~ msgid ""
#~ msgstr "an obsolete header"
"""
    )
    assert [*read_po(path, EN_DE)] == [
        UnreadableRow(FUZZY, b"Close"),
        UnreadableRow(FUZZY, b"%d file"),
        ("good", "gut"),
        UnreadableRow(OBSOLETE, b"Old"),
        UnreadableRow(OBSOLETE, b'older \\"still\\"'),
        UnreadableRow(OBSOLETE, b"oldest"),
    ]


@pytest.mark.parametrize("end", [b"\x1a", b"\r\n\x1a", b"\x1a\x1a\x1a", b"\x1a\r\n"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_ends_of_lines_and_of_the_file(end: bytes, newline: str) -> None:
    text = "# it's \"by hand\n" + HEADER + '#. note\nmsgid "a"\nmsgstr "b"\n'
    end = end.replace(b"\r\n", newline.encode())
    assert translated(parse(text.replace("\n", newline).encode() + end)) == [message("a", "b")]


@pytest.mark.parametrize(("language", "encoding"), [("de", "Windows-1252"), ("ru", "Windows-1251")])
def test_the_encoding_of_a_catalogue_is_guessed(tmp_path: Path, language: str, encoding: str) -> None:
    path = tmp_path / "a.po"
    text = 'msgid "a"\nmsgstr "größer"\n' if language == "de" else 'msgid "a"\nmsgstr "больше"\n'
    path.write_bytes(text.encode(encoding))
    command = f"It looks like {encoding}: convert the file with `iconv -f {encoding} -t UTF-8 {path}`"
    with pytest.raises(UserError, match="line 2 is not utf-8, the encoding of the catalogue. " + re.escape(command)):
        [*read_po(path, ("en", language))]
    path.write_bytes(HEADER.replace("UTF-8", "EUC-JP").encode() + b'msgid "a"\nmsgstr "\xff"\n')
    with pytest.raises(UserError, match=r"the encoding of the catalogue$"):
        [*read_po(path, EN_DE)]


BYTES = st.integers(0, 255).filter(lambda byte: byte != 4)  # msgfmt takes 4 for the end of a context
TEXTS = st.lists(
    st.one_of(
        st.text("ab ä€\r\x0b\x1c\u2028\x85", max_size=3),
        st.sampled_from(["\\n", "\\t", '\\"', "\\\\", "\\a", "\\b", "\\f", "\\v", "\\r", "\\0", "\0", "\\\n"]),
        st.sampled_from(["\\xc3\\xa4", "\\303\\244", "# ", "[0]"]),
        BYTES.map(lambda n: f"\\{n:o}"),
        BYTES.map(lambda n: f"\\x{n:x}g"),
    ),
    max_size=4,
).map("".join)
INVALID = st.sampled_from(["\\x", "\\q", "\\8", "\n", '"', "\\\r\n", "\\x4g\\4"])  # in a text
BLANKS = st.sampled_from(["", "", " ", "\n", "\r\n", "\t", "\n\n", " \\\n ", "\r", "\f", "\v"])
COMMENTS = st.sampled_from(
    ["# c", "#c", "#.x", "#: a.c:3", "#, fuzzy", "#,fuzzy", "#, c-format, fuzzy\r", "#!fuzzy", "#,x", "# fuzzy", "#~",
     "#|", '#| msgid "p"', '#~ msgid "o"\n#~ msgstr "o"', '#~| msgid "o"', '#~ msgid "o" msgstr "o"', "#~#, fuzzy",
     "# C:\\", "#", "#=fuzzy", "#, fu\\\nzzy", "# \udcff"]
)  # fmt: skip


@st.composite
def catalogues(draw: st.DrawFn) -> bytes:
    """Draw a catalogue, most of whose messages are valid."""
    parts = [HEADER if draw(st.integers(0, 9)) else ""]

    def add(keyword: str, text: str = "x") -> None:
        strings = [f'"{text}"', *(f'"{draw(TEXTS)}"' for _ in range(draw(st.integers(0, 2))))]
        if draw(st.integers(0, 50)) == 50:
            strings.append(f'"{draw(INVALID)}"')
        parts.extend([draw(BLANKS), keyword, draw(BLANKS)])
        parts.extend(string + draw(BLANKS) for string in strings)

    for number in range(draw(st.integers(1, 4))):
        for comment in draw(st.lists(COMMENTS, max_size=2)):
            parts.append(f"\n{comment}\n")
        kind = draw(st.integers(0, 11))
        if kind == 0:
            add("domain", f"d{number}")
        if kind < 4:
            add("msgctxt")
        add("msgid", f"{number}")
        if kind % 3:
            add("msgstr")
        else:
            add("msgid_plural")
            for index in range(draw(st.integers(1, 3))):
                add(f"msgstr{draw(BLANKS)}[{draw(BLANKS)}{index}{draw(BLANKS)}]")
    return "".join(parts).encode("utf-8", "surrogateescape")


@needs_msgfmt
@settings(max_examples=200, deadline=None)  # each runs a program, whose time depends on the machine
@given(catalogues())
@example((HEADER + '#,fuzzy\nmsgid "a"\nmsgstr "b"\n\n#~ msgid "x"\nmsgid "c" msgstr "d"').encode())
def test_every_catalogue_that_msgfmt_accepts_is_read_as_it_does(data: bytes) -> None:
    compiled_data = compiled(data)
    if compiled_data is None:
        with suppress(UserError):  # and no other error
            parse(data)
        return
    expected = {key: text for key, text in bytes_of_mo(compiled_data).items() if is_utf8(key + text)}
    assert {key_of(m): "\0".join(m.translations).encode() for m in translated(parse(data)) if not m.problem} == expected


def bytes_of_mo(data: bytes) -> dict[bytes, bytes]:
    """Return the messages of a compiled catalogue but the header."""
    count, *tables = struct.unpack_from("<3I", data, 8)
    sources, targets = ([struct.unpack_from("<2I", data, table + 8 * n) for n in range(count)] for table in tables)
    texts = [tuple(data[start : start + size] for size, start in sides) for sides in zip(sources, targets, strict=True)]
    return {key: text for key, text in texts if key.partition(b"\0")[0]}


def key_of(message: Message) -> bytes:
    context = "" if message.context is None else f"{message.context}\4"
    return (context + message.source + ("" if message.plural is None else f"\0{message.plural}")).encode()


def is_utf8(data: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        return bool(data.decode() or True)
    return False


@given(
    st.lists(st.tuples(*[st.text("ab ä€\n", min_size=1)] * 3, st.integers(0, 3)), max_size=5, unique_by=lambda t: t[0])
)
def test_compiled_catalogues_are_read_as_babel_reads_them(texts: list[tuple[str, str, str, int]]) -> None:
    catalogue = Catalog(locale="de")
    for source, target, other, kind in texts:
        context = other if kind % 2 else None
        if kind > 1:
            catalogue.add((source, other), (target, other), context=context)
        else:
            catalogue.add(source, target, context=context)
    file = io.BytesIO()
    write_mo(file, catalogue)
    file.seek(0)
    expected = []
    entry: Any  # Babel's types are wrong
    for entry in read_mo(file):
        if entry.id:
            sources, targets = ([side] if isinstance(side, str) else [*side] for side in (entry.id, entry.string))
            context = entry.context.decode() if entry.context else None
            expected.append(Message(context, sources[0], sources[1] if sources[1:] else None, tuple(targets)))
    assert translated(parse(file.getvalue())) == sorted(expected, key=repr)

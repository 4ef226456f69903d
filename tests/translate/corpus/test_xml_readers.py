"""Tests of TMX and XLIFF files: languages, segments, encodings and characters that XML does not allow."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.cleaning import usable_pairs
from dragoman.translate.corpus.readers import xml_elements
from dragoman.translate.corpus.readers.jsonl import read_jsonl
from dragoman.translate.corpus.readers.language_selection import LanguageMismatch
from dragoman.translate.corpus.readers.rows import RawRow, UnreadableRow
from dragoman.translate.corpus.readers.tmx import FURTHER_TEXT, read_tmx
from dragoman.translate.corpus.readers.xliff import UNFINISHED_TEXT, UNPAIRED_TEXT, read_xliff

EN_PT = ("en", "pt")
EN_DE = ("en", "de")

Variants = dict[str, str]


def tmx(*units: Variants, attribute: str = "xml:lang") -> str:
    variants = (
        "".join(f"<tuv {attribute}={quoteattr(tag)}><seg>{escape(text)}</seg></tuv>" for tag, text in unit.items())
        for unit in units
    )
    return '<tmx version="1.4"><header/><body>' + "".join(f"<tu>{unit}</tu>\n" for unit in variants) + "</body></tmx>"


def xliff(units: str) -> str:
    return (
        '<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">'
        f'<file source-language="en" target-language="de"><body>{units}</body></file></xliff>'
    )


def rows_of(path: Path, data: str | bytes, languages: tuple[str, str] = EN_DE) -> list[RawRow]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return [*(read_tmx if path.suffix == ".tmx" else read_xliff)(path, languages)]


@pytest.mark.parametrize("attribute", ["xml:lang", "lang"])
@pytest.mark.parametrize(
    ("requested", "tags"),
    [
        ("pt", ["pt", "pt-BR"]), ("pt", ["PT", "pt_BR"]), ("pt", ["por", "pt-BR"]), ("pt", ["pt-PT", "pt-Latn-PT"]),
        ("pt_BR", ["pt-BR", "pt"]), ("zh", ["zh", "zh-Hans"]), ("zh", ["zh-Hans", "zh-Hans-CN"]),
        ("cmn", ["zh", "zh-TW"]), ("zh_Hans", ["ZH-hans", "zh-Hans-CN"]), ("pt", ["pt", "pt-BR", "pt-PT"]),
    ],
)  # fmt: skip
def test_the_language_itself_precedes_its_varieties(
    tmp_path: Path, attribute: str, requested: str, tags: list[str]
) -> None:
    texts = {tag: f"text in {tag}" for tag in tags}
    for order in permutations(tags):
        unit = {"en-US": "hello", **{tag: texts[tag] for tag in order}}
        rows = rows_of(tmp_path / "a.tmx", tmx(unit, attribute=attribute), ("en", requested))
        assert rows[0] == ("hello", texts[tags[0]])
        others = {tag for tag in tags[1:] if requested != "pt_BR" or tag != "pt"}
        assert {*rows[1:]} == {UnreadableRow(FURTHER_TEXT, texts[tag].encode()) for tag in others}
        assert len(rows) == 1 + len(others)


def test_equally_general_varieties_are_taken_in_their_order(tmp_path: Path) -> None:
    unit = {"en-GB": "a", "en-US": "b", "pt-BR": "c", "pt-PT": "d"}
    rows = rows_of(tmp_path / "a.tmx", tmx(unit), EN_PT)
    assert rows == [("a", "c"), UnreadableRow(FURTHER_TEXT, b"b"), UnreadableRow(FURTHER_TEXT, b"d")]


@pytest.mark.parametrize("empty", ["", " ", "<ph/>", "<bpt i='1'>x</bpt><ept i='1'>y</ept>"])
def test_an_empty_variant_loses(tmp_path: Path, empty: str) -> None:
    text = tmx({"en": "one", "pt": "@", "pt-BR": "um"}).replace("@", empty)
    assert rows_of(tmp_path / "a.tmx", text, EN_PT) == [("one", "um")]
    text = tmx({"en": "one", "pt": "@"}).replace("@", empty)
    assert [*usable_pairs(rows_of(tmp_path / "a.tmx", text, EN_PT), lambda *_: None)] == []


def test_a_second_variant_of_a_language_is_counted(tmp_path: Path) -> None:
    unit = "".join(f'<tuv xml:lang="{tag}"><seg>{text}</seg></tuv>' for tag, text in (
        ("en", "one"), ("pt", "um"), ("pt", "uma"), ("PT", "um"), ("en", "1"), ("fr", "un"), ("fr", "une"), ("", "x")
    ))  # fmt: skip
    rows = rows_of(tmp_path / "a.tmx", f"<tmx><body><tu>{unit}<tuv/></tu></body></tmx>", EN_PT)
    assert rows == [("one", "um"), UnreadableRow(FURTHER_TEXT, b"1"), UnreadableRow(FURTHER_TEXT, b"uma")]


FORBIDDEN = ["\x00", "\x01", "\x0b", "\x0c", "\x1f", "&#x1F;", "&#0;", "&#31;", "&#x0B;", "&#xD83D;&#xDE00;",
             "&#xFFFE;", "&#x110000;", "\ufffe", "\uffff", "&#0000011;"]  # fmt: skip


@pytest.mark.parametrize("forbidden", FORBIDDEN)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.tmx", "a.xlf", "a.xliff"])
def test_a_unit_with_a_forbidden_character_is_dropped_and_counted(
    tmp_path: Path, forbidden: str, encoding: str, name: str
) -> None:
    pairs = [
        ("one", "eins"),
        (f"t{forbidden}wo", "zwei"),
        ("three", "drei €"),
        ("four", f"vier{forbidden}"),
        ("\x7f", "x"),
    ]
    if name == "a.tmx":
        text = tmx(*({"en": a, "de": b} for a, b in pairs))
    elif name == "a.xlf":
        text = xliff("".join(f"<trans-unit><source>{a}</source><target>{b}</target></trans-unit>" for a, b in pairs))
    else:
        units = "".join(f"<unit><segment><source>{a}</source><target>{b}</target></segment></unit>" for a, b in pairs)
        text = f'<xliff version="2.0" srcLang="en" trgLang="de"><file id="f">{units}</file></xliff>'
    text = f'<?xml version="1.0"?>\n{text.replace("&amp;#", "&#")}'
    dropped: list[str] = []
    rows = rows_of(tmp_path / name, text.encode(encoding))
    assert [*usable_pairs(rows, lambda reason, _: dropped.append(reason))] == [("one", "eins"), ("three", "drei €")]
    assert dropped == ["control characters"] * 3


def test_forbidden_characters_outside_text_do_no_harm(tmp_path: Path) -> None:
    text = tmx({"en": "one", "de": "eins&#9;zwei&#xE4;&#128512;"}).replace("&amp;", "&")
    text = text.replace("<header/>", "<header><note>\x0b&#1;</note></header><!-- \x01 -->")
    text = text.replace("<tu>", '<tu tuid="\x02"><prop type="&#x3;">\x04</prop>').replace("one", "o<bpt>\x0b</bpt>ne")
    assert rows_of(tmp_path / "a.tmx", text) == [("one", "eins\tzweiä😀")]


def test_surrogates_in_utf8_are_dropped(tmp_path: Path) -> None:
    text = (
        tmx({"en": "@", "de": "x"}, {"en": "한국어 휴", "de": "y"}).encode().replace(b"@", b"a\xed\xa0\xbd\xed\xb8\x80")
    )
    rows = rows_of(tmp_path / "a.tmx", text)
    assert [*usable_pairs(rows, lambda *_: None)] == [("한국어 휴", "y")]


TEXTS = st.text("ab&#x1F;0\x01\x0b\ufffe\uffff\ud83d휴€é ", max_size=12)


@given(st.lists(TEXTS), st.integers(1, 9))
def test_the_filter_does_not_depend_on_the_blocks_that_are_read(texts: list[str], size: int) -> None:
    data = "".join(texts).encode("utf-8", "surrogatepass")
    whole = b"".join(xml_elements._allowed([data]))
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    assert b"".join(xml_elements._allowed(blocks)) == whole
    assert len(whole) == len(data)
    assert not any(character in "\ufffe\uffff\x01\x0b" for character in whole.decode())


@pytest.mark.parametrize("declared", ["utf-8", "UTF8", "ISO-8859-1", "windows-1252", "koi8-r", "gb2312", "Shift_JIS",
                                      "big5", "EUC-KR", "utf-16", "ascii"])  # fmt: skip
def test_encodings(tmp_path: Path, declared: str) -> None:
    encoding = "utf-8" if declared == "ascii" else declared
    letters = "".join(c for c in "äßжя表ソ한" if c.encode(encoding, "ignore").decode(encoding) == c)
    text = f"<?xml version='1.0' encoding='{declared}' standalone='yes'?>\n" + tmx({"en": "a", "de": f"b {letters}"})
    assert rows_of(tmp_path / "a.tmx", text.encode(encoding)) == [("a", f"b {letters}")]
    assert rows_of(tmp_path / "a.tmx", text.replace(declared, "UTF-16").encode("utf-16")) == [("a", f"b {letters}")]
    if declared.lower() == "utf-16":  # converted, but the declaration was left
        assert rows_of(tmp_path / "a.tmx", text.encode("utf-8-sig")) == [("a", f"b {letters}")]


@pytest.mark.parametrize(
    "encoding", ["no-such", "hex", "rot13", "unicode_escape", "idna", "utf-7", "undefined", "punycode", "U\nF"]
)
def test_unknown_encodings_are_one_message(tmp_path: Path, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + tmx({"en": "a", "de": "b"})
    with pytest.raises(UserError, match=rf"a\.tmx: unknown encoding {re.escape(repr(encoding))}; convert it to UTF-8"):
        rows_of(tmp_path / "a.tmx", text)


def test_text_that_is_not_in_its_encoding_is_one_message(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="gbk"?>' + tmx({"en": "a", "de": "@"})
    with pytest.raises(UserError, match=r"a\.tmx has text that is not gbk, its encoding; convert it to UTF-8"):
        rows_of(tmp_path / "a.tmx", text.encode().replace(b"@", b"\xff\xff"))
    with pytest.raises(UserError, match=r"a\.tmx has text that is not utf-16"):
        rows_of(tmp_path / "a.tmx", text.encode("utf-16")[:-1])


def test_external_entities_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    doctype = f'<!DOCTYPE tmx [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>'
    with pytest.raises(UserError, match="broken XML: undefined entity"):
        rows_of(tmp_path / "a.tmx", doctype + tmx({"en": "a", "de": "@"}).replace("@", "&x;"))


def test_many_other_elements_take_linear_time_and_little_memory(tmp_path: Path) -> None:
    text = tmx(*[{"en": "a", "de": "b"}] * 5000).replace("<header/>", "<x/>" * 50_000)
    assert len(rows_of(tmp_path / "a.tmx", text)) == 5000


MARKED = '<mrk mtype="seg" mid="{}">{}</mrk>'


def test_marked_segments_of_xliff_1_are_pairs(tmp_path: Path) -> None:
    source = " ".join(
        MARKED.format(mid, text) for mid, text in (("0", "One dog."), ("a", "Two <g id='1'>cats</g>."), ("x", "3"))
    )
    target = "".join(
        MARKED.format(mid, text) for mid, text in (("a", "Zwei <g id='1'>Katzen</g>."), ("0", "Ein Hund."))
    )
    unit = (
        f"<source>One dog. Two cats. 3</source><seg-source><g id='9'>{source}</g></seg-source><target>{target}</target>"
    )
    text = xliff(f"<trans-unit id='1'>{unit}</trans-unit>")
    pairs, unpaired = [("One dog.", "Ein Hund."), ("Two cats.", "Zwei Katzen.")], UnreadableRow(UNPAIRED_TEXT, b"3")
    expected = [*pairs, unpaired]
    assert rows_of(tmp_path / "a.xlf", text) == expected
    assert rows_of(tmp_path / "a.xlf", text, ("de", "en")) == [*(pair[::-1] for pair in pairs), unpaired]
    assert (
        rows_of(
            tmp_path / "a.xlf",
            text.replace("seg-source>", "x>").replace("<source>One dog. Two cats. 3", f"<source>{source}"),
        )
        == expected
    )
    by_position = text.replace('mid="0"', "").replace('mid="a"', "").replace('mid="x"', "")
    assert rows_of(tmp_path / "a.xlf", by_position)[0] == ("One dog.", "Zwei Katzen.")


def test_a_unit_without_marks_on_one_side_is_a_pair(tmp_path: Path) -> None:
    marked = MARKED.format(1, "One.")
    for source, target in (
        (marked, "Eins."),
        ("One.", MARKED.format(1, "Eins.")),
        ('<mrk mtype="term">One</mrk>.', "Eins."),
    ):
        unit = f"<source>One.</source><seg-source>{source}</seg-source><target>{target}</target>"
        assert rows_of(tmp_path / "a.xlf", xliff(f"<trans-unit id='1'>{unit}</trans-unit>")) == [("One.", "Eins.")]


def test_segments_of_xliff_2_are_pairs(tmp_path: Path) -> None:
    text = (
        '<xliff version="2.1" srcLang="en" trgLang="de" xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f">'
        '<unit id="1"><notes><note>n</note></notes><segment id="s1"><source>One dog.</source><target order="3">'
        'Ein Hund.</target></segment><ignorable><source> </source><target> </target></ignorable><segment id="s2">'
        '<source>Two cats.</source><target order="1">Zwei Katzen.</target></segment>'
        "<segment><source>Three.</source></segment></unit>"
        '<group translate="no"><unit id="2"><segment><source>a</source><target>b</target></segment></unit></group>'
        "</file></xliff>"
    )
    assert rows_of(tmp_path / "a.xliff", text) == [("One dog.", "Ein Hund."), ("Two cats.", "Zwei Katzen.")]
    with pytest.raises(LanguageMismatch, match="it has en-de"):
        rows_of(tmp_path / "a.xliff", text, ("en", "fr"))


def test_json_lines_prefer_the_language_itself_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"en-US": "one", "pt-BR": "um (BR)", "pt": "um"}\n{"en": "two", "pt-PT": "dois", "pt_BR": "x"}\n')
    assert [*read_jsonl(path, EN_PT)] == [("one", "um"), ("two", "dois")]


@pytest.mark.parametrize("mids", [("12", "23"), ("1", "2"), ("12", "1"), ("1", "12")])
def test_segments_without_a_partner_are_counted(tmp_path: Path, mids: tuple[str, str]) -> None:
    sides = [
        "".join(MARKED.format(mid, f"{side}{mid}") for mid in mids[side]) + MARKED.format(0, "") for side in (0, 1)
    ]
    unit = f"<trans-unit id='1'><source>{sides[0]}</source><target>{sides[1]}</target></trans-unit>"
    good = "<trans-unit id='2'><source>a</source><target>b</target></trans-unit>"
    rows = rows_of(tmp_path / "a.xlf", xliff(unit + good))
    assert [row for row in rows if len(row) == 2 and row[0]] == [
        *((f"0{mid}", f"1{mid}") for mid in mids[0] if mid in mids[1]), ("a", "b"),
    ]  # fmt: skip
    assert [row for row in rows if isinstance(row, UnreadableRow)] == [
        *(UnreadableRow(UNPAIRED_TEXT, f"0{mid}".encode()) for mid in mids[0] if mid not in mids[1]),
        *(UnreadableRow(UNPAIRED_TEXT, f"1{mid}".encode()) for mid in mids[1] if mid not in mids[0]),
    ]


NAMESPACES = (
    ' xmlns:sdl="http://sdl.com/FileTypes/SdlXliff/1.0" xmlns:m="http://www.memsource.com/mxlf/2.0" xmlns:mq="MQXliff"'
)


@pytest.mark.parametrize(
    ("attribute", "is_finished"),
    [
        *((f'conf="{state}"', True) for state in ("Translated", "ApprovedTranslation", "ApprovedSignOff")),
        *((f'conf="{state}"', False) for state in ("Draft", "Unspecified", "RejectedTranslation", "RejectedSignOff")),
        ("", False),
    ],
)
def test_confirmed_segments_of_trados_studio(tmp_path: Path, attribute: str, is_finished: bool) -> None:
    marks = [MARKED.format(1, side) + MARKED.format(2, f"{side}2") + MARKED.format(3, "") for side in "ab"]
    definitions = f'<sdl:seg id="1" conf="Translated"/><sdl:seg id="2" {attribute}/><sdl:seg id="3"/>'
    text = xliff(
        f"<trans-unit id='1'><source>a a2</source><seg-source>{marks[0]}</seg-source><target>{marks[1]}</target>"
        f"<sdl:seg-defs>{definitions}</sdl:seg-defs></trans-unit>"
    ).replace("<xliff", f"<xliff{NAMESPACES}")
    second: RawRow = ("a2", "b2") if is_finished else UnreadableRow(UNFINISHED_TEXT, b"a2", b"b2")
    assert rows_of(tmp_path / "a.sdlxliff", text) == [("a", "b"), second]
    if not is_finished:
        with pytest.raises(LanguageMismatch, match=r"a\.sdlxliff has no finished translation: .* 2 are unfinished"):
            rows_of(tmp_path / "a.sdlxliff", text.replace("Translated", "Draft"))


@pytest.mark.parametrize(
    ("attribute", "is_finished"),
    [
        ('m:confirmed="1"', True), ('m:confirmed="0"', False), ('confirmed="0"', True), ("", True),
        ('mq:status="ManuallyConfirmed"', True), ('mq:status="Proofread"', True), ('mq:status="Pretranslated"', False),
        ('mq:status="NotStarted"', False), ('mq:status="Rejected"', False),
    ],
)  # fmt: skip
def test_confirmed_units_of_phrase_and_memoq(tmp_path: Path, attribute: str, is_finished: bool) -> None:
    text = xliff(
        "<trans-unit id='1'><source>a</source><target>b</target></trans-unit>"
        f"<trans-unit id='2' {attribute}><source>c</source><target>d</target></trans-unit>"
        f"<trans-unit id='3' {attribute}><source>e</source><target/></trans-unit>"
    ).replace("<xliff", f"<xliff{NAMESPACES}")
    rows = [row for row in rows_of(tmp_path / "a.xliff", text) if row != ("e", "")]
    assert rows == [("a", "b"), ("c", "d") if is_finished else UnreadableRow(UNFINISHED_TEXT, b"c", b"d")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{1>bold<1} text", "bold text"), ("a {b>b {2>c<2}<b}", "a b c"), ("{1}Save", "Save"), ("Save{1}", "Save"),
        ("&lt;1&gt;bold&lt;/1&gt; text&lt;2/&gt;", "bold text"),
        ("a <ph id='9'/>b {3>c<3} <g id='1'>{4>d<4}e</g>f", "a b c def"),
        ("{name} {1>x<1}", "{name} x"), ("{10>x<10}{i>y<i}{^>2<^}", "xy2"), ("plain &lt;b> {a>", "plain <b> {a>"),
    ],
)  # fmt: skip
def test_codes_in_text_by_phrase(tmp_path: Path, text: str, expected: str) -> None:
    text = re.sub("<(?=[0-9bi^]+})", "&lt;", text)
    units = xliff(f"<trans-unit id='1'><source>{text}</source><target>{text}</target></trans-unit>")
    assert rows_of(tmp_path / "a.mxliff", units) == [(expected, expected)]
    ((source, *_),) = rows_of(tmp_path / "a.xliff", units)  # in other files they are text
    assert (source == expected) is (text == "plain &lt;b> {a>")


def test_codes_by_phrase_in_the_place_of_a_word(tmp_path: Path) -> None:
    unit = "<trans-unit id='1'><source>Enter {1} now</source><target>Jetzt {1} eingeben</target>{}</trans-unit>"
    (row,) = rows_of(tmp_path / "a.mxliff", xliff(unit.replace("{}", "")))
    assert isinstance(row, UnreadableRow)
    data = "<m:tunit-metadata><m:mark id='1'><m:type>x</m:type><m:content>%s</m:content></m:mark></m:tunit-metadata>"
    text = xliff(unit.replace("{}", data)).replace("<xliff", f"<xliff{NAMESPACES}")
    assert rows_of(tmp_path / "a.mxliff", text) == [("Enter %s now", "Jetzt %s eingeben")]


@pytest.mark.parametrize("name", ["a.tmx", "a.xlf"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("end", ["\x1a", "\r\n\x1a", "\x1a\x1a\n", " " * 70_000 + "\x1a"])
def test_the_end_of_file_of_dos_is_ignored(tmp_path: Path, name: str, encoding: str, end: str) -> None:
    unit = "<trans-unit id='1'><source>a</source><target>b</target></trans-unit>"
    text = tmx({"en": "a", "de": "b"}) if name == "a.tmx" else xliff(unit)
    assert rows_of(tmp_path / name, (text + end).encode(encoding)) == [("a", "b")]
    with pytest.raises(UserError, match="broken XML: "):
        rows_of(tmp_path / name, (text + end + "x").encode(encoding))


AMPERSANDS = ["AT&T", "A & B", "&", "R&D x", "a&amp;b&", "?a=1&b=2", "&#x;", "&#;", "&é", "&1;"]


@pytest.mark.parametrize("text", AMPERSANDS)
def test_raw_ampersands_are_text_and_counted(tmp_path: Path, text: str) -> None:
    document = tmx({"en": "@", "de": "x &amp; y"}, {"en": "a", "de": "b"}).replace("&amp;amp;", "&amp;")
    document = document.replace("@", text).replace("<tu>", f'<tu tuid="{text}">', 1)
    messages: list[str] = []
    (tmp_path / "a.tmx").write_text(document, "utf-8")
    rows = [*read_tmx(tmp_path / "a.tmx", EN_DE, log=messages.append)]
    expected = text.replace("&amp;", "&")
    assert rows == [(expected, "x & y"), ("a", "b")]
    assert messages == [f"{tmp_path}/a.tmx: 2 ampersands without `amp;` taken for text"]


def test_ampersands_outside_text_stay(tmp_path: Path) -> None:
    document = tmx({"en": "@", "de": "b"}).replace("<tu>", "<!-- AT&T --><?x A & B?><tu>", 1)
    document = document.replace("@", "<![CDATA[A & B &amp; <x> AT&T]]>")
    messages: list[str] = []
    (tmp_path / "a.tmx").write_text(document, "utf-8")
    assert [*read_tmx(tmp_path / "a.tmx", EN_DE, log=messages.append)] == [("A & B &amp; <x> AT&T", "b")]
    assert messages == []


PARTS = ["&", "&amp;", "&#1", "&#x41;", "a", ";", "<!--", "--", "-->", "<![CDATA[", "]]", "]]>", "<?", "?>", "é", "<x>"]


@given(st.lists(st.sampled_from(PARTS), max_size=12), st.integers(1, 9))
def test_ampersands_do_not_depend_on_the_blocks_that_are_read(parts: list[str], size: int) -> None:
    data = "".join(parts).encode()
    whole, blocks = xml_elements._Ampersands(), xml_elements._Ampersands()
    expected = b"".join(whole.escape([data]))
    assert b"".join(blocks.escape(data[start : start + size] for start in range(0, len(data), size))) == expected
    assert blocks.count == whole.count
    assert len(expected) == len(data) + 4 * whole.count


GOOD_TMX = '<?xml version="1.0"?>\n' + tmx({"en": "one", "de": "eins"}, {"en": "two", "de": "zwei"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: broken XML: it has no element, as if it were empty; get the whole file again"),
        (GOOD_TMX[:-13], "line 4.* it ends before its last element does, as if truncated; get the whole file again"),
        (GOOD_TMX[:-3], "line 4, .*it ends inside a tag, as if truncated; get the whole file again"),
        (GOOD_TMX.replace("one", "1 < 2"), "line 2, .*write `<` in text as `&lt;`"),
        (GOOD_TMX.replace("<seg>two</seg>", "<seg>two</tuv>"), "line 3, .*an end tag does not match"),
        ("\n" + GOOD_TMX, "line 2, column 1: .*`<[?]xml ...[?]>` is not at the start of the file; remove what"),
        (GOOD_TMX + "\n" + GOOD_TMX, "line 5, .*or split the file if two were joined"),
        (GOOD_TMX + "x", "line 4, .*more after the end of its only element; remove it"),
        (GOOD_TMX.replace("one", "&nbsp;"), "line 2, .*undefined entity; write the character itself"),
    ],
)  # fmt: skip
def test_broken_xml_is_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"a\.tmx, {message}"):
        rows_of(tmp_path / "a.tmx", text)


@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0" encoding="UTF-8"?>\n'])
@pytest.mark.parametrize(
    ("language", "text", "encoding"), [("de", "größer", "Windows-1252"), ("ru", "большой", "Windows-1251")]
)
def test_the_encoding_of_xml_is_guessed(
    tmp_path: Path, declaration: str, language: str, text: str, encoding: str
) -> None:
    document = (declaration + tmx({"en": "a", language: "b"}, {"en": "a", language: text})).encode(encoding)
    line = 2 + bool(declaration)
    command = f"It looks like {encoding}: convert the file with `iconv -f {encoding} -t UTF-8 {tmp_path}/a.tmx`"
    with pytest.raises(
        UserError, match=rf"a\.tmx, line {line} is not UTF-8, the encoding of the file. {re.escape(command)}"
    ):
        rows_of(tmp_path / "a.tmx", document, ("en", language))

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
from dragoman.translate.corpus.readers.xliff import read_xliff

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
    expected = [("One dog.", "Ein Hund."), ("Two cats.", "Zwei Katzen.")]
    assert rows_of(tmp_path / "a.xlf", text) == expected
    assert rows_of(tmp_path / "a.xlf", text, ("de", "en")) == [pair[::-1] for pair in expected]
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

"""Tests of inline codes in TMX, XLIFF 1.2 and XLIFF 2: each meaning of a code, written as each format writes it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest

from dragoman.translate.corpus.cleaning import usable_pairs
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.corpus.readers.inline_codes import JOINED_WORDS, MISSING_TEXT, OTHER_PLACEHOLDERS
from dragoman.translate.corpus.readers.rows import UnreadableRow
from dragoman.translate.corpus.readers.tmx import read_tmx
from dragoman.translate.corpus.readers.xliff import read_xliff

EN_DE = ("en", "de")


def tmx(source: str, target: str) -> str:
    return (
        f'<tmx version="1.4"><body><tu><tuv xml:lang="en"><seg>{source}</seg></tuv>'
        f'<tuv xml:lang="de"><seg>{target}</seg></tuv></tu></body></tmx>'
    )


def xliff1(source: str, target: str) -> str:
    return (
        '<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file source-language="en" '
        f'target-language="de"><body><trans-unit id="1"><source>{source}</source><target>{target}</target></trans-unit>'
        "</body></file></xliff>"
    )


def xliff2(source: str, target: str, data: str = "") -> str:
    return (
        '<xliff version="2.0" srcLang="en" trgLang="de" xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f">'
        f'<unit id="1"><originalData><data id="d">{data}</data></originalData>'
        f"<segment><source>{source}</source><target>{target}</target></segment></unit></file></xliff>"
    )


def row(path: Path, text: str) -> tuple[str, str] | str:
    """Return the only pair of a file as a corpus would have it, or the reason why it is dropped."""
    path.write_text(text, "utf-8")
    rows = [*(read_tmx if path.suffix == ".tmx" else read_xliff)(path, EN_DE)]
    assert len(rows) == 1
    reasons: list[str] = []
    pairs = [*usable_pairs(rows, lambda reason, pair: reasons.append(reason))]
    assert len(pairs) + len(reasons) == 1
    return reasons[0] if reasons else tuple(pairs[0])  # type: ignore[return-value]  # a named tuple of two texts


# The ways in which each format writes a standalone code with its native content.
STANDALONE: dict[str, Callable[[str, str, str], str]] = {
    "ph.tmx": lambda source, target, native: tmx(
        source.replace("@@", f'<ph x="1">{native}</ph>'), target.replace("@@", f'<ph x="1">{native}</ph>')
    ),
    "ut.tmx": lambda source, target, native: tmx(
        source.replace("@@", f"<ut>{native}</ut>"), target.replace("@@", f"<ut>{native}</ut>")
    ),
    "ph.xlf": lambda source, target, native: xliff1(
        source.replace("@@", f'<ph id="1">{native}</ph>'), target.replace("@@", f'<ph id="1">{native}</ph>')
    ),
    "x.xlf": lambda source, target, native: xliff1(
        source.replace("@@", f'<x id="1" equiv-text="{native}"/>'),
        target.replace("@@", f'<x id="1" equiv-text="{native}"/>'),
    ),
    "ref.xliff": lambda source, target, native: xliff2(
        source.replace("@@", '<ph id="1" dataRef="d"/>'), target.replace("@@", '<ph id="1" dataRef="d"/>'), native
    ),
    "disp.xliff": lambda source, target, native: xliff2(
        source.replace("@@", f'<ph id="1" disp="{native}"/>'), target.replace("@@", f'<ph id="1" equiv="{native}"/>')
    ),
}

in_each_way = pytest.mark.parametrize("way", STANDALONE)


def read(tmp_path: Path, way: str, source: str, target: str, native: str) -> tuple[str, str] | str:
    return row(
        tmp_path / way, STANDALONE[way](source, target, escape(native).replace("\n", "&#10;").replace("\t", "&#9;"))
    )


@in_each_way
@pytest.mark.parametrize(
    "native",
    ["<br>", "<br/>", "<BR clear='all' />", "<br", "</p><p>", "<p class='x'>", "</td><td>", "</li>", "<div>", "</h2>",
     "\n", "\t", "\u00a0", "\\n", "\\r\\n", "\\t", "&nbsp;", "&#160;", "&#xA;", "<w:br/>", "<w:tab/>",
     "<text:line-break/>", "<text:s/>", "\\par ", "{\\line }", "\\~", "\\u00a0", "[br]", "{tab}", "¶", "<LineBreak/>",
     "</b><br/>",
     "&lt;br/&gt;", "<mq:ch val='x'/>"],
)  # fmt: skip
def test_codes_that_break_are_spaces(tmp_path: Path, way: str, native: str) -> None:
    assert read(tmp_path, way, "Save@@file", "Datei@@sichern", native) == ("Save file", "Datei sichern")


@in_each_way
@pytest.mark.parametrize(
    "native", ["<b>", "</b>", "<span class='x'>", "</a>", "<s>", "<i><b>", "\\b0 ", "{\\cf6 ", "}", "**", "{b>", "<b}",
               "<!-- c -->", "<option-x>", "<pre-x>"],
)  # fmt: skip
def test_formatting_vanishes(tmp_path: Path, way: str, native: str) -> None:
    expected = ("Saved files here", "Dateien hier")
    assert read(tmp_path, way, "Save@@d files @@here", "Date@@ien@@ hier", native) == expected


@in_each_way
@pytest.mark.parametrize(
    "native",
    ["%s", "%1$s", "%d", "%-5.2lf", "%(name)s", "%@", "%1", "%{name}", "%name%", "{0}", "{}", "{name}", "{0, number}",
     "${name}", "{{name}}", "{{ user.name }}", "#{x}", "$name$", "$(x)", "@name", ":name", "!name", "&brand;",
     "<%= x %>", "<?php echo $x ?>", "__name__", "«name»", "%n"],
)  # fmt: skip
def test_placeholders_are_kept_on_both_sides_or_the_pair_is_dropped(tmp_path: Path, way: str, native: str) -> None:
    expected = (f"Enter {native}'s PIN", f"PIN von {native}")
    assert read(tmp_path, way, "Enter @@'s PIN", "PIN von @@", native) == expected
    assert read(tmp_path, way, "Enter @@'s PIN", "PIN eingeben", native) == OTHER_PLACEHOLDERS
    assert read(tmp_path, way, "Enter PIN", "PIN von @@ und @@", native) == OTHER_PLACEHOLDERS
    # One side may write the placeholder as plain text.
    assert read(tmp_path, way, "Enter @@ now", f"Jetzt {escape(native)}", native) == (
        f"Enter {native} now",
        f"Jetzt {native}",
    )


@in_each_way
def test_characters_as_codes_are_kept(tmp_path: Path, way: str) -> None:
    assert read(tmp_path, way, "AT@@T", "AT@@T", "&amp;") == ("AT&T", "AT&T")
    assert read(tmp_path, way, "100@@ sure", "100@@ sicher", "%%") == ("100% sure", "100% sicher")


HARMLESS = [
    "Hello @@world", "Hello@@ world", "@@Hello world@@", "Hello@@, world", "Hello (@@world@@)", 'Say "@@hello@@".',
    "¡@@Hola@@!", "Wait@@…", "@@@@Hello@@ world", "单击@@保存@@按钮", "保存@@PDF", "ภาษา@@ไทย",
]  # fmt: skip
INSTEAD_OF_WORD = [
    "Enter @@'s PIN", "Enter @@’s PIN", "Press @@ to go", "@@ files", "Name: @@", "Hello @@.", "(@@)", "“@@” it is",
    'Say "@@" now', "Hello @@, world", "@@: done", "Use @@-v", "点击 @@ 保存", "From @@@@ on", "a [@@] b",
]  # fmt: skip
BETWEEN_WORDS = ["Save@@file", "Hello.@@World", "Chapter@@3", "слово@@слово", "name:@@value", "café@@bar", "a@@@@b"]


@in_each_way
@pytest.mark.parametrize("native", ["", "<x/>", "1", "<img src='x'>", "Bob"])
def test_codes_of_unknown_meaning(tmp_path: Path, way: str, native: str) -> None:
    for texts, reason in ((HARMLESS, None), (INSTEAD_OF_WORD, MISSING_TEXT), (BETWEEN_WORDS, JOINED_WORDS)):
        for text in texts:
            expected = reason or Pair(text.replace("@@", ""), "Ziel")
            assert read(tmp_path, way, text, "Ziel", native) == expected, text
            assert read(tmp_path, way, "@@Source", text, native) == (reason or ("Source", text.replace("@@", ""))), text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tmx", tmx('A<ph type="lb"/>b<ph type="LineBreak">x</ph>c', "x")),
        ("a.tmx", tmx("A<bpt i='1'>&lt;p&gt;</bpt>b<ept i='1'>&lt;/p&gt;</ept>c", "x")),
        ("a.tmx", tmx("A<it pos='begin'>&lt;br/&gt;</it>b<br/>c", "x")),
        ("a.xlf", xliff1('A<x id="1" ctype="lb"/>b<x id="2" ctype="x-br"/>c', "x")),
        ("a.xlf", xliff1('A<x id="1" ctype="x-html-br"/>b<bx id="2" ctype="x-p"/>c', "x")),
        ("a.xlf", xliff1('A<g id="1" ctype="x-html-P">b</g>c', "x")),
        ("a.xlf", xliff1('A<x id="LINE_BREAK" ctype="lb"/>b<x id="2" ctype="pb"/>c', "x")),
        ("a.xliff", xliff2('A<ph id="1" type="fmt" subType="xlf:lb"/>b<ph id="2" subType="xlf:pb"/>c', "x")),
        ("a.xliff", xliff2('A<pc id="1" dataRefStart="d" dataRefEnd="d">b</pc>c', "x", "&lt;p&gt;")),
        ("a.xliff", xliff2('A<sc id="1" dataRef="d"/>b<ec startRef="1" dataRef="d"/>c', "x", "&lt;td&gt;")),
    ],
)
def test_breaks_by_type(tmp_path: Path, name: str, text: str) -> None:
    assert row(tmp_path / name, text) == ("A b c", "x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tmx", tmx("Sa<bpt i='1'>&lt;b&gt;</bpt>ve<ept i='1'>&lt;/b&gt;</ept>d", "x")),
        ("a.tmx", tmx("Sa<bpt i='1'>{0}</bpt>ve<ept i='1'>{1}</ept><hi>d</hi>", "x")),
        ("a.tmx", tmx("Sa<it pos='begin'>x</it>ve<ph type='fnote'>1<sub>A footnote.</sub></ph>d", "x")),
        ("a.xlf", xliff1('Sa<g id="1" ctype="bold">ve</g><mrk mtype="term">d</mrk>', "x")),
        ("a.xlf", xliff1('Sa<bx id="1"/>ve<ex id="1"/><x id="CLOSE_TAG_SPAN" ctype="x-span"/>d', "x")),
        ("a.xlf", xliff1('Sa<x id="1" ctype="bold"/>ve<x id="1" ctype="x-i"/>d', "x")),
        ("a.xliff", xliff2('Sa<pc id="1" type="fmt" subType="xlf:b">ve</pc><mrk id="m">d</mrk>', "x")),
        ("a.xliff", xliff2('Sa<sc id="1"/>ve<ec startRef="1"/><sm id="2"/>d<em startRef="2"/>', "x")),
    ],
)
def test_formatting_by_type(tmp_path: Path, name: str, text: str) -> None:
    assert row(tmp_path / name, text) == ("Saved", "x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tmx", tmx('On<ph type="date"/>it', "x")),
        ("a.xlf", xliff1('To<x id="INTERPOLATION_1"/>it', "x")),
        ("a.xlf", xliff1('To<x id="PH" equiv-text="this.url"/>it', "x")),
        ("a.xlf", xliff1('To<x id="1" ctype="x-variable"/>it', "x")),
        ("a.xlf", xliff1('To<x id="ICU" equiv-text="{n, plural, =1 {one} other {many}}"/>it', "x")),
        ("a.xlf", xliff1('To <g id="1"/> it', "x")),
        ("a.xliff", xliff2('To<ph id="1" type="ui" subType="xlf:var"/>it', "x")),
        ("a.xlf", xliff1("To <ph id='1'>&lt;b&gt;Bob&lt;/b&gt;</ph>.", "x")),
    ],
)
def test_placeholders_without_a_native_form_drop_the_pair(tmp_path: Path, name: str, text: str) -> None:
    assert row(tmp_path / name, text) == MISSING_TEXT


def test_codes_that_trados_studio_defines_in_the_header(tmp_path: Path) -> None:
    definitions = (
        '<header><tag-defs xmlns="http://sdl.com/FileTypes/SdlXliff/1.0">'
        '<tag id="1"><ph name="br">&lt;br/&gt;</ph></tag>'
        '<tag id="2"><bpt name="b">&lt;b&gt;</bpt><ept name="b">&lt;/b&gt;</ept></tag>'
        '<tag id="3"><ph name="x">{0}</ph></tag><tag id="4"><st>x</st></tag></tag-defs></header><body>'
    )
    text = xliff1('Sa<g id="2">ve</g><x id="1"/>file <x id="3"/>.', 'Datei<x id="1"/><x id="3"/> sichern.')
    expected = ("Save file {0}.", "Datei {0} sichern.")
    assert row(tmp_path / "a.xlf", text.replace("<body>", definitions)) == expected


def test_a_dropped_pair_can_be_read_in_the_list_of_dropped_pairs(tmp_path: Path) -> None:
    path = tmp_path / "a.tmx"
    path.write_text(tmx("Enter <ph/>'s PIN", "PIN <ph/> eingeben"))
    rows = [*read_tmx(path, EN_DE)]
    assert rows == [UnreadableRow(MISSING_TEXT, b"Enter 's PIN", b"PIN  eingeben")]
    dropped: list[tuple[str, Pair]] = []
    assert [*usable_pairs(rows, lambda rule, pair: dropped.append((rule, pair)))] == []
    assert dropped == [(MISSING_TEXT, Pair("Enter 's PIN", "PIN  eingeben"))]  # the columns of --dropped


def test_a_side_without_text_is_empty_whatever_its_codes(tmp_path: Path) -> None:
    assert row(tmp_path / "a.tmx", tmx("<ph/>", "<ph/>")) == "empty"
    assert row(tmp_path / "a.xlf", xliff1("Enter <x id='1'/>.", "")) == "empty"


def test_characters_by_number(tmp_path: Path) -> None:
    assert row(tmp_path / "a.xliff", xliff2('A<cp hex="0001"/>b', "x")) == "control characters"
    assert row(tmp_path / "a.xliff", xliff2('A<cp hex="zz"/><cp hex="FFFFFFFFFFFF"/>b', "x")) == ("Ab", "x")


def test_long_codes_take_linear_time(tmp_path: Path) -> None:
    for native in ("{" * 50_000, "\\b" * 50_000, "<b" * 50_000, "%" * 50_000, "{%" * 30_000, "[" * 50_000):
        text = xliff1(f"A <ph id='1'>{escape(native)}</ph>b" * 3, "x")
        assert row(tmp_path / "a.xlf", text)

"""Tests of XLIFF. The oracle is lxml: only targets that were missing or empty change."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Content, Segment, Tag, Text, replace_segments
from dragoman.runtime.documents.xliff import segments
from dragoman.runtime.errors import UserError

Element: TypeAlias = Any  # lxml ships no types
Change = Callable[[tuple[Content, ...]], Sequence[Content]]
etree: Any = pytest.importorskip("lxml.etree")

OPTIONS = Options("en", "de")
FUZZY = Options("en", "de", fuzzy=True)


def parse(source: str) -> Element:
    text = re.sub("[\ud800-\udfff]", "\ufffd", source.removeprefix("\ufeff"))
    parser = etree.XMLParser(huge_tree=True, resolve_entities=False, no_network=True)
    return etree.fromstring(re.sub(r"^<\?xml[^>]*\?>", "", text).encode(), parser)


def name_of(element: Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def is_filled(target: Element) -> bool:
    """Return True if a target has text, or an element that is no empty segment."""
    others = [e for e in target.iter() if e is not target and not (name_of(e) == "mrk" and e.get("mtype") == "seg")]
    return bool(others) or bool("".join(target.itertext()).strip())


def units(source: str) -> list[Element]:
    return [e for e in parse(source).iter() if name_of(e) in ("trans-unit", "segment") and len(e)]


def child(element: Element, name: str) -> Element:
    return next((e for e in element if name_of(e) == name), None)


def without_filled(source: str) -> str:
    """Return a document without white space around elements, targets that are not filled, and state attributes."""
    tree = parse(source)
    for attribute in ("target-language", "trgLang"):
        for element in [e for e in tree.iter() if isinstance(e.tag, str)]:
            element.attrib.pop(attribute, None)
    for element in tree.iter():
        if name_of(element) in ("trans-unit", "segment"):
            element.attrib.pop("state", None)
            element.attrib.pop("subState", None)
            for item in element:
                item.tail = None
            element.text = None
    return str(etree.tostring(tree).decode())


def remove_targets(source: str, numbers: set[int]) -> str:
    """Return `without_filled` of a document, without the targets of some units."""
    tree = parse(source)
    found = [e for e in tree.iter() if name_of(e) in ("trans-unit", "segment") and len(e)]
    for number in numbers:
        target = child(found[number], "target")
        if target is not None:
            found[number].remove(target)
    return without_filled(etree.tostring(tree).decode())


def open_units(source: str) -> set[int]:
    """Return the numbers of the units without a filled target."""
    numbers = set()
    for i, unit in enumerate(units(source)):
        target = child(unit, "target")
        if target is None or not is_filled(target):
            numbers.add(i)
    return numbers


def translate(source: str, change: Change = tuple, options: Options = OPTIONS) -> str:
    found = segments(source, options)
    check_segments(source, found)
    return replace_segments(source, [(segment, segment.write(change(segment.content))) for segment in found])


def check_segments(source: str, found: list[Segment]) -> None:
    position = 0
    for segment in found:
        assert position <= segment.start <= segment.end <= len(source)
        position = segment.end
        assert any(
            c.isalnum() for item in segment.content if isinstance(item, Text) and not item.source for c in item.text
        )
        assert all(isinstance(item, Tag) or item.text for item in segment.content)


def map_text(change: Callable[[str], str]) -> Change:
    def changed(content: tuple[Content, ...]) -> list[Content]:
        return [Text(change(c.text)) if isinstance(c, Text) and c.source is None else c for c in content]

    return changed


def inner(element: Element) -> str:
    """Return the content of an element, with white space collapsed and without comments."""
    copied = etree.fromstring(etree.tostring(element, with_tail=False), etree.XMLParser(remove_comments=True))
    text = etree.tostring(copied).decode()
    return " ".join(re.sub(r"^<[^>]*>|</[^>]*>$", "", text).replace("&#13;", " ").split())


def check_document(source: str) -> int:
    """Check that only open units change, and that their targets become the sources. Return the number of segments."""
    found = segments(source, OPTIONS)
    filled = translate(source)
    opened = open_units(source)
    assert remove_targets(source, opened) == remove_targets(filled, opened)
    still_open = open_units(filled)
    assert still_open <= opened
    assert len(opened) - len(still_open) == len(found)
    for number in opened - still_open:
        unit = units(filled)[number]
        segmented = child(unit, "seg-source")
        assert inner(child(unit, "target")) == inner(child(unit, "source") if segmented is None else segmented)
    assert not segments(filled, OPTIONS)
    return len(found)


NAMESPACE_12, NAMESPACE_20 = "urn:oasis:names:tc:xliff:document:1.2", "urn:oasis:names:tc:xliff:document:2.0"


def xliff_12(units: str, file_attributes: str = 'source-language="en" target-language="de"') -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<xliff version="1.2" xmlns="{NAMESPACE_12}">\n'
        f"<file {file_attributes}><body>\n{units}\n</body></file></xliff>"
    )


def xliff_20(units: str, attributes: str = 'srcLang="en" trgLang="de"', unit_attributes: str = "") -> str:
    return (
        f'<xliff version="2.0" xmlns="{NAMESPACE_20}" xmlns:x="urn:x" {attributes}><file id="f">'
        f'<unit id="1" {unit_attributes}>{units}</unit></file></xliff>'
    )


def plain(source: str, options: Options = OPTIONS) -> list[str]:
    """Return segments as strings: <> for opening, </> for closing and <o> for other tags, and {} for copied text."""
    signs = {"open": "<>", "close": "</>", "empty": "<o>"}

    def spell(item: Content) -> str:
        if isinstance(item, Tag):
            return signs[item.kind]
        return item.text if item.source is None else f"{{{item.text}}}"

    return ["".join(map(spell, segment.content)) for segment in segments(source, options)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hello", "Hello"),
        (" \n Hello\n  big   world\t", "Hello big world"),
        ("a &lt;b&gt; &amp; <![CDATA[<c>]]> &#x20AC;&#8364;", "a <b> & <c> €€"),
        ('a <g id="1">b <g id="2">c</g></g>', "a <>b <>c</></>"),
        ('a<x id="1"/>b<x id="2"></x>', "a<o>b<o>"),
        ('<bx id="1"/>a<ex id="1"/> b', "<>a</> b"),
        ('<bx id="1" rid="7"/>a<ex id="2" rid="7"/> b', "<>a</> b"),
        ('<bpt id="1">&lt;b&gt;</bpt>a<ept id="1">&lt;/b&gt;</ept>', "<>a</>"),
        ('<bpt id="1">x</bpt>a<bpt id="2">y</bpt>b<ept id="1">x</ept>c<ept id="2">y</ept>', "<o>a<>b<o>c</>"),
        ('<g id="1">a<bpt id="1">x</bpt>b</g>c<ept id="1">x</ept>', "<>a<o>b</>c<o>"),
        ('a<ph id="1">code <sub>text</sub></ph>b', "a<o>b"),
        ('a<it id="1" pos="open">code</it>b', "a<o>b"),
        ('a <mrk mtype="term">b</mrk>', "a <>b</>"),
        ('a <mrk mtype="protected">b<x id="1"/></mrk>', "a <>{b}</>"),
        ('a<g id="1"/>b<g id="2"></g>', "a<o>b<o>"),
        ("a<?pi x?>b<!-- no -->c", "a<o>bc"),
        ('a<y:z xmlns:y="urn:y">n</y:z>b', "a<o>b"),
    ],
)
def test_content_of_1_2(source: str, expected: str) -> None:
    document = xliff_12(f'<trans-unit id="1">\n  <source>{source}</source>\n</trans-unit>')
    assert plain(document) == [expected]
    assert check_document(document) == 1


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('a <pc id="1">b</pc>', "a <>b</>"),
        ('a<ph id="1"/>b<cp hex="0001"/>c', "a<o>b<o>c"),
        ('<sc id="1"/>a<ec startRef="1"/>b', "<>a</>b"),
        ('<sc id="1"/>a<pc id="2">b<ec startRef="1"/>c</pc>', "<o>a<>b<o>c</>"),
        ('a<ec id="1" isolated="yes"/>b', "a<o>b"),
        ('<sm id="1" type="term"/>a<em startRef="1"/>b', "<>a</>b"),
        ('<sm id="1" translate="no"/>a &amp; b<em startRef="1"/>c', "<>{a & b}</>c"),
        ('<mrk id="1" translate="no">a</mrk>b', "<>{a}</>b"),
    ],
)
def test_content_of_2_0(source: str, expected: str) -> None:
    document = xliff_20(f"<segment><source>{source}</source></segment>")
    assert plain(document) == [expected]
    assert check_document(document) == 1


def test_places_of_targets_follow_the_schema() -> None:
    document = xliff_12(
        '<trans-unit id="1">\r\n\t<source>One</source>\r\n\t<note>n</note></trans-unit>\n'
        '<trans-unit id="2"><source>Two</source><seg-source><mrk mtype="seg" mid="1">Two</mrk></seg-source>'
        "<alt-trans><source>x</source><target/></alt-trans></trans-unit>\n"
        '<trans-unit id="3"><source> Three </source><target state="new" /></trans-unit>\n'
        '<trans-unit id="4"><source>Four</source><target xml:lang="de"> </target></trans-unit>'
        '<trans-unit id="5"><source>Five</source><target><mrk mtype="seg" mid="1"/></target></trans-unit>'
    )
    filled = translate(document, map_text(str.upper))
    assert "\r\n\t<source>One</source>\r\n\t<target>ONE</target>\r\n\t<note>" in filled
    assert '</seg-source><target><mrk mtype="seg" mid="1">TWO</mrk></target><alt-trans>' in filled
    assert '<source> Three </source><target state="new"> THREE </target>' in filled
    assert '<target xml:lang="de">FOUR</target>' in filled
    assert "<target>FIVE</target>" in filled
    assert [segment.place for segment in segments(document, OPTIONS)] == [
        "line 5",
        "line 7",
        "line 8",
        "line 9",
        "line 9",
    ]


@pytest.mark.parametrize(
    "unit",
    [
        '<trans-unit id="1"><source>a</source><target>b</target></trans-unit>',
        '<trans-unit id="1"><source>a</source><target><x id="1"/></target></trans-unit>',
        '<trans-unit id="1"><source>a</source><target><mrk mtype="seg">b</mrk><mrk mtype="seg"/></target></trans-unit>',
        '<trans-unit id="1" translate="no"><source>a</source></trans-unit>',
        '<trans-unit id="1" approved="yes"><source>a</source><target/></trans-unit>',
        '<trans-unit id="1"><source>a</source><target state="final"/></trans-unit>',
        '<group translate="no"><group><trans-unit id="1"><source>a</source></trans-unit></group></group>',
        '<trans-unit id="1"><source> ... <x id="1"/></source></trans-unit>',
        '<trans-unit id="1"><source><mrk mtype="protected">a</mrk></source></trans-unit>',
        '<trans-unit id="1"><source/></trans-unit>',
        '<trans-unit id="1"/>',
        '<trans-unit id="1"><alt-trans><source>a</source></alt-trans></trans-unit>',
        '<y:trans-unit xmlns:y="urn:y"><y:source>a</y:source></y:trans-unit>',
    ],
)
def test_units_that_are_left(unit: str) -> None:
    assert segments(xliff_12(unit), FUZZY) == []


@pytest.mark.parametrize(
    ("segment", "attributes"),
    [
        ("<segment><source>a</source><target>b</target></segment>", ""),
        ('<segment state="final"><source>a</source></segment>', ""),
        ("<segment><source>a</source></segment>", 'translate="no"'),
        ("<ignorable><source>a</source></ignorable>", ""),
        ("<x:match><source>a</source></x:match><segment/>", ""),
    ],
)
def test_segments_that_are_left(segment: str, attributes: str) -> None:
    assert segments(xliff_20(segment, unit_attributes=attributes), FUZZY) == []


def test_inner_translate_overrides_outer() -> None:
    inner = '<trans-unit id="1" translate="yes"><source>a</source></trans-unit>'
    assert plain(
        xliff_12(f'<group translate="no">{inner}<trans-unit id="2"><source>b</source></trans-unit></group>')
    ) == ["a"]


def test_preserved_white_space() -> None:
    unit = '<trans-unit id="1" xml:space="preserve"><source> a\n  b </source></trans-unit>'
    assert plain(xliff_12(unit)) == ["a\n  b"]
    assert "<target> a\n  b </target>" in translate(xliff_12(unit))
    source = '<segment><source xml:space="preserve">a\n  b</source></segment>'
    assert '<target xml:space="preserve">a\n  b</target>' in translate(xliff_20(source))
    reset = '<segment><source xml:space="default">a\n  b</source></segment>'
    assert plain(xliff_20(reset, unit_attributes='xml:space="preserve"')) == ["a b"]


def test_states_of_drafts() -> None:
    document = xliff_12(
        '<trans-unit id="1"><source>a</source></trans-unit>'
        '<trans-unit id="2"><source>b</source><target state="new"/></trans-unit>'
    )
    filled = translate(document, options=FUZZY)
    assert filled.count('<target state="needs-review-translation">') == 2
    assert "state" not in translate(document).replace('state="new"', "")

    attributes = ["", ' state="initial" subState="x:y"', ' state="translated"']
    document = xliff_20("".join(f"<segment{a}><source>a</source></segment>" for a in attributes))
    assert re.findall("<segment.*?>", translate(document)) == [
        "<segment>",
        '<segment state="translated">',
        '<segment state="translated">',
    ]
    assert translate(document, options=FUZZY).count('<segment state="translated">') == 3
    assert "subState" not in translate(document, options=FUZZY)


def test_target_language_is_added_where_it_lacks() -> None:
    unit = '<trans-unit id="1"><source>a</source></trans-unit>'
    assert '<file original="x" target-language="de">' in translate(xliff_12(unit, 'original="x"'))
    assert 'target-language="fr"' in translate(xliff_12(unit, 'target-language="fr"'))
    segment = "<segment><source>a</source></segment>"
    assert parse(translate(xliff_20(segment, 'srcLang="en"'))).get("trgLang") == "de"
    assert parse(translate(xliff_20(segment * 2))).get("trgLang") == "de"
    assert parse(translate(xliff_20(segment, ""), options=Options())).get("trgLang") is None
    two_files = xliff_12(unit, "").replace("</file>", f'</file><file id="2"><body>{unit}</body></file>')
    assert translate(two_files).count('target-language="de"') == 2


def test_any_prefix_and_declarations_on_the_source() -> None:
    document = (
        f'<a:xliff version="1.2" xmlns:a="{NAMESPACE_12}"><a:file target-language="de"><a:trans-unit id="1">'
        '<a:source xml:lang="en" xmlns:q="urn:q&amp;">a <a:g id="1">b</a:g><q:r/></a:source></a:trans-unit>'
        "</a:file></a:xliff>"
    )
    target = '<a:target xmlns:q="urn:q&amp;" xml:lang="de">a <a:g id="1">b</a:g><q:r/></a:target>'
    assert target in translate(document)
    assert check_document(document) == 1
    empty = document.replace("</a:source>", "</a:source><a:target/>")
    assert '<a:target xmlns:q="urn:q&amp;">a' in translate(empty)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "line 1, column 1: broken XML"),
        ("<a/>", "the root element is a"),
        ("<xliff/>", "the version of XLIFF is ''"),
        ('<xliff version="3.0"/>', "the version of XLIFF is '3.0'"),
        ('<xliff version="1.2">\n<file></xliff>', "line 2, column 9: broken XML"),
        ('<!DOCTYPE xliff [<!ENTITY a "b">]><xliff version="1.2"/>', "declares the entity a"),
    ],
)
def test_errors(document: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        segments(document, OPTIONS)


def test_byte_order_mark_and_bytes_that_are_no_text_stay() -> None:
    document = "\ufeff" + xliff_12('<trans-unit id="\udcff"><source>a\udcffb</source></trans-unit>')
    filled = translate(document)
    assert filled.startswith("\ufeff<?xml")
    assert "<target>a\udcffb</target>" in filled


INLINE = st.recursive(
    st.sampled_from(
        ["a", " ", "\n ", "B c", "&amp;", "&#13;", "<![CDATA[<]]>", '<x id="1"/>', "<!-- c -->", "<?p i?>",
         '<bpt id="2">c</bpt>', '<ept id="2">c</ept>', '<ph id="3">x<sub>y</sub></ph>', "é", "😀", "<g id='4'/>"]
    ),
    lambda inner: st.builds(
        lambda form, parts: form.format("".join(parts)),
        st.sampled_from(['<g id="5">{}</g>', '<mrk mtype="x">{}</mrk>', '<mrk mtype="protected">{}</mrk>']),
        st.lists(inner, max_size=4),
    ),
    max_leaves=10,
)  # fmt: skip  # one line a kind


@settings(max_examples=150, deadline=None)
@given(st.lists(INLINE, max_size=6), st.randoms(use_true_random=False))
def test_any_source_is_copied_and_stays_well_formed(parts: list[str], random: Random) -> None:
    document = xliff_12(f'<trans-unit id="1">\n <source>{"".join(parts)}</source></trans-unit>')
    check_document(document)

    def shuffled(content: tuple[Content, ...]) -> list[Content]:
        items = list(content)
        random.shuffle(items)
        return items

    def names(text: str) -> list[str]:
        target = child(units(text)[0], "target")
        return sorted(name_of(e) for e in (target.iter() if target is not None else []))

    assert names(translate(document, shuffled)) == names(translate(document))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_can_be_written(text: str) -> None:
    document = xliff_12('<trans-unit id="1"><source>a <g id="1">b</g></source></trans-unit>')
    target = child(units(translate(document, map_text(lambda _: text)))[0], "target")
    allowed = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)
    assert [target.text or "", target[0].text or ""] == [allowed, allowed]


def real_files() -> list[Path]:
    """Return the XLIFF files that other installed packages ship."""
    site_packages = Path(pytest.__file__).parents[1]
    found = [path for folder in (site_packages, Path("/usr/share")) for path in folder.glob("**/*.xl[fi]*")]
    return sorted(path for path in found if path.suffix in (".xlf", ".xliff"))[:20]


@pytest.mark.parametrize("path", real_files() or [None], ids=str)
def test_real_files(path: Path | None) -> None:
    if path is None:
        pytest.skip("no installed package ships an XLIFF file")
    check_document(path.read_text("utf-8"))

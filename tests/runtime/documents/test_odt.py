"""Tests of OpenDocument texts. The oracles are lxml and zipfile."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.runtime.documents.odt import part_segments, read_odt
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.packages import write_members
from dragoman.runtime.documents.segments import Content, Tag, Text, replace_segments
from dragoman.runtime.errors import UserError

Element: TypeAlias = Any  # lxml ships no types
Change = Callable[[tuple[Content, ...]], Sequence[Content]]
etree: Any = pytest.importorskip("lxml.etree")

OPTIONS = Options("en", "de")
NAMESPACE = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
T = "{" + NAMESPACE + "}"
MIMETYPE = "application/vnd.oasis.opendocument.text"
Token = tuple[str, Any]


def parse(xml: str) -> Element:
    return etree.fromstring(xml.encode("utf-8", "surrogateescape"), etree.XMLParser(huge_tree=True))


def paragraph_tokens(paragraph: Element) -> list[Token]:
    """Return the text of a paragraph, as section 6.1.2 of OpenDocument 1.3 has white space, and its elements."""
    tokens: list[Token] = []
    after_space = True

    def add(text: str) -> None:
        if text:
            tokens.append(("text", (tokens.pop()[1] if tokens and tokens[-1][0] == "text" else "") + text))

    def add_collapsed(text: str | None) -> None:
        nonlocal after_space
        for character in re.sub("[ \t\r\n]", " ", text or ""):
            if character != " " or not after_space:
                add(character)
            after_space = character == " "

    def visit(element: Element) -> None:
        nonlocal after_space
        add_collapsed(element.text)
        for child in element:
            if isinstance(child.tag, str) and child.tag == T + "s" and int(child.get(T + "c", "1")) <= 100:
                add(" " * int(child.get(T + "c", "1")))
                after_space = False  # as LibreOffice reads it
            elif child.tag in (T + "span", T + "a"):
                tokens.append(("start", (child.tag, *sorted(child.attrib.items()))))
                visit(child)
                tokens.append(("end", child.tag))
            elif child.tag in (T + "tab", T + "line-break"):
                add({"tab": "\t", "line-break": "\n"}[child.tag[len(T) :]])
                after_space = False
            elif child.tag is not etree.Comment and child.tag != T + "soft-page-break":
                tokens.append(("element", child.tag if isinstance(child.tag, str) else str(child)))
                if "page-number" in str(child.tag) or "note" in str(child.tag) or "frame" in str(child.tag):
                    after_space = False
            add_collapsed(child.tail)

    visit(paragraph)
    return tokens


def document_tokens(xml: str) -> list[list[Token]]:
    return [paragraph_tokens(paragraph) for paragraph in parse(xml).iter(T + "p", T + "h")]


def translate(xml: str, change: Change = tuple) -> str:
    found = part_segments(xml, OPTIONS, "content.xml")
    position = 0
    for segment in found:
        assert position <= segment.start <= segment.end <= len(xml)
        position = segment.end
        assert all(isinstance(item, Tag) or item.text for item in segment.content)
    return replace_segments(xml, [(segment, segment.write(change(segment.content))) for segment in found])


def map_text(change: Callable[[str], str]) -> Change:
    def changed(content: tuple[Content, ...]) -> list[Content]:
        return [Text(change(c.text)) if isinstance(c, Text) and c.source is None else c for c in content]

    return changed


def document(*paragraphs: str) -> str:
    styles = '<style:style style:name="P1" style:parent-style-name="Preformatted_20_Text"/>'
    body = "".join(f'<text:p text:style-name="Standard">{paragraph}</text:p>' for paragraph in paragraphs)
    namespaces = f'xmlns:office="urn:o" xmlns:text="{NAMESPACE}" xmlns:style="urn:s" xmlns:draw="urn:d"'
    content = f"<office:body>{styles}{body}</office:body>"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f"{head}<office:document-content {namespaces}>{content}</office:document-content>"


def plain(xml: str) -> list[str]:
    """Return segments as strings: <> for opening, </> for closing and <o> for other tags, and {} for copied text."""
    signs = {"open": "<>", "close": "</>", "empty": "<o>"}

    def spell(item: Content) -> str:
        if isinstance(item, Tag):
            return signs[item.kind]
        return item.text if item.source is None else f"{{{item.text}}}"

    return ["".join(map(spell, segment.content)) for segment in part_segments(xml, OPTIONS, "content.xml")]


NOTE = "<text:note><text:note-citation>1</text:note-citation><text:p>note</text:p></text:note>"
BOX = "<draw:frame><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>"


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        (" One\n  two ", ["One two"]),
        ("a <text:span>bold</text:span> c", ["a <>bold</> c"]),
        ("<text:span>whole</text:span>", ["whole"]),
        ("a<text:s/>b<text:s text:c='3'/>c", ["a b   c"]),
        ("a <text:span><text:s/>b</text:span>", ["a <> b</>"]),
        ("a<text:s text:c='1000000000'/>b", ["a<o>b"]),
        ("<text:span><text:s/>a</text:span>b", ["<>a</>b"]),
        ("a <!-- c --> b", ["a b"]),
        ("a<text:tab/>b<text:line-break/>c", ["a", "b", "c"]),
        ("<text:span>a<text:tab/>b</text:span> c", ["a", "b", "c"]),
        (f"See{NOTE} this", ["See", "note", "this"]),
        ("out" + BOX.format("in"), ["out", "in"]),
        ("see <text:a>link</text:a>, page <text:date>3</text:date> of", ["see <>link</>, page <o> of"]),
        ('a<text:bookmark-start text:name="x"/>b<text:bookmark-end text:name="x"/>c', ["a<>b</>c"]),
        ("a<text:soft-page-break/>b", ["ab"]),
        ('call <text:span text:style-name="Source_20_Text">f(x)</text:span> now', ["call <>{f(x)}</> now"]),
        ('call <text:span text:style-name="P1">f(x)</text:span> now', ["call <>{f(x)}</> now"]),
        ("... <text:span>!</text:span>", []),
        ("&lt;a&amp;<![CDATA[<b>]]>", ["<a&<b>"]),
    ],
)
def test_segments_of_a_paragraph_and_its_reading(paragraph: str, expected: list[str]) -> None:
    xml = document(paragraph, "Next")
    assert plain(xml) == [*expected, "Next"]
    assert document_tokens(translate(xml)) == document_tokens(xml)


def test_code_and_deleted_paragraphs_are_left() -> None:
    code = document("x").replace('text:style-name="Standard"', 'text:style-name="P1"')
    deleted = document(f"</text:p><text:tracked-changes>{BOX.format('x')}</text:tracked-changes><text:p>")
    assert plain(code) == plain(deleted) == []
    assert plain(document("x").replace("text:p", "text:h")) == ["x"]


ELEMENTS = [
    "<text:s/>",
    "<text:s text:c='2'/>",
    "<text:tab/>",
    "<text:line-break/>",
    "<text:page-number>3</text:page-number>",
    '<text:bookmark-start text:name="x"/>',
    '<text:bookmark-end text:name="x"/>',
    '<text:bookmark text:name="y"/>',
    "<text:soft-page-break/>",
    "<text:span/>",
    "<!-- c -->",
    "<?p i?>",
    NOTE,
    BOX.format("x"),
]
INLINE = st.recursive(
    st.sampled_from(["a", " ", "B c", "\n ", "&amp;", "é", *ELEMENTS]),
    lambda inner: st.builds(
        lambda form, parts: form.format("".join(parts)),
        st.sampled_from(
            ["<text:span>{}</text:span>", '<text:a text:x="y">{}</text:a>',
             '<text:span text:style-name="Source_20_Text">{}</text:span>']
        ),
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)  # fmt: skip  # one line a kind


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(INLINE, max_size=8), st.randoms(use_true_random=False))
def test_any_paragraph_reads_the_same(parts: list[str], random: Random) -> None:
    xml = document("".join(parts), "Next")
    tokens = document_tokens(xml)
    assert document_tokens(translate(xml)) == tokens

    def upper(value: list[list[Token]]) -> list[list[Token]]:
        return [[(kind, item.upper() if kind == "text" else item) for kind, item in line] for line in value]

    changed = translate(xml, map_text(str.upper))
    assert upper(document_tokens(changed)) == upper(tokens)
    assert "NEXT" in changed

    def shuffled(content: tuple[Content, ...]) -> list[Content]:
        items = list(content)
        random.shuffle(items)
        return items

    names = [sorted(element.tag for element in parse(text).iter(T + "span", T + "a", T + "page-number", T + "note"))
             for text in (xml, translate(xml, shuffled))]  # fmt: skip  # one comparison
    assert names[0] == names[1]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=()), min_size=1))
def test_any_text_can_be_written(text: str) -> None:
    (segment,) = part_segments(document("a"), OPTIONS, "content.xml")
    xml = document("a" + segment.write([Text(text)]) + "a")
    allowed = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udc7f\udd00-\udfff\ufffe\uffff]", "\ufffd", text)
    allowed = re.sub("[\udc80-\udcff]", "\ufffd", allowed.replace("\r\n", "\n").replace("\r", "\n"))
    assert document_tokens(re.sub("[\ud800-\udfff]", "\ufffd", xml)) == [[("text", f"a{allowed}a")]]


def archive(**members: str) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as written:
        for name, content in members.items():
            kind = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            written.writestr(name.replace("__", "/").replace("_", "."), content, kind)
    return output.getvalue()


def test_parts_are_replaced_and_the_rest_is_copied() -> None:
    data = archive(mimetype=MIMETYPE, content_xml=document("text"), styles_xml=document("header"), meta_xml="<x/>")
    parts = read_odt(data)
    assert [part.name for part in parts] == ["content.xml", "styles.xml"]
    changed = write_members(
        data, {part.name: part.encoding.encode(translate(part.xml, map_text(str.upper))) for part in parts}
    )
    assert [plain(part.xml) for part in read_odt(changed)] == [["TEXT"], ["HEADER"]]
    with zipfile.ZipFile(io.BytesIO(changed)) as new, zipfile.ZipFile(io.BytesIO(data)) as old:
        assert [(m.filename, m.compress_type) for m in new.infolist()] == [
            (m.filename, m.compress_type) for m in old.infolist()
        ]
        assert new.read("meta.xml") == old.read("meta.xml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"text", "no zip archive"),
        (archive(content_xml="<a/>"), "no OpenDocument text"),
        (archive(mimetype=MIMETYPE), "no OpenDocument text"),
        (archive(mimetype="application/vnd.oasis.opendocument.spreadsheet", content_xml="<a/>"), "spreadsheet"),
        (
            archive(mimetype=MIMETYPE, content_xml="x", **{"META-INF__manifest_xml": "<m:encryption-data/>"}),
            "is encrypted",
        ),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_odt(data)


def test_errors_name_the_part() -> None:
    with pytest.raises(UserError, match=r"content.xml: line 1, column 9: broken XML"):
        part_segments("<a><b></a>", OPTIONS, "content.xml")


def real_documents() -> list[Path]:
    """Return the OpenDocument texts that other installed packages ship."""
    folders = (Path(pytest.__file__).parents[1], Path("/usr/share"), Path("/usr/lib"))
    return sorted(path for folder in folders for path in folder.glob("**/*.odt"))[:20]


@pytest.mark.parametrize("path", real_documents() or [None], ids=str)
def test_real_documents(path: Path | None) -> None:
    if path is None:
        pytest.skip("no installed package ships an OpenDocument text")
    parts = read_odt(path.read_bytes())
    for part in parts:
        assert document_tokens(translate(part.xml)) == document_tokens(part.xml)

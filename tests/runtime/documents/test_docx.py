"""Tests of Word documents. The oracles are lxml, python-docx and zipfile."""

from __future__ import annotations

import importlib.util
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

from dragoman.runtime.documents import packages
from dragoman.runtime.documents.docx import part_segments, read_docx
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.packages import write_members
from dragoman.runtime.documents.segments import Content, Segment, Tag, Text, replace_segments
from dragoman.runtime.errors import UserError

Element: TypeAlias = Any  # lxml and python-docx ship no types that fit
Change = Callable[[tuple[Content, ...]], Sequence[Content]]
etree: Any = pytest.importorskip("lxml.etree")

OPTIONS = Options("en", "de")
NAMESPACE = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
W = "{" + NAMESPACE + "}"
MARKS = {W + "proofErr", W + "lastRenderedPageBreak"}
CHARACTERS = {
    W + "tab": "\t",
    W + "br": "\n",
    W + "cr": "\n",
    W + "noBreakHyphen": "\u2011",
    W + "softHyphen": "\u00ad",
}
MAIN_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


def parse(xml: str) -> Element:
    return etree.fromstring(xml.encode("utf-8", "surrogateescape"), etree.XMLParser(huge_tree=True))


def canonical(element: Element) -> str:
    copied = etree.fromstring(etree.tostring(element, with_tail=False))
    return str(etree.tostring(copied, method="c14n").decode())


def run_format(run: Element) -> tuple[str, ...]:
    properties = run.find(W + "rPr")
    children = [] if properties is None else list(properties)
    return tuple(canonical(child) for child in children if child.tag not in (W + "lang", W + "noProof"))


Token = tuple[str, Any]  # kind and value; for a text, a pair of it and its format


def paragraph_tokens(paragraph: Element) -> list[Token]:
    """Return the text of a paragraph with its formats and elements, as lxml reads it. Runs are joined by format."""
    tokens: list[Token] = []

    def add(text: str, text_format: object) -> None:
        if tokens and tokens[-1][0] == "text" and tokens[-1][1][1] == text_format:
            text = tokens.pop()[1][0] + text
        if text:
            tokens.append(("text", (text, text_format)))

    def visit(element: Element) -> None:
        for child in element:
            if not isinstance(child.tag, str) or child.tag in MARKS or child.tag == W + "pPr":
                continue
            if child.tag == W + "r":
                text_format = run_format(child)
                for item in child:
                    if not isinstance(item.tag, str) or item.tag in MARKS or item.tag == W + "rPr":
                        continue
                    if item.tag == W + "t":
                        text = re.sub("[\r\n]", " ", "".join(item.itertext()))
                        preserve = item.get("{http://www.w3.org/XML/1998/namespace}space") == "preserve"
                        add(text if preserve else text.strip(" \t"), text_format)
                    elif item.tag in CHARACTERS and not item.attrib:
                        add(CHARACTERS[item.tag], text_format)
                    elif any(True for _ in item.iter(W + "p")):
                        tokens.append(("box", item.tag))
                    else:
                        tokens.append(("element", (canonical(item), text_format)))
            else:
                tokens.append(("start", (child.tag, tuple(sorted(child.attrib.items())))))
                visit(child)
                tokens.append(("end", child.tag))

    visit(paragraph)
    return tokens


def document_tokens(xml: str) -> list[list[Token]]:
    return [paragraph_tokens(paragraph) for paragraph in parse(xml).iter(W + "p")]


def texts_of(xml: str) -> list[str]:
    """Return the text of each paragraph, with those of links and without deleted text."""
    paragraphs = document_tokens(xml)
    return ["".join(value[0] for kind, value in tokens if kind == "text") for tokens in paragraphs]


def translate(xml: str, change: Change = tuple, name: str = "word/document.xml") -> str:
    found = part_segments(xml, OPTIONS, name)
    check_segments(xml, found)
    return replace_segments(xml, [(segment, segment.write(change(segment.content))) for segment in found])


def check_segments(xml: str, found: list[Segment]) -> None:
    position = 0
    for segment in found:
        assert position <= segment.start <= segment.end <= len(xml)
        position = segment.end
        assert any(
            c.isalnum() for item in segment.content if isinstance(item, Text) and not item.source for c in item.text
        )
        assert all(isinstance(item, Tag) or item.text for item in segment.content)


def map_text(change: Callable[[str], str]) -> Change:
    def changed(content: tuple[Content, ...]) -> list[Content]:
        return [Text(change(c.text)) if isinstance(c, Text) and c.source is None else c for c in content]

    return changed


def document(*paragraphs: str) -> str:
    body = "".join(f"<w:p>{paragraph}</w:p>" for paragraph in paragraphs)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\r\n<w:document xmlns:w="{NAMESPACE}" xmlns:r="urn:r" xmlns:m="urn:m"'
        f' xmlns:v="urn:v"><w:body>{body}</w:body></w:document>'
    )


def run(text: str, properties: str = "") -> str:
    spelling = f"<w:rPr>{properties}</w:rPr>" if properties else ""
    return f'<w:r w:rsidR="00A1">{spelling}<w:t xml:space="preserve">{text}</w:t></w:r>'


def field(instruction: str, result: str) -> str:
    mark = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'
    code = f"<w:r><w:instrText>{instruction}</w:instrText></w:r>"
    return mark.format("begin") + code + mark.format("separate") + result + mark.format("end")


def contents(xml: str) -> list[tuple[Content, ...]]:
    return [segment.content for segment in part_segments(xml, OPTIONS, "x.xml")]


def plain(xml: str) -> list[str]:
    """Return segments as strings: <> for opening, </> for closing and <o> for other tags, and {} for copied text."""
    signs = {"open": "<>", "close": "</>", "empty": "<o>"}

    def spell(item: Content) -> str:
        if isinstance(item, Tag):
            return signs[item.kind]
        return item.text if item.source is None else f"{{{item.text}}}"

    return ["".join(map(spell, content)) for content in contents(xml)]


BOLD, ITALIC, CODE = "<w:b/>", "<w:i/>", '<w:rStyle w:val="VerbatimChar"/>'
BREAK, TAB = "<w:r><w:br/></w:r>", "<w:r><w:tab/></w:r>"
NOTE = '<w:r><w:footnoteReference w:id="2"/></w:r>'
BOX = "<w:r><v:box><v:content><w:p>{}</w:p></v:content></v:box></w:r>"
LINK = '<w:hyperlink r:id="rId1">{}</w:hyperlink>'


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        (run("One ") + '<w:proofErr w:type="spellStart"/>' + run("two"), ["One two"]),
        (run("One ", "<w:lang w:val='de'/>") + run("two", "<w:noProof/>") + run("!"), ["One two!"]),
        (run("One ") + run("bold", BOLD) + run(" two"), ["One <>bold</> two"]),
        (run("All bold here ", BOLD) + run("not"), ["All bold here <>not</>"]),
        (run("base base") + run("a", BOLD) + run("b", ITALIC), ["base base<>a</><>b</>"]),
        (run("One") + TAB + run("two") + BREAK + run("three"), ["One", "two", "three"]),
        ("<w:r><w:t>One</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r>", ["One", "two", "three"]),
        (run("See ") + LINK.format(run("this link")) + run("."), ["See <>this link</>."]),
        (LINK.format(run("whole")), ["whole"]),
        (run("a ") + LINK.format(run("b") + TAB + run("c")) + run("d"), ["a", "b", "c", "d"]),
        (run("Fact") + NOTE + run(" continues") + NOTE, ["Fact<o> continues"]),
        (f'{run("a")}<w:bookmarkStart w:id="1"/>{run("b")}<w:bookmarkEnd w:id="1"/>{run("c")}', ["a<>b</>c"]),
        (f'{run("a")}<w:bookmarkStart w:id="1"/>{run("b")}<w:bookmarkEnd w:id="2"/>{run("c")}', ["a<o>b<o>c"]),
        (run("a") + '<w:bookmarkStart w:id="1"/>' + LINK.format(run("b") + '<w:bookmarkEnd w:id="1"/>' + run("c"))
         + run("d"), ["a<o><>b<o>c</>d"]),
        (run("old ") + "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>" + run("new"), ["old <o>new"]),
        (run("a ") + f"<w:ins>{run('added')}</w:ins>" + run(" b"), ["a <>added</> b"]),
        (run("Page ") + field("PAGE", run("3")) + run(" of many"), ["Page <o> of many"]),
        (run("See ") + field(' HYPERLINK "x"', run("site", BOLD)) + run(" now"), ["See <><>site</></> now"]),
        (field("HYPERLINK", run("site")), ["site"]),
        ("<w:r><w:t>On </w:t><w:fldChar w:fldCharType='begin'/><w:instrText>DATE</w:instrText>"
         "<w:fldChar w:fldCharType='end'/><w:t>x</w:t></w:r>", ["On<o>x"]),
        (run("a") + '<w:r><w:fldChar w:fldCharType="begin"/></w:r>' + run("b"), ["a", "b"]),
        (run("a") + '<w:r><w:fldChar w:fldCharType="end"/></w:r>' + run("b"), ["a", "b"]),
        (field("TOC", run("a") + BOX.format(run("b"))), ["a", "b"]),
        (run("secret ", "<w:vanish/>") + run("shown"), ["<>{secret }</>shown"]),
        (run("shown", '<w:vanish w:val="0"/>'), ["shown"]),
        (run("Call ") + run("f(x)", CODE) + run(" now"), ["Call <>{f(x)}</> now"]),
        ('<w:pPr><w:pStyle w:val="SourceCode"/></w:pPr>' + run("let x"), []),
        ('<w:pPr><w:tabs><w:tab w:val="left"/></w:tabs></w:pPr>' + run("text"), ["text"]),
        (run("out") + BOX.format(run("in")) + run("side"), ["out", "in", "side"]),
        (run("a") + "<m:oMath><m:r><m:t>x</m:t></m:r></m:oMath>" + run("b"), ["a<o>b"]),
        (f"{run('a')}<w:sdt><w:sdtPr/><w:sdtContent>{run('b')}</w:sdtContent></w:sdt>{run('c')}", ["a<>b</>c"]),
        (f"{run('a')}<w:smartTag><w:smartTagPr/>{run('b')}</w:smartTag>{run('c')}", ["a<>b</>c"]),
        (run("co") + "<w:r><w:noBreakHyphen/></w:r>" + run("op"), ["co\u2011op"]),
        (run("  spaced  out  "), ["spaced  out"]),
        ("<w:r><w:t> trimmed </w:t></w:r>" + run("x"), ["trimmedx"]),
        ("<w:r><w:t>line\r\nend</w:t></w:r>", ["line end"]),
        (run("&amp;&#x20AC;<![CDATA[<x>]]>"), ["&\u20ac<x>"]),
        (run("... ") + run("!", BOLD), []),
        ("<w:hyperlink/><w:r/>" + run("a") + "<w:hyperlink></w:hyperlink>", ["a"]),
        ("", []),
    ],
)  # fmt: skip  # one case a line
def test_segments_of_a_paragraph_and_its_reading(paragraph: str, expected: list[str]) -> None:
    xml = document(paragraph, run("Next"))
    assert plain(xml) == [*expected, "Next"]
    assert document_tokens(translate(xml)) == document_tokens(xml)


INLINE = st.recursive(
    st.one_of(
        st.builds(
            run,
            st.text(alphabet="ab \u00e9\U0001f600", max_size=5),
            st.sampled_from(["", "", BOLD, ITALIC, CODE, BOLD + "<w:lang/>", "<w:vanish/>"]),
        ),
        st.sampled_from(
            [
                BREAK, TAB, NOTE, "<w:proofErr/>", "<!-- c -->", "\n  ", '<w:bookmarkStart w:id="1"/>',
                '<w:bookmarkEnd w:id="1"/>', '<w:commentRangeStart w:id="1"/>', '<w:commentRangeEnd w:id="1"/>',
                "<w:r><w:t>x</w:t><w:br/><w:t>y</w:t><w:sym/><w:t>z</w:t></w:r>", "<w:r><w:noBreakHyphen/></w:r>",
                '<w:r><w:fldChar w:fldCharType="begin"/></w:r>', '<w:r><w:fldChar w:fldCharType="separate"/></w:r>',
                '<w:r><w:fldChar w:fldCharType="end"/></w:r>', "<w:r><w:instrText>HYPERLINK</w:instrText></w:r>",
                "<w:r><w:instrText>PAGE</w:instrText></w:r>", "<w:r/>", "<w:r><w:rPr><w:b/></w:rPr></w:r>",
            ]
        ),
    ),
    lambda inner: st.builds(
        lambda form, parts: form.format("".join(parts)),
        st.sampled_from(
            [LINK, "<w:ins>{}</w:ins>", "<w:del>{}</w:del>", BOX.replace("<w:p>{}</w:p>", "<w:p>{}</w:p>"),
             "<w:sdt><w:sdtContent>{}</w:sdtContent></w:sdt>", field("HYPERLINK", "{}"), field("REF", "{}")]
        ),
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)  # fmt: skip  # one line a kind


def upper(tokens: list[list[Token]]) -> list[list[Token]]:
    """Return tokens with their text in capitals, whether it is translated or copied."""
    return [
        [(kind, (value[0].upper(), value[1])) if kind == "text" else (kind, value) for kind, value in paragraph]
        for paragraph in tokens
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(INLINE, max_size=8))
def test_any_paragraph_reads_the_same_and_capitals_change_only_its_text(parts: list[str]) -> None:
    xml = document("".join(parts), run("Next"))
    assert document_tokens(translate(xml)) == document_tokens(xml)
    changed = translate(xml, map_text(str.upper))
    assert upper(document_tokens(changed)) == upper(document_tokens(xml))
    assert "NEXT" in changed


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(INLINE, max_size=8), st.randoms(use_true_random=False))
def test_tags_may_stand_in_any_order(parts: list[str], random: Random) -> None:
    """The result is well-formed, and each element is there once."""

    def shuffled(content: tuple[Content, ...]) -> list[Content]:
        items = list(content)
        random.shuffle(items)
        return items

    def counts(text: str) -> list[int]:
        elements = [
            W + "footnoteReference",
            W + "hyperlink",
            W + "bookmarkStart",
            W + "commentRangeEnd",
            W + "instrText",
        ]
        return [sum(1 for _ in parse(text).iter(element)) for element in elements]

    xml = document("".join(parts))
    changed = translate(xml, shuffled)
    assert counts(changed) == counts(xml)
    runs = list(parse(changed).iter(W + "r"))
    assert all(r.getparent().tag != W + "r" for r in runs)
    assert all(t.getparent().tag == W + "r" for t in parse(changed).iter(W + "t"))
    assert sorted("".join(texts_of(changed)).replace(" ", "")) == sorted("".join(texts_of(xml)).replace(" ", ""))


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=()), min_size=1))
def test_any_text_can_be_written(text: str) -> None:
    xml = document(run("Before ") + run("it", BOLD))
    changed = translate(xml, map_text(lambda _: text))
    assert parse(changed.encode("utf-8", "replace").decode()) is not None
    allowed = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)
    allowed = allowed.replace("\r\n", "\n").replace("\r", "\n")
    expected = re.sub("[\ud800-\udfff]", "\ufffd", "".join(texts_of(re.sub("[\ud800-\udfff]", "\ufffd", changed))))
    assert expected == allowed + allowed


def test_moved_format_keeps_its_properties() -> None:
    xml = document(run("Read the ") + run("red", '<w:color w:val="FF0000"/>') + run(" book now"))
    ((first, opening, word, closing, last),) = contents(xml)
    (segment,) = part_segments(xml, OPTIONS, "x")
    changed = xml[: segment.start] + segment.write([opening, word, closing, first, last]) + xml[segment.end :]
    (tokens,) = document_tokens(changed)
    assert [kind for kind, _ in tokens] == ["text", "text"]
    assert re.fullmatch(r"\('red', .*FF0000.*\)", str(tokens[0][1]))
    assert tokens[1][1] == ("Read the  book now", ())


@pytest.mark.parametrize("prefix", ["", "x:"])
def test_any_prefix(prefix: str) -> None:
    xml = document(run("a ") + run("b", BOLD)).replace("w:rsidR", "rsidR").replace("<w:", f"<{prefix}")
    xml = xml.replace("</w:", f"</{prefix}").replace("xmlns:w=", "xmlns:x=" if prefix else "xmlns=")
    assert document_tokens(translate(xml)) == document_tokens(xml)
    assert texts_of(translate(xml, map_text(str.upper))) == ["A B"]


def test_place_and_errors_name_the_part() -> None:
    found = part_segments(document(run("One"), run("two")), OPTIONS, "word/document.xml")
    assert [segment.place for segment in found] == ["word/document.xml, paragraph 1", "word/document.xml, paragraph 2"]
    with pytest.raises(UserError, match=r"word/x.xml: line 1, column \d+: broken XML \(mismatched tag\)"):
        part_segments("<a><b></a>", OPTIONS, "word/x.xml")


def archive(members: dict[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", compression) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return output.getvalue()


def types(**overrides: str) -> str:
    items = "".join(f'<Override PartName="/{name}" ContentType="{kind}"/>' for name, kind in overrides.items())
    return f'<Types xmlns="t">{items}</Types>'


def test_parts_are_found_by_content_types_and_the_rest_is_copied() -> None:
    header = MAIN_TYPE.replace("document.main", "header")
    content_types = types(main=MAIN_TYPE, H=header, other="text/xml")
    members: dict[str, bytes | str] = {
        "[Content_Types].xml": content_types,
        "word/": "",
        "main": document(run("One")).encode(),
        "other": document(run("no")),
        "h": document(run("Head")).encode("utf-16"),
        "bin": bytes(range(256)),
    }
    data = archive(members)
    parts = read_docx(data)
    assert [(part.name, part.encoding.codec) for part in parts] == [("main", "utf-8"), ("h", "utf-16-le")]
    changed = write_members(
        data, {part.name: part.encoding.encode(translate(part.xml, map_text(str.upper))) for part in parts}
    )
    assert [texts_of(part.xml.lstrip("\ufeff").split("?>", 1)[1]) for part in read_docx(changed)] == [["ONE"], ["HEAD"]]
    with zipfile.ZipFile(io.BytesIO(changed)) as new, zipfile.ZipFile(io.BytesIO(data)) as old:
        assert new.testzip() is None
        assert new.namelist() == old.namelist()
        assert [m.compress_type for m in new.infolist()] == [m.compress_type for m in old.infolist()]
        assert [m.date_time for m in new.infolist()] == [m.date_time for m in old.infolist()]
        for name in ("[Content_Types].xml", "other", "bin", "word/"):
            assert new.read(name) == old.read(name)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_kinds_of_compression_are_kept(compression: int) -> None:
    data = archive({"[Content_Types].xml": types(a=MAIN_TYPE), "a": document(run("x"))}, compression)
    changed = write_members(data, {})
    with zipfile.ZipFile(io.BytesIO(changed)) as new:
        assert {member.compress_type for member in new.infolist()} == {compression}


GOOD = archive({"[Content_Types].xml": types(a=MAIN_TYPE), "a": document(run("x" * 50)), "b": "y" * 50})


def encrypted(data: bytes) -> bytes:
    """Return an archive whose members have the flag of encryption."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = data.find(signature)
        while position >= 0:
            changed[position + offset] |= 1
            position = data.find(signature, position + 1)
    return bytes(changed)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no zip archive"),
        (b"plain text", "no zip archive"),
        (GOOD[: len(GOOD) // 2], "no zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted or has an old format"),
        (encrypted(GOOD), "is encrypted"),
        (archive({"a": "x"}), "no main part of a Word document"),
        (archive({"[Content_Types].xml": types(a="text/xml"), "a": "x"}), "no main part"),
        (archive({"[Content_Types].xml": types(b=MAIN_TYPE), "a": "x"}), "no main part"),
        (archive({"[Content_Types].xml": "<Types>"}), r"\[Content_Types\].xml: line 1, column 8: broken XML"),
        (
            archive({"[Content_Types].xml": types(a=MAIN_TYPE), "a": "<?xml version='1.0' encoding='latin1'?><a/>"}),
            "encoding latin1",
        ),
        (archive({"a": bytes(8 << 20)}), "expands to more than 250 times"),
        (archive({"[Content_Types].xml": types(a=MAIN_TYPE), "a": b"\xff\xfe<\0a"}), "a has the byte order mark"),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_docx(data)


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_PART_SIZE", 40)
    with pytest.raises(UserError, match="is larger than"):
        read_docx(GOOD)
    monkeypatch.setattr(packages, "MAX_SIZE", 100)
    with pytest.raises(UserError, match="the document expands to"):
        read_docx(GOOD)
    with pytest.raises(UserError, match="the document expands to"):
        write_members(GOOD, {})


def test_parts_with_one_name_are_refused() -> None:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as written:
        written.writestr("a", "x")
        written.writestr("b", "x")
    with pytest.raises(UserError, match="holds a 2 times"):
        read_docx(output.getvalue().replace(b"b", b"a"))


def test_a_part_that_is_not_there_cannot_be_replaced() -> None:
    with pytest.raises(UserError, match="has no part z"):
        write_members(GOOD, {"z": b""})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damage_gives_a_user_error_or_a_document(damage: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for position, value in damage:
        data[position] = value
    try:
        for part in read_docx(bytes(data)):
            part_segments(part.xml, OPTIONS, part.name)
        write_members(bytes(data), {})
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017  # a document is fine too


def real_documents() -> list[Path]:
    """Return the Word documents that other installed packages ship."""
    spec = importlib.util.find_spec("pytest")
    assert spec
    assert spec.origin
    site_packages = Path(spec.origin).parents[1]
    return sorted([*site_packages.glob("*/**/*.docx"), *Path("/usr/share").glob("**/*.docx")])[:20]


@pytest.mark.parametrize("path", real_documents() or [None], ids=str)
def test_real_documents(path: Path | None) -> None:
    if path is None:
        pytest.skip("no installed package ships a Word document")
    data = path.read_bytes()
    parts = read_docx(data)
    for part in parts:
        assert document_tokens(translate(part.xml)) == document_tokens(part.xml)
    changed = write_members(data, {part.name: part.encoding.encode(part.xml) for part in parts})
    with zipfile.ZipFile(io.BytesIO(changed)) as new, zipfile.ZipFile(io.BytesIO(data)) as old:
        assert [(m.filename, m.CRC) for m in new.infolist()] == [(m.filename, m.CRC) for m in old.infolist()]


def test_python_docx_reads_the_translation() -> None:
    docx: Any = pytest.importorskip("docx")
    original = docx.Document()
    original.add_heading("A heading", 1)
    paragraph = original.add_paragraph("Plain ")
    paragraph.add_run("bold").bold = True
    paragraph.add_run(" and more\ttab\nline ")
    paragraph.add_run("last").italic = True
    original.add_paragraph("An item", style="List Bullet")
    original.add_table(1, 2).cell(0, 1).text = "cell & <x>"
    original.sections[0].header.paragraphs[0].text = "Head"
    saved = io.BytesIO()
    original.save(saved)

    data = saved.getvalue()
    parts = read_docx(data)
    assert {part.name for part in parts} == {"word/document.xml", "word/header1.xml"}
    changes = {part.name: part.encoding.encode(translate(part.xml, map_text(str.upper))) for part in parts}
    changed = docx.Document(io.BytesIO(write_members(data, changes)))

    def reading(document: Element) -> list[Any]:
        cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
        header = [paragraph.text for paragraph in document.sections[0].header.paragraphs]
        runs = [[p.style.name, *((r.text, r.bold, r.italic) for r in p.runs)] for p in document.paragraphs]
        return [cells, header, runs]

    assert str(reading(changed)).upper() == str(reading(original)).upper()
    assert changed.paragraphs[1].text == "PLAIN BOLD AND MORE\tTAB\nLINE LAST"
    assert changed.tables[0].cell(0, 1).text == "CELL & <X>"

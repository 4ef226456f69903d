"""Markdown: the reading of markdown-it-py before and after, for every construct, real files and hostile input."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from dragoman.runtime.documents.markdown import segments
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Content, Segment, Tag, Text, replace_segments
from dragoman.runtime.errors import UserError

OPTIONS = Options()


class Oracle(MarkdownIt):
    """The unchanged parser. It accepts all URLs, as CommonMark does."""

    def validateLink(self, url: str) -> bool:
        """Return True."""
        return True


class Renderer(RendererHTML):
    """The renderer. The original drops escaped characters of alternative texts."""

    def renderInlineAsText(self, tokens: Sequence[Token] | None, options: OptionsDict, env: EnvType) -> str:
        """Return the alternative text of an image."""
        for token in tokens or []:
            token.type = "text" if token.type == "text_special" else token.type
        return super().renderInlineAsText(tokens, options, env)


ORACLE = Oracle("commonmark", {"tasklists": True}, renderer_cls=Renderer).enable(["table", "strikethrough"])


def rendered(source: str) -> str:
    """Return the HTML of a document, with white space and an `&` that begins no entity as a browser shows them."""
    page = re.sub(r"[ \t\n]+", " ", ORACLE.render(source))
    return re.sub(r"&(?!#?\w+;)", "&amp;", page)


def translated(source: str, translate: Callable[[str], str]) -> str:
    """Return a document with its texts translated."""
    replacements = []
    for segment in segments(source, OPTIONS):
        content = [
            replace(item, text=translate(item.text)) if isinstance(item, Text) and item.source is None else item
            for item in segment.content
        ]
        replacements.append((segment, segment.write(content)))
    return replace_segments(source, replacements)


def upper(source: str) -> str:
    """Return a document with its texts in capitals."""
    return translated(source, str.upper)


def unchanged(source: str) -> str:
    """Return a document with its segments written back."""
    return replace_segments(source, [(found, found.write(found.content)) for found in segments(source, OPTIONS)])


def texts(source: str) -> list[str]:
    """Return the texts of the segments, with tags and copied texts as the document spells them."""
    return [
        "".join(f"«{item.source}»" if item.source is not None else item.text for item in segment.content)
        for segment in segments(source, OPTIONS)
    ]


def check_outside(source: str) -> None:
    """Check that segments are in order, do not overlap, and have no white space at their ends."""
    position = 0
    for segment in segments(source, OPTIONS):
        assert position <= segment.start < segment.end <= len(source)
        assert source[segment.start : segment.end].strip() == source[segment.start : segment.end]
        position = segment.end


# Each construct: the document, the texts of its segments, and the document with these in capitals.
CONSTRUCTS = {
    "paragraph": ("A line.\n", ["A line."], "A LINE.\n"),
    "byte order mark": ("\ufeff# one\n", ["one"], "\ufeff# ONE\n"),
    "undecodable": ("a \udce9\udcff b\n", ["a \udce9\udcff b"], "A \udce9\udcff B\n"),
    "carriage returns": ("a\r\nb\r\n\r\nc\rd", ["a b", "c d"], "A\r\nB\r\n\r\nC\r\nD"),
    "wrapped": ("one two\nthree\n", ["one two three"], "ONE TWO\nTHREE\n"),
    "quote": ("> one two\n> three\n", ["one two three"], "> ONE TWO\n> THREE\n"),
    "lazy": ("> one two\nthree\n", ["one two three"], "> ONE TWO\nTHREE\n"),
    "quoted list": ("> 1. one two\n>    three\n", ["one two three"], "> 1. ONE TWO\n>    THREE\n"),
    "tabs": ("-\tone two\n\tthree\n", ["one two three"], "-\tONE TWO\n\tTHREE\n"),
    "lists": ("- a\n  - b\n* c\n1) d\n", ["a", "b", "c", "d"], "- A\n  - B\n* C\n1) D\n"),
    "tasks": ("- [ ] a\n- [x] b\n", ["a", "b"], "- [ ] A\n- [x] B\n"),
    "headings": ("# a #\n## b\nc\n===\nd\ne\n---\n", ["a", "b", "c", "d e"], "# A #\n## B\nC\n===\nD\nE\n---\n"),
    "heading attributes": ("# a {#b .c}\n\nd {.e}\n---\n", ["a", "d"], "# A {#b .c}\n\nD {.e}\n---\n"),
    "no words": ("***\n\n1.\n\n- ![](x)\n\n—\n", [], "***\n\n1.\n\n- ![](x)\n\n—\n"),
    "code": ("    a\n\n```b\nc\n```\n\n~~~\nd\n~~~\n", [], "    a\n\n```b\nc\n```\n\n~~~\nd\n~~~\n"),
    "code span": ("a `` b`c `` d", ["a «`` b`c ``» d"], "A `` b`c `` D"),
    "emphasis": ("*a* __b *c*__ ~~d~~", ["«*»a«*» «__»b «*»c«*»«__» «~~»d«~~»"], "*A* __B *C*__ ~~D~~"),
    "no emphasis": ("2 * 3 and snake_case ~5", ["2 * 3 and snake_case ~5"], "2 * 3 AND SNAKE_CASE ~5"),
    "link": ('[a](b "c") d', ['«[»a«](b "c")» d'], '[A](b "c") D'),
    "references": (
        "[a] [b][] [c][a]\n\n[a]: x\n[b]: y 'z'\n",
        ["«[»a«][a]» «[»b«][b]» «[»c«][a]»"],
        "[A][a] [B][b] [C][a]\n\n[a]: x\n[b]: y 'z'\n",
    ),
    "no reference": ("a [b] c[0]", ["a [b] c[0]"], "A [B] C[0]"),
    "automatic links": (
        "a <http://b> <c@d.e> https://f.g/h_i_j. www.k.l m@n.o",
        ["a «<http://b>» «<c@d.e>» «https://f.g/h_i_j». «www.k.l» «m@n.o»"],
        "A <http://b> <c@d.e> https://f.g/h_i_j. www.k.l m@n.o",
    ),
    "link to itself": (
        "[http://a.b](http://a.b) c",
        ["«[»«http://a.b»«](http://a.b)» c"],
        "[http://a.b](http://a.b) C",
    ),
    "image in a text": ("a ![b](c) d", ["a «![b](c)» d"], "A ![b](c) D"),
    "images alone": (
        "[![a](b)](c) ![d][] ![e]\n\n[d]: x\n[e]: y\n",
        ["a", "d", "e"],
        "[![A](b)](c) ![D][d] ![E][e]\n\n[d]: x\n[e]: y\n",
    ),
    "image in a cell": ("|![ a\\|b ](c)|\n|-|\n", ["a|b"], "|![ A\\|B ](c)|\n|-|\n"),
    "line breaks": ("a  \nb\\\nc<br>d<br/>\ne", ["a", "b", "c", "d", "e"], "A  \nB\\\nC<br>D<br/>\nE"),
    "break in emphasis": ("> *a  \n> b*", ["«*»a«  \n»b«*»"], "> *A  \n> B*"),
    "inline HTML": (
        "a <b x='y'>c</b> <!-- d --> e",
        ["a «<b x='y'>»c«</b>» «<!-- d -->» e"],
        "A <b x='y'>C</b> <!-- d --> E",
    ),
    "crossing HTML": ("<b>a *b</b> c*", ["«<b>»a «*»b«</b>» c«*»"], "<b>A *B</b> C*"),
    "JSX": ("a <B.C d={e} f='g' /> h", ["a «<B.C d={e} f='g' />» h"], "A <B.C d={e} f='g' /> H"),
    "HTML block": ("<div>\na\n</div>\n\nb\n", ["a", "b"], "<div>\nA\n</div>\n\nB\n"),
    "entities": ("a &amp; &lt;b&gt; &copy; &#169;", ["a & <b> © ©"], "A & \\<B> © ©"),
    "table": (
        "> | a | b \\| c |\n> |---|:-:|\n> | `d\\|e` f | |\n> g | h | i\n",
        ["a", "b | c", "«`d\\|e`» f", "g", "h"],
        "> | A | B \\| C |\n> |---|:-:|\n> | `d\\|e` F | |\n> G | H | i\n",
    ),
    "equal cells": ("a | a\n-|-\nb | b | b\n", ["a", "a", "b", "b"], "A | A\n-|-\nB | B | b\n"),
    "drawn table": ("+---+\n| a |\n+---+\n", [], "+---+\n| a |\n+---+\n"),
    "YAML": ("---\na: b\n---\nc\n", ["c"], "---\na: b\n---\nC\n"),
    "TOML": ("+++\na = 'b'\n+++\nc\n", ["c"], "+++\na = 'b'\n+++\nC\n"),
    "no front matter": ("---\n\na\n", ["a"], "---\n\nA\n"),
    "footnotes": (
        "a[^1] b\n\n[^1]: c\n    d\n[^x]: e\n\n    f\n\n    - g\n\nh\n",
        ["a«[^1]» b", "c d", "e", "f", "g", "h"],
        "A[^1] B\n\n[^1]: C\n    D\n[^x]: E\n\n    F\n\n    - G\n\nH\n",
    ),
    "callouts": ("> [!NOTE]\n> a\n\n> [!tip]- b\n> c\n", ["a", "b", "c"], "> [!NOTE]\n> A\n\n> [!tip]- B\n> C\n"),
    "definitions": ("a\n: b\n: c\n", ["a", "b", "c"], "A\n: B\n: C\n"),
    "admonition": ('!!! note "a"\n    b\n\n    c\n\nd\n', ["b", "c", "d"], '!!! note "a"\n    B\n\n    C\n\nD\n'),
    "container": ("::: a b\nc\n:::\nd", ["c", "d"], "::: a b\nC\n:::\nD"),
    "attributes": ("{: .a}\nb [c](d){.e} `f`{.g}", ["b «[»c«](d){.e}» «`f`{.g}»"], "{: .a}\nB [C](d){.e} `f`{.g}"),
    "templates": (
        "a\n{% if b %}\n{{< c >}}\nd {{ e }} {% f %} g\n",
        ["a", "d «{{ e }}» «{% f %}» g"],
        "A\n{% if b %}\n{{< c >}}\nD {{ e }} {% f %} G\n",
    ),
    "math": (
        "a $b_1$ c $5 or $6\n$$\nd\n$$\n\n$$e$$\n\nf $$g$$",
        ["a «$b_1$» c $5 or $6", "f «$$g$$»"],
        "A $b_1$ C $5 OR $6\n$$\nd\n$$\n\n$$e$$\n\nF $$g$$",
    ),
    "emoji": ("a :rocket: 10:30:45", ["a «:rocket:» 10:30:45"], "A :rocket: 10:30:45"),
    "modules": (
        "import A from 'a'\nimport {\n  B } from 'b'\n\nexport const c = 1\n\nimport goods from d\n",
        ["import goods from d"],
        "import A from 'a'\nimport {\n  B } from 'b'\n\nexport const c = 1\n\nIMPORT GOODS FROM D\n",
    ),
    "contents": ("[TOC]\n\n[[_TOC_]]\n\na", ["a"], "[TOC]\n\n[[_TOC_]]\n\nA"),
}


@pytest.mark.parametrize(("source", "found", "capitals"), CONSTRUCTS.values(), ids=CONSTRUCTS)
def test_a_construct_gives_its_texts_and_only_these_are_translated(
    source: str, found: list[str], capitals: str
) -> None:
    """Check the texts of a construct, and the document with other texts."""
    check_outside(source)
    assert texts(source) == found
    assert upper(source) == capitals
    assert rendered(unchanged(source.removeprefix("\ufeff"))) == rendered(source.removeprefix("\ufeff"))


def test_a_link_whose_text_stays_its_label_stays_short() -> None:
    """Check that names which no translation changes do not get a label."""
    source = "a [React] b [c]\n\n[react]: x\n[c]: y\n"
    capitals = translated(source, lambda text: text if text == "React" else text.upper())
    assert capitals == "A [React] B [C][c]\n\n[react]: x\n[c]: y\n"


def test_places_name_lines_and_cells() -> None:
    """Check the places of segments."""
    source = "---\na: b\n---\n# c\n\n![d](e)\n\n| f | g |\n|--|--|\n| | ![h](i) |\n"
    places = ["line 4", "line 6 (image)", "line 8, column 1", "line 8, column 2", "line 10, column 2 (image)"]
    assert [segment.place for segment in segments(source, OPTIONS)] == places


def test_html_blocks_go_to_the_hook() -> None:
    """Check that another format can translate HTML blocks, with offsets and places in the document."""
    calls = []

    def html(block: str, options: Options) -> list[Segment]:
        calls.append(block)
        start = block.index("x")
        return [Segment(start, start + 1, (Text("x"),), "", lambda content: "y")]

    source = "a\n\n<p>\nx</p>\n\n- <p>x</p>\n"
    found = segments(source, OPTIONS, html)
    assert calls == ["<p>\nx</p>"]
    assert [segment.place for segment in found] == ["line 1", "line 4"]
    assert replace_segments(source, [(found[1], "y")]) == source.replace("x", "y", 1)


def test_a_wrapped_paragraph_is_wrapped_at_its_width() -> None:
    """Check that a longer translation keeps the prefix and the width, and that no line starts a block."""
    source = "- > " + "word " * 9 + "x\n  > word\n"
    written = translated(source, lambda text: "wort - 1. # > + === | wort " * 9)
    lines = written.splitlines()
    assert len(lines) > 4
    assert all(line.startswith(("- > ", "  > ")) for line in lines)
    assert max(map(len, lines)) <= len(source.splitlines()[0]) + len("wort - 1. # > + === | ")
    tokens = ORACLE.parse(written)
    assert [token.type for token in tokens] == [token.type for token in ORACLE.parse(source)]


TRICKY = [
    *("# a", "#", "- a", "-", "+ a", "* a", "1. a", "12) a", "> a", ">a", "```", "~~~ a", "| a |", "---", "===", "***"),
    *("_a_", "*a*", "**a", "a*b*c", "__a__", "a_b_c", "`a`", "``a", "[a](b)", "[a][b]", "[a]", "[a]: b", "![a](b)"),
    *("<b>", "<b", "</b>", "<!-- a", "<?a?>", "<http://a.b>", "&amp;", "&#35;", "\\", "a\\", "\\*", "a\\|", "~~a~~"),
    *(
        "[^1]",
        "[^1]: a",
        "[ ] a",
        "[x] a",
        "[!NOTE]",
        ":::",
        ": a",
        "{{a}}",
        "$a$",
        "$$",
        "a  b",
        "a\nb",
        "a\n\nb",
        "\ta",
    ),
    *(
        "a #",
        "a ##",
        "#a#",
        "a\0b",
        "a\x0cb",
        "a\u2028b",
        "<div>",
        "+++",
        "!",
        "!!! a",
        "&",
        "a&b;",
        ";)",
        "\xa0a\xa0",
        "a|b",
    ),
    *("1986. A great year", "C:\\temp\\", "C# and F#", 'don\'t "x"', "a < b > c", "5 * 3 ** 2", "http://a_b_c.d/e"),
]
PLACES = {
    "paragraph": "{}\n",
    "before a break": "{}\\\nx\n",
    "after a break": "x  \n{}\n",
    "wrapped": "{}\nB\n",
    "heading": "# {}\n",
    "closed heading": "# {} #\n",
    "setext": "{}\n===\n",
    "list": "- {}\n",
    "quote": "> {}\n",
    "cell": "|{}|x|\n|-|-|\n",
    "first cell": "a | b\n-|-\n{} | x\n",
    "emphasis": "a **{}** b\n",
    "link": "a [{}](b) c\n",
    "image": "![{}](b)\n",
    "footnote": "[^1]: {} w\n",
}
DEFINITIONS = "\n\n[a]: /a\n[b]: /b\n"


def plain(html: str) -> str:
    """Return HTML with white space as a browser shows it at the ends of elements."""
    return re.sub(r"\s*(<!--.*?-->|<[^>]*>)\s*", r"\1", re.sub(r"\s+", " ", html))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_any_text_reads_as_itself_in_any_place(place: str) -> None:
    """Check that text which looks like Markdown is escaped: the HTML differs from that of `Q` by the text alone."""
    source = place.format("Q") + DEFINITIONS
    found = next(segment for segment in segments(source, OPTIONS) if "Q" in segment.text)
    for text in [*TRICKY, *(f"a {text} b" for text in TRICKY), *(f"{text}{text}" for text in TRICKY)]:
        content = [
            replace(item, text=item.text.replace("Q", text)) if isinstance(item, Text) else item
            for item in found.content
        ]
        written = replace_segments(source, [(found, found.write(content))])
        shown = re.sub(r"[\s\x1c-\x1f]+", " ", text.replace("\0", "\ufffd")).strip()
        escaped = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
        result = rendered(written).replace("\x0c", " ").replace("\u2028", " ")
        expected = rendered(source).replace("Q", escaped)
        assert plain(result) == plain(expected), (text, written)


def test_prose_has_no_needless_escapes() -> None:
    """Check that common characters stay as they are."""
    prose = (
        'snake_case, 2 * 3, a < b, don\'t (see [1]) – x & y; C# ~5 $5 #1 a-b 50% {x} a|b \\o/ e.g. 1. and! yes: 3^2 "q"'
    )
    assert translated("Q", lambda text: prose) == prose
    assert translated("# Q", lambda text: "1. Intro") == "# 1. Intro"
    assert translated("- Q", lambda text: "Title: a_b*") == "- Title: a_b\\*"


MARKS = {"*": "em", "_": "em", "**": "strong", "__": "strong", "~~": "s", "[": "a"}
WORDS = st.sampled_from(["wort", "Haus", "(x)", "«y»", "z.", "1", "a_b", "*", "日本", "é", "-", "“q”"])


@st.composite
def placements(draw: st.DrawFn) -> tuple[str, list[int]]:
    """Return a paragraph with nested marks, and for each tag of its content a new place among random words."""
    marks = draw(
        st.lists(
            st.sampled_from([("*", "*"), ("**", "**"), ("_", "_"), ("__", "__"), ("~~", "~~"), ("[", "](u)")]),
            min_size=1,
            max_size=4,
        )
    )
    source = " ".join(f"a {opening}b `c` d{closing} e" for opening, closing in marks)
    return source, draw(st.lists(st.integers(0, 8), min_size=2 * len(marks), max_size=2 * len(marks)))


@settings(max_examples=150, deadline=None)
@given(placements(), st.lists(st.tuples(WORDS, st.sampled_from([" ", " ", ""])), min_size=3, max_size=8))
def test_marks_render_wherever_they_are_moved(placement: tuple[str, list[int]], words: list[tuple[str, str]]) -> None:
    """Check number and nesting of emphasis, links and code after tags moved to random places between words."""
    source, places = placement
    (segment,) = segments(source, OPTIONS)
    pairs = [item for item in segment.content if isinstance(item, Tag) and item.kind == "open"]
    codes = [item for item in segment.content if isinstance(item, Text) and item.source is not None]
    closings = {item.pair: item for item in segment.content if isinstance(item, Tag) and item.kind == "close"}
    # Pairs are placed one after the other, each right after the last, so that they nest or touch but do not cross.
    pieces: list[Content] = [Text(word + space) for word, space in words]
    for k, tag in enumerate(pairs):
        first, last = sorted(min(place, len(words)) for place in places[2 * k : 2 * k + 2])
        spans = [i for i, item in enumerate(pieces) if isinstance(item, Text)]
        begin, end = spans[min(first, len(spans) - 1)], spans[min(last, len(spans) - 1)] + 1
        inside = pieces[begin:end]
        depth, lowest = 0, 0
        for item in inside:
            depth += {"open": 1, "close": -1}.get(item.kind, 0) if isinstance(item, Tag) else 0
            lowest = min(lowest, depth)
        if depth or lowest:
            begin, end = spans[0], spans[0] + 1
            inside = pieces[begin:end]
        pieces[begin:end] = [tag, *inside, closings[tag.pair]]
    content = [*pieces, *codes]
    links = [tag for tag in pairs if MARKS[tag.name] == "a"]
    written = replace_segments(source, [(segment, segment.write(content))])
    html = ORACLE.render(written)
    expected = [(item.kind, MARKS[item.name]) for item in content if isinstance(item, Tag)]
    got = [("close" if slash else "open", name) for slash, name in re.findall(r"<(/?)(em|strong|s|a)\b", html)]
    assert html.count("<code>") == len(codes), written
    if len(links) < 2:  # a link inside another is moved out of it
        assert got == expected, written
    else:
        assert sorted(got) == sorted(expected), written
    shown = re.sub(r"<[^>]*>|\s", "", html).replace("&quot;", '"')
    assert shown == re.sub(r"\s", "", "".join(item.text for item in content if isinstance(item, Text))), written


def test_marks_that_render_are_preferred_to_html() -> None:
    """Check that spaces move out of emphasis, that asterisks replace underscores in words, and HTML comes last."""
    (segment,) = segments("x _y_", OPTIONS)
    _, opening, _, closing = segment.content
    assert segment.write([Text("a"), opening, Text(" b "), closing, Text("c")]) == "a _b_ c"
    assert segment.write([Text("a"), opening, Text("b"), closing, Text("c")]) == "a*b*c"
    assert segment.write([Text("a"), opening, Text("(b)"), closing, Text("c")]) == "a<em>(b)</em>c"


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(12)))
def test_crossing_marks_are_written_so_that_they_nest(order: list[int]) -> None:
    """Check that no order of tags and texts loses text, a tag of a link, or emphasis."""
    source = "a **b** c [d](u) *e*"
    (segment,) = segments(source, OPTIONS)
    content = [segment.content[i] for i in order if i < len(segment.content)]
    html = ORACLE.render(segment.write(content))
    shown = "".join(item.text for item in content if isinstance(item, Text))
    assert re.sub(r"<[^>]*>|\s", "", html) == re.sub(r"\s", "", shown)
    for tag in ("strong", "em", "a"):
        assert len(re.findall(rf"<{tag}\b", html)) == len(re.findall(rf"</{tag}>", html)) == 1


FRAGMENTS = [
    *(
        "a",
        "b c",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\r\n",
        "    ",
        "\t",
        "- ",
        "1. ",
        "> ",
        "# ",
        " #",
        "```\n",
        "---\n",
        "===\n",
    ),
    *("*", "**", "_", "__", "~~", "`", "``", "[", "]", "(u)", "(u 't')", "[a]", "[]", "!", "![", "<b>", "</b>", "<br>"),
    *("~~~\n", "<!--", "-->", "|", "\n|-|-|\n", "| x | y |\n", "\\", "&amp;", "&", "<", ">", "http://x.y ", "[a]: u\n"),
    *("[ ] ", "\udc80", "\xa0", "\x0c", "\0", "é", "日本"),
]
EXTENSIONS = [
    *("$", "$$", "{{", "}}", "{%", "%}", "{#i}", "[^1]", "[^1]: ", ":::", "!!! n\n", "[!NOTE]", ": ", "\ufeff", ":a:"),
    *("---\na: b\n---\n", "import 'a'\n", "[TOC]", "www.a.b", "c@d.e", "<A b={c}>"),
]


def documents(fragments: list[str]) -> st.SearchStrategy[str]:
    """Return a strategy for documents of random fragments."""
    return st.lists(st.sampled_from(fragments), max_size=20).map("".join)


@settings(max_examples=300, deadline=None)
@given(documents(FRAGMENTS))
def test_any_document_reads_the_same_when_only_its_texts_change(source: str) -> None:
    """Check order and bounds of segments, and what a reader sees of the same texts and of capitals."""
    check_outside(source)
    before = plain(rendered(source))
    assert plain(rendered(unchanged(source))) == before
    assert plain(rendered(upper(source))).upper() == before.upper()


@settings(max_examples=200, deadline=None)
@given(documents(FRAGMENTS + EXTENSIONS))
def test_any_document_with_extensions_is_written_back(source: str) -> None:
    """Check order and bounds of segments, which the other parser cannot check, and that nothing raises an error."""
    check_outside(source)
    unchanged(source)


@pytest.mark.parametrize(
    "tag", ["<b>", "</b>", '<a href="x">', "<br>", "   <i>  ", "<code>", "<div>", "<pre>", "<custom-tag>"]
)
@pytest.mark.parametrize("text", ["a", "- a", "|a|\n|-|\n|b|", "|-|-|\na", "# a", "a</b> b"])
def test_a_tag_alone_on_a_line_keeps_its_block(tag: str, text: str) -> None:
    source = f"{tag}\n{text}\n\nb\n"
    assert plain(rendered(unchanged(source))) == plain(rendered(source))


def real_files() -> Iterator[tuple[str, str]]:
    """Yield names and texts of Markdown files that are installed here."""
    for distribution in distributions():
        text = distribution.read_text("METADATA") or ""
        if "Description-Content-Type: text/markdown" in text:
            yield distribution.name, text.partition("\n\n")[2]
    for pattern in ("share/doc/*/*.md", "lib/node_modules/*/*.md", "share/nodejs/*/*.md"):
        for path in sorted(Path("/usr").glob(pattern)):
            yield str(path), path.read_bytes().decode("utf-8", "surrogateescape")


def test_real_files_keep_all_but_their_texts() -> None:
    """Check that real files read the same when written back, and as capitals when translated to capitals."""
    n_segments = 0
    for name, source in real_files():
        if n_segments > 4000:
            break
        if len(source) > 40_000:
            continue
        check_outside(source)
        n_segments += len(segments(source, OPTIONS))
        before = rendered(source)
        assert rendered(unchanged(source)) == before, name
        assert rendered(upper(source)).upper() == before.upper(), name
    if not n_segments:
        pytest.skip("no package here ships Markdown")


HOSTILE = [
    *("[", "[a", "![", "[](", "]", "*", "*a ", "_a*", "**a", "~~a ", "`", "`` ` ", "<a ", "<!-- ", "a <!--"),
    *("<?a ", "<![CDATA[", "&a", "\\", "{{", "{% ", "{#", "$a ", "$$", "$$a\n", "http://", "http://a)", ":a"),
    *("a@", "[^a", "[^a]: ", "[^a]: b\n", ": ", "[a]: b\n", "[a]: '", "a\n", "a  \n", "|", "|a", "a|\n", "#"),
    *("# a\n", "a\n=\n", "> a\n", ">\n", "- a\n", "-\n", "1. a\n\n", "!!! a\n", ":::\n", "```\n", "<div>\n"),
    *("<p ", "\t", " ", "\r", "\xa0\n", "\x00", "www.", "{a", "<a b='", '<a b="', "a\\\n", "<br>", "[a](b) "),
    *("[!a] b\n",),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_repeated_pieces_are_read_and_written(piece: str) -> None:
    """Check that a document of one piece many times is read and written back without an error."""
    for source in (piece * 300, "a " + piece * 300 + " b", f"a {piece}\n" * 50):
        with contextlib.suppress(UserError):  # some nest too deep
            unchanged(source)


@pytest.mark.parametrize("piece", [">", "> ", "- ", "1. ", "[^a]: ", ": "])
def test_deep_nesting_is_a_clear_error(piece: str) -> None:
    """Check that a hundred thousand levels give one sentence, and that deep inline nesting works."""
    with pytest.raises(UserError, match=r"^line 3: lists and quotes nest more than 50 levels deep; use fewer levels$"):
        segments("a\n\n" + piece * 100_000 + "b", OPTIONS)


def test_an_indented_line_takes_linear_time() -> None:
    """A quadratic search would take minutes."""
    assert len(segments(f"a\n{' ' * 400_000}b\n", OPTIONS)) == 1


def test_deep_inline_nesting_works() -> None:
    """Check emphasis and brackets that nest deeply."""
    assert len(segments("*" * 5000 + "a" + "*" * 5000, OPTIONS)) == 1
    assert len(segments("![" * 2000 + "a" + "](b)" * 2000, OPTIONS)) <= 1
    assert len(segments("<b>" * 5000 + "a", OPTIONS)) == 1

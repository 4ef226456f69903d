"""HTML: tokens against another parser's, segments, and documents of other projects."""

from __future__ import annotations

import html
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.runtime.documents.html import _tokens, segments
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Content, Segment, Tag, Text, replace_segments
from dragoman.runtime.errors import UserError

justhtml = pytest.importorskip("justhtml", reason="the other parser is not installed")

OPTIONS = Options("en", "de")
PIECES = [
    "<p>", "</p>", "<b>", "</b>", "<br>", "<br/>", "<img src='a>b'>", '<a href="x">', "</a>", "<!-- c -->", "<!--",
    "-->", "<!-->", "<!DOCTYPE html>", "<?pi x>", "</>", "</ x>", "< ", "<", ">", "&amp;", "&lt", "&", "text", " ",
    "\n", "é", "<script>", "</script>", "<style>", "</style>", "<title>", "</title>", "<textarea>", "</textarea>",
    "<a b=c d>", "<a b='", "<a b=c\"d>", "<a / b>", "<A\nB = 'c'>", "<x-y>", "<p", "'", '"', "=", "<pre>", "</pre>",
    "<svg>", "</svg>",
]  # fmt: skip
markup = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def ours(source: str) -> list[tuple[str, str]]:
    """Return tags and text as the other parser gives them: adjacent text is joined, comments are left out."""
    found: list[tuple[str, str]] = []
    for token in _tokens(source):
        if token.kind == "tag":
            found.append(("end" if token.closes else "start", token.name))
        elif token.kind in ("text", "raw"):
            spelling = source[token.start : token.end]
            is_raw = token.kind == "raw" and found[-1][1] not in ("title", "textarea")
            text = spelling if is_raw else html.unescape(spelling)
            if token.kind == "raw" and found[-1][1] == "textarea":
                text = text.removeprefix("\n")
            found.append(("text", text))
    return joined(found)


def theirs(source: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for kind, value in justhtml.stream(source):
        if kind == "start":
            found.append(("start", value[0]))
        elif kind in ("end", "text"):
            found.append((kind, value))
    return joined(found)


def joined(events: list[tuple[str, str]]) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    for kind, value in events:
        value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        if kind == "text" and out and out[-1][0] == "text":
            out[-1] = ("text", out[-1][1] + value)
        elif value or kind != "text":
            out.append((kind, value))
    return out


@given(markup)
@example("<p>a<b b='>'>c</b></p>")
def test_tokens_cover_the_source(source: str) -> None:
    position = 0
    for token in _tokens(source):
        assert token.start == position < token.end
        position = token.end
    assert position == len(source)


@given(markup)
def test_tokens_are_those_of_another_parser(source: str) -> None:
    if "<svg>" in source:
        return  # foreign content depends on the tree
    assert ours(source) == theirs(source)


def shown(source: str) -> list[str]:
    """Return the segments of a source: `[b]` and `[/b]` for tags, `{...}` for copied text."""
    return ["".join(map(_shown, segment.content)) for segment in checked(source)]


def spaced(source: str) -> list[tuple[str, str]]:
    """Return the tokens of a paragraph with white space as a browser shows it, or none where that may be missing."""
    events = [(kind, " ".join(value.split())) for kind, value in ours(f"<p>{source}")]
    return [event for event in events if event != ("text", "")]


def _shown(item: Content) -> str:
    if isinstance(item, Text):
        return item.text if item.source is None else f"{{{item.text}}}"
    name = item.name or "!"
    return {"open": f"[{name}]", "close": f"[/{name}]", "empty": f"[{name}/]"}[item.kind]


def checked(source: str) -> list[Segment]:
    """Return the segments of a source, which must be in order, and which must not change if their text does not."""
    found = segments(source, OPTIONS)
    position = 0
    for segment in found:
        assert position <= segment.start < segment.end <= len(source)
        position = segment.end
        is_plain = source[: segment.start].rstrip(" \n").lower().endswith(("<title>", "<textarea>"))
        if not is_plain and not any(isinstance(item, Text) and item.source for item in segment.content):
            assert spaced(segment.write(segment.content)) == spaced(source[segment.start : segment.end])
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("one", ["one"]),
        ("<p>One <b>two</b>.</p><p>Three", ["One [b]two[/b].", "Three"]),
        ("<div>a<div>b</div>c</div>", ["a", "b", "c"]),
        ("a<br>b<hr>c", ["a", "b", "c"]),
        ("<ul><li>one<li>two</ul>", ["one", "two"]),
        ("<table><tr><td>a<td>b</table>", ["a", "b"]),
        ("<p>two\n  lines\tand &amp; more</p>", ["two lines and & more"]),
        ("<p> <i>x</i> </p>", ["[i]x[/i]"]),
        ("run <code>ls <i>-l</i></code> now", ["run {ls -l} now"]),
        ("press <kbd>F1</kbd>, <samp>x</samp>", ["press {F1}, {x}"]),
        ("<pre>code</pre>text<pre>code", ["text"]),
        ("<script>var a = '<p>no</p>'</script>text", ["text"]),
        ("<style>p { }</style><title>A &lt; b</title>", ["A < b"]),
        ("<textarea>say &amp; <b></textarea>", ["say & <b>"]),
        ("a <math><mi>x</mi></math> b", ["a {x} b"]),
        ("a <svg><path d='x'/></svg> b", ["a [!/] b"]),
        ("a <span translate='no'>X <b>Y</b></span> b", ["a {X Y} b"]),
        ("a <span class='q notranslate z'>X</span> b", ["a {X} b"]),
        ("a <span class=notranslate>X</span> b", ["a {X} b"]),
        ("a <span class='notranslated'>X</span> b", ["a [span]X[/span] b"]),
        ("<div translate=no><p>X</p><div>Y</div></div><p>Z", ["Z"]),
        ("<p class=notranslate>X<p>Y", ["Y"]),
        ("<ul><li translate=no>X<ul><li>Y</ul><li>Z</ul>", ["Z"]),
        ("<code>unclosed<p>next", ["next"]),
        ("one <!-- <p> --> two", ["one [!/] two"]),
        ("one <b>two <i>three</b> four</i>", ["one [b]two [i/]three[/b] four[i/]"]),
        ("a <img src='x'> b", ["a [img/] b"]),
        ("3 < 4 & 5 > 2", ["3 < 4 & 5 > 2"]),
        ("<?php if ($a->b) ?> text", ["[!/]text"]),
        ("<?xml version='1.0'?><html><script src='x'/><p>text</p></html>", ["text"]),
        ("\ufefftext", ["\ufefftext"]),
        ("***<b>!</b>", []),
        ("<p>\0a", ["\0a"]),
        ("<p title='x", []),
        ("", []),
    ],
)
def test_segments(source: str, expected: list[str]) -> None:
    assert shown(source) == expected


@given(markup)
def test_only_the_text_of_segments_changes(source: str) -> None:
    """Write other text, and let the other parser see that tags are the same and that only that text has changed."""
    found = checked(source)
    replaced = replace_segments(source, [(segment, segment.write(changed(segment.content))) for segment in found])
    tags = [[event for event in theirs(each) if event[0] != "text"] for each in (source, replaced)]
    if "<svg>" not in source:
        assert tags[0] == tags[1]
    outside, position = [], 0
    for segment in found:
        outside.append(source[position : segment.start])
        position = segment.end
    outside.append(source[position:])
    rest = replaced
    for stretch in outside:  # the stretches stand in the result, in order
        assert stretch in rest
        rest = rest[rest.index(stretch) + len(stretch) :]


def changed(content: tuple[Content, ...]) -> list[Content]:
    return [
        Text('<i>&amp; "x"') if isinstance(item, Text) and item.source is None and item.text.strip() else item
        for item in content
    ]


def real_files() -> Iterator[Path]:
    """Yield HTML files that installed packages ship, the same ones every time."""
    roots = [Path(justhtml.__file__).parents[1], Path("/usr/share/doc"), Path("/usr/lib/python3")]
    files = [path for root in roots if root.is_dir() for path in sorted(root.rglob("*.htm*")) if path.is_file()]
    random.Random(0).shuffle(files)
    yield from (path for path in files[:40] if 0 < path.stat().st_size < 300_000)


def test_real_files_keep_everything_but_their_text() -> None:
    count = 0
    for path in real_files():
        source = path.read_bytes().decode("utf-8", "surrogateescape")
        found = checked(source)
        same = replace_segments(source, [(segment, source[segment.start : segment.end]) for segment in found])
        assert same == source
        replaced = replace_segments(source, [(s, s.write(changed(s.content))) for s in found])
        tags = [[event for event in theirs(each) if event[0] != "text"] for each in (source, replaced)]
        assert tags[0] == tags[1], path
        count += bool(found)
    if not count:
        pytest.skip("no installed package ships HTML files here")


@pytest.mark.parametrize(
    "unit",
    ["<b>x", "<p><code>x", "<svg><a>", "</b>", "<b><i>x</b></i>", "<title>", "<!--", "<a b='c' d=", "<a =", "<", "&amp",
     "<script><!--<script>", "<p translate=n ", "<a class='x notranslatex ' ", "<li>", "<table><tr><td>", "\0",
     "x" * 50],
)  # fmt: skip
def test_hostile_input_takes_linear_time(unit: str) -> None:
    """A quadratic search would take minutes."""
    segments(unit * (300_000 // len(unit)), OPTIONS)


def test_a_document_of_too_many_tags_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.runtime.documents.html.MAX_TOKENS", 10)
    assert segments("<b>x" * 5, OPTIONS)
    with pytest.raises(UserError, match="more than 10 tags and stretches of text; split it"):
        segments("<b>x" * 6, OPTIONS)


def test_tags_are_written_as_they_were() -> None:
    source = "<P CLASS='a' >x <B  id=q>y</B\n> z"
    (segment,) = segments(source, OPTIONS)
    assert segment.write(segment.content) == "x <B  id=q>y</B\n> z"
    assert [item.source for item in segment.content if isinstance(item, Tag)] == ["<B  id=q>", "</B\n>"]
    assert segment.place == "line 1"

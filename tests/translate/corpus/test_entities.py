"""Tests that escaped text is unescaped, and that text about HTML is not."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.cli import main
from dragoman.runtime.normalisation import normalise
from dragoman.translate.corpus.entities import BLOCK, is_escaped, unescape_entities
from dragoman.translate.corpus.folder import Corpus, Pair

MOSES = {
    "&": "&amp;",
    "|": "&#124;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "[": "&#91;",
    "]": "&#93;",
}

PLAIN = [
    'He said "no" [twice] and left.', "Rock & roll isn't dead.", "a < b | c > d", "Nothing special here.", "Un été",
    "R&D, Q&A and 'quotes'", "[1] See \"The Book\".", "Tom & Jerry's house", "x > 5 & y < 3", "An ordinary line.",
]  # fmt: skip


def escape_as_moses(text: str) -> str:
    return "".join(MOSES.get(c, c) for c in text)


def escape_text(text: str) -> str:
    return html.escape(text, quote=False)


def escape_names(text: str) -> str:
    return text.encode("ascii", "xmlcharrefreplace").decode() if text.isalpha() else html.escape(text)


def escape_twice(text: str) -> str:
    return html.escape(html.escape(text))


def unescape(pairs: list[Pair]) -> tuple[list[Pair], int]:
    changed = 0

    def count() -> None:
        nonlocal changed
        changed += 1

    return [*unescape_entities(pairs, count, lambda _: None)], changed


@pytest.mark.parametrize("escape", [escape_as_moses, html.escape, escape_text, escape_names, escape_twice])
def test_escaped_text_is_unescaped(escape: Callable[[str], str]) -> None:
    pairs = [Pair(f"{text} {n}", f"{n}: {text}") for n in range(3) for text in PLAIN]
    escaped = [Pair(*map(escape, pair)) for pair in pairs]
    assert unescape(escaped) == (pairs, sum(a != b for a, b in zip(pairs, escaped, strict=True)))
    assert unescape(pairs) == (pairs, 0)


def test_each_side_is_judged_by_itself() -> None:
    pairs = [Pair(f"{text} {n}", f"{n}: {text}") for n in range(3) for text in PLAIN]
    assert unescape([Pair(escape_as_moses(pair.source), pair.target) for pair in pairs])[0] == pairs
    assert unescape([Pair(pair.source, escape_as_moses(pair.target)) for pair in pairs])[0] == pairs


def test_texts_escaped_twice_in_a_file_escaped_once() -> None:
    pairs = [Pair(escape_as_moses(text), "x") for text in PLAIN]
    pairs += [Pair("&amp;quot;yes&amp;quot; &amp;#91;1&amp;#93; &amp;amp;apos;", "y"), Pair("&amp;lt;b&amp;gt;", "z")]
    assert [pair.source for pair in unescape(pairs)[0]] == [*PLAIN, '"yes" [1] \'', "&lt;b&gt;"]


@pytest.mark.parametrize(
    "texts",
    [
        ['Write &quot; for a "quotation mark".', "&lt;b&gt; makes <b>bold</b>", "Use &amp; for & in HTML."] * 9,
        ["Escape < as &lt; and > as &gt;."] * 20,
        ["<b>Search &amp; replace</b>", "<i>Cut &amp; paste</i>"] * 9,  # markup, in which the entity is right
        ["Q&A about &amp;", "R&D", "Type &nbsp; here & there"] * 9,
        ["Only &quot;one&quot; line"] + ["of many."] * 20,
        ["&File; &foo; &;", "AT&T; &unknown;"] * 9,  # no entities
    ],
)
def test_text_about_html_is_kept(texts: list[str]) -> None:
    pairs = [Pair(text, text + "!") for text in texts]
    assert unescape(pairs) == (pairs, 0)


def test_a_plain_file_after_an_escaped_one_is_kept() -> None:
    escaped = [Pair(f"&quot;a&quot; {n}", "b") for n in range(BLOCK)]
    plain = [Pair(f'"a" {n} and &quot;', "b") for n in range(BLOCK)]
    rare = [Pair("&quot;c&quot;", "d"), Pair("e", "f")]
    assert unescape(escaped + plain)[0] == [Pair(f'"a" {n}', "b") for n in range(BLOCK)] + plain
    assert unescape(escaped + rare)[0][-2:] == [Pair('"c"', "d"), Pair("e", "f")]  # a last block with few entities


def test_a_side_of_spaces_alone_is_dropped() -> None:
    pairs = [Pair("&quot;a&quot;", "b")] * 9 + [Pair("&nbsp;", "b")]
    empty: list[Pair] = []
    assert [*unescape_entities(pairs, lambda: None, empty.append)] == [Pair('"a"', "b")] * 9
    assert empty == [Pair("&nbsp;", "b")]


@given(st.lists(st.tuples(st.text(), st.text()), max_size=20))
def test_any_text_can_be_escaped(texts: list[tuple[str, str]]) -> None:
    pairs = [Pair(*map(normalise, sides)) for sides in texts if all(map(normalise, sides))]
    escaped = [Pair(*map(escape_as_moses, pair)) for pair in pairs]
    for side in (0, 1):
        if is_escaped([pair[side] for pair in escaped]):
            pairs_of_side = [pair[side] for pair in unescape(escaped)[0]]
            assert pairs_of_side == [pair[side] for pair in pairs]


def test_unescaped_pairs_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [a + b + c for a in "klm" for b in "aeiou" for c in "nrst"]
    rows = [(f"&quot; the {word} &quot; isn &apos;t it &#93;", f"&amp;quot; das {word} &amp;quot;") for word in words]
    (tmp_path / "a.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in [*rows, ("plain line", "ganz normale")]))
    command = ["corpus", "files", str(tmp_path / "a.tsv"), "--pair", "en-de", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    corpus = Corpus(tmp_path / "out")
    assert corpus.card["unescaped"] == len(rows)
    assert "entities" in corpus.card["rules"]
    assert f"unescaped {len(rows)}: pairs with entities" in capsys.readouterr().out
    assert {pair for split in ("train", "valid", "test") for pair in corpus.read(split)} == {
        Pair("plain line", "ganz normale"),
        *(Pair(f'" the {word} " isn \'t it ]', f'" das {word} "') for word in words),
    }
    assert main([*command, "--allow", "entities"]) == 0
    corpus = Corpus(tmp_path / "out")
    assert "unescaped" not in corpus.card
    assert "entities" not in corpus.card["rules"]
    assert {pair for split in ("train", "valid", "test") for pair in corpus.read(split)} > {Pair(*row) for row in rows}

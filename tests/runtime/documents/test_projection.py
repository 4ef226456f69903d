"""Tag projection: with attention that is known exactly, every element must enclose the words that it should."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.runtime.alignment import AttentionMap
from dragoman.runtime.documents.projection import needs_attention, project, subword_spans, words_of
from dragoman.runtime.documents.segments import Content, Tag, Text, pair_tags
from dragoman.runtime.documents.translation import tag_difference


def attention(source: Sequence[str], target: Sequence[str], links: Sequence[int]) -> AttentionMap:
    """Return attention in which target word t attends to source word links[t] alone. Each word is a subword."""
    weights = np.zeros((len(target) + 1, len(source) + 1), np.float32)
    weights[np.arange(len(target)), links] = 1
    weights[-1, -1] = 1
    return AttentionMap((*(f"▁{word}" for word in source), "</s>"), (*(f"▁{word}" for word in target), "</s>"), weights)


def content_of(markup: str) -> tuple[Content, ...]:
    """Return content from a notation: `<b>` and `</b>` are tags, `<x/>` stands alone, `` `x` `` is copied."""
    items: list[Content] = []
    for i, piece in enumerate(re.split(r"(<[^>]*>|`[^`]*`)", markup)):
        if i % 2 == 0:
            items += [Text(piece)] if piece else []
        elif piece[0] == "`":
            items.append(Text(piece[1:-1], piece))
        else:
            kind = "close" if piece[1] == "/" else "empty" if piece[-2] == "/" else "open"
            items.append(Tag(piece, kind, piece.strip("</>")))  # type: ignore[arg-type]  # a Kind
    return pair_tags(items)


def spelled(content: Sequence[Content]) -> str:
    return "".join(
        item.text if isinstance(item, Text) and item.source is None else str(item.source) for item in content
    )


def projected(markup: str, target: str, links: Sequence[int]) -> str:
    content = content_of(markup)
    text = "".join(item.text for item in content if isinstance(item, Text))
    source_words, target_words = (subwords(each) for each in (text, target))
    weights = np.zeros((len(target_words) + 1, len(source_words) + 1), np.float32)
    weights[np.arange(len(target_words)), links] = 1
    weights[-1, -1] = 1
    found = AttentionMap((*source_words, "</s>"), (*target_words, "</s>"), weights)
    return spelled(project(content, target, [found]))


def subwords(text: str) -> list[str]:
    """Return the words and marks of a text as subwords."""
    return [("▁" if text[a - 1 : a] in ("", " ") else "") + text[a:b] for a, b in words_of(text)]


@pytest.mark.parametrize(
    ("markup", "target", "links", "expected"),
    [
        ("a <b>big</b> dog", "ein großer Hund", [0, 1, 2], "ein <b>großer</b> Hund"),
        ("a <b>big</b> dog", "Hund großer ein", [2, 1, 0], "Hund <b>großer</b> ein"),
        ("<b>a big</b> dog", "Hund ein großer", [2, 0, 1], "Hund <b>ein großer</b>"),
        ("a <b>big dog</b>.", "ein Großhund.", [0, 2, 3], "ein <b>Großhund</b>."),
        ("<b>a <i>big</i> dog</b>", "ein großer Hund", [0, 1, 2], "<b>ein <i>großer</i> Hund</b>"),
        ("see <i>it</i> (<b>now</b>)!", "sieh es (jetzt)!", [0, 1, 2, 3, 4, 5], "sieh <i>es</i> (<b>jetzt</b>)!"),
        ("<i>one</i> <b>two</b>", "zwei eins", [1, 0], "<b>zwei</b> <i>eins</i>"),
        ("one <x/>two", "zwei eins", [1, 0], "<x/>zwei eins"),
        ("one<x/> two", "zwei eins", [1, 0], "zwei eins<x/>"),
        ("one <x/> two", "eins zwei", [0, 1], "eins <x/> zwei"),
        ("<x/>one two<y/>", "zwei eins", [1, 0], "<x/>zwei eins<y/>"),
        ("one <b></b>two", "zwei eins", [1, 0], "<b></b>zwei eins"),
        ("run `ls -l` now", "jetzt ls -l laufen", [4, 1, 2, 3, 0], "jetzt `ls -l` laufen"),
        ("<b>run `ls` now</b> ok", "gut ls jetzt", [3, 1, 2], "gut <b>`ls` jetzt</b>"),
        ("`a1` or `b2`", "b2 oder a1", [3, 4, 2, 0, 1], "`b2` oder `a1`"),
        ("H<sub>2</sub>O is wet", "H2O ist nass", [0, 1, 2, 3, 4], "H<sub>2</sub>O ist nass"),
        ("<b>all of it</b>", "das Ganze", [0, 2], "<b>das Ganze</b>"),
        ("press <b>Enter</b>", "drücken Sie die Eingabetaste", [0, 0, 1, 1], "drücken Sie die <b>Eingabetaste</b>"),
        ("the <b>p-value</b>", "der p-Wert", [0, 1, 2, 3], "der <b>p-Wert</b>"),
        ("open <b>Enter</b>", "Eingabetaste die öffnen", [1, 1, 0], "<b>Eingabetaste die</b> öffnen"),
        ("the <b>keys</b>", "Tastatur und Tasten", [1, 1, 1], "<b>Tastatur und Tasten</b>"),
        ("<b>File</b>, Exit", "Datei…, Ende", [0, 1, 1, 2], "<b>Datei…</b>, Ende"),
        ("<b>File</b>, Exit", "Datei..., Ende", [0, 1, 1, 1, 1, 2], "<b>Datei...</b>, Ende"),
        ("<b>wait</b>… more", "warte… mehr", [0, 1, 2], "<b>warte</b>… mehr"),
        ("<b>wait</b>... more", "warte… mehr", [0, 1, 4], "<b>warte</b>… mehr"),
        ("<b>wait</b> <i>more</i>", "warte … mehr", [0, 1, 1], "<b>warte</b> … <i>mehr</i>"),
        ("click <b>OK</b> now", "auf OK klicken", [1, 0, 0], "auf <b>OK</b> klicken"),
        ("use <b>;</b> now", "nun ; nutzen", [1, 0, 0], "nun <b>;</b> nutzen"),
        ("<b><i>all</i></b>", "alles", [0], "<b><i>alles</i></b>"),
        ("<b>lost</b> <i>word</i>", "Wort", [1], None),
        ("a <b>b</b>", "", [], "<b></b>"),
    ],
)
def test_tags_follow_their_words(markup: str, target: str, links: list[int], expected: str | None) -> None:
    found = projected(markup, target, links)
    if expected is None:  # more elements than words: every tag is there, and the text is whole
        assert "".join(piece for piece in re.split("<[^>]*>", found)) == target
        assert sorted(re.findall("<[^>]*>", found)) == sorted(["<b>", "</b>", "<i>", "</i>"])
    else:
        assert found == expected


@st.composite
def tagged_words(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Return markup of distinct words with random nested elements around whole words, and the words."""
    count = draw(st.integers(1, 9))
    words = [f"w{'abcdefghi'[i]}" for i in range(count)]

    def wrap(first: int, last: int, depth: int) -> str:
        if depth and last > first and draw(st.booleans()):
            a, b = sorted((draw(st.integers(first, last - 1)), draw(st.integers(first + 1, last))))
            if a < b:
                name = draw(st.sampled_from("biu"))
                inner = f"<{name}>{wrap(a, b, depth - 1)}</{name}>"
                outer = [wrap(first, a, 0), inner, wrap(b, last, 0)]
                return " ".join(piece for piece in outer if piece)
        return " ".join(words[first:last])

    return wrap(0, count, 3), words


def enclosed(content: Sequence[Content]) -> Counter[tuple[int, tuple[str, ...]]]:
    """Return the words in each pair of tags, in alphabetical order."""
    words: dict[int, list[str]] = {}
    opened: list[int] = []
    for item in content:
        if isinstance(item, Text):
            for pair in opened:
                words[pair] += item.text.split()
        elif item.kind == "open":
            opened.append(item.pair)
            words[item.pair] = []
        elif item.kind == "close":
            opened.remove(item.pair)
    return Counter((pair, tuple(sorted(found))) for pair, found in words.items())


@given(tagged_words(), st.sampled_from(["same", "reversed"]))
def test_elements_enclose_the_same_words_in_any_order(case: tuple[str, list[str]], order: str) -> None:
    markup, words = case
    content = content_of(markup)
    target = words if order == "same" else words[::-1]
    links = [words.index(word) for word in target]
    placed = project(content, " ".join(target), [attention(words, target, links)])
    assert enclosed(placed) == enclosed(content)
    assert tag_difference(content, placed) == ""
    if order == "same":
        assert spelled(placed) == markup


@given(tagged_words(), st.integers(0, 1 << 30), st.integers(0, 12))
def test_nothing_is_lost_whatever_the_attention_says(case: tuple[str, list[str]], seed: int, length: int) -> None:
    markup, words = case
    content = content_of(f"<x/>{markup} <y/> `code` <z/>end")
    generator = random.Random(seed)
    target = [*(f"t{generator.choice('abc')}" for _ in range(length)), "code"]
    generator.shuffle(target)
    source = [*words, "code", "end"]
    weights = np.random.default_rng(seed).random((len(target) + 1, len(source) + 1)).astype(np.float32)
    found = AttentionMap((*(f"▁{w}" for w in source), "</s>"), (*(f"▁{w}" for w in target), "</s>"), weights)
    placed = project(content, " ".join(target), [found])
    assert tag_difference(content, placed) == ""
    text = "".join(item.text for item in placed if isinstance(item, Text))
    assert text.split() == target


def test_parts_are_projected_apart() -> None:
    """A tag in the second part finds its word there, and an element over both parts keeps all words."""
    first = attention(["one", "two."], ["eins", "zwei."], [0, 1])
    second = attention(["three", "four."], ["vier", "drei."], [1, 0])
    content = content_of("one two. three <i>four</i>.")
    assert spelled(project(content, "eins zwei. vier drei.", [first, second])) == "eins zwei. <i>vier</i> drei."
    content = content_of("<b>one two. three four.</b> <i>five</i>")
    third = attention(["five"], ["fünf"], [0])
    assert spelled(project(content, "eins zwei. vier drei. fünf", [first, second, third])) == (
        "<b>eins zwei. vier drei.</b> <i>fünf</i>"
    )


def test_bytes_and_composed_characters_keep_their_place() -> None:
    source = ("▁a", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "▁b", "</s>")
    weights = np.eye(7, dtype=np.float32)
    same = AttentionMap(source, source, weights)
    assert spelled(project(content_of("a😀 <b>b</b>"), "a😀 b", [same])) == "a😀 <b>b</b>"
    decomposed = "e\u0301te\u0301 <b>un</b>"  # normalisation composes the letters
    assert spelled(project(content_of(decomposed), "été un", [attention(["été", "un"], ["été", "un"], [0, 1])])) == (
        "été <b>un</b>"
    )


@pytest.mark.parametrize(
    ("markup", "needed"),
    [
        ("plain", False), ("<b>all</b>", False), ("<x/>all<y/>", False), ("<b><i>all</i><x/></b>", False),
        ("a <b>b</b>", True), ("a <x/>b", True), ("<b>a <i>b</i></b>", True), ("a `b`", True),
        ("<b>a</b> <i>b</i>", True),
    ],
)  # fmt: skip
def test_attention_is_asked_for_only_where_it_decides(markup: str, needed: bool) -> None:
    assert needs_attention(content_of(markup)) == needed


def test_words_are_runs_of_one_kind() -> None:
    text = "Don't (stop) at 3.5 km/h, été! 日本語 กา हिन्दी"
    assert [text[a:b] for a, b in words_of(text)] == [
        "Don't", "(", "stop", ")", "at", "3", ".", "5", "km", "/", "h", ",", "été", "!", "日", "本", "語", "ก", "า",
        "हिन्दी",
    ]  # fmt: skip


def test_bytes_that_are_no_character_are_counted_like_sentencepiece_writes_them() -> None:
    """SentencePiece decodes these subwords to "e\ufffd\ufffd zeigt"."""
    spans, end = subword_spans(("▁e", "<0xE2>", "<0x86>", "▁zeigt"), 0)
    assert (spans, end) == ([(0, 1), (1, 3), (1, 3), (3, 8)], 8)

"""Protected spans: which there are, and that a translation keeps each of them."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copying import METADATA, TOKENIZER
from dragoman.runtime.alignment import AttentionMap
from dragoman.runtime.batching import pad
from dragoman.runtime.contract import PAD, Floats, Ids
from dragoman.runtime.documents.projection import words_of
from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.parts import PartSplitter
from dragoman.runtime.protection import (
    PATTERNS,
    count_in,
    emoji_spellings,
    hide,
    lost_spans,
    protected_spans,
    respell,
)
from dragoman.runtime.restoration import restored
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.runtime.translator import Translator
from write_fixtures import fixture

# Spans of each kind; and text that looks like one, and is none.
SPANS = {
    "url": ["https://x.org/a?b=1&c=%20d#e", "http://localhost:8080/", "ftp://a.b/c", "www.example.com/a-b", "file:///a/b",
            "example.org", "*.x-y.com", "a.example.net/b/c?d=1"],
    "e-mail": ["a.b+c@d-e.co.uk", "root@example.org"],
    "template": ["{{ user.name }}", "{% if x %}", "${HOME}", "{name}", "{0}", "{}", "{price:.2f}"],
    "format": ["%s", "%1$s", "%(count)d", "%-5d", "%.2f", "%lu", "%@", "%PRODUCTNAME", "%APPDATA%"],
    "variable": ["$HOME", "$user_name", "$x1", "$name$", "$A$1"],
    "tag": ["<br>", "</b>", '<a href="x">', '<a class="x" href=y/>', "<item/>", "<br />", "<img ...>",
            "<option selected>"],
    "path": ["/usr/bin/env", "~/.bashrc", "./run.sh", "../a/b", "C:\\Users\\me", "src/a/b.py", "a.html", "a-b.tar.gz",
             "a/b.tar.gz", "a\\b.png"],
    "version": ["1.2.3", "v1.2", "10.0.0.1", "2.0.0-rc1"],
    "mention": ["@name", "@a_b"],
    "hashtag": ["#topic", "#Straße"],
    "emoji": [":smile:", ":+1_a:", "🎉", "👩‍💻", "🇩🇪", "❤", "1⃣", "👍🏽"],
}  # fmt: skip
NO_SPANS = [
    "a < b and c > d", "50 % of it", "100% sure", "5% discount", "and/or", "1/2 km/h", "10:30", "10:30:45", "3.14",
    "No. 5", "US$ 5", "$5", "a@ b", "#1", "C#", "e.g. this", "He said: no.", "(a) b", "{a b}", "x*y",
    "end.Next", "1,000.5", "-", "", "#N/A", "#DIV/0!", "#NAME?", "<name of the file>", "a common.order", "a::b",
]  # fmt: skip
EVERY_SPAN = [span for spans in SPANS.values() for span in spans]
FIXTURE = fixture("protection")


def spans_of(text: str) -> list[str]:
    return [text[start:end] for start, end in protected_spans(text)]


def test_the_fixture_of_spans_holds() -> None:
    for case in FIXTURE["spans"]:
        text, spans = case["text"], protected_spans(case["text"], case["others"])
        assert [text[start:end] for start, end in spans] == case["spans"], case
        assert hide(text, spans)[0] == case["hidden"], case
        assert lost_spans(text, spans, case["target"]) == case["lost"], case


def test_the_fixture_of_emoji_holds() -> None:
    for case in FIXTURE["emoji"]:
        assert emoji_spellings(case["text"]) == case["spellings"], case
        assert respell(case["translation"], case["spellings"]) == case["respelled"], case


def test_the_fixture_of_restored_spans_holds() -> None:
    for case in FIXTURE["restored"]:
        source, weights = case["source"], np.array(case["weights"], np.float32)
        attention = AttentionMap(tuple(case["source_subwords"]), tuple(case["target_subwords"]), weights)
        text, found = restored(source, protected_spans(source), case["target"], attention)
        assert text == case["text"], case
        assert list(found.target_subwords) == case["restored_subwords"], case
        assert found.weights.tolist() == case["restored_weights"], case


def test_every_kind_has_spans() -> None:
    assert SPANS.keys() == PATTERNS.keys()


@pytest.mark.parametrize("span", EVERY_SPAN)
def test_a_span_is_found_in_a_sentence(span: str) -> None:
    for text in (span, f"Look at {span} now", f"({span})", f"See {span}, {span}!", f"It is {span}."):
        assert set(spans_of(text)) == {span}, text


@pytest.mark.parametrize("text", NO_SPANS)
def test_other_text_is_not_protected(text: str) -> None:
    assert spans_of(text) == []


@given(st.text(st.sampled_from("ab1 .:/\\@#$%{}<>()-_~é🎉\u200d\ufe0f,'\"&"), max_size=60))
def test_spans_are_in_order_and_apart(text: str) -> None:
    text = normalise(text)
    found = protected_spans(text, ["ab", "a b"])
    assert all(start < end for start, end in found)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(found))


@pytest.mark.parametrize(
    "unit", [*"aé1.:/@#$%{<~🎉", "a.", "a/", "a@", "1.", ":a", "@a.", "www.", "{a", "<a ", "%(", "a-.", "🎉\u200d"]
)
def test_long_runs_take_no_time(unit: str) -> None:
    """A quadratic search would take minutes."""
    protected_spans(unit * (400_000 // len(unit)))


@pytest.mark.parametrize(("start", "unit", "end"), [(":", "a", "!:"), ("%", "0", "!"), ("", "+/", ""), ("", "%/", "")])
def test_a_long_run_that_is_no_span_takes_no_time(start: str, unit: str, end: str) -> None:
    """A quadratic search would take minutes."""
    assert protected_spans(start + unit * 400_000 + end) == []


@given(st.lists(st.sampled_from([*EVERY_SPAN, *NO_SPANS, "word", "1.5", ":", "a.b"]), max_size=6).map(" ".join))
def test_signs_miss_no_span(text: str) -> None:
    text = normalise(text)
    every = re.compile("|".join(PATTERNS.values()))
    assert protected_spans(text) == [match.span() for match in every.finditer(text)]


def test_further_strings_are_protected_as_whole_words() -> None:
    text = "run ls or lsof, ls -l; see {ls}"
    assert [text[a:b] for a, b in protected_spans(text, ["ls", "ls -l", ""])] == ["ls", "ls -l", "{ls}"]
    assert count_in("ls lsof als ls", "ls") == 2
    assert lost_spans("a 🎉 b", [(2, 3)], "b 🎉🎉") == ["🎉"]


@pytest.mark.parametrize("span", ["https://a.org/b/c.html", "Node.js", "me@b.org", "/usr/b/lib", "{b}", "1.2.3"])
@pytest.mark.parametrize("other", ["b", ".", "a", "/", "js", "2"])
def test_a_string_within_a_span_leaves_it_whole(span: str, other: str) -> None:
    text = f"see {span} and {other} here"
    assert [text[start:end] for start, end in protected_spans(text, [other])] == [span, other]


def test_many_strings_and_spans_take_no_time() -> None:
    """A quadratic search would take minutes."""
    unit = "a https://a.org/b "
    assert len(protected_spans(unit * 30_000, ["a", "b"])) == 60_000


@given(st.data())
def test_restored_text_has_every_span_as_often_as_the_source(data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(["one", "two", *EVERY_SPAN]), min_size=1, max_size=8))
    source = normalise(" ".join(words))
    target = normalise(" ".join(data.draw(st.lists(st.sampled_from(["eins", "ein,", "(zwei)", *words]), max_size=8))))
    subwords = [[f"▁{word}" for word in text.split(" ") if word] + ["</s>"] for text in (source, target)]
    seed = data.draw(st.integers(0, 1 << 30))
    weights = np.random.default_rng(seed).random((len(subwords[1]), len(subwords[0]))).astype(np.float32)
    spans = protected_spans(source)
    text, found = restored(source, spans, target, AttentionMap(tuple(subwords[0]), tuple(subwords[1]), weights))
    assert lost_spans(source, spans, text) == []
    assert normalise(text) == text
    assert found.weights.shape == (len(found.target_subwords), len(subwords[0]))
    assert "".join(found.target_subwords).removesuffix("</s>").replace("▁", " ").strip() == text
    remaining = iter(target.split())
    assert all(word in remaining for word in text.split() if word in ("eins", "ein,", "(zwei)"))  # in the same order


@pytest.mark.parametrize(
    ("source", "target", "links", "expected"),
    [
        # Text that has not changed keeps its spaces.
        ("{a} X509", "{b} X509", [0, 0, 0, 1], "{a} X509"),
        # No word touches a span. A hyphen makes a compound.
        ("a {a} b {b}", "x yz", [0, 2], "x {a} yz {b}"),
        ("use {a}, {b} now", "nutzen uv", [0, 1], "nutzen {a} {b}"),
        ("the {name} window", "das Name-Fenster", [0, 1, 2, 2], "das {name}-Fenster"),
        # Spans without words of their own keep their order.
        ("use {a} {b}", "nutzen uv", [0, 2], "nutzen {a} {b}"),
        # A span is not put into another one.
        ("{a} one 1.2.3", "1.2.3", [2, 2, 2, 2, 2], "{a} 1.2.3"),
        ("a.org b@a.org", "b@a.org", [1, 1, 1, 0, 0], "a.org b@a.org"),
        # Marks beside a span in the source stay.
        ('go "{a}" now', 'geh "x" jetzt', [0, 1, 1, 1, 2], 'geh "{a}" jetzt'),
        ("see {a}.", "siehe x.", [0, 1, 1], "siehe {a}."),
        ("see ({a}) now", "siehe (x) jetzt", [0, 1, 1, 1, 2], "siehe ({a}) jetzt"),
        # No piece of a wrong copy stays.
        ("the '%NAME' field", "Feld '%FELD'", [2, 1, 0, 1, 1], "Feld '%NAME'"),
        ("open a.txt now", "öffne b.txt jetzt", [0, 1, 0, 0, 2], "öffne a.txt jetzt"),
        # A span without words of its own comes before the full stop.
        ("it is at {a}", "es ist dort.", [0, 1, 2, 2], "es ist dort {a}."),
    ],
)  # fmt: skip
def test_a_restored_span_fits_its_place(source: str, target: str, links: list[int], expected: str) -> None:
    """links: the source word that each word of the target attends to."""
    source_words, target_words = source.split(), [target[start:end] for start, end in words_of(target)]
    starts = [start for start, _ in words_of(target)]
    subwords = [
        ("▁" if target[start - 1 : start] in ("", " ") else "") + word
        for start, word in zip(starts, target_words, strict=True)
    ]
    weights = np.zeros((len(subwords) + 1, len(source_words) + 1), np.float32)
    weights[np.arange(len(links)), links] = 1
    weights[-1, -1] = 1
    attention = AttentionMap((*(f"▁{word}" for word in source_words), "</s>"), (*subwords, "</s>"), weights)
    text, found = restored(source, protected_spans(source), target, attention)
    assert text == expected
    assert "".join(found.target_subwords).removesuffix("</s>").replace("▁", " ").strip() == text


@pytest.mark.parametrize("end", ["\u0601", "\u06dd", "\u0601 \u06dd", "a \u0601"])
@pytest.mark.parametrize("closing", [(), ("</s>",)])
def test_a_translation_may_end_in_a_word_without_visible_characters(end: str, closing: tuple[str, ...]) -> None:
    source, target = "see {x} three", f"(x) {end}"
    subwords = (*(f"▁{word}" for word in source.split()), "</s>"), (*(f"▁{w}" for w in target.split()), *closing)
    weights = np.full(tuple(len(side) for side in reversed(subwords)), 1 / len(subwords[0]), np.float32)
    text, _ = restored(source, protected_spans(source), target, AttentionMap(*subwords, weights))
    assert text.count("{x}") == 1
    assert text.endswith(end[-1])


class ChangingEngine:
    """An engine whose hypotheses are changes of the source text. Each subword attends to the source as far along."""

    def __init__(self, *changes: Callable[[str], str]) -> None:
        self.changes = changes
        self.n_runs = 0

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, n_aligned: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        self.n_runs += 1
        rows = []
        for ids in source:
            text = TOKENIZER.decode(ids.tolist())
            for k in range(beam_size):
                rows.append(TOKENIZER.encode(self.changes[min(k, len(self.changes) - 1)](text)))
        target, _ = pad(rows)
        batch, length = len(source), target.shape[1]
        weights = np.zeros((batch, beam_size, length, source.shape[1]), np.float32)
        for b in range(batch):
            for t in range(length):
                weights[b, :, t, min(t, int(source_length[b]) - 1)] = 1
        score = np.tile(-np.arange(beam_size, dtype=np.float32) - 0.5, (batch, 1))
        return target.reshape(batch, beam_size, length), score, weights[:, :n_aligned]


def translator_of(*changes: Callable[[str], str], attention: str = "dot", beam: int = 2) -> Translator:
    metadata = replace(
        METADATA, config={"model": {"attention": attention}}, max_source=60, max_sentences=1,
        defaults={**METADATA.defaults, "beam_size": beam},
    )  # fmt: skip
    return Translator(ChangingEngine(*changes), metadata)


def without(span: str) -> Callable[[str], str]:
    return lambda text: " ".join(text.replace(span, "").split())


def test_a_kept_span_costs_no_second_search() -> None:
    translator = translator_of(str)
    assert translator.translate("copy {name} this").text == "copy {name} this"
    assert isinstance(translator.engine, ChangingEngine)
    assert translator.engine.n_runs == 1


def test_a_hypothesis_that_keeps_the_span_is_preferred() -> None:
    translator = translator_of(without("{name}"), str)
    found = translator.translate("copy {name} this")
    assert found.text == "copy {name} this"
    assert found.score == -1.5
    assert translator.translate("copy this").score == -0.5


@pytest.mark.parametrize("span", EVERY_SPAN)
def test_a_lost_span_is_put_back(span: str) -> None:
    source = f"copy {span} this line"
    for change in (
        without(normalise(span)),
        lambda text: text + " " + normalise(span),
        lambda text: "line",
        lambda text: "",
    ):
        for beam in (1, 3):
            found = translator_of(change, beam=beam).translate(source)
            assert count_in(found.text, span) == 1, found.text
            assert found.untranslated == ()


def test_alignments_of_a_repaired_translation_are_of_its_words() -> None:
    found = translator_of(without("{a}")).translate("copy {a} this", alignments=True)
    assert "{a}" in found.text.split()
    assert {t for _, t in found.alignment} <= {*range(len(found.text.split()))}
    assert (1, found.text.split().index("{a}")) in found.alignment


def test_n_best_hypotheses_all_keep_the_span() -> None:
    found = translator_of(lambda text: "number", str, lambda text: "line", beam=3).translate("copy {a} this", n_best=3)
    assert len(found.hypotheses) == 3
    assert all(count_in(hypothesis.text, "{a}") == 1 for hypothesis in found.hypotheses)


@pytest.mark.parametrize(
    "changes",
    [
        (without("{a}"), str, without("{a}")),
        (str, without("{a}"), without("{a}")),
        (without("{a}"), without("{a}"), str),
        (without("{a}"), without("{a}"), without("copy")),
    ],
)
def test_further_hypotheses_do_not_change_the_best_one(changes: tuple[Callable[[str], str], ...]) -> None:
    translator = translator_of(*changes, beam=3)
    text = "copy {a} this. copy {a} line"
    best = translator.translate(text, alignments=True)
    for n_best in (2, 3):
        found = translator.translate(text, beam=3, n_best=n_best, alignments=True)
        assert (found.text, found.alignment) == (best.text, best.alignment)
        scores = [hypothesis.score for hypothesis in found.hypotheses]
        assert scores == sorted(scores, reverse=True)


def test_without_attention_the_part_stays_in_the_source_language() -> None:
    found = translator_of(lambda text: "line", attention="none").translate("copy {a}. And this!")
    assert found.text == "copy {a}. line"
    assert found.untranslated == ("copy {a}.",)


@pytest.mark.parametrize("emoji", ["❤️", "1️⃣", "🏳️‍🌈", "☀️", "❤️‍🔥"])
def test_emoji_keep_their_spelling(emoji: str) -> None:
    """Normalisation removes the selector, which says that an emoji is a coloured picture."""
    for change in (str, lambda text: "line", lambda text: " ".join(text.split()[::-1])):
        found = translator_of(change).translate(f"copy {emoji} this. And {emoji}!")
        assert found.text.count(emoji) == 2, found.text
    assert translator_of(str).translate("copy ❤ and ❤️").text == "copy ❤️ and ❤️"  # one spelling a line


def test_batches_do_not_matter() -> None:
    generator = random.Random(0)
    texts = [" ".join(generator.sample(["copy", "line", *EVERY_SPAN], 4)) for _ in range(60)]
    translator = translator_of(lambda text: text[: len(text) // 2], str.upper, beam=2)
    assert translator.translate(texts) == [translator.translate(text) for text in texts]
    assert translator.translate(texts, batch_size=3) == translator.translate(texts)


def test_padding_is_no_text() -> None:
    assert PAD not in TOKENIZER.encode("copy")


def test_strings_to_keep_belong_to_their_text() -> None:
    translator = translator_of(without("line"), without("line"))
    texts = ["copy line", "copy line"]
    assert [found.text for found in translator.translate(texts, protected=[["line"], []])] == ["copy line", "copy"]
    assert translator.translate("copy line", protected=["line"]).text == "copy line"
    with pytest.raises(UserError, match="`protected` has strings for 1 text and should have them for 2 texts"):
        translator.translate(texts, protected=[["line"]])
    with pytest.raises(UserError, match="must be a str"):
        translator.translate("copy", protected=[3])  # type: ignore[list-item]  # not a str
    for wrong in ("line", None, 3):
        with pytest.raises(UserError, match="for several texts, give a list with the strings of each text"):
            translator.translate(texts, protected=wrong)  # type: ignore[arg-type]  # no lists of str


@pytest.mark.parametrize("n", [10, 50, 200])
@pytest.mark.parametrize("text", ["{}", "see {} here", "see it. {}, {{x}} and {} are 2.", "{} {{x}} {}", "{}.\n{}"])
def test_a_span_that_is_longer_than_a_part_is_kept_in_fragments(text: str, n: int) -> None:
    span = "https://example.org/" + "/".join(f"copy-{i}" for i in range(n)) + "/end"
    text = text.format(span, span)
    tokenizer = Tokenizer(METADATA.source_tokenizer, METADATA.normalisation)
    parts = PartSplitter(METADATA, tokenizer).split(text)
    assert "".join(part.text + part.separator for part in parts) == text
    kept = [part.text[start:end] for part in parts for start, end in part.protected]
    assert "".join(kept) == "".join(text[start:end] for start, end in protected_spans(text))

"""Placeholders in training pairs, and a translator whose tokenizer has them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copying import METADATA
from dragoman.runtime.batching import pad
from dragoman.runtime.contract import EOS, Floats, Ids
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.protection import PLACEHOLDERS, count_in, hide, protected_spans, show
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.runtime.translator import Translator
from dragoman.translate.config import TokenizerConfig
from dragoman.translate.encoding.placeholders import MIN_PAIRS, has_enough_placeholders, with_placeholders
from dragoman.translate.encoding.subwords import train_tokenizer

LINES = [f"copy this line, number {i}. And that one!" for i in range(80)]
WORDS = ["one", "and", "Java", "PDF", "https://x.org/a", "{name}", "%1$s", "🎉", "2022", "report.html", "@me"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(LINES, TokenizerConfig(), 340, PLACEHOLDERS)


def symbols(text: str) -> list[str]:
    return [character for character in text if character in PLACEHOLDERS]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_both_sides_have_the_same_placeholders(words: list[str], random: object) -> None:
    source = " ".join(words)
    random.shuffle(words)  # type: ignore[attr-defined]  # a Random
    target = " und ".join(words)
    pair = with_placeholders(source, target)
    assert with_placeholders(source, target) == pair
    assert sorted(symbols(pair[0])) == sorted(symbols(pair[1]))
    assert symbols(pair[0]) == [*PLACEHOLDERS[: len(symbols(pair[0]))]]  # numbered in the order of the source
    spans = protected_spans(source)
    assert len(symbols(pair[0])) >= min(len(spans), len(PLACEHOLDERS))
    literal = re.split(f"[{''.join(PLACEHOLDERS)}]", pair[0])
    found = re.fullmatch(r"(\S+)".join(map(re.escape, literal)), source)
    assert found
    hidden = dict(zip(symbols(pair[0]), found.groups(), strict=True))
    assert show(pair[1], hidden).split() == target.split()


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("see https://x.org", "siehe da"),
        ("{a} and {a}", "{a}"),
        ("plain text", "einfacher Text"),
        ("", ""),
        (f"{{a}} {PLACEHOLDERS[0]}", f"{{a}} {PLACEHOLDERS[0]}"),
        ("{a}", f"{{a}} {PLACEHOLDERS[3]}"),
    ],
)
def test_a_span_of_one_side_alone_stays(source: str, target: str) -> None:
    assert with_placeholders(source, target) == (source, target)


def test_a_share_of_names_becomes_placeholders() -> None:
    pairs = [(f"line {i} of Java and die", f"Zeile {i} von Java und die") for i in range(2000)]
    changed = [with_placeholders(*pair) for pair in pairs]
    names = sum("Java" not in source for source, _ in changed)
    assert 40 <= names <= 160  # about 5 %
    assert all(count_in(source, "die") == 1 for source, _ in changed)  # a short word may be another one


def test_few_pairs_are_not_enough() -> None:
    pairs = [("see {a}", "siehe {a}")] * MIN_PAIRS
    assert has_enough_placeholders(pairs)
    assert not has_enough_placeholders(pairs[1:])


def test_a_vocabulary_shows_its_placeholders(tokenizer: Tokenizer) -> None:
    assert tokenizer.has_placeholders
    plain = train_tokenizer(LINES, TokenizerConfig(), 330)
    assert not plain.has_placeholders
    by_chance = train_tokenizer(
        [*LINES, *(f"{symbol} {symbol}" * 20 for symbol in PLACEHOLDERS[:3])], TokenizerConfig(), 340
    )
    assert not by_chance.has_placeholders
    for symbol in PLACEHOLDERS:
        assert len(tokenizer.encode(f"a{symbol}.")) == len(tokenizer.encode("a.")) + 1
        assert normalise(symbol) == symbol


class ReversingEngine:
    """An engine whose only hypothesis has the source's subwords in reverse. The attention says so."""

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, n_aligned: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        self.source = source
        rows = [[*ids[: n - 1][::-1], EOS] for ids, n in zip(source.tolist(), source_length.tolist(), strict=True)]
        target, _ = pad(rows)
        weights = np.zeros((len(rows), 1, target.shape[1], source.shape[1]), np.float32)
        for b, n in enumerate(source_length.tolist()):
            weights[b, 0, np.arange(n), [*range(n - 2, -1, -1), n - 1]] = 1
        return target[:, None], np.zeros((len(rows), 1), np.float32), weights[:, :, :, :][:, :n_aligned]


def test_a_translator_hides_spans_and_shows_them_again(tokenizer: Tokenizer) -> None:
    engine = ReversingEngine()
    metadata = replace(
        METADATA, source_tokenizer=tokenizer.model, target_tokenizer=tokenizer.model, config={"model": {}}
    )
    translator = Translator(engine, metadata)
    found = translator.translate("copy {user_name}. https://example.org/a/very/long/path!", beam=1, alignments=True)
    assert "{user_name}" in found.text
    assert "https://example.org/a/very/long/path" in found.text
    assert not symbols(found.text)
    assert len(engine.source[0]) < 12  # each span is one id
    subwords = found.attention[0].source_subwords, found.attention[0].target_subwords
    assert all("{user_name}" in side for side in subwords)
    assert translator.translate(PLACEHOLDERS[1] + " {a}", beam=1).text.count("{a}") == 1


def test_more_spans_than_placeholders_are_all_kept(tokenizer: Tokenizer) -> None:
    metadata = replace(
        METADATA, source_tokenizer=tokenizer.model, target_tokenizer=tokenizer.model, config={"model": {}},
        max_source=200,
    )  # fmt: skip
    text = " ".join(f"{{v{i}}}" for i in range(len(PLACEHOLDERS) + 4))
    found = Translator(ReversingEngine(), metadata).translate(text, beam=1)
    assert sorted(found.text.split()) == sorted(text.split())


@given(st.text(st.sampled_from("ab {}%s/.🎉" + PLACEHOLDERS[0] + PLACEHOLDERS[7]), max_size=30))
def test_what_is_hidden_is_shown_again(text: str) -> None:
    text = normalise(text)
    hidden_text, hidden = hide(text, protected_spans(text))
    assert show(hidden_text, hidden) == text

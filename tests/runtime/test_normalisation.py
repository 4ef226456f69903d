"""Tests of text normalisation and of the ends of sentences, against the fixtures that hosts in other languages read."""

from __future__ import annotations

import random
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.runtime import normalisation
from dragoman.runtime.metadata import Metadata, ModelFileError
from dragoman.runtime.normalisation import VERSION, normalise
from dragoman.runtime.segmentation import count_sentences, split_text
from dragoman.runtime.translator import Translator
from tiny import ROOT
from write_fixtures import FIXTURES, UNITS, fixture

CASES: list[dict[str, str]] = fixture("normalisation")

SPACES = [chr(c) for c in range(0x110000) if chr(c).isspace() and chr(c) not in "\x1c\x1d\x1e\x1f"]
INVISIBLE = ["\u200b", "\u2060", "\u200e", "\u200f", "\u00ad", "\ufe0e", "\ufe0f", "\U000e0100", "\ufeff", "\u061c",
             "\u202a", "\u202e", "\u2066", "\u2069", "\u034f", "\u2063", "\u3164", "\U000e0041"]  # fmt: skip


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_the_fixture_holds(version: int) -> None:
    for case in CASES:
        assert normalise(case["text"], version) == case[str(version)], ascii(case["text"])


def test_the_fixture_of_slices_holds() -> None:
    for case in fixture("splitting"):
        limits = UNITS[case["unit"]], case["limit"], case["max_sentences"], case["language"]
        assert [list(slice_) for slice_ in split_text(case["text"], *limits)] == case["slices"], case
        assert count_sentences(case["text"], case["language"]) == case["sentences"], case


def test_the_short_cut_for_usual_characters_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = [c for c in map(chr, range(0x110000)) if normalisation._PLAIN.fullmatch(c)]
    assert {*"aZ0~äßÿžЯё„”"} <= {*usual}
    assert not any(map(unicodedata.combining, usual))  # so each is on its own to NFC, and pairs show what neighbours do
    texts = [f"{c}{usual[-1 - i]} {c}" for i, c in enumerate(usual)] + ["".join(usual)]
    short = [normalise(text) for text in texts]
    monkeypatch.setattr(normalisation, "_PLAIN", re.compile("(?!)"))
    assert [normalise(text) for text in texts] == short == texts


@given(st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1), min_size=1), st.data())
def test_every_unicode_space_is_a_plain_space(words: list[str], data: st.DataObject) -> None:
    spaces = data.draw(st.lists(st.sampled_from(SPACES), min_size=len(words), max_size=len(words)))
    spaced = "".join(word + space for word, space in zip(words, spaces, strict=True))
    assert normalise(spaced) == normalise(" ".join(words))
    assert normalise("".join(spaces)) == ""


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters=["\ufe0f"])), st.data())
def test_invisible_characters_are_as_if_absent(text: str, data: st.DataObject) -> None:
    text = re.sub("[\u1820-\u18aa]", "", text)  # a selector after a Mongolian letter is kept
    for _ in range(3):
        position = data.draw(st.integers(0, len(text)))
        changed = text[:position] + data.draw(st.sampled_from(INVISIBLE)) + text[position:]
        assert normalise(changed) == normalise(text)


@pytest.mark.parametrize("character", [*INVISIBLE, "\u200c", "\u200d", "\u180e", *SPACES])
def test_a_line_of_invisible_characters_is_empty(character: str) -> None:
    assert normalise(character * 3) == normalise(f" {character} ") == ""


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: I want
        "\u0646\u0645\u06cc\u200c\u062f\u0627\u0646\u0645",  # Persian: I do not know
        "\u0915\u094d\u200d\u0937",  # Devanagari half form
        "\u0915\u094d\u200c\u0937",  # Devanagari explicit virama
        "\u09b0\u200d\u09cd\u09af\u09be",  # Bengali ya-phalaa after ra
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala
        "\u0d28\u0d4d\u200d",  # Malayalam chillu in its older spelling
        "\u0647\u200d",  # Arabic abbreviation of Hijri
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # flag of Scotland
    ],
)
def test_joiners_stay_where_a_script_needs_them(text: str) -> None:
    assert normalise(f"a {text} b") == f"a {text} b"


JOINED = [chr(c) for c in (0x61, 0x301, 0x323, 0x627, 0x653, 0x93C, 0x94D, 0x915, 0x9BE, 0x9C7, 0x1820, 0x180B, 0x2764)]


@given(st.text(st.sampled_from([*JOINED, "\u200c", "\u200d", "\u200b", " ", "\xa0"])))
def test_normalisation_is_stable_around_joiners(text: str) -> None:
    normalised = normalise(text)
    assert normalise(normalised) == normalised
    assert unicodedata.is_normalized("NFC", normalised)


def test_a_file_keeps_its_version(tiny_file: Path) -> None:
    new = Translator.load(tiny_file)
    assert new.metadata.normalisation == VERSION
    old = Translator.load(ROOT / "tests" / "files" / "0.1.0.onnx")
    assert old.metadata.normalisation == old.source_tokenizer.normalisation == old.target_tokenizer.normalisation == 1
    given_text, plain = "\u200b1\u00a02\u20033\ufe0f", "1 2 3"
    assert new.source_tokenizer.encode(given_text) == new.source_tokenizer.encode(plain)
    assert old.source_tokenizer.encode(given_text) != old.source_tokenizer.encode(plain)
    assert new.translate(given_text) == new.translate(plain)
    assert new.translate("\u200b\u00ad\u200e").text == ""


def test_a_version_of_the_future_is_refused(tiny_file: Path) -> None:
    props = Translator.load(tiny_file).metadata.to_props()
    with pytest.raises(ModelFileError, match=f"normalised by version {VERSION + 1} of the rules.*newer version"):
        Metadata.from_props({**props, "dragoman.normalisation": str(VERSION + 1)})


def sentence_cases() -> list[tuple[str, str, list[str]]]:
    """Return language, text and sentences of each line of the list; the last of a text's sentences ends with it."""
    cases, language = [], ""
    for line in (FIXTURES / "sentences.txt").read_text("utf-8").splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            language = heading[1]
        elif line and not line.startswith("#"):
            text = line.replace(" | ", " ").replace("|", "")
            cases.append((language, text, [sentence.strip() for sentence in line.split("|")]))
    return cases


# What a reader sees and the rules do not: it takes the meaning of the words.
UNSOLVED = {"Well… I do not know.", "Die Firma Meier & Co. KG ist pleite.", "“为什么？”他问。", "انتظر… لا أعرف."}


def test_sentences_are_those_that_a_reader_sees() -> None:
    cases = sentence_cases()
    assert len(cases) >= 200
    assert len({language for language, _, _ in cases}) >= 12
    for language, text, sentences in cases:
        found = [segment.text for segment in split_text(text, len, 10_000, 1, language) if segment.text]
        assert (found == sentences) != (sentences[0] in UNSOLVED), (language, found)
        assert count_sentences(text, language) == len(found)


@given(st.integers(0, 10_000), st.sampled_from(["en", "de", "fr", "ja", "el", "hy", "xx", ""]))
def test_parts_of_nasty_text_give_it_again(seed: int, language: str) -> None:
    draw = random.Random(seed)
    words = [
        *"aAéÄ私と5Ii",
        "Dr",
        "3",
        "U.S",
        "z.B",
        "т",
        "...",
        ". . .",
        "?!",
        "。",
        "」",
        "»",
        "« ",
        "(",
        ")",
        ";",
        ":",
    ]
    text = normalise(
        "".join(draw.choice(words) + draw.choice(["", " ", ". ", "."]) for _ in range(draw.randint(0, 40)))
    )
    segments = split_text(text, len, draw.randint(8, 60), draw.choice([None, 1, 2]), language)
    assert "".join(segment.text + segment.separator for segment in segments) == text

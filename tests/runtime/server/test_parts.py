"""The small parts of the server: downloads, detection, and the confidence of words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.runtime.confidence import word_confidences
from dragoman.runtime.parts import Part
from dragoman.runtime.server import downloads
from dragoman.runtime.server.detection import Detector
from dragoman.runtime.server.downloads import Downloads
from dragoman.runtime.translation import Hypothesis


def part(*hypotheses: tuple[str, float], separator: str = " ") -> Part:
    return Part("source", separator, [5], separator, [Hypothesis(text, score) for text, score in hypotheses])


def words(text: str) -> int:
    return len(text.split())


def test_confidence_is_the_probability_of_a_word() -> None:
    even = part(("a b c d", -1.0), ("a x c d", -1.0))
    assert word_confidences([even], words, 1.0) == pytest.approx([1.0, 0.5, 1.0, 1.0])
    assert word_confidences([part(("a b", -1.0))], words, 1.0) == [1.0, 1.0]
    sure = part(("a b", -0.1), ("a x", -5.0))
    assert 0.99 < word_confidences([sure], words, 1.0)[1] < 1


def test_scores_are_weighed_by_their_length() -> None:
    """Normalised by length, both score the same. The longer one is less probable."""
    short, long = part(("a", -1.0), ("b c d e", -1.0)), part(("b c d e", -1.0), ("a", -1.0))
    assert word_confidences([short], words, 1.0)[0] > 0.9
    assert max(word_confidences([long], words, 1.0)) < 0.1
    assert word_confidences([short], words, 0.0) == [0.5]


def test_words_of_several_parts_are_counted_as_in_the_text() -> None:
    parts = [part(("a b", 0.0)), Part("", "\n", [], "\n"), part(("c", 0.0), separator=""), part(("d e", 0.0))]
    text = "".join((p.hypotheses[0].text if p.hypotheses else "") + p.target_separator for p in parts)
    assert len(word_confidences(parts, words, 1.0)) == words(text) == 4


@given(
    st.lists(
        st.tuples(st.text("ab ", max_size=12), st.floats(-20, 0)), min_size=1, max_size=5, unique_by=lambda h: h[0]
    )
)
def test_confidence_is_a_probability(hypotheses: list[tuple[str, float]]) -> None:
    hypotheses.sort(key=lambda h: -h[1])
    found = word_confidences([part(*hypotheses)], words, 1.0)
    assert len(found) == words(hypotheses[0][0])
    assert all(0 <= confidence <= 1 for confidence in found)


def test_downloads_expire_and_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "KEPT_BYTES", 100)
    now = 0.0
    kept = Downloads(lambda: now)
    keys = [kept.add(f"{i}.txt", bytes(40)) for i in range(3)]
    assert [kept.find(key) is not None for key in keys] == [False, True, True]
    large = kept.add("large.txt", bytes(1000))
    found = kept.find(large)
    assert found
    assert len(found.data) == 1000
    assert kept.find(keys[2]) is None
    now = downloads.KEPT_SECONDS - 1
    assert kept.find(large)
    now += 2
    assert kept.find(large) is None
    assert kept.find("../../etc/passwd") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a b.txt", "a_b.txt"), ("../../x.txt", "_.._x.txt"), (".hidden", "hidden"), ("", "document"), ("ä.txt", "ä.txt")],
)
def test_names_of_downloads_are_plain(name: str, expected: str) -> None:
    kept = Downloads()
    key = kept.add(name, b"")
    found = kept.find(key)
    assert found
    assert found.name == expected
    assert "/" not in key
    assert "\n" not in Downloads().add("a\r\nb" * 100, b"")


SENTENCES = {
    "en": "The weather is fine today and we are going for a walk.",
    "de": "Das Wetter ist heute schön und wir machen einen Spaziergang.",
    "fr": "Il fait beau aujourd'hui et nous allons nous promener.",
    "pt-BR": "O tempo está bom hoje e nós vamos passear.",
    "nb": "Været er fint i dag, og vi skal gå en tur.",
    "zh": "今天天气很好，我们去散步。",
    "ru": "Сегодня хорошая погода, и мы идём гулять.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_are_detected(language: str) -> None:
    best, *others = Detector().detect(SENTENCES[language], SENTENCES)
    assert best.language == language
    assert best.confidence > 30  # Danish is like Norwegian
    assert all(other.confidence < best.confidence for other in others)


def test_text_of_no_language_has_no_confidence() -> None:
    detector = Detector()
    for text in ("", "12 34", "\U0001f600", " \n"):
        assert [(d.language, d.confidence) for d in detector.detect(text, ["de", "en"])] == [("de", 0), ("en", 0)]
    french = detector.detect(SENTENCES["fr"], ["en", "de", "qaa"])
    assert [found.confidence for found in french] == [0, 0, 0]

"""Detection of a text's language among those that the models translate from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from dragoman.runtime.languages import parse_language

MAX_CHARACTERS = 5000  # of a text that are looked at


class Detected(NamedTuple):
    """A detected language.

    Attributes:
        language: Its tag.
        confidence: Probability in percent, among the 139 languages that py3langid knows.
    """

    language: str
    confidence: int

    def answer(self) -> dict[str, object]:
        """Return the language and its confidence as they stand in an answer."""
        return {"confidence": self.confidence, "language": self.language}


class Detector:
    """A detector of languages: py3langid's naive Bayes classifier of byte n-grams.

    Source: Lui and Baldwin, 2012, langid.py: An Off-the-shelf Language Identification Tool.
    """

    def __init__(self) -> None:
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._labels = {str(label) for label in self._identifier.labels}
        self._label_of = lru_cache(4096)(self._find_label)

    def detect(self, text: str, languages: Iterable[str]) -> list[Detected]:
        """Return languages by their probability for a text, the most likely first.

        A language that the detector does not know has no confidence. So has every language for a text without
        letters. Such languages keep their order.

        Args:
            text: A text.
            languages: Tags of the languages to choose from.
        """
        text = text[:MAX_CHARACTERS]
        probability: dict[str, float] = {}
        if any(character.isalpha() for character in text):
            probability = {label: float(value) for label, value in self._identifier.rank(text)}
        found = [Detected(tag, round(100 * probability.get(self._label_of(tag), 0.0))) for tag in languages]
        return sorted(found, key=lambda each: -probability.get(self._label_of(each.language), 0.0))

    def _find_label(self, tag: str) -> str:
        """Return the detector's label for a language, or nothing."""
        language = parse_language(tag).language
        candidates = {label for label in self._labels if parse_language(label).language == language}
        return language if language in self._labels else min(candidates, default="")

"""Results of a translator: a translation and its hypotheses."""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.runtime.alignment import AttentionMap


@dataclass(frozen=True)
class Hypothesis:
    """One of the n best translations of a text.

    Attributes:
        text: The translation.
        score: Log-probability / length ** length_penalty, averaged over the parts of the text. Higher is better.
        complete: False if a part reached its length limit before the model closed the sentence with `</s>`. The limit
            is `max_length`, or the file's own limit, a multiple of the source length, if that is less.
    """

    text: str
    score: float
    complete: bool = True


@dataclass(frozen=True)
class Translation:
    """The translation of a text.

    Attributes:
        text: The best translation; empty for a text with nothing to translate.
        score: Its score; see Hypothesis.
        complete: False if a part reached its length limit, so that the end of its translation may be missing.
        alignment: (source word, target word) pairs, both counted from 0. Words are separated by spaces (U+0020) and
            line breaks. Empty unless `alignments=True` was given.
        attention: The attention of each translated part. Empty unless `alignments=True` was given.
        hypotheses: The n best different translations, best first. There are fewer if the beam holds no more texts.
        parts: The number of parts that were translated separately, because the text is long or has several lines
            or sentences.
        untranslated: Parts that stand in the translation as they stood in the source, because no translation kept
            their protected spans.

    Example:
        >>> translation = translator.translate("two dogs run", n_best=2, alignments=True)
        >>> translation.text, translation.score, translation.alignment
        >>> [hypothesis.text for hypothesis in translation.hypotheses]
    """

    text: str
    score: float = 0.0
    complete: bool = True
    alignment: tuple[tuple[int, int], ...] = ()
    attention: tuple[AttentionMap, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    parts: int = 1
    untranslated: tuple[str, ...] = ()

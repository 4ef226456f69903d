"""Scores with their signatures: BLEU, chrF and TER by sacreBLEU.

There are two evaluation protocols, `cased` and `lc.tok`. Their scores must never be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import regex
import sacrebleu
from sacremoses import MosesPunctNormalizer, MosesTokenizer

from dragoman.runtime.errors import UserError
from dragoman.runtime.segmentation import UNSPACED
from dragoman.translate.corpus.builders.algorithms import length_of
from dragoman.translate.corpus.languages import primary

EvaluationProtocol = Literal["cased", "lc.tok"]


HANGUL = regex.compile(r"\p{Hangul}")


NO_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")


IDEOGRAPHIC = {"zh", "yue", "ja"}  # whose characters sacreBLEU's TER can count as words


TOKENIZERS = {**dict.fromkeys(UNSPACED, "char"), "zh": "zh", "yue": "zh", "ko": "char"}  # for what 13a cannot tokenise


@dataclass(frozen=True)
class Score:
    """A number and everything needed to know what it means."""

    metric: str
    score: float
    signature: str  # sacreBLEU's; of other scores, what they were counted on
    protocol: str  # a EvaluationProtocol; of other scores, the task


def lowercase_tokenised(lines: Sequence[str], language: str) -> list[str]:
    """The protocol `lc.tok`: lower-cased, punctuation-normalised, Moses-tokenised, as in the published Multi30k scores."""
    code = primary(language)
    punctuation, tokenizer = MosesPunctNormalizer(lang=code), MosesTokenizer(lang=code)
    return [tokenizer.tokenize(punctuation.normalize(line).lower(), return_str=True, escape=True) for line in lines]


def prepared(lines: Sequence[str], language: str, protocol: EvaluationProtocol) -> list[str]:
    """Text as a protocol wants it."""
    return lowercase_tokenised(lines, language) if protocol == "lc.tok" else [*lines]


def check_protocol(language: str, protocol: EvaluationProtocol) -> None:
    """Raise UserError for `lc.tok` of a language written without spaces, where Moses makes one word of a sentence."""
    if protocol == "lc.tok" and primary(language) in UNSPACED:
        raise UserError(f"--protocol lc.tok cuts text at spaces, and {language} is written without; use cased")


def metrics_of(language: str, protocol: EvaluationProtocol, *, ter: bool = True) -> dict[str, Any]:
    """sacreBLEU's metrics by name, for text that is `prepared`; no TER where it could not tell words.

    Raises UserError as `check_protocol` does.
    """
    check_protocol(language, protocol)
    code = primary(language)
    if protocol == "lc.tok":
        bleu = sacrebleu.BLEU(tokenize="none", force=True)
    else:
        bleu = sacrebleu.BLEU(tokenize=TOKENIZERS.get(code, "13a"))
    metrics = {"BLEU": bleu, "chrF": sacrebleu.CHRF()}
    if ter and (code in IDEOGRAPHIC or code not in UNSPACED):
        asian = code in IDEOGRAPHIC and protocol == "cased"
        metrics["TER"] = sacrebleu.TER(normalized=asian, asian_support=asian)
    return metrics


def score(
    output: Sequence[str],
    reference: Sequence[str],
    language: str,
    protocol: EvaluationProtocol = "cased",
    *,
    ter: bool = True,
) -> list[Score]:
    """BLEU, chrF and (slower) TER of translations against one reference each.

    `cased` is what sacreBLEU does to detokenised text. `lc.tok` is for comparison with published Multi30k scores.
    """
    output, reference = prepared(output, language, protocol), prepared(reference, language, protocol)
    results = []
    for name, metric in metrics_of(language, protocol, ter=ter).items():
        value = metric.corpus_score(output, [reference]).score
        results.append(Score(name, round(value, 3), str(metric.get_signature()), protocol))
    return results


def sentence_chrf(text: str, reference: str) -> float:
    """chrF of one line, 0 to 100: of the metrics, the one that means most for a single sentence, in every script."""
    return float(sacrebleu.sentence_chrf(text, [reference]).score)


def exact_by_length(source: Sequence[str], output: Sequence[str], reference: Sequence[str]) -> list[dict[str, Any]]:
    """For each length of a task: how many lines have it, and how many of 100 of these are exactly as expected."""
    right: dict[int, list[bool]] = {}
    for line, found, expected in zip(source, output, reference, strict=True):
        right.setdefault(length_of(line), []).append(found == expected)
    return [
        {"length": length, "lines": len(own), "exact": round(100 * sum(own) / len(own), 2)}
        for length, own in sorted(right.items())
    ]


def within_and_beyond(exact: Sequence[dict[str, Any]], trained_to: int) -> dict[str, float | None]:
    """Of `exact_by_length`, how many of 100 lines are right up to the trained length, and of the longer ones."""
    shares: dict[str, float | None] = {}
    for where, beyond in (("within", False), ("beyond", True)):
        own = [e for e in exact if (e["length"] > trained_to) == beyond]
        lines = sum(e["lines"] for e in own)
        shares[where] = sum(e["exact"] * e["lines"] for e in own) / lines if lines else None
    return shares


def unspaced(lines: Sequence[str]) -> bool:
    """Whether most letters are of scripts that put no spaces between words."""
    return _mostly(NO_SPACES, lines)


def wants_language(lines: Sequence[str]) -> bool:
    """Whether most letters are of scripts that 13a does not tokenise as TOKENIZERS does."""
    return unspaced(lines) or _mostly(HANGUL, lines)


def _mostly(script: regex.Pattern[str], lines: Sequence[str]) -> bool:
    letters = [c for line in lines for c in line if c.isalpha()]
    return 2 * sum(script.match(c) is not None for c in letters) > len(letters)


def as_dict(scores: Sequence[Score]) -> dict[str, Any]:
    """Scores by metric, for JSON."""
    return {s.metric: asdict(s) for s in scores}

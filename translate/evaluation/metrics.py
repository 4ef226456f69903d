"""Translation metrics: BLEU, chrF and TER by sacreBLEU, each with its signature.

There are two evaluation protocols, `cased` and `lc.tok`. Scores under different protocols must never be compared.

sacreBLEU and sacremoses are imported where they are used: training starts without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, Literal

import regex

from dragoman.runtime.errors import UserError
from dragoman.runtime.languages import primary_subtag
from dragoman.runtime.segmentation import UNSPACED
from dragoman.translate.corpus.builders.algorithms import length_of

EvaluationProtocol = Literal["cased", "lc.tok"]
References = Sequence[list[str]]  # one or more translations of the whole test set by people

HANGUL = regex.compile(r"\p{Hangul}")
NO_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")

# sacreBLEU's TER can count the characters of these languages as words.
IDEOGRAPHIC = {"zh", "yue", "ja"}

# sacreBLEU's tokenizer by language, where its default, 13a, finds no words.
TOKENIZERS = {**dict.fromkeys(UNSPACED, "char"), "zh": "zh", "yue": "zh", "ko": "char"}


@dataclass(frozen=True)
class Score:
    """The score of one metric, with its signature and evaluation protocol."""

    metric: str
    score: float
    signature: str  # sacreBLEU's signature; for other tasks, the number of items scored
    protocol: str  # an EvaluationProtocol; for other tasks, the task


def lowercase_and_tokenise(lines: Sequence[str], language: str) -> list[str]:
    """Return text as the protocol `lc.tok` scores it, the form of the published Multi30k scores.

    Punctuation is normalised, text lower-cased and tokenised by Moses.

    Raises UserError when sacremoses is not installed.
    """
    sacremoses, code = _import_sacremoses(), primary_subtag(language)
    punctuation, tokenizer = sacremoses.MosesPunctNormalizer(lang=code), sacremoses.MosesTokenizer(lang=code)
    return [tokenizer.tokenize(punctuation.normalize(line).lower(), return_str=True, escape=True) for line in lines]


def _import_sacremoses() -> ModuleType:
    try:
        import sacremoses
    except ImportError:
        raise UserError("--protocol lc.tok needs sacremoses; run `pip install 'dragoman[moses]'`") from None
    module: ModuleType = sacremoses
    return module


def preprocess(lines: Sequence[str], language: str, protocol: EvaluationProtocol) -> list[str]:
    """Return text in the form that a protocol scores."""
    return lowercase_and_tokenise(lines, language) if protocol == "lc.tok" else [*lines]


def check_protocol(language: str, protocol: EvaluationProtocol) -> None:
    """Raise UserError when a protocol cannot score a language here.

    `lc.tok` needs sacremoses. It is refused for languages without spaces, where Moses takes a sentence for one word.
    """
    if protocol != "lc.tok":
        return
    if primary_subtag(language) in UNSPACED:
        raise UserError(
            f"--protocol lc.tok splits text at spaces, and {language} is written without spaces; use --protocol cased"
        )
    _import_sacremoses()


def metrics_of(language: str, protocol: EvaluationProtocol, *, ter: bool = True) -> dict[str, Any]:
    """Return sacreBLEU's metrics by name, for text from `preprocess`.

    TER is left out for languages in which it finds no words.

    Raises UserError as `check_protocol` does.
    """
    import sacrebleu

    check_protocol(language, protocol)
    code = primary_subtag(language)
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
    references: References,
    language: str,
    protocol: EvaluationProtocol = "cased",
    *,
    ter: bool = True,
) -> list[Score]:
    """Return BLEU, chrF and TER (the slowest) of translations against one or more references.

    `cased` scores detokenised text with sacreBLEU's defaults. `lc.tok` is comparable with published Multi30k scores.

    Raises UserError as `check_protocol` does.
    """
    check_protocol(language, protocol)
    output = preprocess(output, language, protocol)
    references = [preprocess(reference, language, protocol) for reference in references]
    scores = []
    for name, metric in metrics_of(language, protocol, ter=ter).items():
        value = metric.corpus_score(output, references).score
        scores.append(Score(name, round(value, 3), str(metric.get_signature()), protocol))
    return scores


def sentence_chrf(text: str, *references: str) -> float:
    """Return chrF of one line, 0 to 100, against the reference that it resembles most.

    Of the three metrics, chrF is the most meaningful for a single sentence, in every script.
    """
    import sacrebleu

    return float(sacrebleu.sentence_chrf(text, references).score)


def exact_by_length(source: Sequence[str], output: Sequence[str], references: References) -> list[dict[str, Any]]:
    """Return the exact-match rate for each source length: rows of `length`, `lines` and `exact`, a percentage.

    A translation matches if it equals one of the references.
    """
    matches: dict[int, list[bool]] = {}
    for line, translation, *expected in zip(source, output, *references, strict=True):
        matches.setdefault(length_of(line), []).append(translation in expected)
    return [
        {"length": length, "lines": len(matched), "exact": round(100 * sum(matched) / len(matched), 2)}
        for length, matched in sorted(matches.items())
    ]


def within_and_beyond(exact: Sequence[dict[str, Any]], trained_to: int) -> dict[str, float | None]:
    """Return the exact-match percentage `within` the lengths of the training data and `beyond` them.

    exact: rows from `exact_by_length`. trained_to: the longest length in training. None where no line was tested.
    """
    rates: dict[str, float | None] = {}
    for part, is_longer in (("within", False), ("beyond", True)):
        rows = [row for row in exact if (row["length"] > trained_to) == is_longer]
        lines = sum(row["lines"] for row in rows)
        rates[part] = sum(row["exact"] * row["lines"] for row in rows) / lines if lines else None
    return rates


def is_unspaced(lines: Sequence[str]) -> bool:
    """Return whether most letters belong to scripts that put no spaces between words."""
    return _mostly(NO_SPACES, lines)


def needs_language(lines: Sequence[str]) -> bool:
    """Return whether most letters belong to scripts for which TOKENIZERS replaces 13a."""
    return is_unspaced(lines) or _mostly(HANGUL, lines)


def _mostly(script: regex.Pattern[str], lines: Sequence[str]) -> bool:
    letters = [c for line in lines for c in line if c.isalpha()]
    return 2 * sum(script.match(c) is not None for c in letters) > len(letters)


def as_dict(scores: Sequence[Score]) -> dict[str, Any]:
    """Return scores by metric, as plain values for JSON."""
    return {s.metric: asdict(s) for s in scores}

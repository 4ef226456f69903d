"""Compare systems: significance tests, scores by length, and the sentences that differ most."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from sacrebleu.significance import PairedTest

from dragoman.runtime.wording import counted
from dragoman.translate.evaluation.metrics import (
    EvaluationProtocol,
    References,
    is_unspaced,
    metrics_of,
    preprocess,
    sentence_chrf,
)

LENGTH_BUCKETS = (5, 10, 20, 40)  # upper limits, in words of the source; one more bucket holds longer sentences
RESAMPLES = 1000  # sacreBLEU's default for the paired bootstrap
MIN_SENTENCES = 30  # resampling fewer sentences says nothing about other text

Systems = Mapping[str, Sequence[str]]  # the name of each system and its translations of the same lines


def significance_tests(
    systems: Systems, references: References, language: str, protocol: EvaluationProtocol
) -> list[dict[str, Any]]:
    """Score every system by every metric, with sacreBLEU's paired bootstrap against the first (Koehn 2004).

    Each row holds the metric, its signature and, for each system, score and 95 % confidence interval. All systems but
    the first also have the difference and p, the probability of so large a difference by the choice of sentences
    alone. p is None for fewer than MIN_SENTENCES lines.
    """
    outputs: list[tuple[str, Sequence[str]]] = [
        (name, preprocess(lines, language, protocol)) for name, lines in systems.items()
    ]
    processed = [preprocess(reference, language, protocol) for reference in references]
    metrics = metrics_of(language, protocol)
    test = PairedTest(outputs, metrics, processed, test_type="bs", n_samples=RESAMPLES)
    signatures, results = test()
    rows = []
    for metric, (result_name, signature) in zip(metrics, signatures.items(), strict=True):
        metric_results: list[Any] = [*results[result_name]]
        row: dict[str, Any] = {"metric": metric, "signature": str(signature), "systems": []}
        for (name, _), result in zip(outputs, metric_results, strict=True):
            system = {"name": name, "score": round(float(result.score), 2), "interval": round(float(result.ci), 2)}
            if row["systems"]:
                difference = float(result.score - metric_results[0].score)
                p = None
                if len(references[0]) >= MIN_SENTENCES:
                    # For equal scores sacreBLEU returns the smallest p possible instead of 1.
                    p = round(float(result.p_value), 4) if difference else 1.0
                system |= {"difference": round(difference, 2), "p": p}
            row["systems"].append(system)
        rows.append(row)
    return rows


def scores_by_length(
    source: Sequence[str], systems: Systems, references: References, language: str, protocol: EvaluationProtocol
) -> list[dict[str, Any]]:
    """Return BLEU and chrF of each system in each bucket of source lengths, in words.

    In text without spaces, two characters count as a word, which is about right on average.
    """
    unspaced = is_unspaced(source)
    lengths = [len(line) // 2 if unspaced else len(line.split()) for line in source]
    limits = [0, *LENGTH_BUCKETS, max(lengths, default=0) + 1]
    buckets = []
    for low, high in itertools.pairwise(limits):
        rows = [i for i, n in enumerate(lengths) if low < n <= high or (n == 0 and low == 0)]
        if not rows:
            continue
        metrics = metrics_of(language, protocol, ter=False)
        chosen = [preprocess([reference[i] for i in rows], language, protocol) for reference in references]
        scores: dict[str, dict[str, float]] = {}
        for name, lines in systems.items():
            output = preprocess([lines[i] for i in rows], language, protocol)
            scores[name] = {key: round(m.corpus_score(output, chosen).score, 2) for key, m in metrics.items()}
        words = f"{low + 1} to {high}" if high in LENGTH_BUCKETS else f"over {low}"
        buckets.append({"words": words, "sentences": len(rows), "scores": scores})
    return buckets


def sentence_scores(lines: Sequence[str], references: References) -> list[float]:
    """Return chrF of each line."""
    return [round(sentence_chrf(*texts), 2) for texts in zip(lines, *references, strict=True)]


def examples(
    source: Sequence[str] | None, systems: Systems, references: References, rows: Sequence[int]
) -> list[dict[str, Any]]:
    """Return some sentences with the translation and chrF of each system. rows: their indices."""
    chosen = [[reference[i] for i in rows] for reference in references]
    scores = {name: sentence_scores([lines[i] for i in rows], chosen) for name, lines in systems.items()}
    return [
        {
            "line": i + 1,
            **({"source": _with_single_spaces(source[i])} if source is not None else {}),
            "references": [_with_single_spaces(reference[i]) for reference in references],
            "systems": [
                {"name": name, "text": _with_single_spaces(lines[i]), "chrF": scores[name][k]}
                for name, lines in systems.items()
            ],
        }
        for k, i in enumerate(rows)
    ]


def _with_single_spaces(text: str) -> str:
    return " ".join(text.split())


def largest_differences(systems: Systems, references: References, count: int) -> tuple[list[int], list[int]]:
    """Return the indices of the lines where the second of two systems is better by chrF, and where it is worse.

    Both lists hold at most `count` lines, largest differences first.
    """
    first, second = (sentence_scores(lines, references) for lines in systems.values())
    differences = [b - a for a, b in zip(first, second, strict=True)]
    order = sorted(range(len(differences)), key=lambda i: -differences[i])
    better = [i for i in order[:count] if differences[i] > 0]
    worse = [i for i in order[::-1][:count] if differences[i] < 0]
    return better, worse


def compare_systems(
    source: Sequence[str] | None,
    systems: Systems,
    references: References,
    language: str,
    protocol: EvaluationProtocol,
    count: int,
) -> dict[str, Any]:
    """Return a comparison of two systems as plain values. count: sentences to list on either side.

    Without a source there are no scores by source length.
    """
    better, worse = largest_differences(systems, references, count)
    lengths = [] if source is None else scores_by_length(source, systems, references, language, protocol)
    return {
        "sentences": len(references[0]),
        "references": len(references),
        "protocol": protocol,
        "scores": significance_tests(systems, references, language, protocol),
        "lengths": lengths,
        "better": examples(source, systems, references, better),
        "worse": examples(source, systems, references, worse),
    }


def conclusion(comparison: Mapping[str, Any], second: str = "B") -> str:
    """Return one sentence: whether the second system is better by the first metric, and whether significantly."""
    row = comparison["scores"][0]
    metric, system = row["metric"], row["systems"][1]
    difference, p = system["difference"], system["p"]
    if p is None:
        size, are = counted(comparison["sentences"], "sentence"), "is" if comparison["sentences"] == 1 else "are"
        return f"{size} {are} too few for a significance test, which needs at least {MIN_SENTENCES}."
    if not difference:
        return f"By {metric}, both systems score the same."
    direction = "better" if difference > 0 else "worse"
    significance = "significant (p < 0.05)" if p < 0.05 else f"not significant (p = {p:.2f})"
    return f"By {metric}, {second} is {abs(difference):.2f} {direction}; the difference is {significance}."


def describe_size(sentences: int, references: int) -> str:
    """Return the size of a test set in words, with the number of references per sentence unless it is 1."""
    return counted(sentences, "sentence") + (f", {references} references" if references > 1 else "")


def as_text(comparison: Mapping[str, Any]) -> str:
    """Return a comparison as text for a terminal."""
    first, second = (s["name"] for s in comparison["scores"][0]["systems"])
    size = describe_size(comparison["sentences"], comparison["references"])
    out = [f"A  {first}", f"B  {second}", f"{size}, {comparison['protocol']}", ""]
    out += [*_score_lines(comparison), conclusion(comparison)]
    if comparison["lengths"]:
        out += ["", *_length_lines(comparison)]
    for title, key in (("B is better", "better"), ("B is worse", "worse")):
        for sentence in comparison[key]:
            out += ["", f"{title} (line {sentence['line']})", *_example_lines(sentence)]
    out += ["", *(f"{row['metric']}: {row['signature']}" for row in comparison["scores"])]
    return "\n".join(out)


def _score_lines(comparison: Mapping[str, Any]) -> list[str]:
    out = [f"{'':<6}{'A':>18}{'B':>18}{'B - A':>10}{'p':>8}"]
    for row in comparison["scores"]:
        a, b = row["systems"]
        cells = [f"{s['score']:.2f} ± {s['interval']:.2f}" for s in (a, b)]
        p = "" if b["p"] is None else f"{b['p']:.4f}"
        out.append(f"{row['metric']:<6}{cells[0]:>18}{cells[1]:>18}{b['difference']:>+10.2f}{p:>8}")
    return out


def _length_lines(comparison: Mapping[str, Any]) -> list[str]:
    out = [f"{'words':<10}{'sentences':>10}{'BLEU A':>9}{'B':>7}{'chrF A':>9}{'B':>7}"]
    for bucket in comparison["lengths"]:
        a, b = bucket["scores"].values()
        out.append(
            f"{bucket['words']:<10}{bucket['sentences']:>10}{a['BLEU']:>9.1f}{b['BLEU']:>7.1f}"
            f"{a['chrF']:>9.1f}{b['chrF']:>7.1f}"
        )
    return out


def _example_lines(sentence: Mapping[str, Any]) -> list[str]:
    a, b = sentence["systems"]
    source = [f"  source     {sentence['source']}"] if "source" in sentence else []
    return [
        *source,
        *(f"  reference  {text}" for text in sentence["references"]),
        f"  A {a['chrF']:>7.1f}  {a['text']}",
        f"  B {b['chrF']:>7.1f}  {b['text']}",
    ]

"""Compare systems: significance, scores by length, and the sentences that changed most."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from sacrebleu.significance import PairedTest

from dragoman.translate.evaluation.metrics import EvaluationProtocol, metrics_of, prepared, sentence_chrf, unspaced

BUCKETS = (5, 10, 20, 40)  # the longest source, in words, of each bucket but the last


RESAMPLES = 1000  # of the paired bootstrap, sacreBLEU's default


ENOUGH = 30  # lines; fewer, drawn again and again, say nothing of others


Systems = Mapping[str, Sequence[str]]  # a name and its translations of the same lines


def compared(
    systems: Systems, reference: Sequence[str], language: str, protocol: EvaluationProtocol
) -> list[dict[str, Any]]:
    """Every metric of every system, with sacreBLEU's paired bootstrap against the first (Koehn 2004).

    Each row: metric, signature, and for each system its score and 95 % interval, and but for the first the
    difference and p: how likely a difference as large is to come from the choice of sentences alone, None for fewer
    than ENOUGH lines.
    """
    named: list[tuple[str, Sequence[str]]] = [(n, prepared(lines, language, protocol)) for n, lines in systems.items()]
    references = [prepared(reference, language, protocol)]
    metrics = metrics_of(language, protocol)
    test = PairedTest(named, metrics, references, test_type="bs", n_samples=RESAMPLES)
    signatures, results = test()
    rows = []
    for metric, (name_there, signature) in zip(metrics, signatures.items(), strict=True):
        found: list[Any] = [*results[name_there]]
        row: dict[str, Any] = {"metric": metric, "signature": str(signature), "systems": []}
        for (name, _), result in zip(named, found, strict=True):
            cell = {"name": name, "score": round(float(result.score), 2), "interval": round(float(result.ci), 2)}
            if row["systems"]:
                difference = float(result.score - found[0].score)
                # For equal scores sacreBLEU gives the smallest p there is, and for a handful of lines any.
                p = (round(float(result.p_value), 4) if difference else 1.0) if len(reference) >= ENOUGH else None
                cell |= {"difference": round(difference, 2), "p": p}
            row["systems"].append(cell)
        rows.append(row)
    return rows


def by_length(
    source: Sequence[str], systems: Systems, reference: Sequence[str], language: str, protocol: EvaluationProtocol
) -> list[dict[str, Any]]:
    """BLEU and chrF of the sentences of like length, counted in words (or characters, where there are no spaces)."""
    halves = unspaced(source)  # a word has two characters there, more or less
    lengths = [len(line) // 2 if halves else len(line.split()) for line in source]
    edges = [0, *BUCKETS, max(lengths, default=0) + 1]
    out = []
    for low, high in itertools.pairwise(edges):
        rows = [i for i, n in enumerate(lengths) if low < n <= high or (n == 0 and low == 0)]
        if not rows:
            continue
        metrics = metrics_of(language, protocol, ter=False)
        refs = [prepared([reference[i] for i in rows], language, protocol)]
        scores = {
            name: {
                metric: round(m.corpus_score(prepared([lines[i] for i in rows], language, protocol), refs).score, 2)
                for metric, m in metrics.items()
            }
            for name, lines in systems.items()
        }
        words = f"{low + 1} to {high}" if high in BUCKETS else f"over {low}"
        out.append({"words": words, "sentences": len(rows), "scores": scores})
    return out


def sentence_scores(lines: Sequence[str], reference: Sequence[str]) -> list[float]:
    """chrF of each line."""
    return [round(sentence_chrf(a, b), 2) for a, b in zip(lines, reference, strict=True)]


def listed(
    source: Sequence[str], systems: Systems, reference: Sequence[str], rows: Sequence[int]
) -> list[dict[str, Any]]:
    """Some sentences with what each system made of them."""
    references = [reference[i] for i in rows]
    scores = {name: sentence_scores([lines[i] for i in rows], references) for name, lines in systems.items()}
    return [
        {
            "line": i + 1,
            "source": source[i],
            "reference": reference[i],
            "systems": [{"name": name, "text": systems[name][i], "chrF": scores[name][k]} for name in systems],
        }
        for k, i in enumerate(rows)
    ]


def most_changed(systems: Systems, reference: Sequence[str], count: int) -> tuple[list[int], list[int]]:
    """The lines that the second of two systems made better, and worse, most first, by the difference in chrF."""
    first, second = (sentence_scores(lines, reference) for lines in systems.values())
    change = [b - a for a, b in zip(first, second, strict=True)]
    order = sorted(range(len(change)), key=lambda i: -change[i])
    better = [i for i in order[:count] if change[i] > 0]
    worse = [i for i in order[::-1][:count] if change[i] < 0]
    return better, worse


def comparison(
    source: Sequence[str],
    systems: Systems,
    reference: Sequence[str],
    language: str,
    protocol: EvaluationProtocol,
    count: int,
) -> dict[str, Any]:
    """Two systems side by side, as plain values."""
    better, worse = most_changed(systems, reference, count)
    return {
        "sentences": len(source),
        "protocol": protocol,
        "scores": compared(systems, reference, language, protocol),
        "lengths": by_length(source, systems, reference, language, protocol),
        "better": listed(source, systems, reference, better),
        "worse": listed(source, systems, reference, worse),
    }


def verdict(found: Mapping[str, Any], second: str = "B") -> str:
    """By BLEU, or the first metric there is, in a sentence: whether the second is better, and whether by chance."""
    row = found["scores"][0]
    metric, b = row["metric"], row["systems"][1]
    if b["p"] is None:
        return f"no p: {found['sentences']} sentences are too few to tell chance from more; {ENOUGH} are not"
    if not b["difference"]:
        return f"By {metric} they are equal."
    how = "better" if b["difference"] > 0 else "worse"
    by = f"By {metric}, {second} is {how} by {abs(b['difference']):.2f}"
    return f"{by}, " + ("more than chance (p < 0.05)." if b["p"] < 0.05 else f"which may be chance (p {b['p']:.2f}).")


def as_text(found: Mapping[str, Any]) -> str:
    """A comparison for a terminal."""
    first, second = (s["name"] for s in found["scores"][0]["systems"])
    out = [f"A  {first}", f"B  {second}", f"{found['sentences']:,} sentences, {found['protocol']}", ""]
    out.append(f"{'':<6}{'A':>18}{'B':>18}{'B - A':>10}{'p':>8}")
    for row in found["scores"]:
        a, b = row["systems"]
        cells = [f"{s['score']:.2f} ± {s['interval']:.2f}" for s in (a, b)]
        p = "" if b["p"] is None else f"{b['p']:.4f}"
        out.append(f"{row['metric']:<6}{cells[0]:>18}{cells[1]:>18}{b['difference']:>+10.2f}{p:>8}")
    out.append(verdict(found))
    out += ["", f"{'words':<10}{'sentences':>10}{'BLEU A':>9}{'B':>7}{'chrF A':>9}{'B':>7}"]
    for bucket in found["lengths"]:
        x, y = bucket["scores"].values()
        out.append(
            f"{bucket['words']:<10}{bucket['sentences']:>10}{x['BLEU']:>9.1f}{y['BLEU']:>7.1f}"
            f"{x['chrF']:>9.1f}{y['chrF']:>7.1f}"
        )
    for title, key in (("B is better", "better"), ("B is worse", "worse")):
        for one in found[key]:
            a, b = one["systems"]
            out += ["", f"{title} (line {one['line']})", f"  source     {one['source']}"]
            out.append(f"  reference  {one['reference']}")
            out += [f"  A {a['chrF']:>7.1f}  {a['text']}", f"  B {b['chrF']:>7.1f}  {b['text']}"]
    out += ["", *(f"{row['metric']}: {row['signature']}" for row in found["scores"])]
    return "\n".join(out)

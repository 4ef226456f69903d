"""What a model does, to look at: scores by length, sentences that changed, pictures; a page that needs no network."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from sacrebleu.significance import PairedTest

from dragoman.runtime.translator import Translator
from dragoman.translate.evaluate import Basis, Score, metrics_of, prepared, sentence_chrf, unspaced
from dragoman.translate.plots import curves, draw_attention

BUCKETS = (5, 10, 20, 40)  # the longest source, in words, of each bucket but the last
SHOWN = 10  # sentences in a list
RESAMPLES = 1000  # of the paired bootstrap, sacreBLEU's default
ENOUGH = 30  # lines; fewer, drawn again and again, say nothing of others
Systems = Mapping[str, Sequence[str]]  # a name and its translations of the same lines


def compared(systems: Systems, reference: Sequence[str], language: str, basis: Basis) -> list[dict[str, Any]]:
    """Every metric of every system, with sacreBLEU's paired bootstrap against the first (Koehn 2004).

    Each row: metric, signature, and for each system its score and 95 % interval, and but for the first the
    difference and p: how likely a difference as large is to come from the choice of sentences alone, None for fewer
    than ENOUGH lines.
    """
    named: list[tuple[str, Sequence[str]]] = [(n, prepared(lines, language, basis)) for n, lines in systems.items()]
    references = [prepared(reference, language, basis)]
    metrics = metrics_of(language, basis)
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
    source: Sequence[str], systems: Systems, reference: Sequence[str], language: str, basis: Basis
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
        metrics = metrics_of(language, basis, ter=False)
        refs = [prepared([reference[i] for i in rows], language, basis)]
        scores = {
            name: {
                metric: round(m.corpus_score(prepared([lines[i] for i in rows], language, basis), refs).score, 2)
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


def picture(png: bytes) -> str:
    """A picture as the address of itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def page(title: str, **parts: Any) -> str:  # noqa: ANN401 (what the template shows)
    """One HTML page, which nothing outside of it is needed for: see report.html for the parts."""
    text = files("dragoman.translate").joinpath("report.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    nothing: dict[str, Any] = {"facts": {}, "curves": None}
    nothing |= {name: [] for name in ("scores", "lengths", "robust", "pictures", "lists")}
    return environment.from_string(text).render(title=title, **{**nothing, **parts})


def comparison(
    source: Sequence[str], systems: Systems, reference: Sequence[str], language: str, basis: Basis, count: int
) -> dict[str, Any]:
    """Two systems side by side, as plain values."""
    better, worse = most_changed(systems, reference, count)
    return {
        "sentences": len(source),
        "basis": basis,
        "scores": compared(systems, reference, language, basis),
        "lengths": by_length(source, systems, reference, language, basis),
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
    out = [f"A  {first}", f"B  {second}", f"{found['sentences']:,} sentences, {found['basis']}", ""]
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


def of_two(found: Mapping[str, Any], source: str) -> str:
    """A comparison as a page."""
    first, second = (s["name"] for s in found["scores"][0]["systems"])
    return page(
        f"{first} and {second}",
        facts={
            "test set": f"{source}, {found['sentences']:,} sentences",
            "basis": found["basis"],
            "in short": verdict(found, second),
        },
        scores=found["scores"],
        lengths=found["lengths"],
        lists=[
            {"title": f"What {second} does better", "sentences": found["better"]},
            {"title": f"What {second} does worse", "sentences": found["worse"]},
        ],
    )


def of_one(
    translator: Translator, models: Sequence[str], source: Sequence[str], output: Sequence[str],
    reference: Sequence[str], scores: Sequence[Score], basis: Basis, show: Sequence[int], beam: int,
    length_penalty: float | None = None, robust: Sequence[dict[str, Any]] = (),
) -> str:  # fmt: skip
    """One model as a page: scores, lengths, curves, its best and worst sentences, and where some of them looked.

    show: the lines to draw, from 1; by default the two worst and the two best.
    """
    bundle, systems = translator.bundle, {"translation": output}
    order = sorted(range(len(output)), key=sentence_scores(output, reference).__getitem__)
    worst, best = order[:SHOWN], [i for i in order[::-1][:SHOWN] if i not in order[:SHOWN]]
    drawn = [n - 1 for n in show] or [*worst[:2], *best[:2]]
    training, card = bundle.card.get("training", {}), bundle.card
    facts = {
        "model": ", ".join(models),
        "languages": f"{bundle.source_language} to {bundle.target_language}",
        "parameters": f"{card['parameters']:,}" if card.get("parameters") else "unknown",
        "trained": f"{training['minutes']} minutes, {training['epochs']} epochs" if training else "unknown",
        "precision": bundle.precision,
        "test": f"{len(source):,} sentences, beam {beam}, basis {basis}",
    }
    runs = [Path(m) for m in models if (Path(m) / "metrics.jsonl").exists()]
    pictures = []
    if translator.attends:
        results = translator.translate(
            [source[i] for i in drawn], beam=beam, length_penalty=length_penalty, alignments=True
        )
        for i, result in zip(drawn, results, strict=True):
            for part in result.attention:
                pictures.append({"caption": f"line {i + 1}: {source[i]}", "image": picture(draw_attention(part))})
    return page(
        f"{bundle.config.get('name', 'model')}, {bundle.source_language} to {bundle.target_language}",
        facts=facts,
        scores=[
            {"metric": s.metric, "signature": s.signature, "systems": [{"name": "score", "score": s.score}]}
            for s in scores
        ],
        lengths=by_length(source, systems, reference, bundle.target_language, basis),
        robust=robust,
        curves=picture(curves(runs[0])) if len(runs) == 1 else None,
        lists=[
            {"title": "Worst sentences", "sentences": listed(source, systems, reference, worst)},
            {"title": "Best sentences", "sentences": listed(source, systems, reference, best)},
        ],
        pictures=pictures,
    )

"""Reports as HTML pages that need no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from dragoman.runtime.translator import Translator
from dragoman.translate.evaluation.compare import by_length, listed, sentence_scores, verdict
from dragoman.translate.evaluation.metrics import EvaluationProtocol, Score
from dragoman.translate.evaluation.plots import curves, draw_attention

SHOWN = 10  # sentences in a list


def picture(png: bytes) -> str:
    """A picture as the address of itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def page(title: str, **parts: Any) -> str:  # noqa: ANN401 (what the template shows)
    """One HTML page, which nothing outside of it is needed for: see report.html for the parts."""
    text = files("dragoman.translate.evaluation").joinpath("report.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    nothing: dict[str, Any] = {"facts": {}, "curves": None}
    nothing |= {name: [] for name in ("scores", "lengths", "robust", "pictures", "lists")}
    return environment.from_string(text).render(title=title, **{**nothing, **parts})


def of_two(found: Mapping[str, Any], source: str) -> str:
    """A comparison as a page."""
    first, second = (s["name"] for s in found["scores"][0]["systems"])
    return page(
        f"{first} and {second}",
        facts={
            "test set": f"{source}, {found['sentences']:,} sentences",
            "protocol": found["protocol"],
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
    reference: Sequence[str], scores: Sequence[Score], protocol: EvaluationProtocol, show: Sequence[int], beam: int,
    length_penalty: float | None = None, robust: Sequence[dict[str, Any]] = (),
) -> str:  # fmt: skip
    """One model as a page: scores, lengths, curves, its best and worst sentences, and where some of them looked.

    show: the lines to draw, from 1; by default the two worst and the two best.
    """
    metadata, systems = translator.metadata, {"translation": output}
    order = sorted(range(len(output)), key=sentence_scores(output, reference).__getitem__)
    worst, best = order[:SHOWN], [i for i in order[::-1][:SHOWN] if i not in order[:SHOWN]]
    drawn = [n - 1 for n in show] or [*worst[:2], *best[:2]]
    training, card = metadata.card.get("training", {}), metadata.card
    facts = {
        "model": ", ".join(models),
        "languages": f"{metadata.source_language} to {metadata.target_language}",
        "parameters": f"{card['parameters']:,}" if card.get("parameters") else "unknown",
        "trained": f"{training['minutes']} minutes, {training['epochs']} epochs" if training else "unknown",
        "precision": metadata.precision,
        "test": f"{len(source):,} sentences, beam {beam}, protocol {protocol}",
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
        f"{metadata.config.get('name', 'model')}, {metadata.source_language} to {metadata.target_language}",
        facts=facts,
        scores=[
            {"metric": s.metric, "signature": s.signature, "systems": [{"name": "score", "score": s.score}]}
            for s in scores
        ],
        lengths=by_length(source, systems, reference, metadata.target_language, protocol),
        robust=robust,
        curves=picture(curves(runs[0])) if len(runs) == 1 else None,
        lists=[
            {"title": "Worst sentences", "sentences": listed(source, systems, reference, worst)},
            {"title": "Best sentences", "sentences": listed(source, systems, reference, best)},
        ],
        pictures=pictures,
    )

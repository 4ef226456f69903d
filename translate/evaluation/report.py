"""Reports as self-contained HTML pages, which load nothing from the network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from dragoman.runtime.translator import Translator
from dragoman.translate.evaluation.compare import (
    conclusion,
    describe_size,
    examples,
    scores_by_length,
    sentence_scores,
)
from dragoman.translate.evaluation.engine import precision_of
from dragoman.translate.evaluation.metrics import EvaluationProtocol, References, Score
from dragoman.translate.evaluation.plots import curves, draw_attention

EXAMPLES = 10  # sentences in a list
DRAWN_BY_DEFAULT = 2  # of the worst and of the best sentences


def data_uri(png: bytes) -> str:
    """Return a PNG as a data URI, so that the page holds the image itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def render_page(title: str, **sections: Any) -> str:  # noqa: ANN401 (report.html uses values of several types)
    """Render report.html. sections: see the template; a section that is not given is left out."""
    template = files("dragoman.translate.evaluation").joinpath("report.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    empty: dict[str, Any] = {"facts": {}, "curves": None}
    empty |= {name: [] for name in ("scores", "lengths", "robustness", "attention", "lists")}
    return environment.from_string(template).render(title=title, **{**empty, **sections})


def comparison_report(comparison: Mapping[str, Any], test_set: str) -> str:
    """Return a comparison from `compare_systems` as a page. test_set: the file that names it."""
    first, second = (s["name"] for s in comparison["scores"][0]["systems"])
    return render_page(
        f"{first} compared with {second}",
        facts={
            "test set": f"{test_set}, {describe_size(comparison['sentences'], comparison['references'])}",
            "protocol": comparison["protocol"],
            "conclusion": conclusion(comparison, second),
        },
        scores=comparison["scores"],
        lengths=comparison["lengths"],
        lists=[
            {"title": f"Sentences that {second} translates better", "sentences": comparison["better"]},
            {"title": f"Sentences that {second} translates worse", "sentences": comparison["worse"]},
        ],
    )


def model_report(
    translator: Translator, models: Sequence[str], source: Sequence[str], output: Sequence[str],
    references: References, scores: Sequence[Score], protocol: EvaluationProtocol, show: Sequence[int], beam: int,
    length_penalty: float | None = None, robustness: Sequence[dict[str, Any]] = (), *, other_corpus: bool = False,
) -> str:  # fmt: skip
    """Return one model's evaluation as a page: scores, training curves, best and worst sentences, attention maps.

    show: the lines whose attention is drawn, from 1; by default the two worst and the two best. other_corpus: the test
    set is not of the corpus that the model was trained on.
    """
    metadata, systems = translator.metadata, {"translation": output}
    order = sorted(range(len(output)), key=sentence_scores(output, references).__getitem__)
    worst = order[:EXAMPLES]
    best = [i for i in order[::-1][:EXAMPLES] if i not in worst]
    drawn = [n - 1 for n in show] or [*worst[:DRAWN_BY_DEFAULT], *best[:DRAWN_BY_DEFAULT]]
    runs = [Path(m) for m in models if (Path(m) / "metrics.jsonl").exists()]
    return render_page(
        f"{metadata.config.get('name', 'model')}, {metadata.source_language} to {metadata.target_language}",
        facts={
            **_facts(translator, models),
            "test set": f"{describe_size(len(source), len(references))}, beam {beam}, protocol {protocol}"
            + (", of another corpus than the training text" if other_corpus else ""),
        },
        scores=[
            {"metric": s.metric, "signature": s.signature, "systems": [{"name": "score", "score": s.score}]}
            for s in scores
        ],
        lengths=scores_by_length(source, systems, references, metadata.target_language, protocol),
        robustness=robustness,
        curves=data_uri(curves(runs[0])) if len(runs) == 1 else None,
        lists=[
            {"title": "Worst sentences by chrF", "sentences": examples(source, systems, references, worst)},
            {"title": "Best sentences by chrF", "sentences": examples(source, systems, references, best)},
        ],
        attention=_attention_maps(translator, source, drawn, beam, length_penalty),
    )


def _facts(translator: Translator, models: Sequence[str]) -> dict[str, str]:
    metadata = translator.metadata
    card, training = metadata.card, metadata.card.get("training", {})
    return {
        "model": ", ".join(models),
        "languages": f"{metadata.source_language} to {metadata.target_language}",
        "parameters": f"{card['parameters']:,}" if card.get("parameters") else "unknown",
        "training": f"{training['minutes']} minutes, {training['epochs']} epochs" if training else "unknown",
        "precision": precision_of(translator),
    }


def _attention_maps(
    translator: Translator, source: Sequence[str], rows: Sequence[int], beam: int, length_penalty: float | None
) -> list[dict[str, str]]:
    """Return a caption and an image for each part of the given lines; nothing for a model without attention."""
    if not translator.has_attention:
        return []
    results = translator.translate([source[i] for i in rows], beam=beam, length_penalty=length_penalty, alignments=True)
    return [
        {"caption": f"line {i + 1}: {source[i]}", "image": data_uri(draw_attention(part))}
        for i, result in zip(rows, results, strict=True)
        for part in result.attention
    ]

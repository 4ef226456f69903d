"""Evaluation of translators: translate a test set, score it, print the scores and write the files asked for."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.runtime.errors import UserError
from dragoman.runtime.files import write_atomically
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.translation import Translation
from dragoman.runtime.translator import Translator
from dragoman.runtime.wording import counted
from dragoman.translate.evaluation.inputs import read_test_set, translate_lines
from dragoman.translate.evaluation.metrics import (
    Score,
    as_dict,
    check_protocol,
    exact_by_length,
    score,
    within_and_beyond,
)
from dragoman.translate.evaluation.outputs import check_output_files, computation_facts, record_scores


@dataclass(frozen=True)
class Evaluation:
    """The translations of a test set and their scores."""

    source: list[str]
    references: list[list[str]]
    output: list[str]
    scores: list[Score]
    beam: int
    robustness: list[dict[str, Any]]  # rows of `robustness`; empty unless asked for
    exact: list[dict[str, Any]]  # rows of `exact_by_length`; empty unless asked for
    trained_to: int | None  # the longest source in the training data of a synthetic task


def evaluate_translations(translator: Translator, a: argparse.Namespace) -> int:
    """Run `dragoman evaluate` for a translator."""
    source, references = read_test_set(a)
    _check_show(translator, a, len(source))
    check_output_files(a)
    check_protocol(translator.metadata.target_language, a.protocol)
    evaluation = _evaluate(translator, source, references, a)
    if a.json:
        _print_json(evaluation, translator, a)
    else:
        _print_text(evaluation)
    # The files come last, so that the scores are printed even if a file cannot be written.
    _write_files(evaluation, translator, a)
    return 0


def _check_show(translator: Translator, a: argparse.Namespace, lines: int) -> None:
    """Raise UserError when --show asks for attention maps that cannot be drawn."""
    if a.show and not a.report:
        raise UserError("--show selects lines for the report; give --report as well")
    if a.show and not translator.has_attention:
        raise UserError(f"--show: {' and '.join(a.model)} gives no attention weights; leave --show out")
    for line in a.show:
        if line > lines:
            raise UserError(
                f"--show {line}: the source has only {counted(lines, 'line')}; choose a line from 1 to {lines:,}"
            )


def _evaluate(
    translator: Translator, source: list[str], references: list[list[str]], a: argparse.Namespace
) -> Evaluation:
    results = translate_lines(translator, source, a, "translating")
    output = [r.text for r in results]
    metadata = translator.metadata
    return Evaluation(
        source=source,
        references=references,
        output=output,
        scores=score(output, references, metadata.target_language, a.protocol),
        beam=a.beam or metadata.defaults["beam_size"],
        robustness=_robustness_rows(translator, source, references, results, a) if a.robustness else [],
        exact=_exact_rows(source, output, references) if a.exact else [],
        trained_to=metadata.card.get("corpus", {}).get("length"),
    )


def _exact_rows(source: list[str], output: list[str], references: list[list[str]]) -> list[dict[str, Any]]:
    """Return exact matches by length. Differences that normalisation removes do not count."""
    source, output, *references = ([*map(normalise, lines)] for lines in (source, output, *references))
    return exact_by_length(source, output, references)


def _robustness_rows(
    translator: Translator,
    source: list[str],
    references: list[list[str]],
    plain: list[Translation],
    a: argparse.Namespace,
) -> list[dict[str, Any]]:
    from dragoman.translate.encoding.augmentation import CHANGES
    from dragoman.translate.evaluation.robustness import robustness
    from dragoman.translate.progress import bar

    with bar("translating perturbed text", len(CHANGES)) as progress:
        return robustness(
            translator, source, references, plain, beam=a.beam, batch_size=a.batch_size,
            length_penalty=a.length_penalty, progress=progress,
        )  # fmt: skip


def _print_json(evaluation: Evaluation, translator: Translator, a: argparse.Namespace) -> None:
    e = evaluation
    model = a.model if len(a.model) > 1 else a.model[0]
    facts = {
        "model": model,
        "beam": e.beam,
        **computation_facts(a, translator),
        "sentences": len(e.source),
        "references": len(e.references),
        **as_dict(e.scores),
    }
    if e.robustness:
        facts["robustness"] = e.robustness
    if e.exact:
        facts["exact"] = e.exact
        if e.trained_to:
            facts["trained_to"] = e.trained_to
    print(json.dumps(facts, indent=2, ensure_ascii=False))


def _print_text(evaluation: Evaluation) -> None:
    for s in evaluation.scores:
        print(f"{s.metric:<5} {s.score:6.2f}   {s.protocol}, beam {evaluation.beam}   {s.signature}")
    if evaluation.exact:
        _print_exact(evaluation.exact, evaluation.trained_to)
    if evaluation.robustness:
        from dragoman.translate.evaluation.robustness import as_text

        print("\n" + as_text(evaluation.robustness))


def _print_exact(exact: list[dict[str, Any]], trained_to: int | None) -> None:
    for row in exact:
        longer = " (longer than in training)" if trained_to and row["length"] > trained_to else ""
        print(
            f"length {row['length']:>3}  {row['exact']:6.1f} % exact matches in {counted(row['lines'], 'line')}{longer}"
        )
    if trained_to:
        for part, rate in within_and_beyond(exact, trained_to).items():
            percentage = "not tested" if rate is None else f"{rate:6.1f} %"
            print(f"{part} the training lengths  {percentage}")


def _write_files(evaluation: Evaluation, translator: Translator, a: argparse.Namespace) -> None:
    e = evaluation
    if a.output:
        write_atomically(Path(a.output), "".join(line + "\n" for line in e.output).encode())
    if a.record:
        record_scores(a, e.scores, translator, e.beam)
    if a.report:
        from dragoman.translate.evaluation.report import model_report

        page = model_report(
            translator, a.model, e.source, e.output, e.references, e.scores, a.protocol, a.show, e.beam,
            a.length_penalty, e.robustness, other_corpus=a.other_corpus,
        )  # fmt: skip
        write_atomically(Path(a.report), page.encode("utf-8", "backslashreplace"))  # a path may not be UTF-8

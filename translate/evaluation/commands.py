"""The commands `dragoman evaluate` and `dragoman compare`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.console import Commands, positive
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.checks import check_languages
from dragoman.translate.evaluation.inputs import (
    check_writable,
    load_model,
    load_translator,
    read_lines,
    read_test_set,
    translate_lines,
)

if TYPE_CHECKING:
    from dragoman.runtime.forecasting import Forecaster
    from dragoman.runtime.labelling import Classifier, Tagger
    from dragoman.runtime.metadata import Metadata
    from dragoman.runtime.translator import Translation, Translator
    from dragoman.translate.evaluation.metrics import Score


def add_commands(commands: Commands) -> None:
    """Register `evaluate` and `compare`."""

    def tested(p: argparse.ArgumentParser) -> None:
        p.add_argument("--source", metavar="F", help="text to translate, plain or gzipped")
        p.add_argument("--reference", metavar="F", help="its translation, line for line")
        p.add_argument("--beam", type=positive, metavar="K", help="beam size (default: the model's own)")
        p.add_argument(
            "--length-penalty", type=float, metavar="X",
            help="scores are log-probability / length ** X (default: the model's own)",
        )  # fmt: skip
        p.add_argument("--batch-size", type=positive, default=32, metavar="N")
        p.add_argument(
            "--protocol", choices=("cased", "lc.tok"), default="cased",
            help="cased: detokenised text, the default (TER, as sacreBLEU's, is lower-cased all the same). lc.tok: "
            "lower-cased, Moses-tokenised, as Multi30k's scores",
        )  # fmt: skip
        p.add_argument("--json", action="store_true")

    p = commands.add_parser(
        "evaluate",
        help="score a model against a reference",
        description="BLEU, chrF and TER with sacreBLEU's signatures; of a classifier or tagger accuracy and macro-F1, "
        "or the F1 of entities. MODEL is a run's folder (computed by PyTorch) or an .onnx file. Several runs translate "
        "together: as an ensemble where they share tokenizers and reading direction, else by judging what each of them "
        "proposes. Scores of different bases must not be compared.",
    )
    p.add_argument("model", nargs="+", metavar="MODEL")
    tested(p)
    p.add_argument("--corpus", metavar="DIR", help="instead of --source and --reference: a corpus folder's test part")
    p.add_argument("--output", metavar="F", help="also write the translations")
    p.add_argument(
        "--record", metavar="FILE.jsonl",
        help="also write all scores as one row of JSON with signatures, command, seed, commit and machine; "
        "a row of the same run and test set is replaced",
    )  # fmt: skip
    p.add_argument(
        "--name", metavar="SET", help="the test set's name in such a record (default: the source's file name)"
    )
    p.add_argument("--report", metavar="PAGE.html", help="also write scores, curves, attention and examples as a page")
    p.add_argument(
        "--show", action="append", type=positive, default=[], metavar="LINE",
        help="draw where the translation of this line looked, in the report (default: four lines)",
    )  # fmt: skip
    p.add_argument(
        "--robustness", action="store_true",
        help="also change the text (case, punctuation, typing errors, spaces, numbers, one word, none) and count what "
        "loops, is empty, has a wrong length, does not end or loses numbers",
    )  # fmt: skip
    p.add_argument(
        "--exact",
        action="store_true",
        help="also the share of lines exactly as expected, by the length of their source",
    )
    p.set_defaults(run=evaluate)

    p = commands.add_parser(
        "compare",
        help="put two models side by side",
        description="BLEU, chrF and TER of two models with sacreBLEU's paired bootstrap, scores by length, and the "
        "sentences that changed most. A and B are runs' folders, .onnx files, or files of translations.",
    )
    p.add_argument("first", metavar="A")
    p.add_argument("second", metavar="B")
    tested(p)
    p.add_argument("--count", type=positive, default=10, metavar="N", help="changed sentences to show (default 10)")
    p.add_argument("--language", metavar="XX", help="the target language, where A and B are files of translations")
    p.add_argument("--html", metavar="PAGE.html", help="also write it as a page")
    p.set_defaults(run=compare)


def evaluate(a: argparse.Namespace) -> int:
    """`dragoman evaluate`."""
    from dragoman.runtime.forecasting import Forecaster
    from dragoman.runtime.translator import Translator
    from dragoman.translate.corpus.folder import Corpus
    from dragoman.translate.evaluation.metrics import as_dict, check_protocol, exact_by_length, score, within_and_beyond
    from dragoman.translate.files import write_atomically

    model = load_model(a.model)
    if not isinstance(model, Translator):
        for option in ("report", "robustness", "exact", "beam", "length_penalty", "show", "protocol"):
            if getattr(a, option) not in (None, False, [], "cased"):
                raise UserError(f"--{option.replace('_', '-')} is for translators")
    if a.corpus:
        corpus, task = Corpus(a.corpus), model.metadata.task
        if corpus.task != task:
            raise UserError(f"{a.corpus} is a corpus to {corpus.task}, and {a.model[0]} was made to {task}")
        if isinstance(model, Translator):
            check_languages(a.model[0], model, corpus.folder, corpus.languages)
    if isinstance(model, Forecaster):
        return _evaluate_series(model, a)
    if not isinstance(model, Translator):
        return _evaluate_labels(model, a)
    translator = model
    source, reference = read_test_set(a)
    if a.show and not a.report:
        raise UserError("--show is for what --report draws; give both")
    if a.show and not translator.attends:
        raise UserError(f"--show: {' and '.join(a.model)} cannot tell where a translation looked; leave it out")
    for line in a.show:
        if line > len(source):
            raise UserError(f"--show {line}: there are {len(source):,} lines")
    _check_files(a)
    check_protocol(translator.metadata.target_language, a.protocol)
    results = translate_lines(translator, source, a, "translating")
    output = [r.text for r in results]
    scores = score(output, reference, translator.metadata.target_language, a.protocol)
    beam = a.beam or translator.metadata.defaults["beam_size"]
    robust = _robust(translator, source, reference, results, a) if a.robustness else []
    exact = exact_by_length(source, output, reference) if a.exact else []
    trained_to = translator.metadata.card.get("corpus", {}).get("length")  # of a made-up task
    if a.json:
        model = a.model if len(a.model) > 1 else a.model[0]
        found = {"model": model, "beam": beam, "sentences": len(source), **as_dict(scores)}
        found |= {key: rows for key, rows in (("robustness", robust), ("exact", exact)) if rows}
        if exact and trained_to:
            found["trained_to"] = trained_to
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for s in scores:
            print(f"{s.metric:<5} {s.score:6.2f}   {s.protocol}, beam {beam}   {s.signature}")
        for row in exact:
            longer = " (longer than in training)" if trained_to and row["length"] > trained_to else ""
            print(f"length {row['length']:>3}  {row['exact']:6.1f} % of {row['lines']:,} lines exactly right{longer}")
        for where, share in within_and_beyond(exact, trained_to).items() if exact and trained_to else ():
            print(f"{where:<10}  {share:6.1f} %" if share is not None else f"{where:<10}  none tested")
        if robust:
            from dragoman.translate.evaluation.robustness import as_text

            print("\n" + as_text(robust))
    # Files come last, so that scores are told whatever becomes of them.
    if a.output:
        write_atomically(Path(a.output), "".join(line + "\n" for line in output).encode())
    if a.record:
        _record(a, scores, translator.metadata, beam)
    if a.report:
        from dragoman.translate.evaluation.report import of_one

        text = of_one(
            translator, a.model, source, output, reference, scores, a.protocol, a.show, beam, a.length_penalty, robust
        )
        write_atomically(Path(a.report), text.encode())
    return 0


def _check_files(a: argparse.Namespace) -> None:
    """The same for all that `evaluate` writes; the folder for scores is made."""
    for option in ("report", "output", "record"):
        check_writable(f"--{option}", getattr(a, option))
    if a.name and not a.record:
        raise UserError("--name is for what --record writes; give both")


def _evaluate_labels(model: Classifier | Tagger, a: argparse.Namespace) -> int:
    from dragoman.runtime.labelling import Classifier
    from dragoman.translate.files import write_atomically
    from dragoman.translate.progress import bar
    from dragoman.translate.tasks.labelling import label_scores

    source, reference = read_test_set(a)
    _check_files(a)
    found: list[list[str]] = []
    with bar("reading", len(source)) as progress:
        for start in range(0, len(source), 256):
            lines = source[start : start + 256]
            if isinstance(model, Classifier):
                found += [[one.label] for one in model.classify(lines, batch_size=a.batch_size)]
            else:
                found += [[*one.labels] for one in model.tag(lines, batch_size=a.batch_size)]
            progress(len(found))
    task, metadata = model.task, model.metadata
    expected = [[line] if task == "classify" else line.split(" ") for line in reference]
    for number, (one, other) in enumerate(zip(found, expected, strict=True), 1):
        place = f"{a.reference or a.corpus}, line {number:,}"
        if len(one) != len(other):
            raise UserError(f"{place}: {len(other)} labels for {len(one)} words")
        for label in other:
            if label not in metadata.labels:
                raise UserError(f"{place}: the model does not know the label {label!r}")
    if a.output:
        write_atomically(Path(a.output), "".join(" ".join(row) + "\n" for row in found).encode())
    return _say_scores(a, metadata, label_scores(found, expected, task, metadata.labels), f"{len(source):,} texts")


def _evaluate_series(model: Forecaster, a: argparse.Namespace) -> int:
    import numpy as np

    from dragoman.translate.corpus.folder import Corpus
    from dragoman.translate.tasks.forecasting import read_parts, series_scores, windows_of

    if not a.corpus or a.source or a.reference or a.output:
        raise UserError("a forecaster is scored on the test part of a corpus: give --corpus alone")
    parts = read_parts(Corpus(a.corpus))
    if parts["test"].names != model.names:
        names, own = (", ".join(each) for each in (parts["test"].names, model.names))
        raise UserError(f"{a.corpus} has {names}, and {a.model[0]} forecasts {own}")
    try:
        model.check_sampling(parts["test"])
    except UserError as error:
        raise UserError(f"{a.corpus}: {error}") from None
    _check_files(a)
    windows = windows_of(parts, "test", model.window, model.horizon)
    found = [model.engine.run(batch.series.numpy()) for batch in windows]
    scale = np.array(model.metadata.series["scale"])
    scores = series_scores(windows, found, model.names, model.period, scale)
    return _say_scores(a, model.metadata, scores, f"{len(windows.origins):,} forecasts of {model.horizon} rows")


def _say_scores(a: argparse.Namespace, metadata: Metadata, values: dict[str, float], counted: str) -> int:
    """Print scores that are not of translations, and record them where that is asked."""
    from dragoman.translate.evaluation.metrics import Score
    from dragoman.translate.progress import readable

    if a.record:
        _record(a, [Score(metric, value, counted, metadata.task) for metric, value in values.items()], metadata, 0)
    if a.json:
        facts = {"model": a.model[0], "task": metadata.task, "counted": counted, **values}
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        width = max(map(len, values))
        for metric, value in values.items():
            print(f"{metric:<{width}} {readable(value):>8}   {counted}")
    return 0


def _record(a: argparse.Namespace, scores: Sequence[Score], metadata: Metadata, beam: int) -> None:
    """Write the scores as one row into the file that --record names. beam: 0 where nothing is searched for."""
    from dragoman.translate.evaluation.provenance import record, score_row

    name = a.name or Path(a.corpus or a.source).name.split(".")[0]
    penalty = metadata.defaults.get("length_penalty", 0.0) if a.length_penalty is None else a.length_penalty
    record(Path(a.record), score_row(scores, metadata, name=name, beam=beam, length_penalty=penalty))


def _robust(
    translator: Translator, source: list[str], reference: list[str], plain: list[Translation], a: argparse.Namespace
) -> list[dict[str, Any]]:
    from dragoman.translate.encoding.augmentation import CHANGES
    from dragoman.translate.evaluation.robustness import robustness
    from dragoman.translate.progress import bar

    with bar("changed text", len(CHANGES)) as progress:
        return robustness(
            translator, source, reference, plain, beam=a.beam, batch_size=a.batch_size, length_penalty=a.length_penalty,
            progress=progress,
        )  # fmt: skip


def compare(a: argparse.Namespace) -> int:
    """`dragoman compare`."""
    from dragoman.translate.evaluation.compare import as_text, comparison
    from dragoman.translate.evaluation.metrics import check_protocol, wants_language
    from dragoman.translate.evaluation.report import of_two
    from dragoman.translate.files import write_atomically

    check_writable("--html", a.html)
    source, reference = read_test_set(a)
    systems: dict[str, list[str]] = {}
    language = ""
    translators: dict[str, Translator] = {}
    for path in (a.first, a.second):  # what is wrong with either is said before the first translates
        if Path(path).is_file() and not path.endswith(".onnx"):
            systems[path] = read_lines(path)
            if len(systems[path]) != len(source):
                raise UserError(f"{path} has {len(systems[path]):,} lines and {a.source} has {len(source):,}")
            continue
        translators[path] = load_translator([path])
        own = translators[path].metadata.target_language
        if language and own != language:
            raise UserError(f"{a.first} translates into {language} and {a.second} into {own}; compare like with like")
        language = own
    check_protocol(language or a.language or "", a.protocol)
    for path, translator in translators.items():
        systems[path] = [r.text for r in translate_lines(translator, source, a, path)]
    systems = {path: systems[path] for path in (a.first, a.second)}
    if a.first == a.second:
        systems = {f"{a.first} ({n})": systems[a.first] for n in (1, 2)}
    if not (language or a.language) and wants_language(reference):
        raise UserError(f"{a.reference} is in a script that is scored by characters: say with --language what it is in")
    found = comparison(source, systems, reference, language or a.language or "", a.protocol, a.count)
    print(json.dumps(found, indent=2, ensure_ascii=False) if a.json else as_text(found))
    if a.html:
        write_atomically(Path(a.html), of_two(found, a.source).encode())
    return 0

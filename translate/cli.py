"""The commands that make corpora, train and score."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.cli import Commands, positive, run_commands
from dragoman.runtime.errors import Interrupted, UserError
from dragoman.translate.corpus import cli as corpora
from dragoman.translate.folders import make_folder, real

if TYPE_CHECKING:
    from dragoman.runtime.bundle import Bundle
    from dragoman.runtime.models import Model
    from dragoman.runtime.reader import Classifier, Tagger
    from dragoman.runtime.series import Forecaster
    from dragoman.runtime.translator import Translation, Translator
    from dragoman.translate.evaluate import Score

RUNS = Path("runs")
LONGEST_PICTURE = 64  # pieces of a text


def add_commands(commands: Commands) -> None:
    """Register the commands of corpora, `train`, `evaluate`, `compare` and `plot`."""
    corpora.add_commands(commands)

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
            "--basis", choices=("cased", "lc.tok"), default="cased",
            help="cased: detokenised text, the default (TER, as sacreBLEU's, is lower-cased all the same). lc.tok: "
            "lower-cased, Moses-tokenised, as Multi30k's scores",
        )  # fmt: skip
        p.add_argument("--json", action="store_true")

    p = commands.add_parser(
        "train",
        help="train a translator",
        description="Train what a configuration describes and write runs/NAME. Ctrl-C ends it with a checkpoint.",
    )
    p.add_argument("config", metavar="CONFIG.toml")
    p.add_argument(
        "--set", action="append", default=[], metavar="key=value", help="another value, such as training.lr=1e-3"
    )
    p.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    p.set_defaults(run=train)

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
        "--record",
        metavar="DIR",
        help="also write each score with signature, command, seed, commit and machine as JSON",
    )
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

    p = commands.add_parser(
        "cells",
        help="compare the four cells",
        description="Train Elman, LSTM, GRU and SRU of equal parameters to copy, reverse, sort and add, with attention "
        "and without, and, with --corpus, to translate; measure quality, speed and gradients with and without "
        "clipping; write a table and figures. That takes more than an hour; what is cut short goes on where it was. It "
        "is timed: nothing else should run.",
    )
    p.add_argument("--out", required=True, metavar="DIR", help="where everything is written")
    p.add_argument("--corpus", metavar="DIR", help="pairs to translate (default: only the made-up tasks)")
    p.add_argument(
        "--epochs",
        type=positive,
        default=10,
        metavar="N",
        help="of each training (default 10; without attention four times as many, addition with it twice, "
        "translation half)",
    )
    p.add_argument("--size", type=positive, default=20000, metavar="N", help="made-up tasks of a kind (default 20000)")
    p.set_defaults(run=cells)

    p = commands.add_parser("plot", help="draw pictures", description="Draw pictures of runs and models.")
    kinds = p.add_subparsers(metavar="KIND", required=True)

    def picture(name: str, help: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        k: argparse.ArgumentParser = kinds.add_parser(name, help=help, description=help)
        k.set_defaults(run=run)
        return k

    k = picture("curves", "A run's losses, scores and learning rate, as its curves.png.", plot_curves)
    k.add_argument("folder", metavar="RUN")
    k = picture("attention", "Where the translation of a text looked, by a run or an .onnx file alone.", plot_attention)
    k.add_argument("model", metavar="MODEL")
    k.add_argument("sentence", metavar="TEXT")
    k.add_argument("-o", "--output", default="attention.png", metavar="FILE", help="a .png or .svg (attention.png)")
    k = picture(
        "memory", "How much what an encoder keeps at each word of a text still depends on every other word: the norm "
        "of dh_t/dx_s in each layer and direction. Several runs are drawn side by side.", plot_memory,
    )  # fmt: skip
    k.add_argument("model", nargs="+", metavar="RUN")
    k.add_argument("sentence", metavar="TEXT")
    k.add_argument("-o", "--output", default="memory.png", metavar="FILE", help="a .png or .svg (memory.png)")


def train(a: argparse.Namespace) -> int:
    """`dragoman train`."""
    from dragoman.translate.config import load

    config = load(a.config, a.set)
    from dragoman.translate.plots import draw_curves
    from dragoman.translate.progress import Display
    from dragoman.translate.training import Trainer

    folder = RUNS / config.name
    try:
        trainer = Trainer(config, folder, resume=a.resume, display=Display())
        trainer.fit()
    except Interrupted as stop:
        raise Interrupted(f"{stop}; --resume goes on from there") from None
    if trainer.workers.main:
        draw_curves(folder)
        print(folder)
    return 0


def evaluate(a: argparse.Namespace) -> int:
    """`dragoman evaluate`."""
    from dragoman.runtime.series import Forecaster
    from dragoman.runtime.translator import Translator
    from dragoman.translate.checkpoint import write_atomically
    from dragoman.translate.corpus.store import Corpus
    from dragoman.translate.evaluate import as_dict, check_basis, exact_by_length, score, within_and_beyond

    model = _model(a.model)
    if not isinstance(model, Translator):
        for option in ("report", "robustness", "exact", "beam", "length_penalty", "show", "basis"):
            if getattr(a, option) not in (None, False, [], "cased"):
                raise UserError(f"--{option.replace('_', '-')} is for translators")
    if a.corpus:
        corpus, task = Corpus(a.corpus), model.bundle.task
        if corpus.task != task:
            raise UserError(f"{a.corpus} is a corpus to {corpus.task}, and {a.model[0]} was made to {task}")
        if isinstance(model, Translator):
            corpora.check_languages(a.model[0], model, corpus.folder, corpus.languages)
    if isinstance(model, Forecaster):
        return _evaluate_series(model, a)
    if not isinstance(model, Translator):
        return _evaluate_labels(model, a)
    translator = model
    source, reference = _test_set(a)
    if a.show and not a.report:
        raise UserError("--show is for what --report draws; give both")
    if a.show and not translator.attends:
        raise UserError(f"--show: {' and '.join(a.model)} cannot tell where a translation looked; leave it out")
    for line in a.show:
        if line > len(source):
            raise UserError(f"--show {line}: there are {len(source):,} lines")
    _check_files(a)
    check_basis(translator.bundle.target_language, a.basis)
    results = _translated(translator, source, a, "translating")
    output = [r.text for r in results]
    scores = score(output, reference, translator.bundle.target_language, a.basis)
    beam = a.beam or translator.bundle.defaults["beam_size"]
    robust = _robust(translator, source, reference, results, a) if a.robustness else []
    exact = exact_by_length(source, output, reference) if a.exact else []
    trained_to = translator.bundle.card.get("corpus", {}).get("length")  # of a made-up task
    if a.json:
        model = a.model if len(a.model) > 1 else a.model[0]
        found = {"model": model, "beam": beam, "sentences": len(source), **as_dict(scores)}
        found |= {key: rows for key, rows in (("robustness", robust), ("exact", exact)) if rows}
        if exact and trained_to:
            found["trained_to"] = trained_to
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for s in scores:
            print(f"{s.metric:<5} {s.score:6.2f}   {s.basis}, beam {beam}   {s.signature}")
        for row in exact:
            longer = " (longer than in training)" if trained_to and row["length"] > trained_to else ""
            print(f"length {row['length']:>3}  {row['exact']:6.1f} % of {row['lines']:,} lines exactly right{longer}")
        for where, share in within_and_beyond(exact, trained_to).items() if exact and trained_to else ():
            print(f"{where:<10}  {share:6.1f} %" if share is not None else f"{where:<10}  none tested")
        if robust:
            from dragoman.translate.robustness import as_text

            print("\n" + as_text(robust))
    # Files come last, so that scores are told whatever becomes of them.
    if a.output:
        write_atomically(Path(a.output), "".join(line + "\n" for line in output).encode())
    if a.record:
        _record(a, scores, translator.bundle, beam)
    if a.report:
        from dragoman.translate.report import of_one

        text = of_one(
            translator, a.model, source, output, reference, scores, a.basis, a.show, beam, a.length_penalty, robust
        )
        write_atomically(Path(a.report), text.encode())
    return 0


def _check_writable(option: str, path: str | None) -> None:
    """Raise UserError for a file to write where it cannot be, before work is done for it."""
    if path and not real(path).parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {Path(path).parent}")
    if path and real(path).is_dir():
        raise UserError(f"{option} {path} is a folder; name a file")


def _check_files(a: argparse.Namespace) -> None:
    """The same for all that `evaluate` writes; the folder for scores is made."""
    for option in ("report", "output"):
        _check_writable(f"--{option}", getattr(a, option))
    if a.name and not a.record:
        raise UserError("--name is for what --record writes; give both")
    if a.name and "/" in a.name:
        raise UserError(f"--name {a.name}: it becomes part of a file's name, so give one without a slash")
    if a.record:
        make_folder(Path(a.record))


def _evaluate_labels(model: Classifier | Tagger, a: argparse.Namespace) -> int:
    from dragoman.runtime.reader import Classifier
    from dragoman.translate.checkpoint import write_atomically
    from dragoman.translate.progress import bar
    from dragoman.translate.reading import label_scores

    source, reference = _test_set(a)
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
    task, bundle = model.task, model.bundle
    expected = [[line] if task == "classify" else line.split(" ") for line in reference]
    for number, (one, other) in enumerate(zip(found, expected, strict=True), 1):
        place = f"{a.reference or a.corpus}, line {number:,}"
        if len(one) != len(other):
            raise UserError(f"{place}: {len(other)} labels for {len(one)} words")
        for label in other:
            if label not in bundle.labels:
                raise UserError(f"{place}: the model does not know the label {label!r}")
    if a.output:
        write_atomically(Path(a.output), "".join(" ".join(row) + "\n" for row in found).encode())
    return _say_scores(a, bundle, label_scores(found, expected, task, bundle.labels), f"{len(source):,} texts")


def _evaluate_series(model: Forecaster, a: argparse.Namespace) -> int:
    import numpy as np

    from dragoman.translate.corpus.store import Corpus
    from dragoman.translate.forecasting import read_parts, series_scores, windows_of

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
    scale = np.array(model.bundle.series["scale"])
    scores = series_scores(windows, found, model.names, model.period, scale)
    return _say_scores(a, model.bundle, scores, f"{len(windows.origins):,} forecasts of {model.horizon} rows")


def _say_scores(a: argparse.Namespace, bundle: Bundle, values: dict[str, float], counted: str) -> int:
    """Print scores that are not of translations, and record them where that is asked."""
    from dragoman.translate.evaluate import Score
    from dragoman.translate.progress import readable

    if a.record:
        _record(a, [Score(metric, value, counted, bundle.task) for metric, value in values.items()], bundle, 0)
    if a.json:
        facts = {"model": a.model[0], "task": bundle.task, "counted": counted, **values}
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        width = max(map(len, values))
        for metric, value in values.items():
            print(f"{metric:<{width}} {readable(value):>8}   {counted}")
    return 0


def _record(a: argparse.Namespace, scores: Sequence[Score], bundle: Bundle, beam: int) -> None:
    """Write each score as JSON into --record. beam: 0 where nothing is searched for."""
    from dragoman.translate.checkpoint import write_json
    from dragoman.translate.evaluate import records

    name = a.name or Path(a.corpus or a.source).name.split(".")[0]
    penalty = bundle.defaults.get("length_penalty", 0.0) if a.length_penalty is None else a.length_penalty
    for record in records(scores, bundle, name=name, beam=beam, length_penalty=penalty):
        parts = [record["run"], name, record["basis"], record["metric"], *([f"beam{beam}"] if beam else [])]
        parts += [record["precision"], f"seed{record['seed']}"]
        parts += [] if a.length_penalty is None else [f"penalty{a.length_penalty:g}"]
        write_json(Path(a.record) / ("-".join(map(str, parts)).lower().replace(" ", "-") + ".json"), record)


def _robust(
    translator: Translator, source: list[str], reference: list[str], plain: list[Translation], a: argparse.Namespace
) -> list[dict[str, Any]]:
    from dragoman.translate.corpus.variants import CHANGES
    from dragoman.translate.progress import bar
    from dragoman.translate.robustness import robustness

    with bar("changed text", len(CHANGES)) as progress:
        return robustness(
            translator, source, reference, plain, beam=a.beam, batch_size=a.batch_size, length_penalty=a.length_penalty,
            progress=progress,
        )  # fmt: skip


def compare(a: argparse.Namespace) -> int:
    """`dragoman compare`."""
    from dragoman.translate.checkpoint import write_atomically
    from dragoman.translate.evaluate import check_basis, wants_language
    from dragoman.translate.report import as_text, comparison, of_two

    _check_writable("--html", a.html)
    source, reference = _test_set(a)
    systems: dict[str, list[str]] = {}
    language = ""
    translators: dict[str, Translator] = {}
    for path in (a.first, a.second):  # what is wrong with either is said before the first translates
        if Path(path).is_file() and not path.endswith(".onnx"):
            systems[path] = _lines(path)
            if len(systems[path]) != len(source):
                raise UserError(f"{path} has {len(systems[path]):,} lines and {a.source} has {len(source):,}")
            continue
        translators[path] = _translator([path])
        own = translators[path].bundle.target_language
        if language and own != language:
            raise UserError(f"{a.first} translates into {language} and {a.second} into {own}; compare like with like")
        language = own
    check_basis(language or a.language or "", a.basis)
    for path, translator in translators.items():
        systems[path] = [r.text for r in _translated(translator, source, a, path)]
    systems = {path: systems[path] for path in (a.first, a.second)}
    if a.first == a.second:
        systems = {f"{a.first} ({n})": systems[a.first] for n in (1, 2)}
    if not (language or a.language) and wants_language(reference):
        raise UserError(f"{a.reference} is in a script that is scored by characters: say with --language what it is in")
    found = comparison(source, systems, reference, language or a.language or "", a.basis, a.count)
    print(json.dumps(found, indent=2, ensure_ascii=False) if a.json else as_text(found))
    if a.html:
        write_atomically(Path(a.html), of_two(found, a.source).encode())
    return 0


def _test_set(a: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The lines of --source and --reference, or of a corpus, normalised as a translation is.

    Raises UserError when they do not match.
    """
    from dragoman.translate.corpus.store import Corpus

    if getattr(a, "corpus", None):
        if a.source or a.reference:
            raise UserError("--corpus is given instead of --source and --reference")
        pairs = Corpus(a.corpus).read("test")
        if not pairs:
            raise UserError(f"{a.corpus} has an empty test part")
        return [p.source for p in pairs], [p.target for p in pairs]
    if not (a.source and a.reference):
        corpus = ", or --corpus, a folder with a test part" if hasattr(a, "corpus") else ""
        raise UserError(f"give --source and --reference, the text and what is expected for it{corpus}")
    source, reference = _lines(a.source), _lines(a.reference)
    if len(source) != len(reference):
        raise UserError(f"{a.source} has {len(source):,} lines and {a.reference} has {len(reference):,}")
    if not source:
        raise UserError(f"{a.source} has no lines")
    return source, reference


def _lines(path: str) -> list[str]:
    """The lines of a text file, normalised as a translation is. Raises UserError for what is not UTF-8."""
    from dragoman.runtime.tokenizer import normalise
    from dragoman.translate.corpus.readers import read_strict

    return [*map(normalise, read_strict(path))]


def _translated(translator: Translator, source: Sequence[str], a: argparse.Namespace, what: str) -> list[Translation]:
    """Translations with a bar on stderr."""
    from dragoman.translate.evaluate import translate_all
    from dragoman.translate.progress import bar

    with bar(what, len(source)) as progress:
        return translate_all(
            translator, source, beam=a.beam, batch_size=a.batch_size, length_penalty=a.length_penalty,
            progress=progress,
        )  # fmt: skip


def _model(models: Sequence[str]) -> Model:
    """Whatever was named: one .onnx file, or runs, which translate together. Raises UserError for a mix."""
    from dragoman.runtime.models import load
    from dragoman.translate.checkpoint import Run
    from dragoman.translate.committee import assemble
    from dragoman.translate.forecasting import forecaster_of
    from dragoman.translate.reading import label_reader

    if len(models) == 1 and not Path(models[0]).is_dir():
        return load(models[0])
    for model in models:
        if not Path(model).is_dir():
            raise UserError(f"{model} is not a run's folder; only runs can translate together")
    runs = [Run(model) for model in models]
    tasks = {run.config().task for run in runs}
    if tasks == {"translate"}:
        return assemble(runs)
    if len(runs) > 1:
        raise UserError(f"{', '.join(models)}: only translators work together")
    return forecaster_of(runs[0]) if tasks == {"forecast"} else label_reader(runs[0])


def _translator(models: Sequence[str]) -> Translator:
    """The same, which must translate."""
    from dragoman.runtime.translator import Translator

    model = _model(models)
    if not isinstance(model, Translator):
        raise UserError(f"{models[0]}: the model was made to {model.task}, not to translate; `dragoman run` runs any")
    return model


def cells(a: argparse.Namespace) -> int:
    """`dragoman cells`."""
    from dragoman.translate.comparison import run_comparison

    run_comparison(Path(a.out), a.corpus, a.epochs, a.size)
    return 0


def plot_curves(a: argparse.Namespace) -> int:
    """`dragoman plot curves`."""
    from dragoman.translate.plots import draw_curves

    print(draw_curves(a.folder))
    return 0


def plot_attention(a: argparse.Namespace) -> int:
    """`dragoman plot attention`."""
    from dragoman.translate.checkpoint import write_atomically
    from dragoman.translate.plots import draw_attention

    kind = _kind_of_picture(a.output)
    translator = _translator([a.model])
    if not translator.attends:
        raise UserError(f"{a.model} has no attention to draw: it was trained with model.attention = none")
    maps = translator.translate(a.sentence, alignments=True).attention
    if not maps:
        raise UserError(f"{a.sentence!r} has nothing in it to look at")
    if len(maps) > 1:
        print(f"dragoman: the text is translated in {len(maps)} parts; the first is drawn", file=sys.stderr)
    write_atomically(Path(a.output), draw_attention(maps[0], kind))
    _say_boxes(kind, [*maps[0].source_pieces, *maps[0].target_pieces])
    print(a.output)
    return 0


def plot_memory(a: argparse.Namespace) -> int:
    """`dragoman plot memory`."""
    from dragoman.runtime.tokenizer import normalise
    from dragoman.translate.checkpoint import Run, write_atomically
    from dragoman.translate.memory import sensitivity
    from dragoman.translate.plots import draw_memory
    from dragoman.translate.progress import bar
    from dragoman.translate.reading import encoder_of

    kind = _kind_of_picture(a.output)
    if not normalise(a.sentence):
        raise UserError(f"{a.sentence!r} has nothing in it to remember")
    names, pieces, found = [], [], []
    for folder in a.model:
        run = Run(folder)
        embedding, encoder = encoder_of(run)
        tokenizer = run.source_tokenizer()
        ids = tokenizer.encode(a.sentence)
        if len(ids) > LONGEST_PICTURE:
            raise UserError(f"the text has {len(ids)} pieces, more than the {LONGEST_PICTURE} that can be drawn")
        with bar(folder, len(ids) * len(encoder.layers)) as progress:
            found.append(sensitivity(embedding, encoder, ids, progress))
        names.append(f"{run.config().name} ({run.config().model.cell})")
        pieces.append(tokenizer.pieces(ids))
    write_atomically(Path(a.output), draw_memory(names, pieces, found, kind))
    _say_boxes(kind, [piece for own in pieces for piece in own])
    print(a.output)
    return 0


def _say_boxes(kind: str, pieces: Sequence[str]) -> None:
    """Tell of what a picture cannot show."""
    from dragoman.translate.plots import without_font

    if kind == "png" and (missing := without_font(pieces)):
        print(
            f"dragoman: no font on this machine has {', '.join(missing)}, drawn as boxes; install one, such as Noto, "
            "or write an .svg, whose text is drawn by what shows it",
            file=sys.stderr,
        )


def _kind_of_picture(path: str) -> str:
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise UserError(f"-o {path}: a picture's name ends in .png or .svg")
    return kind


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m dragoman.translate`: corpora, training and scoring."""
    return run_commands("dragoman", "Make corpora, train and score.", [add_commands], argv)

"""The commands `dragoman evaluate` and `dragoman compare`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.console import Commands, positive
from dragoman.runtime.errors import UserError
from dragoman.translate.evaluation.inputs import (
    load_model,
    load_translator,
    read_parallel_lines,
    translate_lines,
)
from dragoman.translate.evaluation.outputs import check_writable

if TYPE_CHECKING:
    from dragoman.runtime.loading import Model
    from dragoman.runtime.translator import Translator

# The options of `evaluate` that only translators have, with their defaults.
TRANSLATOR_OPTIONS: dict[str, Any] = {
    "report": None,
    "robustness": False,
    "exact": False,
    "beam": None,
    "length_penalty": None,
    "show": [],
    "protocol": "cased",
}


def add_commands(commands: Commands) -> None:
    """Register `evaluate` and `compare`."""
    _add_evaluate(commands)
    _add_compare(commands)


def _add_evaluate(commands: Commands) -> None:
    p = commands.add_parser(
        "evaluate",
        help="score a model against a reference",
        description="Score a model against a reference. Translators: BLEU, chrF and TER with sacreBLEU's signatures. "
        "Classifiers and taggers: accuracy and macro-F1, or entity F1. Forecasters: mean absolute error and skill. "
        "Several runs translate together: as an ensemble if they share tokenizers and reading direction, otherwise by "
        "reranking each other's translations. "
        "Never compare scores of different protocols.",
    )
    p.add_argument("model", nargs="+", metavar="MODEL", help="run folder (computed by PyTorch) or .onnx file")
    _add_test_set_options(p)
    p.add_argument(
        "--corpus", metavar="DIR", help="use the test part of a corpus folder instead of --source and --reference"
    )
    p.add_argument("--output", metavar="FILE", help="also write the translations, or labels, to a file")
    p.add_argument(
        "--record", metavar="FILE.jsonl",
        help="also write all scores as one row of JSON with signatures, command, seed, commit and machine; "
        "it replaces the row of the same run and test set",
    )  # fmt: skip
    p.add_argument(
        "--name", metavar="SET", help="name of the test set in the row of --record (default: the source's file name)"
    )
    p.add_argument(
        "--report", metavar="PAGE.html",
        help="also write an HTML page with scores, training curves, examples and attention maps",
    )  # fmt: skip
    p.add_argument(
        "--show", action="append", type=positive, default=[], metavar="LINE",
        help="draw the attention map of this line in the report; may be repeated (default: four lines)",
    )  # fmt: skip
    p.add_argument(
        "--robustness", action="store_true",
        help="also translate perturbed text (case, punctuation, typing errors, spaces, numbers, a single word, empty "
        "lines) and count failures: repetition loops, empty or unfinished translations, wrong lengths, lost numbers",
    )  # fmt: skip
    p.add_argument(
        "--exact", action="store_true", help="also print the percentage of exact matches for each source length"
    )
    p.set_defaults(run=evaluate, other_corpus=False)


def _add_compare(commands: Commands) -> None:
    p = commands.add_parser(
        "compare",
        help="compare two models on a test set",
        description="Compare two models: BLEU, chrF and TER with sacreBLEU's paired bootstrap test, scores by source "
        "length, and the sentences that differ most. Two files of translations need no --source.",
    )
    p.add_argument("first", metavar="A", help="run folder, .onnx file or file of translations")
    p.add_argument("second", metavar="B", help="run folder, .onnx file or file of translations to compare with A")
    _add_test_set_options(p)
    p.add_argument(
        "--count", type=positive, default=10, metavar="N",
        help="sentences to show in which B is better, and as many in which it is worse (default: 10)",
    )  # fmt: skip
    p.add_argument(
        "--language", metavar="XX",
        help="target language; needed only for files of translations in a script that is scored by characters, such as "
        "Chinese, Japanese or Korean",
    )  # fmt: skip
    p.add_argument("--html", metavar="PAGE.html", help="also write the comparison as an HTML page")
    p.set_defaults(run=compare)


def _add_test_set_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("--source", metavar="FILE", help="text to translate, plain or compressed")
    p.add_argument(
        "--reference", metavar="FILE", action="append",
        help="its reference translation, line by line; repeat it for several references of each line",
    )  # fmt: skip
    p.add_argument("--beam", type=positive, metavar="K", help="beam size (default: the model's own)")
    p.add_argument(
        "--length-penalty", type=float, metavar="A",
        help="rank translations by log-probability / length ** A (default: the model's own)",
    )  # fmt: skip
    p.add_argument(
        "--batch-size", type=positive, metavar="N", help="sentences in a batch (default: 64, and on a GPU 512)"
    )
    p.add_argument(
        "--protocol", choices=("cased", "lc.tok"), default="cased",
        help="evaluation protocol. cased (default): detokenised text with its case. lc.tok: lower-cased and "
        "Moses-tokenised, like the published Multi30k scores; needs the extra `moses`. (TER ignores case in both)",
    )  # fmt: skip
    p.add_argument("--basis", nargs="?", action=_Renamed, new_name="--protocol", help=argparse.SUPPRESS)
    p.add_argument("--json", action="store_true", help="print the results as JSON")


class _Renamed(argparse.Action):
    """An option that has a new name: using it is an error."""

    def __init__(self, *args: Any, new_name: str, **kwargs: Any) -> None:  # noqa: ANN401 (argparse's own arguments)
        super().__init__(*args, **kwargs)
        self.new_name = new_name

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:  # fmt: skip
        """Exit with status 2 and one line that gives the new name."""
        parser.exit(2, f"dragoman: {option_string} is now called {self.new_name}\n")


def evaluate(a: argparse.Namespace) -> int:
    """Run `dragoman evaluate`."""
    from dragoman.runtime.forecasting import Forecaster
    from dragoman.runtime.translator import Translator

    model = load_model(a.model)
    if not isinstance(model, Translator):
        _check_no_translator_options(a)
    if a.corpus:
        _check_corpus(model, a)
        a.other_corpus = _is_other_corpus(model, a.corpus)
        if a.other_corpus:
            print(
                f"dragoman: {a.corpus} is not the corpus that {' and '.join(a.model)} learnt from, so its test set may "
                "hold training text",
                file=sys.stderr,
            )
    if isinstance(model, Translator):
        from dragoman.translate.evaluation.translation_evaluation import evaluate_translations

        return evaluate_translations(model, a)
    if isinstance(model, Forecaster):
        from dragoman.translate.evaluation.series_evaluation import evaluate_forecasts

        return evaluate_forecasts(model, a)
    from dragoman.translate.evaluation.label_evaluation import evaluate_labels

    return evaluate_labels(model, a)


def _check_no_translator_options(a: argparse.Namespace) -> None:
    """Raise UserError when an option is given that only translators have."""
    for option, default in TRANSLATOR_OPTIONS.items():
        if getattr(a, option) != default:
            raise UserError(f"--{option.replace('_', '-')} applies to translators only; leave it out")


def _check_corpus(model: Model, a: argparse.Namespace) -> None:
    """Raise UserError when --corpus is for another task or other languages than the model."""
    from dragoman.runtime.translator import Translator
    from dragoman.translate.corpus.folder import Corpus, check_model_languages

    corpus, task = Corpus(a.corpus), model.metadata.task
    if corpus.task != task:
        raise UserError(
            f"{a.corpus} is a corpus for the task {corpus.task}, but {a.model[0]} was trained for the task {task}; "
            f"give a corpus for {task}"
        )
    if isinstance(model, Translator):
        check_model_languages(a.model[0], model, corpus.folder, corpus.languages)


def _is_other_corpus(model: Model, folder: str) -> bool:
    """Return True if a model was trained on another corpus, which its distilled text did not come from either.

    Models of earlier versions do not say.
    """
    from dragoman.translate.corpus.folder import Corpus
    from dragoman.translate.training.run_metadata import corpus_digests

    card = model.metadata.card
    trained = [corpus_digests(member) for member in card.get("members", [card])]
    try:
        digest = Corpus(folder).digest()
    except UserError:  # the folder holds a test set alone
        return False
    return any(digests and digest not in digests for digests in trained)


def compare(a: argparse.Namespace) -> int:
    """Run `dragoman compare`."""
    from dragoman.translate.evaluation.compare import as_text, compare_systems
    from dragoman.translate.evaluation.metrics import check_protocol

    check_writable("--html", a.html, [a.first, a.second, *filter(None, [a.source]), *(a.reference or ())])
    if not a.reference:
        raise UserError(
            "give --source and --reference, a text and its expected output; two files of translations need no --source"
        )
    # All inputs are checked before a model translates, which may take minutes.
    translators = {path: load_translator([path]) for path in (a.first, a.second) if _is_model(path)}
    if translators and not a.source:
        raise UserError(f"{next(iter(translators))} is a model; give --source, the text that it translates")
    files = [path for path in dict.fromkeys((a.first, a.second)) if path not in translators]
    source, references, outputs = _read_texts(a, files)
    language = _target_language(translators) or a.language or ""
    check_protocol(language, a.protocol)
    _check_language_known(a, language, references[0])
    for path, translator in translators.items():
        outputs[path] = [r.text for r in translate_lines(translator, source or [], a, path)]
    if a.first == a.second:
        systems = {f"{a.first} ({n})": outputs[a.first] for n in (1, 2)}
    else:
        systems = {path: outputs[path] for path in (a.first, a.second)}
    comparison = compare_systems(source, systems, references, language, a.protocol, a.count)
    print(json.dumps(comparison, indent=2, ensure_ascii=False) if a.json else as_text(comparison))
    if a.html:
        from dragoman.runtime.files import write_atomically
        from dragoman.translate.evaluation.report import comparison_report

        write_atomically(
            Path(a.html), comparison_report(comparison, a.source or a.reference[0]).encode("utf-8", "backslashreplace")
        )
    return 0


def _is_model(path: str) -> bool:
    """Return False for a file of translations, which may also be a pipe."""
    return path.endswith(".onnx") or Path(path).is_dir() or not Path(path).exists()


def _read_texts(
    a: argparse.Namespace, files: Sequence[str]
) -> tuple[list[str] | None, list[list[str]], dict[str, list[str]]]:
    """Return the source if there is one, the references, and the translations in each file."""
    texts = read_parallel_lines([*filter(None, [a.source]), *a.reference, *files])
    source = texts.pop(0) if a.source else None
    count = len(a.reference)
    return source, texts[:count], dict(zip(files, texts[count:], strict=True))


def _target_language(translators: dict[str, Translator]) -> str:
    """Return the target language that all translators share, or "" if there are none. Raises UserError."""
    languages = {path: translator.metadata.target_language for path, translator in translators.items()}
    if len({*languages.values()}) > 1:
        (first, one), (second, other) = languages.items()
        raise UserError(
            f"{first} translates into {one} and {second} into {other}; compare models with the same target language"
        )
    return next(iter(languages.values()), "")


def _check_language_known(a: argparse.Namespace, language: str, reference: Sequence[str]) -> None:
    """Raise UserError when the language is unknown and the script of the reference makes it matter."""
    from dragoman.translate.evaluation.metrics import needs_language

    if not language and needs_language(reference):
        raise UserError(
            f"{a.reference[0]} is in a script that is scored by characters; give its language with --language"
        )

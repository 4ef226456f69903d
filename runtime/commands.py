"""The commands that need no training extras: translate, run, serve, web, info and bench."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.console import THREADS_HELP, Commands, not_negative, positive, run_commands, server_url
from dragoman.runtime.errors import UserError
from dragoman.runtime.line_processing import (
    STANDARD_INPUT,
    Compute,
    LineWarnings,
    check_files,
    check_texts,
    process_lines,
)
from dragoman.runtime.lines import utf8_chunks
from dragoman.runtime.output import open_output
from dragoman.runtime.timing import add_bench
from dragoman.runtime.wording import counted

if TYPE_CHECKING:
    from dragoman.runtime.forecasting import Forecaster
    from dragoman.runtime.labelling import Classification, Classifier, Tagged, Tagger
    from dragoman.runtime.translation import Translation
    from dragoman.runtime.translator import Translator


def add_commands(commands: Commands) -> None:
    """Register `translate`, `run`, `serve`, `web`, `info` and `bench`."""
    p = commands.add_parser(
        "translate",
        help="translate text or a document with a model file",
        description="Translate each TEXT, or each line of a file or of standard input, and print one line for each "
        "translation. A file in a known format, such as report.html, is translated as a document, which keeps its "
        "markup and layout. Tabs separate the columns, in this order: line number (with --n-best above 1), score (with "
        "--scores or --n-best above 1), translation, word alignment (with --alignments). If there are several columns, "
        "a line break within a text is printed as \\n or \\r, so that each hypothesis is one row; --json has the exact "
        "text. The alignment is of the best translation: pairs SOURCE-TARGET of word numbers, counted from 0.",
    )
    _add_input_arguments(
        p, "TEXT", "a text, in UTF-8; - is standard input (default: the lines of standard input)", documents=True
    )
    p.add_argument(
        "--beam", type=positive, metavar="K",
        help="beam size, from 1 (greedy search) to the vocabulary size (default: the file's; with --n-best above 1, at "
        "least twice N)",
    )  # fmt: skip
    p.add_argument(
        "--n-best", type=positive, default=1, metavar="N",
        help="print the N best different translations of each text, from 1 to the beam size; fewer if the beam holds "
        "fewer (default: 1)",
    )  # fmt: skip
    p.add_argument(
        "--length-penalty", type=float, metavar="A",
        help="exponent in score = log-probability / length ** A, from 0 to 5; a higher value favours longer "
        "translations (default: the file's)",
    )  # fmt: skip
    p.add_argument("--scores", action="store_true", help="print the score of each translation")
    p.add_argument(
        "--alignments", action="store_true",
        help="print which source word each word of the translation comes from; the model must have attention",
    )  # fmt: skip
    p.add_argument(
        "--processes", type=positive, default=1, metavar="N",
        help="number of processes that translate a file together; each loads the model (default: 1)",
    )  # fmt: skip
    _add_document_arguments(p)
    p.set_defaults(run=translate)

    p = commands.add_parser(
        "run",
        help="translate, classify, tag or forecast with a model file",
        description="Run a model file of any task on each INPUT, or on standard input, where each line is a text. A "
        "translator prints the same as `dragoman translate`. A classifier prints the class of each text. A tagger "
        "prints one line for each word, with the word, a tab and its label, and an empty line after each text. Words "
        "are separated by spaces; punctuation must be separated from words as in the training data, usually by a "
        "space. A forecaster reads CSV, from files or from standard input, and prints the rows that follow.",
    )
    _add_input_arguments(
        p, "INPUT", "a text, in UTF-8, or a CSV file for a forecaster; - is standard input (default: standard input)",
        "text or file",
    )  # fmt: skip
    p.add_argument(
        "--scores", action="store_true",
        help="also print each translation's score, or each label's probability; not for forecasters",
    )  # fmt: skip
    p.set_defaults(run=run, beam=None, n_best=1, length_penalty=None, alignments=False, processes=1)

    _add_serve(commands)
    _add_web(commands)

    p = commands.add_parser(
        "info",
        help="describe a model file",
        description="Print the metadata of a model file: task, languages, precision, default settings, model card and "
        "training configuration.",
    )
    p.add_argument("model", metavar="FILE.onnx", help="a file made by `dragoman export`")
    p.add_argument(
        "--self-test", action="store_true",
        help="also check that the file's test inputs get the same results here as at export",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print JSON instead of text")
    p.set_defaults(run=info)

    add_bench(commands)


def _add_serve(commands: Commands) -> None:
    """Register `serve`."""
    p = commands.add_parser(
        "serve",
        help="serve translations over HTTP, with a web page",
        description="Serve translations over HTTP to programs and people: a page at /, an interface that clients of "
        "LibreTranslate understand, and its description at /docs. Sentences of all requests are translated together. "
        "A model whose file changes is loaded again without dropping a request; so are all at SIGHUP. SIGTERM and "
        "Ctrl-C end the server after the requests that it has accepted. It needs the extra `serve`.",
    )  # fmt: skip
    p.add_argument("models", metavar="FILE.onnx", nargs="+", help="a translator for each pair of languages")
    p.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on (default: 127.0.0.1, for programs on this machine); 0.0.0.0 or :: for all networks",
    )  # fmt: skip
    p.add_argument(
        "--port",
        type=not_negative,
        default=5000,
        metavar="N",
        help="port to listen on; 0 for a free one (default: 5000)",
    )
    p.add_argument(
        "--url", type=server_url, metavar="URL",
        help="URL that clients use, such as https://example.org/mt behind a proxy (default: http and the host that a "
        "request names)",
    )  # fmt: skip
    p.add_argument(
        "--beam", type=positive, metavar="K", help="beam size, from 1 (greedy search) (default: that of each file)"
    )
    p.add_argument(
        "--workers", type=not_negative, default=0, metavar="N",
        help="threads that translate (default: one for each core)",
    )  # fmt: skip
    p.add_argument(
        "--batch-size", type=positive, default=32, metavar="N",
        help="largest number of sentences to translate together (default: 32)",
    )  # fmt: skip
    p.add_argument(
        "--queue", type=positive, default=200_000, metavar="N",
        help="characters of all requests that may wait; a request beyond them is refused with 503 (default: 200000)",
    )  # fmt: skip
    p.add_argument(
        "--char-limit", type=positive, default=20_000, metavar="N",
        help="characters of text in one request (default: 20000)",
    )  # fmt: skip
    p.add_argument(
        "--file-limit", type=positive, default=8, metavar="MIB",
        help="size of a document in MiB; it takes some 50 times as much memory (default: 8)",
    )  # fmt: skip
    p.add_argument(
        "--rate", type=not_negative, default=0, metavar="N",
        help="requests a minute of one client, by its key or its address; 0 for any number (default: 0)",
    )  # fmt: skip
    p.add_argument(
        "--api-keys", metavar="FILE",
        help="accept only requests with a key of this file: a key a line, and if wanted behind it requests a minute "
        "and characters a request",
    )  # fmt: skip
    p.add_argument(
        "--cors", nargs="+", default=[], metavar="ORIGIN",
        help="web pages of these origins, such as https://example.org, may use the server; '*' for all (default: none)",
    )  # fmt: skip
    p.add_argument(
        "--log", choices=("errors", "requests", "texts"), default="errors",
        help="write to standard error: errors; also each request, without its text; or also texts and translations "
        "(default: errors)",
    )  # fmt: skip
    p.set_defaults(run=serve)


def serve(a: argparse.Namespace) -> int:
    """Run `dragoman serve` and return its exit status."""
    with _serve_extra("serve"):
        from dragoman.runtime.server.command import serve
    return serve(a)


def _add_web(commands: Commands) -> None:
    """Register `web`."""
    p = commands.add_parser(
        "web",
        help="write a site of static files that translates in the browser",
        description="Write a folder that any host of static files can serve. Its page is that of `dragoman serve`, but "
        "the models run in the browser: texts stay on the device, and after the first visit it works without a "
        "network. It needs the extra `serve` and the npm package onnxruntime-web.",
    )
    p.add_argument("models", metavar="FILE.onnx", nargs="+", help="a translator for each pair of languages")
    p.add_argument(
        "--out", required=True, metavar="FOLDER",
        help="write the site to this folder; a site that `dragoman web` wrote there is replaced when the new one is "
        "complete",
    )  # fmt: skip
    p.add_argument(
        "--onnxruntime", default="node_modules/onnxruntime-web", metavar="FOLDER",
        help="folder of the npm package onnxruntime-web (default: node_modules/onnxruntime-web)",
    )  # fmt: skip
    p.add_argument("--title", default="Dragoman", metavar="TEXT", help="title of the page (default: Dragoman)")
    p.set_defaults(run=web)


def web(a: argparse.Namespace) -> int:
    """Run `dragoman web` and return its exit status."""
    with _serve_extra("web"):
        from dragoman.runtime.site.command import web
    return web(a)


@contextlib.contextmanager
def _serve_extra(command: str) -> Iterator[None]:
    """Raise UserError if an import fails because the extra `serve` is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise UserError(
            f"`dragoman {command}` needs the package {package}: pip install '.[serve]' in Dragoman's folder"
        ) from None


def _add_input_arguments(
    p: argparse.ArgumentParser, metavar: str, input_help: str, unit: str = "text", *, documents: bool = False
) -> None:
    """Add the arguments of commands that read text, whose output has a result for each `unit`."""
    p.add_argument("model", metavar="FILE.onnx", help="a file made by `dragoman export`")
    p.add_argument("text", metavar=metavar, nargs="*", help=input_help)
    p.set_defaults(text_name=metavar)
    p.add_argument(
        "--in", dest="input", metavar="FILE",
        help=f"read {'a document or ' if documents else ''}the lines of this file: UTF-8, or UTF-16 with a byte order "
        "mark; plain, or compressed with gzip, bzip2 or xz",
    )  # fmt: skip
    p.add_argument(
        "--out", metavar="FILE",
        help="write to this file; lines are compressed if the name ends in .gz, .bz2 or .xz (default: "
        "standard output). The file appears under its name when it is complete; until then the results are in "
        "FILE.partial",
    )  # fmt: skip
    p.add_argument(
        "--resume", action="store_true",
        help="continue the FILE.partial that an interrupted command with the same model, input and options has left; "
        "start at the beginning if there is none",
    )  # fmt: skip
    p.add_argument("--threads", type=not_negative, default=1, metavar="N", help=THREADS_HELP)
    p.add_argument(
        "--batch-size", type=positive, default=32, metavar="N",
        help="largest number of texts to process at once, from 1 (default: 32)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help=f"print one line of JSON for each {unit}")


def _add_document_arguments(p: argparse.ArgumentParser) -> None:
    """Add the arguments that only documents have."""
    from dragoman.runtime.documents.names import ENDINGS, FORMAT_NAMES

    endings = ", ".join(ending for name, endings in ENDINGS.items() if name != "text" for ending in endings[:1])
    group = p.add_argument_group("documents", f"A file of --in is a document if its name ends in {endings}.")
    group.add_argument(
        "--format", choices=FORMAT_NAMES, metavar="NAME",
        help=f"format of the document (default: by its ending): {', '.join(FORMAT_NAMES)}; text: one text a line",
    )  # fmt: skip
    group.add_argument(
        "--encoding",
        metavar="NAME",
        help="encoding of the document's text, such as windows-1252 (default: the one that it declares, or UTF-8)",
    )
    group.add_argument(
        "--keys", nargs="+", action="extend", default=[], metavar="PATH",
        help="JSON: translate only the strings at these paths, such as menu.title or 'items.*.label' (default: all "
        "that look like text for people)",
    )  # fmt: skip
    group.add_argument(
        "--columns", nargs="+", action="extend", default=[], metavar="NAME",
        help="CSV and TSV: translate only these columns, by name or number from 1 (default: all cells that look like "
        "text for people)",
    )  # fmt: skip
    group.add_argument(
        "--fuzzy", action="store_true", help="PO and XLIFF: mark translations as drafts that a person must review"
    )
    group.add_argument(
        "--drop-tags", action="store_true",
        help="translate a segment without its inline tags if they cannot be placed (default: keep its source)",
    )  # fmt: skip
    group.add_argument(
        "--report", metavar="FILE",
        help="write a report: FILE.json lists the segments that a person should look at; FILE.html shows all segments, "
        "source and translation side by side",
    )  # fmt: skip


def translate(a: argparse.Namespace) -> int:
    """Run `dragoman translate` and return its exit status."""
    from dragoman.runtime.documents.names import check_lines, is_document
    from dragoman.runtime.translator import Translator

    if is_document(a):
        from dragoman.runtime.documents.command import translate_document

        return translate_document(a)
    check_lines(a)
    check_files(a)
    check_texts(a)
    return _translate(Translator.load(a.model, threads=a.threads), a)


def _translate(translator: Translator, a: argparse.Namespace) -> int:
    """Translate the input of a command and write the results."""
    compute: Compute = partial(  # type: ignore[assignment]  # of the overloads, mypy takes that for one text
        translator.translate, beam=a.beam, n_best=a.n_best, length_penalty=a.length_penalty, alignments=a.alignments,
        batch_size=a.batch_size,
    )  # fmt: skip

    def render(lines: Sequence[str], results: Sequence[Translation], number: int, warnings: LineWarnings) -> str:
        output = ""
        for n, (line, result) in enumerate(zip(lines, results, strict=True), number):
            if not result.complete:
                warnings.warn(n, "the translation reached the largest allowed length, so its end may be missing")
            for part in result.untranslated:
                kind = "a part stays in the source language, because a translation would lose what must be kept"
                warnings.warn(n, f"{kind}: {part}", kind)
            output += _translation_json(n, line, result, a) if a.json else _translation_columns(n, result, a)
        return output

    process_lines(a, _facts(translator, a), compute, render)
    return 0


def _facts(model: Translator | Classifier | Tagger, a: argparse.Namespace) -> dict[str, Any]:
    """Return all that the results depend on besides the lines. The batch size and threads do not change them."""
    options = ("beam", "n_best", "length_penalty", "scores", "alignments", "json")
    return {"model": model.checksum, **{f"--{name.replace('_', '-')}": getattr(a, name) for name in options}}


def _translation_columns(number: int, result: Translation, a: argparse.Namespace) -> str:
    """Return one line of columns for each hypothesis, or for the empty translation."""
    output = ""
    for k, hypothesis in enumerate(result.hypotheses or (None,)):
        columns = [str(number)] if a.n_best > 1 else []
        if a.scores or a.n_best > 1:
            columns.append(f"{hypothesis.score:.4f}" if hypothesis else "0.0000")
        columns.append(hypothesis.text if hypothesis else "")
        if len(columns) > 1 or a.alignments:
            columns[-1] = columns[-1].replace("\n", "\\n").replace("\r", "\\r")
        if a.alignments:
            columns.append(" ".join(f"{s}-{t}" for s, t in result.alignment) if k == 0 else "")
        output += "\t".join(columns) + "\n"
    return output


def _translation_json(number: int, line: str, result: Translation, a: argparse.Namespace) -> str:
    value = {
        "line": number,
        "source": line,
        "text": result.text,
        "score": result.score,
        "complete": result.complete,
        "parts": result.parts,
        "hypotheses": [{"text": h.text, "score": h.score} for h in result.hypotheses],
    }
    if a.alignments:
        value["alignment"] = result.alignment
    return json.dumps(value, ensure_ascii=False) + "\n"


def run(a: argparse.Namespace) -> int:
    """Run `dragoman run` and return its exit status."""
    from dragoman.runtime.forecasting import Forecaster
    from dragoman.runtime.loading import load
    from dragoman.runtime.translator import Translator

    check_files(a)
    model = load(a.model, threads=a.threads)
    if isinstance(model, Translator):
        check_texts(a)
        return _translate(model, a)
    if isinstance(model, Forecaster):
        if a.scores:
            raise UserError(f"--scores: {a.model} is a forecaster, and forecasts have no scores")
        return _forecast(model, a)
    check_texts(a)
    return _label(model, a)


def _label(model: Classifier | Tagger, a: argparse.Namespace) -> int:
    """Classify or tag the input of a command and write the results."""
    from dragoman.runtime.labelling import Classification, Classifier

    label = model.classify if isinstance(model, Classifier) else model.tag
    compute: Compute = partial(label, batch_size=a.batch_size)  # type: ignore[assignment]  # as above

    def render(
        lines: Sequence[str], results: Sequence[Classification | Tagged], number: int, warnings: LineWarnings
    ) -> str:
        output = ""
        for n, (line, result) in enumerate(zip(lines, results, strict=True), number):
            value = asdict(result)
            text = _class_line(result, a.scores) if isinstance(result, Classification) else _tag_lines(result, a.scores)
            if not value.get("complete", True):
                warnings.warn(n, "the end of a word was not read; it is too long")
            row = {"line": n, "source": line, **value}
            output += json.dumps(row, ensure_ascii=False) + "\n" if a.json else text
        return output

    process_lines(a, _facts(model, a), compute, render)
    return 0


def _class_line(result: Classification, scores: bool) -> str:
    return result.label + (f"\t{result.probability:.4f}" if scores else "") + "\n"


def _tag_lines(result: Tagged, scores: bool) -> str:
    rows = zip(result.words, result.labels, result.probabilities, strict=True)
    return "".join(f"{w}\t{label}" + (f"\t{p:.4f}" if scores else "") + "\n" for w, label, p in rows) + "\n"


def _forecast(model: Forecaster, a: argparse.Namespace) -> int:
    """Forecast the series in the files of a command and write the results."""
    if a.resume:
        raise UserError(f"--resume: {a.model} is a forecaster, whose output is not continued")
    with open_output(a.out, {}, resume=False) as output:
        for source in [a.input] if a.input else a.text or [None]:
            output.write(_forecast_of(model, source, a), 1, "")
    return 0


def _forecast_of(model: Forecaster, path: str | None, a: argparse.Namespace) -> str:
    """Return the forecast of the series in a file, or for None in standard input, as CSV or JSON."""
    from dragoman.runtime.series import read_series, write_series

    source = path or STANDARD_INPUT
    try:
        with open(path, "rb") if path else contextlib.nullcontext(sys.stdin.buffer) as file:
            data = b"".join(utf8_chunks(file, source))
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror or error}; a forecaster reads CSV files") from None
    series = read_series(data, source, model.names, preferred_time=model.time)
    try:
        forecast = model.forecast_series(series)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    if (rows := len(series.values)) < model.window:
        print(
            f"dragoman: {source} has {counted(rows, 'row')}, and the model looks back {model.window:,}; the earlier "
            "ones count as missing",
            file=sys.stderr,
        )
    if not a.json:
        return write_series(forecast)
    axis, n_rows = forecast.time_axis, len(forecast.values)
    times = [axis.at(row) for row in range(n_rows)] if axis else None
    columns = dict(zip(forecast.names, forecast.values.T.tolist(), strict=True))
    return json.dumps({"file": source, "time": times, **columns}, ensure_ascii=False) + "\n"


def info(a: argparse.Namespace) -> int:
    """Run `dragoman info` and return its exit status."""
    from dragoman.runtime.loading import load
    from dragoman.runtime.tokenizer import Tokenizer

    m = load(a.model, self_test=a.self_test).metadata
    is_translator = m.task == "translate"
    tokenizers = (m.source_tokenizer, m.target_tokenizer) if is_translator else (m.source_tokenizer,)
    value: dict[str, Any] = {
        "file": str(a.model),
        "megabytes": round(Path(a.model).stat().st_size / 1e6, 2),
        "schema": m.schema,
        "task": m.task,
        **({"languages": f"{m.source_language}-{m.target_language}"} if is_translator else {}),
        **({"language": m.source_language} if m.labels else {}),
        **({"labels": m.labels} if m.labels else {}),
        **({"series": m.series} if m.series else {}),
        "precision": m.precision,
        **({} if m.series else {"vocabulary": [len(Tokenizer(model)) for model in tokenizers]}),
        "max_source": m.max_source,
        **({"max_sentences": m.max_sentences} if is_translator else {}),
        **({} if m.series else {"normalisation": m.normalisation}),
        **({"selection": m.selection} if m.selection else {}),
        "defaults": m.defaults,
        "self_test": "passed" if a.self_test else f"{len(m.self_test['cases'])} cases; run them with --self-test",
        **({"quantisation": {k: v for k, v in m.quantisation.items() if k != "calibration"}} if m.quantisation else {}),
        "card": m.card,
        "config": m.config,
    }
    if a.json:
        print(json.dumps(value, indent=2, ensure_ascii=False))
        return 0
    for key, item in value.items():
        if isinstance(item, dict):
            print(key)
            for line in _flatten(item):
                print(f"  {line}")
        else:
            print(f"{key:<12} {item if not isinstance(item, list) else ', '.join(map(str, item))}")
    return 0


def _flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the lines `key.key = value` of nested dictionaries."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {value}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m dragoman.runtime`, which has only the commands of this module, and return its exit status."""
    return run_commands("dragoman", "Translate, classify, tag or forecast with a Dragoman file.", [add_commands], argv)

"""The commands that need only the runtime: translate, run, info, bench."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.console import Commands, chunks, decoded, not_negative, positive, run_commands
from dragoman.runtime.errors import UserError

if TYPE_CHECKING:
    from dragoman.runtime.forecasting import Forecaster
    from dragoman.runtime.labelling import Classification, Tagged
    from dragoman.runtime.translator import Translation, Translator


THREADS_HELP = "threads inside one product (default 1); 0: one for each core"


def add_commands(commands: Commands) -> None:
    """Register `translate`, `run`, `info` and `bench`."""
    p = commands.add_parser(
        "translate",
        help="translate text with a model file",
        description="Translate TEXT, or standard input line for line. Columns are separated by tabs: with --n-best the "
        "line's number, with --scores or --n-best the score, then the translation, with --alignments the pairs "
        "source-target of words, counted from 0, of the best translation.",
    )
    _add_reading(p)
    p.add_argument(
        "--beam", type=positive, metavar="K",
        help="beam size; 1 is greedy (default: the file's own, or twice --n-best above 1 where that is more)",
    )  # fmt: skip
    p.add_argument(
        "--n-best", type=positive, default=1, metavar="N",
        help="write the N best of each text that differ; fewer where the beam holds no more",
    )  # fmt: skip
    p.add_argument("--length-penalty", type=float, metavar="A", help="scores are log-probability / length ** A")
    p.add_argument("--scores", action="store_true", help="write each translation's score")
    p.add_argument("--alignments", action="store_true", help="write which words of the source each word comes from")
    p.set_defaults(run=translate)

    p = commands.add_parser(
        "run",
        help="run a model file, whatever it was made for",
        description="Read TEXT, or standard input line for line, with any file. A classifier writes the class of each "
        "text, with --scores a tab and its probability; a tagger a line for each word, with a tab and its label, and "
        "an empty line after each text; a translator what `dragoman translate` does. A forecaster reads CSV, each TEXT "
        "the name of a file, and writes the rows that follow. Words are what stands between spaces: give a tagger text "
        "as it learnt it, most often with a space before each punctuation mark.",
    )
    _add_reading(p)
    p.add_argument("--scores", action="store_true", help="write how likely each is, too")
    p.set_defaults(run=run, beam=None, n_best=1, length_penalty=None, alignments=False)

    p = commands.add_parser("info", help="say what a model file is", description="What a model file says about itself.")
    p.add_argument("model", metavar="FILE.onnx")
    p.add_argument("--self-test", action="store_true", help="also check that it computes here what it did when made")
    p.add_argument("--json", action="store_true")
    p.set_defaults(run=info)

    p = commands.add_parser(
        "bench",
        help="time a model file on this machine",
        description="Milliseconds a batch, medians with the quartiles. The sentences are those of the file's "
        "self-test, or the first lines of --source.",
    )
    p.add_argument("model", metavar="FILE.onnx")
    p.add_argument("--batch", type=positive, nargs="+", default=[1, 32], metavar="N", help="sentences (default 1 32)")
    p.add_argument("--beam", type=positive, nargs="+", default=[1, 5], metavar="K", help="beam sizes (default 1 5)")
    p.add_argument("--threads", type=not_negative, default=1, metavar="N", help=THREADS_HELP)
    p.add_argument("--repeat", type=positive, default=15, metavar="N", help="runs of each (default 15)")
    p.add_argument("--source", metavar="F", help="sentences to time on")
    p.add_argument("--json", action="store_true", help="one JSON object a line")
    p.set_defaults(run=bench)


def _add_reading(p: argparse.ArgumentParser) -> None:
    """The arguments of commands that read text with a file."""
    p.add_argument("model", metavar="FILE.onnx", help="a file made by `dragoman export`")
    p.add_argument("text", metavar="TEXT", nargs="*", help="each is one text; without any, lines of standard input")
    p.add_argument("--threads", type=not_negative, default=1, metavar="N", help=THREADS_HELP)
    p.add_argument("--batch-size", type=positive, default=32, metavar="N", help="texts at a time, at most (default 32)")
    p.add_argument("--json", action="store_true", help="write one JSON object a text")


def translate(a: argparse.Namespace) -> int:
    """`dragoman translate`."""
    from dragoman.runtime.translator import Translator

    return _translate(Translator.load(a.model, threads=a.threads), a)


def _translate(translator: Translator, a: argparse.Namespace) -> int:
    number = 0

    def write(lines: Sequence[str]) -> None:
        nonlocal number
        results = translator.translate(
            lines, beam=a.beam, n_best=a.n_best, length_penalty=a.length_penalty, alignments=a.alignments,
            batch_size=a.batch_size,
        )  # fmt: skip
        for line, result in zip(lines, results, strict=True):
            number += 1
            if not result.complete:
                print(
                    f"dragoman: line {number}: the translation reached the longest length allowed and may lack its end",
                    file=sys.stderr,
                )
            sys.stdout.write(_json_line(number, line, result) if a.json else _columns(number, result, a))
        sys.stdout.flush()

    def _columns(number: int, result: Translation, a: argparse.Namespace) -> str:
        out = ""
        for k, h in enumerate(result.hypotheses or (None,)):
            columns = [str(number)] if a.n_best > 1 else []
            if a.scores or a.n_best > 1:
                columns.append(f"{h.score:.4f}" if h else "0.0000")
            columns.append(h.text if h else "")
            if a.alignments:
                columns.append(" ".join(f"{s}-{t}" for s, t in result.alignment) if k == 0 else "")
            out += "\t".join(columns) + "\n"
        return out

    def _json_line(number: int, line: str, result: Translation) -> str:
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

    return _feed(a, write)


def run(a: argparse.Namespace) -> int:
    """`dragoman run`."""
    from dragoman.runtime.forecasting import Forecaster
    from dragoman.runtime.labelling import Classifier
    from dragoman.runtime.loading import load
    from dragoman.runtime.translator import Translator

    model = load(a.model, threads=a.threads)
    if isinstance(model, Translator):
        return _translate(model, a)
    if isinstance(model, Forecaster):
        if a.scores:
            raise UserError(f"--scores: {a.model} forecasts, and says nothing of how likely that is")
        return _forecast(model, a)
    number = 0

    def write(lines: Sequence[str]) -> None:
        nonlocal number
        results: list[tuple[str, dict[str, Any]]]
        if isinstance(model, Classifier):
            classes = model.classify(lines, batch_size=a.batch_size)
            results = [(_class_line(found, a.scores), asdict(found)) for found in classes]
        else:
            tagged = model.tag(lines, batch_size=a.batch_size)
            results = [(_tag_lines(found, a.scores), asdict(found)) for found in tagged]
        for line, (text, value) in zip(lines, results, strict=True):
            number += 1
            if not value.get("complete", True):
                print(f"dragoman: line {number}: a word is too long to be read to its end", file=sys.stderr)
            if a.json:
                text = json.dumps({"line": number, "source": line, **value}, ensure_ascii=False) + "\n"
            sys.stdout.write(text)
        sys.stdout.flush()

    return _feed(a, write)


def _forecast(model: Forecaster, a: argparse.Namespace) -> int:
    import gzip
    import zlib

    from dragoman.runtime.series import read_series, write_series

    for where in a.text or ["standard input"]:
        try:
            data = Path(where).read_bytes() if a.text else sys.stdin.buffer.read()
        except OSError as error:
            raise UserError(f"cannot read {where}: {error.strerror or error}; a forecaster reads CSV files") from None
        if data.startswith(b"\x1f\x8b"):
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error) as error:
                raise UserError(f"{where} is not a whole gzip file: {error}") from None
        given = read_series(data, where, model.names, likely=model.time)
        try:
            ahead = model.continued(given)
            if (rows := len(given.values)) < model.window:
                print(
                    f"dragoman: {where} has {rows:,} rows where the model looks back {model.window:,}; those before "
                    "count as missing",
                    file=sys.stderr,
                )
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        if a.json:
            times = [ahead.clock.at(row) for row in range(len(ahead.values))] if ahead.clock else None
            value = {"file": where, "time": times, **dict(zip(ahead.names, ahead.values.T.tolist(), strict=True))}
            print(json.dumps(value, ensure_ascii=False))
        else:
            sys.stdout.write(write_series(ahead))
    return 0


def _class_line(result: Classification, scores: bool) -> str:
    return result.label + (f"\t{result.probability:.4f}" if scores else "") + "\n"


def _tag_lines(result: Tagged, scores: bool) -> str:
    rows = zip(result.words, result.labels, result.probabilities, strict=True)
    return "".join(f"{w}\t{label}" + (f"\t{p:.4f}" if scores else "") + "\n" for w, label, p in rows) + "\n"


def _feed(a: argparse.Namespace, write: Callable[[Sequence[str]], None]) -> int:
    """Give what was asked on the command line, or standard input in chunks."""
    if a.text:
        write([decoded(os.fsencode(text), number) for number, text in enumerate(a.text, 1)])
    else:
        for chunk in chunks(sys.stdin.buffer, a.batch_size * 16):
            write(chunk)
    return 0


def info(a: argparse.Namespace) -> int:
    """`dragoman info`."""
    from dragoman.runtime.loading import load
    from dragoman.runtime.tokenizer import Tokenizer

    b = load(a.model, self_test=a.self_test).metadata
    translates = b.task == "translate"
    tokenizers = (b.source_tokenizer, b.target_tokenizer) if translates else (b.source_tokenizer,)
    value: dict[str, Any] = {
        "file": str(a.model),
        "megabytes": round(Path(a.model).stat().st_size / 1e6, 2),
        "schema": b.schema,
        "task": b.task,
        **({"languages": f"{b.source_language}-{b.target_language}"} if translates else {}),
        **({"language": b.source_language} if b.labels else {}),
        **({"labels": b.labels} if b.labels else {}),
        **({"series": b.series} if b.series else {}),
        "precision": b.precision,
        **({} if b.series else {"vocabulary": [len(Tokenizer(model)) for model in tokenizers]}),
        "max_source": b.max_source,
        **({"max_sentences": b.max_sentences} if translates else {}),
        "defaults": b.defaults,
        "self_test": "passed" if a.self_test else f"{len(b.self_test['cases'])} sentences; run it with --self-test",
        **({"quantisation": {k: v for k, v in b.quantisation.items() if k != "calibration"}} if b.quantisation else {}),
        "card": b.card,
        "config": b.config,
    }
    if a.json:
        print(json.dumps(value, indent=2, ensure_ascii=False))
        return 0
    for key, item in value.items():
        if isinstance(item, dict):
            print(key)
            for line in _flat(item):
                print(f"  {line}")
        else:
            print(f"{key:<12} {item if not isinstance(item, list) else ', '.join(map(str, item))}")
    return 0


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {value}"


def bench(a: argparse.Namespace) -> int:
    """`dragoman bench`."""
    from dragoman.runtime.batching import pad
    from dragoman.runtime.contract import PAD
    from dragoman.runtime.translator import Translator

    if a.repeat < 3:
        raise UserError(f"--repeat {a.repeat}: a median with its spread needs at least 3")
    translator = Translator.load(a.model, threads=a.threads)
    if a.source:
        try:
            text = Path(a.source).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read {a.source}: {error}") from None
        rows = [translator.source_tokenizer.encode(line) for line in text[: max(a.batch)]]
    else:
        rows = [case["source"] for case in translator.metadata.self_test["cases"]]
    rows = [row for row in rows if len(row) <= translator.metadata.max_source]
    if not rows:
        raise UserError(f"{a.source} has no line to time on")
    defaults = translator.metadata.defaults
    for beam in a.beam:
        translator.check_beam(beam)
    for batch in a.batch:
        source, length = pad([rows[i % len(rows)] for i in range(batch)])
        for beam in a.beam:
            times = []
            tokens = 0
            for _ in range(a.repeat + 2):
                start = time.perf_counter()
                target, _, _ = translator.engine.run(
                    source, length, beam_size=beam, n_best=1, max_length=defaults["max_length"],
                    length_penalty=defaults["length_penalty"], n_aligned=0,
                )  # fmt: skip
                times.append((time.perf_counter() - start) * 1e3)
                tokens = int((target[:, 0] != PAD).sum())
            low, middle, high = statistics.quantiles(times[2:], n=4)  # the first two runs warm up
            value = {"figure": "translate", "batch": batch, "beam": beam, "threads": a.threads, "ms": round(middle, 3),
                     "spread": [round(low, 3), round(high, 3)], "ms_a_sentence": round(middle / batch, 3),
                     "target_tokens_per_s": round(tokens / middle * 1e3)}  # fmt: skip
            if a.json:
                print(json.dumps(value), flush=True)
            else:
                print(
                    f"batch {batch:>3}  beam {beam:>2}  {middle:9.2f} ms ({low:.2f} to {high:.2f})  "
                    f"{middle / batch:8.2f} ms a sentence  {value['target_tokens_per_s']:>7,} target tokens/s",
                    flush=True,
                )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m dragoman.runtime`: the light commands alone."""
    return run_commands("dragoman", "Translate with a Dragoman file.", [add_commands], argv)

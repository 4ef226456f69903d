"""Draw the tables of the README, docs/results.md, docs/results-details.md and docs/speed.md (`make results`).

They are drawn from files in docs/results. scores.jsonl has a row for each run, test set, protocol and precision, and
runs.toml says in words what each run is. speed.jsonl and vocabulary.jsonl have the figures of `make bench`,
training.jsonl those of `make bench-train`. The figures of vocabulary.jsonl have a picture, too.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

HERE = Path(__file__).resolve().parent
KEYS = (
    "run corpus pair set protocol metrics beam seed precision parameters train_minutes command commit machine"
).split()
Rows = list[dict[str, Any]]
# The README's table of Multi30k: a title, the pair, and the runs that differ by their seed alone.
SUMMARY = (
    ("En-De, one model trained on the pairs alone, 3 seeds", "en-de", ("wd-01", "wd-01-2", "wd-01-3")),
    ("En-De, distilled from an ensemble of two, 3 seeds", "en-de", ("st-cpu-1", "st-cpu-2", "st-cpu-3")),
    ("En-De, distilled from four larger models, 2 seeds", "en-de", ("st-de-1", "st-de-2")),
    ("En-Fr, one model trained on the pairs alone", "en-fr", ("fr-wd-1",)),
    ("En-Fr, distilled from three larger models", "en-fr", ("st-fr-1",)),
)
# Headings of the corpora and pairs, in the order of the page. Any other corpus follows under its own name.
HEADINGS = {
    ("multi30k", "en-de"): "Multi30k, English to German",
    ("multi30k", "en-fr"): "Multi30k, English to French",
    ("libreoffice", "en-de"): "LibreOffice, English to German",
    ("sentiment", "en"): "Sentiment, English",
    ("oanc", "en"): "Parts of speech, English",
    ("pud", "cs"): "Parts of speech, Czech",
    ("seattle", ""): "Temperature in Seattle",
}
PROTOCOLS = ("lc.tok", "cased")
PRECISIONS = ("float32", "int8")
NO_BREAK = "\u00a0/\u00a0"  # keeps a cell of two scores on one line
# The figures of speed.jsonl in words.
FIGURES = {
    "against the peer": "int8 against CTranslate2",
    "against its own float32 file": "int8 against the same network in float32",
    "two processes on two cores, times one": "throughput of two processes on two cores, relative to one",
    "file, tokenizer included, MB": "file size with tokenizer, MB",
    "new process: import, load, first sentence, s": "new process until its first translation, s",
    "resident after 1,000 mixed sentences, MiB": "resident memory after 1,000 sentences of mixed length, MiB",
    "growth over the next 10,000, MiB": "growth of resident memory over the next 10,000, MiB",
    "time per token at 512 ids against 16": "time per id at 512 ids, relative to 16 ids",
    "share of the machine's limit in a step": "share of the machine's limit reached in a step",
}
STEP = "one decoding step, microseconds"  # the figure of vocabulary.jsonl that has a picture
PICTURE = HERE / "images" / "vocabulary.png"
PICTURE_TEXT = (
    "Time of a decoding step against the size of the vocabulary, for Dragoman with and without selection, and peers"
)
BEGIN, END = "<!-- tables: drawn by `make results` -->", "<!-- end of tables -->"


def read() -> Rows:
    """Return the rows of scores.jsonl, checked for their keys and for an entry in runs.toml."""
    rows, known = read_lines("scores.jsonl"), titles()
    for number, row in enumerate(rows, 1):
        missing = [key for key in KEYS if key not in row]
        if missing:
            raise SystemExit(f"scores.jsonl, line {number}: missing {', '.join(missing)}")
        if row["run"] not in known:
            raise SystemExit(f"scores.jsonl, line {number}: runs.toml has no entry for the run {row['run']}")
    return rows


def titles() -> dict[str, dict[str, str]]:
    """Return the title and the meaning of each run, in the order of runs.toml."""
    found: dict[str, dict[str, str]] = msgspec.toml.decode((HERE / "results" / "runs.toml").read_bytes())
    return found


def references(row: dict[str, Any]) -> int:
    """Return the number of references of a score; rows of earlier versions, which do not say, have one."""
    return int(row.get("references", 1))


def groups(rows: Rows) -> list[tuple[str, Rows]]:
    """Return the rows of each corpus, pair, test set and number of references under a heading.

    Runs are in the order of runs.toml.
    """
    order, runs = [*HEADINGS], [*titles()]

    def place(row: dict[str, Any]) -> tuple[Any, ...]:
        key = (row["corpus"], row["pair"])
        return (
            order.index(key) if key in order else len(order),
            *key,
            row["set"],
            references(row),
            runs.index(row["run"]),
        )

    found: dict[tuple[Any, ...], Rows] = {}
    for row in sorted(rows, key=place):
        found.setdefault((row["corpus"], row["pair"], row["set"], references(row)), []).append(row)
    names = {key: HEADINGS.get((key[0], key[1]), ", ".join(filter(None, key[:2]))) for key in found}
    return [(names[key], found[key]) for key in found]


def results(rows: Rows) -> str:
    """Return a table for each corpus and pair: a row for each run, a column for each protocol and metric."""
    out = []
    for heading, mine in groups(rows):
        columns = [*dict.fromkeys((r["protocol"], metric) for r in mine for metric in r["metrics"])]
        columns.sort(key=lambda column: PROTOCOLS.index(column[0]) if column[0] in PROTOCOLS else 0)
        precisions = [p for p in PRECISIONS if any(r["precision"] == p for r in mine)]
        score = {
            (r["run"], r["protocol"], r["precision"], metric): f"{value['score']:.2f}"
            for r in mine
            for metric, value in r["metrics"].items()
        }
        searched = f", beam {mine[0]['beam']}" if mine[0]["beam"] else ""
        several = f", {references(mine[0])} references" if references(mine[0]) > 1 else ""
        described = f"Test set `{mine[0]['set']}`{several}{searched}. Cells: {' / '.join(precisions)}.\n"
        out += [f"### {heading}\n", described]
        labels = [f"{metric}, {protocol}" if protocol in PROTOCOLS else metric for protocol, metric in columns]
        out += [f"| run | {' | '.join(labels)} |", "|---|" + "---|" * len(columns)]
        for run in dict.fromkeys(r["run"] for r in mine):
            cells = [
                NO_BREAK.join(score.get((run, protocol, precision, metric), "-") for precision in precisions)
                for protocol, metric in columns
            ]
            out.append(f"| [{titles()[run]['title']}](results-details.md#{run}) | {' | '.join(cells)} |")
        out.append("")
    return "\n".join(out)


def details(rows: Rows) -> str:
    """Return the provenance of all scores: signatures of each protocol, then a section for each run."""
    signatures = {(r["protocol"], name, value["signature"]) for r in rows for name, value in r["metrics"].items()}
    out = ["## Signatures\n", "| protocol | metric | signature |", "|---|---|---|"]
    out += [f"| {protocol} | {metric} | {code(signature)} |" for protocol, metric, signature in sorted(signatures)]
    out.append("")
    for heading, mine in groups(rows):
        out.append(f"## {heading}\n")
        for run in dict.fromkeys(r["run"] for r in mine):
            scored = [r for r in mine if r["run"] == run]
            first = scored[0]
            out += [
                f"### {run}\n",
                f"{titles()[run]['title']}: {titles()[run]['meaning']}.\n",
                f"Seed {first['seed']}, {first['parameters']:,} parameters, {first['train_minutes']} minutes of "
                f"training, commit {first['commit']}. Trained by:\n",
                f"    {first['train_command']}\n",
                "| protocol | precision | scored at commit | scored on | scored by |",
                "|---|---|---|---|---|",
            ]
            out += [
                f"| {r['protocol']} | {r['precision']} | {r['evaluated_at']} | {r['machine']} | {code(r['command'])} |"
                for r in scored
            ]
            out.append("")
    return "\n".join(out)


def code(text: str) -> str:
    """Return a text as code inside a table, where a bar would end the cell."""
    return "`" + text.replace("|", "\\|") + "`"


def summary(rows: Rows) -> str:
    """Return the README's table: BLEU of each seed and their mean, to one decimal, under both protocols."""
    found = {
        (r["pair"], r["run"], r["protocol"], r["precision"]): r["metrics"]["BLEU"]["score"]
        for r in rows
        if (r["corpus"], r["set"], references(r), r["beam"]) == ("multi30k", "test_2016_flickr", 1, 5)
    }
    out = ["| BLEU of test_2016, beam 5 | lc.tok | int8, lc.tok | cased | int8, cased |", "|---|---|---|---|---|"]
    for title, pair, runs in SUMMARY:
        cells = []
        for protocol, precision in product(PROTOCOLS, PRECISIONS):
            scores = [found[pair, run, protocol, precision] for run in runs]
            listed = ", ".join(f"{score:.1f}" for score in scores)
            cells.append(f"**{fmean(scores):.1f}** ({listed})" if len(scores) > 1 else listed)
        out.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(out) + "\n"


def speed(lines: Rows) -> str:
    """Return the figures of one run of `make bench`: times against another program, then single values."""
    times, values = ([r for r in lines if ("ours_ms" in r) is timed] for timed in (True, False))
    out = [
        "| comparison | batch | beam | int8, ms | other, ms | ratio | quartiles |",
        "|---|---|---|---|---|---|---|",
    ]
    out += [
        f"| {figure(r)} | {r['batch']} | {r['beam']} | {r['ours_ms']} | {r['peer_ms']} | **{r['ratio']}** "
        f"| {quartiles(r)} |"
        for r in times
    ]
    out += ["", "| figure | batch | value | quartiles |", "|---|---|---|---|"]
    out += [f"| {figure(r)} | {r['batch']} | **{r.get('ratio', r.get('value'))}** | {quartiles(r)} |" for r in values]
    return "\n".join([origin(lines), *out, ""])


def figure(line: dict[str, Any]) -> str:
    """Return what a line of speed.jsonl measures, in words."""
    name = FIGURES.get(line["figure"], line["figure"])
    return f"{name} ({line['limit']})" if "limit" in line else name


def quartiles(line: dict[str, Any]) -> str:
    """Return the spread of a figure."""
    low, high = line["spread"]
    return f"{low} to {high}" if low != high else ""


def training(lines: Rows) -> str:
    """Return the figures of one run of `make bench-train`."""
    out = [
        "| Dragoman | against | precision | Dragoman, tokens/s | other, tokens/s | ratio | lowest, highest turn |",
        "|---|---|---|---|---|---|---|",
    ]
    out += [
        f"| {r['figure'].removeprefix('training, ')} | {r['against']} | {r.get('precision', 'not recorded')} "
        f"| {r['ours']:,} | {r['peer']:,} | **{r['ratio']}** | {r['spread'][0]}, {r['spread'][1]} |"
        for r in lines
    ]
    return "\n".join([origin(lines), *out, ""])


def vocabulary(lines: Rows) -> str:
    """Return the figures of one run of bench/vocabulary.py: comparisons, then values with a column for each size."""
    out = [
        "| subwords | Dragoman | against | from and to | batch | Dragoman, ms | other, ms | ratio | quartiles |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    out += [
        f"| {r['vocabulary']:,} | {'selection' if r['selection'] else 'whole vocabulary'} | {r['peer']} "
        f"| {r['figure']} | {r['batch']} | {r['ours_ms']} | {r['peer_ms']} | **{r['ratio']}** | {quartiles(r)} |"
        for r in lines
        if "ratio" in r
    ]
    values = {
        (r["figure"], r["system"], r["vocabulary"]): f"**{r['value']}** {quartiles(r)}" for r in lines if "value" in r
    }
    sizes = sorted({size for _, _, size in values})
    out += ["", f"| figure | system | {' | '.join(f'{size:,}' for size in sizes)} |", "|---|---|" + "---|" * len(sizes)]
    for name, system in dict.fromkeys((name, system) for name, system, _ in values):
        cells = [values.get((name, system, size), "-").strip() for size in sizes]
        out.append(f"| {name} | {system} | {' | '.join(cells)} |")
    return "\n".join([origin(lines), *out, ""])


def draw_steps(lines: Rows) -> bytes:
    """Return a PNG of the time of a decoding step over the vocabulary: a panel per machine, a line per system."""
    from matplotlib.figure import Figure  # heavy, and without figures not needed

    machines = [*dict.fromkeys(r["machine"] for r in lines)]
    picture = Figure(figsize=(0.5 + 5.5 * len(machines), 4), layout="constrained")
    panels = picture.subplots(1, len(machines), squeeze=False)[0]
    for axes, machine in zip(panels, machines, strict=True):
        mine = [r for r in lines if r["machine"] == machine and r["figure"] == STEP]
        for system in dict.fromkeys(r["system"] for r in mine):
            points = sorted((r["vocabulary"], r["value"]) for r in mine if r["system"] == system)
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=system)
        sizes = sorted({r["vocabulary"] for r in mine})
        axes.set(
            title=machine,
            xlabel="subwords in the vocabulary",
            ylabel="time of a step, microseconds",
            xscale="log",
            ylim=0,
        )
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    file = io.BytesIO()
    picture.savefig(file, dpi=110, format="png")
    return file.getvalue()


def origin(lines: Rows) -> str:
    """Return the heading and the command of the figures of one machine and commit."""
    first = lines[0]
    extra = f" on {first['threads']} threads, corpus {first['corpus']}" if "corpus" in first else ""
    by = "\n".join(f"    {command}" for command in sorted({r["command"] for r in lines}))
    return f"### {first['machine']}, commit {first['commit'][:7]}\n\nMeasured{extra} by:\n\n{by}\n"


def read_lines(name: str) -> Rows:
    """Return the lines of a file of figures; none if there is no such file yet."""
    path = HERE / "results" / name
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def sections(name: str, table: Callable[[Rows], str]) -> list[str]:
    """Return a table for each commit and machine in a file of figures."""
    lines = read_lines(name)
    origins = dict.fromkeys((r["commit"], r["machine"]) for r in lines)
    return [table([r for r in lines if (r["commit"], r["machine"]) == origin]) for origin in origins]


def pages() -> dict[Path, str]:
    """Return the text between the markers of each page."""
    rows = read()
    parts = ["## Translation, by machine\n", *sections("speed.jsonl", speed)]
    if parts_of_sizes := sections("vocabulary.jsonl", vocabulary):
        parts += ["## Vocabulary size, by machine\n", f"![{PICTURE_TEXT}](images/{PICTURE.name})\n", *parts_of_sizes]
    parts += ["## Training, by machine\n", *sections("training.jsonl", training)]
    return {
        HERE / "results.md": results(rows),
        HERE / "results-details.md": details(rows),
        HERE / "speed.md": "\n".join(parts),
        HERE.parent / "README.md": summary(rows),
    }


def redrawn(page: str, text: str) -> str:
    """Return a page with a text between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def main() -> int:
    """Redraw all pages and the picture."""
    for page, text in pages().items():
        page.write_text(redrawn(page.read_text("utf-8"), text), "utf-8")
    if lines := read_lines("vocabulary.jsonl"):
        PICTURE.write_bytes(draw_steps(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

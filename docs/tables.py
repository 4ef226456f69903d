"""Draw the tables of docs/results.md, docs/speed.md and the README from the files in docs/results (`make results`).

scores.jsonl has a row for each run, test set, protocol and precision. speed.jsonl has the figures of `make bench`,
training.jsonl those of `make bench-train`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

HERE = Path(__file__).resolve().parent
KEYS = (
    "run corpus pair set protocol metrics beam seed precision parameters train_minutes command commit machine"
).split()
# What the README shows of them: what was trained, and the runs that differ by their seed alone.
SUMMARY = (
    ("En-De, from the pairs alone: 82 to 88 minutes on one core", "en-de", ("wd-01", "wd-01-2", "wd-01-3")),
    (
        "En-De, taught by two with four heads: two trainings of 85 minutes, 9 of translating, 88 to 112 of a student",
        "en-de",
        ("st-cpu-1", "st-cpu-2", "st-cpu-3"),
    ),
    (
        "En-De, taught by four larger ones, which a GPU trained in 7 minutes: 53 and 56 minutes on one core",
        "en-de",
        ("st-de-1", "st-de-2"),
    ),
    ("En-Fr, from the pairs alone: 84 minutes on two cores without bfloat16", "en-fr", ("fr-wd-1",)),
    ("En-Fr, taught by three larger ones of a GPU: 58 minutes on one core", "en-fr", ("st-fr-1",)),
)
BEGIN, END = "<!-- tables: drawn by `make results` -->", "<!-- end of tables -->"


def read() -> list[dict[str, Any]]:
    """Return the rows of scores.jsonl with one metric each, checked for their keys."""
    rows = []
    for number, row in enumerate(read_lines("scores.jsonl"), 1):
        missing = [key for key in KEYS if key not in row]
        if missing:
            raise SystemExit(f"scores.jsonl, line {number}: missing {', '.join(missing)}")
        rows += [{**row, "metric": metric, **found} for metric, found in row["metrics"].items()]
    return rows


def tables(rows: list[dict[str, Any]]) -> str:
    """A table for each corpus, pair and protocol: scores of different protocols never share one."""
    out = []
    for group in sorted({(r["corpus"], r["pair"], r["protocol"]) for r in rows}):
        corpus, pair, protocol = group
        out.append("### " + ", ".join(filter(None, (corpus, pair, f"protocol {protocol}"))) + "\n")
        out.append(
            "| set | run | metric | score | beam | precision | seed | parameters | minutes | commit | scored on |"
        )
        out.append("|---|---|---|---|---|---|---|---|---|---|---|")
        mine = [r for r in rows if (r["corpus"], r["pair"], r["protocol"]) == group]
        for r in sorted(mine, key=lambda r: (r["set"], r["metric"], -r["score"], -r["beam"], r["precision"])):
            out.append(
                f"| {r['set']} | {r.get('run', '')} | {r['metric']} | {r['score']:.2f} | {r['beam'] or ''} "
                f"| {r['precision']} | {r['seed']} | {r['parameters']:,} | {r['train_minutes']} "
                f"| {r['commit']} | {r['machine']} |"
            )
        out.append("")
        out.append("Signatures and commands:\n")
        out += sorted({f"- {r['metric']}: `{r['signature']}`" for r in mine})
        out += sorted({f"- trained by `{r['train_command']}`" for r in mine if r.get("train_command")})
        out += sorted({f"- scored by `{r['command']}`" for r in mine})
        out.append("")
    return "\n".join(out)


def summary(rows: list[dict[str, Any]]) -> str:
    """What the README shows of Multi30k: BLEU of each seed and their mean, to one decimal, on either protocol."""
    found = {
        (r["pair"], r["run"], r["protocol"], r["precision"]): r["score"]
        for r in rows
        if (r["corpus"], r["set"], r["metric"], r["beam"]) == ("multi30k", "test_2016_flickr", "BLEU", 5)
    }
    out = ["| BLEU of test_2016, beam 5 | lc.tok | int8, lc.tok | cased | int8, cased |", "|---|---|---|---|---|"]
    for what, pair, runs in SUMMARY:
        cells = []
        for protocol, precision in product(("lc.tok", "cased"), ("float32", "int8")):
            scores = [found[pair, run, protocol, precision] for run in runs]
            each = ", ".join(f"{score:.1f}" for score in scores)
            cells.append(f"**{fmean(scores):.1f}** ({each})" if len(scores) > 1 else each)
        out.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(out) + "\n"


def speed(lines: list[dict[str, Any]]) -> str:
    """One row for each figure of `make bench`."""
    out = ["| figure | batch | beam | int8 ms | peer ms | ratio, or value | quartiles | against |"]
    out.append("|---|---|---|---|---|---|---|---|")
    for r in lines:
        value = r.get("ratio", r.get("value"))
        out.append(
            f"| {r['figure']} | {r['batch']} | {r['beam']} | {r.get('ours_ms', '')} | {r.get('peer_ms', '')} "
            f"| **{value}** | {r['spread'][0]} to {r['spread'][1]} | {r.get('peer', r.get('limit', ''))} |"
        )
    return "\n".join([*out, "", *commands(lines), ""])


def training(lines: list[dict[str, Any]]) -> str:
    """One row for each figure of `make bench-train`."""
    out = [
        "| figure | threads | ours in | tokens/s | peer's tokens/s | ratio | lowest, highest turn | against | corpus |"
    ]
    out.append("|---|---|---|---|---|---|---|---|---|")
    for r in lines:
        out.append(
            f"| {r['figure']} | {r['threads']} | {r.get('precision', 'not noted')} | {r['ours']:,} | {r['peer']:,} "
            f"| **{r['ratio']}** | {r['spread'][0]}, {r['spread'][1]} | {r['against']} | {r['corpus']} |"
        )
    return "\n".join([*out, "", *commands(lines), ""])


def commands(lines: list[dict[str, Any]]) -> list[str]:
    """What figures were made by."""
    return sorted({f"`{r['command']}`, commit {r['commit']}, {r['machine']}" for r in lines})


def read_lines(name: str) -> list[dict[str, Any]]:
    """The figures of a bench; none where it was not run yet."""
    path = HERE / "results" / name
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def sections(name: str, table: Callable[[list[dict[str, Any]]], str]) -> list[str]:
    """Return a table for each commit and machine in a file of figures."""
    lines = read_lines(name)
    origins = dict.fromkeys((r["commit"], r["machine"]) for r in lines)
    return [table([r for r in lines if (r["commit"], r["machine"]) == origin]) for origin in origins]


def pages() -> dict[Path, str]:
    """What is to stand between the marks of each page."""
    rows = read()
    parts = [*sections("speed.jsonl", speed), *sections("training.jsonl", training)]
    return {
        HERE / "results.md": tables(rows),
        HERE / "speed.md": "\n".join(parts),
        HERE.parent / "README.md": summary(rows),
    }


def redrawn(page: str, text: str) -> str:
    """A page with a text between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def main() -> int:
    """Redraw all pages."""
    for page, text in pages().items():
        page.write_text(redrawn(page.read_text("utf-8"), text), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Robustness: translate changed text and count the failures."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import regex
import sacrebleu

from dragoman.runtime.translator import Translation, Translator
from dragoman.translate.corpus.cleaning import far_apart, large_numbers
from dragoman.translate.encoding.augmentation import CHANGES

REPEATS = 3  # times that the same words follow each other in what is a loop


LONGEST = 6  # words of a loop's period


# Where words are not told apart by spaces: up to 20 characters, at least four times and 12 characters in all.
CYCLE = regex.compile(r"(.{1,20}?)\1{3,}")


CYCLED = 12


# A translation this many times longer or shorter than usual, give or take some characters, has a wrong length.
RATIO, SLACK = 2.0, 10


Cell = dict[str, Any]


def robustness(
    translator: Translator, source: Sequence[str], reference: Sequence[str], plain: Sequence[Translation], *,
    beam: int | None, batch_size: int, length_penalty: float | None = None, seed: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Cell]:  # fmt: skip
    """A row for the text as it is and for each change to it.

    change; chrF, without regard to case, where the translation should stay what it was; and of 100 sentences, how many
    loop, are empty though something was asked, have a wrong length, do not end, and lost the numbers of the source.
    plain: the translations of the text as it is.
    """
    rows = []
    settings: dict[str, Any] = {"beam": beam, "batch_size": batch_size, "length_penalty": length_penalty}
    usual = sorted(len(r.text) / len(s) for r, s in zip(plain, source, strict=True) if s)
    ratio = usual[len(usual) // 2] if usual else 1.0
    for done, (name, change) in enumerate([("as it is", None), *CHANGES.items()]):
        changed = [change(line, random.Random(f"{seed} {line}")) if change else line for line in source]
        results = translator.translate(changed, **settings) if change else plain
        judged = [_judge(line, result, ratio) for line, result in zip(changed, results, strict=True)]
        row: Cell = {"change": name, "chrF": None, "sentences": len(source)}
        if name not in ("one word", "empty", "unseen numbers"):
            row["chrF"] = round(_chrf([r.text for r in results], reference), 2)
        for key in judged[0]:
            row[key] = round(100 * sum(j[key] for j in judged) / len(judged), 2)
        rows.append(row)
        progress(done)
    return rows


def _chrf(lines: Sequence[str], reference: Sequence[str]) -> float:
    metric = sacrebleu.CHRF(lowercase=True)
    return float(metric.corpus_score([*lines], [[*reference]]).score)


def _judge(source: str, result: Translation, ratio: float) -> dict[str, bool]:
    wanted = large_numbers(source)
    return {
        "loops": loops(result.text) and not loops(source),
        "empty": bool(source.strip()) and not result.text,
        "wrong length": far_apart(len(source) * ratio, len(result.text), RATIO, SLACK),
        "unfinished": not result.complete,
        "lost numbers": bool(wanted - large_numbers(result.text)),
    }


def loops(text: str) -> bool:
    """Whether some words, up to LONGEST of them, come REPEATS times one after the other, or some characters do."""
    if any(len(match[0]) >= CYCLED for match in CYCLE.finditer(text)):
        return True
    words = text.split()
    for period in range(1, LONGEST + 1):
        run = 0
        for i in range(period, len(words)):
            run = run + 1 if words[i] == words[i - period] else 0
            if run >= period * (REPEATS - 1):
                return True
    return False


def as_text(rows: Sequence[Cell]) -> str:
    """The rows as a table for a terminal."""
    keys = [key for key in rows[0] if key not in ("change", "sentences")]
    out = [f"{rows[0]['sentences']:,} sentences; chrF without regard to case, all else in percent of them"]
    out += [f"{'':<22}" + "".join(f"{key:>14}" for key in keys)]
    for row in rows:
        cells = ["" if row[key] is None else f"{row[key]:.2f}" for key in keys]
        out.append(f"{row['change']:<22}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(out)

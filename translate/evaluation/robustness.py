"""Robustness: translate perturbed text and count the failures."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import regex
import sacrebleu

from dragoman.runtime.translation import Translation
from dragoman.runtime.translator import Translator
from dragoman.runtime.wording import counted
from dragoman.translate.corpus.cleaning import lengths_differ
from dragoman.translate.corpus.number_matching import large_numbers
from dragoman.translate.encoding.augmentation import CHANGES
from dragoman.translate.evaluation.engine import translate_all
from dragoman.translate.evaluation.metrics import References

# A translation loops when a phrase of up to LONGEST_PERIOD words occurs REPEATS times in a row.
REPEATS = 3
LONGEST_PERIOD = 6

# In text without spaces it loops when up to 20 characters occur four times in a row and cover CHARACTERS_IN_LOOP.
CHARACTER_LOOP = regex.compile(r"(.{1,20}?)\1{3,}")
CHARACTERS_IN_LOOP = 12

# A length is wrong when it differs from the expected one by more than this factor and this number of characters.
LENGTH_RATIO, LENGTH_SLACK = 2.0, 10

# After these changes the reference no longer applies, so there is no chrF.
WITHOUT_REFERENCE = ("one word", "empty", "unseen numbers")

Row = dict[str, Any]


def robustness(
    translator: Translator, source: Sequence[str], references: References, plain: Sequence[Translation], *,
    beam: int | None, batch_size: int | None, length_penalty: float | None = None, seed: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Row]:  # fmt: skip
    """Return one row for the unchanged text and one for each perturbation of it.

    The column `change` names the perturbation. `chrF` is case-insensitive, and None where the perturbation makes the
    references invalid. The other columns are the percentages of sentences with each kind of failure: see `failures`.

    plain: the translations of the unchanged text. progress: called with the number of perturbations done.
    """
    rows = []
    settings: dict[str, Any] = {"beam": beam, "batch_size": batch_size, "length_penalty": length_penalty}
    ratios = sorted(len(r.text) / len(s) for r, s in zip(plain, source, strict=True) if s)
    median_ratio = ratios[len(ratios) // 2] if ratios else 1.0
    for done, (name, change) in enumerate([("as it is", None), *CHANGES.items()]):
        changed = [change(line, random.Random(f"{seed} {line}")) if change else line for line in source]
        results = translate_all(translator, changed, **settings) if change else plain
        failed = [failures(line, result, median_ratio) for line, result in zip(changed, results, strict=True)]
        row: Row = {"change": name, "chrF": None, "sentences": len(source)}
        if name not in WITHOUT_REFERENCE:
            row["chrF"] = round(_chrf([r.text for r in results], references), 2)
        for kind in failed[0]:
            row[kind] = round(100 * sum(f[kind] for f in failed) / len(failed), 2)
        rows.append(row)
        progress(done)
    return rows


def _chrf(lines: Sequence[str], references: References) -> float:
    metric = sacrebleu.CHRF(lowercase=True)
    return float(metric.corpus_score([*lines], references).score)


def failures(source: str, result: Translation, ratio: float) -> dict[str, bool]:
    """Return the kinds of failure by name, each True if the translation shows it.

    An empty translation of an empty source is no failure. ratio: the usual number of target characters per source
    character.
    """
    return {
        "loops": has_loop(result.text) and not has_loop(source),
        "empty": bool(source.strip()) and not result.text,
        "wrong length": lengths_differ(len(source) * ratio, len(result.text), LENGTH_RATIO, LENGTH_SLACK),
        "unfinished": not result.complete,
        "lost numbers": bool(large_numbers(source) - large_numbers(result.text)),
    }


def has_loop(text: str) -> bool:
    """Return whether a phrase, or in text without spaces a run of characters, repeats in a row. See REPEATS."""
    if any(len(match[0]) >= CHARACTERS_IN_LOOP for match in CHARACTER_LOOP.finditer(text)):
        return True
    words = text.split()
    for period in range(1, LONGEST_PERIOD + 1):
        repeated = 0
        for i in range(period, len(words)):
            repeated = repeated + 1 if words[i] == words[i - period] else 0
            if repeated >= period * (REPEATS - 1):
                return True
    return False


def as_text(rows: Sequence[Row]) -> str:
    """Return the rows as a table for a terminal."""
    columns = [key for key in rows[0] if key not in ("change", "sentences")]
    out = [
        f"{counted(rows[0]['sentences'], 'sentence')}; chrF is case-insensitive, the other columns are % of sentences"
    ]
    out += [f"{'':<22}" + "".join(f"{column:>14}" for column in columns)]
    for row in rows:
        values = ["" if row[column] is None else f"{row[column]:.2f}" for column in columns]
        out.append(f"{row['change']:<22}" + "".join(f"{value:>14}" for value in values))
    return "\n".join(out)

"""Cleaning of parallel text: drop pairs that cannot be used, and pairs that would mislead training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import islice

import regex

from dragoman.runtime.normalisation import has_control_characters, normalise
from dragoman.translate.corpus.deduplication import Duplicates, NearDuplicates
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.corpus.languages import script_of
from dragoman.translate.corpus.mojibake import Mojibake
from dragoman.translate.corpus.number_matching import numbers_differ
from dragoman.translate.corpus.readers.rows import RawRow, UnreadableRow
from dragoman.translate.corpus.rules import MAX_CHARACTERS, RATIO, RULES, SLACK

# The usual length ratio comes from about SAMPLE_SIZE pairs, evenly spaced among the first SAMPLE_RANGE.
SAMPLE_SIZE, SAMPLE_RANGE = 2000, 50_000

MIN_LETTERS = 6  # fewer letters do not show the script of a text: names, units, codes

# The CLDR scripts that are not Unicode scripts, and the Unicode scripts that they consist of.
MIXED_SCRIPTS = {"Jpan": ("Hira", "Kana", "Hani"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",), "Hant": ("Hani",)}

# Latin letters form a word of their own, because text in another script may contain a Latin name without a space
# around it: `JavaScript教程`.
_WORD_OF_ONE_SCRIPT = regex.compile(r"\p{Latin}+|[^\s\p{Latin}]+")

Rule = Callable[[Pair], bool]  # returns True for a pair to drop
OnDrop = Callable[[str, Pair], None]  # receives the reason, or the rule's name, and the pair


def is_untranslated(pair: Pair) -> bool:
    """Return True if source and target are equal (ignoring case) and contain a letter."""
    return pair.source.casefold() == pair.target.casefold() and any(c.isalpha() for c in pair.source)


def is_too_long(pair: Pair) -> bool:
    """Return True if a side is longer than a sentence or a paragraph."""
    return max(len(pair.source), len(pair.target)) > MAX_CHARACTERS


class LengthRatio:
    """Rule against pairs with one side much longer than the median length ratio of a sample predicts."""

    def __init__(self, sample: Sequence[Pair]) -> None:
        log_ratios = sorted(math.log(len(pair.target) / len(pair.source)) for pair in sample if min(map(len, pair)))
        self.usual_ratio = math.exp(log_ratios[len(log_ratios) // 2]) if log_ratios else 1.0  # the median

    def __call__(self, pair: Pair) -> bool:
        """Return True if the pair's lengths differ too much."""
        return lengths_differ(len(pair.source) * self.usual_ratio, len(pair.target), RATIO, SLACK)


def lengths_differ(a: float, b: float, ratio: float, slack: float) -> bool:
    """Return True if one length exceeds `ratio` times the other by more than `slack` characters."""
    return max(a, b) > ratio * min(a, b) + slack


class WrongScript:
    """Rule against sides written mostly in letters of another script than their language's, by CLDR."""

    def __init__(self, languages: tuple[str, str]) -> None:
        self.scripts = [script_of(language) for language in languages]

    def __call__(self, pair: Pair) -> bool:
        """Return True if a side is in the wrong script. Words on both sides, such as names, do not count."""
        source, target = (_WORD_OF_ONE_SCRIPT.findall(side.casefold()) for side in pair)
        source_only = "".join(word for word in source if word not in target)
        target_only = "".join(word for word in target if word not in source)
        return any(
            script and _is_mostly_foreign(text, script)
            for text, script in zip((source_only, target_only), self.scripts, strict=True)
        )


@cache
def _letters_of(script: str) -> regex.Pattern[str]:
    names = "".join(rf"\p{{scx={name}}}" for name in MIXED_SCRIPTS.get(script, (script,)))
    return regex.compile(f"[{names}]")


def _is_mostly_foreign(text: str, script: str) -> bool:
    letters = "".join(c for c in text if c.isalpha())
    return len(letters) >= MIN_LETTERS and 2 * len(_letters_of(script).findall(letters)) < len(letters)


class Cleaner:
    """The cleaning rules of a corpus, in the order of RULES."""

    def __init__(self, sample: Sequence[Pair], languages: tuple[str, str], disabled: Collection[str] = ()) -> None:
        """Set up all rules but the `disabled` ones, which are keys of RULES.

        The usual length ratio is estimated on the pairs of `sample` that the rules on single pairs accept.
        """
        wrong_script, mojibake = WrongScript(languages), Mojibake(languages)
        wrong_numbers = partial(numbers_differ, languages=languages)
        single = (is_untranslated, is_too_long, mojibake, wrong_script, wrong_numbers)
        rules: dict[str, Rule] = {
            "duplicate": Duplicates(),
            "same": is_untranslated,
            "long": is_too_long,
            "mojibake": mojibake,
            "script": wrong_script,
            "ratio": LengthRatio([pair for pair in sample if not any(rule(pair) for rule in single)]),
            "numbers": wrong_numbers,
            # Last, because it must remember only pairs that are kept.
            "near-duplicate": NearDuplicates(),
        }
        assert [*rules] == [*RULES]
        self.rules = {name: rule for name, rule in rules.items() if name not in disabled}

    def broken_rule(self, pair: Pair) -> str | None:
        """Return the name of the first rule that a pair breaks, or None."""
        return next((name for name, rule in self.rules.items() if rule(pair)), None)


def filter_pairs(
    pairs: Iterable[Pair], languages: tuple[str, str], disabled: Collection[str], on_drop: OnDrop
) -> Iterator[Pair]:
    """Yield the pairs that break no rule, and call `on_drop` with the rule's name and the pair for the others.

    Memory holds the first SAMPLE_RANGE pairs and the hashes of all pairs.
    """
    remaining = iter(pairs)
    first = [*islice(remaining, SAMPLE_RANGE)]
    cleaner = Cleaner(first[:: max(1, len(first) // SAMPLE_SIZE)], languages, disabled)
    for part in (first, remaining):
        for pair in part:
            rule = cleaner.broken_rule(pair)
            if rule:
                on_drop(rule, pair)
            else:
                yield pair


def reason_to_drop(row: RawRow) -> str | None:
    """Return the reason why a raw row cannot be used, or None."""
    if isinstance(row, UnreadableRow):
        return row.problem
    for side in row:
        if isinstance(side, bytes):
            try:
                side = side.decode("utf-8")
            except UnicodeDecodeError:
                return "invalid UTF-8"
        if not side.strip():
            return "empty"
        if has_control_characters(side):
            return "control characters"
        if not normalise(side):
            return "empty"
    return None


def usable_pairs(rows: Iterable[RawRow], on_drop: OnDrop) -> Iterator[Pair]:
    """Yield the usable rows as normalised pairs, and call `on_drop` with the reason and the text of the others.

    Bytes that are not UTF-8 reach `on_drop` as escapes.
    """
    for row in rows:
        reason = reason_to_drop(row)
        sides = (row.line, row.target) if isinstance(row, UnreadableRow) else row
        pair = Pair(*(side.decode("utf-8", "backslashreplace") if isinstance(side, bytes) else side for side in sides))
        if reason:
            on_drop(reason, pair)
        else:
            yield Pair(*map(normalise, pair))


def count_drops(dropped: Counter[str]) -> OnDrop:
    """Return a callback that counts dropped pairs by reason."""

    def count(reason: str, pair: Pair) -> None:
        dropped[reason] += 1

    return count

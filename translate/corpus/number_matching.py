"""Comparison of the numbers in a text and its translation, however each language writes them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection

import regex

from dragoman.translate.corpus.folder import Pair

CENTURY = 100
HALF_DAY = 12  # hours
YEAR_LIMIT = 2200  # numbers from this one on are not years

# Exponents of ten by which units of counting differ, such as million, 万 (10^4), lakh (10^5) and 억 (10^8).
UNIT_POWERS = (1, 3, 4, 5, 6, 7, 8, 9)

MAX_DIGITS = 4000  # further digits of a number are ignored; int() accepts 4,300

# The hour of a time; or digits in groups of three, or with groups of two before the last three as in India; or digits.
NUMBER = regex.compile(
    r"(?<!\p{Nd})(?:(?P<hour>\p{Nd}{1,2})(?=:\p{Nd}{2})"
    r"|\p{Nd}{1,3}(?:[.,\u00a0\u202f' ]\p{Nd}{3})+(?!\p{Nd})|\p{Nd}{1,2}(?:,\p{Nd}{2})+,\p{Nd}{3}(?!\p{Nd})|\p{Nd}+)"
)


def find_numbers(text: str) -> Counter[str]:
    """Count the numbers in a text, as ASCII digits without separators and leading zeros; hours are modulo 12."""
    counts: Counter[str] = Counter()
    for match in NUMBER.finditer(text):
        value = int("0" + _digits(match[0])[:MAX_DIGITS])
        counts[str(value % HALF_DAY if match["hour"] else value)] += 1
    return counts


def large_numbers(text: str) -> Counter[str]:
    """Count the numbers from ten, which are seldom written as words."""
    return Counter({number: count for number, count in find_numbers(text).items() if len(number) > 1})


def numbers_differ(pair: Pair) -> bool:
    """Return True if the sides have different numbers, and no language's way to write numbers explains it.

    A side without large numbers may write them as words. Numbers below ten are often words, too, so they are compared
    only where neither side has a large number and both have equally many numbers.
    """
    source, target = (large_numbers(side) for side in pair)
    if not (source or target):
        source, target = (find_numbers(side) for side in pair)
        return source.total() == target.total() and source != target
    if not (source and target) or source == target or _significant(pair.source) == _significant(pair.target):
        return False
    source_numbers, target_numbers = ({*map(int, find_numbers(side))} for side in pair)
    source_only, target_only = [*map(int, source - target)], [*map(int, target - source)]
    return not (
        _all_explained(source_only, target_numbers, alone=not target_only)
        or _all_explained(target_only, source_numbers, alone=not source_only)
    )


def _all_explained(unmatched: Collection[int], other_side: Collection[int], *, alone: bool) -> bool:
    """Return True if there are unmatched numbers and each of them is explained."""
    return bool(unmatched) and all(_is_explained(number, other_side, alone=alone) for number in unmatched)


def _is_explained(number: int, other_side: Collection[int], *, alone: bool) -> bool:
    """Return True if the other side may write an unmatched number in another way.

    It may use 12 hours for 24, years without their century (`1990s`, `90er`), or units such as 万 and lakh. Where only
    one side has unmatched numbers (`alone`), the other may use words: a month, a dozen, millions.
    """
    if alone and (number < CENTURY or number % 1000 == 0):
        return True
    return any(
        (abs(number - other) == HALF_DAY and max(number, other) <= 2 * HALF_DAY)
        or (min(number, other) < CENTURY <= max(number, other) < YEAR_LIMIT and (number - other) % CENTURY == 0)
        or (min(number, other) and max(number, other) in {min(number, other) * 10**power for power in UNIT_POWERS})
        for other in other_side
    )


def _digits(text: str) -> str:
    """Return all decimal digits of a text as ASCII."""
    # The regex module knows a newer Unicode than unicodedata, so \p{Nd} may match what isdecimal() does not.
    return "".join(str(unicodedata.digit(c)) for c in text if c.isdecimal())


def _significant(text: str) -> str:
    """Return the digits of a text without zeros at the end.

    They compare numbers grouped in unusual ways, such as telephone numbers, and units: 2.5 million and 250万.
    """
    return _digits(text).rstrip("0")

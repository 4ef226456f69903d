"""Cleaning: drop pairs that cannot be used or that mislead."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice

import regex
from ftfy.badness import is_bad

from dragoman.runtime.normalisation import has_control_characters, normalise
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.corpus.languages import script_of
from dragoman.translate.corpus.readers.raw import Raw, Unread
from dragoman.translate.corpus.rules import MAX_CHARACTERS, RULES
from dragoman.translate.corpus.split import nearly, short_hash

# A side may be this many times as long as the corpus's usual ratio makes the other, give or take SLACK characters,
# which short texts need: "Yes" is "Jawohl".
RATIO, SLACK = 2.5, 12


SAMPLE, FIRST = 2000, 50_000  # pairs that the usual ratio is found from, and of which first ones they are taken


HUNDRED, HOURS, YEARS = 100, 12, 2200  # years are below the last


POWERS = (1, 3, 4, 5, 6, 7, 8, 9)  # of ten, by which units such as 万, lakh and million differ


DIGITS = 4000  # of a number that are looked at; Python reads no more than 4,300


LETTERS = 6  # fewer in a script say nothing: names, units, codes


# Scripts that CLDR names for a language and that text mixes, by Unicode's names.
TOGETHER = {"Jpan": ("Hira", "Kana", "Hani"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",), "Hant": ("Hani",)}


# Digits, perhaps in groups of three, or in pairs before the last three as in India; and the hour of a time.
NUMBER = regex.compile(
    r"(?<!\p{Nd})(?:(?P<hour>\p{Nd}{1,2})(?=:\p{Nd}{2})"
    r"|\p{Nd}{1,3}(?:[.,\u00a0\u202f' ]\p{Nd}{3})+(?!\p{Nd})|\p{Nd}{1,2}(?:,\p{Nd}{2})+,\p{Nd}{3}(?!\p{Nd})|\p{Nd}+)"
)


Rule = Callable[[Pair], bool]


def same(pair: Pair) -> bool:
    """Text that was never translated. (Numbers and signs alone have nothing to translate.)"""
    return pair.source.casefold() == pair.target.casefold() and any(c.isalpha() for c in pair.source)


def long(pair: Pair) -> bool:
    """More than a sentence or a paragraph."""
    return max(len(pair.source), len(pair.target)) > MAX_CHARACTERS


def garbled(pair: Pair) -> bool:
    """Text that was decoded by another encoding than it was written in: ftfy's test for mojibake."""
    return is_bad(pair.source) or is_bad(pair.target)


def numbers(text: str) -> Counter[str]:
    """The numbers in a text, in plain digits, without what groups them or zeros in front; hours are modulo twelve."""
    found: Counter[str] = Counter()
    for match in NUMBER.finditer(text):
        value = int("0" + _digits(match[0])[:DIGITS])
        found[str(value % 12 if match["hour"] else value)] += 1
    return found


def other_numbers(pair: Pair) -> bool:
    """Other numbers on one side than on the other, which its language's way to write them does not explain.

    A side that has none may say them in words. So may a side say those below ten: they count only where neither side
    has a larger one, and both have as many.
    """
    source, target = (large_numbers(side) for side in pair)
    if source or target:
        if not (source and target) or source == target or _significant(pair.source) == _significant(pair.target):
            return False
        every = [{*map(int, numbers(side))} for side in pair]
        left = [[*map(int, mine - other)] for mine, other in ((source, target), (target, source))]
        return not any(
            all(_explained(n, others, alone=not there) for n in here)
            for here, there, others in ((left[0], left[1], every[1]), (left[1], left[0], every[0]))
            if here
        )
    source, target = (numbers(side) for side in pair)
    return source.total() == target.total() and source != target


def large_numbers(text: str) -> Counter[str]:
    """Those of ten and more, which are seldom said in words."""
    return Counter({number: count for number, count in numbers(text).items() if len(number) > 1})


def _explained(number: int, others: set[int], *, alone: bool) -> bool:
    """Whether a number that the other side does not have may be written there as another, or in words.

    Hours of halves of a day, years without their century (`1990s`, `90er`), units of ten thousand or of a lakh; alone,
    where the other side has none too many: a month, a dozen, millions.
    """
    if alone and (number < HUNDRED or number % 1000 == 0):
        return True
    return any(
        (abs(number - n) == HOURS and max(number, n) <= 2 * HOURS)
        or (min(number, n) < HUNDRED <= max(number, n) < YEARS and (number - n) % HUNDRED == 0)
        or (min(number, n) and max(number, n) in {min(number, n) * 10**power for power in POWERS})
        for n in others
    )


def _digits(text: str) -> str:
    """All digits of a text, which tell numbers that are grouped in their own ways, such as of telephones."""
    return "".join(str(unicodedata.digit(c)) for c in text if c.isdecimal())  # regex knows more, by a newer Unicode


def _significant(text: str) -> str:
    return _digits(text).rstrip("0")  # 2.5 million and 250万


class Ratio:
    """One side far longer than the other, for this corpus."""

    def __init__(self, sample: Sequence[Pair]) -> None:
        logs = sorted(math.log(len(p.target) / len(p.source)) for p in sample if min(map(len, p)))
        self.usual = math.exp(logs[len(logs) // 2]) if logs else 1.0

    def __call__(self, pair: Pair) -> bool:
        return far_apart(len(pair.source) * self.usual, len(pair.target), RATIO, SLACK)


def far_apart(one: float, other: float, ratio: float, slack: float) -> bool:
    """Whether one length is more than `ratio` times the other, give or take some characters."""
    return max(one, other) > ratio * min(one, other) + slack


class Script:
    """A side most of whose letters are of a script that its language is not written in, by CLDR."""

    def __init__(self, languages: tuple[str, str]) -> None:
        self.scripts = [script_of(language) for language in languages]

    def __call__(self, pair: Pair) -> bool:
        words = [_ONE_SCRIPT.findall(side.casefold()) for side in pair]
        own = [[w for w in mine if w not in other] for mine, other in (words, words[::-1])]  # names stand on both sides
        return any(script and _foreign("".join(w), script) for w, script in zip(own, self.scripts, strict=True))


_ONE_SCRIPT = regex.compile(r"\p{Latin}+|[^\s\p{Latin}]+")  # a name may stand in other letters without a space


@cache
def _letters(script: str) -> regex.Pattern[str]:
    names = "".join(rf"\p{{scx={name}}}" for name in TOGETHER.get(script, (script,)))
    return regex.compile(f"[{names}]")


def _foreign(text: str, script: str) -> bool:
    letters = "".join(c for c in text if c.isalpha())
    return len(letters) >= LETTERS and 2 * len(_letters(script).findall(letters)) < len(letters)


class Duplicates:
    """Pairs that came before: the same, or (near) the same but for case, punctuation, spaces and the digits."""

    def __init__(self, *, near: bool) -> None:
        self.near = near
        self.seen: set[int] = set()

    def __call__(self, pair: Pair) -> bool:
        sides = [nearly(regex.sub(r"\p{Nd}+", "0", s)) for s in pair] if self.near else pair
        key = short_hash("\0".join(sides))
        if key in self.seen:
            return True
        self.seen.add(key)
        return False


class Cleaner:
    """The rules of a corpus, in the order in which they are asked."""

    def __init__(self, sample: Sequence[Pair], languages: tuple[str, str], off: Collection[str] = ()) -> None:
        """sample: some of the pairs, from which the usual ratio of lengths is found. off: names in RULES."""
        script = Script(languages)
        rules: dict[str, Rule] = {
            "duplicate": Duplicates(near=False),
            "same": same,
            "long": long,
            "mojibake": garbled,
            "script": script,
            "ratio": Ratio([p for p in sample if not any(r(p) for r in (same, long, garbled, script, other_numbers))]),
            "numbers": other_numbers,
            "near duplicate": Duplicates(near=True),  # last, so that what it keeps is not dropped by another rule
        }
        assert [*rules] == [*RULES]
        self.rules = {name: rule for name, rule in rules.items() if name not in off}

    def broken(self, pair: Pair) -> str | None:
        """The first rule that a pair breaks, or None."""
        return next((name for name, rule in self.rules.items() if rule(pair)), None)


def scrub(
    pairs: Iterable[Pair], languages: tuple[str, str], off: Collection[str], dropped: Callable[[str, Pair], None]
) -> Iterator[Pair]:
    """The pairs that break no rule; the others are given to `dropped` with the rule's name."""
    rest = iter(pairs)
    first = [*islice(rest, FIRST)]
    cleaner = Cleaner(first[:: max(1, len(first) // SAMPLE)], languages, off)
    for part in (first, rest):
        for pair in part:
            rule = cleaner.broken(pair)
            if rule:
                dropped(rule, pair)
            else:
                yield pair


def reason_to_drop(row: Raw) -> str | None:
    """Why a raw pair cannot be used, or None."""
    if isinstance(row, Unread):
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


def clean(rows: Iterable[Raw], dropped: Callable[[str, Pair], None]) -> Iterator[Pair]:
    """The usable pairs, normalised; the others are given to `dropped` with the reason, and as far as they are text."""
    for row in rows:
        reason = reason_to_drop(row)
        sides = (row.line, "") if isinstance(row, Unread) else row
        pair = Pair(*(s.decode("utf-8", "backslashreplace") if isinstance(s, bytes) else s for s in sides))
        if reason:
            dropped(reason, pair)
        else:
            yield Pair(*map(normalise, pair))


def counting(dropped: Counter[str]) -> Callable[[str, Pair], None]:
    """What counts pairs by the reason that they are dropped for."""

    def count(reason: str, pair: Pair) -> None:
        dropped[reason] += 1

    return count

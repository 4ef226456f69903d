"""Corpora of phrases made from CLDR data, for any pair of its languages.

The phrases are dates, times, intervals, relative times, durations, quantities, money, percentages, numbers, quarters,
weeks, and lists of places, languages and currencies. Babel contains the data, so nothing is downloaded.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal

import babel
from babel import Locale, UnknownLocaleError, dates, lists, numbers, units

from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.translate.corpus.folder import Pair

Phrase = Callable[[Locale], str]  # formats one value, such as a date, in a locale

CURRENCIES = (
    "EUR USD GBP JPY CHF CNY INR BRL RUB KRW MXN CAD AUD SEK NOK DKK PLN CZK HUF TRY ZAR THB IDR ILS EGP NGN KES"
).split()

UNITS = (
    "length-kilometer length-meter length-centimeter length-millimeter length-mile length-foot length-inch mass-gram "
    "mass-kilogram mass-metric-ton mass-pound volume-liter volume-milliliter volume-cubic-meter volume-cup "
    "area-square-meter area-square-kilometer area-hectare temperature-celsius temperature-fahrenheit duration-second "
    "duration-minute duration-hour duration-day duration-week duration-month duration-year energy-kilowatt-hour "
    "energy-kilocalorie power-watt power-kilowatt speed-kilometer-per-hour speed-meter-per-second "
    "digital-megabyte digital-gigabyte digital-kilobyte frequency-hertz pressure-hectopascal electric-volt "
    "electric-ampere angle-degree concentr-percent consumption-liter-per-100-kilometer volume-gallon"
).split()

RATES = (
    ("length-kilometer", "duration-hour"), ("length-meter", "duration-second"), ("volume-liter", "duration-minute"),
    ("mass-gram", "volume-liter"), ("digital-megabyte", "duration-second"), ("mass-kilogram", "area-square-meter"),
)  # fmt: skip

# Sets of date and time fields (CLDR's "availableFormats").
SKELETONS = (
    "yMMMd yMMMM yMMM MMMMd MMMd MEd MMMEd yMMMEd yMEd yMd Md Ed yQQQQ yQQQ hm hms Hm Hms Ehm EHm GyMMMd GyMMM yw MMMMW"
).split()

# Sets of fields for intervals (CLDR's "intervalFormats").
INTERVALS = "yMMMd yMMM MMMd MMMEd yMMMEd yMd Md hm Hm yMMMM y MMM d".split()

Length = Literal["short", "medium", "long", "full"]

Form = Literal["long", "short", "narrow"]

LENGTHS: tuple[Length, ...] = ("short", "medium", "long", "full")

FORMS: tuple[Form, ...] = ("long", "short", "narrow")

MAX_CODE_LENGTH = 3  # longer codes of CLDR name varieties: pt_BR, zh_Hans


def parse_locale(code: str) -> Locale:
    """Return the CLDR locale of a language. Raises UserError if Babel does not know it."""
    try:
        return Locale.parse(code)
    except (UnknownLocaleError, ValueError):
        raise UserError(f"CLDR has no language {code}; give codes such as en, de, fr or pt_BR") from None


class Phrases:
    """Generator of random phrases that CLDR can format in two languages."""

    def __init__(self, source: Locale, target: Locale, seed: int) -> None:
        self.rng = random.Random(seed)
        both = [(dict(a), dict(b)) for a, b in (
            (source.territories, target.territories),
            (source.languages, target.languages),
            (source.currencies, target.currencies),
            (source.scripts, target.scripts),
        )]  # fmt: skip
        places, languages, currencies, scripts = (sorted(a.keys() & b.keys()) for a, b in both)
        self.places = [c for c in places if not c.isdigit()]
        self.languages = [c for c in languages if len(c) <= MAX_CODE_LENGTH]
        self.currencies, self.scripts = currencies, scripts
        self.skeletons = sorted(set(SKELETONS) & set(source.datetime_skeletons) & set(target.datetime_skeletons))
        self.kinds: tuple[Callable[[], Phrase], ...] = (
            self.date, self.date, self.skeleton, self.skeleton, self.moment, self.time, self.interval, self.interval,
            self.relative, self.duration, self.quantity, self.quantity, self.rate, self.money, self.money,
            self.compact_money, self.number, self.percent, self.names, self.names, self.quantities, self.variant,
        )  # fmt: skip

    def random(self) -> Phrase:
        """Return a random Phrase of a random kind."""
        return self.rng.choice(self.kinds)()

    def single_names(self) -> Iterator[Phrase]:
        """Yield a Phrase for the name of every place, language, currency and script."""
        yield from (self._name("territories", code) for code in self.places)
        yield from (self._name("languages", code) for code in self.languages)
        yield from (self._name("currencies", code) for code in self.currencies)
        yield from (self._name("scripts", code) for code in self.scripts)

    @staticmethod
    def _name(table: str, code: str) -> Phrase:
        return lambda locale: str(getattr(locale, table)[code])

    def _day(self) -> date:
        return date(1950, 1, 1) + timedelta(days=self.rng.randrange(365 * 100))

    def _moment(self) -> datetime:
        return datetime.combine(
            self._day(), time(self.rng.randrange(24), self.rng.randrange(60), self.rng.randrange(60))
        )

    def _amount(self) -> Decimal:
        places = self.rng.choice((0, 0, 1, 2))
        return Decimal(self.rng.randrange(1, 10 ** self.rng.randrange(2, 6))).scaleb(-places)

    def date(self) -> Phrase:
        """Return a Phrase that formats a random date, in one of four lengths."""
        day, length = self._day(), self.rng.choice(LENGTHS)
        return lambda locale: dates.format_date(day, length, locale=locale)

    def skeleton(self) -> Phrase:
        """Return a Phrase that formats some fields of a random date or time.

        Examples are month and day, year and quarter, or the week of a year.
        """
        moment, skeleton = self._moment(), self.rng.choice(self.skeletons)
        return lambda locale: dates.format_skeleton(skeleton, moment, locale=locale)

    def moment(self) -> Phrase:
        """Return a Phrase that formats a random date with a time of day."""
        moment, length = self._moment(), self.rng.choice(LENGTHS[:2])
        return lambda locale: dates.format_datetime(moment, length, locale=locale)

    def time(self) -> Phrase:
        """Return a Phrase that formats a random time of day."""
        moment, length = self._moment(), self.rng.choice(LENGTHS[:2])
        return lambda locale: dates.format_time(moment.time(), length, locale=locale)

    def interval(self) -> Phrase:
        """Return a Phrase that formats a random interval between two dates or times."""
        start, skeleton = self._moment(), self.rng.choice(INTERVALS)
        hours = "h" in skeleton or "H" in skeleton
        length = timedelta(minutes=self.rng.randrange(5, 600)) if hours else timedelta(days=self.rng.randrange(1, 500))
        return lambda locale: dates.format_interval(start, start + length, skeleton, locale=locale)

    def _delta(self) -> timedelta:
        unit = self.rng.choice((1, 60, 3600, 86400, 604800, 2629800, 31557600))
        return timedelta(seconds=unit * self.rng.randrange(1, 100))

    def relative(self) -> Phrase:
        """Return a Phrase that formats a random time relative to now, in the future or the past."""
        delta, form = self._delta() * self.rng.choice((1, -1)), self.rng.choice(FORMS)
        return lambda locale: dates.format_timedelta(
            delta, threshold=1.2, add_direction=True, format=form, locale=locale
        )

    def duration(self) -> Phrase:
        """Return a Phrase that formats a random duration."""
        delta, form = self._delta(), self.rng.choice(FORMS)
        return lambda locale: dates.format_timedelta(delta, threshold=1.2, format=form, locale=locale)

    def quantity(self) -> Phrase:
        """Return a Phrase that formats a random number with a unit."""
        amount, unit, form = self._amount(), self.rng.choice(UNITS), self.rng.choice(FORMS)
        return lambda locale: units.format_unit(amount, unit, form, locale=locale)

    def rate(self) -> Phrase:
        """Return a Phrase that formats a random rate, such as kilometres per hour."""
        amount, (unit, per), form = self._amount(), self.rng.choice(RATES), self.rng.choice(FORMS)
        return lambda locale: str(
            units.format_compound_unit(amount, unit, denominator_unit=per, length=form, locale=locale)
        )

    def quantities(self) -> Phrase:
        """Return a Phrase that lists two or three random quantities."""
        parts = [self.quantity() for _ in range(self.rng.choice((2, 2, 3)))]
        return lambda locale: lists.format_list([phrase(locale) for phrase in parts], locale=locale)

    def money(self) -> Phrase:
        """Return a Phrase that formats a random amount of money, with the sign or the name of its currency."""
        amount, currency = self._amount(), self.rng.choice(CURRENCIES)
        forms: tuple[Literal["standard", "accounting", "name"], ...] = ("standard", "accounting", "name", "name")
        form = self.rng.choice(forms)
        return lambda locale: numbers.format_currency(amount, currency, locale=locale, format_type=form)

    def compact_money(self) -> Phrase:
        """Return a Phrase for random thousands, millions or billions, with or without a currency."""
        amount = self.rng.randrange(1, 1000) * 10 ** self.rng.randrange(3, 10)
        currency = self.rng.choice(CURRENCIES)
        forms: tuple[Literal["short", "long"], ...] = ("short", "long")
        form = self.rng.choice(forms)
        if self.rng.random() < 0.3:
            return lambda locale: numbers.format_compact_currency(amount, currency, locale=locale, fraction_digits=1)
        return lambda locale: numbers.format_compact_decimal(
            amount,
            format_type=form,
            locale=locale,
            fraction_digits=1,
        )

    def number(self) -> Phrase:
        """Return a Phrase that formats a random number with separators, or in scientific notation."""
        value = Decimal(self.rng.randrange(1, 10**9)).scaleb(-self.rng.randrange(4))
        if self.rng.random() < 0.2:
            return lambda locale: numbers.format_scientific(value, locale=locale)
        return lambda locale: numbers.format_decimal(value, locale=locale)

    def percent(self) -> Phrase:
        """Return a Phrase that formats a random percentage."""
        value = Decimal(self.rng.randrange(1, 2000)).scaleb(-3)
        return lambda locale: numbers.format_percent(value, locale=locale, decimal_quantization=False)

    def names(self) -> Phrase:
        """Return a Phrase that lists random places, languages or currencies, joined by `and`, `or` or commas."""
        table = self.rng.choice(("territories", "languages", "currencies"))
        codes: list[str] = {"territories": self.places, "languages": self.languages, "currencies": self.currencies}[
            table
        ]
        parts = [self._name(table, code) for code in self.rng.sample(codes, self.rng.choice((2, 2, 3, 4)))]
        styles: tuple[Literal["standard", "or", "unit"], ...] = ("standard", "standard", "or", "unit")
        style = self.rng.choice(styles)
        return lambda locale: lists.format_list([phrase(locale) for phrase in parts], style, locale=locale)

    def variant(self) -> Phrase:
        """Return a Phrase for a random language with a place in brackets."""
        language, place = self.rng.choice(self.languages), self.rng.choice(self.places)

        def say(locale: Locale) -> str:
            return f"{locale.languages[language]} ({locale.territories[place]})"

        return say


def build_cldr(
    languages: tuple[str, str], size: int, valid: int = 1000, test: int = 1000, seed: int = 1
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    """Return the splits of a corpus of phrases with `size` training pairs, and its card. Every source occurs once.

    Single names are always in the training set, so a held-out phrase combines names that training has shown. Raises
    UserError for an unknown language, or if CLDR gives too few phrases.
    """
    source, target = (parse_locale(code) for code in languages)
    phrases = Phrases(source, target, seed)
    dropped: Counter[str] = Counter()
    target_of: dict[str, str] = {}

    def new_pair(make_phrase: Callable[[], Phrase]) -> Pair | None:
        pair = _express(make_phrase, source, target)
        if pair is None:
            dropped["not in the CLDR data of both languages"] += 1
        elif pair.source in target_of:
            is_same = target_of[pair.source] == pair.target
            dropped["exact duplicate" if is_same else "source with another translation"] += 1
        elif not pair.source or not pair.target:
            dropped["empty"] += 1
        else:
            target_of[pair.source] = pair.target
            return pair
        return None

    names = [pair for name in phrases.single_names() if (pair := new_pair(lambda name=name: name))][:size]  # type: ignore[misc]  # mypy cannot infer a lambda's default
    needed = size - len(names) + valid + test
    pairs: list[Pair] = []
    for _ in range(20 * needed + 10_000):
        if len(pairs) == needed:
            break
        if pair := new_pair(phrases.random):
            pairs.append(pair)
    if len(pairs) < needed:
        raise UserError(
            f"CLDR gives only {len(pairs) + len(names):,} different phrases in {'-'.join(languages)}, but "
            f"{size + valid + test:,} are needed; ask for fewer, or choose another pair"
        )
    phrases.rng.shuffle(pairs)
    splits = {"test": pairs[:test], "valid": pairs[test : test + valid], "train": names + pairs[test + valid :]}
    card = {
        "corpus": "cldr",
        "from": f"CLDR data of Babel {babel.__version__}",
        "licence": "Unicode-3.0 (CLDR data), BSD-3-Clause (Babel)",
        "dropped": dict(dropped),
        "seed": seed,
    }
    return splits, card


def _express(make_phrase: Callable[[], Phrase], source: Locale, target: Locale) -> Pair | None:
    """Return a phrase in both languages, or None if the CLDR data of one lacks a word for it."""
    try:
        phrase = make_phrase()
        pair = Pair(normalise(phrase(source)), normalise(phrase(target)))
    except (LookupError, ValueError, AttributeError, TypeError):  # Babel raises any of these for missing data
        return None
    # For a unit without a name Babel writes the unit's code.
    return None if any(unit in side for side in pair for unit in UNITS) else pair

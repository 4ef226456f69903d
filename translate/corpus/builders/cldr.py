"""Corpora of phrases made from CLDR data, for any pair of its languages."""

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

Say = Callable[[Locale], str]  # one meaning, put into words in a language


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


SKELETONS = (
    "yMMMd yMMMM yMMM MMMMd MMMd MEd MMMEd yMMMEd yMEd yMd Md Ed yQQQQ yQQQ hm hms Hm Hms Ehm EHm GyMMMd GyMMM yw MMMMW"
).split()


INTERVALS = "yMMMd yMMM MMMd MMMEd yMMMEd yMd Md hm Hm yMMMM y MMM d".split()


Length = Literal["short", "medium", "long", "full"]


Form = Literal["long", "short", "narrow"]


LENGTHS: tuple[Length, ...] = ("short", "medium", "long", "full")


FORMS: tuple[Form, ...] = ("long", "short", "narrow")


SCRIPTLESS = 3  # language codes up to this length name languages; longer ones name regional variants


def parse_locale(code: str) -> Locale:
    """A CLDR language. Raises UserError for what Babel does not know."""
    try:
        return Locale.parse(code)
    except (UnknownLocaleError, ValueError):
        raise UserError(f"{code} is no language of CLDR; give codes such as en, de, fr or pt_BR") from None


class Phrases:
    """Makes random meanings; each can be said in any language."""

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
        self.languages = [c for c in languages if len(c) <= SCRIPTLESS]
        self.currencies, self.scripts = currencies, scripts
        self.skeletons = sorted(set(SKELETONS) & set(source.datetime_skeletons) & set(target.datetime_skeletons))
        self.kinds: tuple[Callable[[], Say], ...] = (
            self.date, self.date, self.skeleton, self.skeleton, self.moment, self.time, self.interval, self.interval,
            self.relative, self.duration, self.quantity, self.quantity, self.rate, self.money, self.money,
            self.compact_money, self.number, self.percent, self.names, self.names, self.quantities, self.variant,
        )  # fmt: skip

    def random(self) -> Say:
        """Any kind of phrase."""
        return self.rng.choice(self.kinds)()

    def single_names(self) -> Iterator[Say]:
        """Every place, language, currency and script by itself."""
        yield from (self._name("territories", code) for code in self.places)
        yield from (self._name("languages", code) for code in self.languages)
        yield from (self._name("currencies", code) for code in self.currencies)
        yield from (self._name("scripts", code) for code in self.scripts)

    @staticmethod
    def _name(table: str, code: str) -> Say:
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

    def date(self) -> Say:
        """A date in one of four lengths."""
        day, length = self._day(), self.rng.choice(LENGTHS)
        return lambda locale: dates.format_date(day, length, locale=locale)

    def skeleton(self) -> Say:
        """Parts of a date or time that belong together: month and day, year and quarter, week of a year."""
        moment, skeleton = self._moment(), self.rng.choice(self.skeletons)
        return lambda locale: dates.format_skeleton(skeleton, moment, locale=locale)

    def moment(self) -> Say:
        """Date and time."""
        moment, length = self._moment(), self.rng.choice(LENGTHS[:2])
        return lambda locale: dates.format_datetime(moment, length, locale=locale)

    def time(self) -> Say:
        """A time of day."""
        moment, length = self._moment(), self.rng.choice(LENGTHS[:2])
        return lambda locale: dates.format_time(moment.time(), length, locale=locale)

    def interval(self) -> Say:
        """From one date or time to another."""
        start, skeleton = self._moment(), self.rng.choice(INTERVALS)
        hours = "h" in skeleton or "H" in skeleton
        length = timedelta(minutes=self.rng.randrange(5, 600)) if hours else timedelta(days=self.rng.randrange(1, 500))
        return lambda locale: dates.format_interval(start, start + length, skeleton, locale=locale)

    def _delta(self) -> timedelta:
        unit = self.rng.choice((1, 60, 3600, 86400, 604800, 2629800, 31557600))
        return timedelta(seconds=unit * self.rng.randrange(1, 100))

    def relative(self) -> Say:
        """A time from now, or ago."""
        delta, form = self._delta() * self.rng.choice((1, -1)), self.rng.choice(FORMS)
        return lambda locale: dates.format_timedelta(
            delta, threshold=1.2, add_direction=True, format=form, locale=locale
        )

    def duration(self) -> Say:
        """A length of time."""
        delta, form = self._delta(), self.rng.choice(FORMS)
        return lambda locale: dates.format_timedelta(delta, threshold=1.2, format=form, locale=locale)

    def quantity(self) -> Say:
        """A number with a unit."""
        amount, unit, form = self._amount(), self.rng.choice(UNITS), self.rng.choice(FORMS)
        return lambda locale: units.format_unit(amount, unit, form, locale=locale)

    def rate(self) -> Say:
        """A number with a unit for each of another."""
        amount, (unit, per), form = self._amount(), self.rng.choice(RATES), self.rng.choice(FORMS)
        return lambda locale: str(
            units.format_compound_unit(amount, unit, denominator_unit=per, length=form, locale=locale)
        )

    def quantities(self) -> Say:
        """Two or three quantities in a list."""
        parts = [self.quantity() for _ in range(self.rng.choice((2, 2, 3)))]
        return lambda locale: lists.format_list([say(locale) for say in parts], locale=locale)

    def money(self) -> Say:
        """An amount with the currency's sign or name."""
        amount, currency = self._amount(), self.rng.choice(CURRENCIES)
        forms: tuple[Literal["standard", "accounting", "name"], ...] = ("standard", "accounting", "name", "name")
        form = self.rng.choice(forms)
        return lambda locale: numbers.format_currency(amount, currency, locale=locale, format_type=form)

    def compact_money(self) -> Say:
        """Thousands, millions and billions of money, or of nothing in particular."""
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

    def number(self) -> Say:
        """A number with separators, or in scientific notation."""
        value = Decimal(self.rng.randrange(1, 10**9)).scaleb(-self.rng.randrange(4))
        if self.rng.random() < 0.2:
            return lambda locale: numbers.format_scientific(value, locale=locale)
        return lambda locale: numbers.format_decimal(value, locale=locale)

    def percent(self) -> Say:
        """A percentage."""
        value = Decimal(self.rng.randrange(1, 2000)).scaleb(-3)
        return lambda locale: numbers.format_percent(value, locale=locale, decimal_quantization=False)

    def names(self) -> Say:
        """A list of places, languages or currencies, joined by and, or, or commas."""
        table = self.rng.choice(("territories", "languages", "currencies"))
        codes: list[str] = {"territories": self.places, "languages": self.languages, "currencies": self.currencies}[
            table
        ]
        parts = [self._name(table, code) for code in self.rng.sample(codes, self.rng.choice((2, 2, 3, 4)))]
        styles: tuple[Literal["standard", "or", "unit"], ...] = ("standard", "standard", "or", "unit")
        style = self.rng.choice(styles)
        return lambda locale: lists.format_list([say(locale) for say in parts], style, locale=locale)

    def variant(self) -> Say:
        """A language as spoken or written somewhere."""
        language, place = self.rng.choice(self.languages), self.rng.choice(self.places)

        def say(locale: Locale) -> str:
            return f"{locale.languages[language]} ({locale.territories[place]})"

        return say


def from_cldr(
    languages: tuple[str, str], size: int, valid: int = 1000, test: int = 1000, seed: int = 1
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    """`size` training pairs and the held-out parts, every source line once.

    Names by themselves are always in the training part; a held-out phrase combines what training has shown.
    """
    source, target = (parse_locale(code) for code in languages)
    phrases = Phrases(source, target, seed)
    dropped: Counter[str] = Counter()
    seen: dict[str, str] = {}

    def unseen(make: Callable[[], Say]) -> Pair | None:
        try:
            say = make()
            pair = Pair(normalise(say(source)), normalise(say(target)))
        except (LookupError, ValueError, AttributeError, TypeError):  # Babel's ways to lack something
            dropped["not in the CLDR data of both languages"] += 1
            return None
        if any(unit in side for side in pair for unit in UNITS):  # Babel writes the code of a unit it has no word for
            dropped["not in the CLDR data of both languages"] += 1
            return None
        if pair.source in seen:
            known = seen[pair.source] == pair.target
            dropped["said before" if known else "same source, another meaning"] += 1
            return None
        if not pair.source or not pair.target:
            dropped["empty"] += 1
            return None
        seen[pair.source] = pair.target
        return pair

    train = [pair for say in phrases.single_names() if (pair := unseen(lambda say=say: say))]  # type: ignore[misc]
    train = train[:size]
    wanted = size - len(train) + valid + test
    made: list[Pair] = []
    for _ in range(20 * wanted + 10_000):
        if len(made) == wanted:
            break
        pair = unseen(phrases.random)
        if pair:
            made.append(pair)
    if len(made) < wanted:
        raise UserError(
            f"CLDR gives only {len(made) + len(train):,} different phrases in {'-'.join(languages)}, and "
            f"{size + valid + test:,} were asked for; ask for fewer, or take another pair"
        )
    phrases.rng.shuffle(made)
    splits = {"test": made[:test], "valid": made[test : test + valid], "train": train + made[test + valid :]}
    card = {
        "corpus": "cldr",
        "from": f"CLDR data of Babel {babel.__version__}",
        "licence": "Unicode-3.0 (CLDR data), BSD-3-Clause (Babel)",
        "dropped": dict(dropped),
        "seed": seed,
    }
    return splits, card

"""Years of the calendars that a language may use beside the Gregorian one."""

from __future__ import annotations

from math import floor

from dragoman.runtime.languages import primary_subtag

FIRST_YEAR, LAST_YEAR = 1000, 2199  # Gregorian; other numbers are seldom years

LONGEST_MONTH = 32  # days, in the calendar of Nepal

# The Islamic lunar year in days of the mean tabular calendar, the Gregorian one, and the epoch of the former in years
# of the latter.
LUNAR_YEAR, SOLAR_YEAR, LUNAR_EPOCH = 354.3667, 365.2425, 621.57

JAPANESE_ERAS = ((1868, 1912), (1912, 1926), (1926, 1989), (1989, 2019), (2019, LAST_YEAR))  # Meiji to Reiwa

# Differences to a Gregorian year. There are two where the other calendar's year begins on another day.
BUDDHIST, BUDDHIST_OF_THE_WEST = (543,), (543, 544)
MINGUO_AND_JUCHE = (-1911,)
DANGI = (2333,)
SOLAR_HIJRI = (-622, -621)
HEBREW = (3760, 3761)
ETHIOPIAN = (-8, -7)
VIKRAM = (56, 57)
SAKA = (-79, -78)
BENGALI = (-594, -593)
KOLLAM = (-825, -824)

# Calendars with the Gregorian months: languages, differences.
GREGORIAN_MONTHS = {"th lo km": BUDDHIST, "zh yue nan hak": MINGUO_AND_JUCHE, "ko": MINGUO_AND_JUCHE + DANGI}

# Calendars with months of their own, so that days and months differ, too.
OWN_MONTHS = {
    "my si": BUDDHIST_OF_THE_WEST,
    "fa ps ckb ku lrc mzn glk haz azb": SOLAR_HIJRI,
    "he yi lad": HEBREW,
    "am ti om gez wal sid": ETHIOPIAN,
    "ne new mai bho dty": VIKRAM,
    "hi mr gu sa": VIKRAM + SAKA,
    "kok te kn": SAKA,
    "bn as": BENGALI + SAKA,
    "ml": KOLLAM + SAKA,
}

ISLAMIC = (
    "ar ary arz apc az azb bn bs ckb dv fa glk ha haz id jv ks ku lrc ms mzn pa ps sd so su sw tr ug ur uz".split()
)


def _by_language(calendars: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {language: differences for languages, differences in calendars.items() for language in languages.split()}


_GREGORIAN_MONTHS, _OWN_MONTHS = _by_language(GREGORIAN_MONTHS), _by_language(OWN_MONTHS)


def other_years(language: str, year: int) -> tuple[set[int], set[int]]:
    """Return the years in a language's other calendars that overlap with a Gregorian year.

    The first set is of calendars with the Gregorian months, the second of those with months of their own.
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return set(), set()
    language = primary_subtag(language)
    same_months = {year + difference for difference in _GREGORIAN_MONTHS.get(language, ())}
    own_months = {year + difference for difference in _OWN_MONTHS.get(language, ())}
    if language == "ja":
        same_months |= {year - first + 1 for first, last in JAPANESE_ERAS if first <= year <= last}
    if language in ISLAMIC:
        start, end = (floor((y - LUNAR_EPOCH) * SOLAR_YEAR / LUNAR_YEAR) for y in (year, year + 1))
        own_months |= {*range(start, end + 1)}
    return {y for y in same_months if y > 0}, own_months

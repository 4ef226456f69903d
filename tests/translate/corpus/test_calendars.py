"""Tests of the years that languages write in calendars of their own."""

from __future__ import annotations

import pytest

from dragoman.translate.corpus.calendars import other_years
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.corpus.number_matching import numbers_differ

# A Gregorian date in English, and the same date in another language's calendar.
DATES = [
    ("th", "25 December 2023", "25 ธันวาคม 2566"),
    ("th", "25 December 2023", "๒๕ ธันวาคม ๒๕๖๖"),
    ("lo", "In 2019 there were 40", "ໃນປີ 2562 ມີ 40"),
    ("ja", "May 12, 2023", "令和5年5月12日"),
    ("ja", "May 12, 2019", "令和元年5月12日"),
    ("ja", "In 1964, 93 countries", "昭和39年、93か国"),
    ("zh_TW", "20 March 2023", "民國112年3月20日"),
    ("ko", "15 August 1945", "단기 4278년 8월 15일"),
    ("fa", "31 March 2023", "۱۱ فروردین ۱۴۰۲"),
    ("prs", "20 January 2024 at 10:45", "۳۰ جدی ۱۴۰۲ ساعت ۱۰:۴۵"),
    ("ar", "19 July 2023", "1 محرم 1445"),
    ("ur", "11 March 2024", "30 شعبان 1445"),
    ("he", "16 September 2023", "ה-1 בתשרי 5784, יום 15"),
    ("am", "September 15, 2012", "መስከረም 5/2005"),
    ("am", "March 25, 2012", "መጋቢት 16/2004"),
    ("amh", "since 1991", "ከ1983 ወዲህ"),
    ("ti", "27 September 2014 and 300", "17 መስከረም 2007፣ 300"),
    ("ne", "14 April 2023", "१ वैशाख २०८०, दिन १५"),
    ("hi", "22 March 2024, 45 people", "1 चैत्र 1946, 45 लोग"),
    ("bn", "14 April 2023 at 11:20", "১ বৈশাখ ১৪৩০, ১১:২০"),
    ("my", "In 2024, 55 towns", "၂၅၆၇ ခုနှစ်တွင် ၅၅"),
]


@pytest.mark.parametrize(("language", "english", "other"), DATES)
def test_years_of_other_calendars_match(language: str, english: str, other: str) -> None:
    assert not numbers_differ(Pair(english, other), ("en", language))
    assert not numbers_differ(Pair(other, english), (language, "en"))


@pytest.mark.parametrize(
    ("language", "english", "other"),
    [
        ("th", "25 December 2023", "25 ธันวาคม 2565"),
        ("th", "25 December 2023", "26 ธันวาคม 2566"),  # its months are the Gregorian ones
        ("de", "im Jahr 2023, 25", "2566, 25"),
        ("ja", "In 1964, 93 countries", "昭和38年、93か国"),
        ("zh", "20 March 2023", "民國113年3月20日"),
        ("fa", "31 March 2023", "۱۱ فروردین ۱۴۰۴"),
        ("am", "since 1991", "ከ1973 ወዲህ"),
        ("he", "16 September 2023", "16, 5786"),
        ("ar", "19 July 2023 and 500", "1445 و 600"),
    ],
)
def test_wrong_years_and_days_differ(language: str, english: str, other: str) -> None:
    assert numbers_differ(Pair(english, other), ("en", language))


def test_years_by_language() -> None:
    assert other_years("ar", 2023) == (set(), {1444, 1445})
    assert other_years("ar", 2008) == (set(), {1428, 1429, 1430})  # three lunar years touch it
    assert other_years("ja", 2019) == ({31, 1}, set())
    assert other_years("ja", 1926) == ({15, 1}, set())
    assert other_years("zh", 1900) == (set(), set())
    assert other_years("fa", 2024)[1] >= {1402, 1403, 1445, 1446}
    assert other_years("de", 2024) == other_years("th", 12) == (set(), set())

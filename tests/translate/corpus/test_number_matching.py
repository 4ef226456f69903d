"""Tests of the numbers in a text and its translation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.translate.corpus.folder import Pair
from dragoman.translate.corpus.number_matching import find_numbers, numbers_differ


@given(st.integers(10, 10**12))
def test_numbers_are_found_with_any_separator_and_digits(n: int) -> None:
    expected = {str(n): 1}
    for separator in (",", ".", " ", "'", "\u202f"):
        assert find_numbers(f"{n:,}".replace(",", separator)) == expected
    assert find_numbers(str(n).translate({ord("0") + i: chr(0x966 + i) for i in range(10)})) == expected


@pytest.mark.parametrize(
    ("source", "target", "differ"),
    [
        ("3/15/1980", "15.03.1980", False),
        ("03/05/2019", "3. Mai 2019", False),
        ("10:30 pm", "22:30", False),
        ("In 2020 100 people", "2020 waren es 100", False),
        ("1,00,00,000", "10.000.000", False),
        ("call 1234567", "123 45 67", False),
        ("3 dogs and 2 cats", "drei Hunde und 2 Katzen", False),
        ("at 5 pm", "um 17 Uhr", False),
        ("12 people", "dreizehn", False),
        ("October 25, 1987", "1987年10月25日", False),
        ("150,000 inhabitants", "15万居民", False),
        ("15 billion won", "150억 원", False),
        ("90.6 million", "9060万", False),
        ("2:30 pm", "14h30", False),
        ("10 p.m.", "22 Uhr", False),
        ("songs of the 1990s", "Lieder der 90er", False),
        ("twelve men and 20 women", "12 Männer und 20 Frauen", False),
        ("1.5 million in 2010", "1.500.000 im Jahr 2010", False),
        ("12/31/2023", "31.12.2023", False),
        ("12/31/2023, 3:30 PM", "2023-12-31 15:30", False),
        ("3:30 PM", "15.30 Uhr", False),
        ("at 11∶46∶30 am", "um 11:46:30", False),
        ("12:15 am and 12:15 pm", "0:15 und 12:15 Uhr", False),
        ("1,234.5 km in 40 h", "1.234,5 km in 40 Std.", False),
        ("1,234.5 km in 40 h", "1 234,5 km en 40 h", False),
        ("1,234.5 km in 40 h", "1'234.5 km in 40 h", False),
        ("1,234.5 km in 40 h", "1’234.5 km in 40 h", False),
        ("1,234.5 km in 40 h", "١٬٢٣٤٫٥ كم في ٤٠ ساعة", False),
        ("1,234.5 km in 40 h", "१,२३४.५ किमी ४० घंटे", False),
        ("the 21st day of 300", "le 21e jour sur 300", False),
        ("the 21st day of 300", "第21天,共300天", False),
        ("the 19th century, 1850", "le XIXe siècle, 1850", False),
        ("fifteen of 200", "15 von 200", False),
        ("12/31/2023", "31.12.2022", True),
        ("1,234.5 km in 40 h", "1.243,5 km in 40 Std.", True),
        ("From 1871 to 1918", "Seit 1871", True),
        ("12 dogs and 20 cats", "13 Hunde und 20 Katzen", True),
        ("1977 to 1991", "1977 bis 1990", True),
        ("5 of 300", "5 von 400", True),
        ("Chapter 3", "Kapitel 7", True),
        ("in 1987", "1978", True),
        ("Ctrl+Alt+5", "Strg+Alt+6", True),
    ],
)
def test_numbers_differ(source: str, target: str, differ: bool) -> None:
    assert numbers_differ(Pair(source, target)) == differ

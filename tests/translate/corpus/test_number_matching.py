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

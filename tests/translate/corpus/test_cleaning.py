"""Tests that each cleaning rule drops bad pairs and keeps good ones that look similar."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.builders.parallel import build_parallel
from dragoman.translate.corpus.cleaning import Cleaner, filter_pairs
from dragoman.translate.corpus.deduplication import pattern_key
from dragoman.translate.corpus.folder import Corpus, Pair
from dragoman.translate.corpus.readers.rows import RawRow
from dragoman.translate.corpus.rules import MAX_VARIANTS, RULES
from dragoman.translate.corpus.split import NEAR_HELD_OUT

USUAL = [Pair("a sentence of some length", "ein Satz von einiger Länge")] * 5

BAD = [
    ("same", ("Never translated", "never translated"), "de"),
    ("long", ("word " * 500, "Wort " * 500), "de"),
    ("mojibake", ("The café is closed", "Das CafÃ© ist geschlossen"), "de"),
    ("script", ("Good morning, friends", "Guten Morgen, Freunde"), "ru"),
    ("script", ("Доброе утро, друзья", "Guten Morgen, Freunde"), "de"),
    ("ratio", ("Yes", "Das ist eine Übersetzung von etwas ganz anderem"), "de"),
    ("ratio", ("This was said at great length and in many words", "Ja"), "de"),
    ("numbers", ("1,234 dogs and 56 cats", "1.234 Hunde und 57 Katzen"), "de"),
    ("numbers", ("From 1871 to 1918", "Seit 1871"), "de"),
]
GOOD = [
    (("1,234.5 km in 2024", "1.234,5 km im Jahr 2024"), "de"),
    (("3 dogs", "drei Hunde"), "de"),
    (("42", "two and forty"), "xx"),
    (("25 people", "२५ लोग"), "hi"),
    (("1 000 000 people", "1.000.000 Leute"), "de"),
    (("404", "404"), "de"),
    (("Yes", "Jawohl"), "de"),
    (("Open the file in LibreOffice", "Открыть файл в LibreOffice"), "ru"),
    (("Good morning", "おはようございます"), "ja"),
    (("OpenGL on Linux", "OpenGL на Linux"), "ru"),
    (("JavaScript tutorial", "JavaScript教程"), "zh"),
    (("Server for Windows", "Windows用サーバー"), "ja"),
    (("Facebook login", "Facebook로 로그인"), "ko"),
    (("WordPress sites", "WordPress-сайты"), "ru"),
    (("WIR Euro", "ユーロ (WIR)"), "ja"),
    (("\U0001e4f1 people", "\U0001e4f1 Leute"), "de"),  # digits that Unicode 15 added
    (("“Quoted” – naïve café", "„Zitiert“ – naives Café"), "de"),
]


@pytest.mark.parametrize(("rule", "pair", "language"), BAD)
def test_bad_pairs_are_dropped(rule: str, pair: tuple[str, str], language: str) -> None:
    assert Cleaner(USUAL, ("en", language)).broken_rule(Pair(*pair)) == rule
    assert Cleaner(USUAL, ("en", language), disabled=[rule]).broken_rule(Pair(*pair)) is None


@pytest.mark.parametrize(("pair", "language"), GOOD)
def test_good_pairs_are_kept(pair: tuple[str, str], language: str) -> None:
    assert Cleaner(USUAL, ("en", language)).broken_rule(Pair(*pair)) is None


def test_duplicates() -> None:
    pairs = [
        Pair("Page 12 of 30", "Seite 12 von 30"),
        Pair("Page 12 of 30", "Seite 12 von 30"),
        Pair("page 12 of 30.", "Seite 12 von 30."),
        Pair("page 7 of 10.", "Seite 7 von 10."),
        Pair("Page 12 of 30", "Blatt 12 von 30"),
    ]
    dropped: list[tuple[str, Pair]] = []
    assert list(filter_pairs(pairs, ("en", "de"), (), lambda rule, pair: dropped.append((rule, pair)))) == [
        pairs[0],
        pairs[3],
        pairs[4],
    ]
    assert dropped == [("duplicate", pairs[1]), ("near-duplicate", pairs[2])]
    assert list(filter_pairs(pairs, ("en", "de"), RULES, lambda *_: None)) == pairs


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("Page {n} of 300", "Seite {n} von 300"),
        ("page {n}, 12:{n}", "S. {n} - 12:{n}!"),
        ("{n} km away", "{n} km entfernt"),
    ],
)
def test_few_pairs_that_differ_in_numbers_alone_are_kept(source: str, target: str) -> None:
    pairs = [Pair(source.format(n=n), target.format(n=n)) for n in range(10, 10 + 3 * MAX_VARIANTS)]
    other = Pair("Something without numbers", "Etwas ohne Zahlen")
    dropped: Counter[str] = Counter()
    kept = [*filter_pairs([*pairs, other], ("en", "de"), (), lambda rule, _: dropped.update([rule]))]
    assert kept == [*pairs[:MAX_VARIANTS], other]
    assert dropped == {"near-duplicate": 2 * MAX_VARIANTS}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_pattern_of_numbers_is_in_training_and_held_out(tmp_path: Path, seed: int) -> None:
    words = [a + b for a in "abcdefgh" for b in "klmnop"]
    rows: list[RawRow] = [
        (f"The {word} of {n} was {n}.5 km", f"{word}, {n}: {n},5 km") for word in words for n in range(20, 30)
    ]
    splits, card = build_parallel(rows, ("en", "de"), {}, tmp_path, 8, 8, seed)
    pairs = {split: [*pairs] for split, pairs in splits.items()}
    patterns = [{pattern_key(pair.source) for pair in pairs[split]} for split in ("train", "valid", "test")]
    assert [*map(len, patterns)] == [len(words) - 16, 8, 8]
    assert len(set.union(*patterns)) == len(words)
    assert [len(pairs[split]) for split in ("train", "valid", "test")] == [10 * (len(words) - 16), 8, 8]
    assert card["dropped"] == {NEAR_HELD_OUT: 9 * 16}


def test_lines_of_numbers_alone_are_different_sources(tmp_path: Path) -> None:
    rows: list[RawRow] = [(str(number).encode(), f"Nummer {number}".encode()) for number in range(100)]
    splits, card = build_parallel(rows, ("en", "de"), {}, tmp_path, 8, 8, 1)
    assert [len([*pairs]) for pairs in splits.values()] == [84, 8, 8]
    assert card["dropped"] == {}


def test_the_error_about_few_sources_says_what_counts_as_one(tmp_path: Path) -> None:
    rows: list[RawRow] = [(f"page {number}".encode(), f"Seite {number}".encode()) for number in range(10)]
    with pytest.raises(
        UserError, match=r"1 different source line is .* in case, punctuation or numbers alone count as"
    ):
        build_parallel(rows, ("en", "de"), {}, tmp_path, 1, 1, 1)


def test_untranslated_pairs_do_not_affect_the_usual_length_ratio() -> None:
    good = [
        Pair(f"this is a sentence about the thing {chr(97 + i % 26) * (i // 26 + 1)}", "这是句子") for i in range(60)
    ]
    untranslated = [Pair(f"this was never translated {i}", f"This was never translated {i}") for i in range(90)]
    for pairs in (good + untranslated, untranslated + good):
        assert [*filter_pairs(pairs, ("en", "zh"), ["near-duplicate"], lambda *_: None)] == good


@given(st.text(), st.text(), st.sampled_from(["de", "ja", "ar", "xx"]))
def test_any_text_can_be_checked(source: str, target: str, language: str) -> None:
    assert Cleaner([], ("en", language)).broken_rule(Pair(source, target)) in (None, *RULES)


def test_dropped_pairs_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*((f"line number {n}00", f"Zeile Nummer {n}00") for n in range(10, 40)), ("untranslated", "untranslated")]
    rows += [("twelve 12", "dreizehn 13")]
    (tmp_path / "a.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows))
    command = ["corpus", "files", str(tmp_path / "a.tsv"), "--pair", "en-de", "--valid", "2", "--test", "2", "--out"]
    command += [str(tmp_path / "out")]
    assert main([*command, "--allow", "near-duplicate", "--dropped", str(tmp_path / "dropped")]) == 0
    assert Corpus(tmp_path / "out").card["dropped"] == {RULES["same"]: 1, RULES["numbers"]: 1}
    assert (tmp_path / "dropped").read_text().splitlines() == [
        "same\tuntranslated\tuntranslated",
        "numbers\ttwelve 12\tdreizehn 13",
    ]
    assert "dropped 1: different numbers" in capsys.readouterr().out
    listing = [*command, "--allow", "near duplicate", "--dropped", str(tmp_path / "dropped")]  # the old name
    usable = (tmp_path / "a.tsv").read_bytes()
    (tmp_path / "a.tsv").write_bytes(usable + b"one field\nfor\xfcr\tvier\n" + usable.splitlines(True)[0])
    assert main(listing) == 0
    assert (tmp_path / "dropped").read_text().splitlines() == [
        "no tab; each line needs source, tab, target\tone field\t",
        "invalid UTF-8\tfor\\xfcr\tvier",
        "same\tuntranslated\tuntranslated",
        "numbers\ttwelve 12\tdreizehn 13",
        "duplicate\tline number 1000\tZeile Nummer 1000",
    ]
    capsys.readouterr()
    (tmp_path / "a.tsv").write_text("same\tsame\n" * 20)  # the list explains the error
    assert main(listing) == 2
    assert "20 pairs read; 19 dropped: exact duplicate; 1 dropped: source equals" in capsys.readouterr().err
    assert len((tmp_path / "dropped").read_text().splitlines()) == 20
    (tmp_path / "a.tsv").write_bytes(usable)
    assert main([*command, "--allow", "all"]) == 0
    assert Corpus(tmp_path / "out").card["pairs"]["train"] == 28
    assert main([*command, "--allow", "nonsense"]) == 2
    assert "--allow nonsense: there is no such rule; give one of duplicate," in capsys.readouterr().err

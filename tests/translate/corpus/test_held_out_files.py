"""Tests of `--valid-files` and `--test-files`: a validation and a test set that the user brings."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.builders.parallel import build_parallel
from dragoman.translate.corpus.deduplication import near_duplicate_key
from dragoman.translate.corpus.folder import SPLITS, Corpus, Pair
from dragoman.translate.corpus.rules import RULES
from dragoman.translate.corpus.split import NEAR_HELD_OUT, NEAR_TEST

WORDS = ("house", "river", "garden", "window", "teacher", "morning", "letter", "bridge", "forest", "station")
TRAIN = [Pair(f"the {a} near the {b}", f"der {a} bei dem {b}") for a in WORDS for b in WORDS if a < b]
VALID = [Pair("a quiet street", "eine stille Straße"), Pair("an old song", "ein altes Lied")]
TEST = [Pair("three white birds", "drei weiße Vögel"), Pair("cold water", "kaltes Wasser")]


def write_tsv(path: Path, pairs: Sequence[tuple[str, str]]) -> str:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")
    return str(path)


def write_two(path: Path, pairs: Sequence[tuple[str, str]]) -> list[str]:
    for side, code in enumerate(("en", "de")):
        path.with_suffix(f".{code}").write_text("".join(f"{pair[side]}\n" for pair in pairs), "utf-8")
    return [str(path.with_suffix(f".{code}")) for code in ("en", "de")]


def write_two_gzipped(path: Path, pairs: Sequence[tuple[str, str]]) -> list[str]:
    for name in write_two(path, pairs):
        Path(f"{name}.gz").write_bytes(gzip.compress(Path(name).read_bytes()))
        Path(name).unlink()
    return [str(path.with_suffix(f".{code}.gz")) for code in ("en", "de")]


def write_jsonl(path: Path, pairs: Sequence[tuple[str, str]]) -> list[str]:
    path.with_suffix(".jsonl").write_text("".join(json.dumps({"en": a, "de": b}) + "\n" for a, b in pairs), "utf-8")
    return [str(path.with_suffix(".jsonl"))]


def write_tmx(path: Path, pairs: Sequence[tuple[str, str]]) -> list[str]:
    units = "".join(
        f'<tu><tuv xml:lang="en"><seg>{a}</seg></tuv><tuv xml:lang="de"><seg>{b}</seg></tuv></tu>' for a, b in pairs
    )
    header = '<tmx version="1.4"><header srclang="en" segtype="sentence" datatype="plaintext"/>'
    path.with_suffix(".tmx").write_text(f"{header}<body>{units}</body></tmx>", "utf-8")
    return [str(path.with_suffix(".tmx"))]


def write_folder_of_tables(path: Path, pairs: Sequence[tuple[str, str]]) -> list[str]:
    path.mkdir()
    for number, pair in enumerate(pairs):
        write_tsv(path / f"{number}.tsv", [pair])
    return [str(path)]


FORMS = [write_two, write_two_gzipped, write_jsonl, write_tmx, write_folder_of_tables]


def build(tmp_path: Path, *words: str, out: str = "corpus") -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    write_tsv(tmp_path / "train.tsv", TRAIN)
    command = ["corpus", "files", "--pair", "en-de", "--out", str(tmp_path / out), str(tmp_path / "train.tsv"), *words]
    assert main(command) == 0
    corpus = Corpus(tmp_path / out)
    return {split: corpus.read(split) for split in SPLITS}, corpus.card


@pytest.mark.parametrize("form", FORMS)
def test_given_sets_are_the_sets(tmp_path: Path, form: Callable[[Path, Sequence[Pair]], list[str]]) -> None:
    valid, test = form(tmp_path / "dev", VALID), form(tmp_path / "tst", TEST)
    splits, card = build(tmp_path, "--valid-files", *valid, "--test-files", *test)
    assert splits == {"train": TRAIN, "valid": VALID, "test": TEST}
    assert card["valid_from"] == [Path(path).name for path in valid]
    assert card["test_from"] == [Path(path).name for path in test]
    assert card["from"] == ["train.tsv"]
    assert card["read"] == len(TRAIN) + len(VALID) + len(TEST)


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash for process substitution")
def test_given_sets_may_be_pipes(tmp_path: Path) -> None:
    for name, pairs in (("train", TRAIN), ("dev", VALID), ("tst", TEST)):
        write_two(tmp_path / name, pairs)
    script = (
        '"$0" -c "import sys; from dragoman.cli import main; sys.exit(main())" corpus files --pair en-de --out corpus '
        "<(cat train.en) <(cat train.de) --valid-files <(cat dev.en) <(cat dev.de) --test-files <(cat tst.en) tst.de"
    )
    path = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run(["bash", "-c", script, sys.executable], cwd=tmp_path, env=environment, check=True)
    corpus = Corpus(tmp_path / "corpus")
    assert {split: corpus.read(split) for split in SPLITS} == {"train": TRAIN, "valid": VALID, "test": TEST}


def test_an_option_may_be_given_once_for_each_file(tmp_path: Path) -> None:
    source, target = write_two(tmp_path / "dev", VALID)
    splits, _ = build(tmp_path, "--valid-files", source, "--valid-files", target, "--test", "3")
    assert splits["valid"] == VALID
    assert len(splits["test"]) == 3


NOISE = [
    Pair("OK", "OK"),  # untranslated
    Pair("Yes", "Das ist eine Übersetzung von etwas ganz anderem"),  # length ratio
    Pair("From 1871 to 1918", "Seit 1871"),  # numbers
    Pair("the café", "das CafÃ©"),  # mojibake
    Pair("a quiet street", "eine stille Straße"),
    Pair("a quiet street", "eine stille Straße"),  # duplicate
    Pair("a QUIET street!", "eine stille Straße!"),  # near duplicate
    Pair("Guten Morgen, Freunde", "Доброе утро, друзья"),  # script
    Pair("word " * 500 + "end", "Wort " * 500 + "Ende"),  # long
]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_cleaning_rules_leave_given_sets_whole(tmp_path: Path, split: str) -> None:
    splits, card = build(tmp_path, f"--{split}-files", write_tsv(tmp_path / "own.tsv", NOISE))
    assert splits[split] == NOISE
    assert card["dropped"] == {}


@pytest.mark.parametrize(("split", "name"), [("valid", "validation set"), ("test", "test set")])
def test_given_sets_are_normalised_and_unusable_rows_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str, name: str
) -> None:
    rows = ["a\u0308  b\tä  c", "one\teins", "\tleer", "blank\t \u200b ", "bell\x07\tGlocke", "two\tzwei", "no tab"]
    data = "".join(f"{row}\n" for row in rows).encode() + b"bad\xff\tschlecht\n"
    (tmp_path / "own.tsv").write_bytes(data)
    words = [f"--{split}-files", str(tmp_path / "own.tsv"), "--dropped", str(tmp_path / "dropped.tsv")]
    splits, card = build(tmp_path, *words)
    assert splits[split] == [Pair("ä b", "ä c"), Pair("one", "eins"), Pair("two", "zwei")]
    assert card["dropped"].pop(f"empty, in the {name}") == 2
    assert card["dropped"].pop(f"control characters, in the {name}") == 1
    assert card["dropped"].pop(f"invalid UTF-8, in the {name}") == 1
    assert [*card["dropped"].values()] == [1]  # the line without a tab
    assert all(reason.endswith(f", in the {name}") for reason in card["dropped"])
    assert f"  dropped 2: empty, in the {name}\n" in capsys.readouterr().out
    assert f"control characters, in the {name}\tbell\\x07\tGlocke\n" in (tmp_path / "dropped.tsv").read_text("utf-8")
    assert card["read"] == sum(card["pairs"].values()) + 5


def test_leaks_are_removed_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Training pairs leave for validation and test pairs, and validation pairs for test pairs."""
    valid = [*VALID, Pair("COLD water!", "eiskaltes Wasser"), Pair(TRAIN[3].source, "anders")]
    test = [*TEST, Pair(TRAIN[5].source.upper() + ".", TRAIN[5].target)]
    words = ["--valid-files", write_tsv(tmp_path / "dev.tsv", valid), "--dropped", str(tmp_path / "dropped.tsv")]
    splits, card = build(tmp_path, *words, "--test-files", write_tsv(tmp_path / "tst.tsv", test))
    assert splits["test"] == test
    assert splits["valid"] == [*VALID, valid[3]]
    assert splits["train"] == [pair for pair in TRAIN if pair not in (TRAIN[3], TRAIN[5])]
    assert card["dropped"] == {NEAR_TEST: 1, NEAR_HELD_OUT: 2}
    assert capsys.readouterr().out.splitlines()[1:3] == [f"  dropped 2: {NEAR_HELD_OUT}", f"  dropped 1: {NEAR_TEST}"]
    assert (tmp_path / "dropped.tsv").read_text("utf-8").splitlines() == [
        "\t".join(row) for row in [(NEAR_TEST, *valid[2]), (NEAR_HELD_OUT, *TRAIN[3]), (NEAR_HELD_OUT, *TRAIN[5])]
    ]


@pytest.mark.parametrize(("given_split", "other"), [("valid", "test"), ("test", "valid")])
def test_the_other_set_is_held_out_from_training(tmp_path: Path, given_split: str, other: str) -> None:
    own = [*VALID, *TRAIN[:3]]
    words = [f"--{given_split}-files", write_tsv(tmp_path / "own.tsv", own)]
    for count, expected in ((["--" + other, "5"], 5), ([], len(TRAIN) // 10)):
        splits, card = build(tmp_path, *words, *count)
        assert splits[given_split] == own
        assert len(splits[other]) == expected
        assert sorted(splits["train"] + splits[other]) == sorted(TRAIN[3:])
        assert card["dropped"] == {NEAR_HELD_OUT: 3}
        assert f"{other}_from" not in card


@pytest.mark.parametrize("words", [[], ["--valid-files"]])
def test_nothing_is_held_out_for_testing_on_demand(tmp_path: Path, words: list[str]) -> None:
    files = [write_tsv(tmp_path / "dev.tsv", VALID)] if words else []
    splits, _ = build(tmp_path, *words, *files, "--test", "0")
    assert splits["test"] == []
    assert len(splits["train"]) == len(TRAIN) - (0 if words else len(TRAIN) // 10)


MISTAKES = [
    (["--valid-files", "dev.tsv", "--valid", "5"], "--valid holds out pairs, and --valid-files are held out already"),
    (["--test-files", "dev.tsv", "--test", "0"], "--test holds out pairs, and --test-files are held out already"),
    (["--valid-files", "none.tsv"], "cannot read none.tsv: no such file or folder"),
    (["--test-files", "a.en", "none.de"], "cannot read none.de: no such file or folder"),
    (["--test-files", "a.de", "a.en"], "the names of a.de and a.en say de-en, but --pair says en-de"),
    (["--valid-files", "unusable.tsv"], "the files of --valid-files hold no usable pair"),
    (["--valid-files", "dev.tsv", "--test-files", "dev.tsv"], "every source of --valid-files is in --test-files, too"),
    (["--valid-files", "train.tsv"], f"no usable training pair is left; {len(TRAIN)} dropped: {NEAR_HELD_OUT}"),
    (["--test-files", "a.en"], ""),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_mistakes_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tsv(Path("train.tsv"), TRAIN)
    write_tsv(Path("dev.tsv"), VALID)
    write_tsv(Path("unusable.tsv"), [("bell\a", "Glocke")] * 3)
    write_two(Path("a"), TEST)
    before = sorted(tmp_path.iterdir())
    test = [] if any(word.startswith("--test") for word in words) else ["--test", "0"]
    assert main(["corpus", "files", "--pair", "en-de", "--out", "deep/er", "train.tsv", *words, *test]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("dragoman: ")
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


TEXTS = st.lists(st.sampled_from(["a", "b", "c.", "C", "d", "D!", "e", "f", "", "\x07"]), min_size=1, max_size=12)


@given(train=TEXTS, valid=TEXTS, test=TEXTS, splits_given=st.sampled_from([("valid",), ("test",), ("valid", "test")]))
def test_sets_share_no_source_and_no_row_is_lost(
    train: list[str],
    valid: list[str],
    test: list[str],
    splits_given: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    sources = {split: rows for split, rows in (("valid", valid), ("test", test)) if split in splits_given}
    given_rows = {split: [(source, f"{split} {i}") for i, source in enumerate(rows)] for split, rows in sources.items()}
    rows = [(source, f"train {i}") for i, source in enumerate(train)]
    dropped: list[tuple[str, Pair]] = []
    try:
        result, card = build_parallel(
            rows, ("en", "de"), {}, tmp_path_factory.getbasetemp(), disabled=RULES,
            on_drop=lambda reason, pair: dropped.append((reason, pair)), given=given_rows,
        )  # fmt: skip
    except UserError:
        return  # a set without a pair
    splits = {split: [*result[split]] for split in SPLITS}
    keys = {split: {near_duplicate_key(pair.source) for pair in splits[split]} for split in SPLITS}
    assert not keys["train"] & (keys["valid"] | keys["test"])
    assert not keys["valid"] & keys["test"]
    everything = [*rows, *(row for split in given_rows.values() for row in split)]
    assert sorted([*(pair for _, pair in dropped), *(pair for split in splits.values() for pair in split)]) == sorted(
        map(Pair._make, everything)
    )
    assert card["read"] == len(everything)
    assert sum(card["dropped"].values()) == len(dropped)
    for split, original in given_rows.items():
        assert splits[split] == [Pair(*row) for row in original if Pair(*row) in splits[split]]  # in their order

"""Tests of corpora: dropped pairs, held-out sets, corpus folders and invalid input."""

from __future__ import annotations

import errno
import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.builders.cldr import build_cldr
from dragoman.translate.corpus.builders.multi30k import build_multi30k
from dragoman.translate.corpus.builders.parallel import build_parallel
from dragoman.translate.corpus.cleaning import count_drops, usable_pairs
from dragoman.translate.corpus.deduplication import near_duplicate_key
from dragoman.translate.corpus.folder import SPLITS, Corpus, Pair, write_corpus
from dragoman.translate.corpus.languages import parse_pair
from dragoman.translate.corpus.readers.files import read_files
from dragoman.translate.corpus.readers.rows import RawRow
from dragoman.translate.corpus.rules import RULES
from dragoman.translate.corpus.split import NEAR_HELD_OUT, hold_out
from dragoman.translate.files import LOCK
from tiny import MULTI30K, needs_multi30k, number_pairs


def write(path: Path, lines: list[bytes]) -> str:
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def build(
    rows: Iterable[RawRow], folder: Path, valid: int | None = None, test: int | None = None
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    splits, card = build_parallel(rows, ("en", "de"), {}, folder, valid, test, disabled=RULES)
    return {part: list(splits[part]) for part in SPLITS}, card


def from_files(
    paths: list[str], valid: int | None = None, test: int | None = None
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    return build(read_files(paths, ("en", "de")), Path(paths[0]).parent, valid, test)


def test_two_files_or_one_tsv_give_the_same(tmp_path: Path) -> None:
    rows = [(f"line {i}".encode(), f"Zeile {i}".encode()) for i in range(50)]
    two = [write(tmp_path / "a.en.gz", [a for a, _ in rows]), write(tmp_path / "a.de", [b for _, b in rows])]
    one = [write(tmp_path / "a.tsv", [a + b"\t" + b + b"\r" for a, b in rows])]
    first, second = from_files(two, 5, 7), from_files(one, 5, 7)
    assert first[0] == second[0]
    assert {k: len(v) for k, v in first[0].items()} == {"train": 38, "valid": 5, "test": 7}


def test_unusable_pairs_are_counted_by_reason() -> None:
    dropped: Counter[str] = Counter()
    rows: list[tuple[bytes | str, bytes | str]] = [
        (b"good", "gut \U0001f600".encode()),
        (b"", b"leer"),
        (b"blank", b" \t "),
        (b"bad\xff", b"schlecht"),
        (b"bell\x07", b"Glocke"),
        ("a\u0308  b", "x"),
    ]
    assert list(usable_pairs(rows, count_drops(dropped))) == [Pair("good", "gut \U0001f600"), Pair("ä b", "x")]
    assert dropped == {"empty": 2, "invalid UTF-8": 1, "control characters": 1}


def test_held_out_sources_have_no_near_duplicates_elsewhere(tmp_path: Path) -> None:
    words = [f"{a} {b}" for a in "abcdefgh" for b in "ijklmnop"]
    rows = [(w, w) for w in words] + [(w.upper() + "!", "another") for w in words[::2]]
    splits, card = build(rows, tmp_path, 20, 20)
    sources = {split: {near_duplicate_key(p.source) for p in pairs} for split, pairs in splits.items()}
    assert {split: len(keys) for split, keys in sources.items()} == {"train": 24, "valid": 20, "test": 20}
    assert not sources["train"] & (sources["valid"] | sources["test"])
    assert not sources["valid"] & sources["test"]
    left_out = card["dropped"][NEAR_HELD_OUT]
    assert left_out + sum(map(len, splits.values())) == len(rows)
    order = {row: i for i, row in enumerate(rows)}
    assert [*splits["train"]] == sorted(splits["train"], key=lambda pair: order[pair])
    assert build(rows, tmp_path, 20, 20) == (splits, card)
    with pytest.raises(UserError, match="too few to hold out"):
        build(rows, tmp_path, 40, 30)
    assert not [*tmp_path.iterdir()]  # the pairs waited in a file without a name


def test_two_million_sources_are_split() -> None:
    hashes = np.arange(2_000_000, dtype=np.uint64) // 2
    train, valid, test = hold_out(hashes, 1000, 500, seed=1)
    assert (len(train), len(valid), len(test)) == (1_997_000, 1000, 500)
    assert not np.isin(hashes[train], hashes[np.concatenate([valid, test])]).any()


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_adding_text_holds_out_no_source_of_the_training_set(seed: int) -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, 31_000, np.uint64)
    before = hold_out(hashes[:30_000], None, None, seed)
    after = hold_out(np.random.default_rng(2).permutation(hashes), None, None, seed)
    again = np.random.default_rng(2).permutation(hashes)
    assert [len(part) for part in after] == [29_000, 1000, 1000]
    assert not np.isin(again[np.concatenate(after[1:])], hashes[before[0]]).any()
    assert set(hashes[hold_out(hashes, None, None, seed + 1)[2]]) != set(again[after[2]])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": [b"x", b"y"], "b": [b"x"]}, "a has 2 lines and .*b has 1"),
        ({"a": [b"x\ty", b"no tab", b"none"]}, "line 2: no tab"),
        ({"a": [b"x"], "b": [b"x"], "c": [b"x"]}, "a: a file of both languages ends in"),
        ({"a": [b""], "b": [b""]}, "too few"),
        ({"a": [b"x"], "b": ["ein Haus".encode("utf-16-le")]}, "b looks like UTF-16 without a byte order mark"),
    ],
)
def test_bad_files_are_rejected(tmp_path: Path, files: dict[str, list[bytes]], message: str) -> None:
    paths = [write(tmp_path / name, lines) for name, lines in files.items()]
    with pytest.raises(UserError, match=message):
        from_files(paths, None, None)


def test_broken_gzip_and_missing_file(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x\ty\n" * 100)[:-20])
    for name in ("a.gz", "none"):
        with pytest.raises(UserError, match="cannot read"):
            from_files([str(tmp_path / name)], None, None)


HOLD = (
    "import sys; from dragoman.translate.files import *\n"
    "lock = acquire_lock(Path(sys.argv[1]), '', ''); print(); input()"
)


def test_only_one_process_writes_a_corpus(tmp_path: Path) -> None:
    """A second process is refused; the files of a killed process are replaced."""
    splits = dict.fromkeys(SPLITS, number_pairs(3))
    beside = tmp_path / "corpus.part"
    beside.mkdir()
    (beside / "train.en").write_text("half of it")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(beside / LOCK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(UserError, match=rf"corpus is being made by process {other.pid}; wait for it"):
            write_corpus(tmp_path / "corpus", ("en", "xx"), splits, {})
        other.kill()
    write_corpus(tmp_path / "corpus", ("en", "xx"), splits, {})
    assert [p.name for p in tmp_path.iterdir()] == ["corpus"]
    names = {"corpus.json", *(f"{part}.{code}" for part in SPLITS for code in ("en", "xx"))}
    assert {p.name for p in (tmp_path / "corpus").iterdir()} == names
    assert Corpus(tmp_path / "corpus").read("train") == splits["train"]


def test_failure_after_the_rename_spares_the_next_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the rename, the partial folder belongs to the next process."""
    rename, beside = Path.rename, tmp_path / "corpus.part"

    def and_the_next(path: Path, target: Path) -> None:
        rename(path, target)
        beside.mkdir()

    monkeypatch.setattr(Path, "rename", and_the_next)
    write_corpus(tmp_path / "corpus", ("en", "xx"), dict.fromkeys(SPLITS, number_pairs(3)), {})
    assert beside.exists()


def test_a_partial_folder_locked_by_another_process_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process may lock it after this one created it."""
    beside, splits = tmp_path / "corpus.part", dict.fromkeys(SPLITS, number_pairs(3))

    def another_holds(path: Path, *_: str) -> None:
        path.write_text("1\n")
        (beside / "train.en").write_text("half of it")
        raise UserError("is being made")

    with monkeypatch.context() as patch:
        patch.setattr("dragoman.translate.corpus.folder.acquire_lock", another_holds)
        with pytest.raises(UserError, match="is being made"):
            write_corpus(tmp_path / "corpus", ("en", "xx"), splits, {})
    assert sorted(p.name for p in beside.iterdir()) == [LOCK, "train.en"]


def test_a_full_disk_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_corpus(tmp_path / "corpus", ("en", "xx"), dict.fromkeys(SPLITS, number_pairs(3)), {})
    assert not list(tmp_path.iterdir())


def test_corpus_folder(tmp_path: Path) -> None:
    pairs = number_pairs(30)
    splits = {"train": pairs[:23], "valid": pairs[23:26], "test": pairs[26:]}
    folder = tmp_path / "corpus"
    write_corpus(folder, ("en", "xx"), splits, {"dropped": {"empty": 2}})
    corpus = Corpus(folder)
    assert {part: corpus.read(part) for part in splits} == splits
    assert json.loads((folder / "corpus.json").read_text())["dropped"] == {"empty": 2}
    write_corpus(folder, ("en", "xx"), splits, {})  # an earlier corpus is replaced
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("x")
    with pytest.raises(UserError, match=r"holds precious\.txt, which is not part of a corpus"):
        write_corpus(tmp_path / "other", ("en", "xx"), splits, {})
    with pytest.raises(UserError, match="is not a corpus"):
        Corpus(tmp_path / "nowhere")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus", "other"]
    (folder / "train.en").write_text("one line\n")
    with pytest.raises(UserError, match="train has 1 source and 23 target lines"):
        corpus.read("train")


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        *((pair, "two different languages") for pair in ("en", "en-", "en-en", "", "../en-de", "en-d e")),
        *((pair, "with an underscore, such as en-pt_BR") for pair in ("en-pt-br", "x-y-z", "en-de-", "pt-BR-en-de")),
    ],
)
def test_pair_must_name_two_languages(pair: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_pair(pair)


def test_pairs_with_regions() -> None:
    """A region in capitals cannot be mistaken for a language, whatever joins it."""
    pairs = ("pt-BR-en", "en-zh-TW", "en-zh_TW", "en-US-fr-FR", "zh-Hant-TW-en", "ZH-en")
    assert [parse_pair(pair) for pair in pairs] == [
        ("pt_BR", "en"), ("en", "zh_TW"), ("en", "zh_TW"), ("en_US", "fr_FR"), ("zh_Hant_TW", "en"), ("ZH", "en"),
    ]  # fmt: skip


@pytest.mark.parametrize("pair", ["en-de", "fr-ja", "ar-pt_BR"])
def test_cldr_phrases(pair: str) -> None:
    languages = parse_pair(pair)
    splits, card = build_cldr(languages, 3000, 100, 100, seed=2)
    assert {k: len(v) for k, v in splits.items()} == {"train": 3000, "valid": 100, "test": 100}
    every = [p.source for rows in splits.values() for p in rows]
    assert len(set(every)) == len(every)
    assert splits == build_cldr(languages, 3000, 100, 100, seed=2)[0]
    assert not any("volume-" in side or "duration-" in side for rows in splits.values() for p in rows for side in p)
    assert "CLDR" in card["licence"]


def test_cldr_rejects_unknown_languages() -> None:
    with pytest.raises(UserError, match="CLDR has no language xx"):
        build_cldr(("en", "xx"), 100)
    _, card = build_cldr(("en", "de"), 2500, 10, 10)
    assert card["corpus"] == "cldr"


def test_cldr_languages_with_gaps() -> None:
    splits, _ = build_cldr(("en", "tn"), 200, 5, 5)  # Setswana lacks most names
    assert len(splits["test"]) == 5


@needs_multi30k
def test_multi30k_folder() -> None:
    splits, card = build_multi30k(str(MULTI30K), ("en", "fr"))
    assert {k: len(list(v)) for k, v in splits.items()} == {"train": 28999, "valid": 1014, "test": 1000}
    assert card["dropped"] == {NEAR_HELD_OUT: 1}


@needs_multi30k
@pytest.mark.parametrize("target", ["de", "fr"])
def test_multi30k_test_lines_are_not_in_training(target: str) -> None:
    splits, _ = build_multi30k(str(MULTI30K), ("en", target))
    train, test = list(splits["train"]), list(splits["test"])
    for side in (0, 1):
        assert not {near_duplicate_key(p[side]) for p in train} & {near_duplicate_key(p[side]) for p in test}


def test_multi30k_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds neither train\.en nor train\.en\.gz"):
        build_multi30k(str(tmp_path), ("en", "de"))


def test_reversing_drops_training_pairs_with_a_held_out_source(tmp_path: Path) -> None:
    splits = {"train": [Pair("a", "x"), Pair("b", "y")], "valid": [Pair("c", "y")], "test": [Pair("d", "z")]}
    write_corpus(tmp_path / "c", ("en", "de"), splits, {"corpus": "made", "dropped": {}})
    assert main(["corpus", "reversed", str(tmp_path / "c"), "--out", str(tmp_path / "r")]) == 0
    assert Corpus(tmp_path / "r").read("train") == [Pair("x", "a")]
    assert Corpus(tmp_path / "r").card["dropped"] == {NEAR_HELD_OUT: 1}

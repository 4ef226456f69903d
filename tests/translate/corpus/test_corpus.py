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
from dragoman.translate.corpus.builders.parallel import build_parallel
from dragoman.translate.corpus.cleaning import count_drops, usable_pairs
from dragoman.translate.corpus.deduplication import near_duplicate_key
from dragoman.translate.corpus.folder import SPLITS, Corpus, Pair, write_corpus
from dragoman.translate.corpus.readers.files import read_files
from dragoman.translate.corpus.readers.rows import RawRow
from dragoman.translate.corpus.rules import RULES
from dragoman.translate.corpus.split import NEAR_HELD_OUT, hold_out
from dragoman.translate.files import LOCK
from tiny import number_pairs


def write(path: Path, lines: list[bytes]) -> str:
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def build(
    rows: Iterable[RawRow], folder: Path, valid: int | None = None, test: int | None = None
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    splits, card = build_parallel(rows, ("en", "de"), {}, folder, valid, test, disabled=RULES)
    return {split: list(splits[split]) for split in SPLITS}, card


def from_files(
    paths: list[str], valid: int | None = None, test: int | None = None
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    return build(read_files(paths, ("en", "de")), Path(paths[0]).parent, valid, test)


def test_two_files_and_a_tsv_give_the_same_corpus(tmp_path: Path) -> None:
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
    shuffled = np.random.default_rng(2).permutation(hashes)
    after = hold_out(shuffled, None, None, seed)
    assert [len(part) for part in after] == [29_000, 1000, 1000]
    assert not np.isin(shuffled[np.concatenate(after[1:])], hashes[before[0]]).any()
    assert set(hashes[hold_out(hashes, None, None, seed + 1)[2]]) != set(shuffled[after[2]])


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
    partial = tmp_path / "corpus.part"
    partial.mkdir()
    (partial / "train.en").write_text("half of it")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(partial / LOCK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(UserError, match=rf"corpus is being made by process {other.pid}; wait for it"):
            write_corpus(tmp_path / "corpus", ("en", "xx"), splits, {})
        other.kill()
    write_corpus(tmp_path / "corpus", ("en", "xx"), splits, {})
    assert [p.name for p in tmp_path.iterdir()] == ["corpus"]
    names = {"corpus.json", *(f"{split}.{code}" for split in SPLITS for code in ("en", "xx"))}
    assert {p.name for p in (tmp_path / "corpus").iterdir()} == names
    assert Corpus(tmp_path / "corpus").read("train") == splits["train"]


def test_the_next_process_may_start_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the rename, the partial folder belongs to the next process."""
    rename, partial = Path.rename, tmp_path / "corpus.part"

    def rename_and_start_next(path: Path, target: Path) -> None:
        rename(path, target)
        partial.mkdir()

    monkeypatch.setattr(Path, "rename", rename_and_start_next)
    write_corpus(tmp_path / "corpus", ("en", "xx"), dict.fromkeys(SPLITS, number_pairs(3)), {})
    assert partial.exists()


def test_a_partial_folder_locked_by_another_process_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may lock the folder after this one created it and before this one locks it."""
    partial, splits = tmp_path / "corpus.part", dict.fromkeys(SPLITS, number_pairs(3))

    def lock_by_another_process(path: Path, *_: str) -> None:
        path.write_text("1\n")
        (partial / "train.en").write_text("half of it")
        raise UserError("is being made")

    with monkeypatch.context() as patch:
        patch.setattr("dragoman.translate.corpus.folder.acquire_lock", lock_by_another_process)
        with pytest.raises(UserError, match="is being made"):
            write_corpus(tmp_path / "corpus", ("en", "xx"), splits, {})
    assert sorted(p.name for p in partial.iterdir()) == [LOCK, "train.en"]


def test_a_full_disk_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_disk_full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", raise_disk_full)
    with pytest.raises(UserError, match="No space left on device"):
        write_corpus(tmp_path / "corpus", ("en", "xx"), dict.fromkeys(SPLITS, number_pairs(3)), {})
    assert not list(tmp_path.iterdir())


def test_corpus_folder(tmp_path: Path) -> None:
    pairs = number_pairs(30)
    splits = {"train": pairs[:23], "valid": pairs[23:26], "test": pairs[26:]}
    folder = tmp_path / "corpus"
    write_corpus(folder, ("en", "xx"), splits, {"dropped": {"empty": 2}})
    corpus = Corpus(folder)
    assert {split: corpus.read(split) for split in splits} == splits
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


def test_reversing_drops_training_pairs_with_a_held_out_source(tmp_path: Path) -> None:
    splits = {"train": [Pair("a", "x"), Pair("b", "y")], "valid": [Pair("c", "y")], "test": [Pair("d", "z")]}
    write_corpus(tmp_path / "c", ("en", "de"), splits, {"corpus": "made", "dropped": {}})
    assert main(["corpus", "reversed", str(tmp_path / "c"), "--out", str(tmp_path / "r")]) == 0
    assert Corpus(tmp_path / "r").read("train") == [Pair("x", "a")]
    assert Corpus(tmp_path / "r").card["dropped"] == {NEAR_HELD_OUT: 1}


def test_files_that_are_not_a_corpus_are_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.en").write_text("precious\n")
    with pytest.raises(UserError, match=r"--out mine holds train\.en, which is not part of a corpus"):
        write_corpus(folder, ("en", "xx"), dict.fromkeys(SPLITS, number_pairs(3)), {})
    assert (folder / "train.en").read_text() == "precious\n"

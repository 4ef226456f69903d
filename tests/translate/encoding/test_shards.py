"""Encoded text on disk: the same ids as from memory, for any number of shards, windows and processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.runtime.contract import PAD
from dragoman.runtime.errors import UserError
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import TokenizerConfig, load
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.encoding import batching, shard_builder, shards
from dragoman.translate.encoding.batching import TranslationEpoch
from dragoman.translate.encoding.ragged import Ragged, concatenate, ragged, spans
from dragoman.translate.encoding.shard_builder import build
from dragoman.translate.encoding.shards import Shards
from dragoman.translate.encoding.subwords import encode, train_tokenizer
from dragoman.translate.training.display import Display
from dragoman.translate.training.trainer import Trainer
from tiny import tiny_toml

rows = st.lists(st.lists(st.integers(0, 1000), max_size=6), min_size=1, max_size=12)


@given(rows, st.data())
def test_ragged_take_equals_list_indexing(lists: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=20))
    taken = ragged(lists).take(np.array(chosen, np.int64))
    assert [taken.row(i).tolist() for i in range(taken.rows)] == [lists[i] for i in chosen]
    both = concatenate([ragged(lists), taken])
    assert both.rows == len(lists) + len(chosen)
    assert both.lengths.tolist() == [len(x) for x in lists] + [len(lists[i]) for i in chosen]


def test_spans() -> None:
    assert spans(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]


def tokenizers(corpus: Corpus, joint: bool) -> tuple[Tokenizer, Tokenizer]:
    config = TokenizerConfig(vocabulary=300)
    if joint:
        both = train_tokenizer(corpus.lines("train", 0, 1), config, 300)
        return both, both
    source = train_tokenizer(corpus.lines("train", 0), TokenizerConfig(), 290)
    return source, train_tokenizer(corpus.lines("train", 1), TokenizerConfig(), 290)


def lists(text: Ragged) -> list[list[int]]:
    return [text.row(i).tolist() for i in range(text.rows)]


@pytest.mark.parametrize("joint", [True, False])
def test_without_sampling_the_ids_are_sentencepieces(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joint: bool
) -> None:
    monkeypatch.setattr(shard_builder, "SHARD_ROWS", 64)
    monkeypatch.setattr(shard_builder, "WORDS_PER_TASK", 7)
    corpus = Corpus(tiny_corpus)
    both = tokenizers(corpus, joint)
    text = build(tmp_path / "shards", corpus, both, TokenizerConfig(sampling=0), 1, "digest")
    pairs = corpus.read("train")
    assert (text.rows, text.shards) == (len(pairs), 5)
    chosen = np.random.default_rng(0).permutation(text.rows)
    for side, tokenizer in enumerate(both):
        expected = encode(tokenizer, [pair[side] for pair in pairs])
        assert lists(text.draw(chosen, [0])[side]) == [expected[i] for i in chosen]
        assert text.line_lengths(side).tolist() == [len(ids) for ids in expected]


def test_several_processes_write_the_same_files_as_one(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus(tiny_corpus)
    both = tokenizers(corpus, joint=True)
    config = TokenizerConfig(sampling=0.2)
    progress: list[tuple[str, int, int]] = []
    build(tmp_path / "one", corpus, both, config, 3, "digest")
    monkeypatch.setattr(shard_builder, "MIN_ROWS", 0)
    build(tmp_path / "many", corpus, both, config, 3, "digest", progress=lambda *report: progress.append(report))
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "many" / path.name).read_bytes() == path.read_bytes()
    assert progress[0] == ("encoding pairs", 300, 300)


def test_windows_hold_every_row_once(tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus(tiny_corpus)
    text = build(tmp_path / "shards", corpus, tokenizers(corpus, True), TokenizerConfig(sampling=0), 1, "digest")
    kept = np.arange(text.rows)
    whole = sorted(lists(text.draw(kept, [0])[1]))
    for window in (1000, 70):
        monkeypatch.setattr(batching, "WINDOW", window)
        batches = list(TranslationEpoch(text, kept, 200, seed=5))
        assert sorted([i for i in row if i != PAD] for b in batches for row in b.target_out.tolist()) == whole
        assert all(b.target_out.numel() <= 200 for b in batches)
        assert TranslationEpoch(text, kept, 200, seed=5).expected == pytest.approx(len(batches), rel=0.1)
        later = list(TranslationEpoch(text, kept, 200, seed=5).batches(7))
        for mine, theirs in zip(later, islice(batches, 7, None), strict=True):
            assert mine.target_in.equal(theirs.target_in)
        assert not batches[0].source.equal(next(iter(TranslationEpoch(text, kept, 200, seed=6))).source)


def test_damaged_shards_are_rejected_and_encoded_again(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.toml").write_text(tiny_toml(tiny_corpus))
    config = load(tmp_path / "a.toml")
    folder = tmp_path / "run"
    first = Trainer(config, folder)
    expected = [b.tensors()[2] for b in first.batches(2)]
    first.close()
    manifest = folder / "shards" / shards.MANIFEST
    words = folder / "shards" / "0-00000.words"
    damages: dict[str, Callable[[], object]] = {
        "cut short": lambda: words.write_bytes(words.read_bytes()[:-4]),
        "is missing": words.unlink,
        "another version": lambda: manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 99})),
        "shards.json is missing or damaged": lambda: manifest.write_text("{"),
        "holds other text": lambda: manifest.write_text(
            json.dumps({**json.loads(manifest.read_text()), "sampling": 0.5})
        ),
    }
    for message, damage in damages.items():
        damage()
        if message != "holds other text":
            with pytest.raises(UserError, match=message):
                Shards(folder / "shards")
        again = Trainer(config, folder, display=Display())
        assert f"{message}" in capsys.readouterr().err.replace("\n", " ")
        assert all(a.equal(b.tensors()[2]) for a, b in zip(expected, again.batches(2), strict=True))
        again.close()


@pytest.mark.skipif((os.cpu_count() or 1) == 1, reason="with one core there is no pool")
@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc to look for processes")
def test_pool_processes_end_with_their_parent(tmp_path: Path) -> None:
    """The parent is killed. Without a watch the processes would wait forever and hold their memory."""
    script = tmp_path / "encode.py"
    script.write_text(
        "import multiprocessing, time\nfrom dragoman.runtime.process_pool import ordered_map\n"
        'if __name__ == "__main__":\n    with ordered_map(2) as map_:\n        list(map_(abs, range(4)))\n'
        "        print(*(p.pid for p in multiprocessing.active_children()), flush=True)\n        time.sleep(600)\n"
    )
    path = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as started:
        assert started.stdout
        running = {int(pid) for pid in started.stdout.readline().split()}
        assert running
        started.kill()
    for _ in range(300):
        running = {pid for pid in running if Path(f"/proc/{pid}").exists()}
        if not running:
            return
        time.sleep(0.1)
    pytest.fail(f"the processes {running} still run")


def test_sides_of_unequal_length_are_rejected(tiny_corpus: Path, tmp_path: Path) -> None:
    corpus = Corpus(tiny_corpus)
    both = tokenizers(corpus, True)
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in tiny_corpus.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    with open(broken / "train.xx", "a") as file:
        file.write("one more\n")
    with pytest.raises(UserError, match=r"train\.en and train\.xx have different numbers of lines"):
        build(tmp_path / "shards", Corpus(broken), both, TokenizerConfig(), 1, "digest")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken"]

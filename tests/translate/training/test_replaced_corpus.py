"""Tests of a corpus that is replaced while a run trains on it: the run uses one corpus alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from dragoman.runtime.errors import UserError
from dragoman.translate.config import load
from dragoman.translate.corpus.folder import SPLITS, Corpus, Pair, write_corpus
from dragoman.translate.encoding import shard_builder
from dragoman.translate.training.trainer import Trainer
from tiny import number_pairs, tiny_toml


@pytest.fixture
def own_corpus(tiny_corpus: Path, tmp_path: Path) -> Path:
    """Return the folder of a corpus that a test may replace."""
    return Path(shutil.copytree(tiny_corpus, tmp_path / "own"))


@pytest.fixture
def own_toml(own_corpus: Path, tmp_path: Path) -> Path:
    """Return the path of a configuration that trains on `own_corpus`."""
    path = tmp_path / "own.toml"
    path.write_text(tiny_toml(own_corpus))
    return path


def replace(folder: Path) -> None:
    """Write another corpus, with as many lines as the tiny one and longer ones."""
    pairs = [Pair(f"{source} and {source}", f"{target} {target}") for source, target in number_pairs(400)]
    write_corpus(folder, ("en", "xx"), {"train": pairs[:300], "valid": pairs[300:350], "test": pairs[350:]}, {})


def edit(folder: Path) -> None:
    """Change a training line in place, as an editor does."""
    text = (folder / "train.en").read_text()
    (folder / "train.en").write_text("x" + text[1:])


def remove(folder: Path) -> None:
    """Remove a validation file."""
    (folder / "valid.xx").unlink()


@pytest.mark.parametrize("change", [replace, edit, remove])
def test_a_corpus_that_changes_while_it_is_encoded_is_refused(
    own_corpus: Path, own_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    read_shards = shard_builder._read_shards
    calls: list[int] = []

    def read_later(corpus: Corpus) -> object:
        if not calls:
            calls.append(1)
            change(own_corpus)
        return read_shards(corpus)

    monkeypatch.setattr(shard_builder, "_read_shards", read_later)
    with pytest.raises(UserError, match=r"own was changed while it was read; start the training again"):
        Trainer(load(own_toml), tmp_path / "run")
    assert not (tmp_path / "run" / "shards").exists()
    assert not (tmp_path / "run" / "last.safetensors").exists()
    if change is not remove:
        Trainer(load(own_toml), tmp_path / "run").close()  # starting again works
        assert calls == [1]


def test_a_run_keeps_the_text_that_it_has_read(
    own_corpus: Path, own_toml: Path, tiny_corpus: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """A run whose corpus is replaced, or even removed, ends like an undisturbed one, to the bit."""
    for name, change in (("replaced", replace), ("removed", shutil.rmtree)):
        trainer = Trainer(load(own_toml), tmp_path / name)
        change(own_corpus)
        trainer.fit()
        weights, expected = (load_file(folder / "model.safetensors") for folder in (tmp_path / name, tiny_run))
        assert {key: value.tolist() for key, value in weights.items()} == {
            key: value.tolist() for key, value in expected.items()
        }
        shutil.rmtree(own_corpus, ignore_errors=True)
        shutil.copytree(tiny_corpus, own_corpus)


def test_a_resumed_run_notices_a_replaced_corpus(own_corpus: Path, own_toml: Path, tmp_path: Path) -> None:
    trainer = Trainer(load(own_toml), tmp_path / "run")
    trainer.save()
    trainer.close()
    replace(own_corpus)
    with pytest.raises(UserError, match=r"own is not the corpus that .*run was started with; resume with that corpus"):
        Trainer(load(own_toml), tmp_path / "run", resume=True)


def test_corpus_stamps(own_corpus: Path) -> None:
    """A stamp changes with each file that is trained on, and with no other."""
    corpus = Corpus(own_corpus)
    stamp = corpus.stamp()
    (own_corpus / "test.en").write_text("other\n" * 50)
    assert corpus.stamp() == stamp == Corpus(own_corpus).stamp()
    for split in ("train", "valid"):
        for language in corpus.languages:
            path = own_corpus / f"{split}.{language}"
            data = path.read_bytes()
            path.unlink()
            assert corpus.stamp() is None
            path.with_suffix(".new").write_bytes(data)
            path.with_suffix(".new").rename(path)  # the same text in another file
            assert corpus.stamp() not in (None, stamp)
            stamp = corpus.stamp()
    splits = {split: corpus.read(split) for split in SPLITS}
    write_corpus(own_corpus, ("en", "xx"), splits, {})
    assert corpus.stamp() != stamp

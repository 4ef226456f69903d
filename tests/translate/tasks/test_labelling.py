"""Classification and tagging: batch invariance, long texts, invalid labels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dragoman.cli import main
from dragoman.export.labelling import compare_labels
from dragoman.export.parity import require_parity
from dragoman.runtime.contract import EOS, Floats, Ids
from dragoman.runtime.errors import UserError
from dragoman.runtime.labelling import Classifier, Tagger
from dragoman.translate.config import load
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.network.heads import LabelNetwork
from dragoman.translate.tasks.labelling import label_model_of
from dragoman.translate.training.display import Display
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import CELLS, VOCABULARY, tiny_config


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("each", [False, True])
def test_a_text_does_not_depend_on_its_neighbours(
    cell: str, each: bool, random_source: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]
) -> None:
    torch.manual_seed(1)
    network = LabelNetwork(tiny_config(cell), VOCABULARY, 5, per_token=each).eval()
    source, length = random_source(6, 9)
    together = network(source, length)
    for b in range(len(length)):
        alone = network(source[b : b + 1, : length[b]], length[b : b + 1])[0]
        torch.testing.assert_close(alone, together[b, : length[b]] if each else together[b])


def test_nan_fails_parity() -> None:
    class Says:
        def __init__(self, value: float) -> None:
            self.value = value

        def run(self, source: Ids, source_length: Ids) -> Floats:
            return np.full((len(source), 3), self.value, np.float32)

    with pytest.raises(UserError, match="differs from PyTorch"):
        require_parity([compare_labels(Says(0.3), Says(float("nan")), [[4, EOS]] * 2, 1)])


def test_long_texts_are_split(runs: dict[str, Path]) -> None:
    classifier, tagger = label_model_of(Run(runs["classify"])), label_model_of(Run(runs["tag"]))
    assert isinstance(classifier, Classifier)
    assert isinstance(tagger, Tagger)
    result = classifier.classify("what a lovely street. " * 100)
    assert result.label == "positive"
    assert result.parts > 1
    mixed = "what a lovely street. " * 20 + "sad, sad, sad street. " * 80
    rows: list[Floats] = []
    lengths: list[int] = []

    class Noting:
        def run(self, source: Ids, source_length: Ids) -> Floats:
            found = classifier.engine.run(source, source_length)
            rows.extend(found)
            lengths.extend(source_length.tolist())
            return found

    result = Classifier(Noting(), classifier.metadata).classify(mixed)
    assert result.parts == len(rows) > 1
    mean = np.average(rows, axis=0, weights=lengths).tolist()
    assert dict(result.probabilities) == pytest.approx(
        dict(zip(classifier.metadata.labels, mean, strict=True)), abs=1e-6
    )
    words = "Ada Byron walks in London".split() * 60
    found = tagger.tag(" ".join(words))
    assert found.words == (*words,)
    assert found.labels[:5] == tuple("B-PER I-PER O O B-LOC".split())
    parts = len(tagger._split(0, " ".join(words)))
    assert parts > 1
    right = sum(a == b for a, b in zip(found.labels, "B-PER I-PER O O B-LOC".split() * 60, strict=True))
    assert right >= 300 - 3 * parts  # a split separates some words from those before them
    assert found.complete
    cut = tagger.tag(["in " + "x" * 5000, "in London"])
    assert cut[0].words == ("in", "x" * 5000)
    assert [found.complete for found in cut] == [False, True]


@given(text=st.text())
def test_every_word_gets_a_label(runs: dict[str, Path], text: str) -> None:
    tagger = label_model_of(Run(runs["tag"]))
    assert isinstance(tagger, Tagger)
    found = tagger.tag(text)
    assert len(found.words) == len(found.labels) == len(found.probabilities)


def test_hand_edited_labels(runs: dict[str, Path], tmp_path: Path) -> None:
    corpus = tmp_path / "tags"
    shutil.copytree(Run(runs["tag"]).config().data.corpus, corpus)
    lines = (corpus / "train.labels").read_text().splitlines()
    (corpus / "train.labels").write_text("\n".join(["O", *lines[1:]]) + "\n")
    assert Corpus(corpus).task == "tag"
    toml = runs["tag"].parents[1] / "tag.toml"
    with pytest.raises(UserError, match=r"line 1 of train has \d words and 1 labels"):
        Trainer(load(toml, [f"data.corpus={corpus}"]), tmp_path / "run")
    other = lines[0].replace("O", "B-DOG")
    assert other != lines[0]
    (corpus / "train.labels").write_text("\n".join([other, *lines[1:]]) + "\n")
    with pytest.raises(UserError, match="line 1 of train has the label 'B-DOG', which is not in the corpus card"):
        Trainer(load(toml, [f"data.corpus={corpus}"]), tmp_path / "run")


def test_long_training_texts_are_reported(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = runs["tag"].parents[1] / "tag.toml"
    trainer = Trainer(load(toml, ["data.max_length=8"]), tmp_path / "run", display=Display())
    left_out = trainer.task.facts()["too_long"]
    assert left_out
    assert f"{left_out:,} of " in capsys.readouterr().err


def test_reference_labels(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = Run(runs["classify"]).config().data.corpus
    source = ["--source", str(Path(corpus) / "test.en"), "--reference", str(tmp_path / "labels")]
    labels = (Path(corpus) / "test.labels").read_text()
    (tmp_path / "labels").write_text(labels.replace("\n", " \n"))
    assert main(["evaluate", str(runs["classify"]), *source, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 95
    (tmp_path / "labels").write_text(labels.replace("positive", "gut"))
    assert main(["evaluate", str(runs["classify"]), *source]) == 2
    assert "the model does not know the label 'gut'" in capsys.readouterr().err
    assert main(["evaluate", str(runs["classify"]), *source, "--reference", str(tmp_path / "labels")]) == 2
    assert "labels are scored against one reference; give --reference once" in capsys.readouterr().err


def test_long_held_out_texts_are_left_out(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "classes"
    shutil.copytree(Run(runs["classify"]).config().data.corpus, corpus)
    lines = (corpus / "valid.en").read_text().splitlines()
    (corpus / "valid.en").write_text("\n".join(["very " * 5000 + "sad", *lines[1:]]) + "\n")
    toml = runs["classify"].parents[1] / "classify.toml"
    trainer = Trainer(load(toml, [f"data.corpus={corpus}"]), tmp_path / "run", display=Display())
    assert f"1 of {len(lines):,} rows to validate on are longer" in capsys.readouterr().err.replace("\n", " ")
    assert max(batch.tensors()[0].shape[1] for batch in trainer.task.validation()) <= 100

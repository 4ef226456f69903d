"""Compatibility: files and run folders of earlier versions still load, and compute the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli import main
from dragoman.runtime.forecasting import Forecaster
from dragoman.runtime.labelling import Classifier, Tagger
from dragoman.runtime.series import read_series
from dragoman.runtime.translator import Translator
from dragoman.translate.files import read_rows
from dragoman.translate.training.run import Run
from dragoman.translate.training.run_metadata import metadata_of

# Written by commit 35c52c7, the last one before 0.2.0.
BEFORE = Path(__file__).parent / "files" / "35c52c7"
EXPECTED: dict[str, Any] = json.loads((BEFORE / "expected.json").read_text("utf-8"))
SOURCES = ["12", "345", "6 7 8", "90210", "", "no number"]


@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("int8", 0.05)])
def test_translators_translate_the_same(precision: str, tolerance: float, beam: int) -> None:
    translator = Translator.load(BEFORE / f"{precision}.onnx", self_test=True)
    results = translator.translate(SOURCES, beam=beam, n_best=min(beam, 2), alignments=True)
    for result, expected in zip(results, EXPECTED[f"{precision}-{beam}"], strict=True):
        assert result.text == expected["text"]
        assert result.score == pytest.approx(expected["score"], abs=tolerance)
        assert [[*pair] for pair in result.alignment] == expected["alignment"]
        assert [h.text for h in result.hypotheses] == [text for text, _ in expected["hypotheses"]]


def test_classifiers_taggers_and_forecasters_compute_the_same() -> None:
    classes = Classifier.load(BEFORE / "classify.onnx", self_test=True).classify(
        ["good table 7", "sad street", "plain water"]
    )
    for found, (label, probability) in zip(classes, EXPECTED["classify"], strict=True):
        assert found.label == label
        assert found.probability == pytest.approx(probability, abs=1e-3)
    tags = Tagger.load(BEFORE / "tag.onnx", self_test=True).tag(["Ada Byron walks", "in London 3"])
    for tagged, (labels, probabilities) in zip(tags, EXPECTED["tag"], strict=True):
        assert [*tagged.labels] == labels
        assert [*tagged.probabilities] == pytest.approx(probabilities, abs=1e-3)
    model = Forecaster.load(BEFORE / "forecast.onnx", self_test=True)
    path = BEFORE / "series.csv"
    ahead = model.forecast_series(read_series(path.read_bytes(), str(path), model.names, preferred_time=model.time))
    for row, expected in zip(ahead.values.tolist(), EXPECTED["forecast"], strict=True):
        assert row == pytest.approx(expected, abs=1e-2)


def test_a_run_folder_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("run", "corpus"):
        shutil.copytree(BEFORE / name, tmp_path / ("runs/half" if name == "run" else name))
    monkeypatch.chdir(tmp_path)
    config = json.loads(Path("runs/half/config.json").read_text("utf-8"))
    config["training"]["epochs"] = 4
    lines = [f"name = {json.dumps(config.pop('name'))}", f"task = {json.dumps(config.pop('task'))}"]
    for section, values in config.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    Path("half.toml").write_text("\n".join(lines) + "\n")
    assert main(["train", "half.toml", "--resume"]) == 0
    found, expected = read_rows(Path("runs/half/metrics.jsonl")), EXPECTED["metrics"]
    assert [(row["kind"], row["step"]) for row in found] == [(row["kind"], row["step"]) for row in expected]
    for row, before in zip(found, expected, strict=True):
        assert row["loss"] == pytest.approx(before["loss"], rel=1e-3)


def test_a_run_folder_keeps_its_normalisation(tmp_path: Path) -> None:
    run = Run(shutil.copytree(BEFORE / "run", tmp_path / "run"))
    assert [tokenizer.normalisation for tokenizer in run.tokenizers()] == [1, 1]
    assert metadata_of(run).normalisation == 1
    assert run.source_tokenizer().normalise("a\u00a0b\u200b") == "a\u00a0b\u200b"

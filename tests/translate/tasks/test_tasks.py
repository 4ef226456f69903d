"""All tasks from corpus to file: learning, resumption, several workers, export, commands."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dragoman.cli import main
from dragoman.export import forecasting as export_series
from dragoman.export import labelling as export_reader
from dragoman.export.parity import Level
from dragoman.runtime.errors import Interrupted, UserError
from dragoman.runtime.labelling import Classifier
from dragoman.runtime.loading import load as load_model
from dragoman.runtime.metadata import ModelFileError
from dragoman.translate.config import load
from dragoman.translate.encoding.batching import Batch
from dragoman.translate.files import read_rows
from dragoman.translate.training.checkpoint import load_tensors
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import scaled, temperatures, torchrun


def test_tasks_learn(runs: dict[str, Path]) -> None:
    scores = {task: Run(folder).read_json("run.json")["scores"]["validation"] for task, folder in runs.items()}
    assert scores["classify"]["macro-F1"] > 95
    assert scores["tag"]["entity F1"] > 95
    assert scores["forecast"]["skill"] > 10
    assert scores["forecast"]["MAE temp"] < scores["forecast"]["seasonal-naive MAE temp"]


def test_resumption_is_exact(runs: dict[str, Path], tmp_path: Path) -> None:
    for task, folder in runs.items():
        config = load(folder.parents[1] / f"{task}.toml", ["training.epochs=2"])
        Trainer(config, tmp_path / task / "whole").fit()
        trainer = Trainer(config, tmp_path / task / "cut")
        step = trainer.train_step

        def stopped(
            batch: Batch, rate: float, trainer: Trainer = trainer,
            step: Callable[[Batch, float], tuple[float, float]] = step,
        ) -> tuple[float, float]:  # fmt: skip
            if trainer.position.step == 3:
                signal.raise_signal(signal.SIGINT)
            return step(batch, rate)

        trainer.train_step = stopped  # type: ignore[method-assign]  # a spy
        with pytest.raises(Interrupted):
            trainer.fit()
        Trainer(config, tmp_path / task / "cut", resume=True).fit()
        one, two = (load_tensors(tmp_path / task / name / "model.safetensors")[0] for name in ("whole", "cut"))
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_corpus_of_another_task_is_rejected(runs: dict[str, Path], tmp_path: Path) -> None:
    toml = runs["tag"].parents[1] / "tag.toml"
    with pytest.raises(UserError, match=r'is a corpus to tag, and the configuration has task = "classify"'):
        Trainer(load(toml, ["task=classify"]), tmp_path / "run")
    with pytest.raises(UserError, match=r"50 is not a multiple of series\.period"):
        load(toml, ["task=forecast", "series.window=50"])
    with pytest.raises(UserError, match=r'need task = "translate"; remove them'):
        load(toml, ["augment.upper=0.1"])


@pytest.mark.slow  # trains four times
@pytest.mark.parametrize("task", ["classify", "tag", "forecast"])
def test_two_workers_train_as_one_with_twice_the_batch(runs: dict[str, Path], tmp_path: Path, task: str) -> None:
    curves = []
    toml = runs[task].parents[1] / f"{task}.toml"
    for world in (1, 2):
        # A low rate: the absolute error has a kink, and at a high rate rounding errors grow over some hundred steps.
        changes = ["model.dropout=0", "training.epochs=2", "training.lr=1e-3"]
        changes += [f"training.batch_tokens={400 // world}", f"name=of{world}"]
        done = torchrun(tmp_path, toml, world, changes)
        _, said = done.communicate(timeout=600)
        assert done.returncode == 0, said
        curves.append([(r["step"], r["loss"]) for r in read_rows(tmp_path / "runs" / f"of{world}" / "metrics.jsonl")])
    assert [step for step, _ in curves[0]] == [step for step, _ in curves[1]]
    assert [loss for _, loss in curves[0]] == pytest.approx([loss for _, loss in curves[1]], rel=1e-3)


@pytest.mark.slow  # three exports
def test_exported_files(
    runs: dict[str, Path], files: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for task, path in files.items():
        assert main(["verify", str(path), "--against", str(runs[task])]) == 0
        assert "equal" in capsys.readouterr().out
        load_model(path, self_test=True)
        assert main(["info", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["task"] == task
        corpus = Run(runs[task]).config().data.corpus
        found = []
        for model in (runs[task], path):
            words = ["evaluate", str(model), "--corpus", corpus, "--json", "--record", str(tmp_path / "scores.jsonl")]
            assert main(words) == 0
            found.append({k: v for k, v in json.loads(capsys.readouterr().out).items() if k != "model"})
        assert found[0] == found[1]
        assert main(["export", str(runs[task]), "-o", str(tmp_path / "x.onnx"), "--int8"]) == 2
        assert "--int8 works only for translators" in capsys.readouterr().err
        assert main(["translate", str(path), "x"]) == 2
        assert f"the model was trained to {task}, not to translate" in capsys.readouterr().err
    rows = read_rows(tmp_path / "scores.jsonl")  # a file's row replaces that of its run
    assert [(row["protocol"], len(row["metrics"])) for row in rows] == [("classify", 2), ("tag", 2), ("forecast", 5)]
    with pytest.raises(ModelFileError, match="trained to tag, not to classify"):
        Classifier.load(files["tag"])
    assert main(["verify", str(files["tag"]), "--against", str(runs["classify"])]) == 2
    data = bytearray(files["forecast"].read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "broken.onnx").write_bytes(data)
    with pytest.raises(ModelFileError, match="is damaged"):
        load_model(tmp_path / "broken.onnx")


@pytest.mark.slow
def test_differences_are_detected(
    runs: dict[str, Path], files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task, path in files.items():
        other = scaled(runs[task], tmp_path / task, 1.2)
        assert main(["verify", str(path), "--against", str(other)]) == 1
        assert "NOT equal" in capsys.readouterr().out
        model = load_model(path)
        case = dict(model.metadata.self_test["cases"][0])
        key = "forecast" if task == "forecast" else "probability"
        said = np.array(case[key])
        case[key] = (said + 0.02 * np.abs(said).max()).tolist()
        model.metadata = replace(model.metadata, self_test={"cases": [case]})
        with pytest.raises(ModelFileError, match="self-test failed"):
            model.self_test()


def test_export_rejects_a_file_that_differs(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Level("labels", compared=9, equal=8, worst=0.0, passed=False)
    for module, compare in ((export_reader, "compare_labelling"), (export_series, "compare_forecaster")):
        monkeypatch.setattr(module, compare, lambda *_: [wrong])
        monkeypatch.setattr(module, "serialize", lambda *_: b"")
    monkeypatch.setattr(export_reader, "labelling_to_onnx", lambda *_: None)
    monkeypatch.setattr(export_series, "forecaster_to_onnx", lambda *_: None)
    for task in ("classify", "tag"):
        with pytest.raises(UserError, match="differs from PyTorch"):
            export_reader.build_labelling(Run(runs[task]), ["Ada Byron walks"])
    with pytest.raises(UserError, match="differs from PyTorch"):
        export_series.build_forecaster(Run(runs["forecast"]))


@pytest.mark.slow
def test_run_command(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["run", str(files["classify"]), "a lovely table", "sad water", ""]) == 0
    assert capsys.readouterr().out == "positive\nnegative\n\n"
    assert main(["run", str(files["classify"]), "a lovely table", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["label"] == "positive"
    assert sum(p for _, p in value["probabilities"]) == pytest.approx(1)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Ada Byron walks\n\nin London\n")))
    assert main(["run", str(files["tag"])]) == 0
    assert capsys.readouterr().out == "Ada\tB-PER\nByron\tI-PER\nwalks\tO\n\n\nin\tO\nLondon\tB-LOC\n\n"
    (tmp_path / "s.csv").write_text(temperatures())
    assert main(["run", str(files["forecast"]), str(tmp_path / "s.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "time,temp,wind"
    assert len(lines) == 13
    assert lines[1].startswith("2024-02-07 12:00,")
    (tmp_path / "short.csv").write_text("\n".join(temperatures().splitlines()[:20]))
    assert main(["run", str(files["forecast"]), str(tmp_path / "short.csv")]) == 0
    assert "short.csv has 20 rows, and the model looks back 48" in capsys.readouterr().err
    assert main(["run", str(files["forecast"]), str(tmp_path / "s.csv"), "--scores"]) == 2
    assert "is a forecaster, and forecasts have no scores" in capsys.readouterr().err
    assert main(["run", str(files["forecast"]), str(tmp_path / "none.csv")]) == 2
    assert "a forecaster reads CSV files" in capsys.readouterr().err


def test_translation_options_need_a_translator(
    tiny_run: Path, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tiny_run), str(runs["tag"]), "--corpus", "x"]) == 2
    assert "only runs that translate can be combined" in capsys.readouterr().err
    assert main(["evaluate", str(runs["tag"]), "--corpus", "x", "--beam", "3"]) == 2
    assert "--beam applies to translators only" in capsys.readouterr().err
    assert main(["evaluate", str(runs["tag"]), "--corpus", "x", "--protocol", "lc.tok"]) == 2
    assert "--protocol applies to translators only" in capsys.readouterr().err


def test_evaluation_needs_a_corpus_of_the_task(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    other = Run(runs["tag"]).config().data.corpus
    assert main(["evaluate", str(runs["classify"]), "--corpus", str(other)]) == 2
    assert "is a corpus for the task tag, but" in capsys.readouterr().err

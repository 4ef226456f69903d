"""A trained run and an exported file of each task."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.cli import main
from dragoman.translate.config import load
from dragoman.translate.training.trainer import Trainer
from tiny import classes, made_once, tagged, temperatures

TASKS = ("classify", "tag", "forecast")

SMALL = """
[model]
width = 24
hidden = 20
encoder_layers = 1
feed_forward = 0
heads = 1
dropout = 0.05
[training]
epochs = {epochs}
batch_tokens = {tokens}
lr = 1e-2
warmup = 5
average = 1
precision = "float32"
label_smoothing = 0.0
"""


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folder of a trained run of each task. Its corpora and configurations are in parents[1]."""

    def make(folder: Path) -> None:
        for task, kind, text, epochs, tokens in (
            ("classify", "classes", classes(), 8, 300), ("tag", "tags", tagged(), 8, 300),
            ("forecast", "series", temperatures(), 3, 2000),
        ):  # fmt: skip
            (folder / f"{kind}.csv").write_text(text)
            language = ["--language", "en"] if kind != "series" else []
            assert main(["corpus", kind, str(folder / f"{kind}.csv"), "--out", str(folder / kind), *language]) == 0
            series = "[series]\nwindow = 48\nhorizon = 12\nperiod = 24\n" if kind == "series" else ""
            (folder / f"{task}.toml").write_text(
                f'name = "{task}"\ntask = "{task}"\n[data]\ncorpus = "{folder / kind}"\n[tokenizer]\nvocabulary = 320\n'
                + SMALL.format(epochs=epochs, tokens=tokens) + series
            )  # fmt: skip
            Trainer(load(folder / f"{task}.toml"), folder / "run" / task).fit()

    folder = made_once(tmp_path_factory, "tasks", make)
    return {task: folder / "run" / task for task in TASKS}


@pytest.fixture(scope="session")
def files(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the exported file of each run."""

    def make(folder: Path) -> None:
        for task, run in runs.items():
            assert main(["export", str(run), "-o", str(folder / f"{task}.onnx")]) == 0

    folder = made_once(tmp_path_factory, "files", make)
    return {task: folder / f"{task}.onnx" for task in TASKS}

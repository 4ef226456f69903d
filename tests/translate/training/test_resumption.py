"""Resumed trainings: the clock of the schedule, and run folders whose files are missing or damaged."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dragoman.cli import main
from dragoman.runtime.errors import Interrupted, UserError
from dragoman.translate.config import load
from dragoman.translate.encoding.batching import Batch
from dragoman.translate.tasks.translation import TranslationTask
from dragoman.translate.training import trainer as trainer_module
from dragoman.translate.training.checkpoint import load_tensors, save_tensors
from dragoman.translate.training.display import Display
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer

LIMIT, PREPARATION, FIRST_STEP = 600, 100, 400  # seconds


class Clock:
    """A clock that stands still but for the steps and starts of a training."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(trainer_module, "time", SimpleNamespace(perf_counter=lambda: self.now))
        prepare = TranslationTask.prepare

        def slow_prepare(task: TranslationTask, prepared: bool) -> None:
            self.now += PREPARATION
            prepare(task, prepared)

        monkeypatch.setattr(TranslationTask, "prepare", slow_prepare)

    def train(self, toml: Path, folder: Path, *, resume: bool, stop: int | None = None) -> list[float]:
        """Train until the end, or an interruption at step `stop`. Return the learning rate of each step.

        A step takes a second, and the first of a session FIRST_STEP more.
        """
        rates: list[float] = []
        changes = ["training.epochs=100000", f"training.minutes={LIMIT / 60}", "training.validate_every=100000"]
        trainer = Trainer(load(toml, [*changes, "training.warmup=0"]), folder, resume=resume)
        self.now += PREPARATION  # setting up the network

        def step(batch: Batch, rate: float) -> tuple[float, float]:
            self.now += 1 if rates or not resume else 1 + FIRST_STEP
            rates.append(rate)
            if len(rates) == stop:
                signal.raise_signal(signal.SIGINT)
            return float(batch.tokens), 1.0

        trainer.train_step = step  # type: ignore[method-assign]  # takes no time
        if stop is None:
            trainer.fit()
        else:
            with pytest.raises(Interrupted):
                trainer.fit()
        return rates


def test_the_start_of_a_resumed_session_is_no_progress(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    whole = clock.train(toml, tmp_path / "whole", resume=False)
    assert len(whole) == LIMIT - 2 * PREPARATION
    assert whole[0] == load(toml).training.lr
    cut = clock.train(toml, tmp_path / "cut", resume=False, stop=150)
    for stop in (20, 1, None):
        clock.now += 1_000_000  # between two sessions
        cut += clock.train(toml, tmp_path / "cut", resume=True, stop=stop)
    largest = max(a - b for a, b in pairwise(whole))
    assert all(0 <= a - b <= 1.001 * largest for a, b in pairwise(cut))
    assert len(cut) == len(whole) + 3  # the first step of each resumed session takes no time of the schedule
    seconds = Run(tmp_path / "cut").read_json("run.json")["training"]["minutes"] * 60
    assert seconds == pytest.approx(LIMIT + 3 * (2 * PREPARATION + FIRST_STEP + 1), abs=1)  # all that was spent


def test_a_finished_training_can_be_extended_in_minutes(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    clock.train(toml, tmp_path / "run", resume=False)
    assert clock.train(toml, tmp_path / "run", resume=True) == []
    monkeypatch.setitem(globals(), "LIMIT", 700)
    assert len(clock.train(toml, tmp_path / "run", resume=True)) == 100 + 1


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("standing", ["model.safetensors", "step-*.safetensors"])
def test_a_model_without_a_checkpoint_is_not_overwritten(
    standing: str, resume: bool, tiny_run: Path, toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/tiny")
    shutil.copytree(tiny_run, folder)
    (folder / "last.safetensors").unlink()
    if standing != "model.safetensors":
        (folder / "model.safetensors").unlink()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["train", str(toml), *(["--resume"] if resume else [])]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"{folder} holds {sorted(folder.glob(standing))[0].name} of an earlier training" in told
    assert "choose another name, or remove the folder" in told
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "cut short": cut_short,
    "empty": lambda path: path.write_bytes(b""),
    "something else": lambda path: path.write_bytes(b"[1, 2]"),
    "a folder": make_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["config.json", "run.json", "source.model", "target.model", "last.safetensors"])
def test_a_damaged_run_is_not_resumed(
    name: str, damage: str, toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/tiny")
    trainer = Trainer(load(toml), folder)
    trainer.save()
    trainer.close()
    weights = (folder / "last.safetensors").read_bytes()
    DAMAGES[damage](folder / name)
    status = main(["train", str(toml), "--resume"])
    told = capsys.readouterr().err
    if name == "last.safetensors" and damage == "missing":
        assert status == 0  # nothing was lost: no validation had come before
        return
    assert status == 2
    assert told.splitlines()[-1].startswith("dragoman: ")
    assert str(folder) in told
    assert "Traceback" not in told
    if name != "last.safetensors":
        assert (folder / "last.safetensors").read_bytes() == weights


@pytest.mark.parametrize("text", ["", "[data]\n", "name = 3\n", "name", "[[name]]\n"])
def test_an_empty_or_damaged_configuration(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    assert main(["train", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith(f"dragoman: {path}")


def test_weights_of_validations_that_are_gone_are_left_out(
    toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    Trainer(load(toml), folder).fit()
    first, second = sorted(folder.glob("step-*.safetensors"))
    first.unlink()
    (folder / "model.safetensors").unlink()
    facts = Trainer(load(toml), folder, resume=True, display=Display()).fit()
    assert f"{first} is missing; the average leaves it out" in capsys.readouterr().err
    assert [*facts["candidates"]] == ["epoch 3"]
    cut_short(second)
    with pytest.raises(
        UserError, match=f"{second.name} is not a complete .*; remove it, and the average leaves it out"
    ):
        Trainer(load(toml, ["training.epochs=4"]), folder, resume=True)


def test_a_training_without_any_weights_of_validations_validates_again(toml: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trainer = Trainer(load(toml), folder)
    trainer.fit()
    trained = {name: p.detach().clone() for name, p in load_tensors(folder / "last.safetensors")[0].items()}
    for path in (folder / "model.safetensors", *folder.glob("step-*.safetensors")):
        path.unlink()
    resumed = Trainer(load(toml), folder, resume=True)
    assert [*resumed.fit()["candidates"]] == ["epoch 3"]
    steps = [entry["step"] for entry in resumed.position.history]
    assert len(steps) == len({*steps}) == 3
    for name, weight in load_tensors(folder / "model.safetensors")[0].items():
        assert torch.equal(weight, trained[f"model.{name}"])


def test_a_damaged_final_model_is_written_again(toml: Path, tmp_path: Path) -> None:
    model = tmp_path / "run" / "model.safetensors"
    Trainer(load(toml), model.parent).fit()
    expected = model.read_bytes()
    cut_short(model)
    with pytest.raises(UserError, match="remove it, and --resume writes it again"):
        Trainer(load(toml), model.parent, resume=True).fit()
    model.unlink()
    Trainer(load(toml), model.parent, resume=True).fit()
    assert model.read_bytes() == expected


def test_a_checkpoint_of_a_newer_version_is_refused(toml: Path, tmp_path: Path) -> None:
    path = tmp_path / "run" / "last.safetensors"
    trainer = Trainer(load(toml), path.parent)
    trainer.save()
    trainer.close()
    tensors, facts = load_tensors(path)
    save_tensors(path, tensors, {**facts, "phase": 3})
    with pytest.raises(UserError, match="holds phase: it is of a newer version of Dragoman"):
        Trainer(load(toml), path.parent, resume=True)

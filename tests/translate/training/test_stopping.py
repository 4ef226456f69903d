"""The limits that end training, and its progress: pure functions."""

from __future__ import annotations

import pytest

from dragoman.translate.config import TrainingConfig
from dragoman.translate.training.averaging import averaged_entries, best_entry
from dragoman.translate.training.state import Position
from dragoman.translate.training.stopping import limits_reached, out_of_patience, training_progress

HISTORY = [{"step": n, "BLEU": score, "loss": 1.0} for n, score in enumerate((1.0, 4.0, 3.0, 4.0, 2.0))]


def test_progress_follows_epochs_or_time() -> None:
    halfway = Position(epoch=1, batch=5, seconds=90, prepared=60)
    assert training_progress(halfway, 10, TrainingConfig(epochs=3)) == pytest.approx(0.5)
    assert training_progress(halfway, 10, TrainingConfig(epochs=30, minutes=1.5)) == pytest.approx(1)
    assert training_progress(halfway, 10, TrainingConfig(epochs=30, minutes=4)) == pytest.approx(30 / 180)
    assert training_progress(Position(batch=12), 10, TrainingConfig(epochs=2)) == pytest.approx(0.5)  # an estimate


@pytest.mark.parametrize(
    ("patience", "expected"), [(0, False), (1, True), (2, True), (3, True), (4, False), (5, False)]
)
def test_patience_ends_training_without_a_better_score(patience: int, expected: bool) -> None:
    assert out_of_patience(HISTORY, "BLEU", TrainingConfig(patience=patience)) == expected


def test_all_limits_that_are_reached_are_named() -> None:
    c = TrainingConfig(epochs=3, minutes=2, patience=1)
    assert limits_reached(Position(epoch=2, seconds=119, history=HISTORY[:2]), "BLEU", c) == []
    assert limits_reached(Position(epoch=3, seconds=120, history=HISTORY), "BLEU", c) == [
        "training.epochs = 3", "training.minutes = 2", "training.patience = 1"
    ]  # fmt: skip


def test_the_choice_of_checkpoints() -> None:
    def steps(kind: str) -> list[int]:
        c = TrainingConfig(average=2, average_of=kind)  # type: ignore[arg-type]  # one of the two kinds
        return [entry["step"] for entry in averaged_entries(HISTORY, "BLEU", c)]

    assert steps("last") == [3, 4]
    assert steps("best") == [1, 3]
    assert best_entry(HISTORY, "BLEU", {0, 2, 3, 4})["step"] == 3  # the checkpoint of step 1 is missing

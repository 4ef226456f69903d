"""Pictures: a run's curves, and where a translation looked."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after the backend is chosen

from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Attention
from dragoman.translate.checkpoint import read_rows, write_atomically

NO_SCORES = ("kind", "step", "epoch", "seconds", "loss", "perplexity")  # of what a validation notes


def draw_curves(folder: str | Path) -> Path:
    """Draw metrics.jsonl of a run as curves.png. Returns the picture's path."""
    path = Path(folder) / "curves.png"
    write_atomically(path, curves(Path(folder)))
    return path


def curves(folder: Path) -> bytes:
    """A run's losses, BLEU and learning rate over steps, as a PNG. Raises UserError when there is nothing to draw."""
    if not (folder / "metrics.jsonl").exists():
        raise UserError(f"{folder} has no metrics.jsonl to draw; name a run's folder")
    rows = read_rows(folder / "metrics.jsonl")
    train = [r for r in rows if r["kind"] == "train"]
    valid = [r for r in rows if r["kind"] == "validation"]
    figure, (losses, scores, rates) = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    losses.plot([r["step"] for r in train], [r["loss"] for r in train], label="training", alpha=0.6)
    losses.plot([r["step"] for r in valid], [r["loss"] for r in valid], label="validation", marker="o", markersize=3)
    losses.set(title="Loss a target (nats)", xlabel="step")
    losses.legend()
    for metric in [key for key in valid[-1] if key not in NO_SCORES] if valid else []:
        scores.plot([r["step"] for r in valid], [r[metric] for r in valid], label=metric, marker="o", markersize=3)
    scores.set(title="Scores of the validation set", xlabel="step")
    scores.legend()
    rates.plot([r["step"] for r in train], [r["lr"] for r in train], color="tab:gray", label="learning rate")
    rates.set(title="Learning rate; gradient norm before clipping", xlabel="step")
    norms = rates.twinx()
    norms.plot(
        [r["step"] for r in train], [r["gradient_norm"] for r in train], color="tab:red", alpha=0.4, linewidth=0.8
    )
    norms.set_ylabel("gradient norm", color="tab:red")
    for axes in (losses, scores, rates):
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", nbins=5)
    return _png(figure)


def draw_attention(attention: Attention) -> bytes:
    """One attention map as a PNG, source pieces across and target pieces down."""
    height, width = attention.weights.shape
    figure, axes = plt.subplots(figsize=(2.5 + 0.45 * width, 1.8 + 0.35 * height), layout="constrained")
    picture = axes.imshow(attention.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(width), [_label(p) for p in attention.source_pieces], rotation=60, ha="right")
    axes.set_yticks(range(height), [_label(p) for p in attention.target_pieces])
    axes.set(xlabel="source", ylabel="translation")
    figure.colorbar(picture, label="share of attention")
    return _png(figure)


def _label(piece: str) -> str:
    return piece.replace("$", r"\$")  # else matplotlib reads mathematics


def _png(figure: Any) -> bytes:  # noqa: ANN401 (matplotlib's own type is not exported)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a script without a font shows as boxes
        picture = io.BytesIO()
        figure.savefig(picture, dpi=110)
    plt.close(figure)
    return picture.getvalue()

"""Plots of runs and models."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt  # after the backend is chosen
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm

from dragoman.runtime.alignment import Attention
from dragoman.runtime.errors import UserError
from dragoman.translate.evaluation.sensitivity import Sensitivity
from dragoman.translate.files import read_rows, write_atomically

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
    _draw_scores(scores, valid)
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
    return _saved(figure)


def _draw_scores(axes: Axes, valid: Sequence[dict[str, Any]]) -> None:
    """Every score of the validations; what is much smaller than the largest has an axis of its own, at the right."""
    axes.set(title="Scores of the validation set", xlabel="step")
    highest = {m: max(abs(r[m]) for r in valid) for m in valid[-1] if m not in NO_SCORES} if valid else {}
    beside: Axes | None = None
    lines = []
    for number, (metric, height) in enumerate(highest.items()):
        own = axes
        if 0 < height < max(highest.values()) / 10:
            own = beside = beside or axes.twinx()
        name = metric if own is axes else f"{metric} (right)"
        steps, values = ([r[key] for r in valid] for key in ("step", metric))
        lines += own.plot(steps, values, f"C{number}", label=name, marker="o", markersize=3)
    axes.legend(handles=lines)


def draw_attention(attention: Attention, kind: str = "png") -> bytes:
    """One attention map as a picture, source pieces across and target pieces down."""
    height, width = attention.weights.shape
    with _fonts("".join(_labels([*attention.source_subwords, *attention.target_subwords]))):
        figure, axes = plt.subplots(figsize=(2.5 + 0.45 * width, 1.8 + 0.35 * height), layout="constrained")
        picture = axes.imshow(attention.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(width), _labels(attention.source_subwords), rotation=60, ha="right")
        axes.set_yticks(range(height), _labels(attention.target_subwords))
        axes.set(xlabel="source", ylabel="translation")
        bar = figure.colorbar(picture, ticks=[0, 0.5, 1])
        bar.ax.set_yticklabels(["not looked at", "half of the look", "looked at alone"])
        return _saved(figure, kind)


def draw_memory(
    names: Sequence[str], pieces: Sequence[Sequence[str]], found: Sequence[Sensitivity], kind: str = "png"
) -> bytes:
    """The sensitivities of encoders (see memory.py) as a picture, a column for each.

    Rows are layers and directions; of one encoder, directions are columns. names: of the encoders. pieces: what each of
    them read. found: what `sensitivity` gives of each.
    """
    D = found[0].shape[1]
    layers = max(map(len, found))
    shape = (layers, D) if len(names) == 1 else (layers * D, len(names))
    side = 1.3 + 0.27 * max(map(len, pieces))
    with _fonts("".join(label for own in pieces for label in _labels(own))):
        figure, grid = plt.subplots(
            *shape, figsize=(side * shape[1] + 1.6, side * shape[0]), layout="constrained", squeeze=False
        )
        shade = ScalarMappable(PowerNorm(0.5, 0, 1), "Greys")
        for number, (name, own, values) in enumerate(zip(names, pieces, found, strict=True)):
            for layer, d in ((layer, d) for layer in range(layers) for d in range(D)):
                axes = grid[layer, d] if len(names) == 1 else grid[layer * D + d, number]
                if layer >= len(values):
                    axes.set_axis_off()
                    continue
                labels = _labels(own)
                shares = values[layer, d] / max(float(values[layer, d].max()), 1e-30)
                axes.imshow(shares, cmap=shade.cmap, norm=shade.norm, aspect="equal")
                axes.set_xticks(range(len(own)), labels, rotation=60, ha="right", fontsize=8)
                axes.set_yticks(range(len(own)), labels, fontsize=8)
                axes.set_title(f"{name}\nlayer {layer + 1}, {'backwards' if d else 'forwards'}", fontsize=9)
        figure.supxlabel("of this word", fontsize=10)
        figure.supylabel("what is remembered here", fontsize=10)
        bar = figure.colorbar(shade, ax=grid, ticks=[0, 0.04, 0.25, 1], shrink=0.6, aspect=30)
        bar.ax.set_yticklabels(["forgotten", "a trace", "faint", "fresh"])
        bar.set_label("next to the strongest in the same panel", fontsize=9)
        return _saved(figure, kind)


def draw_gradients(rows: Sequence[dict[str, Any]]) -> bytes:
    """Gradient norms over training steps (see comparison.py), clipped and not: a row a task, a column a cell."""
    tasks, cells = (list(dict.fromkeys(row[key] for row in rows)) for key in ("task", "cell"))
    size = 3.4 * len(cells), 2.8 * len(tasks)
    figure, grid = plt.subplots(
        len(tasks), len(cells), figsize=size, sharex="row", sharey="row", squeeze=False, layout="constrained"
    )
    for row in rows:
        axes = grid[tasks.index(row["task"]), cells.index(row["cell"])]
        steps, norms = zip(*row["gradient_norms"], strict=True)
        axes.plot(steps, norms, label="clipped to 1" if row["clipped"] else "not clipped", linewidth=1)
    for axes in grid.flat:
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", nbins=4)
    for axes, cell in zip(grid[0], cells, strict=True):
        axes.set_title(cell)
    for axes, task in zip(grid[:, 0], tasks, strict=True):
        axes.set_ylabel(f"{task}\ngradient norm, before clipping")
    for axes in grid[-1]:
        axes.set_xlabel("step")
    grid[0, -1].legend()
    return _saved(figure)


def draw_lengths(rows: Sequence[dict[str, Any]]) -> bytes:
    """The share of exact answers by length (see comparison.py), one panel a task, four in a row, a line a cell."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    columns = min(4, len(tasks))
    lines = -(-len(tasks) // columns)
    figure, grid = plt.subplots(lines, columns, figsize=(4 * columns, 3.2 * lines), squeeze=False, layout="constrained")
    for axes in grid.flat[len(tasks) :]:
        axes.remove()
    for axes, task in zip(grid.flat, tasks, strict=False):
        for row in (r for r in rows if r["task"] == task):
            axes.plot([e["length"] for e in row["exact"]], [e["exact"] for e in row["exact"]], label=row["cell"])
        limit = next(r["trained_to"] for r in rows if r["task"] == task)
        axes.axvline(limit, color="tab:gray", linestyle=":", label="the longest in training")
        axes.set(
            title=task, xlabel="symbols, or digits of the longer number", ylabel="exactly right, of 100", ylim=(-3, 103)
        )
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return _saved(figure)


def draw_reach(names: Sequence[str], found: Sequence[Any]) -> bytes:
    """How the first layer's sensitivity fades with distance, a line for each encoder."""
    figure, axes = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
    for name, values in zip(names, found, strict=True):
        axes.plot(range(len(values)), values, marker="o", markersize=3, label=name)
    axes.set(xlabel="words ago", ylabel="sensitivity, of that to the word itself", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return _saved(figure)


def _labels(pieces: Sequence[str]) -> list[str]:
    """Pieces as people read them: a character that is spelt in bytes stands at the first of these."""
    out: list[str] = []
    for spelt, run in groupby(pieces, lambda piece: bool(_BYTE.fullmatch(piece))):
        own = [*run]
        try:
            text = bytes(int(piece[3:5], 16) for piece in own).decode() if spelt else ""
        except UnicodeDecodeError:
            text = ""
        if text:
            out += [c for character in text for c in (character, *"·" * (len(character.encode()) - 1))]
        else:
            out += [piece.replace("$", r"\$") for piece in own]  # else matplotlib reads mathematics
    return out


_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def _fonts(text: str) -> Any:  # noqa: ANN401 (matplotlib's own context manager)
    """Draw with fonts that have the characters of a text, as far as any that is installed does."""
    chosen, _ = _fonts_of(text)
    return plt.rc_context({"font.family": chosen, "svg.fonttype": "none"})  # an SVG's text is drawn by who shows it


def without_font(pieces: Iterable[str]) -> str:
    """The characters of some pieces that no installed font has, which a PNG shows as boxes."""
    return _fonts_of("".join(_labels([*pieces])))[1]


def _fonts_of(text: str) -> tuple[list[str], str]:
    """Fonts that have the characters of a text, the usual one first, and the characters that none has."""
    own = plt.rcParams["font.sans-serif"][0]
    wanted = {ord(c) for c in text} - _characters(font_manager.findfont(own))
    chosen = [own]
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda e: (e.style != "normal", e.weight != 400, e.name)):
        if not wanted:
            break
        if found := wanted & _characters(entry.fname):
            wanted -= found
            chosen.append(entry.name)
    return chosen, "".join(map(chr, sorted(wanted)))


@cache
def _characters(path: str) -> frozenset[int]:
    """The characters of a font; none of one that cannot be read, or that has a box for each there could be."""
    try:
        found = frozenset(font_manager.get_font(path).get_charmap())
        return found if len(found) < 0x100000 else frozenset()  # matplotlib's own last resort
    except (OSError, RuntimeError):
        return frozenset()


def _saved(figure: Any, kind: str = "png") -> bytes:  # noqa: ANN401 (matplotlib's own type is not exported)
    """The bytes of a figure as `png` or `svg`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a script without a font shows as boxes
        picture = io.BytesIO()
        figure.savefig(picture, dpi=110, format=kind)
    plt.close(figure)
    return picture.getvalue()

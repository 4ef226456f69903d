"""Plots of runs and models, as PNG or SVG files.

Figures are made without pyplot, so that no display is needed.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dragoman.runtime.alignment import AttentionMap
from dragoman.runtime.errors import UserError
from dragoman.runtime.files import write_atomically
from dragoman.translate.evaluation.sensitivity import Sensitivity
from dragoman.translate.files import read_rows

# The keys of a validation's row in metrics.jsonl that are no scores.
NOT_SCORES = ("kind", "step", "epoch", "seconds", "loss", "perplexity")

# SentencePiece spells a character outside its vocabulary as one such subword for each byte of its UTF-8.
BYTE_SUBWORD = re.compile(r"<0x[0-9A-F]{2}>")

# A font with more characters is matplotlib's last resort, which has a box for every code point.
MOST_CHARACTERS = 0x100000


def draw_curves(folder: str | Path) -> Path:
    """Draw the training curves of a run as its curves.png and return the path."""
    path = Path(folder) / "curves.png"
    write_atomically(path, curves(Path(folder)))
    return path


def curves(folder: Path) -> bytes:
    """Return a PNG of a run's losses, validation scores, learning rate and gradient norm by training step.

    Raises UserError when the folder has no metrics.jsonl.
    """
    if not (folder / "metrics.jsonl").exists():
        raise UserError(f"{folder} has no metrics.jsonl to draw; name a run's folder")
    rows = read_rows(folder / "metrics.jsonl")
    train = [r for r in rows if r["kind"] == "train"]
    valid = [r for r in rows if r["kind"] == "validation"]
    figure = Figure(figsize=(13.5, 4), layout="constrained")
    loss_axes, score_axes, rate_axes = figure.subplots(1, 3)
    _draw_losses(loss_axes, train, valid)
    _draw_scores(score_axes, valid)
    _draw_rates(rate_axes, train)
    for axes in (loss_axes, score_axes, rate_axes):
        axes.set_xlabel("training step")
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", nbins=5)
    return _encode(figure)


def _draw_losses(axes: Axes, train: Sequence[dict[str, Any]], valid: Sequence[dict[str, Any]]) -> None:
    """Draw the losses. Only a forecaster has no perplexity: its loss is an absolute error."""
    forecasts = bool(valid) and "perplexity" not in valid[0]
    axes.plot(*_series(train, "loss"), label="training", alpha=0.6)
    axes.plot(*_series(valid, "loss"), label="validation", marker="o", markersize=3)
    axes.set(
        title="Loss",
        ylabel="absolute error (standard deviations)" if forecasts else "cross-entropy per target (nats)",
    )
    axes.legend()


def _draw_scores(axes: Axes, valid: Sequence[dict[str, Any]]) -> None:
    """Draw every validation score. A score below a tenth of the largest has an axis of its own, at the right."""
    axes.set(title="Scores of the validation set", ylabel="score")
    highest = {m: max(abs(r[m]) for r in valid) for m in valid[-1] if m not in NOT_SCORES} if valid else {}
    right_axes: Axes | None = None
    lines = []
    for number, (metric, height) in enumerate(highest.items()):
        metric_axes, label = axes, metric
        if 0 < height < max(highest.values()) / 10:
            metric_axes = right_axes = right_axes or axes.twinx()
            label = f"{metric} (right axis)"
        lines += metric_axes.plot(*_series(valid, metric), f"C{number}", label=label, marker="o", markersize=3)
    if right_axes:
        right_axes.set_ylabel("score (right axis)")
        # Below the panel, which the lines on two axes fill.
        axes.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, fontsize="small")
    elif lines:
        axes.legend(handles=lines)


def _draw_rates(axes: Axes, train: Sequence[dict[str, Any]]) -> None:
    axes.plot(*_series(train, "lr"), color="tab:gray")
    axes.set(title="Learning rate and gradient norm", ylabel="learning rate")
    norm_axes = axes.twinx()
    norm_axes.plot(*_series(train, "gradient_norm"), color="tab:red", alpha=0.4, linewidth=0.8)
    norm_axes.set_ylabel("gradient norm before clipping", color="tab:red")


def _series(rows: Sequence[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Return the steps of some rows and their values of a key."""
    return [r["step"] for r in rows], [r[key] for r in rows]


def draw_attention(attention: AttentionMap, kind: str = "png") -> bytes:
    """Return a picture of an attention map: source subwords across, target subwords down. kind: `png` or `svg`."""
    height, width = attention.weights.shape
    source, target = _labels(attention.source_subwords), _labels(attention.target_subwords)
    with _fonts_for("".join([*source, *target])):
        figure = Figure(figsize=(3.2 + 0.45 * width, 1.8 + 0.35 * height), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(attention.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(width), source, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(height), target)
        axes.set(xlabel="source subword", ylabel="target subword")
        figure.colorbar(image, label="attention weight, 0 to 1", ticks=[0, 0.25, 0.5, 0.75, 1])
        return _encode(figure, kind)


def draw_sensitivity(
    names: Sequence[str], subwords: Sequence[Sequence[str]], norms: Sequence[Sensitivity], kind: str = "png"
) -> bytes:
    """Return a picture of the sensitivities of encoders, one column for each; of a single encoder, one for a direction.

    Rows are layers and directions. Each panel is shaded relative to its largest norm.

    names: of the encoders. subwords: of the text, as each encoder's tokenizer splits it. norms: from `sensitivity`,
    for each encoder. kind: `png` or `svg`.
    """
    D = norms[0].shape[1]
    layers = max(map(len, norms))
    shape = (layers, D) if len(names) == 1 else (layers * D, len(names))
    side = max(2.8, 1.5 + 0.27 * max(map(len, subwords)))
    width, height = side * shape[1] + 1.8, side * shape[0] + 0.6
    labels = [_labels(words) for words in subwords]
    with _fonts_for("".join(label for words in labels for label in words)):
        layout = ConstrainedLayoutEngine(compress=True, h_pad=0.12, w_pad=0.08)  # for panels of a fixed aspect ratio
        figure = Figure(figsize=(width, height), layout=layout)
        grid = figure.subplots(*shape, squeeze=False)
        shading = ScalarMappable(PowerNorm(0.5, 0, 1), "Greys")
        for column, (name, words, values) in enumerate(zip(names, labels, norms, strict=True)):
            for layer, d in ((layer, d) for layer in range(layers) for d in range(D)):
                axes = grid[layer, d] if len(names) == 1 else grid[layer * D + d, column]
                if layer >= len(values):
                    axes.set_axis_off()
                    continue
                direction = "right to left" if d else "left to right"
                relative = values[layer, d] / max(float(values[layer, d].max()), 1e-30)
                axes.imshow(relative, cmap=shading.cmap, norm=shading.norm, aspect="equal")
                axes.set_xticks(range(len(words)), words, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
                axes.set_yticks(range(len(words)), words, fontsize=8)
                axes.set_title(f"{name}\nlayer {layer + 1}, {direction}", fontsize=9, y=1.0)
        figure.supxlabel("subword s (input x_s)", fontsize=10)
        figure.supylabel("subword t (encoder state h_t)", fontsize=10)
        bar = figure.colorbar(
            shading, ax=grid, ticks=[0, 0.04, 0.25, 0.5, 1], format="%g", shrink=min(0.8, 3.5 / height)
        )
        bar.set_label("norm of dh_t/dx_s,\nrelative to the panel's maximum", fontsize=9)
        return _encode(figure, kind)


def draw_gradients(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return a PNG of gradient norms with and without clipping: one row for each task, one column for each cell.

    rows: from `cell_comparison.compare_cells`.
    """
    tasks, cells = (list(dict.fromkeys(row[key] for row in rows)) for key in ("task", "cell"))
    figure = Figure(figsize=(0.6 + 3.2 * len(cells), 0.6 + 2.6 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), len(cells), sharex="row", sharey="row", squeeze=False)
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
        axes.set_ylabel(task)
    figure.supylabel("gradient norm before clipping")
    figure.supxlabel("training step")
    _add_shared_legend(figure, grid[0, 0])
    return _encode(figure)


def draw_lengths(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return a PNG of exact-match rates by length: one panel for each task, four in a row, one line for each cell.

    rows: from `cell_comparison.compare_cells`.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    columns = min(4, len(tasks))
    lines = -(-len(tasks) // columns)
    figure = Figure(figsize=(max(6.0, 3.6 * columns), 0.9 + 2.8 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[len(tasks) :]:
        axes.remove()
    for axes, task in zip(grid.flat, tasks, strict=False):
        for row in (r for r in rows if r["task"] == task):
            axes.plot([e["length"] for e in row["exact"]], [e["exact"] for e in row["exact"]], label=row["cell"])
        trained_to = next(r["trained_to"] for r in rows if r["task"] == task)
        axes.axvline(trained_to, color="tab:gray", linestyle=":", label="longest in training")
        axes.set(title=task, ylim=(-3, 103))
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
    figure.supxlabel("length of the source (symbols; for addition, digits of the longer number)")
    figure.supylabel("exact matches (%)")
    _add_shared_legend(figure, grid[0, 0])
    return _encode(figure)


def draw_sensitivity_by_distance(names: Sequence[str], curves: Sequence[npt.NDArray[np.float64]]) -> bytes:
    """Return a PNG of the first layer's sensitivity by distance, one line for each encoder.

    curves: from `sensitivity_by_distance`, for each encoder.
    """
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, values in zip(names, curves, strict=True):
        axes.plot(range(len(values)), values, marker="o", markersize=3, label=name)
    axes.set(
        xlabel="distance t - s (subwords)", ylabel="norm of dh_t/dx_s, of that at distance 0", yscale="log",
        title="Sensitivity of layer 1, left to right",
    )  # fmt: skip
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    return _encode(figure)


def _add_shared_legend(figure: Figure, axes: Axes) -> None:
    """Add the legend of one panel above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))


def _labels(subwords: Sequence[str]) -> list[str]:
    """Return subwords as labels. A character spelt in bytes is shown at its first byte, `·` at the others."""
    out: list[str] = []
    for is_bytes, group in groupby(subwords, lambda subword: bool(BYTE_SUBWORD.fullmatch(subword))):
        run = [*group]
        try:
            text = bytes(int(byte[3:5], 16) for byte in run).decode() if is_bytes else ""
        except UnicodeDecodeError:
            text = ""
        if text:
            out += [c for character in text for c in (character, *"·" * (len(character.encode()) - 1))]
        else:
            out += [subword.replace("$", r"\$") for subword in run]  # matplotlib typesets text between dollars as maths
    return out


def _fonts_for(text: str) -> Any:  # noqa: ANN401 (matplotlib's own context manager)
    """Return a context in which text is drawn with installed fonts that have its characters."""
    fonts, _ = _choose_fonts(text)
    # An SVG keeps its text as text: the viewer's fonts draw it.
    return matplotlib.rc_context({"font.family": fonts, "svg.fonttype": "none"})


def characters_without_font(subwords: Iterable[str]) -> str:
    """Return the characters that no installed font has. A PNG shows them as boxes."""
    return _choose_fonts("".join(_labels([*subwords])))[1]


def _choose_fonts(text: str) -> tuple[list[str], str]:
    """Return fonts that cover the characters of a text, the default font first, and the characters left over."""
    default = matplotlib.rcParams["font.sans-serif"][0]
    uncovered = {ord(c) for c in text} - _characters(font_manager.findfont(default))
    fonts = [default]
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda e: (e.style != "normal", e.weight != 400, e.name)):
        if not uncovered:
            break
        if covered := uncovered & _characters(entry.fname):
            uncovered -= covered
            fonts.append(entry.name)
    return fonts, "".join(map(chr, sorted(uncovered)))


@cache
def _characters(path: str) -> frozenset[int]:
    """Return the code points of a font; none if it is unreadable or matplotlib's last resort."""
    try:
        characters = frozenset(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
    return characters if len(characters) < MOST_CHARACTERS else frozenset()


def _encode(figure: Figure, kind: str = "png") -> bytes:
    """Return a figure as a PNG or SVG file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # such characters are drawn as boxes
        file = io.BytesIO()
        figure.savefig(file, dpi=110, format=kind)
    return file.getvalue()

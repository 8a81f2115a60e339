"""The pictures of a run: terms against their optima, confusion matrix, digits by what they are called."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

_GRID = 12  # images shown of each class


def terms_figure(path: Path, metrics_file: Path, seed: int, optima: Mapping[str, float | None]) -> None:
    """Every term over the epochs of one seed's last training, with its optimum as a dashed line."""
    lines = [json.loads(line) for line in metrics_file.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line["seed"] == seed]
    last = max(line["attempt"] for line in lines)
    lines = [line for line in lines if line["attempt"] == last]
    terms = list(lines[0]["terms"])
    figure, axes = plt.subplots(1, len(terms), figsize=(3.2 * len(terms), 2.6), squeeze=False)
    for axis, term in zip(axes[0], terms, strict=True):
        _plot_term(axis, lines, term, optima.get(term))
    _save(figure, path)


def _plot_term(axis: Axes, lines: list[dict[str, Any]], term: str, optimum: float | None) -> None:
    axis.plot([line["epoch"] for line in lines], [line["terms"][term] for line in lines])
    renamed = [line["epoch"] for line in lines if line["renamed"]]
    if term == "nesy" and renamed:
        axis.plot(renamed, [0] * len(renamed), "^", color="grey", clip_on=False, label="clusters renamed")
        axis.legend(frameon=False, fontsize=8)
    if optimum is not None:
        axis.axhline(optimum, linestyle="--", color="grey", linewidth=1)
    axis.set(title=term, xlabel="epoch", ylabel="nats")


def confusion_figure(path: Path, table: NDArray[np.int64], names: Sequence[str]) -> None:
    """Counts ``(label, predicted)`` as a picture; ``names`` are those of the classes."""
    size = len(table)
    figure, axis = plt.subplots(figsize=(1.5 + 0.4 * size, 1.2 + 0.4 * size))
    shares = table / table.sum(1, keepdims=True).clip(min=1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(table):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axis.text(column, row, str(table[row, column]), ha="center", va="center", fontsize=7, color=colour)
    axis.set(xlabel="what the network calls it", ylabel="label")
    axis.set_xticks(range(size), names)
    axis.set_yticks(range(size), names)
    _save(figure, path)


def classes_figure(path: Path, images: Tensor, predicted: Tensor, names: Sequence[str]) -> None:
    """Test images in rows by the class that the network gives them.

    Args:
        path: where to write.
        images: uint8 ``(n, channels, height, width)``.
        predicted: ``(n,)``.
        names: of the classes, one for each row.
    """
    (height, width), classes = images.shape[2:], len(names)
    canvas = np.full((classes * height, _GRID * width, images.shape[1]), 255, dtype=np.uint8)
    for k in range(classes):
        for column, image in enumerate(images[predicted == k][:_GRID]):
            top, left = k * height, column * width
            canvas[top : top + height, left : left + width] = image.permute(1, 2, 0).numpy()
    figure, axis = plt.subplots(figsize=(_GRID * 0.4 + 0.6, classes * 0.4 + 0.6))
    axis.imshow(canvas.squeeze(), cmap="gray", vmin=0, vmax=255)
    axis.set(ylabel="what the network calls it", xticks=[])
    axis.set_yticks([(k + 0.5) * height for k in range(classes)], names)
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)

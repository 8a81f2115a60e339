"""The pictures of a run: terms against their optima, confusion matrix, images by cluster, energy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from nesy_gedi.evaluation.own_terms import logged_epochs
from nesy_gedi.gedi.networks import GEDINetwork

_GRID = 12  # images shown of each class
_MOST_NUMBERS = 20  # rows or columns of a confusion matrix that still have room for numbers
_RESOLUTION = 150  # points of the energy landscape along each axis


def terms_figure(path: Path, metrics_file: Path, seed: int, optima: Mapping[str, float | None]) -> None:
    """Every term over the epochs of one seed's last training, with its optimum as a dashed line."""
    attempts = logged_epochs(metrics_file, seed)
    lines = attempts[max(attempts)]
    terms = list(dict.fromkeys(term for line in lines for term in line["terms"]))
    figure, axes = plt.subplots(1, len(terms), figsize=(3.2 * len(terms), 2.6), squeeze=False)
    for axis, term in zip(axes[0], terms, strict=True):
        plot_term(axis, lines, term, optima.get(term))
    _save(figure, path)


def plot_term(axis: Axes, lines: Sequence[Mapping[str, Any]], term: str, optimum: float | None) -> None:
    """One term over epochs, with its optimum as a dashed line.

    Args:
        axis: where to draw.
        lines: of the log, in order.
        term: its name.
        optimum: nats; None where there is none.
    """
    counted = [line for line in lines if term in line["terms"]]
    epochs, values = [line["epoch"] for line in counted], [line["terms"][term] for line in counted]
    axis.plot(epochs, values, marker=marker_of(epochs))
    renamed = [line["epoch"] for line in lines if line["renamed"]]
    if term == "nesy" and renamed:
        axis.plot(renamed, [0] * len(renamed), "^", color="grey", clip_on=False, label="clusters renamed")
        axis.legend(frameon=False, fontsize=8)
    if optimum is not None:
        axis.axhline(optimum, linestyle="--", color="grey", linewidth=1)
    axis.set(title=term, xlabel="epoch", ylabel="nats")


def marker_of(points: Sequence[object]) -> str | None:
    """What marks a line's points: a line of a single one would not be seen."""
    return "o" if len(points) == 1 else None


def confusion_figure(
    path: Path, table: NDArray[np.int64], labels: Sequence[str], clusters: Sequence[str]
) -> None:
    """Counts ``(label, predicted)`` as a picture, with the names of rows and columns.

    More than 20 of either are drawn without numbers.
    """
    rows, columns = table.shape
    scale = 0.4 if max(rows, columns) <= _MOST_NUMBERS else 0.08
    figure, axis = plt.subplots(figsize=(1.5 + scale * columns, 1.2 + scale * rows))
    shares = table / table.sum(1, keepdims=True).clip(min=1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="what the network calls it", ylabel="label")
    if max(rows, columns) <= _MOST_NUMBERS:
        for row, column in np.argwhere(table):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(
                column, row, str(table[row, column]), ha="center", va="center", fontsize=7, color=colour
            )
        axis.set_xticks(range(columns), clusters)
        axis.set_yticks(range(rows), labels)
    _save(figure, path)


def plane_figure(path: Path, network: GEDINetwork, points: Tensor) -> None:
    """Clusters of points of the plane, and the energy landscape under them.

    Args:
        path: where to write.
        network: of two inputs.
        points: float32 ``(n, 2, 1, 1)``.
    """
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2))
    draw_plane(axes, network, points)
    _save(figure, path)


@torch.no_grad()
def draw_plane(axes: Sequence[Axes], network: GEDINetwork, points: Tensor) -> None:
    """Clusters of points ``(n, 2, 1, 1)`` into the first pair of axes, the energy in nats into the second."""
    flat = points.flatten(1)
    low, high = flat.amin(0) - 0.5, flat.amax(0) + 0.5
    x, y = (torch.linspace(float(low[k]), float(high[k]), _RESOLUTION) for k in range(2))
    grid = torch.cartesian_prod(x, y).view(-1, 2, 1, 1)
    energy = network.energy(grid).view(_RESOLUTION, _RESOLUTION).T.numpy()
    across, up = flat.numpy().T
    axes[0].scatter(across, up, c=network(points).argmax(1).numpy(), s=2, cmap="tab10", vmin=0, vmax=9)
    mesh = axes[1].pcolormesh(x.numpy(), y.numpy(), energy, cmap="viridis", shading="auto", rasterized=True)
    axes[1].scatter(across[:300], up[:300], s=1, color="white", alpha=0.5)
    axes[0].figure.colorbar(mesh, ax=axes[1], label="energy, nats")
    axes[0].set(title="clusters", xlim=axes[1].get_xlim(), ylim=axes[1].get_ylim())
    axes[1].set(title="energy")
    for axis in axes:
        axis.set(aspect="equal", xticks=[], yticks=[])


def classes_figure(path: Path, images: Tensor, predicted: Tensor, names: Sequence[str]) -> None:
    """Test images in rows by the class that the network gives them.

    Args:
        path: where to write.
        images: uint8 ``(n, channels, height, width)``.
        predicted: ``(n,)``.
        names: of the classes, one for each row.
    """
    (height, width), classes = images.shape[2:], min(len(names), _MOST_NUMBERS)
    canvas = np.full((classes * height, _GRID * width, images.shape[1]), 255, dtype=np.uint8)
    for k in range(classes):
        for column, image in enumerate(images[predicted == k][:_GRID]):
            top, left = k * height, column * width
            canvas[top : top + height, left : left + width] = image.permute(1, 2, 0).numpy()
    figure, axis = plt.subplots(figsize=(_GRID * 0.4 + 0.6, classes * 0.4 + 0.6))
    axis.imshow(canvas.squeeze(), cmap="gray", vmin=0, vmax=255)
    axis.set(ylabel="what the network calls it", xticks=[])
    axis.set_yticks([(k + 0.5) * height for k in range(classes)], names[:classes])
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)

"""Figures over several runs: energy landscapes, terms over training, samples. PNG and PDF."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from nesy_gedi.data.images import ImageSet
from nesy_gedi.drawing import draw_samples
from nesy_gedi.gedi.checkpoint import load_run
from nesy_gedi.reporting.figures import draw_plane
from nesy_gedi.reporting.run import METRICS

_SIDE = 8  # images along each side of a grid


def planes(path: Path, runs: Sequence[tuple[str, Path]], data: Mapping[str, ImageSet]) -> list[Path]:
    """A row for each run: its clusters of the test points, and its energy in nats.

    Args:
        path: without ending.
        runs: title and folder; a title begins with the data set's name.
        data: data sets by name.
    """
    figure, axes = plt.subplots(len(runs), 2, figsize=(7, 2.6 * len(runs)), squeeze=False)
    for pair, (title, folder) in zip(axes, runs, strict=True):
        network, _ = load_run(folder)
        draw_plane(pair, network, data[title.split(",")[0]].test_images)
        pair[0].set_title(title)
    return _save(figure, path)


def terms(path: Path, runs: Sequence[tuple[str, Path]], optima: Mapping[str, float | None]) -> list[Path]:
    """A column for each term, a line for each run, over epochs; optima dashed."""
    lines = {title: _metrics(folder) for title, folder in runs}
    names = list(optima)
    figure, axes = plt.subplots(1, len(names), figsize=(3.2 * len(names), 2.8), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        for title, rows in lines.items():
            counted = [row for row in rows if name in row["terms"]]
            axis.plot([r["epoch"] for r in counted], [r["terms"][name] for r in counted], label=title, lw=1)
        if optima[name] is not None:
            axis.axhline(optima[name], linestyle="--", color="grey", lw=1)
        axis.set(title=name, xlabel="epoch", ylabel="nats", xscale="log")
    axes[0][-1].legend(frameon=False, fontsize=6)
    return _save(figure, path)


def samples(path: Path, runs: Sequence[tuple[str, Path]], steps: int) -> list[Path]:
    """A grid of samples for each run, drawn anew from noise."""
    figure, axes = plt.subplots(1, len(runs), figsize=(3.4 * len(runs), 3.6), squeeze=False)
    for axis, (title, folder) in zip(axes[0], runs, strict=True):
        images = draw_samples(folder, _SIDE * _SIDE, steps, 0).images
        rows = [torch.cat(list(part), 2) for part in images.split(_SIDE)]
        axis.imshow(torch.cat(rows, 1).permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray")
        axis.set(title=title, xticks=[], yticks=[])
    return _save(figure, path)


def _metrics(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    last = max(row["attempt"] for row in rows)
    return [row for row in rows if row["attempt"] == last]


def _save(figure: plt.Figure, path: Path) -> list[Path]:
    figure.tight_layout()
    written = [path.with_suffix(ending) for ending in (".png", ".pdf")]
    for target in written:
        figure.savefig(target, dpi=120)
    plt.close(figure)
    return written

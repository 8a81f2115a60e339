"""Figures over several runs: energy landscapes, terms over training, samples. PNG and PDF."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from nesy_gedi.data.images import ImageSet
from nesy_gedi.drawing import draw_samples
from nesy_gedi.evaluation.failures import MODES, ruled_out_at
from nesy_gedi.gedi.checkpoint import load_network
from nesy_gedi.reporting.figures import draw_plane
from nesy_gedi.reporting.run import METRICS, write_whole

_SIDE = 8  # images along each side of a grid
_CHAINS = 500


class Panel(NamedTuple):
    """A run in a figure."""

    title: str
    folder: Path
    dataset: str


def planes(path: Path, runs: Sequence[Panel], data: Mapping[str, ImageSet]) -> list[Path]:
    """A row for each run: its clusters of the test points, and its energy in nats.

    Args:
        path: without ending.
        runs: what to draw.
        data: data sets by name.
    """
    figure, axes = plt.subplots(
        len(runs), 2, figsize=(7, 2.6 * len(runs)), squeeze=False, layout="constrained"
    )
    for pair, run in zip(axes, runs, strict=True):
        draw_plane(pair, load_network(run.folder), data[run.dataset].test_images)
        pair[0].set_title(run.title)
    return _save(figure, path)


def chains(path: Path, runs: Sequence[Panel], data: Mapping[str, ImageSet], steps: int) -> list[Path]:
    """As :func:`planes`, with samples in place of clusters: chains of so many steps from uniform noise."""
    figure, axes = plt.subplots(
        len(runs), 2, figsize=(7, 2.6 * len(runs)), squeeze=False, layout="constrained"
    )
    for pair, run in zip(axes, runs, strict=True):
        draw_plane(pair, load_network(run.folder), data[run.dataset].test_images)
        x, y = draw_samples(run.folder, _CHAINS, steps, 0).images.flatten(1).numpy().T
        limits = pair[0].get_xlim(), pair[0].get_ylim()
        pair[0].clear()
        pair[0].scatter(x, y, s=2, color="black")
        pair[0].set(xlim=limits[0], ylim=limits[1], aspect="equal", xticks=[], yticks=[])
        pair[0].set_title(f"{run.title}: {steps} steps")
    return _save(figure, path)


def terms(
    path: Path,
    runs: Sequence[Panel],
    optima: Mapping[str, float | None],
    classes: int,
    units: int | None,
) -> list[Path]:
    """A panel for each term, a line for each run, optima dashed; and when each failure is ruled out for good.

    Args:
        path: without ending.
        runs: of one method.
        optima: of its terms, nats.
        classes: number of clusters.
        units: of the projection, if it is not the clusters.
    """
    lines = {run.title: _metrics(run.folder) for run in runs}
    names = list(optima)
    width = 2.8 * (len(names) + 2)
    figure, axes = plt.subplots(1, len(names) + 1, figsize=(width, 3), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names, strict=False):
        for title, rows in lines.items():
            counted = [row for row in rows if name in row["terms"]]
            axis.plot([r["epoch"] for r in counted], [r["terms"][name] for r in counted], label=title, lw=1)
        if optima[name] is not None:
            axis.axhline(optima[name], linestyle="--", color="grey", lw=1)
        axis.set(title=name, xlabel="epoch", ylabel="nats", xscale="log")
    last = axes[0][-1]
    for rows in lines.values():
        found = ruled_out_at(rows, optima, classes, units)
        known = [(epoch, mode) for mode, epoch in found.items() if epoch is not None]
        last.plot([epoch for epoch, _ in known], [MODES.index(mode) for _, mode in known], "|", ms=12)
    last.set(title="ruled out from here on", xlabel="epoch", xscale="log", ylim=(-0.5, len(MODES) - 0.5))
    last.set_yticks(range(len(MODES)), [mode.replace(" ", "\n") for mode in MODES])
    handles, titles = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, titles, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return _save(figure, path)


def samples(path: Path, runs: Sequence[Panel], steps: int) -> list[Path]:
    """A grid of samples for each run, drawn anew from noise."""
    figure, axes = plt.subplots(
        1, len(runs), figsize=(3.4 * len(runs), 3.6), squeeze=False, layout="constrained"
    )
    for axis, run in zip(axes[0], runs, strict=True):
        images = draw_samples(run.folder, _SIDE * _SIDE, steps, 0).images
        rows = [torch.cat(list(part), 2) for part in images.split(_SIDE)]
        axis.imshow(torch.cat(rows, 1).permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray")
        axis.set(title=run.title, xticks=[], yticks=[])
    return _save(figure, path)


def _metrics(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    last = max(row["attempt"] for row in rows)
    return [row for row in rows if row["attempt"] == last]


def _save(figure: plt.Figure, path: Path) -> list[Path]:
    written = []
    for kind in ("png", "pdf"):
        content = io.BytesIO()
        figure.savefig(content, dpi=120, format=kind)
        written.append(path.with_suffix(f".{kind}"))
        write_whole(written[-1], content.getvalue())
    plt.close(figure)
    return written

"""Figures over several runs: energy landscapes, terms over training, samples. PNG and PDF."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from nesy_gedi.data.images import ImageSet
from nesy_gedi.drawing import draw_samples
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.failures import MODES, ruled_out_at
from nesy_gedi.gedi.checkpoint import load_network
from nesy_gedi.reporting.figures import draw_plane, marker_of
from nesy_gedi.stored_run import kept_training
from nesy_gedi.writing import write_whole

_SIDE = 8  # images along each side of a grid
_CHAINS = 500


class Panel(NamedTuple):
    """A run in a figure.

    Attributes:
        optima: of its terms, nats; None where there is none.
        classes: number of clusters.
        units: of the projection, if it is not the clusters.
    """

    title: str
    folder: Path
    dataset: str
    optima: Mapping[str, float | None]
    classes: int
    units: int | None


def check_drawable(name: str, kind: str, images: ImageSet) -> None:
    """Refuse data that a figure cannot show.

    Args:
        name: of the figure.
        kind: ``planes``, ``chains``, ``terms`` or ``samples``; empty for a table.
        images: the data.

    Raises:
        UserError: points of the plane are needed, or images, and the data are not.
    """
    test, shape = images.test_images, "x".join(map(str, images.test_images.shape[1:]))
    vectors = test.is_floating_point()
    found = f"{images.name} has {'vectors' if vectors else 'images'} of {shape}"
    if kind in ("planes", "chains") and not (vectors and tuple(test.shape[1:]) == (2, 1, 1)):
        raise UserError(f"{name} draws points of the plane, {found}: choose --datasets moons,circles")
    if kind == "samples" and vectors:
        raise UserError(f"{name} draws images, {found}: choose others with --datasets, or figure5")


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


def chains(path: Path, runs: Sequence[Panel], data: Mapping[str, ImageSet], steps: int | None) -> list[Path]:
    """As :func:`planes`, with samples in place of clusters: chains of so many steps from uniform noise."""
    figure, axes = plt.subplots(
        len(runs), 2, figsize=(7, 2.6 * len(runs)), squeeze=False, layout="constrained"
    )
    for pair, run in zip(axes, runs, strict=True):
        draw_plane(pair, load_network(run.folder), data[run.dataset].test_images)
        drawn = draw_samples(run.folder, _CHAINS, steps, 0)
        x, y = drawn.images.flatten(1).numpy().T
        limits = pair[0].get_xlim(), pair[0].get_ylim()
        pair[0].clear()
        pair[0].scatter(x, y, s=2, color="black")
        pair[0].set(xlim=limits[0], ylim=limits[1], aspect="equal", xticks=[], yticks=[])
        pair[0].set_title(f"{run.title}: {drawn.settings['steps']:,} steps")
    return _save(figure, path)


def terms(path: Path, runs: Sequence[Panel]) -> list[Path]:
    """A panel for each term, a line for each run, optima dashed; and when each failure is ruled out for good.

    Args:
        path: without ending.
        runs: of any methods; a run has no line in the panel of a term that its method does not have.

    Raises:
        UserError: a run's log is damaged.
    """
    epochs = [kept_training(run.folder) for run in runs]
    names = list(dict.fromkeys(name for run in runs for name in run.optima))
    width = 2.8 * (len(names) + 2)
    figure, axes = plt.subplots(1, len(names) + 1, figsize=(width, 3), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names, strict=False):
        _draw_term(axis, name, runs, epochs)
    last = axes[0][-1]
    for k, (run, rows) in enumerate(zip(runs, epochs, strict=True)):
        found = ruled_out_at(rows, run.optima, run.classes, run.units)
        known = [(epoch, MODES.index(mode)) for mode, epoch in found.items() if epoch is not None]
        last.plot([e for e, _ in known], [m for _, m in known], "|", ms=12, color=f"C{k}", label=run.title)
    last.set(title="ruled out from here on", xlabel="epoch", xscale="log", ylim=(-0.5, len(MODES) - 0.5))
    last.set_yticks(range(len(MODES)), [mode.replace(" ", "\n") for mode in MODES])
    shown = [Line2D([], [], color=f"C{k}", lw=1) for k in range(len(runs))]
    titles = [run.title for run in runs]
    figure.legend(shown, titles, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return _save(figure, path)


def _draw_term(axis: Axes, name: str, runs: Sequence[Panel], epochs: Sequence[list[dict[str, Any]]]) -> None:
    """A line for each run that has the term, in the run's colour, and one for each optimum."""
    for k, (run, rows) in enumerate(zip(runs, epochs, strict=True)):
        counted = [row for row in rows if name in row["terms"]]
        if name in run.optima and counted:
            values = [row["terms"][name] for row in counted]
            axis.plot(
                [row["epoch"] for row in counted],
                values,
                label=run.title,
                lw=1,
                color=f"C{k}",
                marker=marker_of(counted),
            )
    for optimum in dict.fromkeys(run.optima.get(name) for run in runs):
        if optimum is not None:
            axis.axhline(optimum, linestyle="--", color="grey", lw=1)
    axis.set(title=name, xlabel="epoch", ylabel="nats", xscale="log")


def samples(path: Path, runs: Sequence[Panel], steps: int | None) -> list[Path]:
    """A grid of samples for each run, drawn anew from noise."""
    figure, axes = plt.subplots(
        1, len(runs), figsize=(3.4 * len(runs), 3.6), squeeze=False, layout="constrained"
    )
    for axis, run in zip(axes[0], runs, strict=True):
        drawn = draw_samples(run.folder, _SIDE * _SIDE, steps, 0)
        rows = [torch.cat(list(part), 2) for part in drawn.images.split(_SIDE)]
        axis.imshow(torch.cat(rows, 1).permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray")
        axis.set(title=f"{run.title}\n{drawn.settings['steps']:,} steps", xticks=[], yticks=[])
    return _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> list[Path]:
    written = []
    for kind in ("png", "pdf"):
        content = io.BytesIO()
        figure.savefig(content, dpi=120, format=kind)
        written.append(path.with_suffix(f".{kind}"))
        write_whole(written[-1], content.getvalue())
    plt.close(figure)
    return written
